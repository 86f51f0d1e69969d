//! Many servers: Dantzig–Wolfe decomposition.
//!
//! # The bound
//!
//! With a price π_r ≥ 0 for every request, the revenue of any placement is at most
//!
//! Σ_r π_r + Σ_c S_c · v_c(π), v_c(π) = max over fillings of one server of class c of Σ_r (p_r − π_r) in it,
//!
//! where a *class* is the servers of one kind and memory, S_c of them: what a request pays beyond its price is counted where it runs, the
//! price once. v_c is what [`Tree`] bounds, and its bound will do, so that pricing may be broken off at any time. The best prices are
//! found by cutting planes, each a filling that was found: minimise Σ π_r + Σ S_c σ_c where σ_c ≥ Σ (p_r − π_r) of every known filling.
//! Servers of a class are never told apart, so their symmetry costs nothing.
//!
//! # What it leaves
//!
//! The best prices bound mixtures of fillings, and the best mixture may be worth more than any placement. So the placements are parted:
//! those where some request runs on servers of a class, and those where it does not, or those where one of them holds more than so many
//! requests of an application, and those where none does. Each has prices of its own; the largest bound of all parts is the bound. What
//! runs on a class may be said to run on one server of it, which is then priced by itself ([`Group`]).
//!
//! G. B. Dantzig, P. Wolfe, "Decomposition principle for linear programs", Operations Research 8(1), 1960, doi:10.1287/opre.8.1.101;
//! branching as in C. Barnhart et al., "Branch-and-price: Column generation for solving huge integer programs", Operations Research
//! 46(3), 1998, doi:10.1287/opre.46.3.316; prices are smoothed as in P. Wentges, "Weighted Dantzig–Wolfe decomposition for linear mixed-integer programming", International
//! Transactions in Operational Research 4(2), 1997, doi:10.1016/S0969-6016(97)00001-4.

mod branching;
mod class;
mod compositions;
mod master;
mod part;
mod plans;
mod pricing;

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::class::Class;
use self::master::Master;
use self::part::{Part, Records};
pub(super) use self::plans::guided;
use super::certificate::{Certificate, ClassBasis, GroupProof, size_of};
use super::group::{Group, split};
use super::{Placement, Problem, greedy, plan_of};
use crate::{Error, Limits, Method, Observer, Outcome, Progress, Result, Termination};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct DecomposedParams {
    /// Wall-clock time; 60 s by default.
    pub time: Duration,
    /// Distance of revenue and bound, relative to the revenue, at which the search ends; 1e-6 by default.
    pub gap: f64,
    /// Threads, at least 1; by default the number of cores.
    pub workers: usize,
    /// Seed of the search for plans.
    pub seed: u64,
    /// Whether to keep a proof of the bound; by default not.
    pub certificate: bool,
}

impl Default for DecomposedParams {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self { time: Duration::from_secs(60), gap: 1e-6, workers, seed: 1, certificate: false }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Decomposed {
    /// The best plan, audited.
    pub plan: Plan,
    /// How often all classes were priced.
    pub pricings: u64,
    /// Nodes of all pricing problems.
    pub nodes: u64,
    /// The proof of the bound, if it was asked for and there is one.
    pub certificate: Option<Certificate>,
}

/// Places requests on many servers and proves how far from the best revenue that can be.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`], [`Error::InvalidOption`], a profiler that cannot predict a server, or [`Error::FailedAudit`].
pub fn decomposed(problem: &Problem<'_>, params: &DecomposedParams, observer: Observer<'_>) -> Result<Decomposed> {
    if params.workers < 1 {
        return Err(Error::InvalidOption { name: "workers", value: params.workers as f64, required: "at least 1" });
    }
    if params.gap.is_nan() || params.gap < 0.0 {
        return Err(Error::InvalidOption { name: "gap", value: params.gap, required: "at least 0" });
    }
    let mut run = Run::new(problem, params)?;
    let termination = run.decompose(observer)?;
    let certificate = run.certificate();
    let Run { placement, revenue, bound, pricings, nodes, start, .. } = run;
    let outcome = Outcome {
        termination,
        objective: Some(revenue),
        bound: Some(bound.max(revenue)),
        nodes,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(Decomposed { plan: plan_of(problem, Method::Decomposed, &placement, &outcome)?, pricings, nodes, certificate })
}

struct Run<'p, 'a> {
    problem: &'p Problem<'a>,
    params: &'p DecomposedParams,
    start: Instant,
    payments: Vec<f64>,
    classes: Vec<Class<'p>>,
    placement: Placement,
    revenue: f64,
    bound: f64,
    /// The largest bound of the parts that are done with.
    closed: f64,
    open: BinaryHeap<Part>,
    records: Records,
    pricings: u64,
    nodes: u64,
    /// When known fillings were put together last.
    planned_at: Duration,
    /// Prices of all placements that promise least by the fillings that are known: the master's jump from corner to corner.
    central: Vec<f64>,
    /// Share of the gap that a pricing may miss now.
    coarseness: f64,
    rng: ChaCha8Rng,
    is_stopped: bool,
}

/// Share of the time for the first plan.
const FIRST_SHARE: f64 = 0.06;
/// Share of what time is left that is spent on plans after prices have been found.
const PLAN_SHARE: f64 = 0.3;
/// Share of the time after which known fillings are put together.
const PLAN_EVERY: f64 = 0.15;
/// Share of the gap that a pricing may miss, at least and at most: the more, the sooner it is done.
const COARSENESS: [f64; 2] = [0.1, 0.3];
/// How often an observer is asked.
const POLL: Duration = Duration::from_millis(1);

impl<'p, 'a> Run<'p, 'a> {
    fn new(problem: &'p Problem<'a>, params: &'p DecomposedParams) -> Result<Self> {
        let start = Instant::now();
        let instance = problem.instance();
        let mut classes: Vec<Class<'p>> = Vec::new();
        for (s, server) in instance.servers.iter().enumerate() {
            let kind = problem.kind_of[s];
            let same = |class: &&mut Class<'_>| {
                let other = class.servers[0];
                problem.kind_of[other] == kind && instance.servers[other].memory_gb == server.memory_gb
            };
            match classes.iter_mut().find(same) {
                Some(class) => class.servers.push(s),
                None => classes.push(Class::new(problem, kind, s)?),
            }
        }
        let payments: Vec<f64> = instance.requests.iter().map(|request| request.payment).collect();
        let rng = ChaCha8Rng::seed_from_u64(neuro_data::derive_seed(params.seed, &["decomposed"]));
        Ok(Self {
            problem,
            params,
            start,
            bound: payments.iter().sum(),
            placement: vec![None; payments.len()],
            payments,
            classes,
            revenue: 0.0,
            closed: f64::NEG_INFINITY,
            open: BinaryHeap::new(),
            records: Records::default(),
            pricings: 0,
            nodes: 0,
            planned_at: Duration::ZERO,
            central: Vec::new(),
            coarseness: COARSENESS[0],
            rng,
            is_stopped: false,
        })
    }

    fn left(&self) -> Duration {
        self.params.time.saturating_sub(self.start.elapsed())
    }

    /// Whether there is no time left, or the observer broke off.
    fn is_over(&self) -> bool {
        self.is_stopped || self.left().is_zero()
    }

    /// What a part must be worth more than.
    fn cutoff(&self) -> f64 {
        self.revenue + self.params.gap * self.revenue.abs().max(1.0)
    }

    fn is_closed(&self) -> bool {
        self.bound <= self.cutoff()
    }

    fn progress(&self) -> Progress {
        Progress {
            objective: Some(self.revenue),
            bound: self.bound,
            nodes: self.nodes,
            open: self.open.len(),
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }

    fn decompose(&mut self, observer: Observer<'_>) -> Result<Termination> {
        let first = greedy::place(self.problem)?;
        self.plan(first, self.params.time.mul_f64(FIRST_SHARE), observer)?;
        self.planned_at = self.start.elapsed();
        let mut root = Part { groups: self.whole(), bound: self.bound, prices: None, record: self.records.enter() };
        let trivial = root.groups.iter().map(|group| (group.class, GroupProof::at_full_prices())).collect();
        self.records.prove(root.record, root.bound, self.payments.clone(), trivial);
        self.tighten(&mut root, observer)?;
        self.close_or_open(root);
        while !self.is_over() && !self.is_closed() {
            let Some(part) = self.open.pop() else { break };
            self.halve(part, observer)?;
            // Now and then the new fillings are put together.
            let since = self.start.elapsed() - self.planned_at;
            if !self.is_over() && since > self.params.time.mul_f64(PLAN_EVERY) {
                self.put_together(since.mul_f64(PLAN_SHARE), observer)?;
            }
        }
        // Out of parts, what is closed is proved.
        let is_closed = self.is_closed() || self.open.is_empty() && !self.is_over();
        Ok(match (self.is_stopped, is_closed) {
            (_, true) if self.params.gap > Limits::default().gap * 10.0 => Termination::GapReached,
            (_, true) => Termination::Optimal,
            (true, _) => Termination::Interrupted,
            _ => Termination::TimeLimit,
        })
    }

    /// Puts a part where it belongs, and brings the bound up to date.
    fn close_or_open(&mut self, part: Part) {
        if part.bound <= self.cutoff() {
            self.closed = self.closed.max(part.bound);
        } else {
            self.open.push(part);
        }
        self.update_bound(f64::NEG_INFINITY);
    }

    /// The bound over all parts, and what is in hand.
    fn update_bound(&mut self, in_hand: f64) {
        let open = self.open.peek().map_or(f64::NEG_INFINITY, |part| part.bound);
        self.bound = self.bound.min(open.max(self.closed).max(in_hand).max(self.revenue));
    }

    /// Parts a part in two.
    fn halve(&mut self, part: Part, observer: Observer<'_>) -> Result<()> {
        let branching = self.branching(&part, observer)?;
        let Some(question) = branching else {
            // One placement: at its own prices its bound is what it is worth.
            let mut part = Part { prices: None, ..part };
            self.tighten(&mut part, observer)?;
            self.closed = self.closed.max(part.bound);
            self.update_bound(f64::NEG_INFINITY);
            return Ok(());
        };
        let halves = [true, false].map(|yes| {
            let groups = split(&part.groups, &question, &|class, request| self.classes[class].item_of(request), yes);
            (groups, self.records.enter())
        });
        self.records.branch(part.record, question, [halves[0].1, halves[1].1]);
        let mut waiting = Vec::new();
        for (groups, record) in halves {
            let Some(groups) = groups else { return Err(Error::Contradiction("a branching that cannot be")) };
            waiting.push(Part { groups, bound: part.bound, prices: part.prices.clone(), record });
        }
        while let Some(mut half) = waiting.pop() {
            if !self.is_over() {
                self.tighten(&mut half, observer)?;
            }
            let rest = waiting.iter().map(|part| part.bound).fold(f64::NEG_INFINITY, f64::max);
            if half.bound <= self.cutoff() {
                self.closed = self.closed.max(half.bound);
            } else {
                self.open.push(half);
            }
            self.update_bound(rest);
        }
        Ok(())
    }

    /// All servers by their classes.
    fn whole(&self) -> Vec<Group> {
        let classes = self.classes.iter().enumerate();
        classes.map(|(c, class)| Group::whole(c, class.servers.len(), &class.filling)).collect()
    }

    /// The master of groups.
    fn master(&self, groups: &[Group]) -> Master {
        Master::new(&self.payments, &self.classes, groups, self.start + self.params.time)
    }

    /// Does `count` pieces of work on all workers.
    fn spread<T: Send>(&self, count: usize, work: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
        spread(self.params.workers, count, &mut || (), work)
    }

    fn ask(&mut self, observer: Observer<'_>) {
        self.is_stopped |= observer(&self.progress()) == ControlFlow::Break(());
    }

    /// What proves the bound, if it was to be kept.
    fn certificate(&self) -> Option<Certificate> {
        let parts = self.params.certificate.then(|| self.records.proof(self.bound))??;
        let of = |class: &Class<'_>| {
            let server = &self.problem.instance().servers[class.servers[0]].name;
            ClassBasis { inequalities: class.proofs.clone(), ..ClassBasis::of(server, &*class.interference) }
        };
        let sizes: Vec<_> = self.classes.iter().map(|class| size_of(&class.filling)).collect();
        Some(Certificate::of(self.bound, self.classes.iter().map(of).collect(), &sizes, parts))
    }
}

/// Does `count` pieces of work on up to `workers` threads, and polls meanwhile.
fn spread<T: Send>(
    workers: usize,
    count: usize,
    poll: &mut dyn FnMut(),
    work: &(dyn Fn(usize) -> Result<T> + Sync),
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<T>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers.min(count))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(slot) = results.get(i) else { return };
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(work(i));
                    }
                })
            })
            .collect();
        while !handles.iter().all(thread::ScopedJoinHandle::is_finished) {
            poll();
            thread::sleep(POLL);
        }
    });
    let done = results.into_iter().map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    done.map(|result| result.unwrap_or(Err(Error::WorkerPanicked))).collect()
}
