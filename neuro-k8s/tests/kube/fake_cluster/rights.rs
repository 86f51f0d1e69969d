//! What Roles allow, as texts such as `patch neuro.dev/inferencerequests/status`.

use std::collections::BTreeSet;

use axum::http::Method;
use serde::Deserialize;
use serde_json::Value;

/// Every right that the Roles and ClusterRoles of a manifest give.
pub fn rights(manifest: &str) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(manifest) {
        let object = Value::deserialize(document).unwrap();
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        if !["Role", "ClusterRole"].contains(&kind.as_str()) {
            continue;
        }
        for rule in object["rules"].as_array().unwrap() {
            let texts = |name: &str| -> Vec<String> { serde_json::from_value(rule[name].clone()).unwrap() };
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    // A Role gives nothing outside of its namespace.
                    let is_of_cluster = ["nodes", "namespaces"].contains(&resource.as_str());
                    if kind == "Role" && is_of_cluster {
                        continue;
                    }
                    let resource = if group.is_empty() { resource } else { format!("{group}/{resource}") };
                    rights.extend(texts("verbs").iter().map(|verb| format!("{verb} {resource}")));
                }
            }
        }
    }
    rights
}

/// The rights that a call needs. To apply an object that is not there is to make it.
pub fn needed(method: &Method, resource: &str, is_named: bool, is_watch: bool, exists: bool) -> Vec<String> {
    let verbs: &[&str] = match *method {
        Method::GET if is_watch => &["watch"],
        Method::GET if is_named => &["get"],
        Method::GET => &["list"],
        Method::POST => &["create"],
        Method::PUT => &["update"],
        Method::PATCH if exists => &["patch"],
        Method::PATCH => &["patch", "create"],
        Method::DELETE => &["delete"],
        _ => &["?"],
    };
    verbs.iter().map(|verb| format!("{verb} {resource}")).collect()
}
