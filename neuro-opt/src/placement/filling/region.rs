use std::sync::Arc;

use super::{ANY, COORDINATE_SLACK, Filling};
use crate::placement::occupancy::MEMORY_TOLERANCE_GB;

/// What it costs to leave the ends at which a relaxation has its items, from its reduced costs: fillings that are worth finding lose
/// at most `limit` by it.
///
/// Σ d_i·|x_i − end_i| ≤ bound − threshold, which sums up the profit that is asked for, the memory and all promises in one row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Budget {
    pub(crate) ends: Vec<u32>,
    pub(crate) losses: Vec<f64>,
    pub(crate) limit: f64,
}

/// A set of fillings: pieces of each item between two numbers, y in a box.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Region {
    /// Fewest pieces.
    pub(crate) least: Vec<u32>,
    /// Most pieces.
    pub(crate) most: Vec<u32>,
    /// The box of y.
    pub(crate) low: Vec<f64>,
    pub(crate) high: Vec<f64>,
    /// Coordinates that were branched on: their boxes say more than the pieces do.
    pub(crate) boxed: Vec<bool>,
    /// Fewest and most pieces of each set of items that are alike.
    pub(crate) counts: Vec<(u32, u32)>,
    /// Of a relaxation of a region that this one lies in.
    pub(crate) budget: Option<Arc<Budget>>,
}

/// A region cut in two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Branch {
    /// At most `pieces`, or more.
    Pieces { item: usize, pieces: u32 },
    /// At most `pieces` of a set of items that are alike, or more.
    Count { set: usize, pieces: u32 },
    /// y_k at most `at`, or at least.
    Coordinate { k: usize, at: f64 },
}

impl Region {
    /// All fillings.
    pub(crate) fn whole(filling: &Filling) -> Self {
        Self {
            least: filling.least.clone(),
            most: filling.most.clone(),
            low: vec![f64::NEG_INFINITY; filling.dimension],
            high: vec![f64::INFINITY; filling.dimension],
            boxed: vec![false; filling.dimension],
            counts: filling.counts.clone(),
            budget: None,
        }
    }

    /// Becomes one of the halves; whether there is any filling in it.
    pub(crate) fn cut(&mut self, branch: Branch, upper: bool) -> bool {
        match (branch, upper) {
            (Branch::Pieces { item, pieces }, false) => self.most[item] = self.most[item].min(pieces),
            (Branch::Pieces { item, pieces }, true) => {
                self.least[item] = self.least[item].max(pieces.saturating_add(1))
            }
            (Branch::Count { set, pieces }, false) => self.counts[set].1 = self.counts[set].1.min(pieces),
            (Branch::Count { set, pieces }, true) => {
                self.counts[set].0 = self.counts[set].0.max(pieces.saturating_add(1))
            }
            (Branch::Coordinate { k, at }, false) => {
                self.high[k] = self.high[k].min(at);
                self.boxed[k] = true;
            }
            (Branch::Coordinate { k, at }, true) => {
                self.low[k] = self.low[k].max(at);
                self.boxed[k] = true;
            }
        }
        let pieces = self.least.iter().zip(&self.most).all(|(least, most)| least <= most);
        let counts = self.counts.iter().all(|(least, most)| least <= most);
        pieces && counts && self.low.iter().zip(&self.high).all(|(low, high)| low <= high)
    }

    /// Whether an item may still have more or fewer pieces.
    pub(crate) fn is_free(&self, item: usize) -> bool {
        self.most[item] > self.least[item]
    }

    /// Whether one filling is left.
    pub(crate) fn is_point(&self) -> bool {
        self.least == self.most
    }

    /// Draws conclusions from memory, box and pieces for one another; whether anything may be left.
    ///
    /// A coordinate lies between its least and its most over all pieces that the memory allows, a fractional knapsack (Dantzig,
    /// Discrete-variable extremum problems, Operations Research 5(2), 1957, doi:10.1287/opre.5.2.266).
    pub(crate) fn propagate(&mut self, filling: &Filling) -> bool {
        for _ in 0..ROUNDS {
            let least_gb: f64 = self.least.iter().zip(&filling.memory_gb).map(|(x, m)| f64::from(*x) * m).sum();
            let free_gb = filling.capacity_gb + MEMORY_TOLERANCE_GB - least_gb;
            if free_gb < 0.0 {
                return false;
            }
            let mut changed = false;
            if let Some(budget) = self.budget.clone() {
                let left = self.budget_left(&budget);
                if left < 0.0 {
                    return false;
                }
                for item in 0..filling.items() {
                    if self.is_free(item) && budget.losses[item] > left {
                        let end = budget.ends[item].clamp(self.least[item], self.most[item]);
                        (self.least[item], self.most[item]) = (end, end);
                        changed = true;
                    }
                }
            }
            for item in 0..filling.items() {
                if self.is_free(item) && filling.memory_gb[item] > 0.0 {
                    let room = (free_gb / filling.memory_gb[item]).floor();
                    if room < f64::from(self.most[item] - self.least[item]) {
                        self.most[item] = self.least[item] + room.max(0.0) as u32;
                        changed = true;
                    }
                }
            }
            for set in 0..filling.alike.len() {
                match self.propagate_count(filling, set) {
                    Some(cut) => changed |= cut,
                    None => return false,
                }
            }
            for k in 0..filling.dimension {
                match self.propagate_coordinate(filling, k, free_gb) {
                    Some(cut) => changed |= cut,
                    None => return false,
                }
            }
            if !changed {
                break;
            }
        }
        true
    }

    /// What is left of a budget by the pieces that are sure to leave their ends.
    pub(crate) fn budget_left(&self, budget: &Budget) -> f64 {
        let sure = (0..self.least.len()).map(|item| {
            let end = budget.ends[item];
            f64::from(end.abs_diff(end.clamp(self.least[item], self.most[item]))) * budget.losses[item]
        });
        budget.limit - sure.sum::<f64>()
    }

    /// The sets of which not everything between nothing and all is left.
    pub(crate) fn counted(&self) -> impl Iterator<Item = usize> {
        self.counts.iter().enumerate().filter(|(_, count)| **count != ANY).map(|(set, _)| set)
    }

    /// Whether pieces changed; `None` if nothing is left.
    fn propagate_count(&mut self, filling: &Filling, set: usize) -> Option<bool> {
        let (fewest, count) = self.counts[set];
        if (fewest, count) == ANY {
            return Some(false);
        }
        let items = &filling.alike[set];
        let least: u32 = items.iter().map(|item| self.least[*item]).sum();
        let most: u32 = items.iter().map(|item| self.most[*item]).sum();
        if least > count || most < fewest {
            return None;
        }
        let (up, down) = (count - least, most - fewest);
        let mut changed = false;
        for item in items {
            let (from, to) = (self.least[*item], self.most[*item]);
            if to - from > up {
                self.most[*item] = from + up;
                changed = true;
            }
            if to - from > down {
                self.least[*item] = to - down;
                changed = true;
            }
            if self.least[*item] > self.most[*item] {
                return None;
            }
        }
        Some(changed)
    }

    /// Whether pieces changed; `None` if nothing is left.
    fn propagate_coordinate(&mut self, filling: &Filling, k: usize, free_gb: f64) -> Option<bool> {
        let d = filling.dimension;
        let c = |item: usize| filling.contributions[item * d + k];
        let (mut base, mut least, mut most, mut size) = (0.0, 0.0, 0.0, 0.0f64);
        for item in 0..filling.items() {
            let (c, from, to) = (c(item), f64::from(self.least[item]), f64::from(self.most[item]));
            base += c * from;
            least += if c < 0.0 { c * to } else { c * from };
            most += if c < 0.0 { c * from } else { c * to };
            size += c.abs() * to;
        }
        let slack = COORDINATE_SLACK * (1.0 + size);
        let reach = |order: &[u32]| {
            let (mut left, mut sum) = (free_gb, 0.0);
            for item in order.iter().map(|item| *item as usize) {
                let free = f64::from(self.most[item] - self.least[item]);
                if free == 0.0 {
                    continue;
                }
                let gb = filling.memory_gb[item] * free;
                if gb > left {
                    return sum + c(item) * (left / filling.memory_gb[item]);
                }
                left -= gb;
                sum += c(item) * free;
            }
            sum
        };
        let [raising, lowering] = &filling.orders[k];
        self.high[k] = self.high[k].min((base + reach(raising)).min(most) + slack);
        self.low[k] = self.low[k].max((base + reach(lowering)).max(least) - slack);
        if self.low[k] > self.high[k] {
            return None;
        }
        if !self.boxed[k] {
            return Some(false);
        }
        let (up, down) = (self.high[k] + slack - least, most - self.low[k] + slack);
        if up < 0.0 || down < 0.0 {
            return None;
        }
        let mut changed = false;
        for item in 0..filling.items() {
            if !self.is_free(item) {
                continue;
            }
            let (c, free) = (c(item), self.most[item] - self.least[item]);
            if c == 0.0 {
                continue;
            }
            // From the end that the extreme sum has it at, so many pieces may be moved.
            let (to_most, to_least) = if c > 0.0 { (up / c, down / c) } else { (down / -c, up / -c) };
            if to_most < f64::from(free) {
                self.most[item] = self.least[item] + to_most.floor() as u32;
                changed = true;
            }
            let free = self.most[item] - self.least[item];
            if to_least < f64::from(free) {
                self.least[item] = self.most[item] - to_least.floor() as u32;
                changed = true;
            }
        }
        Some(changed)
    }
}

/// How often conclusions are drawn anew.
const ROUNDS: usize = 3;
