//! The published algorithm: server after server, relax, merge, round.
//!
//! 1. Servers in order, those whose profiler predicts the longer times to the requests alone first: the best come last.
//! 2. On each, fractions z_r ∈ [0, u_r] of what is still unserved maximise Σ p_r z_r (1 + 0.5·v_r), v_r the fraction served so far, under
//!    memory and the promise of whoever is there: z_r·(ln T_r(z) − ln D_r) ≤ 0. The study gives this nonlinear program to IPOPT; here it
//!    goes to an augmented Lagrangian with projected gradients ([`program`]).
//! 3. Fractions are merged: instances of a request move to another of the same application and statistic that has a rate no higher and a
//!    bound no tighter and still lacks instances, those that pay most for what they have first.
//! 4. Fractions are rounded in descending order of payment × fraction: up to whole instances where there is memory and no promise gets
//!    worse than its bound, the others as they are then, rounded or not; else down.
//! 5. In the end requests that are not wholly served are dropped.
//!
//! What is rounded down is not looked at again and neither is what dropping does, as published; where a profiler is not monotone, or the
//! fractions were not quite feasible, a promise can be broken, and the plan's audit tells.
//!
//! Two things are not as in the prototype. Its check multiplies the prediction by the fraction, which lets small fractions break any
//! promise; here a fraction's promise is the prediction. And an application of which less than one instance is on a server counts in the
//! context of the others by that part: the network is discontinuous where an application comes in, and whole numbers are not affected.
//!
//! # References
//!
//! Javeed, F. Fodor, G. Dán, NeuRO, INFOCOM, 2026.

mod program;
mod relaxed;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use neuro_profiler::Profiler;
use rustix::time::{ClockId, clock_gettime};

use super::occupancy::MEMORY_TOLERANCE_GB;
use super::{Parts, Problem, plan_of_parts};
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};
use program::{Program, ProgramParams};
use relaxed::Relaxed;

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuroParams {
    /// By how much a request that is partly served counts for more, times the fraction served; at least 0, 0.5 by default.
    pub boost: f64,
    /// Rounds of multipliers of each program, at least 1; 30 by default.
    pub rounds: usize,
    /// Gradient steps of each round, at least 1; 200 by default.
    pub steps: usize,
    /// Wall-clock time after which no further server is begun; by default none.
    pub time: Option<Duration>,
}

impl Default for NeuroParams {
    fn default() -> Self {
        Self { boost: 0.5, rounds: 30, steps: 200, time: None }
    }
}

impl NeuroParams {
    fn check(&self) -> Result<()> {
        if !(self.boost.is_finite() && self.boost >= 0.0) {
            return Err(Error::InvalidOption { name: "boost", value: self.boost, required: "at least 0" });
        }
        for (name, value) in [("rounds", self.rounds), ("steps", self.steps)] {
            if value < 1 {
                return Err(Error::InvalidOption { name, value: value as f64, required: "at least 1" });
            }
        }
        Ok(())
    }
}

/// What the algorithm found.
#[derive(Clone, Debug)]
pub struct Neuro {
    /// The plan; its audit tells which promises it breaks.
    pub plan: Plan,
    /// CPU time of its one thread (s).
    pub cpu_seconds: f64,
    /// Evaluations of all predictions of a server, most of them with their gradients.
    pub evaluations: u64,
}

/// Fractions below this are none.
const NOTHING: f64 = 1e-6;
/// By how much the logarithm of a promise may exceed that of its bound in the checks of rounding.
const TOLERANCE: f64 = 1e-9;

/// Decides as the published algorithm does. The observer is asked before each server.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`] for another profiler than the published network or a server-state one, [`Error::InvalidOption`], or a
/// profiler that cannot predict a server.
pub fn neuro(problem: &Problem<'_>, params: &NeuroParams, observer: Observer<'_>) -> Result<Neuro> {
    params.check()?;
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let until = params.time.and_then(|time| start.checked_add(time));
    let instance = problem.instance();
    let requests = instance.requests.len();
    let relaxed = problem.kinds.iter().map(|kind| Relaxed::new(kind, instance)).collect::<Result<Vec<_>>>()?;
    let mut parts: Parts = vec![Vec::new(); requests];
    let mut left: Vec<u32> = instance.requests.iter().map(|request| request.instances).collect();
    let mut termination = Termination::Completed;
    let mut evaluations = 0;
    let is_over = || until.is_some_and(|until| Instant::now() >= until);
    for (done, server) in by_rank(problem)?.into_iter().enumerate() {
        let seconds = start.elapsed().as_secs_f64();
        let progress = Progress {
            objective: None,
            bound: f64::INFINITY,
            nodes: evaluations,
            open: instance.servers.len() - done,
            seconds,
        };
        if observer(&progress) == ControlFlow::Break(()) {
            termination = Termination::Interrupted;
            break;
        }
        if is_over() {
            break;
        }
        let mut visit = Visit::new(problem, &relaxed[problem.kind_of[server]], server, &left, params);
        let placed = visit.fill(params, until)?;
        evaluations += visit.evaluations;
        for (r, n) in placed.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            parts[r].push((server, n));
            left[r] -= n;
        }
    }
    if termination == Termination::Completed && is_over() {
        termination = Termination::TimeLimit;
    }
    for (r, parts) in parts.iter_mut().enumerate() {
        if left[r] > 0 {
            parts.clear();
        }
        parts.sort_unstable();
    }
    let objective = Some(super::assignment::revenue(problem, &parts));
    let seconds = start.elapsed().as_secs_f64();
    let outcome = Outcome { termination, objective, bound: None, nodes: 0, seconds };
    let cpu_seconds = cpu_seconds() - cpu_start;
    Ok(Neuro { plan: plan_of_parts(problem, Method::Neuro, &parts, &outcome)?, cpu_seconds, evaluations })
}

/// CPU time of this thread so far (s).
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// Servers, those of the kind with the longest times to the requests alone first; equal ones in their order.
fn by_rank(problem: &Problem<'_>) -> Result<Vec<usize>> {
    let alone = |kind: &super::problem::Kind<'_>| -> Result<f64> {
        let mut sum = 0.0;
        for load in &kind.loads {
            sum += kind.bundle.log_times(std::slice::from_ref(load))?[0][0];
        }
        Ok(sum)
    };
    let ranks = problem.kinds.iter().map(alone).collect::<Result<Vec<f64>>>()?;
    let mut order: Vec<usize> = (0..problem.instance().servers.len()).collect();
    order.sort_by(|a, b| ranks[problem.kind_of[*b]].total_cmp(&ranks[problem.kind_of[*a]]));
    Ok(order)
}

/// One server while it is filled.
struct Visit<'a> {
    relaxed: &'a Relaxed<'a>,
    /// Of all instances of each request.
    payments: Vec<f64>,
    /// By what a fraction counts.
    weights: Vec<f64>,
    /// GB of an instance.
    memory_gb: &'a [f64],
    capacity_gb: f64,
    /// Instances of each request in all, and left to serve.
    whole: Vec<f64>,
    left: Vec<f64>,
    /// Application, statistic, rate and bound.
    asked: Vec<(usize, neuro_data::Sla, f64, f64)>,
    evaluations: u64,
}

impl<'a> Visit<'a> {
    fn new(
        problem: &'a Problem<'_>,
        relaxed: &'a Relaxed<'a>,
        server: usize,
        left: &[u32],
        params: &NeuroParams,
    ) -> Self {
        let instance = problem.instance();
        let whole: Vec<f64> = instance.requests.iter().map(|request| f64::from(request.instances)).collect();
        let left: Vec<f64> = left.iter().map(|n| f64::from(*n)).collect();
        let payments: Vec<f64> = instance.requests.iter().map(|request| request.payment).collect();
        let served = whole.iter().zip(&left).map(|(whole, left)| 1.0 - left / whole);
        let kind = problem.kind(server);
        let asked = instance.requests.iter().zip(&kind.loads);
        Self {
            relaxed,
            weights: payments.iter().zip(served).map(|(p, served)| p * (1.0 + params.boost * served)).collect(),
            payments,
            memory_gb: &problem.instance_memory_gb,
            capacity_gb: instance.servers[server].memory_gb,
            whole,
            left,
            asked: asked.map(|(request, load)| (load.app, request.sla, request.rate, request.delay_s)).collect(),
            evaluations: 0,
        }
    }

    /// Whole instances of each request for this server.
    fn fill(&mut self, params: &NeuroParams, until: Option<Instant>) -> Result<Vec<u32>> {
        let program = Program {
            relaxed: self.relaxed,
            weights: &self.weights,
            memory_gb: self.memory_gb,
            capacity_gb: self.capacity_gb,
            whole: &self.whole,
            most: self.whole.iter().zip(&self.left).map(|(whole, left)| left / whole).collect(),
        };
        let (fractions, evaluations) =
            program.solve(&ProgramParams { rounds: params.rounds, steps: params.steps, until })?;
        self.evaluations += evaluations;
        let mut n: Vec<f64> = fractions.iter().zip(&self.whole).map(|(z, whole)| z * whole).collect();
        n.iter_mut().filter(|n| **n < NOTHING).for_each(|n| *n = 0.0);
        self.merge(&mut n);
        self.round(&mut n)?;
        Ok(n.into_iter().map(|n| n as u32).collect())
    }

    /// Requests in descending order of payment × fraction.
    fn in_order(&self, n: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n.len()).filter(|r| n[*r] > 0.0).collect();
        let worth = |r: usize| self.payments[r] * n[r] / self.whole[r];
        order.sort_by(|a, b| worth(*b).total_cmp(&worth(*a)));
        order
    }

    /// Moves fractions to those that come first.
    fn merge(&self, n: &mut [f64]) {
        let order = self.in_order(n);
        for (place, &into) in order.iter().enumerate() {
            let (app, sla, rate, delay_s) = self.asked[into];
            for &from in order[place + 1..].iter().rev() {
                let (other_app, other_sla, other_rate, other_delay_s) = self.asked[from];
                let allowed = app == other_app && sla == other_sla && rate <= other_rate && delay_s >= other_delay_s;
                let moved = n[from].min(self.left[into] - n[into]);
                if allowed && moved > 0.0 {
                    n[from] -= moved;
                    n[into] += moved;
                }
            }
        }
    }

    /// Makes them whole.
    fn round(&mut self, n: &mut [f64]) -> Result<()> {
        let mut before = self.relaxed.excesses(n)?;
        self.evaluations += 1;
        for r in self.in_order(n) {
            let fraction = n[r];
            let (up, down) = ((fraction - NOTHING).ceil().min(self.left[r]), (fraction + NOTHING).floor());
            n[r] = up;
            let used_gb: f64 = n.iter().zip(self.memory_gb).map(|(n, gb)| n * gb).sum();
            let mut holds = used_gb <= self.capacity_gb + MEMORY_TOLERANCE_GB;
            if holds {
                let after = self.relaxed.excesses(n)?;
                self.evaluations += 1;
                let kept = |i: usize| n[i] == 0.0 || after[i] <= TOLERANCE.max(before[i]);
                holds = (0..n.len()).all(|i| if i == r { after[i] <= TOLERANCE } else { kept(i) });
                if holds {
                    before = after;
                }
            }
            if !holds {
                n[r] = down;
                before = self.relaxed.excesses(n)?;
                self.evaluations += 1;
            }
        }
        Ok(())
    }
}
