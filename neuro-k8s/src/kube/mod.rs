//! The target `kube`: every replica a pod of a Kubernetes cluster.
//!
//! # Expected flow
//! [`KubeTarget::connect`] claims a namespace: nothing of others may be in it, and a Lease keeps a second driver out. Each run
//! applies a Deployment and a Service per replica ([`objects`]), waits for the pods ([`readiness`]), finds a way to each
//! ([`Route`]) and in the end deletes what carries the run's label and waits until it is gone. [`KubeTarget::release`] gives the
//! namespace back.
//!
//! # Guarantees
//! - Everything made is labelled with tool, run, tenant and replica, and found again by label alone: what a killed driver left is
//!   removed before its run is done anew, or by [`destroy_run`].
//! - All replicas of a run are on one node.
//! - A replica that does not become ready fails its run with the reason in words; the campaign goes on.
//! - Counters are the replica's own account of itself (`GET /counters`): no right on the node is needed. A service without one has
//!   counters that are null.
//!
//! # Assumptions
//! Service times come from the services' own clocks. Where the driver runs outside of the cluster, response times hold the way there
//! and back.

mod cluster;
mod counters;
pub mod labels;
mod lease;
mod namespace;
pub mod objects;
pub mod readiness;
mod route;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, future};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
pub use kube::Client;
use kube::api::{ListParams, LogParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use neuro_data::{Catalogue, CleanupVerdict, Host, ReplicaInfo, RunSpec};

pub(crate) use self::cluster::{apply, delete_one, destroy, failed, is_code, list, retrying};
pub(crate) use self::counters::read_service_times;
pub(crate) use self::lease::Lease;
pub(crate) use self::objects::memory_gb;
use self::objects::{PodSettings, RunReplica};
use self::readiness::{Trouble, is_pod_ready, restarts, trouble};
pub use self::route::Route;
pub(crate) use self::route::{Router, Way};
use crate::target::{CounterReading, Endpoint, Target};
use crate::{Error, Result};

/// How replicas are deployed on a cluster.
#[derive(Debug, Clone)]
pub struct KubeParams {
    /// The applications that may be deployed.
    pub catalogue: Catalogue,
    /// Namespace, image, pull policy.
    pub pods: PodSettings,
    /// The node to measure; where the cluster has only one that takes pods, it may be left out.
    pub node: Option<String>,
    /// Whether to use a namespace that holds others' objects.
    pub adopt: bool,
    /// Ways to the replicas, in the order in which they are tried.
    pub routes: Vec<Route>,
    /// How long routing may lag behind readiness.
    pub routing_lag: Duration,
    /// How long what is deleted may take to be gone.
    pub gone_deadline: Duration,
    /// How long a namespace stays taken after its driver was killed; at least 1 s.
    pub lease: Duration,
}

impl KubeParams {
    /// Everything at its default for a catalogue.
    pub fn new(catalogue: Catalogue, pods: PodSettings) -> Self {
        Self {
            catalogue,
            pods,
            node: None,
            adopt: false,
            routes: Route::ALL.to_vec(),
            routing_lag: Duration::from_secs(5),
            gone_deadline: Duration::from_secs(60),
            lease: Duration::from_secs(15),
        }
    }
}

/// A client of the cluster that `kubectl` would speak to: `KUBECONFIG`, `~/.kube/config`, or the pod's own account within a
/// cluster.
///
/// # Errors
/// There is no such configuration, or it is not understood.
pub async fn client() -> Result<Client> {
    Client::try_default().await.map_err(|error| cluster::failed("find a cluster to speak to", error))
}

/// Name of the Lease that a driver holds.
const DRIVER_LEASE: &str = "neuro-driver";

/// A node of a cluster as a target.
pub struct KubeTarget {
    client: Client,
    params: KubeParams,
    node: String,
    host: Host,
    version: String,
    lease: Lease,
    router: Router,
    run_id: Option<String>,
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    tenant_index: usize,
    tenant_id: String,
    number: u32,
    app: String,
    batch: u32,
    port: u16,
    /// Of its Deployment and Service.
    name: String,
    limit_gb: f64,
    program: String,
    started: Instant,
    ready_after_s: Option<f64>,
    pod: Option<Pod>,
    way: Option<Way>,
    peak_memory_gb: Option<f64>,
}

impl Replica {
    fn failed(&self, reason: impl Into<String>) -> Error {
        let (tenant, replica, app) = (self.tenant_id.clone(), self.number, self.app.clone());
        Error::Replica { tenant, replica, app, reason: reason.into() }
    }

    fn endpoint(&self) -> Option<Endpoint> {
        let authority = self.way.as_ref()?.authority.clone();
        Some(Endpoint { tenant: self.tenant_index, replica: self.number, authority, batch: self.batch })
    }
}

impl std::fmt::Debug for KubeTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let namespace = &self.params.pods.namespace;
        f.debug_struct("KubeTarget").field("namespace", namespace).field("node", &self.node).finish_non_exhaustive()
    }
}

impl KubeTarget {
    /// Claims the namespace and chooses the node.
    ///
    /// # Errors
    /// [`Error::Namespace`] when others' objects are in it, [`Error::NamespaceInUse`] when another driver has it,
    /// [`Error::NodeChoice`] when no node was named and there is not exactly one; the server refuses.
    pub async fn connect(client: Client, params: KubeParams) -> Result<Self> {
        let namespace = &params.pods.namespace;
        namespace::claim(&client, namespace, params.adopt).await?;
        let (node, host) = choose_node(&client, params.node.as_deref()).await?;
        let version = retrying("ask for the version", || async { client.apiserver_version().await }).await;
        let version = version.map_or_else(|_| String::new(), |version| version.git_version);
        let lease = Lease::take(&client, namespace, DRIVER_LEASE, params.lease).await?;
        let router = Router::new(client.clone(), namespace, params.routes.clone(), params.routing_lag);
        Ok(Self { client, node, host, version, lease, router, run_id: None, replicas: Vec::new(), params })
    }

    /// Gives the namespace back. Without it the namespace stays taken until its Lease has run out.
    pub async fn release(self) {
        self.lease.release().await;
    }

    fn namespaced<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.params.pods.namespace)
    }

    fn require_lease(&self) -> Result<()> {
        if self.lease.is_lost() {
            let (namespace, holder) = (self.params.pods.namespace.clone(), "another driver".to_owned());
            return Err(Error::NamespaceInUse { namespace, holder });
        }
        Ok(())
    }

    /// The pods of the run, watched until all are ready.
    async fn watch_pods(&mut self, run_id: &str, deadline: Duration) -> Result<()> {
        let end = tokio::time::Instant::now() + deadline;
        let config = watcher::Config::default().labels(&labels::of_run(run_id));
        let mut events = std::pin::pin!(watcher(self.namespaced::<Pod>(), config).default_backoff());
        // By the Deployment; while one is being replaced the newer counts.
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let mut unseen = None;
        loop {
            let event = match tokio::time::timeout_at(end, events.next()).await {
                Ok(Some(Ok(event))) => event,
                // A watch that broke is begun anew by the stream.
                Ok(Some(Err(error))) => {
                    unseen = Some(error.to_string());
                    continue;
                }
                Ok(None) | Err(_) => return Err(self.not_ready(&pods, unseen, deadline).await),
            };
            unseen = None;
            match event {
                watcher::Event::Init => pods.clear(),
                watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => {
                    if let Some(name) = pod.labels().get(labels::INSTANCE) {
                        pods.insert(name.clone(), pod);
                    }
                }
                watcher::Event::Delete(pod) => {
                    pods.retain(|_, known| known.metadata.uid != pod.metadata.uid);
                }
                watcher::Event::InitDone => {}
            }
            let mut all_ready = true;
            for replica in &mut self.replicas {
                let pod = pods.get(&replica.name);
                if let Some(pod) = pod.filter(|pod| is_pod_ready(pod)) {
                    replica.ready_after_s.get_or_insert(replica.started.elapsed().as_secs_f64());
                    replica.pod = Some(pod.clone());
                    continue;
                }
                all_ready = false;
                if let (Some(pod), Some(Trouble { words, is_final: true })) = (pod, pod.and_then(trouble)) {
                    let reason = format!("{words}{}", last_words(&self.client, pod).await);
                    return Err(replica.failed(reason));
                }
            }
            if all_ready {
                return Ok(());
            }
        }
    }

    /// What the first replica that is not ready lacks; `unseen` is why pods cannot be watched, if they cannot.
    async fn not_ready(&self, pods: &BTreeMap<String, Pod>, unseen: Option<String>, deadline: Duration) -> Error {
        let is_ready = |replica: &&Replica| pods.get(&replica.name).is_some_and(is_pod_ready);
        let Some(replica) = self.replicas.iter().find(|replica| !is_ready(replica)) else {
            let reason = unseen.unwrap_or_else(|| "the watch ended".to_owned());
            return Error::Kube { action: "watch the pods".to_owned(), reason, cause: None };
        };
        let seconds = deadline.as_secs_f64();
        let why = match pods.get(&replica.name) {
            _ if unseen.is_some() => format!("cannot be watched: {}", unseen.unwrap_or_default()),
            Some(pod) => match trouble(pod) {
                Some(trouble) => trouble.words,
                None => format!("runs and does not answer{}", last_words(&self.client, pod).await),
            },
            None => {
                let deployment = self.namespaced::<Deployment>().get(&replica.name).await.ok();
                deployment.as_ref().and_then(readiness::refusal).unwrap_or_else(|| "has no pod".to_owned())
            }
        };
        replica.failed(format!("is not ready after {seconds:.0} s: it {why}"))
    }
}

/// The last lines that a pod's container printed, before it was started anew if it was.
async fn last_words(client: &Client, pod: &Pod) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let previous = restarts(pod).0 > 0;
    let params = LogParams { tail_lines: Some(3), previous, ..LogParams::default() };
    let name = pod.name_any();
    let logs = pods.logs(&name, &params);
    let text = match tokio::time::timeout(Duration::from_secs(5), logs).await {
        Ok(Ok(text)) => text,
        _ => return String::new(),
    };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() { String::new() } else { format!("; it printed: {}", lines.join(" / ")) }
}

/// The node asked for, or the only one that takes pods; and what it is.
async fn choose_node(client: &Client, asked: Option<&str>) -> Result<(String, Host)> {
    let api: Api<Node> = Api::all(client.clone());
    if let Some(name) = asked {
        return match retrying(&format!("look up node {name}"), || async { api.get_opt(name).await }).await {
            Ok(Some(node)) => Ok((name.to_owned(), host_of(&node))),
            Ok(None) => Err(Error::NodeChoice { reason: format!("the cluster has no node {name:?}") }),
            // Who may not look at nodes may name one.
            Err(error) if is_code(&error, 403) => {
                Ok((name.to_owned(), Host { name: name.to_owned(), ..Host::default() }))
            }
            Err(error) => Err(error),
        };
    }
    let nodes = retrying("list nodes", || async { api.list(&ListParams::default()).await }).await?.items;
    let takes_pods = |node: &&Node| {
        let spec = node.spec.as_ref();
        let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        spec.and_then(|spec| spec.unschedulable) != Some(true)
            && !taints.iter().any(|taint| taint.effect != "PreferNoSchedule")
    };
    let usable: Vec<&Node> = nodes.iter().filter(takes_pods).collect();
    match usable.as_slice() {
        [node] => Ok((node.name_any(), host_of(node))),
        [] => Err(Error::NodeChoice { reason: "no node of the cluster takes pods".to_owned() }),
        several => {
            let names: Vec<String> = several.iter().map(|node| node.name_any()).collect();
            Err(Error::NodeChoice { reason: format!("the cluster has several nodes, name one: {}", names.join(", ")) })
        }
    }
}

fn host_of(node: &Node) -> Host {
    let status = node.status.as_ref();
    let info = status.and_then(|status| status.node_info.as_ref());
    let capacity = |what: &str| Some(status?.capacity.as_ref()?.get(what)?.0.clone());
    Host {
        name: node.name_any(),
        cpus: capacity("cpu").and_then(|text| text.parse().ok()).unwrap_or(0),
        memory_gb: capacity("memory").and_then(|text| memory_gb(&text)),
        kernel: info.map_or(String::new(), |info| format!("{} {}", info.operating_system, info.kernel_version)),
        ..Host::default()
    }
}

/// The pressures that a node is under: memory, disk, processes.
fn pressures(node: &Node) -> Vec<&str> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let pressed = conditions.iter().filter(|c| c.type_.ends_with("Pressure") && c.status == "True");
    pressed.map(|condition| condition.type_.as_str()).collect()
}

/// Removes everything of a run from a namespace and waits until it is gone; returns how many objects there were.
///
/// # Errors
/// Something is there still after `deadline`; the server refuses.
pub async fn destroy_run(client: &Client, namespace: &str, run_id: &str, deadline: Duration) -> Result<usize> {
    cluster::destroy(client, namespace, &labels::of_run(run_id), deadline).await
}

impl Target for KubeTarget {
    fn kind(&self) -> &'static str {
        "kube"
    }

    fn server(&self) -> &str {
        &self.node
    }

    fn host(&self) -> Host {
        self.host.clone()
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::from([
            ("namespace".to_owned(), self.params.pods.namespace.clone()),
            ("kubernetes".to_owned(), self.version.clone()),
        ]);
        if let Some(way) = self.replicas.iter().find_map(|replica| replica.way.as_ref()) {
            facts.insert("route".to_owned(), way.route.name().to_owned());
        }
        facts
    }

    async fn sweep(&mut self, run_id: &str) -> Result<usize> {
        self.require_lease()?;
        destroy_run(&self.client, &self.params.pods.namespace, run_id, self.params.gone_deadline).await
    }

    async fn deploy(&mut self, run_id: &str, spec: &RunSpec, _logs: &Path) -> Result<()> {
        self.require_lease()?;
        self.run_id = Some(run_id.to_owned());
        let nodes: Api<Node> = Api::all(self.client.clone());
        if let Ok(node) = nodes.get(&self.node).await {
            let pressures = pressures(&node);
            if !pressures.is_empty() {
                return Err(Error::NodePressure { node: self.node.clone(), pressures: pressures.join(", ") });
            }
        }
        let (deployments, services) = (self.namespaced::<Deployment>(), self.namespaced::<Service>());
        for (tenant_index, tenant) in spec.tenants.iter().enumerate() {
            let app = self.params.catalogue.get(&tenant.app)?;
            for number in 0..tenant.instances {
                let replica = RunReplica { spec, tenant: tenant_index, replica: number, app };
                let deployment = replica.deployment(&self.params.pods, &self.node);
                self.replicas.push(Replica {
                    tenant_index,
                    tenant_id: tenant.id.clone(),
                    number,
                    app: app.id.clone(),
                    batch: app.batch,
                    port: app.port,
                    name: replica.name(),
                    limit_gb: app.memory_limit_gb(),
                    program: app.image.clone().unwrap_or_else(|| self.params.pods.image.clone()),
                    started: Instant::now(),
                    ready_after_s: None,
                    pod: None,
                    way: None,
                    peak_memory_gb: None,
                });
                apply(&services, &replica.service(&self.params.pods), false).await?;
                apply(&deployments, &deployment, false).await?;
            }
        }
        Ok(())
    }

    async fn await_ready(&mut self, deadline: Duration) -> Result<Vec<Endpoint>> {
        let Some(run_id) = self.run_id.clone() else { return Ok(Vec::new()) };
        self.watch_pods(&run_id, deadline).await?;
        for replica in &mut self.replicas {
            let Some(pod) = &replica.pod else { continue };
            match self.router.way(pod, Some(&replica.name), replica.port).await {
                Ok(way) => replica.way = Some(way),
                Err(tried) => return Err(replica.failed(format!("is ready and cannot be reached: {tried}"))),
            }
            let image = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
            if let Some(digest) = image.map(|container| container.image_id.as_str()).filter(|id| !id.is_empty()) {
                replica.program = format!("{} ({digest})", replica.program);
            }
        }
        Ok(self.replicas.iter().filter_map(Replica::endpoint).collect())
    }

    async fn read_counters(&mut self) -> Vec<CounterReading> {
        let endpoints: Vec<Endpoint> = self.replicas.iter().filter_map(Replica::endpoint).collect();
        let answers = future::join_all(endpoints.iter().map(|endpoint| counters::read(&endpoint.authority))).await;
        let mut readings = Vec::new();
        for (endpoint, answer) in endpoints.iter().zip(answers) {
            let of_endpoint =
                |replica: &&mut Replica| (replica.tenant_index, replica.number) == (endpoint.tenant, endpoint.replica);
            if let Some(replica) = self.replicas.iter_mut().find(of_endpoint) {
                replica.peak_memory_gb = answer.peak_memory_gb().or(replica.peak_memory_gb);
            }
            readings.extend(answer.readings(endpoint));
        }
        readings
    }

    fn replicas(&mut self) -> Vec<ReplicaInfo> {
        let describe = |replica: &Replica| ReplicaInfo {
            tenant_id: replica.tenant_id.clone(),
            replica: replica.number,
            endpoint: replica.way.as_ref().map_or(String::new(), |way| way.authority.clone()),
            program: replica.program.clone(),
            pid: None,
            memory_limit: (replica.limit_gb, "kubernetes".to_owned()),
            peak_memory_gb: replica.peak_memory_gb,
            startup_s: replica.ready_after_s,
        };
        self.replicas.iter().map(describe).collect()
    }

    async fn casualties(&mut self) -> Vec<String> {
        let Some(run_id) = &self.run_id else { return Vec::new() };
        let pods = match list(&self.namespaced::<Pod>(), &labels::of_run(run_id)).await {
            Ok(pods) => pods,
            Err(error) => return vec![format!("nobody knows whether the replicas live: {error}")],
        };
        let reason = |replica: &Replica| {
            let before = replica.pod.as_ref()?;
            let now = pods.iter().find(|pod| pod.metadata.uid == before.metadata.uid);
            let Some(now) = now else { return Some(replica.failed("lost its pod during the load").to_string()) };
            let (count, how) = restarts(now);
            let ended = count > restarts(before).0;
            let how = how.unwrap_or_else(|| "ended".to_owned());
            ended.then(|| replica.failed(format!("{how} during the load and was started anew")).to_string())
        };
        self.replicas.iter().filter_map(reason).collect()
    }

    async fn tear_down(&mut self) -> CleanupVerdict {
        self.replicas.clear();
        let Some(run_id) = self.run_id.take() else { return CleanupVerdict::Clean };
        match destroy_run(&self.client, &self.params.pods.namespace, &run_id, self.params.gone_deadline).await {
            Ok(_) => CleanupVerdict::Clean,
            Err(error) => CleanupVerdict::Leftover(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_s_figures_and_pressures_are_read() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "edge-1"},
            "status": {
                "capacity": {"cpu": "16", "memory": "32768000Ki"},
                "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "DiskPressure", "status": "False"},
                    {"type": "Ready", "status": "True"}],
            },
        }))
        .unwrap();
        let host = host_of(&node);
        assert_eq!((host.cpus, host.memory_gb), (16, Some(33.554432)));
        assert_eq!(pressures(&node), ["MemoryPressure"]);
    }
}
