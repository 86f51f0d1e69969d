use serde::{Deserialize, Serialize};

use crate::rounding::{gamma, up};
use crate::{Error, Result};

/// A row a·x ≤ b over the inputs of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputRow {
    /// a, one figure an input.
    pub coefficients: Vec<f64>,
    /// b.
    pub upper: f64,
}

/// Where the input x of a network may lie: a box, rows over it, and inputs that are whole numbers.
///
/// ```
/// use neuro_opt::Domain;
///
/// let domain = Domain::new(vec![0.0, 0.0], vec![4.0, 4.0])?.with_row(vec![1.0, 2.0], 5.0)?;
/// // max x₁ + x₂ is at (4, 0.5).
/// assert!((domain.maximum(&[1.0, 1.0]) - 4.5).abs() < 1e-12);
/// assert!(domain.contains(&[4.0, 0.5], 0.0) && !domain.contains(&[4.0, 1.0], 1e-9));
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    lower: Vec<f64>,
    upper: Vec<f64>,
    rows: Vec<InputRow>,
    integer: Vec<bool>,
}

impl Domain {
    /// The box `lower` ≤ x ≤ `upper`. Its sides may be infinite; most methods ask for finite ones.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if the two have different lengths, [`Error::InvalidInputBounds`] for a side that holds no number.
    pub fn new(lower: Vec<f64>, upper: Vec<f64>) -> Result<Self> {
        if lower.len() != upper.len() {
            return Err(Error::InputLength { found: upper.len(), needed: lower.len() });
        }
        for (input, (&lower, &upper)) in lower.iter().zip(&upper).enumerate() {
            if !(lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY) {
                return Err(Error::InvalidInputBounds { input, lower, upper });
            }
        }
        let integer = vec![false; lower.len()];
        Ok(Self { lower, upper, rows: Vec::new(), integer })
    }

    /// With the row `coefficients`·x ≤ `upper`.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of coefficients than inputs, [`Error::InvalidRow`] for a coefficient that is
    /// not finite or a right-hand side that is NaN or −∞.
    pub fn with_row(mut self, coefficients: Vec<f64>, upper: f64) -> Result<Self> {
        if coefficients.len() != self.inputs() {
            return Err(Error::InputLength { found: coefficients.len(), needed: self.inputs() });
        }
        let bad = coefficients.iter().copied().find(|figure| !figure.is_finite());
        if let Some(figure) = bad.or_else(|| (upper.is_nan() || upper == f64::NEG_INFINITY).then_some(upper)) {
            return Err(Error::InvalidRow { row: self.rows.len(), figure });
        }
        if upper < f64::INFINITY {
            self.rows.push(InputRow { coefficients, upper });
        }
        Ok(self)
    }

    /// With whole numbers only for these inputs; their bounds are rounded inwards.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownInput`] for a position that is no input, [`Error::InvalidInputBounds`] if no whole number lies between
    /// the bounds of one.
    pub fn with_integers(mut self, inputs: impl IntoIterator<Item = usize>) -> Result<Self> {
        for input in inputs {
            if input >= self.inputs() {
                return Err(Error::UnknownInput { input, inputs: self.inputs() });
            }
            let (lower, upper) = (self.lower[input].ceil(), self.upper[input].floor());
            if lower > upper {
                let (lower, upper) = (self.lower[input], self.upper[input]);
                return Err(Error::InvalidInputBounds { input, lower, upper });
            }
            (self.lower[input], self.upper[input], self.integer[input]) = (lower, upper, true);
        }
        Ok(self)
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.lower.len()
    }

    /// Lower bound of each input.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// Upper bound of each input.
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// The rows.
    pub fn rows(&self) -> &[InputRow] {
        &self.rows
    }

    /// Which inputs are whole numbers.
    pub fn integer(&self) -> &[bool] {
        &self.integer
    }

    /// The box alone, without rows.
    pub fn without_rows(&self) -> Self {
        Self { rows: Vec::new(), ..self.clone() }
    }

    /// Whether `x` lies in it: bounds and rows are met to within `tolerance` × max(1, size of the terms), integers exactly.
    pub fn contains(&self, x: &[f64], tolerance: f64) -> bool {
        x.len() == self.inputs()
            && x.iter().zip(self.lower.iter().zip(&self.upper)).all(|(&x, (&lower, &upper))| {
                let slack = tolerance * x.abs().max(1.0);
                lower - slack <= x && x <= upper + slack
            })
            && x.iter().zip(&self.integer).all(|(x, integer)| !integer || x.fract() == 0.0)
            && self.rows.iter().all(|row| {
                let (sum, size) = sum_and_size(&row.coefficients, x);
                sum <= row.upper + tolerance * size.max(1.0)
            })
    }

    /// The inputs' bounds as far as the rows tighten them, over and over until nothing changes much; `None` if a row excludes
    /// the whole box, so that the domain is empty.
    pub fn propagated(&self) -> Option<Self> {
        let mut tight = self.clone();
        for _ in 0..10 {
            let mut changed = false;
            for row in &self.rows {
                let terms = || row.coefficients.iter().enumerate().filter(|(_, a)| **a != 0.0);
                let (least, size): (f64, f64) = terms()
                    .map(|(j, &a)| if a > 0.0 { a * tight.lower[j] } else { a * tight.upper[j] })
                    .fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                let error = gamma(self.inputs()) * (size + row.upper.abs());
                if least > row.upper + error {
                    return None;
                }
                for (j, &a) in terms() {
                    // a·x ≤ b − the least the others can be
                    let own = if a > 0.0 { a * tight.lower[j] } else { a * tight.upper[j] };
                    let room = if own.is_finite() {
                        row.upper - (least - own)
                    } else {
                        // The others alone; infinite if there is another infinite one.
                        let others = terms().filter(|(k, _)| *k != j);
                        row.upper
                            - others
                                .map(|(k, &a)| if a > 0.0 { a * tight.lower[k] } else { a * tight.upper[k] })
                                .sum::<f64>()
                    };
                    let limit = room / a;
                    // `least − own` cancels: its error is relative to the terms, not to itself.
                    let error = (2.0 * error + 4.0 * f64::EPSILON * room.abs()) / a.abs();
                    if !limit.is_finite() || !error.is_finite() {
                        continue;
                    }
                    let whole = |x: f64, round: fn(f64) -> f64| if self.integer[j] { round(x) } else { x };
                    if a > 0.0 && limit + error < tight.upper[j] {
                        let limit = whole(limit + error, f64::floor);
                        changed |= tight.upper[j] - limit > 1e-3 * (tight.upper[j] - tight.lower[j]);
                        tight.upper[j] = limit;
                    } else if a < 0.0 && limit - error > tight.lower[j] {
                        let limit = whole(limit - error, f64::ceil);
                        changed |= limit - tight.lower[j] > 1e-3 * (tight.upper[j] - tight.lower[j]);
                        tight.lower[j] = limit;
                    }
                    if tight.lower[j] > tight.upper[j] {
                        return None;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        Some(tight)
    }

    /// An upper bound on g·x over the box and each row by itself, rounding covered: the least over the rows of the exact maximum
    /// over the box and that row, integers taken as continuous. Infinite where nothing limits it.
    ///
    /// For one row a·x ≤ b the maximum is min over λ ≥ 0 of λ·b + Σⱼ max over xⱼ of (gⱼ − λ·aⱼ)·xⱼ, a convex function that is
    /// linear between the λ = gⱼ/aⱼ (the fractional knapsack of Dantzig, Discrete-Variable Extremum Problems, Operations
    /// Research, 1957, DOI 10.1287/opre.5.2.266). Each λ gives a valid bound, so rounding in finding it does no harm.
    ///
    /// # Panics
    ///
    /// If `g` has another length than there are inputs.
    pub fn maximum(&self, g: &[f64]) -> f64 {
        assert_eq!(g.len(), self.inputs(), "one figure an input");
        let over_box = self.lagrangian(g, None);
        self.rows.iter().map(|row| self.maximum_under(g, row)).fold(over_box, f64::min)
    }

    /// λ·b + max over the box of (g − λ·a)·x, rounded up.
    fn lagrangian(&self, g: &[f64], row: Option<(&InputRow, f64)>) -> f64 {
        let (mut sum, mut size) =
            row.map_or((0.0, 0.0), |(row, lambda)| (lambda * row.upper, (lambda * row.upper).abs()));
        for (j, &g) in g.iter().enumerate() {
            let slope = row.map_or(g, |(row, lambda)| g - lambda * row.coefficients[j]);
            let term = if slope == 0.0 { 0.0 } else { slope * if slope > 0.0 { self.upper[j] } else { self.lower[j] } };
            sum += term;
            size += match row {
                None => term.abs(),
                // The slope is rounded, too, whatever is left of it.
                Some(_) if g == 0.0 && slope == 0.0 => 0.0,
                Some(_) => (g.abs() + (g - slope).abs()) * self.lower[j].abs().max(self.upper[j].abs()),
            };
        }
        if size.is_finite() { up(sum, gamma(self.inputs() + 2) * size) } else { f64::INFINITY }
    }

    fn maximum_under(&self, g: &[f64], row: &InputRow) -> f64 {
        // Going from λ = 0 upwards, the slope of the dual function, b − a·x(λ), rises at each λ = gⱼ/aⱼ > 0 by |aⱼ|·(uⱼ − lⱼ);
        // the minimum is where it passes zero.
        let mut slope = row.upper;
        let mut breaks = Vec::with_capacity(g.len());
        for (j, (&g, &a)) in g.iter().zip(&row.coefficients).enumerate() {
            if a == 0.0 {
                continue;
            }
            // Just right of λ = 0.
            let at_upper = g > 0.0 || (g == 0.0 && a < 0.0);
            slope -= a * if at_upper { self.upper[j] } else { self.lower[j] };
            if g / a > 0.0 {
                breaks.push((g / a, a.abs() * (self.upper[j] - self.lower[j])));
            }
        }
        if slope >= 0.0 || slope.is_nan() {
            return f64::INFINITY;
        }
        breaks.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (lambda, rise) in breaks {
            slope += rise;
            if slope >= 0.0 {
                return self.lagrangian(g, Some((row, lambda)));
            }
        }
        // The row excludes the box: any bound is valid, and other methods say so.
        f64::INFINITY
    }
}

fn sum_and_size(a: &[f64], x: &[f64]) -> (f64, f64) {
    a.iter().zip(x).map(|(a, x)| a * x).fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}
