//! The fake's objects: versions, label selectors, merges and the log that watches read.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

type Key = (String, String, String);

#[derive(Default)]
pub struct Store {
    pub version: u64,
    objects: BTreeMap<Key, Value>,
    log: Vec<(u64, Key, Value)>,
}

impl Store {
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The objects of a resource in a namespace; of all where none is named.
    pub fn list(&self, resource: &str, namespace: &str) -> Vec<Value> {
        let here = |key: &Key| key.0 == resource && (namespace.is_empty() || key.1 == namespace);
        self.objects.iter().filter(|(key, _)| here(key)).map(|(_, object)| object.clone()).collect()
    }

    pub fn put(&mut self, resource: &str, namespace: &str, name: &str, mut object: Value) -> Value {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let before = self.objects.get(&key);
        self.version += 1;
        let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap_or(0);
        let next = match before {
            Some(before) if before["spec"] == object["spec"] => generation(before),
            Some(before) => generation(before) + 1,
            None => 1,
        };
        let meta = &mut object["metadata"];
        meta["name"] = json!(name);
        meta["generation"] = json!(next);
        meta["resourceVersion"] = json!(self.version.to_string());
        meta["uid"] = before.map_or_else(|| json!(format!("uid-{}", self.version)), |b| b["metadata"]["uid"].clone());
        meta["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        if !namespace.is_empty() {
            meta["namespace"] = json!(namespace);
        }
        add_defaults(resource, &mut object);
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.log.push((self.version, key.clone(), json!({"type": kind, "object": object})));
        self.objects.insert(key, object.clone());
        object
    }

    pub fn remove(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let mut removed = self.objects.remove(&key)?;
        self.version += 1;
        removed["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.log.push((self.version, key, json!({"type": "DELETED", "object": removed})));
        Some(removed)
    }

    /// The first event of a resource after a version.
    pub fn event_after(&self, version: u64, resource: &str, namespace: &str) -> Option<(u64, Value)> {
        let later = self
            .log
            .iter()
            .filter(|(at, key, _)| *at > version && key.0 == resource && (namespace.is_empty() || key.1 == namespace));
        later.map(|(at, _, event)| (*at, event.clone())).next()
    }
}

/// What a real server adds: fields that the client did not ask for.
fn add_defaults(resource: &str, object: &mut Value) {
    if resource == "apps/deployments" {
        object["spec"]["revisionHistoryLimit"] = json!(10);
        object["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
        object["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    }
    if resource == "services" {
        object["spec"]["clusterIP"] = json!("10.0.0.1");
        if object["spec"]["ports"].is_array() {
            object["spec"]["ports"][0]["protocol"] = json!("TCP");
        }
    }
}

/// Puts `patch` over `object`: maps field by field, all else as a whole.
pub fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    object.remove(name);
                } else {
                    merge(object.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (object, Value::Object(patch)) => {
            let mut made = Value::Object(Map::new());
            merge(&mut made, &Value::Object(patch.clone()));
            *object = made;
        }
        (object, patch) => *object = patch.clone(),
    }
}

/// Whether an object has the labels of a selector: `a=b`, `a!=b` and `a`, separated by commas.
pub fn matches(selector: &str, object: &Value) -> bool {
    let label = |name: &str| object["metadata"]["labels"][name].as_str();
    selector.split(',').filter(|part| !part.is_empty()).all(|part| match part.split_once("!=") {
        Some((name, value)) => label(name) != Some(value),
        None => match part.split_once('=') {
            Some((name, value)) => label(name) == Some(value.trim_start_matches('=')),
            None => label(part).is_some(),
        },
    })
}
