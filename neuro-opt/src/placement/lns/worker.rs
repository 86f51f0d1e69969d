use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cycle::{COLD, Cycle};
use super::{LnsParams, Shared};
use crate::Result;
use crate::placement::occupancy::Occupancy;
use crate::placement::{Placement, Problem};

/// Iterations after which a worker looks at the clock, at most.
const BATCH: u64 = 256;
/// Time under which a batch may be longer.
const SHORT: Duration = Duration::from_micros(500);

/// Iterations of the first cycle by server.
const FIRST_CYCLE: u64 = 250;
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

/// Nobody.
const NONE: u32 = u32::MAX;

/// One worker's search.
pub(super) struct Worker<'p, 'a> {
    pub(super) problem: &'p Problem<'a>,
    pub(super) params: &'p LnsParams,
    pub(super) rng: ChaCha8Rng,
    /// What each request pays where it is served.
    pub(super) payments: Vec<f64>,
    pub(super) servers: Vec<Occupancy>,
    /// The place of the server of each request, or [`NONE`].
    pub(super) placement: Vec<u32>,
    pub(super) revenue: f64,
    pub(super) best: (f64, Vec<u32>),
    /// Whether the placement has the revenue of the best one, which is not copied yet.
    pub(super) is_best: bool,
    /// Requests that nobody serves, in no order, and the place of each there.
    pub(super) waiting: Vec<u32>,
    pub(super) place: Vec<u32>,
    pub(super) cycle: Cycle,
    /// By request the last iteration that tried it.
    pub(super) tried: Vec<u64>,
    pub(super) iteration: u64,
    /// Where one server is filled: whose numbers are bounded, and by what; and by how many they are missed.
    pub(super) quotas: Vec<(Vec<bool>, (u32, u32))>,
    pub(super) missed: u32,
    pub(super) freed: Vec<usize>,
    pub(super) placed: Vec<(usize, usize)>,
    /// Requests to try and what speaks for them, the first to be tried last.
    pub(super) candidates: Vec<(f64, usize)>,
    /// By request its application, and what speaks for each application where all of its requests are tried together.
    pub(super) apps: Vec<usize>,
    pub(super) favour: Vec<f64>,
}

impl<'p, 'a> Worker<'p, 'a> {
    /// Of these servers; `first` names their places, and `seed` is followed by the worker's position.
    pub(super) fn new(
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

    pub(super) fn run(mut self, start: Instant, shared: &Shared) -> Result<()> {
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
    pub(super) fn step(&mut self) -> Result<()> {
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
    pub(super) fn misses(&self) -> u32 {
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
    pub(super) fn empty(&mut self, server: usize) {
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
    pub(super) fn refill(&mut self, server: usize) -> Result<()> {
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
