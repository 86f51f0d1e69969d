//! The custom resources.

#![allow(unreachable_pub, reason = "the derived schema holds a private copy of each structure")]
#![allow(clippy::duplicated_attributes, reason = "columns of one type are several attributes with one value")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use neuro_data::Sla;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A tenant that asks to be served under a latency promise.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "neuro.dev",
    version = "v1alpha1",
    kind = "InferenceRequest",
    plural = "inferencerequests",
    shortname = "ireq",
    namespaced,
    status = "InferenceRequestStatus",
    derive = "PartialEq",
    doc = "A tenant that asks to be served under a latency promise.",
    printcolumn(name = "App", type_ = "string", json_path = ".spec.app"),
    printcolumn(name = "Instances", type_ = "integer", json_path = ".spec.instances"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Promised", type_ = "number", json_path = ".spec.delaySeconds"),
    printcolumn(name = "Predicted", type_ = "number", json_path = ".status.predictedSeconds"),
    printcolumn(name = "Measured", type_ = "number", json_path = ".status.measuredSeconds")
)]
#[x_kube(validation = Rule::new("self.app == oldSelf.app").message("the application of a request cannot change; delete it and ask anew"))]
#[serde(rename_all = "camelCase")]
pub struct InferenceRequestSpec {
    /// Application, an id of the catalogue.
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]{1,40}$')").message("an application's id has 1 to 40 of a-z, 0-9 and -"))]
    pub app: String,
    /// Replicas to place; all of them or none.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000").message("instances are from 1 to 1000"))]
    pub instances: u32,
    /// Arrival rate per replica, requests per second.
    #[x_kube(validation = Rule::new("self > 0.0").message("a rate is positive"))]
    pub rate: f64,
    /// Latency bound on the promised statistic of the service time, seconds.
    #[x_kube(validation = Rule::new("self > 0.0").message("a latency bound is positive"))]
    pub delay_seconds: f64,
    /// The statistic that is promised.
    pub sla: Statistic,
    /// Revenue when it is served.
    #[x_kube(validation = Rule::new("self >= 0.0").message("a payment is not negative"))]
    pub payment: f64,
}

/// A statistic of the service time.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Statistic {
    /// The mean.
    Mean,
    /// The 75th percentile.
    P75,
    /// The 95th percentile.
    P95,
}

impl From<Statistic> for Sla {
    fn from(statistic: Statistic) -> Self {
        match statistic {
            Statistic::Mean => Self::Mean,
            Statistic::P75 => Self::P75,
            Statistic::P95 => Self::P95,
        }
    }
}

/// How a request fares.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct InferenceRequestStatus {
    /// Where it stands.
    pub phase: Option<Phase>,
    /// Where its replicas are.
    pub assignments: Vec<NodeAssignment>,
    /// The promised statistic as predicted, the worst of its servers, seconds.
    pub predicted_seconds: Option<f64>,
    /// The promised statistic as measured, the worst of its servers, seconds.
    pub measured_seconds: Option<f64>,
    /// Why it is not served.
    pub rejection: Option<RejectionStatus>,
    /// The generation of the specification that this speaks of.
    pub observed_generation: Option<i64>,
    /// `Placed`, `Ready` and `SlaKept`.
    pub conditions: Vec<Condition>,
}

/// Where a request stands.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not yet decided.
    Pending,
    /// Has its servers; not every replica serves yet.
    Placed,
    /// Every replica serves.
    Running,
    /// Not served.
    Rejected,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Placed => "Placed",
            Self::Running => "Running",
            Self::Rejected => "Rejected",
        }
    }
}

/// Replicas on a server.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
pub struct NodeAssignment {
    /// Name of the EdgeServer.
    pub server: String,
    /// Its node.
    pub node: String,
    /// Replicas there.
    pub instances: u32,
}

/// Why a request is not served.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
pub struct RejectionStatus {
    /// `MemoryExceeded`, `OwnSla`, `BreaksNeighbour`, `LowRevenue` or `OutsideTrainedRange`.
    pub code: String,
    /// The figures behind it.
    pub message: String,
}

/// A node that tenants may be placed on.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[kube(
    group = "neuro.dev",
    version = "v1alpha1",
    kind = "EdgeServer",
    plural = "edgeservers",
    shortname = "esrv",
    namespaced,
    derive = "PartialEq",
    doc = "A node that tenants may be placed on.",
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".spec.memory")
)]
#[serde(rename_all = "camelCase")]
pub struct EdgeServerSpec {
    /// Name of the node.
    #[x_kube(validation = Rule::new("self != ''").message("a server has a node"))]
    pub node: String,
    /// Kind of hardware; servers of a kind share a profiler.
    #[x_kube(validation = Rule::new("self != ''").message("a server has a kind"))]
    pub kind: String,
    /// Memory for tenants, such as `32G` or `30Gi`.
    #[x_kube(validation = Rule::new("self.matches('^[0-9]+([.][0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$')").message("memory is a quantity, such as 32G or 30Gi"))]
    pub memory: String,
}

/// The definitions of both resources, as YAML to apply.
///
/// # Errors
/// They cannot be written, which is a fault of this crate.
pub fn definitions() -> Result<String> {
    let yaml = |crd| serde_yaml_ng::to_string(&crd).map_err(Error::serialise("a custom resource definition"));
    Ok(format!("{}---\n{}", yaml(InferenceRequest::crd())?, yaml(EdgeServer::crd())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_those_that_are_deployed() {
        let text = definitions().unwrap();
        assert_eq!(text, include_str!("../../deploy/crds.yaml"), "the definitions are now:\n{text}");
    }

    #[test]
    fn every_field_has_its_rule() {
        let text = definitions().unwrap();
        for rule in ["self >= 1", "self > 0.0", "self >= 0.0", "oldSelf.app", "self != ''", "- mean", "delaySeconds"] {
            assert!(text.contains(rule), "{rule}");
        }
    }
}
