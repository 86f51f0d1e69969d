//! The operator: requests and servers as custom resources, placed and kept placed.
//!
//! # Expected flow
//! [`Operator::run`] is a `kube-runtime` controller over [`InferenceRequest`]s, [`EdgeServer`]s and the Deployments of its plan. Whenever
//! one changes, it gathers the open requests, asks the [`Planner`] for a plan within a time limit, gives it to the servers so that as
//! little as possible moves, and rolls it out. A second planner, slower and with a proved bound, works in the background; its plan is
//! taken when it earns more. At every look the measured latencies are read and the statuses, Events and metrics brought up to date.
//!
//! What is reconciled is the namespace, not a request: a plan is one decision over all requests, and one that goes frees room for
//! the others. So the controller has a single key, and is put together of `kube-runtime`'s [`applier`] and watchers rather than by its
//! `Controller`, whose keys are the objects it watches. Gathering changes, repeating after failures, and ending what was begun before
//! it stops are the applier's.
//!
//! # Guarantees
//! - It goes by what is, not by what happened: a missed event or a restart changes nothing in the end. What runs already is read from
//!   the cluster.
//! - A plan that earns no more than what runs, and holds, changes nothing.
//! - Where the planner fails or the profiler is out of its range, the last good plan stays; requests that it does not hold wait.
//! - A request or a server that no profiler can speak of keeps nobody else from being planned.
//! - What is made for a request is owned by it: the cluster removes it with the request, even when the operator is not there.
//! - Two operators in one namespace: the second ends with an error.
//!
//! # Assumptions
//! One namespace holds the requests, the servers and the replicas. The nodes have the memory that the EdgeServers speak of.

mod asked;
mod crd;
mod metrics;
mod moves;
mod planner;
mod status;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{self, Action};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt, applier, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use neuro_data::instance::Instance;
use neuro_data::plan::{Assignment, Plan, Rejection, RejectionCode};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use self::asked::{gather, without_unknown};
pub use self::crd::{
    EdgeServer, EdgeServerSpec, InferenceRequest, InferenceRequestSpec, InferenceRequestStatus, NodeAssignment, Phase,
    RejectionStatus, Statistic, definitions,
};
use self::metrics::{Metrics, labels};
use self::moves::{moves, with_fewest_moves};
pub use self::planner::{PlanError, Planner, Prediction, Profiler};
use self::status::{SLA_KEPT, phase_of, status_of};
use crate::kube::labels::short_hash;
use crate::kube::{Lease, failed, retrying};
use crate::rollout::{self, PlacedStatus, RolloutParams};
use crate::{Error, Result};

/// How the operator works.
#[derive(Debug, Clone)]
pub struct OperatorParams {
    /// Where plans are rolled out.
    pub rollout: RolloutParams,
    /// Time of the planner.
    pub solve_limit: Duration,
    /// Time of the planner in the background.
    pub certify_limit: Duration,
    /// Changes are gathered until none has come for so long.
    pub settle: Duration,
    /// Time between looks at the cluster when nothing changes.
    pub resync: Duration,
    /// Where `/metrics` and `/healthz` are served.
    pub metrics: Option<SocketAddr>,
    /// How long a killed operator keeps its successor out.
    pub lease: Duration,
}

impl OperatorParams {
    /// Everything at its default.
    pub fn new(rollout: RolloutParams) -> Self {
        Self {
            rollout,
            solve_limit: Duration::from_secs(5),
            certify_limit: Duration::from_secs(60),
            settle: Duration::from_millis(500),
            resync: Duration::from_secs(15),
            metrics: None,
            lease: Duration::from_secs(15),
        }
    }
}

/// What the operator did.
#[derive(Debug)]
#[non_exhaustive]
pub enum OperatorEvent<'a> {
    /// A plan was made and is taken.
    Planned {
        /// The plan.
        plan: &'a Plan,
        /// Instances that start where they did not run.
        moves: u32,
    },
    /// The last good plan stays.
    KeptLastGood {
        /// Why.
        reason: &'a str,
    },
    /// The cluster could not be brought up to date; it is tried again.
    Failed {
        /// Why.
        error: &'a Error,
    },
}

/// The operator, put together.
#[derive(Clone)]
pub struct Operator {
    /// The cluster.
    pub client: Client,
    /// How it works.
    pub params: OperatorParams,
    /// Decides.
    pub planner: Arc<dyn Planner>,
    /// Decides better, in the background.
    pub certifier: Option<Arc<dyn Planner>>,
    /// Predicts.
    pub profiler: Arc<dyn Profiler>,
}

/// Name of the Lease, and of who reports Events.
const NAME: &str = "neuro-operator";

/// What two revenues may differ by and be the same.
const SAME_REVENUE: f64 = 1e-9;

impl Operator {
    /// Works until `stop` is ready, and ends the look at the cluster that it is in.
    ///
    /// # Errors
    /// The metrics' address cannot be bound; another operator has the namespace or takes it over; the server refuses to let it in.
    pub async fn run(self, stop: impl Future<Output = ()>, observer: &mut dyn FnMut(&OperatorEvent<'_>)) -> Result<()> {
        let (client, params) = (self.client.clone(), self.params.clone());
        let namespace = &params.rollout.pods.namespace;
        let lease = Lease::take(&client, namespace, NAME, params.lease).await?;
        let metrics = Arc::new(Mutex::new(Metrics::default()));
        let mut tasks = tokio::task::JoinSet::new();
        if let Some(address) = params.metrics {
            let listener = tokio::net::TcpListener::bind(address).await.map_err(Error::io("listen on", address))?;
            tasks.spawn(serve(listener, Arc::clone(&metrics)));
        }
        let (requests, writer) = reflector::store::<InferenceRequest>();
        let requests_changed = changes(Api::namespaced(client.clone(), namespace), writer);
        let (servers, writer) = reflector::store::<EdgeServer>();
        let servers_changed = changes(Api::namespaced(client.clone(), namespace), writer);
        let placed = watcher::Config::default().labels(&params.rollout.selector());
        let placed_changed = watcher(Api::<Deployment>::namespaced(client.clone(), namespace), placed)
            .default_backoff()
            .filter_map(|event| {
                let has_changed = matches!(event, Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_)));
                future::ready(has_changed.then_some(Ok(())))
            });

        let reporter = Reporter { controller: NAME.to_owned(), instance: None };
        let (certified, certificates) = mpsc::unbounded_channel();
        let world = tokio::sync::Mutex::new(World {
            recorder: Recorder::new(client.clone(), reporter),
            operator: self,
            observer,
            good: None,
            told: BTreeSet::new(),
            metrics,
            certified,
        });
        let certificates =
            stream::unfold(certificates, |mut certificates| async { Some((certificates.recv().await?, certificates)) });
        let certificates_taken =
            certificates.then(|certificate| async { world.lock().await.take_certificate(certificate).await }).map(Ok);

        let (key, keys) = one_key(namespace);
        let changed = stream::select_all([
            requests_changed.boxed_local(),
            servers_changed.boxed_local(),
            placed_changed.boxed_local(),
            certificates_taken.boxed_local(),
        ]);
        let requested = changed.filter_map(|changed| async {
            let Err(error) = changed else { return Some(Ok::<_, Infallible>(key.clone())) };
            (world.lock().await.observer)(&OperatorEvent::Failed { error: &error });
            None
        });
        let queue = requested.take_until(stop);
        let failures = AtomicU32::new(0);
        let look = async || {
            if lease.is_lost() {
                let (namespace, holder) = (namespace.clone(), "another operator".to_owned());
                return Err(Error::NamespaceInUse { namespace, holder });
            }
            // The other of the two says when it is.
            if requests.wait_until_ready().now_or_never().is_none()
                || servers.wait_until_ready().now_or_never().is_none()
            {
                return Ok(Action::await_change());
            }
            world.lock().await.look(&requests.state(), &servers.state()).await?;
            failures.store(0, Ordering::Relaxed);
            Ok(Action::requeue(params.resync))
        };
        // Twice as long each time, up to the usual time between looks.
        let again = |_: Arc<Namespace>, _: &Error, _: Arc<()>| {
            let doublings = failures.fetch_add(1, Ordering::Relaxed).min(16);
            Action::requeue((params.settle.max(Duration::from_millis(100)) * (1 << doublings)).min(params.resync))
        };
        let config = controller::Config::default().debounce(params.settle);
        let looks = applier(|_, _| Box::pin(look()), again, Arc::new(()), keys, queue, config);
        {
            let mut looks = std::pin::pin!(looks);
            // A look tells of itself.
            while let Some(looked) = looks.next().await {
                if let Err(controller::Error::ReconcilerFailed(lost @ Error::NamespaceInUse { .. }, _)) = looked {
                    return Err(lost);
                }
            }
        }
        lease.release().await;
        Ok(())
    }
}

/// The only thing that is reconciled, and a store that holds nothing else.
fn one_key(namespace: &str) -> (ObjectRef<Namespace>, Store<Namespace>) {
    let (store, mut writer) = reflector::store::<Namespace>();
    let mut object = Namespace::default();
    object.metadata.name = Some(namespace.to_owned());
    let key = ObjectRef::from_obj(&object);
    for event in [watcher::Event::Init, watcher::Event::InitApply(object), watcher::Event::InitDone] {
        writer.apply_watcher_event(&event);
    }
    (key, store)
}

/// Keeps a store as the cluster is, and says when a specification changed or why it cannot see any.
fn changes<K>(api: Api<K>, writer: Writer<K>) -> impl Stream<Item = Result<()>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut generations: HashMap<Option<String>, Option<i64>> = HashMap::new();
    let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
    events.filter_map(move |event| {
        let has_changed = match event {
            // A new status is no new specification.
            Ok(watcher::Event::Apply(object)) => {
                let generation = object.meta().generation;
                generations.insert(object.uid(), generation) != Some(generation)
            }
            Ok(watcher::Event::InitApply(object)) => {
                generations.insert(object.uid(), object.meta().generation);
                false
            }
            Ok(watcher::Event::Delete(object)) => {
                generations.remove(&object.uid());
                true
            }
            Ok(watcher::Event::InitDone) => true,
            // The stream begins anew by itself.
            Err(watcher::Error::InitialListFailed(error)) => return future::ready(Some(Err(unseen::<K>(error)))),
            Ok(watcher::Event::Init) | Err(_) => false,
        };
        future::ready(has_changed.then_some(Ok(())))
    })
}

fn unseen<K: Resource<DynamicType = ()>>(error: kube::Error) -> Error {
    let action = format!("list {}", K::plural(&()));
    if matches!(&error, kube::Error::Api(status) if status.is_not_found()) {
        let reason = "the cluster does not know them; apply what neuro operator crds prints".to_owned();
        return Error::Kube { action, reason, cause: Some(Box::new(error)) };
    }
    failed(&action, error)
}

async fn serve(listener: tokio::net::TcpListener, metrics: Arc<Mutex<Metrics>>) {
    use axum::routing::get;
    let page = move || {
        let page = metrics.lock().unwrap_or_else(PoisonError::into_inner).page();
        async move { ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], page) }
    };
    let router = axum::Router::new().route("/metrics", get(page)).route("/healthz", get(|| async { "ok\n" }));
    let _ = axum::serve(listener, router).await;
}

/// What is being kept up.
struct Good {
    /// Of everything that was asked for.
    fingerprint: String,
    /// What was planned for.
    instance: Instance,
    /// Its rejections also name what could not be planned for.
    plan: Plan,
    predictions: Vec<Prediction>,
    /// Why this is not the plan that was wanted.
    fallback: Option<String>,
}

/// A plan, what it gets, and why it is not the one that was wanted.
type Decision = (Plan, Vec<Prediction>, Option<String>);

/// A plan from the background and the fingerprint of the instance that it is for.
type Certificate = (String, Result<Plan, PlanError>);

struct World<'a> {
    operator: Operator,
    observer: &'a mut dyn FnMut(&OperatorEvent<'_>),
    recorder: Recorder,
    good: Option<Good>,
    /// The uids of servers that nobody can plan for, each told of once.
    told: BTreeSet<String>,
    metrics: Arc<Mutex<Metrics>>,
    certified: mpsc::UnboundedSender<Certificate>,
}

impl World<'_> {
    /// A look at the cluster, and an account of it.
    async fn look(&mut self, requests: &[Arc<InferenceRequest>], servers: &[Arc<EdgeServer>]) -> Result<()> {
        let looked = self.reconcile(requests, servers).await;
        if let Err(error) = &looked {
            (self.observer)(&OperatorEvent::Failed { error });
        }
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.reconciliations += 1;
        metrics.failures += u64::from(looked.is_err());
        looked
    }

    /// Compares the cluster with what it should be, and changes what differs.
    async fn reconcile(&mut self, requests: &[Arc<InferenceRequest>], servers: &[Arc<EdgeServer>]) -> Result<()> {
        let asked = gather(requests, servers);
        let rollout = self.rollout(requests, servers);
        let fingerprint = short_hash(&serde_json::to_string(&asked).map_err(Error::serialise("the problem"))?);
        let stands = self.good.as_ref().is_some_and(|good| good.fingerprint == fingerprint && good.fallback.is_none());
        if !stands {
            let running = rollout::running(&self.operator.client, &rollout).await?;
            let before = self.good.as_ref().and_then(|good| good.fallback.clone());
            let good = self.decide_all(asked, fingerprint, &running).await;
            match &good.fallback {
                Some(reason) if before.as_ref() == Some(reason) => {}
                Some(reason) => {
                    (self.observer)(&OperatorEvent::KeptLastGood { reason });
                    for request in requests {
                        self.tell(request.as_ref(), EventType::Warning, "LastGoodPlan", reason.clone()).await;
                    }
                }
                None => {
                    let moves = moves(&good.plan.assignments, &running);
                    (self.observer)(&OperatorEvent::Planned { plan: &good.plan, moves });
                    self.certify(&good);
                }
            }
            self.good = Some(good);
        }
        self.tell_unknown(requests, servers).await;
        let Some(good) = &self.good else { return Ok(()) };
        rollout::apply(&self.operator.client, &good.plan, &good.instance, &rollout, None, false).await?;
        let statuses = rollout::status(&self.operator.client, &rollout).await?;
        self.show(good, &statuses);
        for request in requests {
            self.report(request, good, &statuses, &rollout.nodes).await?;
        }
        let mut phases = BTreeMap::new();
        for request in requests {
            let phase = phase_of(&request.name_any(), good, &statuses);
            *phases.entry(labels(&[("phase", phase.name())])).or_insert(0.0) += 1.0;
        }
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).requests = phases;
        Ok(())
    }

    /// Says of servers whose kind no profiler knows that they are not used.
    async fn tell_unknown(&mut self, requests: &[Arc<InferenceRequest>], servers: &[Arc<EdgeServer>]) {
        let knows = |kind: &str| requests.iter().any(|request| self.operator.profiler.knows(kind, &request.spec.app));
        let unknown: Vec<_> =
            servers.iter().filter(|server| !requests.is_empty() && !knows(&server.spec.kind)).collect();
        for server in unknown {
            if self.told.insert(server.uid().unwrap_or_default()) {
                let note = format!("no profiler knows an open request on servers of kind {}", server.spec.kind);
                self.tell(server.as_ref(), EventType::Warning, "UnknownKind", note).await;
            }
        }
    }

    /// Where to roll out: each server's node, each request the owner of what is made for it.
    fn rollout(&self, requests: &[Arc<InferenceRequest>], servers: &[Arc<EdgeServer>]) -> RolloutParams {
        let mut rollout = self.operator.params.rollout.clone();
        rollout.nodes = servers.iter().map(|server| (server.name_any(), server.spec.node.clone())).collect();
        let owner = |request: &Arc<InferenceRequest>| Some((request.name_any(), request.controller_owner_ref(&())?));
        rollout.owners = requests.iter().filter_map(owner).collect();
        rollout
    }

    /// Runs a planner off the event loop.
    async fn plan(&self, planner: Arc<dyn Planner>, instance: &Instance, limit: Duration) -> Result<Plan, PlanError> {
        if instance.requests.is_empty() || instance.servers.is_empty() {
            return Ok(nothing_to_do(instance));
        }
        let instance = instance.clone();
        let planned = tokio::task::spawn_blocking(move || planner.plan(&instance, limit)).await;
        planned.unwrap_or_else(|e| Err(PlanError::Failed(e.to_string())))
    }

    async fn predict(&self, instance: &Instance, plan: &Plan) -> Result<Vec<Prediction>, PlanError> {
        if plan.assignments.is_empty() {
            return Ok(Vec::new());
        }
        let (profiler, instance, plan) = (self.operator.profiler.clone(), instance.clone(), plan.clone());
        let predicted = tokio::task::spawn_blocking(move || profiler.predict(&instance, &plan)).await;
        predicted.unwrap_or_else(|e| Err(PlanError::Failed(e.to_string())))
    }

    /// Decides on everything that was asked for.
    async fn decide_all(&self, asked: Instance, fingerprint: String, running: &[Assignment]) -> Good {
        let (known, mut unknown) = without_unknown(&asked, self.operator.profiler.as_ref());
        let has = |instance: &Instance, a: &Assignment| {
            instance.requests.iter().any(|request| request.id == a.request)
                && instance.servers.iter().any(|server| server.name == a.server)
        };
        let (instance, planned) = match running.iter().find(|a| has(&asked, a) && !has(&known, a)) {
            Some(a) => {
                let why = format!("{} runs on {} and no profiler knows it there", a.request, a.server);
                (asked, Err(PlanError::OutsideRange(why)))
            }
            None => {
                let planner = Arc::clone(&self.operator.planner);
                let planned = self.plan(planner, &known, self.operator.params.solve_limit).await;
                (known, planned)
            }
        };
        let (mut plan, predictions, fallback) = self.decide(planned, &instance, running).await;
        unknown.retain(|rejection| plan.assignments.iter().all(|a| a.request != rejection.request));
        plan.rejected.extend(unknown);
        Good { fingerprint, instance, plan, predictions, fallback }
    }

    /// Chooses between a new plan and what runs.
    async fn decide(&self, planned: Result<Plan, PlanError>, instance: &Instance, running: &[Assignment]) -> Decision {
        let kept = still_whole(running, instance);
        let (new, why) = match planned {
            Ok(mut plan) => {
                with_fewest_moves(&mut plan, running, &instance.servers);
                let known = |request: &str| kept.iter().any(|a| a.request == request);
                let unknown =
                    plan.rejected.iter().find(|r| r.code == RejectionCode::OutsideTrainedRange && known(&r.request));
                let why = unknown.map(|r| PlanError::OutsideRange(format!("{}: {}", r.request, r.detail)));
                (Some(plan), why)
            }
            Err(error) => (None, Some(error)),
        };
        let mut fallback = why.map(|why| why.to_string());
        if let (Some(plan), None) = (&new, &fallback) {
            match self.predict(instance, plan).await {
                Err(error) => fallback = Some(error.to_string()),
                Ok(predictions) => {
                    let plan = with_predictions(plan.clone(), &predictions);
                    let old = keeping(&kept, instance, Some(&plan));
                    if old.objective < plan.objective - SAME_REVENUE || moves(&plan.assignments, running) == 0 {
                        return (plan, predictions, None);
                    }
                    // What runs earns as much: it stays if it holds under the present loads.
                    return match self.predict(instance, &old).await {
                        Ok(predictions) if all_hold(&predictions, instance) => {
                            (with_predictions(old, &predictions), predictions, None)
                        }
                        _ => (plan, predictions, None),
                    };
                }
            }
        }
        // Out of its range the profiler says nothing that could be shown.
        (keeping(&kept, instance, new.as_ref()), Vec::new(), fallback)
    }

    /// Starts the planner of the background.
    fn certify(&self, good: &Good) {
        let Some(certifier) = self.operator.certifier.clone() else { return };
        if good.instance.requests.is_empty() || good.instance.servers.is_empty() {
            return;
        }
        let (instance, fingerprint) = (good.instance.clone(), good.fingerprint.clone());
        let (limit, certified) = (self.operator.params.certify_limit, self.certified.clone());
        tokio::task::spawn_blocking(move || {
            // Nobody waits for it any more: then it is not needed.
            drop(certified.send((fingerprint, certifier.plan(&instance, limit))));
        });
    }

    /// Takes what the background found: its bound, and its plan where that earns more.
    async fn take_certificate(&mut self, (fingerprint, certificate): Certificate) {
        let stands = |good: &&Good| good.fingerprint == fingerprint && good.fallback.is_none();
        let (Some(good), Ok(certified)) = (self.good.as_ref().filter(stands), certificate) else { return };
        let bound = certified.bound;
        let is_better = certified.objective > good.plan.objective + SAME_REVENUE;
        let better = match is_better {
            true => Some(self.decide(Ok(certified), &good.instance, &good.plan.assignments).await),
            false => None,
        };
        let Some(good) = &mut self.good else { return };
        if let Some((plan, predictions, None)) = better {
            let before = std::mem::replace(&mut good.plan, plan);
            let is_unknown = |r: &Rejection| good.instance.requests.iter().all(|request| request.id != r.request);
            good.plan.rejected.extend(before.rejected.into_iter().filter(is_unknown));
            good.predictions = predictions;
        }
        if let Some(bound) = bound {
            good.plan.bound = Some(bound);
            let relative = (bound - good.plan.objective).max(0.0) / good.plan.objective;
            good.plan.gap = (good.plan.objective > 0.0).then_some(relative);
        }
    }

    /// Brings the metrics up to date.
    fn show(&self, good: &Good, statuses: &[PlacedStatus]) {
        let mut metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let series = |request: &str, server: &str| labels(&[("request", request), ("server", server)]);
        metrics.predicted_s = good.predictions.iter().map(|p| (series(&p.request, &p.server), p.predicted_s)).collect();
        let measured = |s: &PlacedStatus| Some((series(&s.promise.request, &s.promise.server), s.measured_s?));
        metrics.measured_s = statuses.iter().filter_map(measured).collect();
        metrics.revenue = good.plan.objective;
        metrics.gap = good.plan.gap;
        metrics.on_last_good_plan = good.fallback.is_some();
    }

    /// Brings a request's status up to date and tells what changed.
    async fn report(
        &self,
        request: &InferenceRequest,
        good: &Good,
        statuses: &[PlacedStatus],
        nodes: &BTreeMap<String, String>,
    ) -> Result<()> {
        let name = request.name_any();
        let before = request.status.clone().unwrap_or_default();
        let now = status_of(request, good, statuses, nodes);
        if now == before {
            return Ok(());
        }
        let api: Api<InferenceRequest> =
            Api::namespaced(self.operator.client.clone(), &self.operator.params.rollout.pods.namespace);
        let patch = json!({ "status": now });
        let action = format!("write the status of {name}");
        let patched = retrying(&action, || async {
            match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // It was deleted meanwhile.
                Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                answer => answer.map(drop),
            }
        });
        patched.await?;
        if now.assignments != before.assignments && !now.assignments.is_empty() {
            let places: Vec<String> =
                now.assignments.iter().map(|a| format!("{} on {} ({})", a.instances, a.server, a.node)).collect();
            let reason = if before.assignments.is_empty() { "Placed" } else { "Moved" };
            self.tell(request, EventType::Normal, reason, places.join(", ")).await;
        }
        if let Some(rejection) = now.rejection.as_ref().filter(|now| Some(*now) != before.rejection.as_ref()) {
            let note = format!("{}: {}", rejection.code, rejection.message);
            self.tell(request, EventType::Warning, "Rejected", note).await;
        }
        let broken = |status: &InferenceRequestStatus| {
            status.conditions.iter().any(|c| c.type_ == SLA_KEPT && c.status == "False")
        };
        if broken(&now) && !broken(&before) {
            let note = format!(
                "measured {:.4} s, promised {} s",
                now.measured_seconds.unwrap_or(0.0),
                request.spec.delay_seconds
            );
            self.tell(request, EventType::Warning, "SlaViolated", note).await;
        }
        Ok(())
    }

    /// Emits an Event. One that is lost is no reason to stop.
    async fn tell<K>(&self, about: &K, type_: EventType, reason: &str, note: String)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            // Longer notes are refused.
            note: Some(note.chars().take(1000).collect()),
            action: "Place".to_owned(),
            secondary: None,
        };
        let about = about.object_ref(&());
        let _ = retrying("emit an Event", || async { self.recorder.publish(&event, &about).await }).await;
    }
}

fn nothing_to_do(instance: &Instance) -> Plan {
    let mut plan = keeping(&[], instance, None);
    plan.method = "nothing to do".to_owned();
    plan.rejected = instance
        .requests
        .iter()
        .map(|request| Rejection {
            request: request.id.clone(),
            code: RejectionCode::MemoryExceeded,
            detail: "there is no server".to_owned(),
        })
        .collect();
    plan
}

/// What runs of the requests that are open and run whole, on servers that are there.
fn still_whole(running: &[Assignment], instance: &Instance) -> Vec<Assignment> {
    let has_server = |a: &&Assignment| instance.servers.iter().any(|server| server.name == a.server);
    let mut kept = Vec::new();
    for request in &instance.requests {
        let here: Vec<&Assignment> = running.iter().filter(|a| a.request == request.id).filter(has_server).collect();
        if here.iter().map(|a| a.instances).sum::<u32>() == request.instances {
            kept.extend(here.into_iter().cloned());
        }
    }
    kept
}

/// A plan that leaves everything as it runs. Those without a place are rejected as in `new`, or wait.
fn keeping(kept: &[Assignment], instance: &Instance, new: Option<&Plan>) -> Plan {
    let served = |id: &str| kept.iter().any(|a| a.request == id);
    let objective = instance.requests.iter().filter(|r| served(&r.id)).map(|r| r.payment).sum::<f64>() + 0.0;
    let rejected = new.map_or(&[][..], |plan| &plan.rejected).iter().filter(|r| !served(&r.request)).cloned();
    Plan {
        method: "what runs".to_owned(),
        objective,
        bound: new.and_then(|plan| plan.bound),
        gap: None,
        seconds: new.map_or(0.0, |plan| plan.seconds),
        termination: "complete".to_owned(),
        assignments: kept.to_vec(),
        rejected: rejected.collect(),
        audit: None,
        trace: Vec::new(),
    }
}

fn with_predictions(mut plan: Plan, predictions: &[Prediction]) -> Plan {
    let promises =
        predictions.iter().map(|p| json!({"request": p.request, "server": p.server, "predicted_s": p.predicted_s}));
    plan.audit = Some(json!({ "promises": promises.collect::<Vec<_>>() }));
    plan
}

fn all_hold(predictions: &[Prediction], instance: &Instance) -> bool {
    predictions.iter().all(|prediction| {
        let request = instance.requests.iter().find(|request| request.id == prediction.request);
        request.is_some_and(|request| prediction.promise_s <= request.delay_s)
    })
}
