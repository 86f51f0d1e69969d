//! Sums of products whose rounding errors are bounded, so that a bound stays one in floating point.
//!
//! A sum of n products, added in any order, is off by at most γₙ·Σ|aᵢ·bᵢ| with γₙ = n·u/(1 − n·u) and u = 2⁻⁵³ (Higham, Accuracy
//! and Stability of Numerical Algorithms, 2nd edition, 2002, section 3.1, DOI 10.1137/1.9780898718027).

/// An upper bound on γₙ for sums of `terms` products, twice as large as it must be so that the errors made in using it are
/// covered as well.
pub(crate) fn gamma(terms: usize) -> f64 {
    (terms as f64 + 4.0) * f64::EPSILON
}

/// `value` + `error` ≥ 0, rounded up.
pub(crate) fn up(value: f64, error: f64) -> f64 {
    (value + error).next_up()
}

/// `value` − `error`, `error` ≥ 0, rounded down.
pub(crate) fn down(value: f64, error: f64) -> f64 {
    (value - error).next_down()
}

/// Σ aᵢ·bᵢ.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
