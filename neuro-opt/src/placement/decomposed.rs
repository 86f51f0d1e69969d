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
//! G. B. Dantzig, P. Wolfe, "Decomposition principle for linear programs", Operations Research 8(1), 1960, doi:10.1287/opre.8.1.101;
//! prices are smoothed as in P. Wentges, "Weighted Dantzig–Wolfe decomposition for linear mixed-integer programming", International
//! Transactions in Operational Research 4(2), 1997, doi:10.1016/S0969-6016(97)00001-4.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::certificate::{Certificate, ClassProof};
use super::filling::{Filling, Interference, SharedState, Solution, Tree, TreeParams, improve};
use super::lns::{LnsParams, search};
use super::occupancy::Occupancy;
use super::{Placement, Problem, greedy, plan_of};
use crate::lp::Simplex;
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
    let Run { placement, revenue, bound, pricings, nodes, start, certificate, .. } = run;
    let outcome = Outcome {
        termination,
        objective: Some(revenue),
        bound: Some(bound.max(revenue)),
        nodes,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(Decomposed { plan: plan_of(problem, Method::Decomposed, &placement, &outcome)?, pricings, nodes, certificate })
}

/// Servers that are the same.
struct Class<'p, 'a> {
    servers: Vec<usize>,
    /// The request of each item.
    requests: Vec<usize>,
    interference: SharedState<'p, 'a>,
    filling: Filling,
    /// Fillings that hold, pieces by item.
    pool: Vec<Vec<u32>>,
    known: HashSet<Vec<u32>>,
    /// σ_c may be at most that.
    most: f64,
}

struct Run<'p, 'a> {
    problem: &'p Problem<'a>,
    params: &'p DecomposedParams,
    start: Instant,
    classes: Vec<Class<'p, 'a>>,
    master: Master,
    placement: Placement,
    revenue: f64,
    bound: f64,
    /// Prices of the best bound.
    prices: Vec<f64>,
    pricings: u64,
    nodes: u64,
    certificate: Option<Certificate>,
    rng: ChaCha8Rng,
}

/// Share of the time for the first plan.
const FIRST_SHARE: f64 = 0.12;
/// Share of the time for local search between two pricings.
const LATER_SHARE: f64 = 0.02;
/// Share of what time is left that is spent on plans after prices have been found.
const PLAN_SHARE: f64 = 0.15;
/// Weight of the best prices in smoothed ones.
const SMOOTHING: f64 = 0.5;
/// Iterations of local search from one filling on.
const LOCAL_ITERATIONS: u64 = 60;
/// Fillings from which it starts.
const STARTS: usize = 4;
/// Rounds of it without a new filling after which the tree is asked.
const IDLE_ROUNDS: usize = 3;
/// Share of the time that one pricing may take.
const PRICING_SHARE: f64 = 0.1;
/// How often an observer is asked.
const POLL: Duration = Duration::from_millis(5);

impl<'p, 'a> Run<'p, 'a> {
    fn new(problem: &'p Problem<'a>, params: &'p DecomposedParams) -> Result<Self> {
        let start = Instant::now();
        let instance = problem.instance();
        let mut classes: Vec<Class<'p, 'a>> = Vec::new();
        for (s, server) in instance.servers.iter().enumerate() {
            let kind = problem.kind_of[s];
            let same = |class: &&mut Class<'_, '_>| {
                let other = class.servers[0];
                problem.kind_of[other] == kind && instance.servers[other].memory_gb == server.memory_gb
            };
            match classes.iter_mut().find(same) {
                Some(class) => class.servers.push(s),
                None => classes.push(Class::new(problem, kind, s)?),
            }
        }
        let payments: Vec<f64> = instance.requests.iter().map(|request| request.payment).collect();
        let master = Master::new(&payments, &classes);
        let placement = vec![None; instance.requests.len()];
        let rng = ChaCha8Rng::seed_from_u64(neuro_data::derive_seed(params.seed, &["decomposed"]));
        let bound = payments.iter().sum();
        Ok(Self {
            problem,
            params,
            start,
            classes,
            master,
            placement,
            revenue: 0.0,
            bound,
            prices: payments,
            pricings: 0,
            nodes: 0,
            certificate: None,
            rng,
        })
    }

    fn left(&self) -> Duration {
        self.params.time.saturating_sub(self.start.elapsed())
    }

    fn is_closed(&self) -> bool {
        self.bound - self.revenue <= self.params.gap * self.revenue.abs().max(1.0)
    }

    fn progress(&self) -> Progress {
        Progress {
            objective: Some(self.revenue),
            bound: self.bound,
            nodes: self.nodes,
            open: 0,
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }

    fn decompose(&mut self, observer: Observer<'_>) -> Result<Termination> {
        let first = greedy::place(self.problem)?;
        let mut stopped = self.plan(first, self.params.time.mul_f64(FIRST_SHARE), observer)?;
        let mut smoothing = 0.0;
        let mut planned_at = self.start.elapsed();
        while !stopped && !self.is_closed() && !self.left().is_zero() {
            let share = if self.pricings == 0 { FIRST_SHARE } else { LATER_SHARE };
            self.generate(self.params.time.mul_f64(share), observer, &mut stopped)?;
            let (prices, most, value) = self.master.solve();
            if self.bound - value <= 1e-7 * value.abs().max(1.0) {
                break;
            }
            let at: Vec<f64> =
                prices.iter().zip(&self.prices).map(|(new, best)| smoothing * best + (1.0 - smoothing) * new).collect();
            let (solutions, interrupted) = self.price(&at, observer)?;
            stopped |= interrupted;
            self.pricings += 1;
            let mut bound: f64 = at.iter().sum();
            for (class, solution) in self.classes.iter().zip(&solutions) {
                bound += class.servers.len() as f64 * solution.bound.max(0.0);
                self.nodes += solution.nodes;
            }
            let improved = bound < self.bound;
            if improved {
                self.bound = bound;
                if self.params.certificate {
                    let name = |class: &Class<'_, '_>| &self.problem.instance().servers[class.servers[0]].name;
                    let proofs = self.classes.iter().zip(&solutions);
                    let classes =
                        proofs.map(|(class, solution)| ClassProof::of(name(class), &class.interference, solution));
                    self.certificate = Some(Certificate { bound, prices: at.clone(), classes: classes.collect() });
                }
                self.prices = at;
            }
            let mut cut = false;
            for (c, solution) in solutions.into_iter().enumerate() {
                for pieces in solution.found {
                    let gain = self.classes[c].profit(self.problem, &prices, &pieces);
                    cut |= gain > most[c] + 1e-7;
                    self.add(c, pieces);
                }
            }
            smoothing = match (cut, improved) {
                (false, false) => 0.0,
                _ => SMOOTHING,
            };
            // Now and then the new fillings are put together.
            let since = self.start.elapsed() - planned_at;
            if !stopped && since.as_secs_f64() > 0.15 * self.params.time.as_secs_f64() {
                stopped |= self.put_together(since.mul_f64(PLAN_SHARE), observer)?;
                planned_at = self.start.elapsed();
            }
        }
        if !stopped && !self.is_closed() && !self.left().is_zero() {
            stopped |= self.put_together(self.left(), observer)?;
        }
        Ok(match (stopped, self.is_closed()) {
            (_, true) if self.params.gap > Limits::default().gap * 10.0 => Termination::GapReached,
            (_, true) => Termination::Optimal,
            (true, _) => Termination::Interrupted,
            _ => Termination::TimeLimit,
        })
    }

    /// Fillings by local search at the master's prices, until it finds none that would change them.
    fn generate(&mut self, time: Duration, observer: Observer<'_>, stopped: &mut bool) -> Result<()> {
        let start = Instant::now();
        let mut idle = 0;
        while idle < IDLE_ROUNDS && !*stopped && start.elapsed() < time.min(self.left()) {
            *stopped |= observer(&self.progress()) == ControlFlow::Break(());
            let (prices, most, _) = self.master.solve();
            let seeds: Vec<u64> = self.classes.iter().map(|_| rand::Rng::r#gen(&mut self.rng)).collect();
            let (problem, classes) = (self.problem, &self.classes);
            let found: Vec<Result<Vec<Vec<u32>>>> = thread::scope(|scope| {
                let handles: Vec<_> = classes
                    .iter()
                    .zip(&seeds)
                    .zip(&most)
                    .map(|((class, seed), most)| {
                        scope.spawn({
                            let prices = &prices;
                            move || class.generate(problem, prices, *most, *seed)
                        })
                    })
                    .collect();
                handles.into_iter().map(|handle| handle.join().unwrap_or(Err(Error::WorkerPanicked))).collect()
            });
            let before = self.master.columns.len();
            for (c, found) in found.into_iter().enumerate() {
                for pieces in found? {
                    self.add(c, pieces);
                }
            }
            idle = if self.master.columns.len() > before { 0 } else { idle + 1 };
        }
        Ok(())
    }

    /// A filling into pool and master.
    fn add(&mut self, c: usize, pieces: Vec<u32>) {
        let class = &mut self.classes[c];
        if class.known.insert(pieces.clone()) {
            self.master.add(c, self.problem, &class.requests, &pieces);
            class.pool.push(pieces);
        }
    }

    /// A better plan from `first` on; whether the observer broke off.
    fn plan(&mut self, first: Placement, time: Duration, observer: Observer<'_>) -> Result<bool> {
        let lns = LnsParams {
            time,
            workers: self.params.workers,
            seed: self.params.seed + self.pricings,
            ..LnsParams::default()
        };
        let (bound, start, gap) = (self.bound, self.start, self.params.gap);
        let mut stopped = false;
        let found = search(self.problem, &lns, first, &mut |progress| {
            let seconds = start.elapsed().as_secs_f64();
            stopped |= observer(&Progress { bound, seconds, ..*progress }) == ControlFlow::Break(());
            let closed = progress.objective.is_some_and(|revenue| bound - revenue <= gap * revenue.abs().max(1.0));
            if stopped || closed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let revenue = self.problem.revenue(&found.placement);
        for c in 0..self.classes.len() {
            for s in self.classes[c].servers.clone() {
                let pieces = self.classes[c].pieces(&found.placement, s);
                self.add(c, pieces);
            }
        }
        if revenue > self.revenue {
            self.revenue = revenue;
            self.placement = found.placement;
        }
        Ok(stopped)
    }

    /// A plan out of the fillings that are known, then a search from it on, or from the best plan.
    fn put_together(&mut self, time: Duration, observer: Observer<'_>) -> Result<bool> {
        let placement = self.combine(time.mul_f64(0.5))?;
        let best = self.placement.clone();
        let stopped = self.plan(placement, time.mul_f64(0.25), observer)?;
        Ok(stopped || self.plan(best, time.mul_f64(0.25), observer)?)
    }

    /// The best plan of whole known fillings, as far as the time goes: max Σ p_f z_f, no request twice, at most S_c fillings of a class.
    #[cfg(feature = "cbc")]
    fn combine(&mut self, time: Duration) -> Result<Placement> {
        use crate::model::{Linear, Model};
        use crate::solver::cbc::Cbc;
        use crate::solver::{MipSolver, SolveOptions};
        let (prices, most, _) = self.master.solve();
        let worth = self.bound - self.revenue;
        let payment = |r: &usize| self.problem.instance().requests[*r].payment;
        // A filling that loses more than the gap at these prices is in no better plan.
        let useful: Vec<&(usize, Vec<usize>)> = self
            .master
            .columns
            .iter()
            .filter(|(c, held)| held.iter().map(|r| payment(r) - prices[*r]).sum::<f64>() >= most[*c] - worth)
            .collect();
        let mut model = Model::new();
        let mut by_request = vec![Linear::default(); prices.len()];
        let mut by_class = vec![Linear::default(); self.classes.len()];
        let mut objective = Linear::default();
        let mut variables = Vec::new();
        for (i, (c, held)) in useful.iter().enumerate() {
            let z = model.binary(format!("f{i}"))?;
            held.iter().for_each(|r| by_request[*r] += 1.0 * z);
            by_class[*c] += 1.0 * z;
            objective += held.iter().map(payment).sum::<f64>() * z;
            variables.push(z);
        }
        for row in by_request.into_iter().filter(|row| !row.terms.is_empty()) {
            model.add(row.at_most(1.0))?;
        }
        for (row, class) in by_class.into_iter().zip(&self.classes) {
            model.add(row.at_most(class.servers.len() as f64))?;
        }
        model.optimise(crate::Sense::Maximise, objective)?;
        let solution = Cbc.solve(&model, &SolveOptions { time: Some(time), ..SolveOptions::default() })?;
        let Some(values) = solution.values else { return self.dive() };
        let mut placement: Placement = vec![None; prices.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        for ((c, held), z) in useful.into_iter().zip(variables) {
            if values[z.index()] > 0.5
                && let Some(server) = free[*c].pop()
            {
                held.iter().for_each(|r| placement[*r] = Some(server));
            }
        }
        Ok(placement)
    }

    /// Without a solver of integer programs.
    #[cfg(not(feature = "cbc"))]
    fn combine(&mut self, _: Duration) -> Result<Placement> {
        self.dive()
    }

    /// Fillings by their weights in the master, each on a server that is free, without the requests that are placed already.
    fn dive(&mut self) -> Result<Placement> {
        let weighed = self.master.weights();
        let mut placement: Placement = vec![None; self.problem.instance().requests.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        for (c, requests, _) in weighed {
            let Some(server) = free[c].pop() else { continue };
            let mut occupancy = Occupancy::empty(self.problem, server);
            for request in requests {
                if placement[request].is_none() && occupancy.try_add(self.problem, request)? {
                    placement[request] = Some(server);
                }
            }
        }
        Ok(placement)
    }

    /// Prices all classes; whether the observer broke off.
    fn price(&mut self, prices: &[f64], observer: Observer<'_>) -> Result<(Vec<Solution>, bool)> {
        let left = self.left().min(self.params.time.mul_f64(PRICING_SHARE));
        let servers: usize = self.classes.iter().map(|class| class.servers.len()).sum();
        // A pricing need not be better than what is missing at all.
        let slack = 0.05 * (self.bound - self.revenue).max(0.0) / servers as f64;
        let threads = self.params.workers.max(1);
        let each = (threads / self.classes.len()).max(1);
        let stop = AtomicBool::new(false);
        let keep = self.params.certificate;
        let pricing = Pricing { prices, slack, time: left, workers: each, keep, stop: &stop };
        let next = AtomicU64::new(0);
        let results: Vec<std::sync::Mutex<Option<Result<Solution>>>> =
            self.classes.iter().map(|_| std::sync::Mutex::new(None)).collect();
        let seeds: Vec<u64> = self.classes.iter().map(|_| rand::Rng::r#gen(&mut self.rng)).collect();
        let progress = self.progress();
        let (start, problem, classes) = (self.start, self.problem, &self.classes);
        let mut interrupted = false;
        thread::scope(|scope| {
            let handles: Vec<_> = (0..threads.min(classes.len()))
                .map(|_| {
                    let (pricing, next, results, seeds) = (&pricing, &next, &results, &seeds);
                    scope.spawn(move || {
                        loop {
                            let c = next.fetch_add(1, Ordering::Relaxed) as usize;
                            if c >= classes.len() {
                                return;
                            }
                            let result = classes[c].price(problem, pricing, seeds[c]);
                            *results[c].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
                        }
                    })
                })
                .collect();
            while !handles.iter().all(thread::ScopedJoinHandle::is_finished) {
                let seconds = start.elapsed().as_secs_f64();
                if !interrupted && observer(&Progress { seconds, ..progress }) == ControlFlow::Break(()) {
                    interrupted = true;
                    stop.store(true, Ordering::Relaxed);
                }
                thread::sleep(POLL.min(Duration::from_millis(1)));
            }
        });
        let solutions = results.into_iter().map(|slot| {
            slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).unwrap_or(Err(Error::WorkerPanicked))
        });
        Ok((solutions.collect::<Result<Vec<_>>>()?, interrupted))
    }
}

impl<'p, 'a> Class<'p, 'a> {
    fn new(problem: &'p Problem<'a>, kind: usize, server: usize) -> Result<Self> {
        let instance = problem.instance();
        let capacity_gb = instance.servers[server].memory_gb;
        let requests = problem.admissible(kind);
        let interference = SharedState::new(problem, Method::Decomposed, kind, requests.clone(), capacity_gb, None)?;
        let free = vec![0.0; instance.requests.len()];
        let filling = problem.filling(&requests, &free, capacity_gb, &interference);
        let most = filling.profits.iter().filter(|profit| **profit > 0.0).sum::<f64>() + 1.0;
        Ok(Self {
            servers: vec![server],
            requests,
            interference,
            filling,
            pool: Vec::new(),
            known: HashSet::new(),
            most,
        })
    }

    /// What runs on a server, pieces by item.
    fn pieces(&self, placement: &Placement, server: usize) -> Vec<u32> {
        self.requests.iter().map(|r| u32::from(placement[*r] == Some(server))).collect()
    }

    fn reduced(&self, problem: &Problem<'_>, prices: &[f64]) -> Vec<f64> {
        self.requests.iter().map(|r| problem.instance().requests[*r].payment - prices[*r]).collect()
    }

    fn profit(&self, problem: &Problem<'_>, prices: &[f64], pieces: &[u32]) -> f64 {
        let profits = self.reduced(problem, prices);
        pieces.iter().zip(profits).map(|(x, w)| f64::from(*x) * w).sum()
    }

    /// Fillings of more profit than `most`, by local search from the best that are known.
    fn generate(&self, problem: &Problem<'_>, prices: &[f64], most: f64, seed: u64) -> Result<Vec<Vec<u32>>> {
        let filling = self.filling.with_profits(self.reduced(problem, prices));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut ranked: Vec<(f64, &Vec<u32>)> =
            self.pool.iter().map(|pieces| (filling.profit(pieces), pieces)).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut found = Vec::new();
        for (_, start) in ranked.into_iter().take(STARTS) {
            let improved = improve(&filling, &self.interference, start, LOCAL_ITERATIONS, &mut rng);
            let profit = filling.profit(&improved);
            if profit > most + 1e-6 * most.abs().max(1.0)
                && !self.known.contains(&improved)
                && self.interference.holds(&improved)?
            {
                found.push(improved);
            }
        }
        Ok(found)
    }

    /// The best filling at prices, and a bound on it.
    fn price(&self, problem: &Problem<'_>, pricing: &Pricing<'_>, seed: u64) -> Result<Solution> {
        let Pricing { prices, slack, time, workers, keep, stop } = *pricing;
        let filling = self.filling.with_profits(self.reduced(problem, prices));
        let nothing = vec![0; filling.items()];
        let best = self.pool.iter().max_by(|a, b| filling.profit(a).total_cmp(&filling.profit(b)));
        let best = best.unwrap_or(&nothing).clone();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let improved = improve(&filling, &self.interference, &best, LOCAL_ITERATIONS, &mut rng);
        let is_better = filling.profit(&improved) > filling.profit(&best) && self.interference.holds(&improved)?;
        let known = if is_better { improved } else { best };
        let target = filling.profit(&known).max(0.0) + slack;
        let limits = Limits { time: Some(time), gap: 0.0, target: Some(target), ..Limits::default() };
        let params = TreeParams { limits, workers, keep };
        let mut solution = Tree::new(&filling, &self.interference, &params, Some(known.clone())).run(&mut |_| {
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        solution.found.push(known);
        Ok(solution)
    }
}

/// What all classes are priced with.
struct Pricing<'a> {
    prices: &'a [f64],
    /// By how much a filling must beat the best known one to be looked for.
    slack: f64,
    time: Duration,
    /// Threads.
    workers: usize,
    /// Whether the trees are kept.
    keep: bool,
    stop: &'a AtomicBool,
}

/// The best prices for the fillings that are known: min Σ π_r + Σ S_c σ_c, 0 ≤ π_r ≤ p_r, σ_c + Σ π_r ≥ Σ p_r over a filling of c.
struct Master {
    lp: Simplex,
    requests: usize,
    /// Class and requests of each row.
    columns: Vec<(usize, Vec<usize>)>,
}

impl Master {
    fn new(payments: &[f64], classes: &[Class<'_, '_>]) -> Self {
        let upper: Vec<f64> =
            payments.iter().map(|p| p.max(0.0)).chain(classes.iter().map(|class| class.most)).collect();
        let mut lp = Simplex::of_box(vec![0.0; upper.len()], upper);
        let servers = classes.iter().map(|class| class.servers.len() as f64);
        let cost: Vec<f64> = payments.iter().map(|_| 1.0).chain(servers).collect();
        lp.set_objective(&cost);
        Self { lp, requests: payments.len(), columns: Vec::new() }
    }

    fn add(&mut self, class: usize, problem: &Problem<'_>, requests: &[usize], pieces: &[u32]) {
        let held: Vec<usize> = requests.iter().zip(pieces).filter(|(_, x)| **x > 0).map(|(r, _)| *r).collect();
        if held.is_empty() {
            return;
        }
        let mut row = vec![0.0; self.lp.columns()];
        row[self.requests + class] = 1.0;
        held.iter().for_each(|r| row[*r] = 1.0);
        let value: f64 = held.iter().map(|r| problem.instance().requests[*r].payment).sum();
        self.lp.add_row(&row, value, f64::INFINITY);
        self.columns.push((class, held));
    }

    /// Prices, σ, and the value.
    fn solve(&mut self) -> (Vec<f64>, Vec<f64>, f64) {
        self.lp.solve(f64::INFINITY);
        let mut values = self.lp.values();
        let most = values.split_off(self.requests);
        (values, most, self.lp.objective())
    }

    /// Fillings by their weights, the largest first.
    fn weights(&mut self) -> Vec<(usize, Vec<usize>, f64)> {
        self.lp.solve(f64::INFINITY);
        let mut weighed: Vec<(usize, Vec<usize>, f64)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(row, (class, requests))| {
                (*class, requests.clone(), self.lp.reduced_cost(self.lp.row_variable(row)).abs())
            })
            .filter(|(_, _, weight)| *weight > 1e-9)
            .collect();
        weighed.sort_by(|a, b| b.2.total_cmp(&a.2));
        weighed
    }
}
