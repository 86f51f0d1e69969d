use super::{Filling, Inequality, Judgement, Promise, Region};
use crate::lp::{LpStatus, Simplex};

/// A row of a relaxation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RowKey {
    /// Σ m_i x_i ≤ C.
    Memory,
    /// low_k ≤ y_k ≤ high_k.
    Coordinate(usize),
    /// Pieces of a set of items that are alike.
    Count(usize),
    /// The line below a prediction is at most its limit.
    Promise { item: usize, which: usize },
    /// The inequality at this position among those of the class.
    Inequality(usize),
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
    pub(super) fn new(filling: &'a Filling, region: &'a Region) -> Self {
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
        Self { filling, region, free, fixed, base, lp, rows }
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
        for row in rows {
            match row {
                RowKey::Memory | RowKey::Coordinate(_) | RowKey::Count(_) => {}
                RowKey::Promise { item, which } => {
                    let is_it = |promise: &&Promise| promise.item == *item && promise.which == *which;
                    judgement
                        .open
                        .iter()
                        .find(is_it)
                        .into_iter()
                        .for_each(|promise| self.add_promise(judgement, promise));
                }
                RowKey::Inequality(position) => {
                    let known = filling.inequalities.iter().find(|known| known.position == *position);
                    known.into_iter().for_each(|known| self.add_inequality(known));
                }
            }
        }
    }

    /// The promises.
    ///
    /// With n_i = x_i / u_i and M = max (a·y + c) − limit on the box, a·y + c + M·n_i ≤ limit + M, which is a·y + c ≤ limit at
    /// x_i = u_i and nothing at x_i = 0; where x_i ≥ 1 anyway M is 0.
    fn cut_by_promises(&mut self, judgement: &Judgement, pieces: &[f64], y: &[f64]) -> usize {
        let value: Vec<f64> =
            judgement.lines.iter().map(|line| line.constant + crate::rounding::dot(&line.slope, y)).collect();
        let mut broken: Vec<(f64, Promise)> = Vec::new();
        for promise in &judgement.open {
            let big = self.big(judgement, promise);
            let share = pieces[promise.item] / f64::from(self.filling.most[promise.item].max(1));
            let excess = value[promise.line] - promise.limit - big * (1.0 - share.min(1.0));
            if excess > BROKEN {
                broken.push((excess / (1.0 + big), *promise));
            }
        }
        broken.sort_by(|a, b| b.0.total_cmp(&a.0));
        broken.retain(|(_, p)| !self.rows.contains(&RowKey::Promise { item: p.item, which: p.which }));
        broken.truncate(CUTS);
        for (_, promise) in &broken {
            self.add_promise(judgement, promise);
        }
        broken.len()
    }

    fn big(&self, judgement: &Judgement, promise: &Promise) -> f64 {
        if self.region.least[promise.item] > 0 {
            return 0.0;
        }
        (judgement.lines[promise.line].highest - promise.limit).max(0.0)
    }

    fn add_promise(&mut self, judgement: &Judgement, promise: &Promise) {
        let line = &judgement.lines[promise.line];
        let big = self.big(judgement, promise);
        let per_piece = big / f64::from(self.filling.most[promise.item].max(1));
        let row: Vec<f64> = self
            .free
            .iter()
            .map(|item| {
                let slope = crate::rounding::dot(&line.slope, self.filling.contribution(*item));
                if *item == promise.item { slope + per_piece } else { slope }
            })
            .collect();
        let mut right = promise.limit + big - line.constant - crate::rounding::dot(&line.slope, &self.base);
        if !self.region.is_free(promise.item) {
            right -= per_piece * f64::from(self.region.least[promise.item]);
        }
        self.lp.add_row(&row, f64::NEG_INFINITY, right + 1e-10);
        self.rows.push(RowKey::Promise { item: promise.item, which: promise.which });
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
        let duals = self.rows.iter().copied().zip(duals).filter(|(_, dual)| *dual != 0.0).collect();
        Bounded { bound, pieces, duals, weights: of_items }
    }
}
