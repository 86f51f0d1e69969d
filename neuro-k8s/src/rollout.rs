//! Putting a plan on a cluster: what would change, changing it, and how the promises are kept.
//!
//! Each (request, server) of a plan is a Deployment on the server's node, each request a Service of its own. They carry the plan's,
//! the request's and the server's label, and are found by them; what the plan does not hold is removed.
//!
//! # Expected flow
//! [`desired`] makes the objects of a plan, a pure function. [`diff`] holds them against the cluster. [`apply`] makes it so, and
//! refuses when the cluster has moved since. [`status`] asks the replicas for their service times and holds them against the
//! promises.
//!
//! # Guarantees
//! - Only fields that this tool sets are compared and changed (server-side apply): what others set elsewhere stays.
//! - A second application of the same plan changes nothing and restarts nothing.
//! - Removals come first and are waited for: the memory of a server is full.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Api, Client, ResourceExt};
use neuro_data::instance::{Instance, Request};
use neuro_data::plan::{Assignment, Plan};
use neuro_data::summary::quantile;
use neuro_data::{Application, Catalogue, Sla};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kube::labels::{self, label_value, object_name, selector, short_hash};
use crate::kube::objects::{PodSettings, container, deployment, pod, service};
use crate::kube::readiness::{is_pod_ready, trouble};
use crate::kube::{self as cluster, Route, Router, read_service_times};
use crate::{Error, Result};

/// Annotation: what was promised, as [`Promise`] in JSON.
const PROMISE: &str = "neuro.dev/promise";

/// Where and how plans are rolled out.
#[derive(Debug, Clone)]
pub struct RolloutParams {
    /// Name of the plan among those of a namespace.
    pub name: String,
    /// The applications.
    pub catalogue: Catalogue,
    /// Namespace, image, pull policy.
    pub pods: PodSettings,
    /// The node of each server whose name is not its node's.
    pub nodes: BTreeMap<String, String>,
    /// Compute threads of each replica.
    pub threads: u32,
    /// Who owns what is made of each request: when the owner is deleted, the cluster removes it.
    pub owners: BTreeMap<String, OwnerReference>,
}

impl RolloutParams {
    /// The plan `default` with everything at its default.
    pub fn new(catalogue: Catalogue, pods: PodSettings) -> Self {
        let (nodes, owners) = (BTreeMap::new(), BTreeMap::new());
        Self { name: "default".to_owned(), catalogue, pods, nodes, threads: 1, owners }
    }

    /// Of everything of the plan.
    pub(crate) fn selector(&self) -> String {
        selector(&[(labels::MANAGED_BY, labels::TOOL), (labels::PLAN, &label_value(&self.name))])
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: ::kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(client.clone(), &self.pods.namespace)
    }
}

/// What a placed request was promised.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// Request id.
    pub request: String,
    /// Server.
    pub server: String,
    /// Application.
    pub app: String,
    /// The statistic.
    pub sla: Sla,
    /// Latency bound, seconds.
    pub delay_s: f64,
    /// Arrival rate per replica, requests per second.
    pub rate: f64,
    /// What the profiler predicts, seconds; `None` of a plan without an audit.
    pub predicted_s: Option<f64>,
}

/// The objects of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// One for each request and server.
    pub deployments: Vec<Deployment>,
    /// One for each request.
    pub services: Vec<Service>,
}

/// Makes the objects of a plan.
///
/// # Errors
/// The plan names a request, a server or an application that is unknown.
pub fn desired(plan: &Plan, instance: &Instance, params: &RolloutParams) -> Result<Objects> {
    let mut objects = Objects { deployments: Vec::new(), services: Vec::new() };
    let mut served = BTreeSet::new();
    for (i, assignment) in plan.assignments.iter().enumerate() {
        let unknown = |field: &str, value: &str, expected| neuro_data::Error::Invalid {
            field: format!("assignments[{i}].{field}"),
            value: value.to_owned(),
            expected,
        };
        let request = instance.requests.iter().find(|request| request.id == assignment.request);
        let request =
            request.ok_or_else(|| unknown("request", &assignment.request, "the id of a request of the instance"))?;
        if !instance.servers.iter().any(|server| server.name == assignment.server) {
            return Err(unknown("server", &assignment.server, "the name of a server of the instance").into());
        }
        let app = params.catalogue.get(&request.app)?;
        let predicted_s = predicted_s(plan, &assignment.request, &assignment.server);
        objects.deployments.push(placed(assignment, request, app, predicted_s, params)?);
        if served.insert(&request.id) {
            objects.services.push(request_service(request, app, params));
        }
    }
    Ok(objects)
}

/// What a plan's audit predicts for a request on a server.
fn predicted_s(plan: &Plan, request: &str, server: &str) -> Option<f64> {
    let promises = plan.audit.as_ref()?.get("promises")?.as_array()?;
    let promise = promises.iter().find(|promise| promise["request"] == request && promise["server"] == server)?;
    promise["predicted_s"].as_f64()
}

fn metadata(name: String, mut own: BTreeMap<String, String>, request: &Request, params: &RolloutParams) -> ObjectMeta {
    own.extend(labels::map([
        (labels::MANAGED_BY, labels::TOOL.to_owned()),
        (labels::APP, label_value(&request.app)),
        (labels::COMPONENT, "placement".to_owned()),
        (labels::PLAN, label_value(&params.name)),
        (labels::REQUEST, label_value(&request.id)),
    ]));
    ObjectMeta {
        name: Some(name),
        namespace: Some(params.pods.namespace.clone()),
        labels: Some(own),
        owner_references: params.owners.get(&request.id).map(|owner| vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

fn placed(
    assignment: &Assignment,
    request: &Request,
    app: &Application,
    predicted_s: Option<f64>,
    params: &RolloutParams,
) -> Result<Deployment> {
    let server = &assignment.server;
    let name = object_name("neuro-plan", &[&params.name, &request.id, server, &request.id]);
    let own = labels::map([(labels::INSTANCE, name.clone()), (labels::SERVER, label_value(server))]);
    let promise = Promise {
        request: request.id.clone(),
        server: server.clone(),
        app: app.id.clone(),
        sla: request.sla,
        delay_s: request.delay_s,
        rate: request.rate,
        predicted_s,
    };
    let node = params.nodes.get(server).unwrap_or(server);
    let replicas = i32::try_from(assignment.instances).unwrap_or(i32::MAX);
    let service = container(app, &params.pods, params.threads, 0);
    let mut deployment = deployment(metadata(name, own, request, params), replicas, pod(service, Some(node)));
    // On the Deployment alone: a new prediction is no reason to start pods anew.
    let promise = serde_json::to_string(&promise).map_err(Error::serialise("a promise"))?;
    deployment.metadata.annotations = Some(labels::map([(PROMISE, promise)]));
    Ok(deployment)
}

fn request_service(request: &Request, app: &Application, params: &RolloutParams) -> Service {
    let name = object_name("neuro-plan", &[&params.name, &request.id]);
    let of_request =
        labels::map([(labels::PLAN, label_value(&params.name)), (labels::REQUEST, label_value(&request.id))]);
    service(metadata(name, BTreeMap::new(), request, params), of_request, "ClusterIP", app.port)
}

/// Something that applying a plan would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// An object is made.
    Create {
        /// Kind and name.
        object: String,
        /// What it is for.
        what: String,
    },
    /// Fields of an object change.
    Update {
        /// Kind and name.
        object: String,
        /// What it is for.
        what: String,
        /// Each field: path, what it is, what it will be.
        fields: Vec<(String, Value, Value)>,
    },
    /// An object is removed.
    Delete {
        /// Kind and name.
        object: String,
        /// What it was for.
        what: String,
    },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { object, what } => write!(f, "+ {object}: {what}"),
            Self::Delete { object, what } => write!(f, "- {object}: {what}"),
            Self::Update { object, what, fields } => {
                write!(f, "~ {object}: {what}")?;
                fields.iter().try_for_each(|(path, was, will)| write!(f, "\n    {path}: {was} -> {will}"))
            }
        }
    }
}

/// What applying a plan would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diff {
    /// Namespace.
    pub namespace: String,
    /// Name of the plan.
    pub plan: String,
    /// State of the cluster that the changes start from.
    pub state: String,
    /// The objects that were asked for.
    pub desired: String,
    /// The changes; none where the cluster is as the plan wants it.
    pub changes: Vec<Change>,
}

/// The objects of a plan that are on a cluster.
struct Live {
    deployments: Vec<Deployment>,
    services: Vec<Service>,
}

impl Live {
    async fn read(client: &Client, params: &RolloutParams) -> Result<Self> {
        let deployments = cluster::list(&params.api(client), &params.selector()).await?;
        let services = cluster::list(&params.api(client), &params.selector()).await?;
        Ok(Self { deployments, services })
    }

    /// Changes whenever somebody changes what is wanted of an object, and not when its status does.
    fn state(&self) -> String {
        let mark = |meta: &ObjectMeta| {
            format!(
                "{} {} {}",
                meta.name.as_deref().unwrap_or(""),
                meta.uid.as_deref().unwrap_or(""),
                meta.generation.unwrap_or(0)
            )
        };
        let mut marks: Vec<String> = self.deployments.iter().map(|d| mark(&d.metadata)).collect();
        marks.extend(self.services.iter().map(|s| mark(&s.metadata)));
        marks.sort_unstable();
        short_hash(&marks.join("\n"))
    }
}

fn hash_of(objects: &Objects) -> Result<String> {
    let json = Error::serialise::<serde_json::Error>("an object");
    let deployments = serde_json::to_string(&objects.deployments).map_err(&json)?;
    Ok(short_hash(&(deployments + &serde_json::to_string(&objects.services).map_err(&json)?)))
}

/// Holds a plan's objects against the cluster.
///
/// # Errors
/// The plan does not fit the instance; the server refuses.
pub async fn diff(client: &Client, plan: &Plan, instance: &Instance, params: &RolloutParams) -> Result<Diff> {
    let objects = desired(plan, instance, params)?;
    let live = Live::read(client, params).await?;
    let mut changes = differences(&objects.deployments, &live.deployments)?;
    changes.extend(differences(&objects.services, &live.services)?);
    let (namespace, plan) = (params.pods.namespace.clone(), params.name.clone());
    Ok(Diff { namespace, plan, state: live.state(), desired: hash_of(&objects)?, changes })
}

fn differences<K>(desired: &[K], live: &[K]) -> Result<Vec<Change>>
where
    K: ::kube::Resource<DynamicType = ()> + Serialize,
{
    let object = |o: &K| format!("{} {}", K::kind(&()), o.name_any());
    let what = |o: &K| {
        let label = |name: &str| o.labels().get(name).cloned();
        let server = label(labels::SERVER).map_or(String::new(), |server| format!(" on {server}"));
        format!("{}{server}", label(labels::REQUEST).unwrap_or_default())
    };
    let mut changes = Vec::new();
    for wanted in desired {
        let Some(found) = live.iter().find(|found| found.name_any() == wanted.name_any()) else {
            changes.push(Change::Create { object: object(wanted), what: what(wanted) });
            continue;
        };
        let json = |o: &K| serde_json::to_value(o).map_err(Error::serialise("an object"));
        let mut fields = Vec::new();
        compare("", &json(wanted)?, &json(found)?, &mut fields);
        if !fields.is_empty() {
            changes.push(Change::Update { object: object(wanted), what: what(wanted), fields });
        }
    }
    let gone = live.iter().filter(|found| !desired.iter().any(|wanted| wanted.name_any() == found.name_any()));
    changes.extend(gone.map(|found| Change::Delete { object: object(found), what: what(found) }));
    Ok(changes)
}

/// Collects the fields that are wanted and found otherwise; what is found and not asked for is not ours.
fn compare(path: &str, wanted: &Value, found: &Value, out: &mut Vec<(String, Value, Value)>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (name, value) in wanted {
                compare(&format!("{path}.{name}"), value, found.get(name).unwrap_or(&Value::Null), out);
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (i, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{path}[{i}]"), wanted, found, out);
            }
        }
        _ if wanted == found => {}
        _ => out.push((path.trim_start_matches('.').to_owned(), found.clone(), wanted.clone())),
    }
}

/// Makes the cluster as a plan wants it; returns what was changed.
///
/// With `dry_run` the server checks every object and changes nothing.
///
/// # Errors
/// [`Error::Moved`] when the cluster or the plan is not as in `reviewed`; the server refuses.
pub async fn apply(
    client: &Client,
    plan: &Plan,
    instance: &Instance,
    params: &RolloutParams,
    reviewed: Option<&Diff>,
    dry_run: bool,
) -> Result<Diff> {
    let now = diff(client, plan, instance, params).await?;
    if let Some(reviewed) = reviewed {
        let mark = |diff: &Diff| format!("{}/{} {} {}", diff.namespace, diff.plan, diff.state, diff.desired);
        if mark(reviewed) != mark(&now) {
            return Err(Error::Moved { expected: mark(reviewed), found: mark(&now) });
        }
    }
    let objects = desired(plan, instance, params)?;
    let touched = |kind: &str, name: &str| {
        let object = format!("{kind} {name}");
        now.changes.iter().any(|change| match change {
            Change::Create { object: o, .. } | Change::Update { object: o, .. } => *o == object,
            Change::Delete { .. } => false,
        })
    };
    if !dry_run {
        remove(client, params, &now).await?;
    }
    let services: Api<Service> = params.api(client);
    for service in objects.services.iter().filter(|service| touched("Service", &service.name_any())) {
        cluster::apply(&services, service, dry_run).await?;
    }
    let deployments: Api<Deployment> = params.api(client);
    for deployment in objects.deployments.iter().filter(|deployment| touched("Deployment", &deployment.name_any())) {
        cluster::apply(&deployments, deployment, dry_run).await?;
    }
    Ok(now)
}

/// Removes what the plan does not hold and waits until its pods are gone.
async fn remove(client: &Client, params: &RolloutParams, diff: &Diff) -> Result<()> {
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);
    let names = |kind: &str| -> Vec<String> {
        let of_kind = |change: &Change| match change {
            Change::Delete { object, .. } => object.strip_prefix(kind).map(|name| name.trim().to_owned()),
            _ => None,
        };
        diff.changes.iter().filter_map(of_kind).collect()
    };
    for name in names("Service ") {
        cluster::delete_one(&params.api::<Service>(client), &name).await?;
    }
    let deployments = names("Deployment ");
    for name in &deployments {
        cluster::delete_one(&params.api::<Deployment>(client), name).await?;
    }
    for name in &deployments {
        let of_deployment = selector(&[(labels::MANAGED_BY, labels::TOOL), (labels::INSTANCE, name)]);
        cluster::destroy(client, &params.pods.namespace, &of_deployment, DEADLINE).await?;
    }
    Ok(())
}

/// What runs of a plan, as its Deployments say.
///
/// # Errors
/// The server refuses.
pub async fn running(client: &Client, params: &RolloutParams) -> Result<Vec<Assignment>> {
    let deployments = cluster::list::<Deployment>(&params.api(client), &params.selector()).await?;
    let assignment = |deployment: &Deployment| {
        let promise = promise_of(deployment)?;
        Some(Assignment { request: promise.request, server: promise.server, instances: replicas_of(deployment) })
    };
    Ok(deployments.iter().filter_map(assignment).collect())
}

fn promise_of(deployment: &Deployment) -> Option<Promise> {
    serde_json::from_str(deployment.annotations().get(PROMISE)?).ok()
}

fn replicas_of(deployment: &Deployment) -> u32 {
    deployment.spec.replicas.and_then(|n| u32::try_from(n).ok()).unwrap_or(1)
}

/// How a placed request fares on one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacedStatus {
    /// What was promised.
    pub promise: Promise,
    /// Replicas asked for.
    pub instances: u32,
    /// Replicas that serve.
    pub ready: u32,
    /// The promised statistic as measured over all its replicas, seconds; `None` where nothing was.
    pub measured_s: Option<f64>,
    /// Inferences behind it.
    pub samples: usize,
    /// Whether what is measured breaks the promise.
    pub violated: bool,
    /// What keeps replicas from serving or from telling, in words.
    pub troubles: Vec<String>,
}

/// Reads what every placed request was promised and what it gets.
///
/// # Errors
/// The server refuses.
pub async fn status(client: &Client, params: &RolloutParams) -> Result<Vec<PlacedStatus>> {
    let deployments = cluster::list::<Deployment>(&params.api(client), &params.selector()).await?;
    let pods = cluster::list::<Pod>(&params.api(client), &params.selector()).await?;
    let lag = std::time::Duration::from_secs(2);
    let routes = vec![Route::PodIp, Route::PortForward];
    let mut router = Router::new(client.clone(), &params.pods.namespace, routes, lag);
    let mut all = Vec::new();
    for deployment in &deployments {
        let Some(promise) = promise_of(deployment) else { continue };
        let port = params.catalogue.get(&promise.app)?.port;
        let name = deployment.name_any();
        let (mut ready, mut samples, mut troubles) = (0, Vec::new(), Vec::new());
        for pod in pods.iter().filter(|pod| pod.labels().get(labels::INSTANCE) == Some(&name)) {
            if !is_pod_ready(pod) {
                troubles.extend(trouble(pod).map(|trouble| format!("{} {}", pod.name_any(), trouble.words)));
                continue;
            }
            ready += 1;
            match router.way(pod, None, port).await {
                Ok(way) => match read_service_times(&way.authority).await {
                    Some(times) => samples.extend(times.into_iter().filter(|time| time.is_finite())),
                    None => troubles.push(format!("{} does not tell its service times", pod.name_any())),
                },
                Err(why) => troubles.push(format!("{} cannot be reached: {why}", pod.name_any())),
            }
        }
        let count = samples.len();
        let measured_s = statistic(promise.sla, &mut samples);
        all.push(PlacedStatus {
            violated: measured_s.is_some_and(|measured_s| measured_s > promise.delay_s),
            instances: replicas_of(deployment),
            promise,
            ready,
            measured_s,
            samples: count,
            troubles,
        });
    }
    all.sort_by(|a, b| (&a.promise.request, &a.promise.server).cmp(&(&b.promise.request, &b.promise.server)));
    Ok(all)
}

fn statistic(sla: Sla, samples: &mut [f64]) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    Some(match sla {
        Sla::Mean => samples.iter().sum::<f64>() / samples.len() as f64,
        Sla::P75 => quantile(samples, 0.75),
        Sla::P95 => quantile(samples, 0.95),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_asked_for_is_compared() {
        let mut fields = Vec::new();
        let wanted = json!({"a": 1, "b": {"c": [{"d": 2}]}, "e": "x"});
        compare("", &wanted, &json!({"a": 1, "b": {"c": [{"d": 2, "more": 3}]}, "e": "x", "status": {}}), &mut fields);
        assert_eq!(fields, []);
        compare("", &wanted, &json!({"a": 1, "b": {"c": [{"d": 5}]}}), &mut fields);
        let expected = [("b.c[0].d".to_owned(), json!(5), json!(2)), ("e".to_owned(), json!(null), json!("x"))];
        assert_eq!(fields, expected);
    }

    #[test]
    fn statistics_are_the_promised_ones() {
        let mut samples = [4.0, 1.0, 2.0, 3.0, 5.0];
        assert_eq!(statistic(Sla::Mean, &mut samples), Some(3.0));
        assert_eq!(statistic(Sla::P75, &mut samples), Some(4.0));
        assert_eq!(statistic(Sla::P95, &mut []), None);
    }
}
