//! Which question parts a part.

use std::time::Instant;

use super::Run;
use super::master::Row;
use super::part::Part;
use crate::placement::certificate::Question;
use crate::placement::group::{Group, split};
use crate::{Observer, Result};

/// Requests that are asked for.
const CANDIDATES: usize = 40;
/// Numbers of requests that are asked for.
const COUNTS: usize = 20;
/// Questions that are looked at closely, and the share of the time for each half of one.
const FINALISTS: usize = 4;
const LOOK_SHARE: f64 = 0.0005;
/// Share of the time that looking for a branching may take.
const BRANCHING_SHARE: f64 = 0.02;
/// How far below the cutoff a half may be worth less yet, relative: where there is room it is soon closed.
const ROOM: f64 = 0.003;

impl Run<'_, '_> {
    /// The question to branch on: of some that the best mixture is undecided about, the one whose halves are worth least.
    pub(super) fn branching(&mut self, part: &Part, observer: Observer<'_>) -> Result<Option<Question>> {
        let mut master = self.master(&part.groups);
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
                // What runs here for sure may be asked, too: without it a part is soon closed, and with it there is less to prove.
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
            let master = self.master(groups);
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
                let mut master = self.master(&groups).knowing(&active, &self.classes, &groups);
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
            // Where all is settled there is no number to ask for.
            let sets = class.filling.alike.iter().enumerate();
            for (set, items) in sets.filter(|(_, items)| items.iter().any(|item| group.is_free(*item))) {
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
    pub(super) fn near(&self, groups: &[Group], fillings: &[Vec<usize>]) -> Result<Vec<(usize, Vec<u32>)>> {
        let mut near = Vec::new();
        for group in groups {
            let class = &self.classes[group.class];
            let fillings = fillings[group.class].iter().map(|filling| &class.pool[*filling]);
            near.extend(class.project(group, fillings)?.into_iter().map(|pieces| (group.class, pieces)));
        }
        Ok(near)
    }

    pub(super) fn take_in(&mut self, fillings: impl Iterator<Item = (usize, Vec<u32>)>) {
        fillings.for_each(|(class, pieces)| self.classes[class].add(pieces));
    }
}
