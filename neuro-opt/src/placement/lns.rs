//! Large neighbourhood search: ruin a server or two, recreate, keep what is not much worse.
//!
//! P. Shaw, "Using constraint programming and local search methods to solve vehicle routing problems", CP, 1998,
//! doi:10.1007/3-540-49481-2_30 (the neighbourhood); G. Schrimpf et al., "Record breaking optimization results using the ruin and
//! recreate principle", Journal of Computational Physics 159(2), 2000, doi:10.1006/jcph.1999.6413 (the acceptance).

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::occupancy::Occupancy;
use super::{Placement, Problem, greedy, plan_of};
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct LnsParams {
    /// Wall-clock time; 5 s by default.
    pub time: Duration,
    /// Iterations of each worker, where they are to end it: then the plan is the seed's. None by default.
    pub iterations: Option<u64>,
    /// Workers, each with a search of its own from the greedy plan; at least 1, by default the number of cores.
    pub workers: usize,
    /// Temperature in mean payments: a loss of as much is accepted with probability 1/e. 0.01 by default.
    pub temperature: f64,
    /// Most tenants that are taken from a server at a time, at least 1; 3 by default.
    pub ruin: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for LnsParams {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            iterations: None,
            workers: thread::available_parallelism().map_or(1, usize::from),
            temperature: 0.01,
            ruin: 3,
            seed: 1,
        }
    }
}

impl LnsParams {
    fn check(&self) -> Result<()> {
        for (name, value) in [("workers", self.workers as f64), ("ruin", self.ruin as f64)] {
            if value < 1.0 {
                return Err(Error::InvalidOption { name, value, required: "at least 1" });
            }
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(Error::InvalidOption { name: "temperature", value: self.temperature, required: "at least 0" });
        }
        Ok(())
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Lns {
    /// The best plan, audited.
    pub plan: Plan,
    /// Iterations of all workers.
    pub iterations: u64,
}

/// Searches from the greedy plan on until the time or the iterations are used up or the observer breaks off, and holds the best
/// plan then.
///
/// # Errors
///
/// A parameter is out of its range, a profiler cannot predict a server, or [`Error::FailedAudit`].
pub fn lns(problem: &Problem<'_>, params: &LnsParams, observer: Observer<'_>) -> Result<Lns> {
    let start = Instant::now();
    let Found { placement, iterations, termination } = search(problem, params, greedy::place(problem)?, observer)?;
    let outcome = Outcome {
        termination,
        objective: Some(problem.revenue(&placement)),
        bound: None,
        nodes: 0,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(Lns { plan: plan_of(problem, Method::Lns, &placement, &outcome)?, iterations })
}

/// What [`search`] found.
pub(super) struct Found {
    pub(super) placement: Placement,
    pub(super) iterations: u64,
    pub(super) termination: Termination,
}

/// Searches from a placement on.
pub(super) fn search(
    problem: &Problem<'_>,
    params: &LnsParams,
    first: Placement,
    observer: Observer<'_>,
) -> Result<Found> {
    params.check()?;
    let start = Instant::now();
    let shared = Shared {
        best: Mutex::new((problem.revenue(&first), first.clone())),
        iterations: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut interrupted = false;
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..params.workers)
            .map(|worker| {
                let (shared, first) = (&shared, &first);
                scope.spawn(move || Search::new(problem, params, first, worker)?.run(start, shared))
            })
            .collect();
        while !handles.iter().all(thread::ScopedJoinHandle::is_finished) {
            let progress = Progress {
                objective: Some(shared.revenue()),
                bound: f64::INFINITY,
                nodes: shared.iterations.load(Ordering::Relaxed),
                open: 0,
                seconds: start.elapsed().as_secs_f64(),
            };
            if !interrupted && observer(&progress) == ControlFlow::Break(()) {
                interrupted = true;
                shared.stop.store(true, Ordering::Relaxed);
            }
            thread::sleep(POLL);
        }
        handles.into_iter().map(|handle| handle.join().unwrap_or(Err(Error::WorkerPanicked))).collect()
    });
    results.into_iter().collect::<Result<Vec<()>>>()?;
    let iterations = shared.iterations.load(Ordering::Relaxed);
    let (_, placement) = shared.best.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let termination = match (interrupted, params.iterations) {
        (true, _) => Termination::Interrupted,
        (_, Some(most)) if iterations >= most * params.workers as u64 => Termination::IterationLimit,
        _ => Termination::TimeLimit,
    };
    Ok(Found { placement, iterations, termination })
}

/// How often the observer is asked.
const POLL: Duration = Duration::from_millis(20);
/// Iterations after which a worker looks at the clock.
const BATCH: u64 = 256;

/// What the workers share.
struct Shared {
    best: Mutex<(f64, Placement)>,
    iterations: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn revenue(&self) -> f64 {
        self.best.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    /// Takes a placement if it is better, or as good and first in order, so that the winner does not depend on who is quicker.
    fn offer(&self, revenue: f64, placement: &Placement) {
        let mut best = self.best.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if revenue > best.0 || (revenue == best.0 && *placement < best.1) {
            *best = (revenue, placement.clone());
        }
    }
}

/// One worker's search.
struct Search<'p, 'a> {
    problem: &'p Problem<'a>,
    params: &'p LnsParams,
    rng: ChaCha8Rng,
    servers: Vec<Occupancy>,
    placement: Placement,
    revenue: f64,
    /// Best so far.
    best: (f64, Placement),
    /// Temperature in payments.
    temperature: f64,
    /// Requests that nobody serves, in no order.
    waiting: Vec<usize>,
}

impl<'p, 'a> Search<'p, 'a> {
    fn new(problem: &'p Problem<'a>, params: &'p LnsParams, first: &Placement, worker: usize) -> Result<Self> {
        let requests = &problem.instance().requests;
        let mut servers: Vec<_> =
            (0..problem.instance().servers.len()).map(|server| Occupancy::empty(problem, server)).collect();
        for (request, server) in first.iter().enumerate() {
            if let Some(server) = server {
                servers[*server].add(problem, request);
            }
        }
        let mean = requests.iter().map(|request| request.payment).sum::<f64>() / requests.len().max(1) as f64;
        let revenue = problem.revenue(first);
        let seed = neuro_data::derive_seed(params.seed, &["lns", &worker.to_string()]);
        Ok(Self {
            problem,
            params,
            rng: ChaCha8Rng::seed_from_u64(seed),
            servers,
            placement: first.clone(),
            revenue,
            best: (revenue, first.clone()),
            temperature: params.temperature * mean,
            waiting: (0..requests.len()).filter(|request| first[*request].is_none()).collect(),
        })
    }

    fn run(mut self, start: Instant, shared: &Shared) -> Result<()> {
        let mut done = 0;
        let nothing_to_do = self.servers.is_empty() || self.placement.is_empty();
        while !nothing_to_do && !shared.stop.load(Ordering::Relaxed) && start.elapsed() < self.params.time {
            let left = self.params.iterations.map_or(BATCH, |most| BATCH.min(most - done));
            if left == 0 {
                break;
            }
            let before = self.best.0;
            for _ in 0..left {
                self.step()?;
            }
            done += left;
            shared.iterations.fetch_add(left, Ordering::Relaxed);
            if self.best.0 > before {
                shared.offer(self.best.0, &self.best.1);
            }
        }
        shared.offer(self.best.0, &self.best.1);
        Ok(())
    }

    /// Ruins and recreates one or two servers; takes it back where it is much worse.
    fn step(&mut self) -> Result<()> {
        let count = self.servers.len();
        let first = self.rng.gen_range(0..count);
        let mut ruined = vec![first];
        if count > 1 && self.rng.gen_bool(0.5) {
            ruined.push((first + self.rng.gen_range(1..count)) % count);
        }
        let old: Vec<Occupancy> = ruined.iter().map(|server| self.servers[*server].clone()).collect();
        let waiting_before = self.waiting.len();
        let mut freed = Vec::new();
        for server in &ruined {
            self.ruin(*server, &mut freed)?;
        }
        let mut candidates = self.candidates(&freed, waiting_before);
        let mut revenue = self.revenue - freed.iter().map(|r| self.payment(*r)).sum::<f64>();
        let mut placed = Vec::new();
        while let Some(request) = candidates.pop() {
            let from = self.rng.gen_range(0..ruined.len());
            for i in 0..ruined.len() {
                let server = ruined[(from + i) % ruined.len()];
                if self.servers[server].try_add(self.problem, request)? {
                    placed.push((request, server));
                    revenue += self.payment(request);
                    break;
                }
            }
        }
        let loss = self.revenue - revenue;
        let is_accepted =
            loss <= 0.0 || self.rng.r#gen::<f64>() < (-loss / self.temperature.max(f64::MIN_POSITIVE)).exp();
        if !is_accepted {
            for (server, old) in ruined.into_iter().zip(old) {
                self.servers[server] = old;
            }
            return Ok(());
        }
        self.revenue = revenue;
        for request in freed.iter() {
            self.placement[*request] = None;
        }
        for (request, server) in &placed {
            self.placement[*request] = Some(*server);
        }
        self.waiting.extend(freed);
        let placement = &self.placement;
        self.waiting.retain(|request| placement[*request].is_none());
        for server in ruined {
            self.servers[server].refresh(self.problem);
        }
        if revenue > self.best.0 + 1e-9 {
            // The sum anew: many differences are not exact.
            self.revenue = self.problem.revenue(&self.placement);
            self.best = (self.revenue, self.placement.clone());
        }
        Ok(())
    }

    /// Takes some tenants from a server, and those whose promises are broken then: less load can be slower for a neighbour where the
    /// profiler is not monotone.
    fn ruin(&mut self, server: usize, freed: &mut Vec<usize>) -> Result<()> {
        let occupancy = &mut self.servers[server];
        let most = occupancy.tenants.len().min(self.params.ruin);
        if most > 0 {
            for _ in 0..self.rng.gen_range(1..=most) {
                let place = self.rng.gen_range(0..occupancy.tenants.len());
                freed.push(occupancy.remove(self.problem, place));
            }
        }
        while let Some(place) = occupancy.violator(self.problem)? {
            freed.push(occupancy.remove(self.problem, place));
        }
        Ok(())
    }

    /// The requests to try, the first to be tried last in the list: those freed and some that wait, by payment for memory with noise.
    fn candidates(&mut self, freed: &[usize], waiting: usize) -> Vec<usize> {
        let some = self.waiting[..waiting].choose_multiple(&mut self.rng, CANDIDATES).copied();
        let mut candidates: Vec<usize> = some.collect();
        candidates.extend_from_slice(freed);
        let by_memory = self.rng.gen_bool(0.5);
        let mut keyed: Vec<(f64, usize)> = candidates
            .into_iter()
            .map(|request| {
                let size = if by_memory { self.problem.memory_gb[request] } else { 1.0 };
                let noise = 0.5 + self.rng.r#gen::<f64>();
                (noise * self.payment(request) / size, request)
            })
            .collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        keyed.into_iter().map(|(_, request)| request).collect()
    }

    fn payment(&self, request: usize) -> f64 {
        self.problem.instance().requests[request].payment
    }
}

/// Waiting requests that are tried in one step.
const CANDIDATES: usize = 12;
