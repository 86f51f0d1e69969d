//! Prices of a part, and what they prove.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::class::Pricing;
use super::master::{Dual, Master};
use super::part::Part;
use super::{COARSENESS, PLAN_EVERY, PLAN_SHARE, Run, spread};
use crate::placement::filling::Solution;
use crate::placement::group::Group;
use crate::{Observer, Progress, Result, Termination};

/// Share of the time for local search before the first pricing.
const FIRST_FILLINGS_SHARE: f64 = 0.25;
/// Share of the time for local search between two pricings.
const LATER_FILLINGS_SHARE: f64 = 0.02;
/// Weight of the centre in smoothed prices, at most, share of what a pricing of the whole and of a part may miss that they may lose, and
/// steps of its search.
const SMOOTHING: f64 = 0.5;
const SMOOTH_SHARE: [f64; 2] = [1.5, 0.4];
const SMOOTHING_STEPS: usize = 6;
/// Rounds of local search without a new filling, each of twice the iterations, after which others are asked: of the whole the pairs of
/// applications, then the tree.
const IDLE_ROUNDS: usize = 2;
/// What fillings of all pairs of applications must add to the value of the master for more local search.
const SWEEP_GAIN: f64 = 1e-4;
/// Share of the time that one pricing may take of a part.
const PRICING_SHARE: f64 = 0.1;
/// Of the whole for each server, and at most: the more servers, the less branching adds to what the first prices prove.
const FIRST_PRICING_SHARE: f64 = 0.05;
const MOST_PRICING_SHARE: f64 = 0.45;
/// Share of what a bound missed of the value of its prices before a pricing that it misses still, at which there is more in branching.
const STALLED: f64 = 0.7;
/// Share of the time for a plan by the first prices, for each server, and at most.
const PRICED_PLAN_SHARE: f64 = 0.01;
const MOST_PRICED_PLAN_SHARE: f64 = 0.1;
/// Share of the time that the pricing of all placements leaves.
const LAST_PLAN_SHARE: f64 = 0.12;
/// Pricings of a part that cannot be closed.
const PART_PRICINGS: usize = 2;
/// Pricings of a part that may be closed.
const CLOSING_PRICINGS: usize = 12;
/// Share of what a bound misses of the value of its prices that the next pricing may miss.
const MISSING: f64 = 0.15;
/// The same of the first pricing, of what branching is left, and of all.
const FIRST_MISS: [f64; 2] = [0.22, 0.012];
/// Share of the room for closing a part that its pricing may miss: what it proves is rounded up.
const CLOSING: f64 = 0.75;
/// Room for closing a part that is little, of what its bound misses of the value of its prices.
const LITTLE_ROOM: f64 = 0.05;
/// Share of the gap that better prices must promise, or branching does more.
const TAIL: f64 = 0.2;
/// The same of a part that cannot be closed, or it is parted without being priced.
const PART_TAIL: f64 = 0.3;
/// How much better than the known ones, in units of what the first pricing may miss, a filling is for which it is broken off: its bound
/// would be poor, and with the filling there are better prices.
const ENOUGH: f64 = 1.0;
/// How often a first pricing may be broken off.
const BREAK_OFFS: usize = 1;

impl Run<'_, '_> {
    /// Looks for prices that prove a smaller bound of a part: of all placements the best ones, of a part such that are good enough.
    pub(super) fn tighten(&mut self, part: &mut Part, observer: Observer<'_>) -> Result<()> {
        let is_root = part.record == 0;
        let mut master = self.master(&part.groups);
        let mut smoothing = if part.prices.is_some() { SMOOTHING } else { 0.0 };
        // What its own prices prove.
        let mut own = f64::INFINITY;
        for pricing in 0.. {
            let share = if self.pricings == 0 { FIRST_FILLINGS_SHARE } else { LATER_FILLINGS_SHARE };
            let dual = self.generate(part, &mut master, self.params.time.mul_f64(share), observer)?;
            self.take(part, &master);
            if is_root && self.pricings == 0 && pricing == 0 && !self.is_over() {
                let servers: usize = part.groups.iter().map(|group| group.servers).sum();
                let share = (PRICED_PLAN_SHARE * servers as f64).min(MOST_PRICED_PLAN_SHARE);
                self.put_together(self.params.time.mul_f64(share), observer)?;
            }
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

    /// Fillings by local search at the master's prices, until it finds none that would change them. Of all placements at prices between
    /// those and the centre, and in the end of all pairs of applications.
    pub(super) fn generate(
        &mut self,
        part: &Part,
        master: &mut Master,
        time: Duration,
        observer: Observer<'_>,
    ) -> Result<Dual> {
        let start = Instant::now();
        let is_root = part.record == 0;
        let mut idle = 0;
        let mut sweeps = 0;
        let mut dual = master.solve(&self.classes, &part.groups);
        if is_root && self.central.is_empty() {
            self.central.clone_from(&dual.prices);
        }
        while !self.is_over() && start.elapsed() < time {
            self.ask(observer);
            if idle >= IDLE_ROUNDS {
                if !is_root {
                    break;
                }
                let before = dual.value;
                self.sweep(part, &dual, start + time)?;
                dual = master.solve(&self.classes, &part.groups);
                sweeps += 1;
                if sweeps > 1 && dual.value <= before + SWEEP_GAIN * before.abs().max(1.0) {
                    break;
                }
                idle = 0;
                continue;
            }
            let pairs = self.central.iter().zip(&dual.prices);
            let between: Vec<f64> = pairs.map(|(centre, price)| 0.5 * (centre + price)).collect();
            let mut tasks: Vec<(usize, &[f64], f64, u64)> = Vec::new();
            for (g, group) in part.groups.iter().enumerate() {
                if !is_root || idle > 0 {
                    tasks.push((g, &dual.prices, dual.most[g], rand::Rng::r#gen(&mut self.rng)));
                }
                if is_root {
                    let most = self.classes[group.class].most_at(group, &between);
                    tasks.push((g, &between, most, rand::Rng::r#gen(&mut self.rng)));
                }
            }
            let known: usize = self.classes.iter().map(|class| class.pool.len()).sum();
            let classes = &self.classes;
            let found = spread(self.params.workers, tasks.len(), &mut || (), &|task| {
                let (g, prices, most, seed) = tasks[task];
                let group = &part.groups[g];
                classes[group.class].generate(group, prices, most, idle, seed)
            })?;
            let groups: Vec<usize> = tasks.iter().map(|(g, ..)| *g).collect();
            for (g, found) in groups.into_iter().zip(found) {
                found.into_iter().for_each(|pieces| self.classes[part.groups[g].class].add(pieces));
            }
            let now: usize = self.classes.iter().map(|class| class.pool.len()).sum();
            idle = if now > known { 0 } else { idle + 1 };
            if now > known {
                dual = master.solve(&self.classes, &part.groups);
                if is_root && self.known_value(part, &between) < self.known_value(part, &self.central) {
                    self.central = between;
                }
            }
        }
        Ok(dual)
    }

    /// Fillings of every group of all pairs of applications, as far as the time goes.
    fn sweep(&mut self, part: &Part, dual: &Dual, end: Instant) -> Result<()> {
        let mut tasks = Vec::new();
        for (g, group) in part.groups.iter().enumerate() {
            for apps in self.classes[group.class].pairs() {
                tasks.push((g, apps, rand::Rng::r#gen(&mut self.rng)));
            }
        }
        let classes = &self.classes;
        let found = spread(self.params.workers, tasks.len(), &mut || (), &|task| {
            let (g, apps, seed) = &tasks[task];
            if Instant::now() > end {
                return Ok(Vec::new());
            }
            let group = &part.groups[*g];
            classes[group.class].compose(group, &dual.prices, *apps, dual.most[*g], *seed)
        })?;
        for ((g, ..), found) in tasks.iter().zip(found) {
            found.into_iter().for_each(|pieces| self.classes[part.groups[*g].class].add(pieces));
        }
        Ok(())
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
}
