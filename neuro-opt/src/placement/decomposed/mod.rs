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

mod class;
mod master;
mod part;
mod plans;

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::class::{Class, Pricing};
use self::master::{Dual, Master, Row};
use self::part::{Part, Records};
use super::certificate::{Certificate, ClassBasis, GroupProof, Question, size_of};
use super::filling::Solution;
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
    /// Prices of all placements, a mean over the latest ones of the master: those jump from corner to corner.
    central: Vec<f64>,
    /// Share of the gap that a pricing may miss now.
    coarseness: f64,
    rng: ChaCha8Rng,
    is_stopped: bool,
}

/// Share of the time for the first plan.
const FIRST_SHARE: f64 = 0.06;
/// Share of the time for local search before the first pricing.
const FIRST_FILLINGS_SHARE: f64 = 0.25;
/// Share of the time for local search between two pricings.
const LATER_FILLINGS_SHARE: f64 = 0.02;
/// Share of what time is left that is spent on plans after prices have been found.
const PLAN_SHARE: f64 = 0.3;
/// Share of the time after which known fillings are put together.
const PLAN_EVERY: f64 = 0.15;
/// Weight of the centre in smoothed prices, at most, share of what a pricing of the whole and of a part may miss that they may lose, and
/// steps of its search.
const SMOOTHING: f64 = 0.5;
const SMOOTH_SHARE: [f64; 2] = [1.5, 0.4];
const SMOOTHING_STEPS: usize = 6;
/// Rounds of local search without a new filling after which the tree is asked, of the whole and of a part.
const IDLE_ROUNDS: [usize; 2] = [5, 2];
/// Weight of the master's latest prices in their mean.
const CENTRAL: f64 = 0.1;
/// How often the iterations of a local search are doubled where it finds nothing.
const MOST_DOUBLINGS: usize = 5;
/// Share of the time that one pricing may take of a part.
const PRICING_SHARE: f64 = 0.1;
/// Of the whole for each server, and at most: the more servers, the less branching adds to what the first prices prove.
const FIRST_PRICING_SHARE: f64 = 0.05;
const MOST_PRICING_SHARE: f64 = 0.3;
/// Share of what a bound missed of the value of its prices before a pricing that it misses still, at which there is more in branching.
const STALLED: f64 = 0.7;
/// Share of the time that the pricing of all placements leaves.
const LAST_PLAN_SHARE: f64 = 0.12;
/// Pricings of a part that cannot be closed.
const PART_PRICINGS: usize = 2;
/// Pricings of a part that may be closed.
const CLOSING_PRICINGS: usize = 12;
/// Share of what a bound misses of the value of its prices that the next pricing may miss.
const MISSING: f64 = 0.15;
/// The same of the first pricing, of what branching is left, and of all.
const FIRST_MISS: [f64; 2] = [0.3, 0.012];
/// Share of the room for closing a part that its pricing may miss: what it proves is rounded up.
const CLOSING: f64 = 0.75;
/// Room for closing a part that is little, of what its bound misses of the value of its prices.
const LITTLE_ROOM: f64 = 0.05;
/// Share of the gap that a pricing may miss, at least and at most: the more, the sooner it is done.
const COARSENESS: [f64; 2] = [0.1, 0.3];
/// Share of the gap that better prices must promise, or branching does more.
const TAIL: f64 = 0.2;
/// The same of a part that cannot be closed, or it is parted without being priced.
const PART_TAIL: f64 = 0.3;
/// Branchings that are tried.
const CANDIDATES: usize = 40;
/// The same of numbers of requests.
const COUNTS: usize = 20;
/// How far below the cutoff a half may be worth less yet, relative: where there is room it is soon closed.
const ROOM: f64 = 0.003;
/// Of these the ones that are looked at closely, and the share of the time for each half of one.
const FINALISTS: usize = 4;
const LOOK_SHARE: f64 = 0.0005;
/// Share of the time that looking for a branching may take.
const BRANCHING_SHARE: f64 = 0.02;
/// How much better than the known ones, in units of what the first pricing may miss, a filling is for which it is broken off: its bound
/// would be poor, and with the filling there are better prices.
const ENOUGH: f64 = 1.0;
/// How often that may be.
const BREAK_OFFS: usize = 2;
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
        let groups = self.classes.iter().enumerate();
        let groups: Vec<Group> =
            groups.map(|(c, class)| Group::whole(c, class.servers.len(), &class.filling)).collect();
        let mut root = Part { groups, bound: self.bound, prices: None, record: self.records.enter() };
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

    /// The question to branch on: of some that the best mixture is undecided about, the one whose halves are worth least.
    fn branching(&mut self, part: &Part, observer: Observer<'_>) -> Result<Option<Question>> {
        let mut master = Master::new(&self.payments, &self.classes, &part.groups);
        let dual = master.solve(&self.classes, &part.groups);
        let weights = master.weights();
        let mut shares: Vec<Vec<f64>> = part.groups.iter().map(|group| vec![0.0; group.least.len()]).collect();
        for (row, weight) in &weights {
            let pieces = &self.classes[part.groups[row.group].class].pool[row.filling];
            shares[row.group].iter_mut().zip(pieces).for_each(|(share, x)| *share += f64::from(*x) * weight);
        }
        let mut candidates = Vec::new();
        for (g, (group, shares)) in part.groups.iter().zip(&shares).enumerate() {
            for (item, share) in shares.iter().enumerate().filter(|(item, _)| group.is_free(*item)) {
                let request = self.classes[group.class].requests[item];
                // What runs here for sure is undecided still if it may run on several servers.
                let doubt = share.min(1.0 - share).max(0.1 * share);
                candidates.push((doubt.max(0.0) * self.payments[request], Question::Request { group: g, request }));
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.truncate(CANDIDATES);
        let mut counts = self.counts_in_doubt(part, &weights);
        counts.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.extend(counts.into_iter().take(COUNTS));
        let mut active: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        for (row, _) in &weights {
            active[part.groups[row.group].class].push(row.filling);
        }
        active.iter_mut().for_each(|fillings| {
            fillings.sort_unstable();
            fillings.dedup();
        });
        let goal = self.cutoff().min(dual.value) * (1.0 - ROOM);
        let gain = |value: f64| ((dual.value - value.max(goal)) / (dual.value - goal).max(1e-9)).clamp(0.0, 1.0) + 1e-3;
        // What known fillings promise of all.
        let mut halves: Vec<(usize, Vec<Group>)> = Vec::new();
        for (candidate, (_, question)) in candidates.iter().enumerate() {
            let item_of = |class: usize, request| self.classes[class].item_of(request);
            let of = [true, false].into_iter().filter_map(|yes| split(&part.groups, question, &item_of, yes));
            halves.extend(of.map(|groups| (candidate, groups)));
        }
        let end = Instant::now() + self.params.time.mul_f64(BRANCHING_SHARE);
        let near = self.spread(halves.len(), &|half| self.near(&halves[half].1, &active))?;
        self.take_in(near.into_iter().flatten());
        let values = self.spread(halves.len(), &|half| {
            if Instant::now() > end {
                return Ok(dual.value);
            }
            let groups = &halves[half].1;
            let master = Master::new(&self.payments, &self.classes, groups);
            Ok(master.knowing(&active, &self.classes, groups).solve(&self.classes, groups).value)
        })?;
        candidates.iter_mut().for_each(|(score, _)| *score = 1.0);
        halves.iter().zip(values).for_each(|((candidate, _), value)| candidates[*candidate].0 *= gain(value));
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.truncate(FINALISTS);
        // Of the best ones, with fillings that are looked for.
        for (score, question) in &mut candidates {
            if Instant::now() > end {
                break;
            }
            *score = 1.0;
            for yes in [true, false] {
                let item_of = |class: usize, request| self.classes[class].item_of(request);
                let Some(groups) = split(&part.groups, question, &item_of, yes) else { continue };
                let mut master =
                    Master::new(&self.payments, &self.classes, &groups).knowing(&active, &self.classes, &groups);
                let half = Part { groups, bound: part.bound, prices: None, record: usize::MAX };
                let time = self.params.time.mul_f64(LOOK_SHARE);
                *score *= gain(self.generate(&half, &mut master, time, observer)?.value);
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        Ok(candidates.into_iter().next().map(|(_, question)| question))
    }

    /// Whether a server of a group holds more than so many of a set, where the best mixture has less than a whole server that does, and
    /// how undecided it is.
    fn counts_in_doubt(&self, part: &Part, weights: &[(Row, f64)]) -> Vec<(f64, Question)> {
        let mut questions = Vec::new();
        for (g, group) in part.groups.iter().enumerate() {
            let class = &self.classes[group.class];
            for (set, items) in class.filling.alike.iter().enumerate() {
                let of_group = weights.iter().filter(|(row, _)| row.group == g);
                let counts: Vec<(u32, f64)> = of_group
                    .map(|(row, weight)| (items.iter().map(|item| class.pool[row.filling][*item]).sum(), *weight))
                    .collect();
                let more =
                    |pieces: u32| counts.iter().filter(|(n, _)| *n > pieces).map(|(_, weight)| weight).sum::<f64>();
                let (fewest, most) = group.counts[set];
                let highest = counts.iter().map(|(n, _)| *n).max().unwrap_or(0);
                for pieces in fewest..most.min(highest + 1) {
                    let doubt = more(pieces).min(1.0 - more(pieces));
                    if doubt >= 0.0 {
                        questions.push((doubt, Question::Count { group: g, set, pieces }));
                    }
                }
            }
        }
        questions
    }

    /// Fillings that groups admit near to those of each class, by their classes.
    fn near(&self, groups: &[Group], fillings: &[Vec<usize>]) -> Result<Vec<(usize, Vec<u32>)>> {
        let mut near = Vec::new();
        for group in groups {
            let class = &self.classes[group.class];
            let fillings = fillings[group.class].iter().map(|filling| &class.pool[*filling]);
            near.extend(class.project(group, fillings)?.into_iter().map(|pieces| (group.class, pieces)));
        }
        Ok(near)
    }

    fn take_in(&mut self, fillings: impl Iterator<Item = (usize, Vec<u32>)>) {
        fillings.for_each(|(class, pieces)| self.classes[class].add(pieces));
    }

    /// Does `count` pieces of work on all workers.
    fn spread<T: Send>(&self, count: usize, work: &(dyn Fn(usize) -> Result<T> + Sync)) -> Result<Vec<T>> {
        spread(self.params.workers, count, &mut || (), work)
    }

    /// Looks for prices that prove a smaller bound of a part: of all placements the best ones, of a part such that are good enough.
    fn tighten(&mut self, part: &mut Part, observer: Observer<'_>) -> Result<()> {
        let is_root = part.record == 0;
        let mut master = Master::new(&self.payments, &self.classes, &part.groups);
        let mut smoothing = if part.prices.is_some() { SMOOTHING } else { 0.0 };
        // What its own prices prove.
        let mut own = f64::INFINITY;
        for pricing in 0.. {
            let share = if self.pricings == 0 { FIRST_FILLINGS_SHARE } else { LATER_FILLINGS_SHARE };
            let dual = self.generate(part, &mut master, self.params.time.mul_f64(share), observer)?;
            self.take(part, &master);
            let (gap, missing) = (part.bound - self.cutoff(), part.bound - dual.value);
            if self.is_over() || gap <= 0.0 || missing <= 1e-7 * dual.value.abs().max(1.0) {
                break;
            }
            let may_close = dual.value <= self.cutoff();
            let most = if may_close { CLOSING_PRICINGS } else { PART_PRICINGS };
            if own < f64::INFINITY && !may_close && missing < (1.5 * self.coarseness).max(TAIL) * gap
                || !is_root && !may_close && missing < PART_TAIL * gap
                || !is_root && pricing >= most
            {
                break;
            }
            let missed = self.miss(part, &dual);
            let centre = match &part.prices {
                Some(best) if smoothing > 0.0 => Some((best.clone(), smoothing)),
                None if is_root => Some((self.central.clone(), 1.0)),
                _ => None,
            };
            let loss = SMOOTH_SHARE[usize::from(!is_root)] * missed;
            let at = match &centre {
                Some((centre, most)) => self.smooth(part, &dual, centre, *most, loss),
                None => dual.prices.clone(),
            };
            // What is to close the part is all that may be missed.
            let lost = if may_close { (self.known_value(part, &at) - dual.value).max(0.0) } else { 0.0 };
            let slack = missed - lost;
            let is_first = own == f64::INFINITY && is_root && pricing < BREAK_OFFS;
            let solutions = self.price(part, slack, is_first, &at, observer)?;
            self.pricings += 1;
            let mut bound: f64 = at.iter().sum();
            let mut proofs = Vec::new();
            for (group, solution) in part.groups.iter().zip(&solutions) {
                let (limit, proof) = self.classes[group.class].learn(group, &at, solution, self.params.certificate);
                bound += group.servers as f64 * limit;
                proofs.extend(proof.map(|proof| (group.class, proof)));
                self.nodes += solution.nodes;
            }
            let is_broken_off = solutions.iter().any(|solution| solution.termination == Termination::Interrupted);
            let improved = bound < own && !(is_first && is_broken_off && !self.is_stopped);
            if improved {
                own = bound;
                part.bound = part.bound.min(bound);
                if self.params.certificate {
                    self.records.prove(part.record, bound, at.clone(), proofs);
                }
                part.prices = Some(at);
                if is_root {
                    self.update_bound(part.bound);
                }
            }
            let mut cut = false;
            for (g, solution) in solutions.into_iter().enumerate() {
                let class = &mut self.classes[part.groups[g].class];
                let reduced = class.reduced(&dual.prices);
                for pieces in solution.found {
                    let gain: f64 = pieces.iter().zip(&reduced).map(|(x, w)| f64::from(*x) * w).sum();
                    cut |= gain > dual.most[g] + 1e-7;
                    class.add(pieces);
                }
            }
            if !cut && !improved && smoothing == 0.0 {
                // These prices say no more in the time that there is.
                break;
            }
            smoothing = match (cut, improved) {
                (true, _) => SMOOTHING,
                (false, true) => 0.5 * smoothing,
                (false, false) => 0.0,
            };
            if !is_root && !cut && may_close && part.bound - dual.value > STALLED * missing {
                break;
            }
            let since = self.start.elapsed() - self.planned_at;
            if is_root && own < f64::INFINITY && !self.is_over() && since > self.params.time.mul_f64(PLAN_EVERY) {
                self.put_together(since.mul_f64(PLAN_SHARE), observer)?;
            }
        }
        Ok(())
    }

    /// Fillings by local search at the master's prices, until it finds none that would change them; of all placements at the mean
    /// prices too.
    fn generate(&mut self, part: &Part, master: &mut Master, time: Duration, observer: Observer<'_>) -> Result<Dual> {
        let start = Instant::now();
        let is_root = part.record == 0;
        let most_idle = IDLE_ROUNDS[usize::from(!is_root)];
        let mut idle = 0;
        let mut dual = master.solve(&self.classes, &part.groups);
        if is_root && self.central.is_empty() {
            self.central.clone_from(&dual.prices);
        }
        while idle < most_idle && !self.is_over() && start.elapsed() < time {
            self.ask(observer);
            let doublings = idle.min(MOST_DOUBLINGS);
            let mut tasks: Vec<(usize, &[f64], f64, u64)> = Vec::new();
            for (g, group) in part.groups.iter().enumerate() {
                tasks.push((g, &dual.prices, dual.most[g], rand::Rng::r#gen(&mut self.rng)));
                if is_root {
                    let most = self.classes[group.class].most_at(group, &self.central);
                    tasks.push((g, &self.central, most, rand::Rng::r#gen(&mut self.rng)));
                }
            }
            let known: usize = self.classes.iter().map(|class| class.pool.len()).sum();
            let classes = &self.classes;
            let found = spread(self.params.workers, tasks.len(), &mut || (), &|task| {
                let (g, prices, most, seed) = tasks[task];
                let group = &part.groups[g];
                classes[group.class].generate(group, prices, most, doublings, seed)
            })?;
            let groups: Vec<usize> = tasks.iter().map(|(g, ..)| *g).collect();
            for (g, found) in groups.into_iter().zip(found) {
                found.into_iter().for_each(|pieces| self.classes[part.groups[g].class].add(pieces));
            }
            let now: usize = self.classes.iter().map(|class| class.pool.len()).sum();
            idle = if now > known { 0 } else { idle + 1 };
            if now > known {
                dual = master.solve(&self.classes, &part.groups);
                if is_root {
                    let pairs = self.central.iter_mut().zip(&dual.prices);
                    pairs.for_each(|(mean, price)| *mean += CENTRAL * (price - *mean));
                }
            }
        }
        Ok(dual)
    }

    fn ask(&mut self, observer: Observer<'_>) {
        self.is_stopped |= observer(&self.progress()) == ControlFlow::Break(());
    }

    /// By how much what a pricing proves may miss the value of the best prices: no less than it takes to close the part; where it cannot
    /// be closed, not much less than the bound does, and than branching will leave.
    fn miss(&self, part: &Part, dual: &Dual) -> f64 {
        let (cutoff, missing) = (self.cutoff(), part.bound - dual.value);
        match cutoff - dual.value {
            // Where there is hardly any room, step by step: an exact pricing of flat prices has no end.
            room if room >= LITTLE_ROOM * missing => CLOSING * room,
            room if room >= 0.0 => MISSING * missing,
            _ if part.prices.is_none() && part.record == 0 => {
                (FIRST_MISS[0] * (dual.value - cutoff)).min(FIRST_MISS[1] * dual.value)
            }
            _ => (MISSING * missing).max(self.coarseness * (part.bound - cutoff)).max(0.0),
        }
    }

    /// What prices promise of a part by the fillings that are known.
    fn known_value(&self, part: &Part, prices: &[f64]) -> f64 {
        let of = |group: &Group| group.servers as f64 * self.classes[group.class].most_at(group, prices);
        prices.iter().sum::<f64>() + part.groups.iter().map(of).sum::<f64>()
    }

    /// Prices between the best ones and a centre, as near to that as `most`, its weight, and a loss allow: the best prices for the fillings
    /// that are known are a corner, at which hundreds of fillings are worth the same.
    fn smooth(&self, part: &Part, dual: &Dual, centre: &[f64], most: f64, loss: f64) -> Vec<f64> {
        let at = |weight: f64| -> Vec<f64> {
            let pairs = dual.prices.iter().zip(centre);
            pairs.map(|(best, centre)| weight * centre + (1.0 - weight) * best).collect()
        };
        let is_near = |weight: f64| self.known_value(part, &at(weight)) <= dual.value + loss;
        let (mut low, mut high) = (0.0, most);
        if is_near(most) {
            return at(most);
        }
        for _ in 0..SMOOTHING_STEPS {
            let middle = 0.5 * (low + high);
            if is_near(middle) { low = middle } else { high = middle }
        }
        at(low)
    }

    /// Prices all groups of a part.
    fn price(
        &mut self,
        part: &Part,
        slack: f64,
        is_first: bool,
        prices: &[f64],
        observer: Observer<'_>,
    ) -> Result<Vec<Solution>> {
        let servers: usize = part.groups.iter().map(|group| group.servers).sum();
        let pricing_share = if part.record == 0 {
            (FIRST_PRICING_SHARE * servers as f64).clamp(PRICING_SHARE, MOST_PRICING_SHARE)
        } else {
            PRICING_SHARE
        };
        // Where it takes most of the time, some is left for a plan out of what it finds.
        let reserve = if part.record == 0 { self.params.time.mul_f64(LAST_PLAN_SHARE) } else { Duration::ZERO };
        let stop = AtomicBool::new(false);
        let pricing = Pricing {
            prices,
            slack: slack / servers as f64,
            enough: if is_first { ENOUGH * slack / servers as f64 } else { f64::INFINITY },
            time: self.left().saturating_sub(reserve).min(self.params.time.mul_f64(pricing_share)),
            workers: self.params.workers,
            keep: self.params.certificate,
            stop: &stop,
        };
        let seeds: Vec<u64> = part.groups.iter().map(|_| rand::Rng::r#gen(&mut self.rng)).collect();
        let progress = self.progress();
        let (start, classes) = (self.start, &self.classes);
        let mut is_stopped = self.is_stopped;
        let mut poll = || {
            let seconds = start.elapsed().as_secs_f64();
            if !is_stopped && observer(&Progress { seconds, ..progress }) == ControlFlow::Break(()) {
                is_stopped = true;
                stop.store(true, Ordering::Relaxed);
            }
        };
        let solutions = spread(self.params.workers, part.groups.len(), &mut poll, &|g| {
            let group = &part.groups[g];
            classes[group.class].price(group, &pricing, seeds[g])
        });
        self.is_stopped = is_stopped;
        let solutions = solutions?;
        let is_late = solutions.iter().any(|solution| solution.termination == Termination::TimeLimit);
        self.coarseness = (self.coarseness * if is_late { 2.0 } else { 0.8 }).clamp(COARSENESS[0], COARSENESS[1]);
        Ok(solutions)
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
