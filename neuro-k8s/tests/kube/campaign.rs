//! Campaigns on the fake cluster: measured, refused, failing in words, interrupted at any point and resumed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use futures_util::StreamExt;
use neuro_data::campaign::{CampaignParams, baseline, pairwise};
use neuro_data::run_folder::{RunFolder, run_folders};
use neuro_data::{Catalogue, CleanupVerdict, CounterSample, Phases, RequestStatus, RunSpec, RunStatus, Tool};
use neuro_k8s::kube::destroy_run;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::{CampaignReport, DriverParams, Error, Interrupt, KubeParams, KubeTarget, drive_campaign};
use serde_json::json;
use tempfile::TempDir;

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

pub(crate) fn runs(pair: bool) -> Vec<RunSpec> {
    let phases = Phases { warmup_s: 0.05, duration_s: 0.2, drain_s: 0.2, warmup_inferences: 1 };
    let params = CampaignParams { seed: 5, threads: 1, phases, observed_rate: Some(40.0) };
    let catalogue = Catalogue::built_in();
    let apps = ["kalman-gru", "tclf-rf"].map(|id| catalogue.get(id).unwrap().clone());
    if pair { pairwise(&params, &apps[..1], &[2], &[20.0], 1).collect() } else { baseline(&params, &apps, 1).collect() }
}

pub(crate) async fn campaign(target: &mut KubeTarget, runs: &[RunSpec], out: &Path) -> Result<CampaignReport, Error> {
    campaign_within(Duration::from_secs(20), &Interrupt::new(), target, runs, out).await
}

pub(crate) async fn campaign_within(
    ready_deadline: Duration,
    interrupt: &Interrupt,
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
    drive_campaign(target, runs, &driver, interrupt, &mut ()).await
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
async fn routing_that_lags_behind_readiness_is_waited_for() {
    let routing_lag = Duration::from_millis(250);
    let fake = FakeCluster::start(Behaviour { routing_lag, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let report = campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
    target.release().await;
    let run = &run_folders(folder.path()).unwrap()[0];
    assert_eq!((report.complete, run.manifest().target_facts["route"].as_str()), (1, "pod IP"));
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
async fn where_neither_pods_nor_nodes_can_be_reached_the_api_server_carries_every_connection() {
    let fake = FakeCluster::start(Behaviour { pod_ips: false, node_ports: false, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    // The server is in trouble at first, and carries all the same.
    fake.fail(Method::GET, "/portforward", 500, 2);
    fake.fail(Method::GET, "/portforward", 429, 2);
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let runs = runs(true);
    let report = campaign(&mut target, &runs, folder.path()).await.unwrap();
    assert_eq!((report.complete, report.left), (runs.len(), 0));
    for run in run_folders(folder.path()).unwrap() {
        let manifest = run.manifest();
        assert_eq!(manifest.target_facts["route"], "port-forward");
        let mut endpoints: Vec<&str> = manifest.replicas.iter().map(|replica| replica.endpoint.as_str()).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        assert_eq!(endpoints.len(), 3, "each replica has a way of its own");
        let requests = run.requests().unwrap();
        assert!(requests.len() > 5);
        assert!(requests.iter().all(|request| request.status != RequestStatus::Failed));
        assert!(requests.iter().any(|request| request.service_s.is_some()));
        let counters = run.counters().unwrap();
        assert!(counters.iter().any(|sample| sample.count.is_some_and(|count| count > 0)));
    }
    let carried: BTreeSet<String> = fake.log().into_iter().filter(|call| call.ends_with("/portforward")).collect();
    assert_eq!(carried.len(), 3 * runs.len(), "each pod was reached through the server: {carried:?}");
    target.release().await;
    assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new());
}

#[tokio::test]
async fn a_replica_that_no_way_leads_to_fails_its_run_with_each_way_s_answer() {
    for (image, refused, words) in [
        ("neuro-app:test", 403, "port-forward: cannot forward a port: the API server answers 403"),
        ("deaf/neuro-app:test", 0, "port-forward: error forwarding port 8003 to pod: connection refused"),
    ] {
        let fake = FakeCluster::start(Behaviour { pod_ips: false, node_ports: false, ..Behaviour::default() });
        if refused > 0 {
            fake.fail(Method::GET, "/portforward", refused, usize::MAX);
        }
        let folder = tempfile::tempdir().unwrap();
        let mut target = KubeTarget::connect(fake.client(), params(image)).await.unwrap();
        let report = campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
        assert_eq!(report.failed, 1);
        let reason = run_folders(folder.path()).unwrap()[0].manifest().reason.clone().unwrap();
        assert!(reason.contains("pod IP: 127.") && reason.contains(words), "{reason}");
        assert!(reason.contains("node port: its Service has no port on the nodes"), "{reason}");
        target.release().await;
    }
}

#[tokio::test]
async fn what_keeps_a_replica_from_being_ready_is_said_in_words_and_the_campaign_goes_on() {
    let cases = [
        ("nowhere/neuro-app:1", "edge-1", "ImagePullBackOff"),
        ("crashing/neuro-app:1", "edge-1", "keeps crashing"),
        ("neuro-app:1", "edge-2", "cannot be scheduled: 0/1 nodes are available"),
        ("refused/neuro-app:1", "edge-1", "is refused by the cluster: exceeded quota"),
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
        // Waiting may mend some of it.
        let may_pass = node == "edge-2" || image.contains("refused");
        let (count, seconds) = if may_pass { (1, 1) } else { (2, 20) };
        let (deadline, interrupt) = (Duration::from_secs(seconds), Interrupt::new());
        let report = campaign_within(deadline, &interrupt, &mut target, &runs[..count], folder.path()).await.unwrap();
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

/// How many calls a campaign makes that nobody disturbs.
async fn calls_of(runs: &[RunSpec]) -> usize {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    campaign(&mut target, runs, folder.path()).await.unwrap();
    target.release().await;
    fake.calls()
}

/// A folder in memory where there is one: hundreds of runs are written to it, each synced.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Goes on with a campaign that was interrupted: no run may be lost or done twice, no object left, and none used again.
async fn resume(fake: &FakeCluster, runs: &[RunSpec], folder: &Path, when: &str) {
    let done_before = run_folders(folder).map_or(0, |folders| folders.len());
    let (left, calls_before) = (fake.objects("apps/deployments", NAMESPACE), fake.log().len());
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let report = campaign(&mut target, runs, folder).await.unwrap();
    target.release().await;
    assert_eq!(report.finished_before, done_before, "{when}");
    assert_eq!(report.finished_before + report.complete, runs.len(), "{when}");
    let folders: Vec<RunFolder> = run_folders(folder).unwrap();
    assert_eq!(folders.len(), runs.len(), "{when}");
    for run in &folders {
        let manifest = run.manifest();
        assert_eq!((manifest.status, &manifest.cleanup), (RunStatus::Complete, &CleanupVerdict::Clean), "{when}");
    }
    assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new(), "{when}");
    let log = &fake.log()[calls_before..];
    for object in left {
        let path = format!("/{}", object["metadata"]["name"].as_str().unwrap());
        let first = |method: &str| log.iter().position(|call| call.starts_with(method) && call.ends_with(&path));
        let (removed, made) = (first("DELETE").unwrap(), first("PATCH").unwrap_or(usize::MAX));
        assert!(removed < made, "{when}: {path} is used again");
    }
}

#[tokio::test]
async fn a_campaign_killed_after_any_call_and_resumed_leaves_nothing_and_loses_no_run() {
    let runs = runs(false);
    let whole = calls_of(&runs).await;
    let killed = |call: usize| {
        let runs = &runs;
        async move {
            let fake = FakeCluster::start(Behaviour::default());
            let folder = folder();
            // The call is carried out, and its answer reaches nobody: the last that the driver did.
            fake.be_silent_after(call);
            let doomed = async {
                let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
                campaign(&mut target, runs, folder.path()).await.unwrap();
                // Polling for what is gone varies in its calls: the end may come before the call that was meant.
                target
            };
            // Dropped in the middle, as by a kill: nothing is torn down and the Lease is not given back.
            tokio::select! {
                () = fake.until_calls(call) => {}
                target = doomed => drop(target),
            }
            fake.speak();
            resume(&fake, runs, folder.path(), &format!("killed after call {call} of {whole}")).await;
        }
    };
    assert!(whole > 30, "{whole}");
    futures_util::stream::iter(1..=whole).map(killed).buffer_unordered(32).collect::<()>().await;
}

#[tokio::test]
async fn a_campaign_given_up_after_any_call_leaves_nothing_at_once_and_loses_no_run() {
    let runs = runs(false);
    let whole = calls_of(&runs).await;
    let given_up = |call: usize| {
        let runs = &runs;
        async move {
            let fake = FakeCluster::start(Behaviour::default());
            let folder = folder();
            let interrupt = Interrupt::new();
            let asked = interrupt.clone();
            let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
            let (deadline, out) = (Duration::from_secs(20), folder.path());
            // Ctrl-C, twice.
            let stop = async {
                fake.until_calls(call).await;
                asked.request();
                asked.request();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                report = campaign_within(deadline, &interrupt, &mut target, runs, out) => drop(report.unwrap()),
                () = stop => {}
            }
            target.release().await;
            let when = format!("given up after call {call} of {whole}");
            assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new(), "{when}");
            resume(&fake, runs, out, &when).await;
        }
    };
    futures_util::stream::iter(1..=whole).map(given_up).buffer_unordered(32).collect::<()>().await;
}

#[tokio::test]
async fn a_run_that_is_given_up_and_cannot_be_removed_is_told_of() {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = folder();
    fake.fail(Method::DELETE, "/deployments/", 403, usize::MAX);
    let interrupt = Interrupt::new();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let stop = async {
        while fake.objects("pods", NAMESPACE).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        interrupt.request();
        interrupt.request();
    };
    let runs = runs(false);
    let campaign = campaign_within(Duration::from_secs(20), &interrupt, &mut target, &runs, folder.path());
    let error = tokio::join!(campaign, stop).0.unwrap_err();
    assert!(matches!(&error, Error::NotCleaned { run_id, .. } if *run_id == runs[0].run_id()), "{error}");
    assert!(error.to_string().contains("answers 403"), "{error}");
    target.release().await;
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
    assert!(
        matches!(&refused, Error::Namespace { count: 1, objects, .. } if objects.contains("database")),
        "{refused}"
    );
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
async fn a_driver_whose_lease_another_took_touches_nothing_more() {
    let fake = FakeCluster::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let mut lease = fake.objects("coordination.k8s.io/leases", NAMESPACE)[0].clone();
    lease["spec"]["holderIdentity"] = json!("another");
    fake.put("coordination.k8s.io/leases", NAMESPACE, "neuro-driver", lease);
    // It learns of it when it renews.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let error = campaign(&mut target, &runs(false), folder.path()).await.unwrap_err();
    assert!(matches!(error, Error::NamespaceInUse { .. }), "{error}");
    target.release().await;
    assert_eq!(fake.objects("coordination.k8s.io/leases", NAMESPACE).len(), 1, "it is the other's");
    assert_eq!(fake.objects("apps/deployments", NAMESPACE).len(), 0);
}

#[tokio::test]
async fn a_namespace_that_is_neither_there_nor_to_be_made_is_told_of() {
    let fake = FakeCluster::start(Behaviour::default());
    // Whose rights end at a namespace cannot tell whether there is one.
    fake.fail(Method::GET, "/namespaces/neuro-exp", 403, 1);
    let error = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap_err().to_string();
    assert!(error.contains("namespaces \"neuro-exp\" not found"), "{error}");
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
