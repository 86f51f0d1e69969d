//! The HTTP service of one replica.
//!
//! | call | answer |
//! |---|---|
//! | POST `/request-static`, body `{"batch_size": n}` or nothing | one inference: [`Answer`] |
//! | GET `/service-times` | [`ServiceTimes`](crate::statistics::ServiceTimes), the records since the last flush |
//! | POST `/flush` | `{"flushed": n}`; forgets the records |
//! | GET `/healthz` | 200 [`Health::Ready`] after the warm-up inference, before it 503 [`Health::Starting`] |
//! | GET `/counters` | [`Account`]: what the process has cost so far, by its own account |
//! | GET `/metrics` | counters and histograms for Prometheus |
//!
//! What goes wrong is answered with `{"error": "…"}`: 400 for a body that is not understood or a batch out of range, 413 for a
//! body over 64 KiB, 404, 405, 500 when the inference fails, 503 when the replica is starting or its queue is full. A waiting request
//! whose client hangs up is withdrawn.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::clock::{clock_id, monotonic_s};
use crate::counters::{Counters, EventTotal, Memory, memory};
use crate::error::{Error, Result};
use crate::metrics::{self, Page};
use crate::process::{compute_threads, when_input_ends};
use crate::registry::{App, Registry};
use crate::replica::{Completion, Counts, Replica, ReplicaOptions, Status};
use crate::seed::fnv1a;

/// The largest body of a request, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// What to serve, and where.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// Application to serve
    #[arg(long, value_name = "ID")]
    pub app: String,

    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "N")]
    pub port: u16,

    /// Address to listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// Items per inference where a request does not say; the application's own default if left out
    #[arg(long, value_name = "B")]
    pub batch: Option<u64>,

    /// Checkpoint to load in place of random weights, under the names of the Python original
    #[arg(long, value_name = "FILE.safetensors")]
    pub weights: Option<PathBuf>,

    /// Compute threads of one inference
    #[arg(long, value_name = "T", default_value_t = 1)]
    pub threads: usize,

    /// Seed of weights and inputs
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,

    /// End when standard input ends, that is, when the process that holds the other end of the pipe is gone
    #[arg(long)]
    pub exit_with_parent: bool,
}

/// Where a service can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// The address, with the port that was taken.
    pub listening: SocketAddr,
    /// The application.
    pub app: &'static str,
    /// Identifies the replica: differs between any two processes.
    pub uid: String,
}

/// The answer to an inference. Times are in seconds; those without `queueing` or `service` in the name are absolute, on the
/// [clock](crate::clock) that `clock` names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// One number per item.
    pub output: Vec<f32>,
    /// Number of the request, from 0 in the order of arrival.
    pub seq: u64,
    /// When the request was put into the queue.
    pub arrival_s: f64,
    /// When its inference began.
    pub start_s: f64,
    /// When its inference ended.
    pub end_s: f64,
    /// `start_s` − `arrival_s`.
    pub queueing_s: f64,
    /// `end_s` − `start_s`: the inference alone.
    pub service_s: f64,
    /// Requests waiting or in service on arrival.
    pub queue_len: usize,
    /// Boot id of the host; empty where there is none.
    pub clock: String,
}

/// The answer to a health check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Health {
    /// The application is being built or warmed up.
    Starting,
    /// The replica serves.
    Ready {
        /// The application.
        app: &'static str,
        /// Identifies the replica.
        uid: String,
        /// Compute threads of one inference.
        threads: usize,
        /// Items per inference where a request does not say.
        batch: usize,
        /// Time from start to readiness, in seconds.
        startup_s: f64,
    },
    /// The replica has stopped.
    Stopped,
}

/// What a replica has cost so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Account {
    /// Identifies the replica.
    pub uid: String,
    /// When it was taken, on the clock that `clock` names.
    pub time_s: f64,
    /// Boot id of the host; empty where there is none.
    pub clock: String,
    /// Totals since the process began to count.
    pub events: Vec<EventTotal>,
    /// Of the process, and the limit of its control group.
    pub memory: Memory,
}

/// Serves an application of the `registry` until the process ends. It listens first, then calls `on_listening`, and builds and warms up the
/// application while health checks are answered already.
///
/// `args.threads` takes effect through [`ensure_compute_threads`](crate::process::ensure_compute_threads), which the program
/// calls before this function; `/healthz` reports the number in force. The function returns on SIGTERM and SIGINT, which a container's first process
/// would ignore otherwise, and, with `args.exit_with_parent`, when standard input ends; the program should then end.
///
/// # Errors
///
/// Bad usage ([`Error::exit_code`] 2): [`Error::UnknownApp`], [`Error::Batch`], [`Error::Bind`]. Failure (1): whatever error the
/// application's construction or warm-up ends with, [`Error::Io`].
pub fn serve(args: ServeArgs, registry: &Registry, on_listening: impl FnOnce(&Listening)) -> Result<()> {
    let app = registry.find(&args.app)?;
    let batch = args.batch.map_or(Ok(app.default_batch), |batch| app.check_batch(batch))?;
    let address = SocketAddr::new(args.host, args.port);
    let bind_error = |source| Error::Bind { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(bind_error)?;
    listener.set_nonblocking(true).map_err(bind_error)?;
    let listening = Listening { listening: listener.local_addr().map_err(bind_error)?, app: app.id, uid: unique_id() };

    // Before any thread is there: what they do is counted with it.
    let counters = Counters::start();
    let (started, await_started) = oneshot::channel();
    let replica = Replica::start(
        ReplicaOptions::new(listening.uid.clone(), batch),
        move || Ok(Box::new(app.build(args.seed, args.weights.as_deref())?)),
        move |outcome| drop(started.send(outcome)),
    )?;
    let router = router(Service::new(app, batch, replica, counters));
    let (input_ended, await_input_end) = oneshot::channel::<()>();
    // Where nobody watches the input, its end never comes: the sender stays.
    let _unwatched = if args.exit_with_parent {
        when_input_ends(move || drop(input_ended))?;
        None
    } else {
        Some(input_ended)
    };

    let io_error = |action| move |source| Error::Io { action, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(io_error("starting the server"))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(bind_error)?;
        // Without it small answers wait for the client's delayed acknowledgements.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let mut terminate = signal(SignalKind::terminate()).map_err(io_error("watching for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("watching for SIGINT"))?;
        on_listening(&listening);
        tokio::select! {
            served = async { axum::serve(listener, router).await } => served.map_err(io_error("serving")),
            error = failed_start(await_started) => Err(error),
            _ = await_input_end => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}

/// Completes only if the start fails.
async fn failed_start(started: oneshot::Receiver<Result<()>>) -> Error {
    match started.await {
        Ok(Err(error)) => error,
        Ok(Ok(())) => std::future::pending().await,
        Err(_) => Error::Stopped,
    }
}

/// An identifier that differs between any two processes: a hash of host, boot, process and time.
fn unique_id() -> String {
    let host = rustix::system::uname();
    let text = format!("{:?} {} {} {:?}", host.nodename(), clock_id(), std::process::id(), monotonic_s());
    format!("{:016x}", fnv1a(text.as_bytes()))
}

/// What the handlers share.
struct Service {
    app: &'static App,
    batch: usize,
    replica: Replica,
    counters: Mutex<Counters>,
    clock: String,
    invalid: AtomicU64,
    early: AtomicU64,
}

impl Service {
    fn new(app: &'static App, batch: usize, replica: Replica, counters: Counters) -> Arc<Self> {
        let (invalid, early) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { app, batch, replica, counters: Mutex::new(counters), clock: clock_id(), invalid, early })
    }
}

type Shared = State<Arc<Service>>;

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/request-static", post(request_static))
        .route("/service-times", get(service_times))
        .route("/flush", post(flush))
        .route("/healthz", get(healthz))
        .route("/counters", get(counters))
        .route("/metrics", get(metrics_page))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(service)
}

async fn request_static(State(service): Shared, body: std::result::Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            service.invalid.fetch_add(1, Ordering::Relaxed);
            let text = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    format!("the body is larger than {BODY_LIMIT} bytes")
                }
                _ => rejection.body_text(),
            };
            return refusal(rejection.status(), text);
        }
    };
    match infer(&service, &body).await {
        Ok(completion) => Json(answer(completion, &service.clock)).into_response(),
        Err(error) => {
            let status = match error {
                Error::Batch { .. } | Error::Request(_) => {
                    service.invalid.fetch_add(1, Ordering::Relaxed);
                    StatusCode::BAD_REQUEST
                }
                Error::Starting => {
                    service.early.fetch_add(1, Ordering::Relaxed);
                    StatusCode::SERVICE_UNAVAILABLE
                }
                Error::QueueFull { .. } | Error::Stopped => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            refusal(status, error.to_string())
        }
    }
}

/// Queues the request and awaits its completion. The ticket lives as long as this future: when the client hangs up, the server
/// drops the future, and with it the ticket withdraws the request.
async fn infer(service: &Service, body: &[u8]) -> Result<Completion> {
    let batch = requested_batch(service.app, body)?.unwrap_or(service.batch);
    let (reply, answer) = oneshot::channel();
    let _ticket = service.replica.submit(batch, move |outcome| drop(reply.send(outcome)))?;
    answer.await.map_err(|_| Error::Stopped)?
}

/// The batch that a body asks for; none when it leaves the choice to the replica.
fn requested_batch(app: &App, body: &[u8]) -> Result<Option<usize>> {
    let allowed = || format!("expected {{\"batch_size\": n}} with n from 1 to {}", app.max_batch);
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Error::Request(format!("malformed JSON: {error}; {}", allowed())))?;
    let Value::Object(fields) = value else {
        return Err(Error::Request(format!("the body is not a JSON object; {}", allowed())));
    };
    if let Some(unknown) = fields.keys().find(|key| *key != "batch_size") {
        let unknown: String = unknown.chars().take(40).collect();
        return Err(Error::Request(format!("unknown field `{unknown}`; {}", allowed())));
    }
    match fields.get("batch_size") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(batch) => app.check_batch(batch).map(Some),
            None => {
                let value: String = value.to_string().chars().take(40).collect();
                Err(Error::Request(format!("batch_size is {value}; {}", allowed())))
            }
        },
    }
}

fn answer(completion: Completion, clock: &str) -> Answer {
    let record = completion.record;
    Answer {
        output: completion.output,
        seq: completion.seq,
        arrival_s: record.arrival_s,
        start_s: record.start_s,
        end_s: record.end_s,
        queueing_s: record.queueing_s(),
        service_s: record.service_s(),
        queue_len: record.queue_len,
        clock: clock.to_owned(),
    }
}

async fn service_times(State(service): Shared) -> Response {
    Json(service.replica.service_times()).into_response()
}

async fn flush(State(service): Shared) -> Response {
    Json(json!({ "flushed": service.replica.flush() })).into_response()
}

async fn healthz(State(service): Shared) -> Response {
    let (status, health) = match service.replica.status() {
        Status::Starting => (StatusCode::SERVICE_UNAVAILABLE, Health::Starting),
        Status::Stopped => (StatusCode::SERVICE_UNAVAILABLE, Health::Stopped),
        Status::Ready { startup_s } => (
            StatusCode::OK,
            Health::Ready {
                app: service.app.id,
                uid: service.replica.uid().to_owned(),
                threads: compute_threads(),
                batch: service.batch,
                startup_s,
            },
        ),
    };
    (status, Json(health)).into_response()
}

async fn counters(State(service): Shared) -> Response {
    let events = service.counters.lock().unwrap_or_else(PoisonError::into_inner).read().to_vec();
    let (uid, clock) = (service.replica.uid().to_owned(), service.clock.clone());
    Json(Account { uid, time_s: monotonic_s(), clock, events, memory: memory() }).into_response()
}

async fn metrics_page(State(service): Shared) -> Response {
    let replica = &service.replica;
    let Counts { completed, failed, panicked, cancelled, refused, service: service_s, queueing } = replica.counts();
    let outcomes = [
        ("completed", completed),
        ("failed", failed),
        ("panicked", panicked),
        ("cancelled", cancelled),
        ("refused", refused),
        ("early", service.early.load(Ordering::Relaxed)),
        ("invalid", service.invalid.load(Ordering::Relaxed)),
    ];
    let mut page = Page::new();
    page.gauge(
        "neuro_app_build_info",
        "Always 1; the labels say what runs.",
        &[("app", service.app.id), ("version", env!("CARGO_PKG_VERSION")), ("uid", replica.uid())],
        1.0,
    );
    let startup_s = match replica.status() {
        Status::Ready { startup_s } => Some(startup_s),
        _ => None,
    };
    let ready = f64::from(u8::from(startup_s.is_some()));
    page.gauge("neuro_app_ready", "1 once the warm-up inference is done.", &[], ready);
    if let Some(startup_s) = startup_s {
        let help = "Time from start to readiness.";
        page.gauge("neuro_app_startup_seconds", help, &[], startup_s);
    }
    let help = "Requests waiting or in service.";
    page.gauge("neuro_app_queue_length", help, &[], replica.queue_len() as f64);
    page.counter(
        "neuro_app_requests_total",
        "Requests for an inference by outcome.",
        &outcomes.map(|(outcome, count)| (("outcome", outcome), count)),
    );
    page.histogram("neuro_app_service_seconds", "Durations of completed inferences.", &service_s);
    page.histogram("neuro_app_queueing_seconds", "Waiting times of completed requests.", &queueing);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page.into_text()).into_response()
}

async fn unknown_path(uri: Uri) -> Response {
    refusal(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let text = format!("{method} is not allowed on {}", uri.path());
    refusal(StatusCode::METHOD_NOT_ALLOWED, text)
}

fn refusal(status: StatusCode, error: String) -> Response {
    (status, Json(json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::InferenceApp;
    use std::sync::mpsc;

    fn batch(body: &str) -> std::result::Result<Option<usize>, String> {
        let app = Registry::built_in().find("kalman-gru").unwrap();
        requested_batch(app, body.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn bodies_that_are_understood() {
        for body in ["", " \n", "{}", r#"{"batch_size": null}"#] {
            assert_eq!(batch(body), Ok(None), "{body}");
        }
        assert_eq!(batch(r#"{"batch_size": 7}"#), Ok(Some(7)));
    }

    #[test]
    fn bodies_that_are_not_are_answered_with_what_is_allowed() {
        for body in [
            "{",
            "[16]",
            "16",
            r#"{"batch": 1}"#,
            r#"{"batch_size": -1}"#,
            r#"{"batch_size": 1.5}"#,
            r#"{"batch_size": "1"}"#,
            r#"{"batch_size": 0}"#,
            r#"{"batch_size": 1025}"#,
            r#"{"batch_size": 18446744073709551615}"#,
            r#"{"batch_size": 18446744073709551616}"#,
            r#"{"batch_size": 1e999}"#,
        ] {
            let message = batch(body).unwrap_err();
            assert!(message.contains("1 to 1024"), "{body}: {message}");
        }
    }

    #[test]
    fn unique_ids_differ() {
        assert_ne!(unique_id(), unique_id());
    }

    /// Panics at batch 2.
    struct Fragile;

    impl InferenceApp for Fragile {
        fn infer(&mut self, batch: usize) -> Result<Vec<f32>> {
            assert!(batch != 2, "two is too many");
            Ok(vec![0.0; batch])
        }
    }

    #[test]
    fn a_panic_is_answered_with_500_and_the_replica_lives_on() {
        let (started, await_started) = mpsc::channel();
        let options = ReplicaOptions::new("fragile", 1);
        let replica = Replica::start(options, || Ok(Box::new(Fragile)), move |r| started.send(r).unwrap()).unwrap();
        await_started.recv().unwrap().unwrap();
        let service = Service::new(Registry::built_in().find("kalman-gru").unwrap(), 1, replica, Counters::start());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let call = |body: &'static str| {
            let body = Ok(Bytes::from_static(body.as_bytes()));
            runtime.block_on(request_static(State(Arc::clone(&service)), body)).status()
        };
        assert_eq!(call(r#"{"batch_size": 1}"#), StatusCode::OK);
        assert_eq!(call(r#"{"batch_size": 2}"#), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(call(r#"{"batch_size": 3}"#), StatusCode::OK);
        let counts = service.replica.counts();
        assert_eq!((counts.completed, counts.panicked), (2, 1));
    }
}
