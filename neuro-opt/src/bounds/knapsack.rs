use crate::{Domain, Error, InputSet, Result};

/// Cells that a capacity is divided into.
const CELLS: usize = 1 << 12;

/// Choices of one of several figures each, under one row: what whole-number inputs, or tables of them, add to a sum.
///
/// The maximum of Σⱼ valueⱼ\[kⱼ\] with Σⱼ weightⱼ\[kⱼ\] ≤ capacity is found by dynamic programming over the capacity in cells, each
/// weight rounded down: exact where all weights are multiples of a cell, an upper bound always (Kellerer, Pferschy, Pisinger,
/// Knapsack Problems, 2004, chapter 11, DOI 10.1007/978-3-540-24777-7).
///
/// ```
/// use neuro_opt::bounds::Knapsack;
///
/// // n₁ ∈ {0, 1, 2} of weight 2, n₂ ∈ {0, 1} of weight 3, capacity 5: at most one each, or two of the first.
/// let knapsack = Knapsack::new(vec![vec![0.0, 2.0, 4.0], vec![0.0, 3.0]], 5.0)?;
/// let best = knapsack.maximum(&[vec![0.0, 10.0, 12.0], vec![0.0, 7.0]]);
/// assert!((best - 17.0).abs() < 1e-9);
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Knapsack {
    /// Of each choice, in cells above its least.
    weights: Vec<Vec<usize>>,
    /// Cells left once every choice has its least weight.
    capacity: usize,
}

impl Knapsack {
    /// The knapsack of these weights, one a choice and figure, which must be finite.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRow`] for a figure that is not finite, [`Error::EmptyDomain`] if the least weights exceed the capacity or a
    /// choice has no figures.
    pub fn new(weights: Vec<Vec<f64>>, capacity: f64) -> Result<Self> {
        if let Some(&figure) = weights.iter().flatten().chain([&capacity]).find(|figure| !figure.is_finite()) {
            return Err(Error::InvalidRow { row: 0, figure });
        }
        let least: Vec<f64> =
            weights.iter().map(|weights| weights.iter().copied().fold(f64::INFINITY, f64::min)).collect();
        let size: f64 = weights.iter().flatten().map(|weight| weight.abs()).sum::<f64>() + capacity.abs();
        let error = crate::rounding::gamma(weights.len() + 1) * size;
        let room = capacity - least.iter().sum::<f64>() + error;
        if room.is_nan() || room < 0.0 {
            return Err(Error::EmptyDomain);
        }
        let above: Vec<Vec<f64>> = weights
            .iter()
            .zip(&least)
            .map(|(weights, least)| weights.iter().map(|weight| weight - least).collect())
            .collect();
        let cell = grid(&above, room);
        // A weight is at least this many cells, whatever rounding did.
        let down = |weight: f64| ((weight - error).max(0.0) / cell + 1e-6).floor() as usize;
        let weights = above.iter().map(|weights| weights.iter().map(|&weight| down(weight)).collect()).collect();
        Ok(Self { weights, capacity: ((room + error) / cell + 1e-6).floor() as usize })
    }

    /// The most that `values`, one a choice and figure as the weights, add up to; rounded up.
    ///
    /// # Panics
    ///
    /// If `values` has another shape than the weights.
    pub fn maximum(&self, values: &[Vec<f64>]) -> f64 {
        assert_eq!(values.len(), self.weights.len(), "one list a choice");
        let mut best = vec![0.0; self.capacity + 1];
        let mut size = 0.0;
        let mut next = vec![f64::NEG_INFINITY; self.capacity + 1];
        for (values, weights) in values.iter().zip(&self.weights) {
            assert_eq!(values.len(), weights.len(), "one value a figure");
            next.fill(f64::NEG_INFINITY);
            for (&value, &weight) in values.iter().zip(weights).filter(|(_, weight)| **weight <= self.capacity) {
                for (next, before) in next[weight..].iter_mut().zip(&best) {
                    *next = next.max(before + value);
                }
            }
            size += values.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
            std::mem::swap(&mut best, &mut next);
        }
        crate::rounding::up(best[self.capacity], crate::rounding::gamma(self.weights.len()) * size)
    }
}

/// The cell's size: a common divisor of all weights if there is one that leaves few enough cells, else the finest there may be.
fn grid(weights: &[Vec<f64>], room: f64) -> f64 {
    let finest = (room / CELLS as f64).max(f64::MIN_POSITIVE);
    let mut divisor = 0.0_f64;
    for &weight in weights.iter().flatten().filter(|weight| **weight > 0.0) {
        let (mut a, mut b) = (divisor.max(weight), divisor.min(weight));
        // Euclid's algorithm, with what rounding leaves taken as zero.
        while b > 1e-9 * weight.max(divisor) {
            let rest = a % b;
            let rest = if b - rest < 1e-9 * a { 0.0 } else { rest };
            (a, b) = (b, rest);
        }
        divisor = a;
    }
    if divisor > finest { divisor } else { finest.max(f64::MIN_POSITIVE) }
}

/// A domain whose inputs are all whole numbers, under its first row by dynamic programming and under the others as
/// [`Domain::maximum`] has it.
#[derive(Clone, Debug)]
pub struct IntegerDomain<'a> {
    domain: &'a Domain,
    knapsack: Knapsack,
}

impl<'a> IntegerDomain<'a> {
    /// `None` if `domain` has an input that is not whole, no row, or more than a million figures.
    ///
    /// # Errors
    ///
    /// Those of [`Knapsack::new`].
    pub fn new(domain: &'a Domain) -> Result<Option<Self>> {
        let Some(row) = domain.rows().first().filter(|_| domain.integer().iter().all(|integer| *integer)) else {
            return Ok(None);
        };
        let spans = domain.lower().iter().zip(domain.upper()).map(|(lower, upper)| upper - lower);
        if spans.sum::<f64>() > 1e6 {
            return Ok(None);
        }
        let weights = figures(domain, &row.coefficients);
        Ok(Some(Self { domain, knapsack: Knapsack::new(weights, row.upper)? }))
    }
}

/// a·n for every n of each input.
fn figures(domain: &Domain, a: &[f64]) -> Vec<Vec<f64>> {
    let inputs = a.iter().zip(domain.lower().iter().zip(domain.upper()));
    inputs.map(|(a, (&lower, &upper))| (lower as i64..=upper as i64).map(|n| a * n as f64).collect()).collect()
}

impl InputSet for IntegerDomain<'_> {
    fn lower(&self) -> &[f64] {
        self.domain.lower()
    }

    fn upper(&self) -> &[f64] {
        self.domain.upper()
    }

    fn maximum(&self, g: &[f64]) -> f64 {
        // Products are rounded: each by half an ulp of its size at most, which the sum's margin covers twice.
        self.knapsack.maximum(&figures(self.domain, g)).min(self.domain.maximum(g))
    }
}
