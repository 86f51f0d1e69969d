//! Plans on the fake cluster: shown, applied, refused, measured.

use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::Catalogue;
use neuro_k8s::Error;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::rollout::{Change, PlacedStatus, RolloutParams, apply, desired, diff, status};
use serde_json::json;

use crate::fake_cluster::{Behaviour, FakeCluster};

const NAMESPACE: &str = "neuro";

fn instance() -> Instance {
    let request = |id: &str, app: &str, instances: u32, delay_s: f64| {
        json!({"id": id, "app": app, "instances": instances, "rate": 5, "payment": 2, "delay_s": delay_s, "sla": "p95"})
    };
    let server = |name: &str| json!({"name": name, "kind": "edge-a", "memory_gb": 8});
    let value = json!({
        "servers": [server("edge-1"), server("edge-2")],
        "requests": [request("tracking", "kalman-gru", 2, 0.5), request("text", "text-bert", 1, 0.5)],
    });
    Instance::from_json(&value.to_string()).unwrap()
}

fn plan(assignments: &[(&str, &str, u32)]) -> Plan {
    let assignment =
        |(request, server, instances): &(&str, &str, u32)| json!({"request": request, "server": server, "instances": instances});
    let promise = |(request, server, _): &(&str, &str, u32)| json!({"request": request, "server": server, "predicted_s": 0.25});
    let value = json!({
        "method": "by hand", "objective": 4, "bound": null, "gap": null, "seconds": 0, "termination": "complete",
        "assignments": assignments.iter().map(assignment).collect::<Vec<_>>(), "rejected": [],
        "audit": {"promises": assignments.iter().map(promise).collect::<Vec<_>>()},
    });
    serde_json::from_value(value).unwrap()
}

fn params() -> RolloutParams {
    let pods =
        PodSettings { namespace: NAMESPACE.into(), image: "neuro-app:test".into(), pull_policy: PullPolicy::IfNotPresent };
    RolloutParams::new(Catalogue::built_in(), pods)
}

fn cluster() -> FakeCluster {
    let fake = FakeCluster::start(Behaviour { nodes: vec!["edge-1", "edge-2"], ..Behaviour::default() });
    fake.put("namespaces", "", NAMESPACE, json!({"metadata": {"name": NAMESPACE}}));
    fake
}

const FIRST: [(&str, &str, u32); 3] = [("tracking", "edge-1", 1), ("tracking", "edge-2", 1), ("text", "edge-1", 1)];
const SECOND: [(&str, &str, u32); 2] = [("tracking", "edge-1", 2), ("text", "edge-2", 1)];

#[test]
fn a_plan_s_objects_are_as_written_down() {
    let objects = desired(&plan(&FIRST[1..2]), &instance(), &params()).unwrap();
    let text = format!(
        "{}---\n{}",
        serde_yaml_ng::to_string(&objects.deployments[0]).unwrap(),
        serde_yaml_ng::to_string(&objects.services[0]).unwrap()
    );
    assert_eq!(text, include_str!("rollout.golden.yaml"), "the objects are now:\n{text}");
}

#[test]
fn a_plan_of_another_instance_is_refused_with_its_place() {
    let refused = |assignment| desired(&plan(&[assignment]), &instance(), &params()).unwrap_err().to_string();
    assert!(refused(("nobody", "edge-1", 1)).contains("assignments[0].request"));
    assert!(refused(("text", "edge-9", 1)).contains("assignments[0].server"));
}

#[tokio::test]
async fn a_plan_is_shown_applied_and_then_nothing_changes_until_the_next() {
    let (fake, instance, params) = (cluster(), instance(), params());
    let client = fake.client();
    let shown = diff(&client, &plan(&FIRST), &instance, &params).await.unwrap();
    assert_eq!(shown.changes.len(), 5);
    assert!(shown.changes.iter().all(|change| matches!(change, Change::Create { .. })));
    assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new(), "showing changes nothing");

    // The server checks, and nothing changes.
    apply(&client, &plan(&FIRST), &instance, &params, Some(&shown), true).await.unwrap();
    assert_eq!(fake.leftovers(NAMESPACE), Vec::<String>::new());
    assert!(fake.log().iter().any(|call| call.starts_with("PATCH") && call.contains("deployments")));

    apply(&client, &plan(&FIRST), &instance, &params, Some(&shown), false).await.unwrap();
    assert_eq!(fake.objects("apps/deployments", NAMESPACE).len(), 3);
    let versions = || -> Vec<String> {
        let objects = fake.objects("apps/deployments", NAMESPACE);
        objects.iter().map(|object| object["metadata"]["resourceVersion"].to_string()).collect()
    };
    let before = versions();
    let again = apply(&client, &plan(&FIRST), &instance, &params, None, false).await.unwrap();
    assert_eq!((again.changes, versions()), (Vec::new(), before));

    // What was reviewed before somebody else changed the cluster is refused.
    let next = diff(&client, &plan(&SECOND), &instance, &params).await.unwrap();
    let kinds: Vec<&str> = next.changes.iter().map(|change| match change {
        Change::Create { .. } => "create",
        Change::Update { .. } => "update",
        Change::Delete { .. } => "delete",
    }).collect();
    assert_eq!(kinds, ["update", "create", "delete", "delete"]);
    assert!(next.changes[0].to_string().contains("spec.replicas: 1 -> 2"), "{}", next.changes[0]);
    let mut meddled = fake.objects("apps/deployments", NAMESPACE)[0].clone();
    meddled["spec"]["replicas"] = json!(7);
    let name = meddled["metadata"]["name"].as_str().unwrap().to_owned();
    fake.put("apps/deployments", NAMESPACE, &name, meddled);
    let refused = apply(&client, &plan(&SECOND), &instance, &params, Some(&next), false).await.unwrap_err();
    assert!(matches!(refused, Error::Moved { .. }), "{refused}");
    // And so is another plan than the one that was reviewed.
    let other = diff(&client, &plan(&FIRST), &instance, &params).await.unwrap();
    let refused = apply(&client, &plan(&SECOND), &instance, &params, Some(&other), false).await.unwrap_err();
    assert!(matches!(refused, Error::Moved { .. }), "{refused}");

    apply(&client, &plan(&SECOND), &instance, &params, None, false).await.unwrap();
    let placed: Vec<(String, i64)> = fake
        .objects("apps/deployments", NAMESPACE)
        .iter()
        .map(|d| (d["metadata"]["labels"]["neuro.dev/server"].to_string(), d["spec"]["replicas"].as_i64().unwrap()))
        .collect();
    assert_eq!(placed.len(), 2);
    assert!(placed.contains(&("\"edge-1\"".into(), 2)) && placed.contains(&("\"edge-2\"".into(), 1)), "{placed:?}");
}

#[tokio::test]
async fn faults_of_the_server_are_outlasted() {
    let (fake, instance, params) = (cluster(), instance(), params());
    for (method, code) in [("PATCH", 409), ("PATCH", 429), ("PATCH", 500), ("GET", 500)] {
        fake.fail(method.parse().unwrap(), "deployments", code, 2);
    }
    apply(&fake.client(), &plan(&FIRST), &instance, &params, None, false).await.unwrap();
    assert_eq!(fake.objects("apps/deployments", NAMESPACE).len(), 3);
}

#[tokio::test]
async fn the_status_holds_what_is_measured_against_what_was_promised() {
    let (fake, instance, params) = (cluster(), instance(), params());
    let client = fake.client();
    apply(&client, &plan(&FIRST), &instance, &params, None, false).await.unwrap();
    let all = |statuses: &[PlacedStatus], test: fn(&PlacedStatus) -> bool| statuses.len() == 3 && statuses.iter().all(test);
    loop {
        let statuses = status(&client, &params).await.unwrap();
        assert!(statuses.iter().all(|s| s.measured_s.is_none() && !s.violated), "nobody has asked for anything");
        if all(&statuses, |status| status.ready == status.instances) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fake.slow_down("text-bert", 0.6);
    for pod in fake.objects("pods", NAMESPACE) {
        let port = pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64().unwrap();
        let address = format!("{}:{port}", pod["status"]["podIP"].as_str().unwrap());
        ask(&address).await;
    }
    let statuses = status(&client, &params).await.unwrap();
    for status in &statuses {
        assert_eq!((status.promise.predicted_s, status.samples), (Some(0.25), 1), "{status:?}");
        let is_slow = status.promise.request == "text";
        assert_eq!(status.violated, is_slow, "{status:?}");
        assert_eq!(status.measured_s.unwrap() > 0.5, is_slow);
    }
}

/// One inference.
pub(crate) async fn ask(address: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "POST /request-static HTTP/1.1\r\nhost: pod\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
