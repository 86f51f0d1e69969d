//! The command against a cluster: the fake API server of neuro-k8s, whose pods are small HTTP services.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "../../neuro-k8s/tests/kube/fake_cluster/mod.rs"]
mod fake_cluster;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake_cluster::{Behaviour, FakeCluster};
use neuro_data::run_folder::run_folders;
use serde_json::{Value, json};

struct Cluster {
    fake: FakeCluster,
    folder: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Self {
        let fake = FakeCluster::start(Behaviour::default());
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": format!("http://{}", fake.address)}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        });
        fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        Self { fake, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn neuro(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuro"));
        command.args(arguments.split_whitespace()).env("KUBECONFIG", self.path("kubeconfig"));
        command.current_dir(self.folder.path());
        command
    }
}

fn done(mut command: Command, codes: &[i32]) -> Output {
    let output = command.output().unwrap();
    let code = output.status.code().unwrap();
    assert!(codes.contains(&code), "{code}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_pair_is_measured_a_killed_driver_s_run_is_destroyed_and_bad_usage_refused() {
    let cluster = Cluster::start();
    let small = "run pairwise --target kube --apps kalman-gru --instances 2 --rates 20 --observed-rate 20 --duration 0.3 \
                 --warmup 0.1 --drain 0.3 --out out";
    let output = done(cluster.neuro(&format!("{small} --json")), &[0, 3]);
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((object["failed"].as_u64(), object["left"].as_u64()), (Some(0), Some(0)));
    for run in run_folders(&cluster.path("out")).unwrap() {
        assert_eq!((run.manifest().target.as_str(), run.manifest().server.as_str()), ("kube", "edge-1"));
    }
    assert_eq!(cluster.fake.leftovers("neuro-exp"), Vec::<String>::new());

    let long = small.replace("--duration 0.3", "--duration 3600").replace("--out out", "--out long");
    let mut driver = cluster.neuro(&long).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("a run is deployed", || !cluster.fake.objects("pods", "neuro-exp").is_empty());
    driver.kill().unwrap();
    driver.wait().unwrap();
    let partial = fs::read_dir(cluster.path("long/runs")).unwrap().next().unwrap().unwrap().file_name();
    let run = partial.to_str().unwrap().trim_end_matches(".partial").to_owned();
    let output = done(cluster.neuro(&format!("destroy --target kube --run {run}")), &[0]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("objects of"), "{output:?}");
    let left = cluster.fake.leftovers("neuro-exp");
    assert!(left.len() == 1 && left[0].contains("lease"), "the Lease runs out by itself: {left:?}");

    let output = done(cluster.neuro("run baseline --apps kalman-gru --node edge-1 --out other"), &[2]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--target kube"));
    let output = done(cluster.neuro("run baseline --apps kalman-gru --target kube --node edge-9 --out other"), &[2]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no node \"edge-9\""));
    let nobody = cluster.neuro("destroy --target kube --run x").env("KUBECONFIG", "/nonexistent").output().unwrap();
    assert!(nobody.status.code() == Some(1) && String::from_utf8_lossy(&nobody.stderr).contains("find a cluster"));
}

#[test]
fn a_plan_is_shown_applied_as_reviewed_and_its_status_read() {
    let cluster = Cluster::start();
    cluster.fake.put("namespaces", "", "neuro", json!({"metadata": {"name": "neuro"}}));
    let instance = json!({
        "servers": [{"name": "edge-1", "kind": "edge-a", "memory_gb": 8}],
        "requests": [{"id": "r1", "app": "kalman-gru", "instances": 2, "rate": 5, "payment": 1, "delay_s": 0.5, "sla": "p95"}],
    });
    let plan = json!({
        "method": "by hand", "objective": 1, "bound": null, "gap": null, "seconds": 0, "termination": "complete",
        "assignments": [{"request": "r1", "server": "edge-1", "instances": 2}], "rejected": [],
    });
    fs::write(cluster.path("instance.json"), instance.to_string()).unwrap();
    fs::write(cluster.path("plan.json"), plan.to_string()).unwrap();
    let files = "--plan plan.json --instance instance.json";
    let output = done(cluster.neuro(&format!("plan diff {files} --out diff.json")), &[0]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("2 objects would change"), "{output:?}");
    done(cluster.neuro(&format!("plan apply {files} --diff diff.json --dry-run=server")), &[0]);
    assert_eq!(cluster.fake.leftovers("neuro"), Vec::<String>::new());
    done(cluster.neuro(&format!("plan apply {files} --diff diff.json")), &[0]);
    // What was reviewed is no longer what is there.
    let output = done(cluster.neuro(&format!("plan apply {files} --diff diff.json")), &[1]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("moved"), "{output:?}");
    let ready = || {
        let output = done(cluster.neuro("plan status --json"), &[0]);
        let object: Value = serde_json::from_slice(&output.stdout).unwrap();
        object["requests"][0]["ready"] == 2 && object["requests"][0]["promise"]["delay_s"] == 0.5
    };
    until("both replicas serve", ready);
}

#[test]
fn the_operator_places_a_request_with_a_trained_profiler() {
    let cluster = Cluster::start();
    let output = done(cluster.neuro("operator crds"), &[0]);
    assert_eq!(output.stdout, fs::read(repository().join("neuro-k8s/deploy/crds.yaml")).unwrap());

    cluster.fake.put("namespaces", "", "neuro", json!({"metadata": {"name": "neuro"}}));
    let put = |resource: &str, kind: &str, name: &str, spec: Value| {
        let object = json!({"apiVersion": "neuro.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        cluster.fake.put(&format!("neuro.dev/{resource}"), "neuro", name, object);
    };
    put("edgeservers", "EdgeServer", "edge-1", json!({"node": "edge-1", "kind": "edge-a", "memory": "4G"}));
    let request = |instances: u32, rate: f64| {
        json!({"app": "tclf-rf", "instances": instances, "rate": rate, "delaySeconds": 0.5, "sla": "p95", "payment": 2.0})
    };
    put("inferencerequests", "InferenceRequest", "forest", request(2, 20.0));
    put("inferencerequests", "InferenceRequest", "too-many", request(40, 20.0));
    let profile = repository().join("examples/data/bundles/edge-a");
    let arguments = format!(
        "operator run --profile {} --time-limit 300ms --background-time-limit 300ms --resync 300ms --metrics 127.0.0.1:0",
        profile.display()
    );
    let mut operator = cluster.neuro(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = |name: &str| {
        let all = cluster.fake.objects("neuro.dev/inferencerequests", "neuro");
        all.into_iter().find(|o| o["metadata"]["name"] == name).map_or(Value::Null, |o| o["status"].clone())
    };
    until("it runs", || status("forest")["phase"] == "Running");
    assert!(status("forest")["predictedSeconds"].as_f64().unwrap() > 0.0);
    until("the other is rejected", || status("too-many")["phase"] == "Rejected");
    assert_eq!(status("too-many")["rejection"]["code"], "MemoryExceeded");
    assert!(Command::new("kill").arg(operator.id().to_string()).status().unwrap().success());
    assert_eq!(operator.wait().unwrap().code(), Some(0), "a polite kill ends it well");
    assert_eq!(cluster.fake.objects("coordination.k8s.io/leases", "neuro"), Vec::<Value>::new());
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
