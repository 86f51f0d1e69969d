//! Big-M with bounds of each unit's own.

use crate::model::{Linear, Model, Variable};
use crate::{Error, Result};

/// Adds y ≥ a, y ≤ a − l·(1 − z), y ≤ u·z, 0 ≤ y ≤ u, z ∈ {0, 1} and returns y and z.
///
/// (Tjeng, Xiao, Tedrake, Evaluating Robustness of Neural Networks with Mixed Integer Programming, ICLR 2019, arXiv:1711.07356.)
///
/// # Errors
///
/// [`Error::InvalidBounds`] unless l < 0 < u, both finite.
pub fn add(model: &mut Model, name: &str, a: &Linear, l: f64, u: f64) -> Result<(Variable, Variable)> {
    if !(l < 0.0 && u > 0.0 && l.is_finite() && u.is_finite()) {
        return Err(Error::InvalidBounds { lower: l, upper: u });
    }
    let y = model.continuous(format!("{name}_y"), 0.0, u)?;
    let z = model.binary(format!("{name}_z"))?;
    model.add((y - a.clone()).at_least(0.0))?;
    model.add((y - a.clone() - l * z).at_most(-l))?;
    model.add((y - u * z).at_most(0.0))?;
    Ok((y, z))
}
