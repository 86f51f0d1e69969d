//! The operator on the fake cluster: requests placed, rejected, moved, measured; the last good plan kept.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_data::plan::{Assignment, Plan, Rejection, RejectionCode};
use neuro_k8s::Error;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::operator::{Operator, OperatorEvent, OperatorParams, PlanError, Planner, Prediction, Profiler};
use neuro_k8s::rollout::RolloutParams;
use serde_json::{Value, json};

use crate::fake_cluster::{Behaviour, FakeCluster};
use crate::rollout::ask;

pub(crate) const NAMESPACE: &str = "neuro";
const REQUESTS: &str = "neuro.dev/inferencerequests";
const SERVERS: &str = "neuro.dev/edgeservers";

/// Puts requests that pay most first onto the first server with room for a replica each GB, in the order that it is told; rejects
/// the others.
#[derive(Default)]
pub(crate) struct FirstFit {
    plans: AtomicUsize,
    backwards: AtomicBool,
    fails: Mutex<Option<PlanError>>,
    /// A request that is said to lie outside of what the profiler was trained on.
    unknown: Mutex<Option<String>>,
    bound: Option<f64>,
}

impl Planner for FirstFit {
    fn plan(&self, instance: &Instance, _limit: Duration) -> Result<Plan, PlanError> {
        self.plans.fetch_add(1, Ordering::SeqCst);
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let mut requests: Vec<_> = instance.requests.iter().collect();
        requests.sort_by(|a, b| b.payment.total_cmp(&a.payment));
        let mut servers: Vec<_> = instance.servers.iter().map(|server| (server, server.memory_gb)).collect();
        if self.backwards.load(Ordering::SeqCst) {
            servers.reverse();
        }
        let (mut assignments, mut rejected, mut objective) = (Vec::new(), Vec::new(), 0.0);
        let unknown = self.unknown.lock().unwrap().clone();
        for request in requests {
            let id = request.id.clone();
            if unknown.as_ref() == Some(&id) {
                rejected.push(Rejection {
                    request: id,
                    code: RejectionCode::OutsideTrainedRange,
                    detail: "rate 900 > 100".into(),
                });
                continue;
            }
            let needed = f64::from(request.instances);
            match servers.iter_mut().find(|(_, free)| *free >= needed) {
                Some((server, free)) => {
                    *free -= needed;
                    objective += request.payment;
                    assignments.push(Assignment {
                        request: id,
                        server: server.name.clone(),
                        instances: request.instances,
                    });
                }
                None => rejected.push(Rejection {
                    request: id,
                    code: RejectionCode::MemoryExceeded,
                    detail: "no room".into(),
                }),
            }
        }
        let (method, termination) = ("first fit".to_owned(), "complete".to_owned());
        let (bound, gap, seconds, audit, trace) = (self.bound, None, 0.0, None, Vec::new());
        Ok(Plan { method, objective, bound, gap, seconds, termination, assignments, rejected, audit, trace })
    }
}

/// A tenth of a second for everybody.
struct Tenth;

impl Profiler for Tenth {
    fn knows(&self, kind: &str, app: &str) -> bool {
        kind == "edge-a" && app != "stranger"
    }

    fn predict(&self, _: &Instance, plan: &Plan) -> Result<Vec<Prediction>, PlanError> {
        let prediction = |a: &Assignment| Prediction {
            request: a.request.clone(),
            server: a.server.clone(),
            predicted_s: 0.1,
            promise_s: 0.11,
        };
        Ok(plan.assignments.iter().map(prediction).collect())
    }
}

pub(crate) fn operator(fake: &FakeCluster, planner: &Arc<FirstFit>) -> Operator {
    let pods =
        PodSettings { namespace: NAMESPACE.into(), image: "neuro-app:test".into(), pull_policy: PullPolicy::Never };
    let mut params = OperatorParams::new(RolloutParams::new(Catalogue::built_in(), pods));
    params.settle = Duration::from_millis(20);
    params.resync = Duration::from_millis(150);
    params.lease = Duration::from_secs(1);
    let planner: Arc<dyn Planner> = planner.clone();
    Operator { client: fake.client(), params, planner, certifier: None, profiler: Arc::new(Tenth) }
}

pub(crate) fn cluster(chaos: f64, watch_events: usize) -> FakeCluster {
    let nodes = vec!["node-1", "node-2"];
    let fake = FakeCluster::start(Behaviour { nodes, chaos, watch_events, ..Behaviour::default() });
    fake.put("namespaces", "", NAMESPACE, json!({"metadata": {"name": NAMESPACE}}));
    for number in [1, 2] {
        let spec = json!({"node": format!("node-{number}"), "kind": "edge-a", "memory": "4G"});
        let name = format!("edge-{number}");
        let meta = json!({"name": name});
        fake.put(
            SERVERS,
            NAMESPACE,
            &name,
            json!({"apiVersion": "neuro.dev/v1alpha1", "kind": "EdgeServer", "metadata": meta, "spec": spec}),
        );
    }
    fake
}

pub(crate) fn request(fake: &FakeCluster, name: &str, instances: u32, payment: f64) {
    request_of(fake, name, "kalman-gru", instances, payment);
}

fn request_of(fake: &FakeCluster, name: &str, app: &str, instances: u32, payment: f64) {
    let spec =
        json!({"app": app, "instances": instances, "rate": 5.0, "delaySeconds": 0.5, "sla": "p95", "payment": payment});
    let meta = json!({"name": name});
    fake.put(
        REQUESTS,
        NAMESPACE,
        name,
        json!({"apiVersion": "neuro.dev/v1alpha1", "kind": "InferenceRequest", "metadata": meta, "spec": spec}),
    );
}

pub(crate) fn status(fake: &FakeCluster, name: &str) -> Value {
    let all = fake.objects(REQUESTS, NAMESPACE);
    all.into_iter()
        .find(|object| object["metadata"]["name"] == name)
        .map_or(Value::Null, |object| object["status"].clone())
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs the operator beside a test's script, which ends it.
pub(crate) async fn beside(operator: Operator, script: impl Future<Output = ()>) {
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopping = Arc::clone(&stop);
    let mut observer = |_: &OperatorEvent<'_>| {};
    let run = operator.run(async move { stopping.notified().await }, &mut observer);
    let script = async {
        script.await;
        stop.notify_one();
    };
    let (ended, ()) = tokio::join!(run, script);
    ended.unwrap();
}

fn is(status: &Value, condition: &str) -> String {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.iter().find(|c| c["type"] == condition).map(|c| c["status"].as_str().unwrap().to_owned());
    found.unwrap_or_default()
}

#[tokio::test]
async fn a_request_is_placed_runs_is_measured_and_goes() {
    // Through faults and watches that break.
    let fake = cluster(0.05, 2);
    let planner = Arc::new(FirstFit::default());
    beside(operator(&fake, &planner), async {
        request(&fake, "tracking", 2, 3.0);
        request(&fake, "too-large", 9, 1.0);
        until("it runs", || status(&fake, "tracking")["phase"] == "Running").await;
        let placed = status(&fake, "tracking");
        assert_eq!(placed["assignments"], json!([{"server": "edge-1", "node": "node-1", "instances": 2}]));
        assert_eq!(placed["predictedSeconds"], 0.1);
        assert_eq!(is(&placed, "Placed"), "True");
        until("the other is rejected", || status(&fake, "too-large")["phase"] == "Rejected").await;
        let rejection = &status(&fake, "too-large")["rejection"];
        assert_eq!(*rejection, json!({"code": "MemoryExceeded", "message": "no room"}));

        // It is asked, and slower than promised.
        fake.slow_down("kalman-gru", 0.6);
        for pod in fake.objects("pods", NAMESPACE) {
            ask(&format!(
                "{}:{}",
                pod["status"]["podIP"].as_str().unwrap(),
                pod["spec"]["containers"][0]["ports"][0]["containerPort"]
            ))
            .await;
        }
        until("the violation is seen", || is(&status(&fake, "tracking"), "SlaKept") == "False").await;
        assert!(status(&fake, "tracking")["measuredSeconds"].as_f64().unwrap() > 0.5);
        let reasons = || -> Vec<String> {
            let events = fake.objects("events.k8s.io/events", NAMESPACE);
            events.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
        };
        until("the violation is told", || reasons().contains(&"SlaViolated".to_owned())).await;

        // Its owner gone, what was made for it goes.
        let api: kube::Api<neuro_k8s::operator::InferenceRequest> = kube::Api::namespaced(fake.client(), NAMESPACE);
        while api.delete("tracking", &kube::api::DeleteParams::default()).await.is_err() {}
        until("it is gone", || fake.objects("pods", NAMESPACE).is_empty()).await;
        until("its Deployment is gone", || fake.objects("apps/deployments", NAMESPACE).is_empty()).await;
    })
    .await;
    assert_eq!(fake.objects("coordination.k8s.io/leases", NAMESPACE), Vec::<Value>::new());
}

#[tokio::test]
async fn a_plan_that_earns_no_more_moves_nothing_and_a_restart_is_not_noticed() {
    let fake = cluster(0.0, 0);
    let planner = Arc::new(FirstFit::default());
    let placed = |fake: &FakeCluster| -> Vec<(String, String)> {
        let objects = fake.objects("apps/deployments", NAMESPACE);
        objects.iter().map(|d| (d["metadata"]["uid"].to_string(), d["spec"].to_string())).collect()
    };
    beside(operator(&fake, &planner), async {
        request(&fake, "a", 3, 3.0);
        request(&fake, "b", 2, 2.0);
        until("both run", || ["a", "b"].iter().all(|name| status(&fake, name)["phase"] == "Running")).await;
    })
    .await;
    let before = placed(&fake);
    // The same planner the other way round: another plan of the same revenue, and another operator.
    planner.backwards.store(true, Ordering::SeqCst);
    let plans = planner.plans.load(Ordering::SeqCst);
    beside(operator(&fake, &planner), async {
        until("it is planned anew", || planner.plans.load(Ordering::SeqCst) > plans).await;
        request(&fake, "c", 2, 1.0);
        until("the third runs beside them", || status(&fake, "c")["phase"] == "Running").await;
    })
    .await;
    let after = placed(&fake);
    assert!(before.iter().all(|object| after.contains(object)), "{before:?}\n{after:?}");
    assert_eq!(after.len(), 3);
}

#[tokio::test]
async fn the_last_good_plan_stays_while_the_profiler_is_out_of_its_range_or_the_planner_fails() {
    let fake = cluster(0.0, 0);
    let planner = Arc::new(FirstFit::default());
    beside(operator(&fake, &planner), async {
        request(&fake, "a", 1, 3.0);
        until("it runs", || status(&fake, "a")["phase"] == "Running").await;
        *planner.unknown.lock().unwrap() = Some("a".into());
        request(&fake, "b", 1, 2.0);
        let waits = |name: &str| {
            let status = status(&fake, name);
            let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Placed" && c["reason"] == "LastGoodPlan")
        };
        until("the last good plan is kept", || waits("a") && waits("b")).await;
        assert_eq!(status(&fake, "a")["phase"], "Running");
        assert_eq!(status(&fake, "b")["phase"], "Pending");

        *planner.unknown.lock().unwrap() = None;
        *planner.fails.lock().unwrap() = Some(PlanError::Failed("no solver".into()));
        let failed = || status(&fake, "b")["conditions"].to_string().contains("no solver");
        until("the planner's failure is said", failed).await;
        assert_eq!(fake.objects("apps/deployments", NAMESPACE).len(), 1);

        // Once it knows again, the one that waited is served.
        *planner.fails.lock().unwrap() = None;
        until("both run", || ["a", "b"].iter().all(|name| status(&fake, name)["phase"] == "Running")).await;
    })
    .await;
}

#[tokio::test]
async fn what_others_remove_is_made_anew_at_once() {
    let fake = cluster(0.0, 0);
    let planner = Arc::new(FirstFit::default());
    let mut operator = operator(&fake, &planner);
    // Nothing is looked at by the clock.
    operator.params.resync = Duration::from_secs(600);
    beside(operator, async {
        request(&fake, "a", 2, 3.0);
        let uid =
            || fake.objects("apps/deployments", NAMESPACE).first().map(|object| object["metadata"]["uid"].clone());
        until("it is placed", || uid().is_some()).await;
        let first = uid();
        fake.remove(
            "apps/deployments",
            NAMESPACE,
            fake.objects("apps/deployments", NAMESPACE)[0]["metadata"]["name"].as_str().unwrap(),
        );
        until("it is placed anew", || uid().is_some() && uid() != first).await;
    })
    .await;
}

#[tokio::test]
async fn what_the_operator_cannot_begin_without_is_said() {
    // A namespace.
    let nowhere = FakeCluster::start(Behaviour::default());
    let planner = Arc::new(FirstFit::default());
    let error = operator(&nowhere, &planner).run(std::future::pending(), &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("namespaces \"neuro\" not found"), "{error}");
    // The definitions.
    let fake = cluster(0.0, 0);
    fake.fail(axum::http::Method::GET, "inferencerequests", 404, 1);
    request(&fake, "a", 1, 3.0);
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopping = Arc::clone(&stop);
    let mut said = Vec::new();
    let mut observer = |event: &OperatorEvent<'_>| {
        if let OperatorEvent::Failed { error } = event {
            said.push(error.to_string());
        }
    };
    let run = operator(&fake, &planner).run(async move { stopping.notified().await }, &mut observer);
    let script = async {
        until("it runs all the same", || status(&fake, "a")["phase"] == "Running").await;
        stop.notify_one();
    };
    tokio::join!(run, script).0.unwrap();
    assert!(said.len() == 1 && said[0].contains("neuro operator crds"), "{said:?}");
}

#[tokio::test]
async fn what_no_profiler_knows_keeps_nobody_else_from_being_placed() {
    let fake = cluster(0.0, 0);
    let spec = json!({"node": "node-9", "kind": "edge-z", "memory": "64G"});
    let server =
        json!({"apiVersion": "neuro.dev/v1alpha1", "kind": "EdgeServer", "metadata": {"name": "edge-9"}, "spec": spec});
    fake.put(SERVERS, NAMESPACE, "edge-9", server);
    let planner = Arc::new(FirstFit::default());
    beside(operator(&fake, &planner), async {
        request(&fake, "a", 2, 3.0);
        request_of(&fake, "b", "stranger", 1, 9.0);
        until("the known one runs", || status(&fake, "a")["phase"] == "Running").await;
        until("the unknown one is rejected", || status(&fake, "b")["phase"] == "Rejected").await;
        assert_eq!(status(&fake, "b")["rejection"]["code"], "OutsideTrainedRange");
        // No room but on the server of the unknown kind, which is left out and told so.
        request(&fake, "c", 9, 1.0);
        until("there is no room", || status(&fake, "c")["rejection"]["code"] == "MemoryExceeded").await;
        let events = fake.objects("events.k8s.io/events", NAMESPACE);
        let told: Vec<_> = events.iter().filter(|event| event["reason"] == "UnknownKind").collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["regarding"]["name"], "edge-9");
        // What runs and is no longer known stays as it is.
        let edited = json!({"node": "node-1", "kind": "edge-z", "memory": "4G"});
        let server = json!({"apiVersion": "neuro.dev/v1alpha1", "kind": "EdgeServer", "metadata": {"name": "edge-1"}, "spec": edited});
        fake.put(SERVERS, NAMESPACE, "edge-1", server);
        let said = || status(&fake, "a")["conditions"].to_string().contains("no profiler knows it there");
        until("the last good plan is kept", said).await;
        assert_eq!(status(&fake, "a")["phase"], "Running");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_from_the_background_gives_the_gap_and_the_metrics_are_served() {
    let fake = cluster(0.0, 0);
    let planner = Arc::new(FirstFit::default());
    let mut operator = operator(&fake, &planner);
    operator.certifier = Some(Arc::new(FirstFit { bound: Some(3.3), ..FirstFit::default() }));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    operator.params.metrics = Some(free);
    beside(operator, async {
        request(&fake, "a", 1, 3.0);
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let page = page(free).await;
            let gap = page.lines().find_map(|line| line.strip_prefix("neuro_gap ")?.parse::<f64>().ok());
            if gap.is_some_and(|gap| (gap - 0.1).abs() < 1e-9) && page.contains("neuro_requests{phase=\"Running\"} 1") {
                assert!(page.contains("neuro_revenue 3\n"), "{page}");
                let series = "neuro_predicted_latency_seconds{request=\"a\",server=\"edge-1\"} 0.1\n";
                assert!(page.contains(series), "{page}");
                break;
            }
            assert!(tokio::time::Instant::now() < end, "{page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The metrics as they are served; nothing where nobody listens yet.
async fn page(address: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut connection) = tokio::net::TcpStream::connect(address).await else { return String::new() };
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_second_operator_is_refused() {
    let fake = cluster(0.0, 0);
    let planner = Arc::new(FirstFit::default());
    let second = operator(&fake, &planner);
    beside(operator(&fake, &planner), async {
        until("the first has its Lease", || !fake.objects("coordination.k8s.io/leases", NAMESPACE).is_empty()).await;
        let refused = second.run(std::future::pending(), &mut |_: &OperatorEvent<'_>| {}).await.unwrap_err();
        assert!(matches!(refused, Error::NamespaceInUse { .. }), "{refused}");
    })
    .await;
}
