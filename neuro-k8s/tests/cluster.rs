//! On a real cluster, the one that `KUBECONFIG` names:
//!
//! ```text
//! make image-tar && k3d image import target/image/neuro-app.tar
//! cargo test -p neuro-k8s --test cluster -- --ignored --test-threads 1
//! ```
//!
//! They need: one node that takes pods (or `NEURO_TEST_NODE`), the image `neuro-app:<version>` on it (or `NEURO_TEST_IMAGE`), the
//! right to make namespaces and custom resource definitions, and the namespaces `neuro-test-*` to themselves. They make them and
//! delete them.

#![cfg(feature = "kube")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use neuro_data::campaign::{CampaignParams, pairwise};
use neuro_data::instance::Instance;
use neuro_data::plan::{Assignment, Plan};
use neuro_data::run_folder::run_folders;
use neuro_data::{Catalogue, CleanupVerdict, Phases, RequestStatus, RunSpec, RunStatus, Tool};
use neuro_k8s::kube::destroy_run;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::operator::{
    EdgeServer, EdgeServerSpec, InferenceRequest, InferenceRequestSpec, Operator, OperatorEvent, OperatorParams, Phase,
    PlanError, Planner, Prediction, Profiler, Statistic,
};
use neuro_k8s::rollout::{self, RolloutParams};
use neuro_k8s::{DriverParams, Interrupt, KubeParams, KubeTarget, Target, drive_campaign};

fn pods(namespace: &str) -> PodSettings {
    let own = || format!("neuro-app:{}", env!("CARGO_PKG_VERSION"));
    let image = std::env::var("NEURO_TEST_IMAGE").unwrap_or_else(|_| own());
    PodSettings { namespace: namespace.into(), image, pull_policy: PullPolicy::IfNotPresent }
}

async fn node(client: &Client) -> String {
    if let Ok(node) = std::env::var("NEURO_TEST_NODE") {
        return node;
    }
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.list(&ListParams::default()).await.unwrap().items[0].name_any()
}

async fn make_namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
}

async fn delete_namespace(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(name, &DeleteParams::default()).await.unwrap();
}

fn pair() -> Vec<RunSpec> {
    let phases = Phases { warmup_s: 1.0, duration_s: 5.0, drain_s: 2.0, warmup_inferences: 3 };
    let params = CampaignParams { seed: 1, threads: 1, phases, observed_rate: Some(20.0) };
    let catalogue = Catalogue::built_in();
    let apps = ["kalman-gru", "tclf-rf"].map(|id| catalogue.get(id).unwrap().clone());
    pairwise(&params, &apps, &[2], &[20.0], 1).filter(|run| run.tenants.len() == 2).take(1).collect()
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_pairwise_pair_is_measured_and_destroyed() {
    let namespace = "neuro-test-pair";
    let client = neuro_k8s::kube::client().await.unwrap();
    let mut params = KubeParams::new(Catalogue::built_in(), pods(namespace));
    params.node = Some(node(&client).await);
    let folder = tempfile::tempdir().unwrap();
    let tool = Tool { name: "test".into(), version: "1".into(), commit: String::new() };
    let mut driver = DriverParams::new(folder.path(), tool);
    driver.ready_deadline = Duration::from_secs(120);
    // The gate is for measurements; a small cluster of a test may be late.
    driver.gate.lateness_p99_s = 10.0;
    let runs = pair();
    let mut target = KubeTarget::connect(client.clone(), params.clone()).await.unwrap();
    let report = drive_campaign(&mut target, &runs, &driver, &Interrupt::new(), &mut ()).await.unwrap();
    let run = &run_folders(folder.path()).unwrap()[0];
    let manifest = run.manifest();
    assert_eq!((report.failed, manifest.status), (0, RunStatus::Complete), "{:?}", manifest.reason);
    assert_eq!(manifest.cleanup, CleanupVerdict::Clean);
    assert_eq!(manifest.replicas.len(), 3);
    assert!(manifest.replicas.iter().all(|replica| replica.peak_memory_gb.is_some()));
    let requests = run.requests().unwrap();
    assert!(requests.iter().any(|request| request.status == RequestStatus::Ok && request.service_s.is_some()));
    let counters = run.counters().unwrap();
    assert!(counters.iter().any(|sample| sample.event == "cpu-clock" && sample.count.is_some_and(|count| count > 0)));

    // A driver that dies after deploying, and the cleaning up after it.
    let run_id = runs[0].run_id();
    target.deploy(&run_id, &runs[0], folder.path()).await.unwrap();
    target.release().await;
    let removed = destroy_run(&client, namespace, &run_id, Duration::from_secs(120)).await.unwrap();
    assert_eq!(removed, 6);
    assert_eq!(destroy_run(&client, namespace, &run_id, Duration::from_secs(120)).await.unwrap(), 0);
    delete_namespace(&client, namespace).await;
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn a_plan_is_applied_and_its_status_read() {
    let namespace = "neuro-test-plan";
    let client = neuro_k8s::kube::client().await.unwrap();
    make_namespace(&client, namespace).await;
    let text = r#"{"servers": [{"name": "edge-1", "kind": "edge-a", "memory_gb": 2}],
        "requests": [{"id": "r1", "app": "kalman-gru", "instances": 2, "rate": 5, "payment": 1, "delay_s": 1, "sla": "p95"}]}"#;
    let instance = Instance::from_json(text).unwrap();
    let plan = everything_on_the_first(&instance);
    let mut params = RolloutParams::new(Catalogue::built_in(), pods(namespace));
    params.nodes.insert("edge-1".into(), node(&client).await);
    let shown = rollout::diff(&client, &plan, &instance, &params).await.unwrap();
    assert_eq!(shown.changes.len(), 2);
    rollout::apply(&client, &plan, &instance, &params, Some(&shown), true).await.unwrap();
    rollout::apply(&client, &plan, &instance, &params, Some(&shown), false).await.unwrap();
    // What the server adds to objects is no difference.
    assert_eq!(rollout::diff(&client, &plan, &instance, &params).await.unwrap().changes, []);
    until("both replicas serve", || async {
        let statuses = rollout::status(&client, &params).await.unwrap();
        statuses.len() == 1 && statuses[0].ready == 2 && statuses[0].troubles.is_empty()
    })
    .await;
    delete_namespace(&client, namespace).await;
}

fn everything_on_the_first(instance: &Instance) -> Plan {
    let server = instance.servers[0].name.clone();
    let assignment = |request: &neuro_data::instance::Request| Assignment {
        request: request.id.clone(),
        server: server.clone(),
        instances: request.instances,
    };
    Plan {
        method: "by hand".into(),
        objective: instance.requests.iter().map(|request| request.payment).sum(),
        bound: None,
        gap: None,
        seconds: 0.0,
        termination: "complete".into(),
        assignments: instance.requests.iter().map(assignment).collect(),
        rejected: Vec::new(),
        audit: None,
        trace: Vec::new(),
    }
}

struct ByHand;

impl Planner for ByHand {
    fn plan(&self, instance: &Instance, _limit: Duration) -> Result<Plan, PlanError> {
        Ok(everything_on_the_first(instance))
    }
}

impl Profiler for ByHand {
    fn knows(&self, _kind: &str, _app: &str) -> bool {
        true
    }

    fn predict(&self, _: &Instance, plan: &Plan) -> Result<Vec<Prediction>, PlanError> {
        let prediction = |a: &Assignment| Prediction {
            request: a.request.clone(),
            server: a.server.clone(),
            predicted_s: 0.1,
            promise_s: 0.1,
        };
        Ok(plan.assignments.iter().map(prediction).collect())
    }
}

#[tokio::test]
#[ignore = "needs a cluster"]
async fn an_inference_request_is_reconciled() {
    let namespace = "neuro-test-operator";
    let client = neuro_k8s::kube::client().await.unwrap();
    make_namespace(&client, namespace).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let force = PatchParams::apply("neuro-test").force();
    for definition in [InferenceRequest::crd(), EdgeServer::crd()] {
        definitions.patch(&definition.name_any(), &force, &Patch::Apply(&definition)).await.unwrap();
    }
    let servers: Api<EdgeServer> = Api::namespaced(client.clone(), namespace);
    let requests: Api<InferenceRequest> = Api::namespaced(client.clone(), namespace);
    let spec = EdgeServerSpec { node: node(&client).await, kind: "edge-a".into(), memory: "2G".into() };
    until("the definitions are served", || async {
        servers.create(&PostParams::default(), &EdgeServer::new("edge-1", spec.clone())).await.is_ok()
    })
    .await;
    let spec = InferenceRequestSpec {
        app: "kalman-gru".into(),
        instances: 1,
        rate: 5.0,
        delay_seconds: 1.0,
        sla: Statistic::P95,
        payment: 1.0,
    };
    // The rules of the definition are the server's.
    let broken = InferenceRequest::new("broken", InferenceRequestSpec { rate: 0.0, ..spec.clone() });
    let refused = requests.create(&PostParams::default(), &broken).await.unwrap_err().to_string();
    assert!(refused.contains("a rate is positive"), "{refused}");
    requests.create(&PostParams::default(), &InferenceRequest::new("tracking", spec)).await.unwrap();

    let mut params = OperatorParams::new(RolloutParams::new(Catalogue::built_in(), pods(namespace)));
    params.resync = Duration::from_secs(1);
    let operator = Operator {
        client: client.clone(),
        params,
        planner: Arc::new(ByHand),
        certifier: None,
        profiler: Arc::new(ByHand),
    };
    let script = async {
        until("it runs", || async {
            let status = requests.get_status("tracking").await.unwrap().status.unwrap_or_default();
            status.phase == Some(Phase::Running) && status.predicted_seconds == Some(0.1)
        })
        .await;
        requests.delete("tracking", &DeleteParams::default()).await.unwrap();
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        until("its Deployment is gone", || async {
            deployments.list(&ListParams::default()).await.unwrap().items.is_empty()
        })
        .await;
    };
    let mut observer = |event: &OperatorEvent<'_>| println!("{event:?}");
    tokio::select! {
        ended = operator.run(std::future::pending(), &mut observer) => ended.unwrap(),
        () = script => {}
    }
    delete_namespace(&client, namespace).await;
}

async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let end = tokio::time::Instant::now() + Duration::from_secs(120);
    while !condition().await {
        assert!(tokio::time::Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
