//! The discrete-event engine.
//!
//! A replica is a first-come-first-served single server. All running inferences of one application progress at the same rate
//! at any instant ([`super::sharing`]), so each application has one *virtual clock*, the progress that an inference of it
//! makes, in seconds of demand. An inference that starts at clock v with demand d ends at clock v + d, whatever the rates do
//! meanwhile; so a heap by end on the virtual clock knows which inference of an application ends next, and no event touches
//! the other inferences.
//!
//! There are two kinds of events. At an *arrival* at an idle replica an inference starts. At an *end* the replica's next
//! request starts at once if it has arrived; then the load, and with it every rate, stays what it was, and the event costs one
//! replacement in a heap. Arrivals at a busy replica are no events: each replica's next arrival is drawn from its own stream
//! when it is needed. With R replicas and A applications an event costs O(log R + A).
//!
//! Clocks are advanced only when the load changes: between changes the instant of the next end of each application is known.
//!
//! ## References
//! - A. Demers, S. Keshav, S. Shenker, "Analysis and simulation of a fair queueing algorithm", *ACM SIGCOMM Computer
//!   Communication Review* 19(4), 1989, doi:10.1145/75247.75248 (virtual time).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use neuro_data::{Result, RunSpec, derive_seed};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::demand::Sampler;
use super::parameters::{Garbage, Service, SimulatedServer};
use super::sharing::Sharing;
use crate::Interrupt;
use crate::schedule::ArrivalTimes;

/// What became of one scheduled request. Instants are seconds from the start of the run's load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inference {
    /// Replica of its tenant, from 0.
    pub replica: u32,
    /// Number of the arrival at its replica, from 0.
    pub seq: u32,
    /// When it arrived.
    pub arrival_s: f64,
    /// When it started; infinite where it had not by the deadline.
    pub start_s: f64,
    /// When it ended; infinite where it had not by the deadline.
    pub end_s: f64,
}

/// A reading of a replica's counters: totals since the start of the load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CounterTotals {
    /// When it was taken.
    pub time_s: f64,
    /// Index of the tenant in the run's specification.
    pub tenant: usize,
    /// Replica of the tenant, from 0.
    pub replica: u32,
    /// CPU time, seconds.
    pub cpu_s: f64,
    /// Memory traffic, GB.
    pub traffic_gb: f64,
}

/// A simulated run.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedRun {
    /// The requests of each tenant: those that started in the order of their start, then the others.
    pub tenants: Vec<Vec<Inference>>,
    /// The readings, in order of time, tenant and replica: at the start of the load, when the window opens, then at every
    /// interval to its end.
    pub counters: Vec<CounterTotals>,
    /// Events that were processed.
    pub events: u64,
}

/// Events between looks at whether the run is to be given up.
const EVENTS_BETWEEN_LOOKS: u64 = 65_536;

/// Simulates a run; `None` when it was given up on request.
///
/// The arrivals are those of [`crate::schedule::arrivals`]. Every replica's demands come from a random stream of its own, so
/// that none changes when a tenant is added. What has not ended `drain_s` after the window is cut off.
///
/// # Errors
/// The specification makes no sense, or names an application that the server's parameters do not hold.
///
/// # Example
/// ```
/// use neuro_data::{Phases, RunKind, RunSpec, Tenant};
/// use neuro_k8s::Interrupt;
/// use neuro_k8s::sim::{SimParams, simulate};
///
/// let spec = RunSpec {
///     kind: RunKind::Baseline,
///     name: "demo".into(),
///     repeat: 0,
///     seed: 7,
///     threads: 1,
///     phases: Phases { warmup_s: 0.0, duration_s: 100.0, drain_s: 10.0, warmup_inferences: 0 },
///     tenants: vec![Tenant { id: "t".into(), app: "text-bert".into(), instances: 1, rate: 2.0 }],
///     target: None,
/// };
/// let parameters = SimParams::built_in();
/// let run = simulate(&spec, parameters.server("edge-a")?, 10.0, &Interrupt::new())?.unwrap();
/// let first = run.tenants[0][0];
/// assert!(first.start_s == first.arrival_s && first.end_s - first.start_s > 0.05);
/// # Ok::<(), neuro_data::Error>(())
/// ```
pub fn simulate(
    spec: &RunSpec,
    server: SimulatedServer<'_>,
    counter_interval_s: f64,
    interrupt: &Interrupt,
) -> Result<Option<SimulatedRun>> {
    spec.validate()?;
    let mut engine = Engine::new(spec, server)?;
    let finished = engine.run(counter_interval_s, interrupt);
    Ok(finished.then(|| engine.into_run()))
}

/// A heap of (instant or virtual end, replica), smallest first. Bits of non-negative floats are in the order of the floats.
type Agenda = BinaryHeap<Reverse<(u64, u32)>>;

/// One replica.
struct Replica<'a> {
    class: u32,
    tenant: u32,
    number: u32,
    /// Requests that have started.
    started: u32,
    /// The present or last inference in its tenant's log.
    current: usize,
    next_arrival_s: f64,
    arrivals: ArrivalTimes,
    demand: Sampler<'a>,
    demands: ChaCha8Rng,
    startup_s: f64,
    garbage: Option<Garbage>,
    /// CPU time of its ended inferences, seconds.
    cpu_s: f64,
    /// The CPU clock of its application when the present inference started.
    cpu_at_start_s: f64,
    running: bool,
}

impl Replica<'_> {
    fn draw_demand_s(&mut self) -> f64 {
        let mut demand_s = self.demand.draw(&mut self.demands);
        if self.started == 0 {
            demand_s += self.startup_s;
        }
        self.started += 1;
        if let Some(garbage) = self.garbage.filter(|garbage| self.started.is_multiple_of(garbage.every)) {
            demand_s += garbage.pause_s;
        }
        demand_s
    }
}

struct Engine<'a> {
    spec: &'a RunSpec,
    sharing: Sharing,
    /// GB of traffic per CPU second of each application.
    traffic_per_cpu: Vec<f64>,
    /// When the clocks below stood as they are.
    since_s: f64,
    /// Running inferences of each application.
    running: Vec<f64>,
    /// Virtual clock of each application: demand that an inference would have got done, seconds.
    progress_s: Vec<f64>,
    /// CPU clock of each application: CPU time that an inference would have got, seconds.
    cpu_s: Vec<f64>,
    /// The virtual end that is next of each application; infinite where none runs.
    next_end: Vec<f64>,
    /// The instant of that end at the present load.
    due_s: Vec<f64>,
    ends: Vec<Agenda>,
    /// Next arrivals of the idle replicas.
    idle: Agenda,
    replicas: Vec<Replica<'a>>,
    tenants: Vec<Vec<Inference>>,
    counters: Vec<CounterTotals>,
    events: u64,
}

impl<'a> Engine<'a> {
    fn new(spec: &'a RunSpec, server: SimulatedServer<'a>) -> Result<Self> {
        let mut services: Vec<&'a Service> = Vec::new();
        for tenant in &spec.tenants {
            let service = server.service(&tenant.app)?;
            if !services.iter().any(|known| known.id == service.id) {
                services.push(service);
            }
        }
        services.sort_by(|a, b| a.parallelism.total_cmp(&b.parallelism).then_with(|| a.id.cmp(&b.id)));

        let run_id = spec.run_id();
        let end_s = spec.phases.end_s();
        let (mut replicas, mut idle) = (Vec::new(), Agenda::new());
        for (tenant_index, tenant) in spec.tenants.iter().enumerate() {
            let class = services.iter().position(|service| service.id == tenant.app).unwrap_or_default();
            let service = services[class];
            for number in 0..tenant.instances {
                let mut arrivals = ArrivalTimes::new(spec, &run_id, tenant, number);
                let next_arrival_s = arrivals.next_s();
                if next_arrival_s < end_s {
                    idle.push(Reverse((next_arrival_s.to_bits(), replicas.len() as u32)));
                }
                let seed = derive_seed(spec.seed, &["demands", &run_id, &tenant.id, &number.to_string()]);
                replicas.push(Replica {
                    class: class as u32,
                    tenant: tenant_index as u32,
                    number,
                    started: 0,
                    current: 0,
                    next_arrival_s,
                    arrivals,
                    demand: service.demand.sampler(),
                    demands: ChaCha8Rng::seed_from_u64(seed),
                    startup_s: service.startup_s,
                    garbage: service.garbage,
                    cpu_s: 0.0,
                    cpu_at_start_s: 0.0,
                    running: false,
                });
            }
        }
        let expected = |tenant: &neuro_data::Tenant| 1.1 * tenant.rate * f64::from(tenant.instances) * end_s;
        let classes = services.len();
        Ok(Self {
            spec,
            sharing: Sharing::new(server.kind(), &services),
            traffic_per_cpu: services.iter().map(|service| service.pressure_gbs / service.parallelism).collect(),
            since_s: 0.0,
            running: vec![0.0; classes],
            progress_s: vec![0.0; classes],
            cpu_s: vec![0.0; classes],
            next_end: vec![f64::INFINITY; classes],
            due_s: vec![f64::INFINITY; classes],
            ends: vec![Agenda::new(); classes],
            idle,
            replicas,
            tenants: spec.tenants.iter().map(|t| Vec::with_capacity(expected(t).min(1e6) as usize)).collect(),
            counters: Vec::new(),
            events: 0,
        })
    }

    /// Processes every event to the deadline; returns whether it got there.
    fn run(&mut self, counter_interval_s: f64, interrupt: &Interrupt) -> bool {
        let phases = self.spec.phases;
        let (end_s, deadline_s) = (phases.end_s(), phases.end_s() + phases.drain_s);
        let mut reading_s = 0.0;
        loop {
            let (mut class, mut due_s) = (0, f64::INFINITY);
            for (i, due) in self.due_s.iter().enumerate() {
                if *due < due_s {
                    (class, due_s) = (i, *due);
                }
            }
            let arrival = self.idle.peek().map(|Reverse((bits, _))| f64::from_bits(*bits));
            let arrival_s = arrival.unwrap_or(f64::INFINITY);
            let now_s = due_s.min(arrival_s);
            while reading_s <= now_s && reading_s <= end_s {
                self.read_counters(reading_s);
                reading_s = next_reading_s(reading_s, phases.warmup_s, counter_interval_s, end_s);
            }
            if now_s > deadline_s || now_s == f64::INFINITY {
                return true;
            }
            if due_s <= arrival_s {
                self.end_inference(class, now_s, end_s);
            } else {
                self.start_at_idle(now_s);
            }
            self.events += 1;
            if self.events.is_multiple_of(EVENTS_BETWEEN_LOOKS) && interrupt.stops_now() {
                return false;
            }
        }
    }

    /// The first arrival of the idle replicas starts at once.
    fn start_at_idle(&mut self, now_s: f64) {
        let Some(Reverse((_, index))) = self.idle.pop() else { return };
        self.advance_clocks(now_s);
        let class = self.replicas[index as usize].class as usize;
        let end = self.start_inference(index, now_s, self.progress_s[class], self.cpu_s[class]);
        self.ends[class].push(Reverse((end.to_bits(), index)));
        self.next_end[class] = self.next_end[class].min(end);
        self.running[class] += 1.0;
        self.set_load();
    }

    /// The next inference of an application ends; its replica goes on with its next request or falls idle.
    fn end_inference(&mut self, class: usize, now_s: f64, end_s: f64) {
        let Some(mut first) = self.ends[class].peek_mut() else { return };
        let Reverse((bits, index)) = *first;
        let progress_s = f64::from_bits(bits);
        let cpu_clock_s = self.cpu_s[class] + (now_s - self.since_s) * self.sharing.share[class];
        let replica = &mut self.replicas[index as usize];
        replica.cpu_s += cpu_clock_s - replica.cpu_at_start_s;
        self.tenants[replica.tenant as usize][replica.current].end_s = now_s;
        let next_arrival_s = replica.next_arrival_s;
        if next_arrival_s <= now_s && next_arrival_s < end_s {
            // The place in the heap is kept, the load is the same.
            let end = start_inference(replica, &mut self.tenants, now_s, progress_s, cpu_clock_s);
            *first = Reverse((end.to_bits(), index));
            drop(first);
            let next = self.ends[class].peek().map_or(f64::INFINITY, |Reverse((bits, _))| f64::from_bits(*bits));
            self.next_end[class] = next;
            self.due_s[class] = now_s + (next - progress_s) * self.sharing.stretch[class];
        } else {
            replica.running = false;
            if next_arrival_s < end_s {
                self.idle.push(Reverse((next_arrival_s.to_bits(), index)));
            }
            std::collections::binary_heap::PeekMut::pop(first);
            let next = self.ends[class].peek().map_or(f64::INFINITY, |Reverse((bits, _))| f64::from_bits(*bits));
            self.next_end[class] = next;
            self.advance_clocks(now_s);
            self.progress_s[class] = progress_s;
            self.running[class] -= 1.0;
            self.set_load();
        }
    }

    /// Starts the next request of a replica; returns its end on the virtual clock.
    fn start_inference(&mut self, index: u32, now_s: f64, progress_s: f64, cpu_clock_s: f64) -> f64 {
        start_inference(&mut self.replicas[index as usize], &mut self.tenants, now_s, progress_s, cpu_clock_s)
    }

    /// Brings all clocks to an instant.
    fn advance_clocks(&mut self, now_s: f64) {
        let passed_s = now_s - self.since_s;
        let n = self.progress_s.len();
        let (progress_s, cpu_s) = (&mut self.progress_s[..n], &mut self.cpu_s[..n]);
        let (rate, share) = (&self.sharing.rate[..n], &self.sharing.share[..n]);
        for a in 0..n {
            progress_s[a] += passed_s * rate[a];
            cpu_s[a] += passed_s * share[a];
        }
        self.since_s = now_s;
    }

    /// Sets rates and the instants of the next ends by the present load; the clocks are those of now.
    fn set_load(&mut self) {
        self.sharing.set_load(&self.running);
        let n = self.due_s.len();
        let (due_s, next_end, progress_s) = (&mut self.due_s[..n], &self.next_end[..n], &self.progress_s[..n]);
        let stretch = &self.sharing.stretch[..n];
        for a in 0..n {
            due_s[a] = self.since_s + (next_end[a] - progress_s[a]).max(0.0) * stretch[a];
        }
    }

    fn read_counters(&mut self, time_s: f64) {
        for replica in &self.replicas {
            let class = replica.class as usize;
            let mut cpu_s = replica.cpu_s;
            if replica.running {
                let clock_s = self.cpu_s[class] + (time_s - self.since_s) * self.sharing.share[class];
                cpu_s += (clock_s - replica.cpu_at_start_s).max(0.0);
            }
            self.counters.push(CounterTotals {
                time_s,
                tenant: replica.tenant as usize,
                replica: replica.number,
                cpu_s,
                traffic_gb: cpu_s * self.traffic_per_cpu[class],
            });
        }
    }

    /// Adds the requests that never started.
    fn into_run(mut self) -> SimulatedRun {
        let end_s = self.spec.phases.end_s();
        for replica in &mut self.replicas {
            while replica.next_arrival_s < end_s {
                self.tenants[replica.tenant as usize].push(Inference {
                    replica: replica.number,
                    seq: replica.started,
                    arrival_s: replica.next_arrival_s,
                    start_s: f64::INFINITY,
                    end_s: f64::INFINITY,
                });
                replica.started += 1;
                replica.next_arrival_s = replica.arrivals.next_s();
            }
        }
        SimulatedRun { tenants: self.tenants, counters: self.counters, events: self.events }
    }
}

/// Starts the next request of a replica and draws the arrival after it; returns its end on the virtual clock.
#[inline]
fn start_inference(
    replica: &mut Replica<'_>,
    tenants: &mut [Vec<Inference>],
    now_s: f64,
    progress_s: f64,
    cpu_clock_s: f64,
) -> f64 {
    let log = &mut tenants[replica.tenant as usize];
    replica.current = log.len();
    log.push(Inference {
        replica: replica.number,
        seq: replica.started,
        arrival_s: replica.next_arrival_s,
        start_s: now_s,
        end_s: f64::INFINITY,
    });
    replica.next_arrival_s = replica.arrivals.next_s();
    replica.cpu_at_start_s = cpu_clock_s;
    replica.running = true;
    progress_s + replica.draw_demand_s()
}

/// When the counters are read after a reading; infinite after the last.
fn next_reading_s(last_s: f64, warmup_s: f64, interval_s: f64, end_s: f64) -> f64 {
    let next_s = if last_s < warmup_s { warmup_s } else { last_s + interval_s };
    // A last, short interval would be a noisy reading: it ends with the window or is left out.
    if next_s <= end_s + 1e-9 { next_s.min(end_s) } else { f64::INFINITY }
}
