//! Plans out of what pricing finds.

use std::ops::ControlFlow;
use std::time::Duration;

use rand::seq::SliceRandom;

use super::master::{Master, Row};
use super::part::Part;
use super::{DecomposedParams, Run};
use crate::placement::lns::{LnsParams, search};
use crate::placement::{Placement, Problem};
use crate::{Error, Observer, Progress, Result};

/// Share of the time without a better plan after which a search for plans ends.
const PATIENCE: f64 = 0.02;
/// Fillings that are taken from the placements that a search held before its best one.
const FILLINGS: usize = 1000;
/// Share of the time of a guided search before prices, and for prices.
const GUIDED_SEARCH_SHARE: f64 = 0.05;
const GUIDED_PRICES_SHARE: f64 = 0.3;
/// Most requests of a guided search: of more, prices take longer than they save.
const MOST_GUIDED: usize = 200;
/// Dives for a plan, and the share of the time for plans that each may take.
const DIVES: usize = 2;
const DIVE_SHARE: f64 = 0.35;

/// A plan from `first` on that prices lead to, and whether the observer broke off: a short search, fillings at the prices that those of
/// the search make, and a dive. `None` of one server, of too many requests, and where the profiler has no bounds.
pub(in crate::placement) fn guided(
    problem: &Problem<'_>,
    params: &DecomposedParams,
    first: &Placement,
    observer: Observer<'_>,
) -> Result<Option<(Placement, bool)>> {
    let instance = problem.instance();
    if instance.servers.len() < 2 || instance.requests.len() > MOST_GUIDED {
        return Ok(None);
    }
    let mut run = match Run::new(problem, params) {
        Err(Error::UnsuitedProfiler { .. }) => return Ok(None),
        run => run?,
    };
    run.plan(first.clone(), params.time.mul_f64(GUIDED_SEARCH_SHARE), observer)?;
    let groups = run.whole();
    let mut master = run.master(&groups);
    let part = Part { groups, bound: run.bound, prices: None, record: 0 };
    run.generate(&part, &mut master, params.time.mul_f64(GUIDED_PRICES_SHARE), observer)?;
    let dived = run.dive(run.left(), false, observer)?;
    let best = if problem.revenue(&dived) > run.revenue { dived } else { run.placement };
    Ok(Some((best, run.is_stopped)))
}

impl Run<'_, '_> {
    /// Takes what a master mixes as a plan if it is no mixture, and better.
    pub(super) fn take(&mut self, part: &Part, master: &Master) {
        let weights = master.weights();
        if weights.iter().any(|(_, weight)| (weight - 1.0).abs() > 1e-6) {
            return;
        }
        let mut placement: Placement = vec![None; self.payments.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        for (Row { group, filling }, _) in weights {
            let class = &self.classes[part.groups[group].class];
            let held = class.requests.iter().zip(&class.pool[filling]).filter(|(_, x)| **x > 0).map(|(r, _)| *r);
            let Some(server) = free[part.groups[group].class].pop() else { return };
            for request in held {
                if placement[request].replace(server).is_some() {
                    return;
                }
            }
        }
        let revenue = self.problem.revenue(&placement);
        if revenue > self.revenue {
            (self.revenue, self.placement) = (revenue, placement);
        }
    }

    /// A better plan from `first` on.
    pub(super) fn plan(&mut self, first: Placement, time: Duration, observer: Observer<'_>) -> Result<()> {
        let lns = LnsParams {
            time,
            workers: self.params.workers,
            seed: self.params.seed + self.pricings,
            ..LnsParams::default()
        };
        let (before, cutoff_gap) = (self.progress(), self.params.gap);
        let start = self.start;
        let mut is_stopped = self.is_stopped;
        let patience = self.params.time.mul_f64(PATIENCE).as_secs_f64();
        let (mut best, mut since) = (f64::NEG_INFINITY, 0.0);
        let found = search(self.problem, &lns, first, &mut |progress| {
            if let Some(revenue) = progress.objective.filter(|revenue| *revenue > best) {
                (best, since) = (revenue, progress.seconds);
            }
            let is_idle = progress.seconds - since > patience.max(since);
            let objective = progress.objective.into_iter().chain(before.objective).reduce(f64::max);
            let seconds = start.elapsed().as_secs_f64();
            is_stopped |= observer(&Progress { objective, seconds, ..before }) == ControlFlow::Break(());
            let is_closed = objective.is_some_and(|most| before.bound - most <= cutoff_gap * most.abs().max(1.0));
            if is_stopped || is_closed || is_idle { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.is_stopped = is_stopped;
        // Of many servers a few of them are as many fillings.
        let kept = (FILLINGS / self.problem.instance().servers.len().max(1)).min(found.before.len());
        let latest = &found.before[found.before.len() - kept..];
        for class in &mut self.classes {
            for s in class.servers.clone() {
                for placement in latest.iter().chain([&found.placement]) {
                    class.add(class.pieces(placement, s));
                }
            }
        }
        let revenue = self.problem.revenue(&found.placement);
        if revenue > self.revenue {
            self.revenue = revenue;
            self.placement = found.placement;
        }
        Ok(())
    }

    /// Plans by dives, the first along the largest weights, each followed by a search from it on.
    pub(super) fn put_together(&mut self, time: Duration, observer: Observer<'_>) -> Result<()> {
        for dive in 0..DIVES {
            if self.is_over() || self.is_closed() {
                break;
            }
            let dived = self.dive(time.mul_f64(DIVE_SHARE), dive > 0, observer)?;
            self.plan(dived, time.mul_f64(1.0 / DIVES as f64 - DIVE_SHARE), observer)?;
        }
        self.planned_at = self.start.elapsed();
        Ok(())
    }

    /// A plan by settling one server after another: what the best mixture has most of, or a filling drawn by what it has of each, goes on
    /// a server, what is in it on no other, and local search looks for fillings of the rest anew (column generation in a dive, as in R. Sadykov et al., "Primal heuristics for
    /// branch and price", INFORMS Journal on Computing 31(2), 2019, doi:10.1287/ijoc.2018.0822).
    fn dive(&mut self, time: Duration, is_drawn: bool, observer: Observer<'_>) -> Result<Placement> {
        let end = self.start.elapsed() + time;
        let mut placement: Placement = vec![None; self.payments.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        let mut part = Part { groups: self.whole(), bound: self.bound, prices: None, record: usize::MAX };
        let mut mixed: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        while !part.groups.is_empty() && !self.is_over() && self.start.elapsed() < end {
            let near = self.near(&part.groups, &mixed)?;
            self.take_in(near.into_iter());
            let mut master = self.master(&part.groups);
            let left: usize = part.groups.iter().map(|group| group.servers).sum();
            let time = end.saturating_sub(self.start.elapsed()) / left as u32;
            self.generate(&part, &mut master, time, observer)?;
            let weights = master.weights();
            let chosen = if is_drawn {
                weights.choose_weighted(&mut self.rng, |(_, weight)| *weight).ok()
            } else {
                weights.first()
            };
            let Some((Row { group, filling }, _)) = chosen.copied() else { break };
            mixed.iter_mut().for_each(Vec::clear);
            for (row, _) in &weights {
                let class = part.groups[row.group].class;
                mixed[class].push(row.filling);
            }
            let c = part.groups[group].class;
            let Some(server) = free[c].pop() else { break };
            let held = self.classes[c].requests.iter().zip(&self.classes[c].pool[filling]);
            let held: Vec<usize> = held.filter(|(_, x)| **x > 0).map(|(r, _)| *r).collect();
            for request in held {
                placement[request] = Some(server);
                for group in &mut part.groups {
                    if let Some(item) = self.classes[group.class].item_of(request) {
                        group.most[item] = 0;
                    }
                }
            }
            part.groups[group].servers -= 1;
            part.groups.retain(|group| group.servers > 0);
        }
        Ok(placement)
    }
}
