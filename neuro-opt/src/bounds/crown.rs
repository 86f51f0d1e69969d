use neuro_profiler::network::{Dense, Network};

use super::interval::affine_image;
use super::{LayerBounds, Line, NetworkBounds, image, lower_line, upper_line};
use crate::rounding::gamma;
use crate::{Error, InputSet, Result};

/// CROWN bounds on every layer: each unit is bounded by linear functions of the input, found by going backwards through the
/// network, and these by their extremes over `inputs`, rows included.
///
/// # Errors
///
/// Those of [`interval`](super::interval).
///
/// # References
///
/// Zhang, Weng, Chen, Hsieh, Daniel, Efficient Neural Network Robustness Certification with General Activation Functions,
/// NeurIPS 2018, arXiv:1811.00866.
pub fn crown(network: &Network, inputs: &dyn InputSet) -> Result<NetworkBounds> {
    Ok(Crown::new(network, inputs)?.into_bounds())
}

/// CROWN bounds of a network on a set of inputs, kept to bound further functions of its outputs.
#[derive(Clone)]
pub struct Crown<'a> {
    network: &'a Network,
    inputs: &'a dyn InputSet,
    relaxed: Vec<RelaxedLayer>,
    bounds: NetworkBounds,
}

/// One layer with a line below and one above each unit's activation.
#[derive(Clone, Debug)]
struct RelaxedLayer {
    /// Line below and line above.
    lines: Vec<(Line, Line)>,
    /// Σⱼ |Wᵢⱼ|·max |yⱼ| + |bᵢ| + the size of the lines: an upper bound on any figure that comes up in unit i.
    size: Vec<f64>,
}

/// Linear functions of a layer's outputs or of the input, each coefficients·y + constant ± error.
struct Backward {
    coefficients: Vec<Vec<f64>>,
    constant: Vec<f64>,
    error: Vec<f64>,
}

impl<'a> Crown<'a> {
    /// Bounds every layer of `network` on `inputs`.
    ///
    /// # Errors
    ///
    /// Those of [`interval`](super::interval).
    pub fn new(network: &'a Network, inputs: &'a dyn InputSet) -> Result<Self> {
        Self::within(network, inputs, None)
    }

    /// The same where `known` bounds hold as well: lines are drawn on the tighter of both.
    ///
    /// # Errors
    ///
    /// Those of [`interval`](super::interval).
    pub fn within(network: &'a Network, inputs: &'a dyn InputSet, known: Option<&NetworkBounds>) -> Result<Self> {
        if inputs.lower().len() != network.inputs() {
            return Err(Error::InputLength { found: inputs.lower().len(), needed: network.inputs() });
        }
        let layers = network.layers();
        if let Some(known) = known.filter(|known| known.layers.len() != layers.len()) {
            return Err(Error::InputLength { found: known.layers.len(), needed: layers.len() });
        }
        let mut crown = Self {
            network,
            inputs,
            relaxed: Vec::with_capacity(layers.len()),
            bounds: NetworkBounds { layers: Vec::with_capacity(layers.len()) },
        };
        let (mut lower, mut upper) = (inputs.lower().to_vec(), inputs.upper().to_vec());
        for (index, layer) in layers.iter().enumerate() {
            let mut bounds = affine_image(layer, &lower, &upper);
            if let Some(known) = known {
                bounds.intersect(&known.layers[index]);
            }
            if let Some(unit) =
                (0..bounds.units()).find(|&i| !(bounds.lower[i].is_finite() && bounds.upper[i].is_finite()))
            {
                return Err(Error::Overflow {
                    layer: index,
                    unit,
                    lower: bounds.lower[unit],
                    upper: bounds.upper[unit],
                });
            }
            crown.tighten(layer, &mut bounds);
            crown.relaxed.push(RelaxedLayer::new(layer, &bounds, &lower, &upper));
            (lower, upper) =
                bounds.lower.iter().zip(&bounds.upper).map(|(&l, &u)| image(layer.activation(), l, u)).unzip();
            crown.bounds.layers.push(bounds);
        }
        Ok(crown)
    }

    /// The bounds.
    pub fn bounds(&self) -> &NetworkBounds {
        &self.bounds
    }

    /// The bounds, without the network they are of.
    pub fn into_bounds(self) -> NetworkBounds {
        self.bounds
    }

    /// Linear bounds on w·f(x): (lower coefficients, constant) and (upper coefficients, constant), the constants rounded so that
    /// the functions are bounds on the whole box.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `w` has another length than the network has outputs.
    pub fn output_lines(&self, w: &[f64]) -> Result<[(Vec<f64>, f64); 2]> {
        if w.len() != self.network.outputs() {
            return Err(Error::InputLength { found: w.len(), needed: self.network.outputs() });
        }
        let lower = self.backward(vec![w.to_vec()], vec![0.0], false);
        let upper = self.backward(vec![w.to_vec()], vec![0.0], true);
        let take = |mut lines: Backward, sign: f64| {
            let coefficients = lines.coefficients.swap_remove(0);
            (coefficients, lines.constant[0] + sign * lines.error[0])
        };
        Ok([take(lower, -1.0), take(upper, 1.0)])
    }

    /// Bounds on w·f(x).
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `w` has another length than the network has outputs.
    pub fn output(&self, w: &[f64]) -> Result<(f64, f64)> {
        let [(a, lower), (b, upper)] = self.output_lines(w)?;
        let negated: Vec<f64> = a.iter().map(|a| -a).collect();
        Ok(((lower - self.inputs.maximum(&negated)).next_down(), (upper + self.inputs.maximum(&b)).next_up()))
    }

    /// Tightens the bounds of the layer that comes next.
    fn tighten(&self, layer: &Dense, bounds: &mut LayerBounds) {
        // What is fixed already gains nothing but smaller figures; it is bounded all the same, since lines use them.
        let rows: Vec<Vec<f64>> = layer.weights().outer_iter().map(|row| row.to_vec()).collect();
        let bias = layer.bias().to_vec();
        let lower = self.backward(rows.clone(), bias.clone(), false);
        let upper = self.backward(rows, bias, true);
        let mut negated = vec![0.0; self.network.inputs()];
        for unit in 0..bounds.units() {
            negated.iter_mut().zip(&lower.coefficients[unit]).for_each(|(n, c)| *n = -c);
            let least = lower.constant[unit] - self.inputs.maximum(&negated) - lower.error[unit];
            let most = upper.constant[unit] + self.inputs.maximum(&upper.coefficients[unit]) + upper.error[unit];
            bounds.tighten(unit, least.next_down(), most.next_up());
        }
    }

    /// Functions of the outputs of the last relaxed layer as bounds from below or above in terms of the input.
    fn backward(&self, coefficients: Vec<Vec<f64>>, constant: Vec<f64>, above: bool) -> Backward {
        let error = vec![0.0; constant.len()];
        let mut lines = Backward { coefficients, constant, error };
        for (layer, relaxed) in self.network.layers().iter().zip(&self.relaxed).rev() {
            lines.through(layer, relaxed, above);
        }
        // What rounding did to the first product, W₀·x, was counted with the layer's size.
        lines
    }
}

impl RelaxedLayer {
    /// `lower` and `upper`: the box of the layer's inputs.
    fn new(layer: &Dense, bounds: &LayerBounds, lower: &[f64], upper: &[f64]) -> Self {
        let lines = bounds.lower.iter().zip(&bounds.upper);
        let lines: Vec<(Line, Line)> = lines
            .map(|(&l, &u)| (lower_line(layer.activation(), l, u), upper_line(layer.activation(), l, u)))
            .collect();
        let largest: Vec<f64> = lower.iter().zip(upper).map(|(l, u)| l.abs().max(u.abs())).collect();
        let size =
            layer.weights().outer_iter().zip(layer.bias()).zip(&lines).map(|((weights, bias), (below, above))| {
                let sum: f64 = weights.iter().zip(&largest).map(|(w, x)| w.abs() * x).sum::<f64>() + bias.abs();
                let slope = below.slope.abs().max(above.slope.abs()).max(1.0);
                sum * slope + below.intercept.abs().max(above.intercept.abs())
            });
        Self { size: size.collect(), lines }
    }
}

impl Backward {
    /// From functions of the outputs of `layer` to functions of its inputs.
    fn through(&mut self, layer: &Dense, relaxed: &RelaxedLayer, above: bool) {
        let gamma = gamma(layer.inputs() + layer.outputs() + 4);
        for ((coefficients, constant), error) in
            self.coefficients.iter_mut().zip(&mut self.constant).zip(&mut self.error)
        {
            let mut before = vec![0.0; layer.inputs()];
            let mut size = constant.abs();
            for (unit, (&c, weights)) in coefficients.iter().zip(layer.weights().outer_iter()).enumerate() {
                if c == 0.0 {
                    continue;
                }
                let (below, over) = relaxed.lines[unit];
                let line = if (c > 0.0) == above { over } else { below };
                size += c.abs() * relaxed.size[unit];
                *constant += c * line.intercept;
                let c = c * line.slope;
                if c != 0.0 {
                    *constant += c * layer.bias()[unit];
                    before.iter_mut().zip(weights).for_each(|(before, w)| *before += c * w);
                }
            }
            *error += gamma * size;
            *coefficients = before;
        }
    }
}
