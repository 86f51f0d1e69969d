//! Campaigns on the fake cluster: measured, refused, failing in words, interrupted at any point and resumed.

use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use neuro_data::campaign::{CampaignParams, baseline, pairwise};
use neuro_data::run_folder::{RunFolder, run_folders};
use neuro_data::{Catalogue, CleanupVerdict, CounterSample, Phases, RequestStatus, RunSpec, RunStatus, Tool};
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::kube::{Route, destroy_run};
use neuro_k8s::{CampaignReport, DriverParams, Error, Interrupt, KubeParams, KubeTarget, drive_campaign};
use serde_json::json;

use crate::fake_cluster::{Behaviour, FakeCluster};

pub(crate) const NAMESPACE: &str = "neuro-exp";

pub(crate) fn params(image: &str) -> KubeParams {
    let pods = PodSettings { namespace: NAMESPACE.into(), image: image.into(), pull_policy: PullPolicy::Never };
    let mut params = KubeParams::new(Catalogue::built_in(), pods);
    params.lease = Duration::from_secs(1);
    params.routing_lag = Duration::from_millis(500);
    params.gone_deadline = Duration::from_secs(10);
    params
}

fn runs(pair: bool) -> Vec<RunSpec> {
    let phases = Phases { warmup_s: 0.05, duration_s: 0.2, drain_s: 0.2, warmup_inferences: 1 };
    let params = CampaignParams { seed: 5, threads: 1, phases, observed_rate: Some(40.0) };
    let catalogue = Catalogue::built_in();
    let apps = ["kalman-gru", "tclf-rf"].map(|id| catalogue.get(id).unwrap().clone());
    if pair { pairwise(&params, &apps[..1], &[2], &[20.0], 1).collect() } else { baseline(&params, &apps, 1).collect() }
}

async fn campaign(target: &mut KubeTarget, runs: &[RunSpec], out: &Path) -> Result<CampaignReport, Error> {
    campaign_within(Duration::from_secs(20), target, runs, out).await
}

async fn campaign_within(
    ready_deadline: Duration,
    target: &mut KubeTarget,
    runs: &[RunSpec],
    out: &Path,
) -> Result<CampaignReport, Error> {
    let tool = Tool { name: "test".into(), version: "1".into(), commit: String::new() };
    let mut driver = DriverParams::new(out, tool);
    driver.ready_deadline = ready_deadline;
    driver.counter_interval_s = 0.1;
    driver.min_free_gb = 0.0;
    // What is tested is the flow; a busy machine may be late.
    driver.gate.lateness_p99_s = 10.0;
    driver.gate.achieved_ratio = 0.0;
    drive_campaign(target, runs, &driver, &Interrupt::new(), &mut ()).await
}

#[tokio::test]
async fn a_campaign_measures_every_replica_through_faults_broken_watches_and_slow_starts() {
    let ready_after = Duration::from_millis(300);
    let fake = FakeCluster::start(Behaviour { ready_after, watch_events: 1, chaos: 0.1, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let runs = runs(true);
    let report = campaign(&mut target, &runs, folder.path()).await.unwrap();
    target.release().await;
    let reasons: Vec<_> = run_folders(folder.path()).unwrap().iter().map(|run| run.manifest().reason.clone()).collect();
    assert_eq!((report.complete, report.failed, report.left), (runs.len(), 0, 0), "{reasons:?}");
    for run in run_folders(folder.path()).unwrap() {
        let manifest = run.manifest();
        assert_eq!((manifest.target.as_str(), manifest.server.as_str()), ("kube", "edge-1"));
        assert_eq!(manifest.cleanup, CleanupVerdict::Clean);
        assert_eq!(manifest.target_facts["route"], "pod IP");
        assert_eq!(manifest.host.cpus, 4);
        // Each replica at an address of its own, none by chance.
        let mut endpoints: Vec<&str> = manifest.replicas.iter().map(|replica| replica.endpoint.as_str()).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        assert_eq!(endpoints.len(), 3);
        for replica in &manifest.replicas {
            assert_eq!(replica.peak_memory_gb, Some(0.05));
            assert!(replica.startup_s.unwrap() >= 0.3 && replica.program.contains("sha256:0f"));
        }
        let requests = run.requests().unwrap();
        assert!(requests.len() > 5);
        for request in requests.iter().filter(|request| request.status == RequestStatus::Ok) {
            assert!(request.service_s.unwrap() >= 0.001 && request.response_s.unwrap() >= request.service_s.unwrap());
        }
        let counters: Vec<CounterSample> = run.counters().unwrap();
        let of = |event: &str| counters.iter().filter(|sample| sample.event == event).collect::<Vec<_>>();
        assert!(of("cpu-clock").iter().any(|sample| sample.count.unwrap() > 0));
        assert!(of("cache-misses").iter().all(|sample| sample.count.is_none()));
    }
    assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new());
}

#[tokio::test]
async fn where_pods_cannot_be_reached_their_node_s_port_is_taken() {
    let fake = FakeCluster::start(Behaviour { pod_ips: false, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let report = campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
    assert_eq!(report.complete, 1);
    let run = &run_folders(folder.path()).unwrap()[0];
    assert_eq!(run.manifest().target_facts["route"], "node port");
    target.release().await;
}

#[tokio::test]
async fn a_replica_that_no_way_leads_to_fails_its_run_with_each_way_s_answer() {
    let fake = FakeCluster::start(Behaviour { pod_ips: false, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let mut no_node_port = params("neuro-app:test");
    no_node_port.routes = vec![Route::PodIp, Route::PortForward];
    let mut target = KubeTarget::connect(fake.client(), no_node_port).await.unwrap();
    let report = campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
    assert_eq!(report.failed, 1);
    let reason = run_folders(folder.path()).unwrap()[0].manifest().reason.clone().unwrap();
    assert!(reason.contains("pod IP: 127.") && reason.contains("port-forward: 127."), "{reason}");
    target.release().await;
}

#[tokio::test]
async fn what_keeps_a_replica_from_being_ready_is_said_in_words_and_the_campaign_goes_on() {
    let cases = [
        ("nowhere/neuro-app:1", "edge-1", "ImagePullBackOff"),
        ("crashing/neuro-app:1", "edge-1", "keeps crashing"),
        ("neuro-app:1", "edge-2", "cannot be scheduled: 0/1 nodes are available"),
    ];
    for (image, node, words) in cases {
        let fake = FakeCluster::start(Behaviour::default());
        // The node is there when it is looked up and takes no pod.
        fake.put("nodes", "", "edge-2", json!({"metadata": {"name": "edge-2"}, "spec": {}, "status": {}}));
        let folder = tempfile::tempdir().unwrap();
        let mut params = params(image);
        params.node = Some(node.to_owned());
        let mut target = KubeTarget::connect(fake.client(), params).await.unwrap();
        let runs = runs(false);
        let count = if node == "edge-2" { 1 } else { 2 };
        let deadline = Duration::from_secs(if node == "edge-2" { 1 } else { 20 });
        let report = campaign_within(deadline, &mut target, &runs[..count], folder.path()).await.unwrap();
        assert_eq!((report.failed, report.left), (count, 0));
        for run in run_folders(folder.path()).unwrap() {
            let reason = run.manifest().reason.clone().unwrap();
            assert!(reason.contains(words) && reason.starts_with("replica 0 of tenant"), "{reason}");
            if image.contains("crashing") {
                assert!(reason.contains("memory than its limit") && reason.contains("no such model"), "{reason}");
            }
        }
        target.release().await;
        assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_container_that_is_killed_during_the_load_fails_its_run() {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let runs = runs(false);
    let kill = async {
        // The load has begun once a pod is asked for its counters; the calls to pods are not the API server's.
        while fake.objects("pods", NAMESPACE).iter().all(|pod| pod["status"]["podIP"].is_null()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        fake.kill_containers(NAMESPACE);
    };
    let (report, ()) = tokio::join!(campaign(&mut target, &runs[..1], folder.path()), kill);
    assert_eq!(report.unwrap().failed, 1);
    let reason = run_folders(folder.path()).unwrap()[0].manifest().reason.clone().unwrap();
    assert!(reason.contains("more memory than its limit"), "{reason}");
    target.release().await;
}

#[tokio::test]
async fn a_node_under_pressure_is_not_measured() {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let conditions = json!([{"type": "MemoryPressure", "status": "True"}]);
    fake.put("nodes", "", "edge-1", json!({"metadata": {"name": "edge-1"}, "status": {"conditions": conditions}}));
    campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
    let reason = run_folders(folder.path()).unwrap()[0].manifest().reason.clone().unwrap();
    assert!(reason.contains("edge-1 is under pressure: MemoryPressure"), "{reason}");
}

#[tokio::test]
async fn a_campaign_interrupted_at_any_point_and_resumed_leaves_nothing_and_loses_no_run() {
    let runs = runs(false);
    // How many calls an undisturbed campaign makes.
    let whole = {
        let fake = FakeCluster::start(Behaviour::default());
        let folder = tempfile::tempdir().unwrap();
        let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
        campaign(&mut target, &runs, folder.path()).await.unwrap();
        target.release().await;
        fake.calls()
    };
    for twelfth in [3, 5, 6, 7, 9, 11] {
        let fake = FakeCluster::start(Behaviour::default());
        let folder = tempfile::tempdir().unwrap();
        let at = whole * twelfth / 12;
        let doomed = async {
            let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
            campaign(&mut target, &runs, folder.path()).await.unwrap();
            // Polling for what is gone varies in its calls: the end may come before the call that was meant.
            target
        };
        // Dropped in the middle, as by a kill: nothing is torn down and the Lease is not given back.
        tokio::select! {
            () = fake.until_calls(at) => {}
            target = doomed => drop(target),
        }
        let done_before = run_folders(folder.path()).map_or(0, |folders| folders.len());

        let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
        let report = campaign(&mut target, &runs, folder.path()).await.unwrap();
        target.release().await;
        assert_eq!(report.finished_before, done_before, "interrupted at call {at} of {whole}");
        assert_eq!(report.finished_before + report.complete, runs.len());
        let folders: Vec<RunFolder> = run_folders(folder.path()).unwrap();
        assert_eq!(folders.len(), runs.len());
        assert!(folders.iter().all(|run| run.manifest().status == RunStatus::Complete));
        assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new(), "interrupted at call {at} of {whole}");
    }
}

#[tokio::test]
async fn destroy_finishes_what_a_crash_left_and_touches_nothing_else() {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let runs = runs(false);
    let doomed = async {
        let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
        campaign(&mut target, &runs, folder.path()).await.unwrap();
    };
    let deployed = async {
        while fake.objects("pods", NAMESPACE).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! { () = deployed => {}, () = doomed => panic!("it ended") }
    let labels = json!({"app.kubernetes.io/managed-by": "neuro", "neuro.dev/run": "other"});
    fake.put("services", NAMESPACE, "other", json!({"metadata": {"name": "other", "labels": labels}, "spec": {}}));
    let deadline = Duration::from_secs(10);
    let removed = destroy_run(&fake.client(), NAMESPACE, &runs[0].run_id(), deadline).await.unwrap();
    assert_eq!(removed, 2);
    assert_eq!(fake.objects("services", NAMESPACE).len(), 1);
    assert!(fake.objects("pods", NAMESPACE).is_empty());
    assert_eq!(destroy_run(&fake.client(), NAMESPACE, &runs[0].run_id(), deadline).await.unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_go_is_named() {
    let fake = FakeCluster::start(Behaviour::default());
    let labels = json!({"app.kubernetes.io/managed-by": "neuro", "neuro.dev/run": "stuck"});
    fake.put("pods", NAMESPACE, "stuck-pod", json!({"metadata": {"name": "stuck-pod", "labels": labels}}));
    let error = destroy_run(&fake.client(), NAMESPACE, "stuck", Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(&error, Error::Leftover { objects, .. } if objects == "Pod stuck-pod"), "{error}");
}

#[tokio::test]
async fn a_namespace_of_others_is_refused_unless_adopted() {
    let fake = FakeCluster::start(Behaviour::default());
    fake.put("namespaces", "", NAMESPACE, json!({"metadata": {"name": NAMESPACE}}));
    fake.put("apps/statefulsets", NAMESPACE, "database", json!({"metadata": {"name": "database"}, "spec": {}}));
    let refused = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap_err();
    assert!(matches!(&refused, Error::Namespace { count: 1, objects, .. } if objects.contains("database")), "{refused}");
    let mut adopting = params("neuro-app:test");
    adopting.adopt = true;
    KubeTarget::connect(fake.client(), adopting).await.unwrap().release().await;
    assert_eq!(fake.objects("apps/statefulsets", NAMESPACE).len(), 1);
}

#[tokio::test]
async fn two_drivers_cannot_share_a_namespace() {
    let fake = FakeCluster::start(Behaviour::default());
    let first = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let refused = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap_err();
    assert!(matches!(refused, Error::NamespaceInUse { .. }), "{refused}");
    first.release().await;
    let second = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    second.release().await;
    // A server that refuses is told of at once, not asked again.
    fake.fail(Method::GET, "/leases", 403, 1);
    let error = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn a_node_must_be_named_where_there_are_several() {
    let fake = FakeCluster::start(Behaviour { nodes: vec!["edge-1", "edge-2"], ..Behaviour::default() });
    let error = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap_err();
    assert!(matches!(error, Error::NodeChoice { .. }) && error.to_string().contains("edge-1, edge-2"), "{error}");
    let mut named = params("neuro-app:test");
    named.node = Some("edge-3".into());
    let error = KubeTarget::connect(fake.client(), named).await.unwrap_err();
    assert!(error.to_string().contains("no node \"edge-3\""), "{error}");
}
