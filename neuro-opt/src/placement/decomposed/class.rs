use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::compositions::Compositions;
use crate::placement::certificate::{GroupProof, InequalityProof};
use crate::placement::filling::{
    Filling, Inequality, Interference, Solution, Tree, TreeParams, applicable, interference_of,
};
use crate::placement::group::Group;
use crate::placement::lns::{Aim, Quota, fill};
use crate::placement::{Placement, Problem};
use crate::{Limits, Method, Result};

/// Servers that are the same.
pub(super) struct Class<'p> {
    problem: &'p Problem<'p>,
    pub(super) servers: Vec<usize>,
    /// The request of each item.
    pub(super) requests: Vec<usize>,
    pub(super) interference: Box<dyn Interference + 'p>,
    pub(super) filling: Filling,
    /// Fillings that hold, pieces by item.
    pub(super) pool: Vec<Vec<u32>>,
    /// The items of each.
    held: Vec<Vec<u32>>,
    known: HashSet<Vec<u32>>,
    /// No filling pays more.
    pub(super) most: f64,
    /// Payment of each item.
    payments: Vec<f64>,
    /// The application of each item, by its position in the bundle, and one more than the last of them.
    apps: Vec<usize>,
    app_count: usize,
    /// What pricing has proved.
    inequalities: Vec<Arc<Inequality>>,
    /// Their proofs, if they are kept.
    pub(super) proofs: Vec<InequalityProof>,
}

/// What a group is priced with.
pub(super) struct Pricing<'a> {
    pub(super) prices: &'a [f64],
    /// By how much a filling must beat the best known one to be looked for.
    pub(super) slack: f64,
    /// By how much it must beat it for the pricing of all groups to be broken off.
    pub(super) enough: f64,
    pub(super) time: Duration,
    /// Threads.
    pub(super) workers: usize,
    /// Whether the trees are kept.
    pub(super) keep: bool,
    pub(super) stop: &'a AtomicBool,
}

/// Iterations of one local search for each request.
const LOCAL_ITERATIONS: u64 = 14;
/// Fillings that are taken from one search.
const COLUMNS: usize = 8;
/// Fillings from which it starts, at least: with as many servers as there are, as many fillings are wanted.
const STARTS: usize = 4;
/// Fillings that a pair of applications makes, at least and at most, and the share of what the best one is worth for more than the least.
const LEAST_COMPOSED: usize = 2;
const MOST_COMPOSED: usize = 4;
const NEARLY: f64 = 0.9;
/// Inequalities that a pricing knows, the latest.
const INEQUALITIES: usize = 48;

impl<'p> Class<'p> {
    pub(super) fn new(problem: &'p Problem<'_>, kind: usize, server: usize) -> Result<Self> {
        let instance = problem.instance();
        let capacity_gb = instance.servers[server].memory_gb;
        let requests = problem.admissible(kind);
        let interference = interference_of(problem, Method::Decomposed, kind, requests.clone(), capacity_gb, None)?;
        let free = vec![0.0; instance.requests.len()];
        let filling = problem.filling(&requests, &free, capacity_gb, &*interference);
        let payments = filling.profits.clone();
        let most = payments.iter().filter(|payment| **payment > 0.0).sum::<f64>() + 1.0;
        let (servers, pool, held, known) = (vec![server], Vec::new(), Vec::new(), HashSet::new());
        let (inequalities, proofs) = (Vec::new(), Vec::new());
        let apps: Vec<usize> = requests.iter().map(|r| problem.kinds[kind].loads[*r].app).collect();
        let app_count = apps.iter().max().map_or(0, |app| app + 1);
        Ok(Self {
            problem,
            servers,
            requests,
            interference,
            filling,
            pool,
            held,
            known,
            most,
            payments,
            apps,
            app_count,
            inequalities,
            proofs,
        })
    }

    /// The item of a request.
    pub(super) fn item_of(&self, request: usize) -> Option<usize> {
        self.requests.binary_search(&request).ok()
    }

    /// Takes a filling into the pool, if it is new.
    pub(super) fn add(&mut self, pieces: Vec<u32>) {
        if self.known.insert(pieces.clone()) {
            self.held.push((0..pieces.len() as u32).filter(|item| pieces[*item as usize] > 0).collect());
            self.pool.push(pieces);
        }
    }

    /// What runs on a server, pieces by item.
    pub(super) fn pieces(&self, placement: &Placement, server: usize) -> Vec<u32> {
        self.requests.iter().map(|r| u32::from(placement[*r] == Some(server))).collect()
    }

    /// What each item pays beyond its price.
    pub(super) fn reduced(&self, prices: &[f64]) -> Vec<f64> {
        self.requests.iter().zip(&self.payments).map(|(r, payment)| payment - prices[*r]).collect()
    }

    /// The most that a known filling of a group pays beyond prices.
    pub(super) fn most_at(&self, group: &Group, prices: &[f64]) -> f64 {
        let reduced = self.reduced(prices);
        let admitted = (0..self.pool.len()).filter(|filling| group.admits(&self.pool[*filling]));
        admitted.map(|filling| self.profit(filling, &reduced)).fold(0.0, f64::max)
    }

    /// Profit of a known filling.
    pub(super) fn profit(&self, filling: usize, profits: &[f64]) -> f64 {
        self.held[filling].iter().map(|item| profits[*item as usize]).sum()
    }

    /// The known fillings that a group admits, the best at prices first.
    fn ranked<'c>(&'c self, group: &Group, filling: &Filling) -> Vec<(f64, &'c Vec<u32>)> {
        let admitted = (0..self.pool.len()).filter(|known| group.admits(&self.pool[*known]));
        let mut ranked: Vec<_> =
            admitted.map(|known| (self.profit(known, &filling.profits), &self.pool[known])).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked
    }

    /// Fillings of a group of more profit than `most`, by local search from one of the best that are known, its iterations
    /// doubled so often.
    pub(super) fn generate(
        &self,
        group: &Group,
        prices: &[f64],
        most: f64,
        doublings: usize,
        seed: u64,
    ) -> Result<Vec<Vec<u32>>> {
        let filling = group.restrict(self.filling.with_profits(self.reduced(prices)));
        let starts = self.starts(group, &filling, STARTS.max(group.servers));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let first = if starts.is_empty() { &group.least } else { starts[rng.gen_range(0..starts.len())] };
        let iterations = self.iterations() << doublings;
        let mut found = Vec::new();
        for pieces in self.search(group, &filling, first, most + 1e-6 * most.abs().max(1.0), iterations, seed)? {
            if !self.known.contains(&pieces) && group.admits(&pieces) && self.interference.holds(&pieces)? {
                found.push(pieces);
            }
            if found.len() >= COLUMNS {
                break;
            }
        }
        Ok(found)
    }

    /// Pairs of applications that are asked for.
    pub(super) fn pairs(&self) -> Vec<[usize; 2]> {
        let asked: Vec<usize> = (0..self.app_count).filter(|app| self.apps.contains(app)).collect();
        asked.iter().enumerate().flat_map(|(i, a)| asked[i + 1..].iter().map(|b| [*a, *b])).collect()
    }

    /// Fillings of a group by pairs of applications ([`Compositions`]), the best ones improved by local search: those worth nearly `most`,
    /// and of every pair two.
    pub(super) fn compose(
        &self,
        group: &Group,
        prices: &[f64],
        [first, second]: [usize; 2],
        most: f64,
        seed: u64,
    ) -> Result<Vec<Vec<u32>>> {
        let filling = group.restrict(self.filling.with_profits(self.reduced(prices)));
        let mut profits = vec![-1.0; self.problem.instance().requests.len()];
        let mut apps: Vec<Vec<usize>> = vec![Vec::new(); self.app_count];
        for (item, request) in self.requests.iter().enumerate() {
            if group.most[item] > 0 && filling.profits[item] >= 0.0 {
                profits[*request] = filling.profits[item];
                apps[self.apps[item]].push(*request);
            }
        }
        for app in &mut apps {
            app.sort_by(|a, b| profits[*b].total_cmp(&profits[*a]));
        }
        let compositions = Compositions { problem: self.problem, server: self.servers[0], profits: &profits, apps };
        let mut best = compositions.of(first, second)?;
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        // A third of which nothing fits leaves the same.
        best.dedup_by(|a, b| a.1 == b.1);
        let mut composed = Vec::new();
        for (i, (profit, tenants)) in best.into_iter().take(MOST_COMPOSED).enumerate() {
            if i >= LEAST_COMPOSED && profit <= NEARLY * most {
                break;
            }
            let mut pieces = vec![0; self.requests.len()];
            tenants.iter().filter_map(|request| self.item_of(*request)).for_each(|item| pieces[item] = 1);
            let improved = self.search(group, &filling, &pieces, 0.0, self.iterations() / 4, seed)?;
            for pieces in improved.into_iter().take(1).chain([pieces]) {
                if !self.known.contains(&pieces) && group.admits(&pieces) && self.interference.holds(&pieces)? {
                    composed.push(pieces);
                    break;
                }
            }
        }
        Ok(composed)
    }

    /// The best known fillings of a group, each of other applications: the two that are worth most in it. The best fillings of all are
    /// alike, and others are far from them.
    fn starts<'c>(&'c self, group: &Group, filling: &Filling, count: usize) -> Vec<&'c Vec<u32>> {
        let mut starts = Vec::new();
        let mut kinds: Vec<[Option<usize>; 2]> = Vec::new();
        for (_, pieces) in self.ranked(group, filling) {
            let mut profits = vec![0.0; self.app_count];
            for (item, x) in pieces.iter().enumerate().filter(|(_, x)| **x > 0) {
                profits[self.apps[item]] += f64::from(*x) * filling.profits[item];
            }
            let mut order: Vec<usize> = (0..self.app_count).collect();
            order.sort_by(|a, b| profits[*b].total_cmp(&profits[*a]));
            let kind = [order.first().copied(), order.get(1).copied()];
            if !kinds.contains(&kind) {
                kinds.push(kind);
                starts.push(pieces);
            }
            if starts.len() >= count {
                break;
            }
        }
        starts
    }

    /// Iterations of one local search.
    fn iterations(&self) -> u64 {
        LOCAL_ITERATIONS * self.requests.len() as u64
    }

    /// Fillings by local search that are worth more than `most`, the best first.
    fn search(
        &self,
        group: &Group,
        filling: &Filling,
        first: &[u32],
        most: f64,
        iterations: u64,
        seed: u64,
    ) -> Result<Vec<Vec<u32>>> {
        // What must be there is worth more than everything else, what must not be there nothing.
        let bonus = 2.0 * filling.profits.iter().filter(|w| **w > 0.0).sum::<f64>() + 1.0;
        let mut profits = vec![-1.0; self.problem.instance().requests.len()];
        let mut sure = 0.0;
        for (item, request) in self.requests.iter().enumerate() {
            profits[*request] = match (group.least[item], group.most[item]) {
                (1.., _) => {
                    sure += bonus;
                    filling.profits[item].max(0.0) + bonus
                }
                (_, 0) => -1.0,
                _ => filling.profits[item],
            };
        }
        let held: Vec<usize> = self.requests.iter().zip(first).filter(|(_, x)| **x > 0).map(|(r, _)| *r).collect();
        let of = |set: &[usize]| set.iter().map(|item| self.requests[*item]).collect();
        let quotas = group.counted().map(|(set, count)| Quota { requests: of(set), count }).collect();
        let aim = Aim { profits, most: most + sure, quotas };
        let found = fill(self.problem, self.servers[0], aim, &held, iterations, seed)?;
        let pieces = |tenants: Vec<usize>| {
            self.requests.iter().map(|r| u32::from(tenants.binary_search(r).is_ok())).collect::<Vec<u32>>()
        };
        Ok(found.into_iter().map(|(_, tenants)| pieces(tenants)).collect())
    }

    /// The nearest fillings that a group admits to those given: what must run there is put in, what must not is taken out, and of sets of
    /// which there are too many what pays least.
    pub(super) fn project<'f>(
        &self,
        group: &Group,
        fillings: impl Iterator<Item = &'f Vec<u32>>,
    ) -> Result<Vec<Vec<u32>>> {
        let mut projected = Vec::new();
        for pieces in fillings.filter(|pieces| !group.admits(pieces)) {
            let bounds = group.least.iter().zip(&group.most);
            let mut near: Vec<u32> =
                pieces.iter().zip(bounds).map(|(x, (least, most))| *x.clamp(least, most)).collect();
            for (set, (_, most)) in group.counted() {
                let mut held: Vec<usize> =
                    set.iter().copied().filter(|item| near[*item] > group.least[*item]).collect();
                let count: u32 = set.iter().map(|item| near[*item]).sum();
                held.sort_by(|a, b| self.payments[*a].total_cmp(&self.payments[*b]));
                held.iter().take(count.saturating_sub(most) as usize).for_each(|item| near[*item] = 0);
            }
            if group.admits(&near)
                && self.filling.fits(&near)
                && !self.known.contains(&near)
                && self.interference.holds(&near)?
            {
                projected.push(near);
            }
        }
        Ok(projected)
    }

    /// Takes in what was proved of a group's fillings at prices; a bound on them, and its proof if that is kept.
    pub(super) fn learn(
        &mut self,
        group: &Group,
        prices: &[f64],
        solution: &Solution,
        keep: bool,
    ) -> (f64, Option<GroupProof>) {
        let proof = keep.then(|| GroupProof::of(solution, &self.filling));
        if solution.bound < 0.0 {
            // Nothing pays less than its price, so a group whose best filling would has none.
            return (if group.is_forced() { f64::NEG_INFINITY } else { 0.0 }, proof);
        }
        let (position, limit) = (self.inequalities.len(), GroupProof::limit(solution.bound));
        let (profits, counts) = (self.reduced(prices), group.counts.clone());
        let (least, most) = (group.least.clone(), group.most.clone());
        self.inequalities.push(Arc::new(Inequality { position, profits, limit, least, most, counts }));
        self.proofs.extend(proof.map(|proof| InequalityProof::of(prices, group, proof)));
        (limit, keep.then(|| GroupProof::by_inequality(position, limit, &self.filling)))
    }

    /// The best filling of a group at prices, and a bound on it.
    pub(super) fn price(&self, group: &Group, pricing: &Pricing<'_>, seed: u64) -> Result<Solution> {
        let Pricing { prices, slack, enough, time, workers, keep, stop } = *pricing;
        let filling = group.restrict(self.filling.with_profits(self.reduced(prices)));
        let known = applicable(&self.inequalities, &filling, INEQUALITIES);
        let filling = filling.knowing(known);
        let admitted = self.pool.iter().filter(|pieces| group.admits(pieces));
        let mut known = admitted.max_by(|a, b| filling.profit(a).total_cmp(&filling.profit(b))).cloned();
        if known.is_none()
            && filling.admits(&group.least)
            && filling.fits(&group.least)
            && self.interference.holds(&group.least)?
        {
            known = Some(group.least.clone());
        }
        if let Some(best) = &known {
            for improved in self.search(group, &filling, best, filling.profit(best), self.iterations(), seed)? {
                if group.admits(&improved) && self.interference.holds(&improved)? {
                    known = Some(improved);
                    break;
                }
            }
        }
        // Where nothing is known anything is worth finding: no profit is negative.
        let target = known.as_ref().map_or(-1.0, |known| filling.profit(known) + slack);
        let limits = Limits { time: Some(time), gap: 0.0, target: Some(target), ..Limits::default() };
        let params = TreeParams { limits, workers, keep };
        let enough = known.as_ref().map_or(f64::INFINITY, |known| filling.profit(known) + enough);
        let mut solution = Tree::new(&filling, &*self.interference, &params, known.clone()).run(&mut |progress| {
            if progress.objective.is_some_and(|profit| profit > enough) {
                stop.store(true, Ordering::Relaxed);
            }
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        solution.found.extend(known);
        Ok(solution)
    }
}
