//! The epigraph y ≥ max(0, a): enough where a larger y can only make things worse.

use neuro_profiler::network::{Activation, Network};

use crate::bounds::NetworkBounds;
use crate::model::{Linear, Model, Variable};
use crate::{ReluPhase, Result};

/// Adds y ≥ a, 0 ≤ y ≤ u and returns y.
///
/// # Errors
///
/// [`Error::InvalidBounds`](crate::Error::InvalidBounds) for a negative or NaN u.
pub fn add(model: &mut Model, name: &str, a: &Linear, u: f64) -> Result<Variable> {
    let y = model.continuous(format!("{name}_y"), 0.0, u)?;
    model.add((y - a.clone()).at_least(0.0))?;
    Ok(y)
}

/// For every layer and unit, whether no point gets better by a larger output of it: whether the derivative of Σ wₖ·fₖ, which is
/// minimised or limited from above, by that output is at least 0 whatever the units after it do.
///
/// The derivative's range comes from going backwards: through a layer with weights W, from dᵢ ∈ [d̲, d̄] after the activation to
/// aᵢ = dᵢ·pᵢ with pᵢ ∈ {0} if inactive, {1} if active, [0, 1] if split, and to Σᵢ Wᵢⱼ·aᵢ before the layer.
pub fn useless_above(network: &Network, bounds: &NetworkBounds, w: &[f64]) -> Vec<Vec<bool>> {
    let mut range: Vec<(f64, f64)> = w.iter().map(|w| (*w, *w)).collect();
    let mut useless = Vec::with_capacity(network.layers().len());
    for (index, layer) in network.layers().iter().enumerate().rev() {
        useless.push(range.iter().map(|(least, _)| *least >= 0.0).collect());
        let through: Vec<(f64, f64)> = range
            .iter()
            .enumerate()
            .map(|(unit, &(least, most))| match layer.activation() {
                Activation::Relu => match bounds.phase(index, unit) {
                    ReluPhase::Inactive => (0.0, 0.0),
                    ReluPhase::Active => (least, most),
                    ReluPhase::Split => (least.min(0.0), most.max(0.0)),
                },
                _ => (least, most),
            })
            .collect();
        range = (0..layer.inputs())
            .map(|input| {
                let column = layer.weights().column(input);
                column.iter().zip(&through).fold((0.0, 0.0), |(low, high), (w, (least, most))| {
                    (low + (w * least).min(w * most), high + (w * least).max(w * most))
                })
            })
            .collect();
    }
    useless.reverse();
    useless
}
