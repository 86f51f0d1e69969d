//! The rules of the definitions of custom resources, evaluated as a server would.

use cel::{Context, Program};
use kube::CustomResourceExt;
use neuro_k8s::operator::{EdgeServer, InferenceRequest};
use serde_json::{Value, json};

/// The messages of the rules that an object breaks. A rule that speaks of the old object holds for a new one.
fn broken(schema: &Value, object: &Value, old: Option<&Value>) -> Vec<String> {
    let mut messages = Vec::new();
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().unwrap();
        let old = match (text.contains("oldSelf"), old) {
            (true, None) => continue,
            (_, old) => old.unwrap_or(&Value::Null),
        };
        let mut context = Context::default();
        for (name, value) in [("self", object), ("oldSelf", old)] {
            // The schema says of what type a number is, however it was written.
            match (schema["type"].as_str(), value.as_f64()) {
                (Some("number"), Some(number)) => context.add_variable(name, number).unwrap(),
                _ => context.add_variable(name, value.clone()).unwrap(),
            }
        }
        let holds = Program::compile(text).unwrap().execute(&context).unwrap();
        if holds != cel::Value::Bool(true) {
            messages.push(rule["message"].as_str().unwrap().to_owned());
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = object.get(name) {
            messages.extend(broken(property, value, old.and_then(|old| old.get(name))));
        }
    }
    messages
}

fn schema(definition: impl serde::Serialize) -> Value {
    let definition = serde_json::to_value(definition).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// An object with one field of its specification changed.
fn with(spec: &Value, field: &str, value: Value) -> Value {
    let mut spec = spec.clone();
    spec[field] = value;
    json!({ "spec": spec })
}

#[test]
fn requests_that_make_no_sense_are_refused_with_the_reason() {
    let schema = schema(InferenceRequest::crd());
    let good =
        json!({"app": "kalman-gru", "instances": 2, "rate": 20, "delaySeconds": 0.05, "sla": "p95", "payment": 0});
    let whole = json!({ "spec": good });
    assert_eq!(broken(&schema, &whole, None), Vec::<String>::new());
    assert_eq!(broken(&schema, &with(&good, "rate", json!(0.5)), Some(&whole)), Vec::<String>::new());
    for (field, bad, words) in [
        ("app", json!("Kalman_GRU"), "an application's id"),
        ("app", json!(""), "an application's id"),
        ("app", json!("a".repeat(41)), "an application's id"),
        ("instances", json!(0), "instances are from 1 to 1000"),
        ("instances", json!(1001), "instances are from 1 to 1000"),
        ("rate", json!(0), "a rate is positive"),
        ("delaySeconds", json!(-0.1), "a latency bound is positive"),
        ("payment", json!(-1), "a payment is not negative"),
    ] {
        let messages = broken(&schema, &with(&good, field, bad.clone()), None);
        assert!(messages.len() == 1 && messages[0].contains(words), "{field} = {bad}: {messages:?}");
    }
    let renamed = broken(&schema, &with(&good, "app", json!("tclf-rf")), Some(&whole));
    assert!(renamed.len() == 1 && renamed[0].contains("cannot change"), "{renamed:?}");
    // What is no rule is the type's.
    assert_eq!(schema["properties"]["spec"]["properties"]["sla"]["enum"], json!(["mean", "p75", "p95"]));
    assert_eq!(schema["properties"]["spec"]["required"].as_array().unwrap().len(), 6);
}

#[test]
fn servers_that_make_no_sense_are_refused_with_the_reason() {
    let schema = schema(EdgeServer::crd());
    let good = json!({"node": "edge-1.example", "kind": "edge-a", "memory": "32G"});
    for memory in ["32G", "30Gi", "1.5G", "32000000000"] {
        assert_eq!(broken(&schema, &with(&good, "memory", json!(memory)), None), Vec::<String>::new());
    }
    for (field, bad, words) in [
        ("node", "", "a server has a node"),
        ("kind", "", "a server has a kind"),
        ("memory", "32GB", "memory is a quantity"),
        ("memory", "-1G", "memory is a quantity"),
        ("memory", "", "memory is a quantity"),
    ] {
        let messages = broken(&schema, &with(&good, field, json!(bad)), None);
        assert!(messages.len() == 1 && messages[0].contains(words), "{field} = {bad:?}: {messages:?}");
    }
}
