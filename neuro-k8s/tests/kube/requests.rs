//! What is asked of the API server, call by call, against a scripted one.

use std::time::Duration;

use axum::http::{Request, Response};
use kube::Client;
use kube::client::Body;
use neuro_k8s::kube::destroy_run;
use neuro_k8s::{Error, KubeTarget};
use serde_json::{Value, json};
use tower_test::mock;

use crate::campaign::{NAMESPACE, params};

type Script = mock::Handle<Request<Body>, Response<Body>>;

fn scripted() -> (Client, Script) {
    let (service, script) = mock::pair();
    (Client::new(service, "default"), script)
}

/// Expects one call and answers it.
async fn expect(script: &mut Script, method: &str, path_and_query: &str, code: u16, body: Value) -> Value {
    let (request, answer) = script.next_request().await.unwrap();
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), (method, path_and_query));
    let sent = request.into_body().collect_bytes().await.unwrap();
    let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap();
    answer.send_response(response);
    if sent.is_empty() { Value::Null } else { serde_json::from_slice(&sent).unwrap() }
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": reason, "code": code})
}

fn empty() -> Value {
    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []})
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_made_labelled_and_the_lease_taken() {
    let (client, mut script) = scripted();
    let driver = tokio::spawn(async move { KubeTarget::connect(client, params("neuro-app:test")).await.map(drop) });
    expect(&mut script, "GET", "/api/v1/namespaces/neuro-exp", 404, refusal(404, "NotFound")).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let made = expect(&mut script, "POST", "/api/v1/namespaces?", 201, namespace).await;
    assert_eq!(made["metadata"]["labels"]["app.kubernetes.io/managed-by"], "neuro");
    assert_eq!(made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let mut nodes = empty();
    nodes["items"] = json!([{"metadata": {"name": "edge-1"}}]);
    expect(&mut script, "GET", "/api/v1/nodes?", 200, nodes).await;
    // Who may not ask for the version goes on without.
    expect(&mut script, "GET", "/version", 403, refusal(403, "Forbidden")).await;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/neuro-exp/leases";
    expect(&mut script, "GET", &format!("{leases}/neuro-driver"), 404, refusal(404, "NotFound")).await;
    let (request, answer) = script.next_request().await.unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", leases));
    let sent = request.into_body().collect_bytes().await.unwrap();
    let lease: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().contains('/'));
    answer.send_response(Response::builder().status(201).body(Body::from(sent.to_vec())).unwrap());
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_run_is_destroyed_by_its_label_alone_and_calls_are_tried_again_where_that_can_help() {
    let (client, mut script) = scripted();
    let destroying =
        tokio::spawn(async move { destroy_run(&client, NAMESPACE, "run_1", Duration::from_secs(5)).await });
    let selector = "?&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dneuro%2Cneuro.dev%2Frun%3Drun_1";
    let deployments = "/apis/apps/v1/namespaces/neuro-exp/deployments";
    let services = "/api/v1/namespaces/neuro-exp/services";
    let list = |base: &str| format!("{base}{selector}");
    for (code, reason) in [(500, "InternalError"), (429, "TooManyRequests"), (503, "Unavailable")] {
        expect(&mut script, "GET", &list(deployments), code, refusal(code, reason)).await;
    }
    let of = |name: &str, uid: &str| {
        let mut found = empty();
        found["items"] = json!([{"metadata": {"name": name, "uid": uid}}]);
        found
    };
    expect(&mut script, "GET", &list(deployments), 200, of("neuro-x", "1")).await;
    let deletion =
        expect(&mut script, "DELETE", &format!("{deployments}/neuro-x?"), 409, refusal(409, "Conflict")).await;
    assert_eq!(deletion["propagationPolicy"], "Background");
    // Somebody else was faster.
    expect(&mut script, "DELETE", &format!("{deployments}/neuro-x?"), 404, refusal(404, "NotFound")).await;
    expect(&mut script, "GET", &list(services), 200, empty()).await;
    let replica_sets = "/apis/apps/v1/namespaces/neuro-exp/replicasets";
    let pods = "/api/v1/namespaces/neuro-exp/pods";
    expect(&mut script, "GET", &list(replica_sets), 200, empty()).await;
    expect(&mut script, "GET", &list(pods), 200, of("neuro-x-1", "2")).await;
    // One of the same name, made by a call that was under way: it goes too, and is asked to once.
    expect(&mut script, "GET", &list(deployments), 200, of("neuro-x", "3")).await;
    let success = json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200});
    expect(&mut script, "DELETE", &format!("{deployments}/neuro-x?"), 200, success).await;
    expect(&mut script, "GET", &list(services), 200, empty()).await;
    expect(&mut script, "GET", &list(replica_sets), 200, empty()).await;
    expect(&mut script, "GET", &list(pods), 200, empty()).await;
    for deployment in [of("neuro-x", "3"), empty()] {
        expect(&mut script, "GET", &list(deployments), 200, deployment).await;
        expect(&mut script, "GET", &list(services), 200, empty()).await;
        expect(&mut script, "GET", &list(replica_sets), 200, empty()).await;
        expect(&mut script, "GET", &list(pods), 200, empty()).await;
    }
    assert_eq!(destroying.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn what_cannot_help_is_not_tried_again() {
    let (client, mut script) = scripted();
    let destroying =
        tokio::spawn(async move { destroy_run(&client, NAMESPACE, "run_1", Duration::from_secs(5)).await });
    let (request, answer) = script.next_request().await.unwrap();
    assert_eq!(request.method(), "GET");
    let body = Body::from(refusal(403, "Forbidden").to_string().into_bytes());
    answer.send_response(Response::builder().status(403).body(body).unwrap());
    let error = destroying.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Kube { reason, .. } if reason == "the API server answers 403: no"), "{error}");
}
