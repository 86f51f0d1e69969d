use neuro_profiler::network::Activation;

use crate::bounds::{lower_line, upper_line};
use crate::lp::{LpStatus, Simplex};
use crate::rounding::gamma;
use crate::split_form::{Affine, SplitForm};
use crate::{Domain, ReluPhase, Result};

/// How far a value may lie above a cut before it is added.
const VIOLATED: f64 = 1e-7;

/// The linear relaxation of a split form. Columns: inputs x, outputs y of split units. Rows: those of the domain; for each unit
///
/// - rᵢ = yᵢ − wᵢ·(x, y) ≥ bᵢ, that is yᵢ ≥ aᵢ, and rᵢ ≤ bᵢ − lᵢ, since yᵢ − aᵢ = max(0, −aᵢ);
/// - cuts yᵢ ≤ …, only where values violate them: the chord uᵢ·(aᵢ − lᵢ)/(uᵢ − lᵢ) or a facet of the unit's convex hull, with the
///   bounds known at that moment.
///
/// A phase is then a matter of bounds alone: inactive is yᵢ ≤ 0, active is rᵢ ≤ bᵢ.
#[derive(Clone, Debug)]
pub(crate) struct Relaxation {
    pub(crate) lp: Simplex,
    /// Rows of the domain.
    side_rows: usize,
    /// The unit of each cut.
    cuts: Vec<usize>,
    /// Which inputs are whole numbers.
    integer: Vec<bool>,
    /// Bounds on each unit's pre-activation.
    pub(crate) lower: Vec<f64>,
    pub(crate) upper: Vec<f64>,
}

impl Relaxation {
    pub(crate) fn new(form: &SplitForm, domain: &Domain) -> Result<Self> {
        Self::with_cutoff(form, domain, None)
    }

    /// The relaxation of those points only where an affine function is at most a value.
    pub(crate) fn with_cutoff(form: &SplitForm, domain: &Domain, cutoff: Option<(&Affine, f64)>) -> Result<Self> {
        let units = form.units.iter();
        let lower: Vec<f64> = domain.lower().iter().copied().chain(units.clone().map(|_| 0.0)).collect();
        let upper: Vec<f64> = domain.upper().iter().copied().chain(units.map(|unit| unit.upper)).collect();
        let mut lp = Simplex::new(&lower, &upper)?;
        for row in domain.rows() {
            lp.add_row(&row.coefficients, f64::NEG_INFINITY, row.upper);
        }
        if let Some((cost, value)) = cutoff {
            let error = cost.error + 4.0 * f64::EPSILON * (value.abs() + cost.constant.abs());
            lp.add_row(&cost.coefficients, f64::NEG_INFINITY, value - cost.constant + error);
        }
        let side_rows = lp.rows();
        let mut row = vec![0.0; form.columns()];
        for (index, unit) in form.units.iter().enumerate() {
            row.fill(0.0);
            row.iter_mut().zip(&unit.preactivation.coefficients).for_each(|(row, w)| *row = -w);
            row[form.inputs + index] = 1.0;
            let (b, error) = (unit.preactivation.constant, unit.preactivation.error);
            lp.add_row(&row, b - error, b + error - unit.lower);
        }
        Ok(Self {
            lp,
            side_rows,
            cuts: Vec::new(),
            integer: domain.integer().to_vec(),
            lower: form.units.iter().map(|unit| unit.lower).collect(),
            upper: form.units.iter().map(|unit| unit.upper).collect(),
        })
    }

    /// The variable yᵢ.
    pub(crate) fn output(&self, form: &SplitForm, unit: usize) -> usize {
        form.inputs + unit
    }

    /// The variable rᵢ.
    pub(crate) fn row(&self, unit: usize) -> usize {
        self.lp.row_variable(self.side_rows + unit)
    }

    /// The phase that the bounds leave.
    pub(crate) fn phase(&self, unit: usize) -> ReluPhase {
        if self.upper[unit] <= 0.0 {
            ReluPhase::Inactive
        } else if self.lower[unit] >= 0.0 {
            ReluPhase::Active
        } else {
            ReluPhase::Split
        }
    }

    /// Takes tighter bounds of a unit's pre-activation; false if none are left.
    pub(crate) fn tighten(&mut self, form: &SplitForm, unit: usize, lower: f64, upper: f64) -> bool {
        if lower > self.lower[unit] {
            self.lower[unit] = lower;
            let row = self.row(unit);
            let (b, error) = (form.units[unit].preactivation.constant, form.units[unit].preactivation.error);
            let limit = (b + error - lower.min(0.0)).max(self.lp.lower(row));
            if limit < self.lp.upper(row) {
                self.lp.set_bounds(row, self.lp.lower(row), limit);
            }
            let output = self.output(form, unit);
            if lower > self.lp.lower(output) && lower <= self.lp.upper(output) {
                self.lp.set_bounds(output, lower, self.lp.upper(output));
            }
        }
        if upper < self.upper[unit] {
            self.upper[unit] = upper;
            let output = self.output(form, unit);
            let limit = upper.max(0.0);
            if limit < self.lp.upper(output) {
                self.lp.set_bounds(output, self.lp.lower(output).min(limit), limit);
            }
        }
        // Bounds that miss each other by rounding are none that are left out.
        self.lower[unit] <= self.upper[unit] + 1e-9
    }

    /// Takes tighter bounds of an input; false if none are left.
    pub(crate) fn tighten_input(&mut self, input: usize, lower: f64, upper: f64) -> bool {
        let (old_lower, old_upper) = (self.lp.lower(input), self.lp.upper(input));
        let (lower, upper) =
            if self.integer[input] { ((lower - 1e-9).ceil(), (upper + 1e-9).floor()) } else { (lower, upper) };
        let (lower, upper) = (lower.max(old_lower), upper.min(old_upper));
        if lower > upper {
            return lower <= upper + 1e-9;
        }
        if lower > old_lower || upper < old_upper {
            self.lp.set_bounds(input, lower, upper);
        }
        true
    }

    /// Fixes the phase of a unit.
    pub(crate) fn fix(&mut self, form: &SplitForm, unit: usize, active: bool) -> bool {
        if active {
            self.tighten(form, unit, 0.0, f64::INFINITY)
        } else {
            self.tighten(form, unit, f64::NEG_INFINITY, 0.0)
        }
    }

    /// Takes the bounds of inputs and units through the rows: forwards to the pre-activations, and backwards to the inputs.
    /// False if something is empty.
    pub(crate) fn propagate(&mut self, form: &SplitForm) -> bool {
        for index in 0..form.units.len() {
            let a = &form.units[index].preactivation;
            let (mut least, mut most, mut size) = (a.constant, a.constant, a.constant.abs());
            for (j, &w) in a.coefficients.iter().enumerate() {
                let (x, y) = (w * self.lp.lower(j), w * self.lp.upper(j));
                least += x.min(y);
                most += x.max(y);
                size += x.abs().max(y.abs());
            }
            let error = a.error + gamma(a.coefficients.len()) * size;
            if !self.tighten(form, index, least - error, most + error) {
                return false;
            }
            // a ≥ l and a ≤ u back to the columns.
            let (lower, upper) = (self.lower[index], self.upper[index]);
            if least >= lower && most <= upper {
                continue;
            }
            for (j, &w) in a.coefficients.iter().enumerate().filter(|(_, w)| w.abs() > 1e-6) {
                let (x, y) = (w * self.lp.lower(j), w * self.lp.upper(j));
                // The others are at most this, at least that.
                let (above, below) = (most - x.max(y) + error, least - x.min(y) - error);
                let (low, high) = (lower - above, upper - below);
                let (low, high) = if w > 0.0 { (low / w, high / w) } else { (high / w, low / w) };
                let pad = 4.0 * f64::EPSILON * (low.abs() + high.abs());
                let (low, high) = (low - pad, high + pad);
                let kept = if j < form.inputs {
                    self.tighten_input(j, low, high)
                } else {
                    let unit = j - form.inputs;
                    // y ≥ low > 0 means a = y ≥ low.
                    let low = if low > 0.0 { low } else { f64::NEG_INFINITY };
                    high >= -1e-9 && self.tighten(form, unit, low, high.max(0.0))
                };
                if !kept {
                    return false;
                }
            }
        }
        true
    }

    /// Bounds on the pre-activations by going backwards through the units with lines drawn on the present bounds (CROWN), over
    /// the inputs' present box.
    pub(crate) fn crown(&mut self, form: &SplitForm) -> bool {
        let mut coefficients = vec![0.0; form.columns()];
        for index in 0..form.units.len() {
            if self.phase(index) != ReluPhase::Split
                || form.units[index].preactivation.coefficients.len() <= form.inputs
            {
                continue;
            }
            let lower = -self.backward(form, &form.units[index].preactivation, -1.0, &mut coefficients);
            let upper = self.backward(form, &form.units[index].preactivation, 1.0, &mut coefficients);
            if !self.tighten(form, index, lower, upper) {
                return false;
            }
        }
        true
    }

    /// An upper bound on sign·a.
    pub(crate) fn backward(&self, form: &SplitForm, a: &Affine, sign: f64, coefficients: &mut [f64]) -> f64 {
        coefficients.fill(0.0);
        coefficients.iter_mut().zip(&a.coefficients).for_each(|(c, w)| *c = sign * w);
        let (mut sum, mut size, mut error) = (sign * a.constant, a.constant.abs(), a.error);
        for k in (0..form.units.len().min(a.coefficients.len().saturating_sub(form.inputs))).rev() {
            let c = coefficients[form.inputs + k];
            if c == 0.0 {
                continue;
            }
            let unit = &form.units[k].preactivation;
            let (l, u) = (self.lower[k], self.upper[k]);
            let line = if c > 0.0 { upper_line(Activation::Relu, l, u) } else { lower_line(Activation::Relu, l, u) };
            sum += c * (line.intercept + line.slope * unit.constant);
            size += c.abs() * (line.intercept.abs() + (line.slope * unit.constant).abs() + l.abs() + u.abs());
            let slope = c * line.slope;
            if slope != 0.0 {
                coefficients.iter_mut().zip(&unit.coefficients).for_each(|(c, w)| *c += slope * w);
                error += slope.abs() * unit.error;
            }
        }
        for (j, &c) in coefficients[..form.inputs].iter().enumerate() {
            let (x, y) = (c * self.lp.lower(j), c * self.lp.upper(j));
            sum += x.max(y);
            size += x.abs().max(y.abs());
        }
        sum + error + gamma(2 * form.columns()) * 4.0 * size
    }

    /// The inputs at the present values.
    pub(crate) fn inputs(&self, form: &SplitForm) -> Vec<f64> {
        (0..form.inputs).map(|input| self.lp.value(input)).collect()
    }

    /// Units that are still split.
    pub(crate) fn split(&self) -> usize {
        (0..self.lower.len()).filter(|&unit| self.phase(unit) == ReluPhase::Split).count()
    }

    /// Whether a value that must be whole is not.
    pub(crate) fn is_fractional(&self, input: usize) -> bool {
        self.integer[input] && (self.lp.value(input) - self.lp.value(input).round()).abs() > 1e-6
    }

    /// The value of a unit's pre-activation at the present values.
    pub(crate) fn preactivation(&self, form: &SplitForm, unit: usize) -> f64 {
        let row = self.lp.value(self.row(unit));
        self.lp.value(self.output(form, unit)) - row + form.units[unit].preactivation.constant
    }

    /// How far a unit's output lies above max(0, a) at the present values.
    pub(crate) fn violation(&self, form: &SplitForm, unit: usize) -> f64 {
        self.lp.value(self.output(form, unit)) - self.preactivation(form, unit).max(0.0)
    }

    /// Drops cuts that do not bind, adds those that the values violate, and says how many.
    pub(crate) fn cut(&mut self, form: &SplitForm) -> usize {
        let first = self.side_rows + form.units.len();
        let mut cut = 0;
        while cut < self.cuts.len() {
            let variable = self.lp.row_variable(first + cut);
            if self.lp.is_basic(variable) && self.lp.value(variable) < self.lp.upper(variable) - 1e-6 {
                self.lp.remove_row(variable);
                self.cuts.swap_remove(cut);
            } else {
                cut += 1;
            }
        }
        let mut added = 0;
        let mut row = vec![0.0; form.columns()];
        for unit in 0..form.units.len() {
            if self.phase(unit) != ReluPhase::Split {
                continue;
            }
            let preactivation = &form.units[unit].preactivation;
            let line = upper_line(Activation::Relu, self.lower[unit], self.upper[unit]);
            let y = self.lp.value(self.output(form, unit));
            let a = self.preactivation(form, unit);
            let mut worst = y - line.slope * a - line.intercept;
            let mut right = f64::INFINITY;
            row.fill(0.0);
            if worst > VIOLATED {
                row.iter_mut().zip(&preactivation.coefficients).for_each(|(row, w)| *row = -line.slope * w);
                let largest = self.lower[unit].abs() + self.upper[unit];
                right = line.slope * preactivation.constant + line.intercept;
                right += preactivation.error + 4.0 * f64::EPSILON * (preactivation.constant.abs() + largest);
            }
            if let Some((hull, hull_right, violation)) = self.hull(form, unit, y)
                && violation > worst.max(1e-4)
            {
                worst = violation;
                row.fill(0.0);
                row[..hull.len()].copy_from_slice(&hull);
                right = hull_right;
            }
            if worst > VIOLATED {
                row[form.inputs + unit] = 1.0;
                self.lp.add_row(&row, f64::NEG_INFINITY, right);
                self.cuts.push(unit);
                added += 1;
            }
        }
        added
    }

    /// The facet of the convex hull of {(v, max(0, w·v + b))} over the box of the columns v that the values violate most, as
    /// y + row·v ≤ right, and the violation.
    ///
    /// With L̆ the end of a column's interval that makes w·v small, Ŭ the other, and ℓ(I) = b + Σ over I of w·L̆ + Σ over the others
    /// of w·Ŭ: for I and h with ℓ(I) ≥ 0 > ℓ(I ∪ {h}), y ≤ Σ over I of w·(v − L̆) + ℓ(I)·(v_h − L̆_h)/(Ŭ_h − L̆_h). The most violated
    /// one takes the columns in ascending (v − L̆)/(Ŭ − L̆) (Tjandraatmadja, Anderson, Huchette, Ma, Patel, Vielma, The Convex
    /// Relaxation Barrier, Revisited, NeurIPS 2020, arXiv:2006.14076).
    fn hull(&self, form: &SplitForm, unit: usize, y: f64) -> Option<(Vec<f64>, f64, f64)> {
        let a = &form.units[unit].preactivation;
        let mut order: Vec<(f64, usize)> = Vec::with_capacity(a.coefficients.len());
        let (mut ell, mut size) = (a.constant, a.constant.abs() + a.error);
        for (j, &w) in a.coefficients.iter().enumerate() {
            let (l, u) = (self.lp.lower(j), self.lp.upper(j));
            ell += (w * l).max(w * u);
            size += w.abs() * l.abs().max(u.abs());
            if w != 0.0 && u > l {
                let v = self.lp.value(j);
                order.push((if w > 0.0 { (v - l) / (u - l) } else { (u - v) / (u - l) }, j));
            }
        }
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut row = vec![0.0; a.coefficients.len()];
        let (mut right, mut value) = (0.0, 0.0);
        // Columns that cannot move are constants within ell.
        for (share, j) in order {
            let (w, l, u) = (a.coefficients[j], self.lp.lower(j), self.lp.upper(j));
            let (small, span) = (if w > 0.0 { l } else { u }, w.abs() * (u - l));
            if ell - span < 0.0 {
                // h
                let slope = (ell.max(0.0)) / span * w;
                row[j] = -slope;
                right -= slope * small;
                value += slope.abs() * (u - l) * share;
                let error = gamma(4 * row.len()) * 4.0 * size + a.error;
                return Some((row, right + error, y - value));
            }
            ell -= span;
            row[j] = -w;
            right -= w * small;
            value += span * share;
        }
        None
    }

    /// The cuts: coefficients of the columns and the right-hand side of ≤.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = (&[f64], f64)> {
        let first = self.side_rows + self.lower.len();
        (first..self.lp.rows()).map(|row| (self.lp.coefficients(row), self.lp.upper(self.lp.row_variable(row))))
    }

    /// Solves and cuts until the bound stops moving.
    pub(crate) fn solve(&mut self, form: &SplitForm, cutoff: f64, rounds: usize) -> LpStatus {
        let mut status = self.lp.solve(cutoff);
        for _ in 0..rounds {
            if status != LpStatus::Optimal || self.cut(form) == 0 {
                break;
            }
            status = self.lp.solve(cutoff);
        }
        status
    }

    /// Tightens by the objective: where the minimum of the relaxation is z, moving a variable off its bound by δ costs at least
    /// its weight times δ, and nothing above `cutoff` is wanted.
    pub(crate) fn tighten_by_cost(&mut self, form: &SplitForm, bound: f64, weights: &[f64], cutoff: f64) -> bool {
        let gap = cutoff - bound;
        if !gap.is_finite() || gap < 0.0 {
            return true;
        }
        for unit in 0..form.units.len() {
            if self.phase(unit) != ReluPhase::Split {
                continue;
            }
            let (output, row) = (self.output(form, unit), self.row(unit));
            let reach = |weight: f64| gap / weight * (1.0 + 1e-9) + 1e-12;
            let mut upper = f64::INFINITY;
            let mut lower = f64::NEG_INFINITY;
            // y − its lower bound ≤ gap/weight.
            if weights[output] > 0.0 {
                upper = self.lp.lower(output) + reach(weights[output]);
            } else if weights[output] < 0.0 {
                // y ≥ upper − gap/|weight|; above 0 it says that the unit is active.
                let least = self.lp.upper(output) - reach(-weights[output]);
                if least > 0.0 {
                    lower = least;
                }
            }
            // r − its lower bound = max(0, −a) ≤ gap/weight.
            if weights[row] > 0.0 {
                lower = lower.max(-reach(weights[row]) - 2.0 * form.units[unit].preactivation.error);
            } else if weights[row] < 0.0 {
                let least = self.lp.upper(row)
                    - reach(-weights[row])
                    - form.units[unit].preactivation.constant
                    - form.units[unit].preactivation.error;
                if least > 0.0 {
                    upper = upper.min(-least);
                }
            }
            if !self.tighten(form, unit, lower, upper) {
                return false;
            }
        }
        for (input, &weight) in weights.iter().enumerate().take(form.inputs) {
            let reach = gap / weight.abs() * (1.0 + 1e-9) + 1e-12;
            let kept = if weight > 0.0 {
                self.tighten_input(input, f64::NEG_INFINITY, self.lp.lower(input) + reach)
            } else if weight < 0.0 {
                self.tighten_input(input, self.lp.upper(input) - reach, f64::INFINITY)
            } else {
                true
            };
            if !kept {
                return false;
            }
        }
        true
    }
}
