//! Large neighbourhood search: ruin a server or two, recreate, keep what is not much worse.
//!
//! An iteration takes some tenants from one server or two, or puts a request that waits on one of them and ejects others until all
//! promises hold; then those taken and some that wait are tried one after another where it ruined. What pays less is kept with
//! probability exp(−loss / T). The temperature T falls in cycles, each longer than the one before; the first is cold, so that something
//! good is held early. A cycle begins where the last one ended, or at the best plan. Between cycles two servers at a time are emptied,
//! filled application by application in another order, and searched alone; what pays less in the end is taken back.
//!
//! Servers compete for requests, and a search that changes two at a time sees little of it. Prices of requests do: those that the dual
//! of all known fillings has, which a dive then follows ([`super::decomposed`]). Most of the time goes into such a plan, the rest
//! into the search from it on.
//!
//! P. Shaw, "Using constraint programming and local search methods to solve vehicle routing problems", CP, 1998,
//! doi:10.1007/3-540-49481-2_30 (the neighbourhood); F. Glover, "Ejection chains, reference structures and alternating path methods for
//! traveling salesman problems", Discrete Applied Mathematics 65, 1996, doi:10.1016/0166-218X(94)00037-E (ejection); G. Schrimpf et al.,
//! "Record breaking optimization results using the ruin and recreate principle", Journal of Computational Physics 159(2), 2000,
//! doi:10.1006/jcph.1999.6413 (the acceptance).

mod cycle;
mod fill;
mod worker;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;

pub(super) use self::fill::{Aim, Quota, fill};
use self::worker::Worker;
use super::decomposed::{DecomposedParams, guided};
use super::{Placement, Problem, greedy, plan_of};
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct LnsParams {
    /// Wall-clock time; 5 s by default.
    pub time: Duration,
    /// Iterations of each worker, where they are to end it: then the plan is the seed's, and no prices guide it. None by default.
    pub iterations: Option<u64>,
    /// Workers, each with a search of its own from the first plan; at least 1, by default the number of cores.
    pub workers: usize,
    /// Temperature at which a cycle begins, in mean payments: a loss of as much is accepted with probability 1/e. 0.03 by default.
    pub temperature: f64,
    /// Most tenants that are taken from a server at a time, at least 1; 8 by default.
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
            temperature: 0.03,
            ruin: 8,
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
    /// Iterations of all workers, those that led to prices not among them.
    pub iterations: u64,
}

/// Share of the time for a plan that prices lead to.
const GUIDED: f64 = 0.85;

/// Searches until the time or the iterations are used up or the observer breaks off, and holds the best plan then: from the greedy plan
/// on, or from one that prices lead to where there are several servers, not too many requests, no number of iterations and a profiler
/// with bounds.
///
/// # Errors
///
/// A parameter is out of its range, a profiler cannot predict a server, or [`Error::FailedAudit`].
pub fn lns(problem: &Problem<'_>, params: &LnsParams, observer: Observer<'_>) -> Result<Lns> {
    let start = Instant::now();
    params.check()?;
    let (mut first, mut is_stopped) = (greedy::place(problem)?, false);
    let mut rest = params.clone();
    if params.iterations.is_none() {
        let LnsParams { workers, seed, .. } = *params;
        let guide =
            DecomposedParams { time: params.time.mul_f64(GUIDED), workers, seed, ..DecomposedParams::default() };
        let mut unbounded = |progress: &Progress| observer(&Progress { bound: f64::INFINITY, ..*progress });
        if let Some(guided) = guided(problem, &guide, &first, &mut unbounded)? {
            (first, is_stopped) = guided;
        }
        rest.time = if is_stopped { Duration::ZERO } else { params.time.saturating_sub(start.elapsed()) };
    }
    let Found { placement, iterations, termination, .. } = search(problem, &rest, first, observer)?;
    let termination = if is_stopped { Termination::Interrupted } else { termination };
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
    /// Placements that were the best ones for a time, the latest.
    pub(super) before: Vec<Placement>,
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
        before: Mutex::new(VecDeque::new()),
        iterations: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    };
    let mut interrupted = false;
    let results: Vec<Result<()>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..params.workers)
            .map(|worker| {
                let (shared, first) = (&shared, &first);
                scope.spawn(move || {
                    let seed = neuro_data::derive_seed(params.seed, &["lns", &worker.to_string()]);
                    let servers = (0..problem.instance().servers.len()).collect();
                    let payments = problem.instance().requests.iter().map(|request| request.payment).collect();
                    Worker::new(problem, params, servers, payments, first, (seed, worker)).run(start, shared)
                })
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
    let before = shared.before.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into();
    Ok(Found { placement, before, iterations, termination })
}

/// Placements that are kept besides the best one.
const KEPT: usize = 100;
/// How often the observer is asked.
const POLL: Duration = Duration::from_millis(5);
/// What the workers share.
struct Shared {
    best: Mutex<(f64, Placement)>,
    before: Mutex<VecDeque<Placement>>,
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
            let before = std::mem::replace(&mut *best, (revenue, placement.clone())).1;
            let mut kept = self.before.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.push_back(before);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
    }
}
