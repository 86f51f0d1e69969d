use neuro_profiler::network::Network;

use super::{LayerBounds, NetworkBounds, image};
use crate::rounding::{down, gamma, up};
use crate::{Domain, Error, Result};

/// Interval bounds: each unit as if the units before it were independent, rounded outwards.
///
/// With M the mid-points and R the radii of a layer's inputs, W·x + b lies in W·M + b ± |W|·R (Moore, Interval Analysis, 1966).
///
/// # Errors
///
/// [`Error::InputLength`] if the domain has another number of inputs than the network, [`Error::Overflow`] if a bound is not
/// finite.
pub fn interval(network: &Network, domain: &Domain) -> Result<NetworkBounds> {
    if domain.inputs() != network.inputs() {
        return Err(Error::InputLength { found: domain.inputs(), needed: network.inputs() });
    }
    let (mut lower, mut upper) = (domain.lower().to_vec(), domain.upper().to_vec());
    let mut layers = Vec::with_capacity(network.layers().len());
    for (index, layer) in network.layers().iter().enumerate() {
        let bounds = affine_image(layer, &lower, &upper);
        let unit =
            (0..bounds.units()).find(|&unit| !(bounds.lower[unit].is_finite() && bounds.upper[unit].is_finite()));
        if let Some(unit) = unit {
            return Err(Error::Overflow { layer: index, unit, lower: bounds.lower[unit], upper: bounds.upper[unit] });
        }
        (lower, upper) = bounds.lower.iter().zip(&bounds.upper).map(|(&l, &u)| image(layer.activation(), l, u)).unzip();
        layers.push(bounds);
    }
    Ok(NetworkBounds { layers })
}

/// The box that W·x + b lies in for x in a box.
pub(super) fn affine_image(layer: &neuro_profiler::network::Dense, lower: &[f64], upper: &[f64]) -> LayerBounds {
    let mut bounds = LayerBounds { lower: Vec::new(), upper: Vec::new() };
    for (weights, &bias) in layer.weights().outer_iter().zip(layer.bias()) {
        let (mut least, mut most, mut size) = (bias, bias, bias.abs());
        for ((&w, &l), &u) in weights.iter().zip(lower).zip(upper) {
            if w == 0.0 {
                continue;
            }
            let (a, b) = if w > 0.0 { (w * l, w * u) } else { (w * u, w * l) };
            least += a;
            most += b;
            size += a.abs().max(b.abs());
        }
        let error = gamma(weights.len() + 1) * size;
        bounds.lower.push(down(least, error));
        bounds.upper.push(up(most, error));
    }
    bounds
}
