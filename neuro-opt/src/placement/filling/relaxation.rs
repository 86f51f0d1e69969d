use std::sync::Arc;

use super::{Filling, Inequality, Interference, Judgement, Line, Promise, Reach, Region};
use crate::lp::{LpStatus, Simplex};

/// A row of a relaxation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowKey {
    /// Σ m_i x_i ≤ C.
    Memory,
    /// low_k ≤ y_k ≤ high_k.
    Coordinate(usize),
    /// Pieces of a set of items that are alike.
    Count(usize),
    /// A line below a prediction is at most the limits of those that it is promised.
    Promises(Arc<Promises>),
    /// The inequality at this position among those of the class.
    Inequality(usize),
}

/// Promises of one prediction that one row stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Promises {
    /// Items and which of their promises it is, the tightest first.
    pub(crate) of: Vec<(usize, usize)>,
    /// Where the line touches the prediction; otherwise it is the first line.
    pub(crate) at: Option<Vec<f64>>,
}

/// What a node's relaxation says.
pub(super) struct Bounded {
    /// No filling of the region has more profit; −∞ if there is none.
    pub(super) bound: f64,
    /// Pieces, fractions among them.
    pub(super) pieces: Vec<f64>,
    pub(super) duals: Vec<(RowKey, f64)>,
    /// What the bound loses for each piece that an item moves away from its end, the fewest pieces where it is positive, the most
    /// where it is negative.
    pub(super) weights: Vec<f64>,
}

/// Promises taken in at a time.
const CUTS: usize = 12;
/// Inequalities taken in at a time.
const INEQUALITIES: usize = 4;
/// How far a solution may break a line before it is taken in.
const BROKEN: f64 = 1e-6;

/// The linear program of a region, in the items that are free: min −Σ w_i x_i.
pub(super) struct Relaxation<'a> {
    filling: &'a Filling,
    interference: &'a dyn Interference,
    region: &'a Region,
    free: Vec<usize>,
    /// Profit of what is fixed.
    fixed: f64,
    /// y of what is fixed.
    base: Vec<f64>,
    lp: Simplex,
    rows: Vec<RowKey>,
}

impl<'a> Relaxation<'a> {
    pub(super) fn new(filling: &'a Filling, interference: &'a dyn Interference, region: &'a Region) -> Self {
        let free: Vec<usize> = (0..filling.items()).filter(|item| region.is_free(*item)).collect();
        let fixed_pieces: Vec<f64> = (0..filling.items())
            .map(|item| if region.is_free(item) { 0.0 } else { f64::from(region.least[item]) })
            .collect();
        let fixed = fixed_pieces.iter().zip(&filling.profits).map(|(x, w)| x * w).sum();
        let base = filling.coordinates(&fixed_pieces);
        let fixed_gb: f64 = fixed_pieces.iter().zip(&filling.memory_gb).map(|(x, m)| x * m).sum();
        let lower: Vec<f64> = free.iter().map(|item| f64::from(region.least[*item])).collect();
        let upper: Vec<f64> = free.iter().map(|item| f64::from(region.most[*item])).collect();
        let mut lp = Simplex::of_box(lower, upper);
        let cost: Vec<f64> = free.iter().map(|item| -filling.profits[*item]).collect();
        let memory: Vec<f64> = free.iter().map(|item| filling.memory_gb[*item]).collect();
        lp.add_row(&memory, f64::NEG_INFINITY, filling.capacity_gb - fixed_gb + 1e-9);
        let mut rows = vec![RowKey::Memory];
        for k in (0..filling.dimension).filter(|k| region.boxed[*k]) {
            let row: Vec<f64> = free.iter().map(|item| filling.contributions[item * filling.dimension + k]).collect();
            lp.add_row(&row, region.low[k] - base[k] - 1e-10, region.high[k] - base[k] + 1e-10);
            rows.push(RowKey::Coordinate(k));
        }
        for set in region.counted() {
            let mut row = vec![0.0; free.len()];
            let mut sure = 0.0;
            for item in &filling.alike[set] {
                match free.binary_search(item) {
                    Ok(column) => row[column] = 1.0,
                    Err(_) => sure += f64::from(region.least[*item]),
                }
            }
            let (fewest, most) = region.counts[set];
            let most = if most == u32::MAX { f64::INFINITY } else { f64::from(most) - sure };
            lp.add_row(&row, f64::from(fewest) - sure, most);
            rows.push(RowKey::Count(set));
        }
        lp.set_objective(&cost);
        Self { filling, interference, region, free, fixed, base, lp, rows }
    }

    pub(super) fn solve(&mut self, threshold: f64) -> LpStatus {
        self.lp.solve(if threshold.is_finite() { self.fixed - threshold } else { f64::INFINITY })
    }

    /// Pieces of all items.
    pub(super) fn pieces(&self) -> Vec<f64> {
        let mut pieces: Vec<f64> = self.region.least.iter().map(|x| f64::from(*x)).collect();
        for (column, item) in self.free.iter().enumerate() {
            pieces[*item] = self.lp.value(column);
        }
        pieces
    }

    /// Takes in the rows that are broken most; how many.
    pub(super) fn cut(&mut self, judgement: &Judgement, pieces: &[f64], y: &[f64]) -> usize {
        self.cut_by_inequalities(pieces) + self.cut_by_promises(judgement, pieces, y)
    }

    fn cut_by_inequalities(&mut self, pieces: &[f64]) -> usize {
        let filling = self.filling;
        let known = filling.inequalities.iter().map(|known| (known.value(pieces) - known.limit, known));
        let mut broken: Vec<_> = known
            .filter(|(excess, known)| {
                *excess > BROKEN * (1.0 + known.limit.abs()) && !self.rows.contains(&RowKey::Inequality(known.position))
            })
            .collect();
        broken.sort_by(|a, b| b.0.total_cmp(&a.0));
        broken.truncate(INEQUALITIES);
        for (_, known) in &broken {
            self.add_inequality(known);
        }
        broken.len()
    }

    fn add_inequality(&mut self, known: &Inequality) {
        let row: Vec<f64> = self.free.iter().map(|item| known.profits[*item]).collect();
        let fixed = (0..self.filling.items()).filter(|item| !self.region.is_free(*item));
        let fixed: f64 = fixed.map(|item| f64::from(self.region.least[item]) * known.profits[item]).sum();
        self.lp.add_row(&row, f64::NEG_INFINITY, known.limit - fixed + 1e-10);
        self.rows.push(RowKey::Inequality(known.position));
    }

    /// Takes in those of these rows that there are.
    pub(super) fn take(&mut self, judgement: &Judgement, rows: &[RowKey]) {
        let filling = self.filling;
        let mut reach = None;
        for row in rows {
            match row {
                RowKey::Memory | RowKey::Coordinate(_) | RowKey::Count(_) => {}
                RowKey::Promises(key) => {
                    let Some(first) = key.of.iter().find_map(|of| judgement.promise(*of)) else { continue };
                    let line = match &key.at {
                        None => judgement.lines[first.line].clone(),
                        Some(y) => match self.touching(judgement, first, y, &mut reach) {
                            Some(line) => line,
                            None => continue,
                        },
                    };
                    self.add_promises(judgement, key, &line);
                }
                RowKey::Inequality(position) => {
                    let known = filling.inequalities.iter().find(|known| known.position == *position);
                    known.into_iter().for_each(|known| self.add_inequality(known));
                }
            }
        }
    }

    /// The promises, those of one prediction together: with n_i = x_i / u_i, its items by limit, L_1 ≤ L_2 ≤ … ≤ L_m ≤ M where
    /// M = max a·y + c on the region,
    ///
    /// a·y + c + Σ (L_{k+1} − L_k)·n_k ≤ L_{m+1} = M,
    ///
    /// which is a·y + c ≤ L_k where k is the first that has all its pieces. Of the items for whom L_k ≤ L those with the most n_k break
    /// it most (O. Günlük, Y. Pochet, "Mixing mixed-integer inequalities", Mathematical Programming 90, 2001, doi:10.1007/PL00011430).
    /// Where x_k ≥ 1 anyway, M is L_k.
    fn cut_by_promises(&mut self, judgement: &Judgement, pieces: &[f64], y: &[f64]) -> usize {
        let mut excess = Vec::new();
        self.interference.excess(pieces, y, &mut excess);
        let mut by_line: Vec<Vec<Promise>> = vec![Vec::new(); judgement.lines.len()];
        let mut is_broken = vec![false; judgement.lines.len()];
        for promise in &judgement.open {
            by_line[promise.line].push(*promise);
            is_broken[promise.line] |= excess[promise.item] > BROKEN && pieces[promise.item] > BROKEN;
        }
        let mut broken: Vec<(f64, Promises, Line)> = Vec::new();
        let mut reach = None;
        for (l, mut promises) in by_line.into_iter().enumerate().filter(|(l, _)| is_broken[*l]) {
            promises.sort_by(|a, b| a.limit.total_cmp(&b.limit));
            let first = &judgement.lines[l];
            let mut lines = vec![(None, first.clone())];
            let touching = self.touching(judgement, &promises[0], y, &mut reach);
            lines.extend(touching.filter(|line| line.slope != first.slope).map(|line| (Some(y.to_vec()), line)));
            let best = lines.into_iter().map(|(at, line)| {
                let value = line.constant + crate::rounding::dot(&line.slope, y);
                let cap = self.cap(&promises, &line);
                // The steps of the most that any item so far has of its pieces.
                let (mut of, mut sum, mut most, mut last) = (Vec::new(), 0.0, 0.0, 0.0);
                for promise in &promises {
                    if self.region.least[promise.item] > 0 {
                        of.push((promise.item, promise.which));
                        break;
                    }
                    let share = (pieces[promise.item] / f64::from(self.filling.most[promise.item].max(1))).min(1.0);
                    if promise.limit < cap && share > most + 1e-9 {
                        sum += most * (promise.limit - last);
                        (most, last) = (share, promise.limit);
                        of.push((promise.item, promise.which));
                    }
                }
                sum += most * (cap - last);
                let big = cap - promises[0].limit;
                let excess = value + sum - cap;
                (excess, excess / (1.0 + big.max(0.0)), Promises { of, at }, line)
            });
            if let Some((excess, score, promises, line)) = best.max_by(|a, b| a.1.total_cmp(&b.1))
                && excess > BROKEN
            {
                broken.push((score, promises, line));
            }
        }
        broken.sort_by(|a, b| b.0.total_cmp(&a.0));
        broken.retain(|(_, promises, _)| {
            !self.rows.iter().any(|row| matches!(row, RowKey::Promises(other) if **other == *promises))
        });
        broken.truncate(CUTS);
        let count = broken.len();
        for (_, promises, line) in broken {
            self.add_promises(judgement, &Arc::new(promises), &line);
        }
        count
    }

    /// The line below a prediction that touches it near `y`, if there is one.
    fn touching(
        &self,
        judgement: &Judgement,
        promise: &Promise,
        y: &[f64],
        reach: &mut Option<Reach<'a>>,
    ) -> Option<Line> {
        let (slope, constant) = self.interference.tangent(judgement, promise, y)?;
        let reach = reach.get_or_insert_with(|| Reach::new(self.filling, self.region));
        let highest = constant + reach.most(&slope);
        Some(Line { slope, constant, highest })
    }

    /// The most that a line can be where all those hold that must.
    fn cap(&self, promises: &[Promise], line: &Line) -> f64 {
        let forced = promises.iter().filter(|promise| self.region.least[promise.item] > 0);
        forced.map(|promise| promise.limit).fold(line.highest, f64::min)
    }

    fn add_promises(&mut self, judgement: &Judgement, key: &Arc<Promises>, line: &Line) {
        let of: Vec<Promise> = key.of.iter().filter_map(|of| judgement.promise(*of).copied()).collect();
        if of.is_empty() {
            return;
        }
        let cap = self.cap(&of, line);
        let mut row: Vec<f64> =
            self.free.iter().map(|item| crate::rounding::dot(&line.slope, self.filling.contribution(*item))).collect();
        let right = cap - line.constant - crate::rounding::dot(&line.slope, &self.base);
        let below: Vec<&Promise> = of.iter().filter(|p| self.region.least[p.item] == 0 && p.limit < cap).collect();
        for (k, promise) in below.iter().enumerate() {
            let step = below.get(k + 1).map_or(cap, |next| next.limit) - promise.limit;
            if let Ok(column) = self.free.binary_search(&promise.item) {
                row[column] += step / f64::from(self.filling.most[promise.item].max(1));
            }
        }
        self.lp.add_row(&row, f64::NEG_INFINITY, right + 1e-10);
        self.rows.push(RowKey::Promises(key.clone()));
    }

    pub(super) fn finish(self, status: LpStatus) -> Bounded {
        let mut weights = Vec::new();
        let infeasible = status == LpStatus::Infeasible && self.lp.is_proved_infeasible();
        let (bound, duals) = if infeasible {
            (f64::NEG_INFINITY, self.lp.infeasibility_weights())
        } else {
            let bound = self.fixed - self.lp.weighted_bound(&mut weights);
            (bound, weights[self.free.len()..].to_vec())
        };
        let mut of_items = vec![0.0; self.filling.items()];
        if !infeasible {
            self.free.iter().zip(&weights).for_each(|(item, weight)| of_items[*item] = *weight);
        }
        let pieces = self.pieces();
        let duals = self.rows.iter().cloned().zip(duals).filter(|(_, dual)| *dual != 0.0).collect();
        Bounded { bound, pieces, duals, weights: of_items }
    }
}
