use std::collections::HashMap;

use super::LnsParams;
use super::cycle::{COLD, Cycle, PAIR_CYCLE};
use super::worker::Worker;
use crate::Result;
use crate::placement::{Placement, Problem};

/// By how much one server is colder, whose profits are what is left of payments.
const COLDER: f64 = 0.5;
/// Fillings of one server that are kept, but for better ones.
const FOUND: usize = 512;
/// How many of some requests a server may hold, at least and at most.
pub(in crate::placement) struct Quota {
    pub(in crate::placement) requests: Vec<usize>,
    pub(in crate::placement) count: (u32, u32),
}

/// Which fillings of a server are looked for.
pub(in crate::placement) struct Aim {
    /// Of every request; what has one below 0 is never put in.
    pub(in crate::placement) profits: Vec<f64>,
    /// What they are to be worth more than.
    pub(in crate::placement) most: f64,
    pub(in crate::placement) quotas: Vec<Quota>,
}

/// Such fillings of one server, the best first, by so many iterations from one on.
pub(in crate::placement) fn fill(
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
    let mut search = Worker::new(problem, &params, vec![server], profits, &placement, (seed, seed as usize % 2));
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
