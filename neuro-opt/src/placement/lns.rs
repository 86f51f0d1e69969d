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

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::decomposed::{DecomposedParams, guided};
use super::occupancy::Occupancy;
use super::{Placement, Problem, greedy, plan_of};
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct LnsParams {
    /// Wall-clock time; 5 s by default.
    pub time: Duration,
    /// Iterations of each worker, where they are to end it: then the plan is the seed's, and no prices guide it. None by default.
    pub iterations: Option<u64>,
    /// Workers, each with a search of its own from the greedy plan; at least 1, by default the number of cores.
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
                    Search::new(problem, params, servers, payments, first, (seed, worker)).run(start, shared)
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

/// How many of some requests a server may hold, at least and at most.
pub(super) struct Quota {
    pub(super) requests: Vec<usize>,
    pub(super) count: (u32, u32),
}

/// Which fillings of a server are looked for.
pub(super) struct Aim {
    /// Of every request; what has one below 0 is never put in.
    pub(super) profits: Vec<f64>,
    /// What they are to be worth more than.
    pub(super) most: f64,
    pub(super) quotas: Vec<Quota>,
}

/// Such fillings of one server, the best first, by so many iterations from one on.
pub(super) fn fill(
    problem: &Problem<'_>,
    server: usize,
    aim: Aim,
    first: &[usize],
    iterations: u64,
    seed: u64,
) -> Result<Vec<(f64, Vec<usize>)>> {
    let Aim { profits, most, quotas } = aim;
    let params = LnsParams::default();
    let mut placement: Placement = vec![None; profits.len()];
    first.iter().for_each(|request| placement[*request] = Some(0));
    let mut search = Search::new(problem, &params, vec![server], profits, &placement, (seed, seed as usize % 2));
    let mut found: HashMap<Vec<usize>, f64> = HashMap::new();
    let mut best = most;
    search.quotas = quotas.iter().map(|quota| (mask(&quota.requests, search.placement.len()), quota.count)).collect();
    search.missed = search.misses();
    search.cycle.cold *= COLDER;
    search.cycle.hot = search.cycle.cold / COLD;
    search.cycle.length = PAIR_CYCLE;
    for i in 0..iterations {
        let before = search.revenue;
        if i > 0 && i % PAIR_CYCLE == 0 {
            // Elsewhere: fillings of few applications are far from one another.
            search.empty(0);
            search.refill(0)?;
            search.missed = search.misses();
            search.cycle = Cycle { done: 0, length: PAIR_CYCLE, hot: search.cycle.cold / COLD, ..search.cycle };
        }
        search.step()?;
        let is_worth = search.missed == 0 && search.revenue > most && search.revenue != before;
        if is_worth && (found.len() < FOUND || search.revenue > best) {
            best = best.max(search.revenue);
            let mut tenants = search.servers[0].tenants.clone();
            tenants.sort_unstable();
            found.insert(tenants, search.revenue);
        }
    }
    let mut found: Vec<(f64, Vec<usize>)> = found.into_iter().map(|(tenants, profit)| (profit, tenants)).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(found)
}

/// Which requests are named.
fn mask(requests: &[usize], count: usize) -> Vec<bool> {
    let mut named = vec![false; count];
    requests.iter().for_each(|request| named[*request] = true);
    named
}

/// By how much one server is colder, whose profits are what is left of payments.
const COLDER: f64 = 0.5;
/// Fillings of one server that are kept, but for better ones.
const FOUND: usize = 512;
/// Placements that are kept besides the best one.
const KEPT: usize = 100;
/// How often the observer is asked.
const POLL: Duration = Duration::from_millis(5);
/// Iterations after which a worker looks at the clock, at most.
const BATCH: u64 = 256;
/// Time under which a batch may be longer.
const SHORT: Duration = Duration::from_micros(500);

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

/// Nobody.
const NONE: u32 = u32::MAX;

/// One worker's search.
struct Search<'p, 'a> {
    problem: &'p Problem<'a>,
    params: &'p LnsParams,
    rng: ChaCha8Rng,
    /// What each request pays where it is served.
    payments: Vec<f64>,
    servers: Vec<Occupancy>,
    /// The place of the server of each request, or [`NONE`].
    placement: Vec<u32>,
    revenue: f64,
    best: (f64, Vec<u32>),
    /// Whether the placement has the revenue of the best one, which is not copied yet.
    is_best: bool,
    /// Requests that nobody serves, in no order, and the place of each there.
    waiting: Vec<u32>,
    place: Vec<u32>,
    cycle: Cycle,
    /// By request the last iteration that tried it.
    tried: Vec<u64>,
    iteration: u64,
    /// Where one server is filled: whose numbers are bounded, and by what; and by how many they are missed.
    quotas: Vec<(Vec<bool>, (u32, u32))>,
    missed: u32,
    freed: Vec<usize>,
    placed: Vec<(usize, usize)>,
    /// Requests to try and what speaks for them, the first to be tried last.
    candidates: Vec<(f64, usize)>,
    /// By request its application, and what speaks for each application where all of its requests are tried together.
    apps: Vec<usize>,
    favour: Vec<f64>,
}

/// One fall of the temperature.
struct Cycle {
    /// Temperatures in payments at its begin and end.
    hot: f64,
    cold: f64,
    done: u64,
    length: u64,
    /// Iterations of the last cycle of all servers.
    whole: u64,
    /// Pairs of servers that are to be searched before the next of those.
    pairs: u64,
    /// The servers that are searched alone, and the revenue and placement before.
    pair: Option<([usize; 2], f64, Vec<u32>)>,
}

impl Cycle {
    /// One of all servers, longer than the last one.
    fn begin_whole(&mut self) {
        self.whole = (self.whole as f64 * GROWTH) as u64 + 1;
        self.pairs = self.whole / PAIR_CYCLE;
        self.length = self.whole;
        self.done = 0;
    }

    /// One of two servers.
    fn begin_pair(&mut self, pair: [usize; 2], revenue: f64, placement: Vec<u32>) {
        self.pairs -= 1;
        self.length = PAIR_CYCLE;
        self.done = 0;
        self.pair = Some((pair, revenue, placement));
    }

    fn temperature(&self) -> f64 {
        let share = self.done as f64 / self.length as f64;
        (self.hot * (self.cold / self.hot).powf(share)).max(f64::MIN_POSITIVE)
    }
}

/// Iterations of the first cycle by server.
const FIRST_CYCLE: u64 = 250;
/// Iterations of the search of two servers alone.
const PAIR_CYCLE: u64 = 1_500;
/// By how much a cycle is longer than the one before.
const GROWTH: f64 = 1.5;
/// The temperature at a cycle's end, in that at its begin.
const COLD: f64 = 0.1;
/// By how much every second worker is hotter.
const HOTTER: f64 = 3.0;
/// Share of the iterations that ruin two servers.
const PAIRS: f64 = 0.7;
/// Share of the iterations that eject.
const EJECTIONS: f64 = 0.3;
/// Share of the other iterations that ruin by applications.
const BLOCKS: f64 = 0.15;
/// Waiting requests that are tried in one iteration.
const CANDIDATES: usize = 12;
/// The same when a server is filled anew.
const PAIR_CANDIDATES: usize = 100;

impl<'p, 'a> Search<'p, 'a> {
    /// Of these servers; `first` names their places, and `seed` is followed by the worker's position.
    fn new(
        problem: &'p Problem<'a>,
        params: &'p LnsParams,
        servers: Vec<usize>,
        payments: Vec<f64>,
        first: &Placement,
        (seed, worker): (u64, usize),
    ) -> Self {
        let requests = &problem.instance().requests;
        let mean = requests.iter().map(|request| request.payment).sum::<f64>() / requests.len().max(1) as f64;
        // Workers at two temperatures: what is too cold for one instance is too hot for another.
        let cold = COLD * params.temperature * mean * if worker.is_multiple_of(2) { 1.0 } else { HOTTER };
        let length = FIRST_CYCLE * servers.len().max(1) as u64;
        let placement: Vec<u32> = first.iter().map(|server| server.map_or(NONE, |server| server as u32)).collect();
        let mut search = Self {
            problem,
            params,
            rng: ChaCha8Rng::seed_from_u64(seed),
            payments,
            servers: servers.into_iter().map(|server| Occupancy::empty(problem, server)).collect(),
            revenue: 0.0,
            best: (0.0, placement.clone()),
            is_best: true,
            waiting: Vec::new(),
            place: Vec::new(),
            cycle: Cycle { hot: cold, cold, done: 0, length, whole: length, pairs: 0, pair: None },
            tried: vec![0; requests.len()],
            iteration: 0,
            quotas: Vec::new(),
            missed: 0,
            freed: Vec::new(),
            placed: Vec::new(),
            candidates: Vec::new(),
            apps: Vec::new(),
            favour: Vec::new(),
            placement,
        };
        let mut known: Vec<&str> = Vec::new();
        for request in requests {
            let place = known.iter().position(|app| *app == request.app).unwrap_or(known.len());
            if place == known.len() {
                known.push(&request.app);
            }
            search.apps.push(place);
        }
        search.favour = vec![1.0; known.len()];
        search.enter();
        search.best.0 = search.revenue;
        search
    }

    /// Brings everything else up to date with the placement.
    fn enter(&mut self) {
        for occupancy in &mut self.servers {
            *occupancy = Occupancy::empty(self.problem, occupancy.server);
        }
        self.waiting.clear();
        self.place = vec![NONE; self.placement.len()];
        self.revenue = 0.0;
        for request in 0..self.placement.len() {
            match self.placement[request] {
                NONE => self.wait(request),
                server => {
                    self.servers[server as usize].add(self.problem, request);
                    self.revenue += self.payment(request);
                }
            }
        }
    }

    fn run(mut self, start: Instant, shared: &Shared) -> Result<()> {
        let mut done = 0;
        let nothing_to_do = self.servers.is_empty() || self.placement.is_empty();
        let mut batch = 1;
        while !nothing_to_do && !shared.stop.load(Ordering::Relaxed) && start.elapsed() < self.params.time {
            let left = self.params.iterations.map_or(batch, |most| batch.min(most - done));
            if left == 0 {
                break;
            }
            let before = self.best.0;
            let begin = Instant::now();
            for _ in 0..left {
                self.step()?;
            }
            // By the clock only where the clock is the end: sums are made anew after a batch, and rounding changes the course.
            let is_short = self.params.iterations.is_some() || begin.elapsed() < SHORT;
            batch = if is_short { BATCH.min(2 * batch) } else { (batch / 2).max(1) };
            done += left;
            shared.iterations.fetch_add(left, Ordering::Relaxed);
            if self.best.0 > before {
                self.keep();
                shared.offer(self.best.0, &self.best_placement());
            }
        }
        self.keep();
        shared.offer(self.best.0, &self.best_placement());
        Ok(())
    }

    /// Copies the placement if it is the best.
    fn keep(&mut self) {
        if self.is_best {
            // The sum anew: many differences are not exact.
            self.revenue =
                (0..self.placement.len()).filter(|r| self.placement[*r] != NONE).map(|r| self.payment(r)).sum();
            self.best.0 = self.revenue;
            self.best.1.copy_from_slice(&self.placement);
        }
    }

    fn best_placement(&self) -> Placement {
        self.best.1.iter().map(|server| (*server != NONE).then_some(*server as usize)).collect()
    }

    /// Ruins and recreates one or two servers; takes it back where it is much worse.
    fn step(&mut self) -> Result<()> {
        self.iteration += 1;
        let count = self.servers.len();
        let mut both = match &self.cycle.pair {
            Some((pair, ..)) => *pair,
            None => {
                let first = self.rng.gen_range(0..count);
                [first, (first + self.rng.gen_range(1..count.max(2))) % count]
            }
        };
        if self.rng.gen_bool(0.5) {
            both.reverse();
        }
        let first = both[0];
        let ruined = if count > 1 && self.rng.gen_bool(PAIRS) { &mut both[..] } else { &mut both[..1] };
        let mut old: [Option<Occupancy>; 2] = [0, 1].map(|i| ruined.get(i).map(|server| self.servers[*server].clone()));
        self.freed.clear();
        self.placed.clear();
        let mut is_by_app = false;
        if !self.waiting.is_empty() && self.rng.gen_bool(EJECTIONS) {
            self.eject(first)?;
            // What was ejected is tried on the other one first.
            ruined.reverse();
            old.reverse();
        } else {
            is_by_app = self.rng.gen_bool(BLOCKS);
            for server in &*ruined {
                if is_by_app { self.ruin_app(*server)? } else { self.ruin(*server)? }
            }
        }
        self.list_candidates(is_by_app, CANDIDATES);
        let mut revenue = self.revenue - self.freed.iter().map(|r| self.payment(*r)).sum::<f64>();
        revenue += self.placed.iter().map(|(r, _)| self.payment(*r)).sum::<f64>();
        while let Some((_, request)) = self.candidates.pop() {
            for server in &*ruined {
                if self.servers[*server].try_add(self.problem, request)? {
                    self.placed.push((request, *server));
                    revenue += self.payment(request);
                    break;
                }
            }
        }
        let loss = self.revenue - revenue;
        self.cycle.done += 1;
        let missed = self.misses();
        let is_accepted = missed < self.missed
            || missed == self.missed
                && (loss <= 0.0 || self.rng.r#gen::<f64>() < (-loss / self.cycle.temperature()).exp());
        if is_accepted {
            self.missed = missed;
            self.accept(revenue);
            for server in &*ruined {
                self.servers[*server].refresh(self.problem);
            }
        } else {
            for (server, old) in ruined.iter().zip(old.into_iter().flatten()) {
                self.servers[*server] = old;
            }
        }
        if self.cycle.done >= self.cycle.length {
            self.turn()?;
        }
        Ok(())
    }

    /// By how many requests the quotas of the one server are missed.
    fn misses(&self) -> u32 {
        let of = |(is_in, (least, most)): &(Vec<bool>, (u32, u32))| {
            let count = self.servers[0].tenants.iter().filter(|request| is_in[**request]).count() as u32;
            least.saturating_sub(count) + count.saturating_sub(*most)
        };
        self.quotas.iter().map(of).sum()
    }

    fn accept(&mut self, revenue: f64) {
        if self.is_best && revenue < self.revenue {
            self.keep();
            self.is_best = false;
        }
        for request in std::mem::take(&mut self.freed) {
            self.placement[request] = NONE;
            self.wait(request);
        }
        for (request, server) in std::mem::take(&mut self.placed) {
            self.placement[request] = server as u32;
            self.serve(request);
        }
        self.revenue = revenue;
        if revenue > self.best.0 + 1e-9 {
            self.best.0 = revenue;
            self.is_best = true;
        }
    }

    /// Ends a cycle and begins the next one.
    fn turn(&mut self) -> Result<()> {
        self.keep();
        if let Some((_, before, placement)) = self.cycle.pair.take()
            && self.revenue < before
        {
            self.placement = placement;
            self.enter();
            self.is_best = self.revenue >= self.best.0;
        }
        self.cycle.hot = self.cycle.cold / COLD;
        if self.cycle.pairs > 0 && self.servers.len() > 1 {
            return self.begin_pair();
        }
        self.cycle.begin_whole();
        if !self.is_best && self.rng.gen_bool(0.5) {
            self.placement.copy_from_slice(&self.best.1);
            self.enter();
            self.is_best = true;
        }
        Ok(())
    }

    /// Empties two servers and fills them application by application.
    fn begin_pair(&mut self) -> Result<()> {
        let first = self.rng.gen_range(0..self.servers.len());
        let pair = [first, (first + self.rng.gen_range(1..self.servers.len())) % self.servers.len()];
        self.cycle.begin_pair(pair, self.revenue, self.placement.clone());
        pair.into_iter().for_each(|server| self.empty(server));
        for server in pair {
            self.refill(server)?;
        }
        Ok(())
    }

    /// Takes everything from a server.
    fn empty(&mut self, server: usize) {
        self.keep();
        self.is_best = false;
        for request in std::mem::take(&mut self.servers[server].tenants) {
            self.placement[request] = NONE;
            self.revenue -= self.payment(request);
            self.wait(request);
        }
        self.servers[server] = Occupancy::empty(self.problem, self.servers[server].server);
    }

    /// Fills a server that is empty, application by application.
    fn refill(&mut self, server: usize) -> Result<()> {
        self.freed.clear();
        self.iteration += 1;
        self.list_candidates(true, PAIR_CANDIDATES);
        while let Some((_, request)) = self.candidates.pop() {
            if self.servers[server].try_add(self.problem, request)? {
                self.placement[request] = server as u32;
                self.revenue += self.payment(request);
                self.serve(request);
            }
        }
        Ok(())
    }

    /// Takes some tenants from a server, and those whose promises are broken then: less load can be slower for a neighbour where the
    /// profiler is not monotone.
    fn ruin(&mut self, server: usize) -> Result<()> {
        let occupancy = &mut self.servers[server];
        let most = occupancy.tenants.len().min(self.params.ruin);
        if most > 0 {
            for _ in 0..self.rng.gen_range(1..=most) {
                let place = self.rng.gen_range(0..occupancy.tenants.len());
                self.freed.push(occupancy.remove(self.problem, place));
            }
        }
        while let Some(place) = occupancy.violator(self.problem)? {
            self.freed.push(occupancy.remove(self.problem, place));
        }
        Ok(())
    }

    /// Takes all tenants of an application from a server, and those whose promises are broken then.
    fn ruin_app(&mut self, server: usize) -> Result<()> {
        let occupancy = &mut self.servers[server];
        if !occupancy.tenants.is_empty() {
            let app = self.apps[occupancy.tenants[self.rng.gen_range(0..occupancy.tenants.len())]];
            for place in (0..occupancy.tenants.len()).rev() {
                if self.apps[occupancy.tenants[place]] == app || self.rng.gen_bool(0.2) {
                    self.freed.push(occupancy.remove(self.problem, place));
                }
            }
        }
        while let Some(place) = occupancy.violator(self.problem)? {
            self.freed.push(occupancy.remove(self.problem, place));
        }
        Ok(())
    }

    /// Puts a waiting request on a server and takes others away until there is memory and every promise holds.
    fn eject(&mut self, server: usize) -> Result<()> {
        let request = self.waiting[self.rng.gen_range(0..self.waiting.len())] as usize;
        let gb = self.problem.memory_gb[request];
        let global = self.servers[server].server;
        let is_hopeless = gb > self.problem.instance().servers[global].memory_gb;
        if is_hopeless || self.problem.kind(global).beyond_training[request] {
            return Ok(());
        }
        self.tried[request] = self.iteration;
        let occupancy = &mut self.servers[server];
        while !occupancy.has_memory(self.problem, request) && !occupancy.tenants.is_empty() {
            let place = self.rng.gen_range(0..occupancy.tenants.len());
            self.freed.push(occupancy.remove(self.problem, place));
        }
        occupancy.add(self.problem, request);
        while !occupancy.holds(self.problem)? {
            // One of those that were there; without them it must do alone.
            let others = occupancy.tenants.len() - 1;
            if others == 0 {
                occupancy.remove(self.problem, 0);
                return Ok(());
            }
            let place = self.rng.gen_range(0..others);
            self.freed.push(occupancy.remove(self.problem, place));
        }
        self.placed.push((request, server));
        Ok(())
    }

    /// The requests to try: those freed and some that wait, by payment or payment for memory, with noise.
    fn list_candidates(&mut self, is_by_app: bool, waiting: usize) {
        if is_by_app {
            // Some come long before others.
            let strength: f64 = 8.0f64.powf(self.rng.gen_range(0.5..1.5));
            for favour in &mut self.favour {
                *favour = strength.powf(self.rng.gen_range(-1.0..1.0));
            }
        }
        self.candidates.clear();
        let by_memory = self.rng.gen_bool(0.5);
        for i in 0..self.freed.len() + waiting.min(self.waiting.len()) {
            let request = match self.freed.get(i) {
                Some(request) => *request,
                None => self.waiting[self.rng.gen_range(0..self.waiting.len())] as usize,
            };
            let is_tried = std::mem::replace(&mut self.tried[request], self.iteration) == self.iteration;
            if is_tried || self.payments[request] < 0.0 {
                continue;
            }
            let size = if by_memory { self.problem.memory_gb[request] } else { 1.0 };
            let noise = 0.5 + self.rng.r#gen::<f64>();
            let noise = if is_by_app { noise * self.favour[self.apps[request]] } else { noise };
            self.candidates.push((noise * self.payment(request) / size, request));
        }
        self.candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    }

    /// Lets a request wait, unless it costs more than it pays: then it is not to be tried.
    fn wait(&mut self, request: usize) {
        if self.payment(request) < 0.0 {
            return;
        }
        self.place[request] = self.waiting.len() as u32;
        self.waiting.push(request as u32);
    }

    fn serve(&mut self, request: usize) {
        let place = std::mem::replace(&mut self.place[request], NONE) as usize;
        self.waiting.swap_remove(place);
        if let Some(moved) = self.waiting.get(place) {
            self.place[*moved as usize] = place as u32;
        }
    }

    fn payment(&self, request: usize) -> f64 {
        self.payments[request]
    }
}
