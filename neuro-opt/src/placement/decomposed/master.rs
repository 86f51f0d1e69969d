use std::time::Instant;

use super::class::Class;
use crate::lp::{LpStatus, Simplex};
use crate::placement::group::Group;

/// The best prices for the fillings that are known: min Σ π_r + Σ S_g σ_g, 0 ≤ π_r ≤ p_r, σ_g + Σ π_r ≥ Σ p_r over a filling of g.
///
/// Rows are taken in when they are broken: of thousands of fillings few matter.
pub(super) struct Master {
    lp: Simplex,
    requests: usize,
    /// S of every group.
    servers: Vec<f64>,
    /// Group and filling of each row.
    rows: Vec<Row>,
    /// When prices must be there, the best or not.
    end: Instant,
}

/// A row: a filling of the pool of a group's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) group: usize,
    pub(super) filling: usize,
}

/// What a master says.
#[derive(Clone, Debug, Default)]
pub(super) struct Dual {
    /// π of every request.
    pub(super) prices: Vec<f64>,
    /// σ of every group.
    pub(super) most: Vec<f64>,
    pub(super) value: f64,
}

/// Rows of one group that are taken in at a time.
const ROWS: usize = 8;
/// By how much costs differ that are equal, and the share of it for each.
const UNEQUAL: f64 = 1e-7;
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// Pivots between two looks at the clock: of thousands of requests each takes milliseconds.
const PIVOTS: usize = 200;
/// How far a row is broken before it is taken in.
const BROKEN: f64 = 1e-7;

impl Master {
    /// Of groups, and the payments of all requests. The price of what must run somewhere is 0: it says nothing.
    pub(super) fn new(payments: &[f64], classes: &[Class<'_>], groups: &[Group], end: Instant) -> Self {
        let mut upper: Vec<f64> = payments.iter().map(|p| p.max(0.0)).collect();
        for group in groups {
            let requests = &classes[group.class].requests;
            requests.iter().zip(&group.least).filter(|(_, least)| **least > 0).for_each(|(r, _)| upper[*r] = 0.0);
        }
        upper.extend(groups.iter().map(|group| classes[group.class].most));
        let mut lp = Simplex::of_box(vec![0.0; upper.len()], upper);
        let servers: Vec<f64> = groups.iter().map(|group| group.servers as f64).collect();
        let cost = payments.iter().map(|_| 1.0).chain(servers.iter().copied()).enumerate();
        // Hundreds of equal costs make hundreds of thousands of pivots that change nothing.
        let cost: Vec<f64> = cost.map(|(i, cost)| cost * (1.0 + UNEQUAL * (i as f64 * GOLDEN).fract())).collect();
        lp.set_objective(&cost);
        Self { lp, requests: payments.len(), servers, rows: Vec::new(), end }
    }

    /// Begins with those of these fillings that a group admits, of each class.
    pub(super) fn knowing(mut self, fillings: &[Vec<usize>], classes: &[Class<'_>], groups: &[Group]) -> Self {
        for (g, group) in groups.iter().enumerate() {
            let pool = &classes[group.class].pool;
            for filling in fillings[group.class].iter().filter(|filling| group.admits(&pool[**filling])) {
                self.add(Row { group: g, filling: *filling }, classes, groups);
            }
        }
        self
    }

    fn add(&mut self, row: Row, classes: &[Class<'_>], groups: &[Group]) {
        let class = &classes[groups[row.group].class];
        let pieces = &class.pool[row.filling];
        let mut coefficients = vec![0.0; self.lp.columns()];
        coefficients[self.requests + row.group] = 1.0;
        class.requests.iter().zip(pieces).filter(|(_, x)| **x > 0).for_each(|(r, _)| coefficients[*r] = 1.0);
        self.lp.add_row(&coefficients, class.filling.profit(pieces), f64::INFINITY);
        self.rows.push(row);
    }

    /// Leaves out rows that have room, if there are many: the tableau is dense.
    fn purge(&mut self) {
        if self.rows.len() < 2 * self.lp.columns() {
            return;
        }
        for row in (0..self.rows.len()).rev() {
            let variable = self.lp.row_variable(row);
            let has_room = self.lp.value(variable) > self.lp.lower(variable) + BROKEN;
            if has_room && self.lp.remove_row(variable) {
                self.rows.swap_remove(row);
            }
        }
    }

    /// Prices for everything that is known, or what there is of them when the time is over.
    pub(super) fn solve(&mut self, classes: &[Class<'_>], groups: &[Group]) -> Dual {
        self.purge();
        loop {
            for _ in 0..50 * (self.lp.columns() + self.lp.rows()) / PIVOTS + 5 {
                if self.lp.solve_within(f64::INFINITY, PIVOTS) != LpStatus::Stalled || Instant::now() >= self.end {
                    break;
                }
            }
            let mut prices = self.lp.values();
            let most = prices.split_off(self.requests);
            // A basic variable may lie outside its bounds by rounding; a price may not.
            (0..self.requests).for_each(|r| prices[r] = prices[r].clamp(0.0, self.lp.upper(r)));
            let mut is_done = true;
            for (g, group) in groups.iter().enumerate() {
                let class = &classes[group.class];
                let reduced = class.reduced(&prices);
                let mut broken: Vec<(f64, usize)> = (0..class.pool.len())
                    .map(|f| (class.profit(f, &reduced) - most[g], f))
                    .filter(|(excess, f)| *excess > BROKEN && group.admits(&class.pool[*f]))
                    .collect();
                broken.sort_by(|a, b| b.0.total_cmp(&a.0));
                for (_, filling) in broken.into_iter().take(ROWS) {
                    let row = Row { group: g, filling };
                    if !self.rows.contains(&row) {
                        self.add(row, classes, groups);
                        is_done = false;
                    }
                }
            }
            if is_done || Instant::now() >= self.end {
                let value =
                    prices.iter().sum::<f64>() + most.iter().zip(&self.servers).map(|(most, n)| most * n).sum::<f64>();
                return Dual { prices, most, value };
            }
        }
    }

    /// Fillings by their weights at the last prices, the largest first.
    pub(super) fn weights(&self) -> Vec<(Row, f64)> {
        let weight = |row: usize| self.lp.reduced_cost(self.lp.row_variable(row)).abs();
        let mut weighed: Vec<(Row, f64)> =
            self.rows.iter().enumerate().map(|(i, row)| (*row, weight(i))).filter(|(_, w)| *w > 1e-9).collect();
        weighed.sort_by(|a, b| b.1.total_cmp(&a.1));
        weighed
    }
}
