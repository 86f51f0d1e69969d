//! A replica: one application behind one first-come-first-served queue.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::app::InferenceApp;
use crate::clock::monotonic_s;
use crate::error::{Error, Result};
use crate::statistics::{Histogram, Record, RecordLog, ServiceTimes, service_times};

/// What a replica is told at its start.
#[derive(Debug, Clone)]
pub struct ReplicaOptions {
    /// Identifies the replica in what it reports.
    pub uid: String,
    /// Batch of the warm-up inference, in items.
    pub warm_up_batch: usize,
    /// Greatest number of waiting requests; further ones are refused.
    pub queue_limit: usize,
    /// Greatest number of records kept; the oldest are dropped beyond it.
    pub record_limit: usize,
}

impl ReplicaOptions {
    /// Options for a replica called `uid`: 65,536 waiting requests and 1,000,000 records (40 MB) at most.
    pub fn new(uid: impl Into<String>, warm_up_batch: usize) -> Self {
        Self { uid: uid.into(), warm_up_batch, queue_limit: 65_536, record_limit: 1_000_000 }
    }
}

/// How far a replica is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    /// The application is being built or warmed up.
    Starting,
    /// Requests are served.
    Ready {
        /// Time from the replica's start until now it is ready, in seconds.
        startup_s: f64,
    },
    /// The start failed, or the inference thread has ended.
    Stopped,
}

/// A completed inference.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Number of the request, counted from 0 in the order of arrival.
    pub seq: u64,
    /// One number per item of the batch.
    pub output: Vec<f32>,
    /// Its times.
    pub record: Record,
}

/// What a replica has counted since its start; flushing does not touch it.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Requests served.
    pub completed: u64,
    /// Requests whose inference failed with an error.
    pub failed: u64,
    /// Requests whose inference panicked.
    pub panicked: u64,
    /// Requests withdrawn while they waited.
    pub cancelled: u64,
    /// Requests refused because the queue was full.
    pub refused: u64,
    /// Durations of the completed inferences.
    pub service: Histogram,
    /// Waiting times of the completed requests.
    pub queueing: Histogram,
}

type Reply = Box<dyn FnOnce(Result<Completion>) + Send>;

struct Job {
    seq: u64,
    batch: usize,
    arrival_s: f64,
    queue_len: usize,
    reply: Reply,
}

struct State {
    status: Status,
    waiting: VecDeque<Job>,
    in_service: bool,
    closing: bool,
    next_seq: u64,
    counts: Counts,
    log: RecordLog,
}

struct Shared {
    options: ReplicaOptions,
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    /// The state is consistent between any two statements that hold the lock, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An application served by one thread of its own, one inference at a time, first come first served.
///
/// # Guarantees
///
/// - Arrival is stamped in the same critical section that appends to the queue: the order of arrival times is the order of
///   service.
/// - An inference starts no earlier than the previous one has ended.
/// - Service time is the inference alone; waiting for the queue is kept apart.
/// - A panic or an error of the application ends that request only.
///
/// Dropping the replica ends its thread after the inference in progress; waiting requests are answered with
/// [`Error::Stopped`].
///
/// ```
/// use std::sync::mpsc;
/// use neuro_apps::registry::Registry;
/// use neuro_apps::replica::{Replica, ReplicaOptions};
///
/// # fn main() -> neuro_apps::error::Result<()> {
/// let app = Registry::built_in().find("kalman-gru")?;
/// let (ready, await_ready) = mpsc::channel();
/// let options = ReplicaOptions::new("example", app.default_batch);
/// let replica = Replica::start(options, || Ok(Box::new(app.build(1, None)?)), move |result| drop(ready.send(result)))?;
/// await_ready.recv().expect("the replica reports")?;
///
/// let (answer, await_answer) = mpsc::channel();
/// let ticket = replica.submit(16, move |completion| drop(answer.send(completion)))?;
/// let completion = await_answer.recv().expect("the replica answers")?;
/// drop(ticket);
/// assert_eq!(completion.output.len(), 16);
/// assert!(completion.record.service_s() > 0.0);
/// # Ok(())
/// # }
/// ```
pub struct Replica {
    shared: Arc<Shared>,
}

/// A submitted request. Dropping it withdraws the request if it is still waiting.
#[must_use = "dropping the ticket withdraws the request"]
pub struct Ticket {
    shared: Arc<Shared>,
    seq: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Ok(position) = state.waiting.binary_search_by_key(&self.seq, |job| job.seq) {
            state.waiting.remove(position);
            state.counts.cancelled += 1;
        }
    }
}

impl Replica {
    /// Starts the inference thread, which builds the application with `build`, warms it up with one inference and then serves.
    /// `on_started` is called on that thread, once, when the replica is ready or has failed to start.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when no thread can be started.
    pub fn start(
        options: ReplicaOptions,
        build: impl FnOnce() -> Result<Box<dyn InferenceApp>> + Send + 'static,
        on_started: impl FnOnce(Result<()>) + Send + 'static,
    ) -> Result<Self> {
        let begin_s = monotonic_s();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                status: Status::Starting,
                waiting: VecDeque::new(),
                in_service: false,
                closing: false,
                next_seq: 0,
                counts: Counts {
                    completed: 0,
                    failed: 0,
                    panicked: 0,
                    cancelled: 0,
                    refused: 0,
                    service: Histogram::new(),
                    queueing: Histogram::new(),
                },
                log: RecordLog::new(options.record_limit),
            }),
            wake: Condvar::new(),
            options,
        });
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name("inference".to_owned())
            .spawn(move || {
                let batch = worker.options.warm_up_batch;
                let built = guarded(|| {
                    let mut app = build()?;
                    app.infer(batch)?;
                    Ok(app)
                });
                match built {
                    Ok(app) => {
                        worker.lock().status = Status::Ready { startup_s: monotonic_s() - begin_s };
                        on_started(Ok(()));
                        serve(&worker, app);
                    }
                    Err(error) => {
                        worker.lock().status = Status::Stopped;
                        on_started(Err(error));
                    }
                }
            })
            .map_err(|source| Error::Io { action: "starting the inference thread", source })?;
        Ok(Self { shared })
    }

    /// Puts a request for one inference of `batch` items into the queue. `reply` is called on the inference thread with the
    /// outcome, unless the returned ticket is dropped while the request waits.
    ///
    /// # Errors
    ///
    /// [`Error::Starting`] before the replica is ready, [`Error::Stopped`] after its end, [`Error::QueueFull`].
    pub fn submit(&self, batch: usize, reply: impl FnOnce(Result<Completion>) + Send + 'static) -> Result<Ticket> {
        let limit = self.shared.options.queue_limit;
        let mut state = self.shared.lock();
        match state.status {
            Status::Starting => return Err(Error::Starting),
            Status::Stopped => return Err(Error::Stopped),
            Status::Ready { .. } => {}
        }
        if state.waiting.len() >= limit {
            state.counts.refused += 1;
            return Err(Error::QueueFull { limit });
        }
        let seq = state.next_seq;
        state.next_seq += 1;
        let job = Job {
            seq,
            batch,
            arrival_s: monotonic_s(),
            queue_len: state.waiting.len() + usize::from(state.in_service),
            reply: Box::new(reply),
        };
        state.waiting.push_back(job);
        drop(state);
        self.shared.wake.notify_one();
        Ok(Ticket { shared: Arc::clone(&self.shared), seq })
    }

    /// How far the replica is.
    pub fn status(&self) -> Status {
        self.shared.lock().status
    }

    /// What identifies the replica.
    pub fn uid(&self) -> &str {
        &self.shared.options.uid
    }

    /// Number of requests waiting or in service.
    pub fn queue_len(&self) -> usize {
        let state = self.shared.lock();
        state.waiting.len() + usize::from(state.in_service)
    }

    /// What has been counted since the start.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts.clone()
    }

    /// The records since the last flush.
    pub fn service_times(&self) -> ServiceTimes {
        let (records, dropped) = self.shared.lock().log.snapshot();
        service_times(self.uid(), &records, dropped)
    }

    /// Forgets the records and returns how many there were. A request in service or waiting is recorded when it completes.
    pub fn flush(&self) -> usize {
        self.shared.lock().log.flush()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

/// Serves requests until the replica is dropped.
fn serve(shared: &Shared, mut app: Box<dyn InferenceApp>) {
    while let Some(job) = next_job(shared) {
        let start_s = monotonic_s();
        let outcome = guarded(|| app.infer(job.batch));
        let end_s = monotonic_s();
        let record = Record { arrival_s: job.arrival_s, start_s, end_s, queue_len: job.queue_len };
        let mut state = shared.lock();
        state.in_service = false;
        match &outcome {
            Ok(_) => {
                state.counts.completed += 1;
                state.counts.service.observe(record.service_s());
                state.counts.queueing.observe(record.queueing_s());
                state.log.push(record);
            }
            Err(Error::Panicked(_)) => state.counts.panicked += 1,
            Err(_) => state.counts.failed += 1,
        }
        drop(state);
        (job.reply)(outcome.map(|output| Completion { seq: job.seq, output, record }));
    }
    let mut state = shared.lock();
    state.status = Status::Stopped;
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    for job in waiting {
        (job.reply)(Err(Error::Stopped));
    }
}

/// Waits for a request and marks it as in service; none when the replica is closing.
fn next_job(shared: &Shared) -> Option<Job> {
    let mut state = shared
        .wake
        .wait_while(shared.lock(), |state| state.waiting.is_empty() && !state.closing)
        .unwrap_or_else(PoisonError::into_inner);
    if state.closing {
        return None;
    }
    let job = state.waiting.pop_front()?;
    state.in_service = true;
    Some(job)
}

/// Runs `work`; a panic in it becomes an error. The application may be left in a broken state by a panic, but it keeps
/// nothing between inferences except its input, so the next inference stands on its own.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Error::Panicked(panic_message(payload.as_ref()))))
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Each inference waits for a permit, reports its batch and answers with it; batch 13 panics, 14 fails.
    struct Gated {
        permits: Receiver<()>,
        begun: Sender<usize>,
    }

    impl InferenceApp for Gated {
        fn infer(&mut self, batch: usize) -> Result<Vec<f32>> {
            self.begun.send(batch).unwrap();
            self.permits.recv().unwrap();
            match batch {
                13 => panic!("thirteen"),
                14 => Err(Error::Request("fourteen".to_owned())),
                _ => Ok(vec![batch as f32]),
            }
        }
    }

    struct Fixture {
        replica: Replica,
        permit: Sender<()>,
        begun: Receiver<usize>,
        answers: Receiver<Result<Completion>>,
        answer: Sender<Result<Completion>>,
    }

    fn ready(queue_limit: usize) -> Fixture {
        let (permit, permits) = channel();
        let (begin, begun) = channel();
        let (started, await_started) = channel();
        let options = ReplicaOptions { queue_limit, ..ReplicaOptions::new("test", 1) };
        let app = Gated { permits, begun: begin };
        let replica = Replica::start(options, || Ok(Box::new(app)), move |r| started.send(r).unwrap()).unwrap();
        assert_eq!(begun.recv().unwrap(), 1);
        assert_eq!(replica.status(), Status::Starting);
        assert!(matches!(replica.submit(2, |_| ()), Err(Error::Starting)));
        permit.send(()).unwrap();
        await_started.recv().unwrap().unwrap();
        assert!(matches!(replica.status(), Status::Ready { startup_s } if startup_s > 0.0));
        let (answer, answers) = channel();
        Fixture { replica, permit, begun, answers, answer }
    }

    impl Fixture {
        fn submit(&self, batch: usize) -> Result<Ticket> {
            let answer = self.answer.clone();
            self.replica.submit(batch, move |outcome| drop(answer.send(outcome)))
        }
    }

    #[test]
    fn requests_are_served_in_order_and_queue_lengths_counted() {
        let f = ready(100);
        let tickets: Vec<_> = (2..6).map(|batch| f.submit(batch).unwrap()).collect();
        for _ in 0..4 {
            f.permit.send(()).unwrap();
        }
        let done: Vec<_> = (0..4).map(|_| f.answers.recv().unwrap().unwrap()).collect();
        drop(tickets);
        assert_eq!(done.iter().map(|c| c.seq).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(done.iter().map(|c| c.output[0]).collect::<Vec<_>>(), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(done.iter().map(|c| c.record.queue_len).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(done.windows(2).all(|pair| pair[1].record.start_s >= pair[0].record.end_s));
        assert!(done.iter().all(|c| c.record.queueing_s() >= 0.0 && c.record.service_s() >= 0.0));

        let times = f.replica.service_times();
        assert_eq!((times.uid.as_str(), times.service_times.len()), ("test", 4));
        assert_eq!(times.queue_lens, [0, 1, 2, 3]);
        assert_eq!(f.replica.flush(), 4);
        assert!(f.replica.service_times().queue_lens.is_empty());
        assert_eq!(f.replica.counts().completed, 4);
    }

    #[test]
    fn a_waiting_request_can_be_withdrawn_and_a_full_queue_refuses() {
        let f = ready(2);
        let first = f.submit(2).unwrap();
        assert_eq!(f.begun.recv().unwrap(), 2);
        let second = f.submit(3).unwrap();
        let third = f.submit(4).unwrap();
        assert_eq!(f.replica.queue_len(), 3);
        assert!(matches!(f.submit(5), Err(Error::QueueFull { limit: 2 })));
        drop(second);
        drop(first);
        assert_eq!(f.replica.queue_len(), 2);
        f.permit.send(()).unwrap();
        f.permit.send(()).unwrap();
        let served: Vec<_> = (0..2).map(|_| f.answers.recv().unwrap().unwrap().output[0]).collect();
        assert_eq!(served, [2.0, 4.0]);
        drop(third);
        let counts = f.replica.counts();
        assert_eq!((counts.completed, counts.cancelled, counts.refused), (2, 1, 1));
    }

    #[test]
    fn a_panic_and_an_error_end_one_request_only() {
        let f = ready(10);
        let tickets: Vec<_> = [13, 14, 7].map(|batch| f.submit(batch).unwrap()).into();
        for _ in 0..3 {
            f.permit.send(()).unwrap();
        }
        assert!(matches!(f.answers.recv().unwrap(), Err(Error::Panicked(text)) if text == "thirteen"));
        assert!(matches!(f.answers.recv().unwrap(), Err(Error::Request(text)) if text == "fourteen"));
        assert_eq!(f.answers.recv().unwrap().unwrap().output, [7.0]);
        drop(tickets);
        let counts = f.replica.counts();
        assert_eq!((counts.completed, counts.failed, counts.panicked), (1, 1, 1));
        assert_eq!(f.replica.service_times().service_times.len(), 1);
    }

    #[test]
    fn a_failed_start_is_reported_and_requests_are_refused() {
        let (started, await_started) = channel();
        let build = || Err(Error::Request("no model".to_owned()));
        let replica = Replica::start(ReplicaOptions::new("x", 1), build, move |r| started.send(r).unwrap()).unwrap();
        assert_eq!(await_started.recv().unwrap().unwrap_err().to_string(), "no model");
        assert_eq!(replica.status(), Status::Stopped);
        assert!(matches!(replica.submit(1, |_| ()), Err(Error::Stopped)));
    }

    #[test]
    fn dropping_the_replica_answers_those_who_wait() {
        let f = ready(10);
        let tickets = [f.submit(2).unwrap(), f.submit(3).unwrap()];
        assert_eq!(f.begun.recv().unwrap(), 2);
        drop(f.replica);
        f.permit.send(()).unwrap();
        assert_eq!(f.answers.recv().unwrap().unwrap().output, [2.0]);
        assert!(matches!(f.answers.recv().unwrap(), Err(Error::Stopped)));
        drop(tickets);
    }
}
