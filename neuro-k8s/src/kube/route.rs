//! How requests reach a pod: by its own address, by a port of its node, or through the API server.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::{Api, Client, ResourceExt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::cluster::retrying;
use crate::health::{Health, probe};

/// A way to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The pod's own address.
    PodIp,
    /// A port of its node.
    NodePort,
    /// The API server's port-forward. Each connection passes through the server: times of the way are longer, those that services
    /// report of themselves are not.
    PortForward,
}

impl Route {
    /// In the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::PodIp, Self::NodePort, Self::PortForward];

    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodIp => "pod IP",
            Self::NodePort => "node port",
            Self::PortForward => "port-forward",
        }
    }
}

/// A way that was found open.
#[derive(Debug)]
pub(crate) struct Way {
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) route: Route,
    _forward: Option<Forward>,
}

/// A loopback port whose connections are carried to a pod. Dropped, it and they end.
#[derive(Debug)]
struct Forward {
    port: u16,
    /// Why the latest connection was not carried.
    refusal: Arc<Mutex<Option<String>>>,
    listening: JoinHandle<()>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Finds ways to pods. What worked is tried first the next time.
pub(crate) struct Router {
    client: Client,
    namespace: String,
    order: Vec<Route>,
    /// Whether the first of them has led to a pod.
    proven: bool,
    /// How long routing may lag behind readiness.
    lag: Duration,
}

/// How long an address that nothing routes to is tried; such an address answers never, not late.
const FIRST_TRY: Duration = Duration::from_secs(1);

impl Router {
    pub(crate) fn new(client: Client, namespace: &str, order: Vec<Route>, lag: Duration) -> Self {
        Self { client, namespace: namespace.to_owned(), order, proven: false, lag }
    }

    /// A way to a ready pod that listens on `port`, of the Service `service` where it has one.
    ///
    /// # Errors
    /// What each way said, in words.
    pub(crate) async fn way(&mut self, pod: &Pod, service: Option<&str>, port: u16) -> Result<Way, String> {
        let mut tried = Vec::new();
        for route in self.order.clone() {
            // Nothing may lead to pods' addresses from here; where something was found to, and to all others, routing may lag.
            let patience = if route == Route::PodIp && !self.proven { FIRST_TRY.min(self.lag) } else { self.lag };
            match self.open(route, pod, service, port, patience).await {
                Ok(way) => {
                    self.order.retain(|other| *other != route);
                    self.order.insert(0, route);
                    self.proven = true;
                    return Ok(way);
                }
                Err(why) => tried.push(format!("{}: {why}", route.name())),
            }
        }
        Err(tried.join("; "))
    }

    async fn open(
        &self,
        route: Route,
        pod: &Pod,
        service: Option<&str>,
        port: u16,
        patience: Duration,
    ) -> Result<Way, String> {
        let mut forward = None;
        let authority = match route {
            Route::PodIp => {
                let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
                authority(&address.ok_or("the pod has no address")?, port)
            }
            Route::NodePort => self.node_port(pod, service.ok_or("it has no Service")?).await?,
            Route::PortForward => {
                let opened = self.forward(pod, port).await.map_err(|e| e.to_string())?;
                let authority = authority(&Ipv4Addr::LOCALHOST.to_string(), opened.port);
                forward = Some(opened);
                authority
            }
        };
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
            let health = tokio::time::timeout(left, probe(&authority)).await.unwrap_or(Health::Silent);
            if health == Health::Ready {
                return Ok(Way { authority, route, _forward: forward });
            }
            if Instant::now() >= end {
                let refusal = forward.as_ref().and_then(|forward| lock(&forward.refusal).take());
                return Err(refusal.unwrap_or_else(|| format!("{authority}: {health}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn node_port(&self, pod: &Pod, service: &str) -> Result<String, String> {
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = retrying("look up a Service", || async { services.get(service).await }).await;
        let ports = service.map_err(|e| e.to_string())?.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.iter().find_map(|port| u16::try_from(port.node_port?).ok());
        let port = port.ok_or("its Service has no port on the nodes")?;
        let name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).ok_or("the pod is on no node")?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = retrying("look up a node", || async { nodes.get(&name).await }).await.map_err(|e| e.to_string())?;
        let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
        let of =
            |kind: &str| addresses.iter().find(|address| address.type_ == kind).map(|address| address.address.clone());
        let address = of("InternalIP").or_else(|| of("ExternalIP")).ok_or("the node has no address")?;
        Ok(authority(&address, port))
    }

    async fn forward(&self, pod: &Pod, pod_port: u16) -> std::io::Result<Forward> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = pod.name_any();
        let refusal = Arc::new(Mutex::new(None));
        let told = Arc::clone(&refusal);
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let (pods, name, told) = (pods.clone(), name.clone(), Arc::clone(&told));
                connections.spawn(async move {
                    // One that cannot be carried is closed, which the client sees.
                    *lock(&told) = carry(connection, &pods, &name, pod_port).await.err();
                });
            }
        });
        Ok(Forward { port, refusal, listening })
    }
}

/// Carries a connection to a port of a pod and back, until either closes it.
///
/// # Errors
/// The server or the pod refuses, in words.
async fn carry(mut connection: TcpStream, pods: &Api<Pod>, name: &str, port: u16) -> Result<(), String> {
    let _ = connection.set_nodelay(true);
    let ports = [port];
    let forwarding = retrying("forward a port", || pods.portforward(name, &ports)).await;
    let mut forwarder = forwarding.map_err(|e| e.to_string())?;
    let (Some(mut stream), Some(refused)) = (forwarder.take_stream(port), forwarder.take_error(port)) else {
        return Err("the port was not forwarded".to_owned());
    };
    tokio::select! {
        Some(words) = refused => Err(words),
        // A connection that breaks ends here as one that is closed.
        _ = copy_bidirectional(&mut connection, &mut stream) => Ok(()),
    }
}

fn lock(refusal: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    refusal.lock().unwrap_or_else(PoisonError::into_inner)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
