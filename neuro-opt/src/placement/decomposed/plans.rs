//! Plans out of what pricing finds.

use std::ops::ControlFlow;
use std::time::Duration;

use super::master::{Dual, Master, Row};
use super::part::Part;
use super::{DecomposedParams, Run};
use crate::placement::group::Group;
use crate::placement::lns::{LnsParams, search};
use crate::placement::occupancy::Occupancy;
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
/// Share of the time for plans that a dive may take.
const DIVE_SHARE: f64 = 0.4;

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
    let (groups, mut master, _) = run.whole();
    let part = Part { groups, bound: run.bound, prices: None, record: 0 };
    run.generate(&part, &mut master, params.time.mul_f64(GUIDED_PRICES_SHARE), observer)?;
    let dived = run.dive(run.left(), observer)?;
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

    /// A plan out of the fillings that are known, then a search from it on, and from the best plan.
    pub(super) fn put_together(&mut self, time: Duration, observer: Observer<'_>) -> Result<()> {
        let dived = self.dive(time.mul_f64(DIVE_SHARE), observer)?;
        self.plan(dived, time.mul_f64(0.15), observer)?;
        if !self.is_over() {
            let placement = self.combine(time.mul_f64(0.3))?;
            let best = if self.problem.revenue(&placement) > self.revenue { placement } else { self.placement.clone() };
            self.plan(best, time.mul_f64(0.15), observer)?;
        }
        self.planned_at = self.start.elapsed();
        Ok(())
    }

    /// A plan by settling one server after another: what the best mixture has most of goes on a server, what is in it on no other, and
    /// local search looks for fillings of the rest anew (column generation in a dive, as in R. Sadykov et al., "Primal heuristics for
    /// branch and price", INFORMS Journal on Computing 31(2), 2019, doi:10.1287/ijoc.2018.0822).
    fn dive(&mut self, time: Duration, observer: Observer<'_>) -> Result<Placement> {
        let end = self.start.elapsed() + time;
        let mut placement: Placement = vec![None; self.payments.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        let mut part = Part { groups: self.whole().0, bound: self.bound, prices: None, record: usize::MAX };
        let mut mixed: Vec<Vec<usize>> = vec![Vec::new(); self.classes.len()];
        while !part.groups.is_empty() && !self.is_over() && self.start.elapsed() < end {
            let near = self.near(&part.groups, &mixed)?;
            self.take_in(near.into_iter());
            let mut master = self.master(&part.groups);
            let left: usize = part.groups.iter().map(|group| group.servers).sum();
            let time = end.saturating_sub(self.start.elapsed()) / left as u32;
            self.generate(&part, &mut master, time, observer)?;
            let weights = master.weights();
            let Some((Row { group, filling }, _)) = weights.first().copied() else { break };
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

    /// All servers by their classes, and what the master says of them.
    fn whole(&self) -> (Vec<Group>, Master, Dual) {
        let classes = self.classes.iter().enumerate();
        let groups: Vec<Group> =
            classes.map(|(c, class)| Group::whole(c, class.servers.len(), &class.filling)).collect();
        let mut master = self.master(&groups);
        let dual = master.solve(&self.classes, &groups);
        (groups, master, dual)
    }

    /// The best plan of whole known fillings, as far as the time goes: max Σ p_f z_f, no request twice, at most S_c fillings of a class.
    #[cfg(feature = "cbc")]
    fn combine(&mut self, time: Duration) -> Result<Placement> {
        use crate::model::{Linear, Model};
        use crate::solver::cbc::Cbc;
        use crate::solver::{MipSolver, SolveOptions};
        let (_, master, dual) = self.whole();
        let worth = self.bound - self.revenue;
        let mut model = Model::new();
        let mut by_request = vec![Linear::default(); self.payments.len()];
        let mut objective = Linear::default();
        let mut chosen = Vec::new();
        for (c, class) in self.classes.iter().enumerate() {
            let reduced = class.reduced(&dual.prices);
            let mut by_class = Linear::default();
            for pieces in &class.pool {
                let held = || pieces.iter().enumerate().filter(|(_, x)| **x > 0).map(|(item, _)| item);
                // A filling that loses more than the gap at these prices is in no better plan.
                if held().next().is_none() || held().map(|item| reduced[item]).sum::<f64>() < dual.most[c] - worth {
                    continue;
                }
                let z = model.binary(format!("f{}", chosen.len()))?;
                held().for_each(|item| by_request[class.requests[item]] += 1.0 * z);
                by_class += 1.0 * z;
                objective += class.filling.profit(pieces) * z;
                chosen.push((z, c, pieces));
            }
            if !by_class.terms.is_empty() {
                model.add(by_class.at_most(class.servers.len() as f64))?;
            }
        }
        for row in by_request.into_iter().filter(|row| !row.terms.is_empty()) {
            model.add(row.at_most(1.0))?;
        }
        model.optimise(crate::Sense::Maximise, objective)?;
        let solution = Cbc.solve(&model, &SolveOptions { time: Some(time), plain: true, ..SolveOptions::default() })?;
        let Some(values) = solution.values else { return self.round(&master) };
        let mut placement: Placement = vec![None; self.payments.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        for (z, c, pieces) in chosen {
            if values[z.index()] > 0.5
                && let Some(server) = free[c].pop()
            {
                let held = self.classes[c].requests.iter().zip(pieces).filter(|(_, x)| **x > 0);
                held.for_each(|(r, _)| placement[*r] = Some(server));
            }
        }
        Ok(placement)
    }

    /// Without a solver of integer programs.
    #[cfg(not(feature = "cbc"))]
    fn combine(&mut self, _: Duration) -> Result<Placement> {
        let (_, master, _) = self.whole();
        self.round(&master)
    }

    /// Fillings by their weights in the master, each on a server that is free, without the requests that are placed already.
    fn round(&self, master: &Master) -> Result<Placement> {
        let mut placement: Placement = vec![None; self.payments.len()];
        let mut free: Vec<Vec<usize>> = self.classes.iter().map(|class| class.servers.clone()).collect();
        // Of the whole, groups are classes.
        for (Row { group, filling }, _) in master.weights() {
            let Some(server) = free[group].pop() else { continue };
            let class = &self.classes[group];
            let mut occupancy = Occupancy::empty(self.problem, server);
            for (request, _) in class.requests.iter().zip(&class.pool[filling]).filter(|(_, x)| **x > 0) {
                if placement[*request].is_none() && occupancy.try_add(self.problem, *request)? {
                    placement[*request] = Some(server);
                }
            }
        }
        Ok(placement)
    }
}
