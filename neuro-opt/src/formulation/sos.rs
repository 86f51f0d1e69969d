//! Special ordered sets of type 1: no big-M in the rows, and the solver branches on the set.

use crate::model::{Linear, Model, Variable};
use crate::{Error, Result};

/// Adds y − s = a, 0 ≤ y ≤ u, 0 ≤ s ≤ −l, SOS1 {y, s} and returns y and s.
///
/// # Errors
///
/// [`Error::InvalidBounds`] unless l < 0 < u, both finite.
pub fn add(model: &mut Model, name: &str, a: &Linear, l: f64, u: f64) -> Result<(Variable, Variable)> {
    if !(l < 0.0 && u > 0.0 && l.is_finite() && u.is_finite()) {
        return Err(Error::InvalidBounds { lower: l, upper: u });
    }
    let y = model.continuous(format!("{name}_y"), 0.0, u)?;
    let s = model.continuous(format!("{name}_s"), 0.0, -l)?;
    model.add((y - s - a.clone()).equals(0.0))?;
    model.add_sos1(vec![y, s])?;
    Ok((y, s))
}
