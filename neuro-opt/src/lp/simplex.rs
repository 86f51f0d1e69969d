use crate::rounding::gamma;
use crate::{Error, Result};

/// How far a basic variable may lie outside its bounds.
const FEASIBLE: f64 = 1e-9;
/// Reduced costs below that are taken for 0: a variable that moved to its other bound for the sake of rounding could move for ever.
const DUAL_FEASIBLE: f64 = 1e-11;
/// The smallest pivot.
const PIVOT: f64 = 1e-7;
/// Pivots after which the tableau is computed afresh.
const REFRESH: usize = 200;

/// How a linear program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LpStatus {
    /// The values are optimal.
    Optimal,
    /// No values meet all bounds.
    Infeasible,
    /// The minimum is at least the cutoff.
    Cutoff,
    /// It ran out of pivots; [`Simplex::bound`] is valid all the same.
    Stalled,
}

/// min c·x where x and the rows A·x lie between bounds, as a tableau that stays when bounds, objective or rows change.
///
/// A *variable* is a column x or the value r = A·x of a row; all have finite bounds (a row's missing one is computed from the
/// columns'), so that every basis can be made dual feasible by putting each non-basic variable at the right bound, and there is
/// no first phase. Columns are variables 0, 1, …; the rows follow in the order in which they were added.
///
/// The method is the dual simplex with bound flipping (Maros, A generalized dual phase-2 simplex algorithm, European Journal of
/// Operational Research, 2003, DOI 10.1016/S0377-2217(02)00292-1) on a dense tableau, which for the sizes here, a hundred rows
/// by a hundred columns, costs a few microseconds a pivot. Whatever the tableau has become through rounding, [`Simplex::bound`] is
/// computed from the original figures by weak duality and rounded down (Neumaier and Shcherbina, Safe bounds in linear and
/// mixed-integer linear programming, Mathematical Programming, 2004, DOI 10.1007/s10107-003-0433-3).
///
/// ```
/// use neuro_opt::lp::{LpStatus, Simplex};
///
/// // min −x − y, x + 2y ≤ 4, 3x + y ≤ 6, 0 ≤ x, y ≤ 10: the optimum is at (1.6, 1.2).
/// let mut lp = Simplex::new(&[0.0, 0.0], &[10.0, 10.0])?;
/// lp.add_row(&[1.0, 2.0], f64::NEG_INFINITY, 4.0);
/// lp.add_row(&[3.0, 1.0], f64::NEG_INFINITY, 6.0);
/// lp.set_objective(&[-1.0, -1.0]);
/// assert_eq!(lp.solve(f64::INFINITY), LpStatus::Optimal);
/// assert!((lp.objective() + 2.8).abs() < 1e-9 && (lp.value(0) - 1.6).abs() < 1e-9);
/// assert!(lp.bound() <= -2.8 && lp.bound() > -2.8 - 1e-9);
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Simplex {
    columns: usize,
    cost: Vec<f64>,
    /// A, rows × columns.
    matrix: Vec<f64>,
    /// Of every variable.
    lower: Vec<f64>,
    upper: Vec<f64>,
    /// Basic variables in terms of the non-basic ones, rows × columns.
    tableau: Vec<f64>,
    /// Objective in terms of the non-basic ones.
    reduced: Vec<f64>,
    basic: Vec<usize>,
    nonbasic: Vec<usize>,
    at_upper: Vec<bool>,
    /// Values of the basic variables.
    value: Vec<f64>,
    /// Where each variable is.
    place: Vec<Place>,
    since_refresh: usize,
    pivots: u64,
    /// The row that proved infeasibility.
    proof: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Basic(usize),
    Nonbasic(usize),
}

impl Simplex {
    /// A program of columns between these bounds, without rows and objective.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInputBounds`] for a bound that is not finite or a lower one above the upper one.
    pub fn new(lower: &[f64], upper: &[f64]) -> Result<Self> {
        for (input, (&lower, &upper)) in lower.iter().zip(upper).enumerate() {
            if !(lower <= upper && lower.is_finite() && upper.is_finite()) {
                return Err(Error::InvalidInputBounds { input, lower, upper });
            }
        }
        Ok(Self::of_box(lower.to_vec(), upper.to_vec()))
    }

    /// The same, of bounds that are known to be finite and in order.
    pub(crate) fn of_box(lower: Vec<f64>, upper: Vec<f64>) -> Self {
        let columns = lower.len();
        Self {
            columns,
            cost: vec![0.0; columns],
            matrix: Vec::new(),
            lower,
            upper,
            tableau: Vec::new(),
            reduced: vec![0.0; columns],
            basic: Vec::new(),
            nonbasic: (0..columns).collect(),
            at_upper: vec![false; columns],
            value: Vec::new(),
            place: (0..columns).map(Place::Nonbasic).collect(),
            since_refresh: 0,
            pivots: 0,
            proof: None,
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.basic.len()
    }

    /// Pivots so far.
    pub fn pivots(&self) -> u64 {
        self.pivots
    }

    /// Bytes that it takes, nearly.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<f64>() * (self.matrix.capacity() + self.tableau.capacity()) + 64 * (self.columns + self.rows())
    }

    /// The variable of row `row`.
    pub fn row_variable(&self, row: usize) -> usize {
        self.columns + row
    }

    /// The coefficients of a row.
    pub fn coefficients(&self, row: usize) -> &[f64] {
        &self.matrix[row * self.columns..(row + 1) * self.columns]
    }

    /// Lower bound of a variable.
    pub fn lower(&self, variable: usize) -> f64 {
        self.lower[variable]
    }

    /// Upper bound of a variable.
    pub fn upper(&self, variable: usize) -> f64 {
        self.upper[variable]
    }

    /// Value of a variable.
    pub fn value(&self, variable: usize) -> f64 {
        match self.place[variable] {
            Place::Basic(row) => self.value[row],
            Place::Nonbasic(column) => self.nonbasic_value(column),
        }
    }

    /// Values of the columns.
    pub fn values(&self) -> Vec<f64> {
        (0..self.columns).map(|variable| self.value(variable)).collect()
    }

    /// How much the objective rises per unit of a variable that is at a bound; 0 for a basic one. For a row it is the row's dual.
    pub fn reduced_cost(&self, variable: usize) -> f64 {
        match self.place[variable] {
            Place::Basic(_) => 0.0,
            Place::Nonbasic(column) => self.reduced[column],
        }
    }

    /// Whether a variable is basic.
    pub fn is_basic(&self, variable: usize) -> bool {
        matches!(self.place[variable], Place::Basic(_))
    }

    fn nonbasic_value(&self, column: usize) -> f64 {
        let variable = self.nonbasic[column];
        if self.at_upper[column] { self.upper[variable] } else { self.lower[variable] }
    }

    /// Adds the row `lower` ≤ a·x ≤ `upper`, missing coefficients being 0, and returns its variable. Bounds may be infinite.
    pub fn add_row(&mut self, a: &[f64], lower: f64, upper: f64) -> usize {
        let n = self.columns;
        let (mut least, mut most) = (0.0, 0.0);
        for (&a, (&l, &u)) in a.iter().zip(self.lower.iter().zip(&self.upper)) {
            least += (a * l).min(a * u);
            most += (a * l).max(a * u);
        }
        // Room for rounding: these bounds must not cut anything off.
        let room = 1.0 + 1e-6 * (least.abs() + most.abs());
        let variable = self.lower.len();
        self.lower.push(if lower.is_finite() { lower } else { least - room });
        self.upper.push(if upper.is_finite() { upper } else { most + room });
        let start = self.matrix.len();
        self.matrix.extend_from_slice(a);
        self.matrix.resize(start + n, 0.0);

        // a·x in terms of the non-basic variables.
        let mut row = vec![0.0; n];
        for (j, &a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
            match self.place[j] {
                Place::Nonbasic(column) => row[column] += a,
                Place::Basic(basic) => {
                    let other = &self.tableau[basic * n..(basic + 1) * n];
                    row.iter_mut().zip(other).for_each(|(row, other)| *row += a * other);
                }
            }
        }
        let value = (0..n).map(|column| row[column] * self.nonbasic_value(column)).sum();
        self.tableau.extend_from_slice(&row);
        self.place.push(Place::Basic(self.basic.len()));
        self.basic.push(variable);
        self.value.push(value);
        variable
    }

    /// Removes a row that is basic; the last row takes its place and its variable's number. Returns whether it was basic.
    pub fn remove_row(&mut self, variable: usize) -> bool {
        let Place::Basic(position) = self.place[variable] else { return false };
        let n = self.columns;
        // Out of the tableau: the last basic row moves here.
        let last = self.basic.len() - 1;
        self.tableau.copy_within(last * n..(last + 1) * n, position * n);
        self.tableau.truncate(last * n);
        self.basic.swap_remove(position);
        self.value.swap_remove(position);
        if position < last {
            self.place[self.basic[position]] = Place::Basic(position);
        }
        // Out of the variables: the last one gets this number.
        let (row, moved) = (variable - n, self.lower.len() - 1);
        self.matrix.copy_within((moved - n) * n..(moved - n + 1) * n, row * n);
        self.matrix.truncate((moved - n) * n);
        self.lower.swap_remove(variable);
        self.upper.swap_remove(variable);
        self.place.swap_remove(variable);
        if variable != moved {
            match self.place[variable] {
                Place::Basic(position) => self.basic[position] = variable,
                Place::Nonbasic(column) => self.nonbasic[column] = variable,
            }
        }
        true
    }

    /// Sets the bounds of a variable, both finite, `lower` ≤ `upper`.
    pub fn set_bounds(&mut self, variable: usize, lower: f64, upper: f64) {
        debug_assert!(lower <= upper && lower.is_finite() && upper.is_finite(), "[{lower}, {upper}]");
        if let Place::Nonbasic(column) = self.place[variable] {
            let before = self.nonbasic_value(column);
            (self.lower[variable], self.upper[variable]) = (lower, upper);
            let change = self.nonbasic_value(column) - before;
            self.shift(column, change);
        } else {
            (self.lower[variable], self.upper[variable]) = (lower, upper);
        }
    }

    /// Sets the objective min c·x, missing figures being 0.
    pub fn set_objective(&mut self, c: &[f64]) {
        self.cost.fill(0.0);
        self.cost[..c.len()].copy_from_slice(c);
        self.price();
        self.make_dual_feasible();
    }

    /// The objective at the present values.
    pub fn objective(&self) -> f64 {
        (0..self.columns).map(|column| self.reduced[column] * self.nonbasic_value(column)).sum()
    }

    /// The objective in terms of the non-basic variables.
    fn price(&mut self) {
        let n = self.columns;
        self.reduced.fill(0.0);
        for j in 0..n {
            let c = self.cost[j];
            if c == 0.0 {
                continue;
            }
            match self.place[j] {
                Place::Nonbasic(column) => self.reduced[column] += c,
                Place::Basic(row) => {
                    let row = &self.tableau[row * n..(row + 1) * n];
                    self.reduced.iter_mut().zip(row).for_each(|(d, t)| *d += c * t);
                }
            }
        }
    }

    /// Puts each non-basic variable at the bound that its reduced cost asks for.
    fn make_dual_feasible(&mut self) {
        for column in 0..self.columns {
            let wanted = if self.reduced[column] > DUAL_FEASIBLE {
                false
            } else if self.reduced[column] < -DUAL_FEASIBLE {
                true
            } else {
                continue;
            };
            if self.at_upper[column] != wanted {
                self.flip(column);
            }
        }
    }

    fn flip(&mut self, column: usize) {
        let before = self.nonbasic_value(column);
        self.at_upper[column] = !self.at_upper[column];
        let change = self.nonbasic_value(column) - before;
        self.shift(column, change);
    }

    /// A non-basic variable's value changed: so do the basic ones'.
    fn shift(&mut self, column: usize, change: f64) {
        if change != 0.0 {
            let n = self.columns;
            for (row, value) in self.value.iter_mut().enumerate() {
                *value += self.tableau[row * n + column] * change;
            }
        }
    }

    /// Values of the basic variables, afresh.
    fn recompute_values(&mut self) {
        let n = self.columns;
        let at: Vec<f64> = (0..n).map(|column| self.nonbasic_value(column)).collect();
        for (row, value) in self.value.iter_mut().enumerate() {
            *value = crate::rounding::dot(&self.tableau[row * n..(row + 1) * n], &at);
        }
    }

    /// Computes the tableau afresh from the original figures for the present basis.
    pub fn refresh(&mut self) {
        let n = self.columns;
        let wanted: Vec<bool> = self.place.iter().map(|place| matches!(place, Place::Basic(_))).collect();
        let at_upper: Vec<(usize, bool)> = self.nonbasic.iter().copied().zip(self.at_upper.iter().copied()).collect();
        // The basis of all rows.
        self.tableau.copy_from_slice(&self.matrix);
        for j in 0..n {
            self.nonbasic[j] = j;
            self.place[j] = Place::Nonbasic(j);
        }
        for row in 0..self.basic.len() {
            self.basic[row] = n + row;
            self.place[n + row] = Place::Basic(row);
        }
        // One column after another into the basis, each in the row that gives the largest pivot.
        for column in 0..n {
            if !wanted[column] {
                continue;
            }
            let leaving = (0..self.basic.len()).filter(|&row| !wanted[self.basic[row]]);
            let best = leaving
                .max_by(|&a, &b| self.tableau[a * n + column].abs().total_cmp(&self.tableau[b * n + column].abs()));
            if let Some(row) = best.filter(|row| self.tableau[row * n + column].abs() > 1e-11) {
                self.exchange(row, column);
            }
        }
        self.at_upper.fill(false);
        for (variable, at) in at_upper {
            if let Place::Nonbasic(column) = self.place[variable] {
                self.at_upper[column] = at;
            }
        }
        self.price();
        self.recompute_values();
        self.make_dual_feasible();
        self.since_refresh = 0;
    }

    /// Swaps a basic and a non-basic variable in the tableau and the reduced costs; values are not touched.
    fn exchange(&mut self, row: usize, column: usize) {
        let n = self.columns;
        let pivot = self.tableau[row * n + column];
        // p = Σ t·v + pivot·q  ⇒  q = p/pivot − Σ t/pivot·v
        let inverse = 1.0 / pivot;
        let (above, rest) = self.tableau.split_at_mut(row * n);
        let (own, below) = rest.split_at_mut(n);
        let reduced = self.reduced.as_mut_slice();
        // Most of all time goes here: compiled for the vectors that the processor has.
        pulp::Arch::new().dispatch(|| {
            own.iter_mut().for_each(|t| *t *= -inverse);
            own[column] = inverse;
            for other in above.chunks_exact_mut(n).chain(below.chunks_exact_mut(n)).chain([reduced]) {
                let factor = other[column];
                if factor != 0.0 {
                    other[column] = 0.0;
                    for (t, own) in other.iter_mut().zip(own.iter()) {
                        *t += factor * own;
                    }
                }
            }
        });
        let (entering, leaving) = (self.nonbasic[column], self.basic[row]);
        (self.nonbasic[column], self.basic[row]) = (leaving, entering);
        self.place[leaving] = Place::Nonbasic(column);
        self.place[entering] = Place::Basic(row);
        self.pivots += 1;
    }

    /// Minimises from the present basis; stops early once the minimum is known to be at least `cutoff`.
    pub fn solve(&mut self, cutoff: f64) -> LpStatus {
        self.solve_within(cutoff, 50 * (self.columns + self.rows()) + 1_000)
    }

    /// The same with at most so many pivots.
    pub fn solve_within(&mut self, cutoff: f64, pivots: usize) -> LpStatus {
        self.proof = None;
        self.make_dual_feasible();
        let mut refreshed = false;
        for _ in 0..pivots {
            if self.since_refresh >= REFRESH {
                self.refresh();
            }
            let Some((row, below)) = self.leaving_row() else {
                return LpStatus::Optimal;
            };
            if cutoff < f64::INFINITY && self.objective() >= cutoff {
                return LpStatus::Cutoff;
            }
            match self.entering_column(row, below) {
                Some(column) => {
                    self.pivot(row, column, below);
                    refreshed = false;
                }
                None => {
                    self.proof = Some(row);
                    if refreshed || self.since_refresh == 0 || self.is_proved_infeasible() {
                        return LpStatus::Infeasible;
                    }
                    self.proof = None;
                    self.refresh();
                    refreshed = true;
                }
            }
        }
        LpStatus::Stalled
    }

    /// The row furthest outside its bounds, and whether it is below them.
    fn leaving_row(&self) -> Option<(usize, bool)> {
        let mut best = None;
        let mut worst = FEASIBLE;
        for (row, (&variable, &value)) in self.basic.iter().zip(&self.value).enumerate() {
            let (lower, upper) = (self.lower[variable], self.upper[variable]);
            let (below, violation) = if value < lower { (true, lower - value) } else { (false, value - upper) };
            if violation > worst {
                (worst, best) = (violation, Some((row, below)));
            }
        }
        best
    }

    /// The non-basic variable that takes the place of the basic one of `row`, after flipping those that are passed.
    fn entering_column(&mut self, row: usize, below: bool) -> Option<usize> {
        let n = self.columns;
        let variable = self.basic[row];
        let mut missing =
            if below { self.lower[variable] - self.value[row] } else { self.value[row] - self.upper[variable] };
        let sign = if below { 1.0 } else { -1.0 };
        let own = &self.tableau[row * n..(row + 1) * n];
        // Moving a variable off its bound must move the row the right way.
        let mut candidates: Vec<(f64, usize)> = Vec::with_capacity(n);
        for (column, &t) in own.iter().enumerate() {
            let toward = if self.at_upper[column] { -sign * t } else { sign * t };
            if toward > PIVOT {
                let variable = self.nonbasic[column];
                if self.upper[variable] > self.lower[variable] {
                    candidates.push((self.reduced[column].abs() / toward, column));
                }
            }
        }
        // By their ratios; among near ties the largest pivot first.
        candidates.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut passed = 0;
        let chosen = loop {
            let Some(&(least, _)) = candidates.get(passed) else { break None };
            let near = candidates[passed..].iter().take_while(|(ratio, _)| *ratio <= least + 1e-11).count();
            let largest = (passed..passed + near)
                .max_by(|a, b| own[candidates[*a].1].abs().total_cmp(&own[candidates[*b].1].abs()));
            candidates.swap(passed, largest.unwrap_or(passed));
            let column = candidates[passed].1;
            let nonbasic = self.nonbasic[column];
            let reach = own[column].abs() * (self.upper[nonbasic] - self.lower[nonbasic]);
            if reach >= missing {
                break Some(column);
            }
            if passed + 1 == candidates.len() {
                // Even with all of them at their other bounds the row stays outside.
                break if missing - reach > FEASIBLE { None } else { Some(column) };
            }
            missing -= reach;
            passed += 1;
        };
        if chosen.is_some() {
            candidates[..passed].iter().for_each(|(_, column)| self.flip(*column));
        }
        chosen
    }

    fn pivot(&mut self, row: usize, column: usize, below: bool) {
        let n = self.columns;
        let leaving = self.basic[row];
        let target = if below { self.lower[leaving] } else { self.upper[leaving] };
        let step = (target - self.value[row]) / self.tableau[row * n + column];
        let entering = self.nonbasic_value(column) + step;
        self.shift(column, step);
        self.exchange(row, column);
        self.value[row] = entering;
        self.at_upper[column] = !below;
        self.since_refresh += 1;
    }

    /// A lower bound on the minimum of c·x that holds whatever rounding did: the row duals of the present basis, taken as any
    /// multipliers π, give c·x = Σ πᵢ·rᵢ + Σ (c − Aᵀπ)ⱼ·xⱼ, which is minimised term by term between the bounds.
    pub fn bound(&self) -> f64 {
        self.weighted_bound(&mut Vec::new())
    }

    /// The same, and in `weights` the weight of every variable in that sum: moving one off the bound that the sum puts it at, by δ,
    /// raises the bound by |weight|·δ.
    pub fn weighted_bound(&self, weights: &mut Vec<f64>) -> f64 {
        let n = self.columns;
        weights.clear();
        weights.resize(self.lower.len(), 0.0);
        let mut size: Vec<f64> = self.cost.iter().map(|c| c.abs()).collect();
        let (columns, rows) = weights.split_at_mut(n);
        columns.copy_from_slice(&self.cost);
        let (mut sum, mut terms) = ((0.0, 0.0), 1);
        for (column, &variable) in self.nonbasic.iter().enumerate() {
            let dual = self.reduced[column];
            if variable >= n && dual != 0.0 {
                rows[variable - n] = dual;
                self.take(dual, variable, &mut sum);
                self.subtract(dual, variable - n, columns, &mut size);
                terms += 1;
            }
        }
        self.close(sum, terms, columns, &size)
    }

    /// Whether the last solve's finding that no values meet all bounds holds whatever rounding did.
    pub fn is_proved_infeasible(&self) -> bool {
        let Some(row) = self.proof else { return false };
        let n = self.columns;
        let variable = self.basic[row];
        // 0 = p − Σ t·v; the rows among p and v are replaced by their definitions, and the least value of each side of what is
        // left must be above 0.
        let own = &self.tableau[row * n..(row + 1) * n];
        let sign = if self.value[row] < self.lower[variable] { 1.0 } else { -1.0 };
        let (mut rest, mut size) = (vec![0.0; n], vec![0.0; n]);
        let (mut sum, mut terms) = ((0.0, 0.0), 2);
        for (weight, variable) in
            own.iter().map(|t| -sign * t).zip(self.nonbasic.iter().copied()).chain([(sign, variable)])
        {
            if variable >= n && weight != 0.0 {
                self.take(weight, variable, &mut sum);
                self.subtract(weight, variable - n, &mut rest, &mut size);
                terms += 1;
            }
        }
        self.close(sum, terms, &rest, &size) > 0.0
    }

    /// Of a program that no values meet: weights of the rows, in their order, by which Σ weight·row is above what the columns allow.
    pub(crate) fn infeasibility_weights(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows()];
        let Some(row) = self.proof else { return weights };
        let n = self.columns;
        let variable = self.basic[row];
        let own = &self.tableau[row * n..(row + 1) * n];
        let sign = if self.value[row] < self.lower[variable] { 1.0 } else { -1.0 };
        for (weight, variable) in
            own.iter().map(|t| -sign * t).zip(self.nonbasic.iter().copied()).chain([(sign, variable)])
        {
            if variable >= n {
                weights[variable - n] = weight;
            }
        }
        weights
    }

    /// Adds the least of weight·variable to (sum, size).
    fn take(&self, weight: f64, variable: usize, sum: &mut (f64, f64)) {
        let term = weight * if weight > 0.0 { self.lower[variable] } else { self.upper[variable] };
        sum.0 += term;
        sum.1 += term.abs();
    }

    fn subtract(&self, weight: f64, row: usize, rest: &mut [f64], size: &mut [f64]) {
        let own = &self.matrix[row * self.columns..(row + 1) * self.columns];
        for ((rest, size), a) in rest.iter_mut().zip(size).zip(own) {
            let part = weight * a;
            *rest -= part;
            *size += part.abs();
        }
    }

    /// The sum and the least of rest·x, rounded down; `size` bounds the terms that each of `rest` was made of.
    fn close(&self, mut sum: (f64, f64), terms: usize, rest: &[f64], size: &[f64]) -> f64 {
        let mut error = 0.0;
        for (j, (&rest, &size)) in rest.iter().zip(size).enumerate() {
            self.take(rest, j, &mut sum);
            error += size * self.lower[j].abs().max(self.upper[j].abs());
        }
        crate::rounding::down(sum.0, gamma(terms + self.columns) * (sum.1 + error))
    }
}
