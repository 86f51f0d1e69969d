//! A fake Kubernetes API server for tests: real HTTP on loopback, objects with versions, label selectors, watches, server-side
//! apply, and just enough of the controllers that pods appear, get ready and go. A pod is a small HTTP service on a loopback address
//! of its own, so that a campaign really sends its requests and measures.
//!
//! Faults can be asked for: answers of 409, 429 or 500 (by count or by chance), watches that break, readiness that comes late, pods
//! that never get ready or never come or do not listen (by a word in the image's name: `nowhere`, `crashing`, `refused`, `deaf`), a
//! server that falls silent after some call, and Roles that allow not everything. It is no model of Kubernetes beyond what the tests
//! name.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "test support")]

mod port_forward;
pub mod rights;
mod service;
mod store;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use kube::{Client, Config};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::watch;

use service::PodService;
use store::{Store, matches};

/// The fake, running on a thread of its own until dropped.
pub struct FakeCluster {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

/// How the fake behaves.
#[derive(Clone)]
pub struct Behaviour {
    /// How long a pod takes from being made to being ready.
    pub ready_after: Duration,
    /// How long after that it cannot be reached.
    pub routing_lag: Duration,
    /// How long a pod takes to go.
    pub gone_after: Duration,
    /// Watches break after so many events; 0: never.
    pub watch_events: usize,
    /// Share of the calls that are answered with 409, 429 or 500.
    pub chaos: f64,
    /// Whether pods answer at their own address.
    pub pod_ips: bool,
    /// Whether, where they do not, their Services have a port on the nodes.
    pub node_ports: bool,
    /// Time of one inference of a pod, seconds.
    pub service_s: f64,
    /// Nodes.
    pub nodes: Vec<&'static str>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready_after: Duration::from_millis(30),
            routing_lag: Duration::ZERO,
            gone_after: Duration::from_millis(30),
            watch_events: 0,
            chaos: 0.0,
            pod_ips: true,
            node_ports: true,
            service_s: 0.001,
            nodes: vec!["edge-1"],
        }
    }
}

struct Fault {
    method: Method,
    path: String,
    code: u16,
    left: usize,
}

struct Shared {
    behaviour: Behaviour,
    store: Mutex<Store>,
    changed: watch::Sender<u64>,
    faults: Mutex<Vec<Fault>>,
    chance: Mutex<ChaCha8Rng>,
    calls: AtomicUsize,
    /// How many calls have been carried out.
    called: watch::Sender<usize>,
    /// This call is carried out and not answered; later ones wait.
    silent_after: watch::Sender<usize>,
    /// What may be asked for; everything where nobody said.
    rights: Mutex<Option<BTreeSet<String>>>,
    /// What was asked for, and what of it was refused.
    used: Mutex<BTreeSet<String>>,
    denied: Mutex<BTreeSet<String>>,
    log: Mutex<Vec<String>>,
    pods: Mutex<HashMap<String, PodService>>,
    next_pod: AtomicU64,
}

static NEXT_ADDRESS: AtomicU32 = AtomicU32::new(1);

impl FakeCluster {
    pub fn start(behaviour: Behaviour) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::default()),
            changed: watch::Sender::new(0),
            faults: Mutex::new(Vec::new()),
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(7)),
            calls: AtomicUsize::new(0),
            called: watch::Sender::new(0),
            silent_after: watch::Sender::new(usize::MAX),
            rights: Mutex::new(None),
            used: Mutex::default(),
            denied: Mutex::default(),
            log: Mutex::new(Vec::new()),
            pods: Mutex::new(HashMap::new()),
            next_pod: AtomicU64::new(0),
            behaviour,
        });
        for node in &shared.behaviour.nodes {
            let object = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "spec": {},
                "status": {
                    "capacity": {"cpu": "4", "memory": "8000000Ki"},
                    "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                    "nodeInfo": {"operatingSystem": "linux", "kernelVersion": "6.1", "architecture": "amd64", "bootID": "",
                        "containerRuntimeVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "",
                        "osImage": "", "systemUUID": ""},
                },
            });
            shared.store.lock().unwrap().put("nodes", "", node, object);
        }
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let on_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let router = Router::new().fallback(handle).with_state(on_thread);
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), shared, stop: Some(stop) }
    }

    pub fn client(&self) -> Client {
        let url: axum::http::Uri = format!("http://{}", self.address).parse().unwrap();
        Client::try_from(Config::new(url)).unwrap()
    }

    /// The next `times` calls of a method on paths that contain `path` are answered with `code`.
    pub fn fail(&self, method: Method, path: &str, code: u16, times: usize) {
        self.shared.faults.lock().unwrap().push(Fault { method, path: path.to_owned(), code, left: times });
    }

    /// Objects of a resource, such as `apps/deployments`, in a namespace.
    pub fn objects(&self, resource: &str, namespace: &str) -> Vec<Value> {
        self.shared.store.lock().unwrap().list(resource, namespace)
    }

    /// Stores an object as somebody else would.
    pub fn put(&self, resource: &str, namespace: &str, name: &str, object: Value) {
        self.shared.put(resource, namespace, name, object);
    }

    /// Removes an object as somebody else would.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        self.shared.remove(resource, namespace, name);
    }

    /// Everything that a run or a plan could leave.
    pub fn leftovers(&self, namespace: &str) -> Vec<String> {
        let kinds = ["apps/deployments", "services", "pods", "coordination.k8s.io/leases"];
        let of = |kind: &&str| -> Vec<String> {
            let objects = self.objects(kind, namespace);
            objects.iter().map(|object| format!("{kind} {}", object["metadata"]["name"])).collect()
        };
        kinds.iter().flat_map(of).collect()
    }

    /// Method and path of every call so far.
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have been carried out.
    pub async fn until_calls(&self, count: usize) {
        self.shared.called.subscribe().wait_for(|calls| *calls >= count).await.unwrap();
    }

    /// Carries out this call without answering it, and no later one.
    pub fn be_silent_after(&self, call: usize) {
        self.shared.silent_after.send_replace(call);
    }

    /// Answers again.
    pub fn speak(&self) {
        self.shared.silent_after.send_replace(usize::MAX);
    }

    /// Allows from now on what the Roles of a manifest allow.
    pub fn allow_only(&self, manifest: &str) {
        *self.shared.rights.lock().unwrap() = Some(rights::rights(manifest));
    }

    /// The rights that were used, and those that were missed.
    pub fn used_and_denied(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        (self.shared.used.lock().unwrap().clone(), self.shared.denied.lock().unwrap().clone())
    }

    /// Changes how long the pods of an application take for an inference.
    pub fn slow_down(&self, app: &str, service_s: f64) {
        for pod in self.shared.pods.lock().unwrap().values().filter(|pod| pod.app == app) {
            pod.set_service_s(service_s);
        }
    }

    /// Restarts every pod's container once, as after a kill for want of memory.
    pub fn kill_containers(&self, namespace: &str) {
        for mut pod in self.objects("pods", namespace) {
            pod["status"]["containerStatuses"][0]["restartCount"] = json!(1);
            pod["status"]["containerStatuses"][0]["lastState"] =
                json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            self.shared.put("pods", namespace, &name, pod);
        }
    }
}

impl Drop for FakeCluster {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

/// Where a path leads: `/apis/apps/v1/namespaces/ns/deployments/name/status`.
struct Place {
    /// `deployments` of the core group, `apps/deployments` of another.
    resource: String,
    namespace: String,
    name: Option<String>,
    sub: Option<String>,
}

fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let resource = if group.is_empty() { (*rest.first()?).to_owned() } else { format!("{group}/{}", rest.first()?) };
    let text = |i: usize| rest.get(i).map(|part| (*part).to_owned());
    Some(Place { resource, namespace: namespace.to_owned(), name: text(1), sub: text(2) })
}

/// The parameters of a query, their percent escapes resolved.
fn parameters(query: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let hex: Vec<u8> = rest.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decoded(k), decoded(v))).collect()
}

fn refusal(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let call = shared.calls.fetch_add(1, Ordering::SeqCst) + 1;
    let mut silent_after = shared.silent_after.subscribe();
    silent_after.wait_for(|last| call <= *last).await.unwrap();
    let response = answer(&shared, request).await;
    shared.called.send_modify(|called| *called = (*called).max(call));
    silent_after.wait_for(|last| call < *last).await.unwrap();
    response
}

async fn answer(shared: &Arc<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let method = parts.method.clone();
    let (path, query) = (parts.uri.path().to_owned(), parameters(parts.uri.query().unwrap_or_default()));
    shared.log.lock().unwrap().push(format!("{method} {path}"));
    if let Some(response) = shared.fault(&method, &path) {
        return response;
    }
    if path == "/version" {
        let fields = ["buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "platform"];
        let mut version: Value = fields.iter().map(|field| ((*field).to_owned(), json!(""))).collect();
        version["major"] = json!("1");
        version["minor"] = json!("33");
        version["gitVersion"] = json!("v1.33.0-fake");
        return axum::Json(version).into_response();
    }
    let Some(place) = place(&path) else { return refusal(404, "NotFound", "no such path") };
    let is_watch = query.get("watch").is_some_and(|value| value == "true" || value == "1");
    if let Some(response) = shared.denial(&method, &place, is_watch) {
        return response;
    }
    match (place.sub.as_deref(), place.name.as_deref()) {
        (Some("log"), _) => return "no such model\n".into_response(),
        (Some("portforward"), Some(pod)) => {
            let address = shared.pods.lock().unwrap().get(pod).map(|pod| pod.address);
            return port_forward::respond(parts, query["ports"].parse().unwrap(), address);
        }
        _ => {}
    }
    let dry_run = query.get("dryRun").is_some_and(|value| value == "All");
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or(Value::Null) };
    match (method, place.name.clone()) {
        (Method::GET, None) if is_watch => shared.watch(place, &query),
        (Method::GET, None) => {
            let selector = query.get("labelSelector").cloned().unwrap_or_default();
            let store = shared.store.lock().unwrap();
            let mut items = store.list(&place.resource, &place.namespace);
            items.retain(|item| matches(&selector, item));
            axum::Json(json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": store.version.to_string()}, "items": items}))
                .into_response()
        }
        (Method::GET, Some(name)) => match shared.get(&place, &name) {
            Some(object) => axum::Json(object).into_response(),
            None => refusal(404, "NotFound", &format!("{} {name:?} not found", place.resource)),
        },
        (Method::POST, None) => shared.create(&place, body, dry_run),
        (Method::PUT, Some(name)) => shared.replace(&place, &name, body),
        (Method::PATCH, Some(name)) => {
            let kind = parts.headers.get("content-type").map_or("", |value| value.to_str().unwrap_or(""));
            shared.patch(&place, &name, body, kind.starts_with("application/apply-patch"), dry_run)
        }
        (Method::DELETE, Some(name)) => shared.delete(&place, &name, &body),
        _ => refusal(405, "MethodNotAllowed", "not of this fake"),
    }
}

impl Shared {
    fn fault(&self, method: &Method, path: &str) -> Option<Response> {
        let mut faults = self.faults.lock().unwrap();
        let fault = faults.iter_mut().find(|f| f.left > 0 && f.method == *method && path.contains(&f.path));
        let code = if let Some(fault) = fault {
            fault.left -= 1;
            Some(fault.code)
        } else {
            let mut chance = self.chance.lock().unwrap();
            let strikes = self.behaviour.chaos > 0.0 && chance.gen_bool(self.behaviour.chaos);
            strikes.then(|| [409, 429, 500][chance.gen_range(0..3)])
        }?;
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            429 => "TooManyRequests",
            _ => "InternalError",
        };
        Some(refusal(code, reason, "a fault that was asked for"))
    }

    /// The refusal of a call that the rights do not cover.
    fn denial(&self, method: &Method, place: &Place, is_watch: bool) -> Option<Response> {
        let resource = place.sub.as_ref().map_or(place.resource.clone(), |sub| format!("{}/{sub}", place.resource));
        let exists = place.name.as_ref().is_some_and(|name| self.get(place, name).is_some());
        let needed = rights::needed(method, &resource, place.name.is_some(), is_watch, exists);
        let rights = self.rights.lock().unwrap();
        let missing = needed.iter().find(|right| rights.as_ref().is_some_and(|rights| !rights.contains(*right)));
        if let Some(missing) = missing {
            self.denied.lock().unwrap().insert(missing.clone());
            return Some(refusal(403, "Forbidden", &format!("no right to {missing}")));
        }
        self.used.lock().unwrap().extend(needed);
        None
    }

    fn get(&self, place: &Place, name: &str) -> Option<Value> {
        self.store.lock().unwrap().get(&place.resource, &place.namespace, name)
    }

    /// Stores an object and lets the controllers see it.
    fn put(self: &Arc<Self>, resource: &str, namespace: &str, name: &str, object: Value) -> Value {
        let (stored, version) = {
            let mut store = self.store.lock().unwrap();
            let stored = store.put(resource, namespace, name, object);
            (stored, store.version)
        };
        self.changed.send_replace(version);
        if resource == "apps/deployments" {
            self.run_deployment(&stored);
        }
        stored
    }

    fn create(self: &Arc<Self>, place: &Place, mut object: Value, dry_run: bool) -> Response {
        if object["metadata"]["name"].is_null() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or("x").to_owned();
            object["metadata"]["name"] = json!(format!("{prefix}{}", self.next_pod.fetch_add(1, Ordering::SeqCst)));
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.get(place, &name).is_some() {
            return refusal(409, "AlreadyExists", &format!("{} {name:?} already exists", place.resource));
        }
        if let Some(response) = self.no_namespace(place) {
            return response;
        }
        let stored = if dry_run { object } else { self.put(&place.resource, &place.namespace, &name, object) };
        (StatusCode::CREATED, axum::Json(stored)).into_response()
    }

    fn no_namespace(&self, place: &Place) -> Option<Response> {
        let missing =
            !place.namespace.is_empty() && self.store.lock().unwrap().get("namespaces", "", &place.namespace).is_none();
        missing.then(|| refusal(404, "NotFound", &format!("namespaces {:?} not found", place.namespace)))
    }

    fn replace(self: &Arc<Self>, place: &Place, name: &str, object: Value) -> Response {
        let Some(found) = self.get(place, name) else { return refusal(404, "NotFound", "not found") };
        let version = &object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != found["metadata"]["resourceVersion"] {
            return refusal(409, "Conflict", "the object has been modified");
        }
        axum::Json(self.put(&place.resource, &place.namespace, name, object)).into_response()
    }

    fn patch(self: &Arc<Self>, place: &Place, name: &str, patch: Value, apply: bool, dry_run: bool) -> Response {
        let found = self.get(place, name);
        if found.is_none() && (!apply || place.sub.is_some()) {
            return refusal(404, "NotFound", "not found");
        }
        if let Some(response) = self.no_namespace(place) {
            return response;
        }
        let mut object = found.unwrap_or_else(|| json!({"metadata": {"name": name}}));
        if place.sub.as_deref() == Some("status") {
            store::merge(&mut object["status"], &patch["status"]);
        } else {
            store::merge(&mut object, &patch);
        }
        let stored = if dry_run { object } else { self.put(&place.resource, &place.namespace, name, object) };
        axum::Json(stored).into_response()
    }

    fn delete(self: &Arc<Self>, place: &Place, name: &str, options: &Value) -> Response {
        let Some(found) = self.get(place, name) else {
            return refusal(404, "NotFound", &format!("{} {name:?} not found", place.resource));
        };
        for (field, condition) in options["preconditions"].as_object().into_iter().flatten() {
            if !condition.is_null() && found["metadata"][field] != *condition {
                return refusal(409, "Conflict", "a precondition does not hold");
            }
        }
        self.remove(&place.resource, &place.namespace, name);
        axum::Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 200})).into_response()
    }

    /// Removes an object, and in time what it owns.
    fn remove(self: &Arc<Self>, resource: &str, namespace: &str, name: &str) {
        let (removed, version) = {
            let mut store = self.store.lock().unwrap();
            (store.remove(resource, namespace, name), store.version)
        };
        self.changed.send_replace(version);
        let Some(removed) = removed else { return };
        if resource == "pods" {
            self.pods.lock().unwrap().remove(name);
        }
        let uid = removed["metadata"]["uid"].clone();
        let shared = Arc::clone(self);
        let namespace = namespace.to_owned();
        let owned = move || {
            for kind in ["apps/deployments", "services", "pods"] {
                let objects = shared.store.lock().unwrap().list(kind, &namespace);
                for object in objects {
                    let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
                    if owners.iter().any(|owner| owner["uid"] == uid) {
                        shared.remove(kind, &namespace, object["metadata"]["name"].as_str().unwrap());
                    }
                }
            }
        };
        let after = self.behaviour.gone_after;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(after).await;
                owned();
            });
        }
    }

    /// What the controller of Deployments, the scheduler and a node do together.
    fn run_deployment(self: &Arc<Self>, deployment: &Value) {
        let namespace = deployment["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let uid = deployment["metadata"]["uid"].clone();
        let template = &deployment["spec"]["template"];
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1) as usize;
        if template.to_string().contains("refused") {
            let condition = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"});
            let mut refused = deployment.clone();
            refused["status"]["conditions"] = json!([condition]);
            let name = refused["metadata"]["name"].as_str().unwrap().to_owned();
            self.store.lock().unwrap().put("apps/deployments", &namespace, &name, refused);
            return;
        }
        let pods = self.store.lock().unwrap().list("pods", &namespace);
        let owned = pods.into_iter().filter(|pod| pod["metadata"]["ownerReferences"][0]["uid"] == uid);
        let (mut current, old): (Vec<Value>, Vec<Value>) = owned.partition(|pod| pod["template"] == *template);
        let surplus = current.split_off(wanted.min(current.len()));
        for pod in old.iter().chain(&surplus) {
            self.remove("pods", &namespace, pod["metadata"]["name"].as_str().unwrap());
        }
        for _ in current.len()..wanted {
            let number = self.next_pod.fetch_add(1, Ordering::SeqCst);
            let name = format!("{}-{number}", deployment["metadata"]["name"].as_str().unwrap());
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {
                    "name": name, "namespace": namespace, "labels": template["metadata"]["labels"],
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"], "uid": uid}],
                },
                "spec": template["spec"], "template": template, "status": {"phase": "Pending"},
            });
            let pod = self.put("pods", &namespace, &name, pod);
            let shared = Arc::clone(self);
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { shared.run_pod(pod).await });
            }
        }
    }

    async fn run_pod(self: Arc<Self>, mut pod: Value) {
        tokio::time::sleep(self.behaviour.ready_after).await;
        let namespace = pod["metadata"]["namespace"].as_str().unwrap().to_owned();
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let container = pod["spec"]["containers"][0].clone();
        let image = container["image"].as_str().unwrap_or_default().to_owned();
        let wanted = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            [0]["matchFields"][0]["values"][0];
        let node = wanted.as_str().unwrap_or(self.behaviour.nodes[0]).to_owned();
        let state = |waiting: Value, restarts: u32| {
            json!([{"name": "service", "image": image, "imageID": "", "ready": false, "restartCount": restarts,
                "state": {"waiting": waiting}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}])
        };
        if !self.behaviour.nodes.contains(&node.as_str()) {
            pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                "message": "0/1 nodes are available"}]);
        } else if image.contains("nowhere") {
            pod["status"]["containerStatuses"] =
                state(json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"}), 0);
        } else if image.contains("crashing") {
            pod["status"]["containerStatuses"] =
                state(json!({"reason": "CrashLoopBackOff", "message": "back-off 10s"}), 2);
        } else {
            let n = NEXT_ADDRESS.fetch_add(1, Ordering::SeqCst);
            let address = format!("127.{}.{}.{}", 10 + std::process::id() % 200, n / 250, 1 + n % 250);
            let port = container["ports"][0]["containerPort"].as_u64().unwrap() as u16;
            let app = pod["metadata"]["labels"]["app.kubernetes.io/name"].as_str().unwrap_or_default().to_owned();
            pod["spec"]["nodeName"] = json!(node);
            pod["status"] = json!({
                "phase": "Running", "podIP": address, "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "service", "image": image, "imageID": "sha256:0f", "ready": true, "restartCount": 0, "state": {"running": {}}}],
            });
            if !self.behaviour.routing_lag.is_zero() {
                self.put("pods", &namespace, &name, pod.clone());
                tokio::time::sleep(self.behaviour.routing_lag).await;
            }
            // Where pods' addresses lead nowhere, nothing listens there.
            let listen = if self.behaviour.pod_ips { (address.clone(), port) } else { ("127.0.0.1".to_owned(), 0) };
            let service = if image.contains("deaf") {
                None
            } else {
                Some(PodService::start(&listen.0, listen.1, app, self.behaviour.service_s).await)
            };
            if let Some(service) = service.as_ref().filter(|_| !self.behaviour.pod_ips && self.behaviour.node_ports) {
                self.open_node_port(&namespace, &pod, service.address.port());
            }
            // It may have been deleted while it started.
            if self.store.lock().unwrap().get("pods", &namespace, &name).is_none() {
                return;
            }
            if let Some(service) = service {
                self.pods.lock().unwrap().insert(name.clone(), service);
            }
        }
        if self.store.lock().unwrap().get("pods", &namespace, &name).is_some() {
            self.put("pods", &namespace, &name, pod);
        }
    }

    /// Gives the Service that selects a pod the port that the pod really listens on as its port of every node.
    fn open_node_port(self: &Arc<Self>, namespace: &str, pod: &Value, port: u16) {
        for mut service in self.store.lock().unwrap().list("services", namespace) {
            let selector = service["spec"]["selector"].as_object().cloned().unwrap_or_default();
            if selector.iter().all(|(name, value)| pod["metadata"]["labels"][name] == *value) {
                service["spec"]["ports"][0]["nodePort"] = json!(port);
                let name = service["metadata"]["name"].as_str().unwrap().to_owned();
                let shared = Arc::clone(self);
                let namespace = namespace.to_owned();
                tokio::spawn(async move { shared.put("services", &namespace, &name, service) });
            }
        }
    }

    fn watch(self: &Arc<Self>, place: Place, query: &HashMap<String, String>) -> Response {
        let selector = query.get("labelSelector").cloned().unwrap_or_default();
        let since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let limit = self.behaviour.watch_events;
        let state = (Arc::clone(self), self.changed.subscribe(), since, 0_usize);
        let stream = futures_util::stream::unfold(state, move |(shared, mut changed, mut since, mut sent)| {
            let (selector, resource, namespace) = (selector.clone(), place.resource.clone(), place.namespace.clone());
            async move {
                loop {
                    if limit > 0 && sent >= limit {
                        return None;
                    }
                    let event = shared.store.lock().unwrap().event_after(since, &resource, &namespace);
                    let Some((version, event)) = event else {
                        changed.changed().await.ok()?;
                        continue;
                    };
                    since = version;
                    if matches(&selector, &event["object"]) {
                        sent += 1;
                        let line = Bytes::from(format!("{event}\n"));
                        return Some((Ok::<Bytes, std::io::Error>(line), (shared, changed, since, sent)));
                    }
                }
            }
        });
        Body::from_stream(stream).into_response()
    }
}
