//! The open-loop load generator: every arrival of the schedule is sent when it is due, whatever became of those before it.
//!
//! It runs on a thread of its own with an event loop of its own. Nothing limits the requests in flight but the process's
//! descriptors; what cannot be sent for want of one is counted as dropped. Each request keeps the instant it was due, the
//! instant it was sent and the instant its answer was complete, all on the host's monotonic clock.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use neuro_data::{Lateness, LoadReport, Phases, RequestStatus, summary::quantile};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::clock::{clock_id, monotonic_s, thread_cpu_s};
use crate::host::stolen_ticks;
use crate::pacer::Pacer;
use crate::schedule::Arrival;
use crate::{Endpoint, Error, Interrupt, Result, scheduling};

/// Path that one inference is asked for at.
pub const REQUEST_PATH: &str = "/request-static";

/// What a service says of one inference. Every field is optional: a service that reports none can be loaded too, and its
/// response times are measured; its service times then stay unknown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ServiceReply {
    /// Start of the inference on the service's monotonic clock, seconds.
    pub start_s: Option<f64>,
    /// End of the inference.
    pub end_s: Option<f64>,
    /// Time of the inference alone.
    pub service_s: Option<f64>,
    /// Time from arrival at the service to the inference's start.
    pub queueing_s: Option<f64>,
    /// Requests waiting or in service on arrival.
    pub queue_len: Option<u32>,
    /// What identifies the service's clock; instants are used where it is this host's.
    pub clock: Option<String>,
}

/// What became of one arrival. Instants are seconds from the start of the load.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// When it was sent; `None` where it was not.
    pub sent_s: Option<f64>,
    /// When its answer was complete.
    pub client_end_s: Option<f64>,
    /// What the service said, its instants from the start of the load.
    pub reply: ServiceReply,
    /// How it ended.
    pub status: RequestStatus,
}

/// The load as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOutcome {
    /// What became of each arrival, in the order of the schedule.
    pub sent: Vec<Sent>,
    /// The generator's account of itself.
    pub report: LoadReport,
}

/// A load that flows on a thread of its own.
#[derive(Debug)]
pub struct Load {
    /// The instant of the monotonic clock that the schedule counts from.
    pub start_s: f64,
    outcome: oneshot::Receiver<Result<Option<LoadOutcome>>>,
}

impl Load {
    /// Starts sending `arrivals` to `endpoints`, counted from `start_s` on the monotonic clock (a little ahead of now, so that
    /// the first is not late).
    ///
    /// # Errors
    /// The thread cannot be started, or an arrival has no endpoint.
    pub fn start(
        arrivals: Vec<Arrival>,
        endpoints: &[Endpoint],
        phases: Phases,
        start_s: f64,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let requests = arrivals.iter().map(|arrival| target_of(arrival, endpoints)).collect::<Result<Vec<_>>>()?;
        let (sender, outcome) = oneshot::channel();
        let interrupt = interrupt.clone();
        let generate = move || {
            let outcome = generate(arrivals, requests, phases, start_s, &interrupt);
            let _ = sender.send(outcome);
        };
        std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(generate)
            .map_err(Error::io("start", "the load generator's thread"))?;
        Ok(Self { start_s, outcome })
    }

    /// Waits for the load to end and drain; `None` when it was given up.
    ///
    /// # Errors
    /// The generator could not be set up.
    pub async fn outcome(self) -> Result<Option<LoadOutcome>> {
        self.outcome.await.unwrap_or_else(|_| Err(Error::Load("its thread ended early".to_owned())))
    }
}

/// Where an arrival goes and what it carries, made before the load starts.
type Prepared = (Uri, Bytes);

fn target_of(arrival: &Arrival, endpoints: &[Endpoint]) -> Result<Prepared> {
    let endpoint = endpoints
        .iter()
        .find(|e| e.tenant == arrival.tenant && e.replica == arrival.replica)
        .ok_or_else(|| Error::Load(format!("tenant {} has no replica {}", arrival.tenant, arrival.replica)))?;
    let uri = format!("http://{}{REQUEST_PATH}", endpoint.authority);
    let uri = uri.parse().map_err(|e| Error::Load(format!("{uri} is no address: {e}")))?;
    Ok((uri, Bytes::from(format!("{{\"batch_size\":{}}}", endpoint.batch))))
}

fn generate(
    arrivals: Vec<Arrival>,
    requests: Vec<Prepared>,
    phases: Phases,
    start_s: f64,
    interrupt: &Interrupt,
) -> Result<Option<LoadOutcome>> {
    let scheduling = scheduling::prefer_this_thread();
    // An event loop that looks at its descriptors after every few tasks: the timer is one of them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(4)
        .build()
        .map_err(Error::io("set up", "the load generator's event loop"))?;
    let local = LocalSet::new();
    let generator = Rc::new(Generator::new(arrivals.len(), start_s));
    let (cpu_before, ticks_before) = (thread_cpu_s(), stolen_ticks());
    let finished = local.block_on(&runtime, async {
        let sending = send_all(&generator, &arrivals, requests, &phases);
        tokio::select! {
            result = sending => result.map(|()| true),
            () = interrupt.stopped_now() => Ok(false),
        }
    })?;
    let cpu_s = thread_cpu_s() - cpu_before;
    drop(local);
    if !finished {
        return Ok(None);
    }
    let sent = generator.sent.take();
    let mut report = report(&arrivals, &sent, &phases);
    report.cpu_s = cpu_s;
    report.cpu_share = cpu_s / phases.end_s();
    report.steal_share = ticks_before.zip(stolen_ticks()).map(|((stolen_before, all_before), (stolen, all))| {
        (stolen - stolen_before) as f64 / (all - all_before).max(1) as f64
    });
    report.in_flight_max = generator.in_flight.borrow().1;
    report.scheduling = scheduling;
    Ok(Some(LoadOutcome { sent, report }))
}

struct Generator {
    client: Client<HttpConnector, Full<Bytes>>,
    clock: Option<String>,
    start_s: f64,
    sent: RefCell<Vec<Sent>>,
    /// Requests in flight, now and at most.
    in_flight: RefCell<(u64, u64)>,
    drained: tokio::sync::Notify,
}

impl Generator {
    fn new(arrivals: usize, start_s: f64) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(None).build(connector);
        let unsent =
            Sent { sent_s: None, client_end_s: None, reply: ServiceReply::default(), status: RequestStatus::Dropped };
        Self {
            client,
            clock: clock_id(),
            start_s,
            sent: RefCell::new(vec![unsent; arrivals]),
            in_flight: RefCell::default(),
            drained: tokio::sync::Notify::new(),
        }
    }

    fn now_s(&self) -> f64 {
        monotonic_s() - self.start_s
    }

    /// Sends one request and keeps what becomes of it. Until it ends, the record says "censored".
    async fn send(self: Rc<Self>, index: usize, (uri, body): Prepared) {
        {
            let mut in_flight = self.in_flight.borrow_mut();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
            let record = &mut self.sent.borrow_mut()[index];
            record.sent_s = Some(self.now_s());
            record.status = RequestStatus::Censored;
        }
        let answer = self.exchange(uri, body).await;
        let end_s = self.now_s();
        let record = &mut self.sent.borrow_mut()[index];
        match answer {
            Ok(reply) => {
                record.client_end_s = Some(end_s);
                record.reply = self.on_our_clock(reply);
                record.status = RequestStatus::Ok;
            }
            Err(Refusal::NoDescriptor) => {
                record.sent_s = None;
                record.status = RequestStatus::Dropped;
            }
            Err(Refusal::Other) => {
                record.client_end_s = Some(end_s);
                record.status = RequestStatus::Failed;
            }
        }
        let mut in_flight = self.in_flight.borrow_mut();
        in_flight.0 -= 1;
        if in_flight.0 == 0 {
            self.drained.notify_one();
        }
    }

    async fn exchange(&self, uri: Uri, body: Bytes) -> std::result::Result<ServiceReply, Refusal> {
        let request = Request::post(uri).header("content-type", "application/json").body(Full::new(body));
        let request = request.map_err(|_| Refusal::Other)?;
        let response = self.client.request(request).await.map_err(|e| Refusal::of(&e))?;
        let ok = response.status().is_success();
        let body = response.into_body().collect().await.map_err(|e| Refusal::of(&e))?.to_bytes();
        // An answer that is no JSON object is an answer all the same: only its timings are unknown.
        if ok { Ok(serde_json::from_slice(&body).unwrap_or_default()) } else { Err(Refusal::Other) }
    }

    /// Instants counted from the load's start where the service reads our clock, and unknown where it does not.
    fn on_our_clock(&self, mut reply: ServiceReply) -> ServiceReply {
        let shared = self.clock.is_some() && reply.clock == self.clock;
        for instant in [&mut reply.start_s, &mut reply.end_s] {
            *instant = instant.filter(|s| shared && s.is_finite()).map(|s| s - self.start_s);
        }
        for duration in [&mut reply.service_s, &mut reply.queueing_s] {
            *duration = duration.filter(|s| s.is_finite() && *s >= 0.0);
        }
        reply
    }
}

/// Why a request got no answer.
enum Refusal {
    /// The process has no descriptor left: it was never sent.
    NoDescriptor,
    Other,
}

impl Refusal {
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let errno = error.downcast_ref::<std::io::Error>().and_then(rustix::io::Errno::from_io_error);
            if matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) {
                return Self::NoDescriptor;
            }
            cause = error.source();
        }
        Self::Other
    }
}

async fn send_all(
    generator: &Rc<Generator>,
    arrivals: &[Arrival],
    requests: Vec<Prepared>,
    phases: &Phases,
) -> Result<()> {
    let mut pacer = Pacer::new().map_err(Error::io("set up", "the pacer"))?;
    for (index, (arrival, request)) in arrivals.iter().zip(requests).enumerate() {
        let due_s = generator.start_s + arrival.intended_s;
        pacer.sleep_until(due_s).await.map_err(Error::io("set", "the pacer"))?;
        tokio::task::spawn_local(Rc::clone(generator).send(index, request));
    }
    // The window lasts to its end even when its last arrival is earlier.
    pacer.sleep_until(generator.start_s + phases.end_s()).await.map_err(Error::io("set", "the pacer"))?;
    let drained = async {
        while generator.in_flight.borrow().0 > 0 {
            generator.drained.notified().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs_f64(phases.drain_s), drained).await;
    Ok(())
}

fn report(arrivals: &[Arrival], sent: &[Sent], phases: &Phases) -> LoadReport {
    let mut lateness: Vec<f64> =
        arrivals.iter().zip(sent).filter_map(|(arrival, sent)| Some(sent.sent_s? - arrival.intended_s)).collect();
    let in_time = sent.iter().filter(|s| s.sent_s.is_some_and(|t| t <= phases.end_s())).count();
    let lateness = if lateness.is_empty() {
        Lateness::default()
    } else {
        Lateness {
            p50: quantile(&mut lateness, 0.5),
            p99: quantile(&mut lateness, 0.99),
            max: quantile(&mut lateness, 1.0),
        }
    };
    LoadReport {
        requested_rate: arrivals.len() as f64 / phases.end_s(),
        achieved_rate: in_time as f64 / phases.end_s(),
        send_lateness_s: lateness,
        dropped: sent.iter().filter(|s| s.status == RequestStatus::Dropped).count() as u64,
        ..LoadReport::default()
    }
}
