//! A feed-forward network in training: single precision, many rows at once, with its backward pass.

use std::ops::Range;

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::kernels::{Matrix, activate, add_weight_gradient, multiply, padded, product, transpose};
use crate::Result;
use crate::network::{Activation, Dense, Network};

/// One layer: where its figures lie among all parameters.
#[derive(Clone, Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    activation: Activation,
    /// (inputs, padded outputs).
    weights: Range<usize>,
    /// (padded outputs).
    bias: Range<usize>,
}

/// The shape of a network whose figures lie in a flat list of parameters.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    layers: Vec<Layer>,
}

/// What a forward pass leaves for the backward one; buffers are used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    outputs: Vec<Matrix>,
    slopes: Vec<Matrix>,
    gradients: Vec<Matrix>,
    transposed: Vec<f32>,
}

impl Trace {
    /// The output of the last layer.
    pub(super) fn output(&self) -> &Matrix {
        &self.outputs[self.outputs.len() - 1]
    }

    /// The output of a layer.
    pub(super) fn layer(&self, layer: usize) -> &Matrix {
        &self.outputs[layer]
    }

    /// Where the gradient by the output is written before [`Mlp::backward`]: zeros of the output's shape.
    pub(super) fn output_gradient(&mut self, columns: usize) -> &mut Matrix {
        let rows = self.output().rows();
        let last = self.outputs.len() - 1;
        self.gradients[last].clear(rows, columns);
        &mut self.gradients[last]
    }

    /// The gradient by the output.
    pub(super) fn gradient_mut(&mut self) -> &mut Matrix {
        let last = self.gradients.len() - 1;
        &mut self.gradients[last]
    }
}

/// How a network starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Normal weights of variance 2 / inputs, 1 / inputs in the last layer, no bias (K. He et al., "Delving deep into rectifiers", ICCV,
    /// 2015, doi:10.1109/ICCV.2015.123).
    Normal,
    /// Weights and biases uniform within ±1 / √inputs, as PyTorch starts a linear layer.
    Uniform,
}

impl Mlp {
    /// A network of the given widths, input first, whose figures are appended to `parameters`.
    pub(super) fn new(
        widths: &[usize],
        (hidden, last): (Activation, Activation),
        start: Start,
        parameters: &mut Vec<f32>,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let count = widths.len().saturating_sub(1);
        let mut layers = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            let (inputs, outputs) = (pair[0], pair[1]);
            let first = parameters.len();
            let is_last = i + 1 == count;
            let deviation = (if is_last { 1.0 } else { 2.0 } / inputs as f64).sqrt();
            let bound = (1.0 / inputs as f64).sqrt();
            // The last row is the bias.
            for row in 0..=inputs {
                for column in 0..padded(outputs) {
                    let value = match start {
                        _ if column >= outputs => 0.0,
                        Start::Normal if row == inputs => 0.0,
                        Start::Normal => deviation * normal(rng),
                        Start::Uniform => rng.gen_range(-bound..bound),
                    };
                    parameters.push(value as f32);
                }
            }
            let weights = first..parameters.len() - padded(outputs);
            let activation = if is_last { last } else { hidden };
            layers.push(Layer { inputs, outputs, activation, bias: weights.end..parameters.len(), weights });
        }
        Self { layers }
    }

    pub(super) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// The parameters' place in a layer's weights: for each (output, input) its index.
    pub(super) fn weight_indices(&self, layer: usize) -> impl Iterator<Item = ((usize, usize), usize)> + use<> {
        let layer = self.layers[layer].clone();
        let width = padded(layer.outputs);
        (0..layer.inputs).flat_map(move |k| {
            let start = layer.weights.start + k * width;
            (0..layer.outputs).map(move |j| ((j, k), start + j))
        })
    }

    /// Where a layer's bias lies, one index an output.
    pub(super) fn bias_indices(&self, layer: usize) -> Range<usize> {
        let layer = &self.layers[layer];
        layer.bias.start..layer.bias.start + layer.outputs
    }

    /// The outputs of all layers for x, (rows, inputs).
    pub(super) fn forward(&self, parameters: &[f32], x: &Matrix, trace: &mut Trace) {
        let count = self.layers.len();
        trace.outputs.resize_with(count, Matrix::default);
        trace.slopes.resize_with(count, Matrix::default);
        trace.gradients.resize_with(count, Matrix::default);
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, after) = trace.outputs.split_at_mut(i);
            let x = before.last().unwrap_or(x);
            let y = &mut after[0];
            y.reshape(x.rows(), layer.outputs);
            let bias = &parameters[layer.bias.clone()];
            product(x, layer.inputs, &parameters[layer.weights.clone()], Some(bias), y);
            if layer.activation != Activation::Identity {
                activate(layer.activation, y, &mut trace.slopes[i]);
            }
        }
    }

    /// Adds to `gradient` that of the parameters, given x and [`Trace::output_gradient`]; writes that of x into `dx`.
    pub(super) fn backward(
        &self,
        parameters: &[f32],
        gradient: &mut [f32],
        x: &Matrix,
        trace: &mut Trace,
        dx: Option<&mut Matrix>,
    ) {
        let Trace { outputs, slopes, gradients, transposed } = trace;
        let mut dx = dx;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (before, after) = gradients.split_at_mut(i);
            let dy = &mut after[0];
            if layer.activation != Activation::Identity {
                multiply(dy, &slopes[i]);
            }
            let input = if i == 0 { x } else { &outputs[i - 1] };
            let (head, tail) = gradient.split_at_mut(layer.bias.start);
            let dw = &mut head[layer.weights.clone()];
            add_weight_gradient(input, layer.inputs, dy, dw, &mut tail[..padded(layer.outputs)]);
            let Some(target) = before.last_mut().or_else(|| dx.take()) else { continue };
            transpose(&parameters[layer.weights.clone()], layer.inputs, layer.outputs, transposed);
            target.reshape(dy.rows(), layer.inputs);
            product(dy, layer.outputs, transposed, None, target);
        }
    }

    /// The same network as plain data, in double precision.
    pub(super) fn network(&self, parameters: &[f32]) -> Result<Network> {
        let dense = |layer: &Layer| {
            let width = padded(layer.outputs);
            let weights = &parameters[layer.weights.clone()];
            let w = Array2::from_shape_fn((layer.outputs, layer.inputs), |(j, k)| f64::from(weights[k * width + j]));
            let b: Array1<f64> =
                parameters[layer.bias.clone()][..layer.outputs].iter().map(|b| f64::from(*b)).collect();
            Dense::new(w, b, layer.activation)
        };
        Network::new(self.layers.iter().map(dense).collect::<Result<_>>()?)
    }

    /// Takes the figures of a network of the same widths, or of some of the outputs of its last layer: those that the network
    /// has not stay as they are.
    pub(super) fn adopt(&self, network: &Network, parameters: &mut [f32]) {
        for (layer, dense) in self.layers.iter().zip(network.layers()) {
            let width = padded(layer.outputs);
            for ((j, k), w) in dense.weights().indexed_iter() {
                if j < layer.outputs && k < layer.inputs {
                    parameters[layer.weights.start + k * width + j] = *w as f32;
                }
            }
            for (j, b) in dense.bias().iter().enumerate().take(layer.outputs) {
                parameters[layer.bias.start + j] = *b as f32;
            }
        }
    }
}

/// A draw of the standard normal (Box and Muller, *Annals of Mathematical Statistics* 29(2), 1958, doi:10.1214/aoms/1177706645).
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * rng.gen_range(f64::MIN_POSITIVE..1.0).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * rng.gen_range(0.0..1.0)).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The gradient of Σ c·y against central differences, for smooth and for piecewise linear layers.
    #[test]
    fn backward_agrees_with_differences() {
        for hidden in [Activation::Gelu, Activation::Relu] {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut parameters = Vec::new();
            let mlp =
                Mlp::new(&[3, 20, 5, 2], (hidden, Activation::Identity), Start::Normal, &mut parameters, &mut rng);
            let mut x = Matrix::default();
            x.clear(10, 3);
            for i in 0..10 {
                for k in 0..3 {
                    x.row_mut(i)[k] = normal(&mut rng) as f32;
                }
            }
            let c = |i: usize, j: usize| ((i + 2 * j) % 3) as f32 - 1.0;
            let value = |parameters: &[f32], x: &Matrix| {
                let network = mlp.network(parameters).unwrap();
                let rows = (0..10).map(|i| {
                    let input: Array1<f64> = x.row(i)[..3].iter().map(|x| f64::from(*x)).collect();
                    let y = network.forward(input.view()).unwrap();
                    (0..2).map(|j| f64::from(c(i, j)) * y[j]).sum::<f64>()
                });
                rows.sum::<f64>()
            };
            let mut trace = Trace::default();
            mlp.forward(&parameters, &x, &mut trace);
            let dy = trace.output_gradient(2);
            for i in 0..10 {
                for j in 0..2 {
                    dy.row_mut(i)[j] = c(i, j);
                }
            }
            let (mut gradient, mut dx) = (vec![0.0; parameters.len()], Matrix::default());
            mlp.backward(&parameters, &mut gradient, &x, &mut trace, Some(&mut dx));
            let close = |found: f32, up: f64, down: f64, step: f64| {
                let numeric = (up - down) / (2.0 * step);
                assert!((f64::from(found) - numeric).abs() < 2e-3 * (1.0 + numeric.abs()), "{found} ≠ {numeric}");
            };
            let step = 2e-4f32;
            for layer in 0..3 {
                let weights = mlp.weight_indices(layer).map(|(_, index)| index);
                for index in weights.chain(mlp.bias_indices(layer)).step_by(3) {
                    let (mut up, mut down) = (parameters.clone(), parameters.clone());
                    up[index] += step;
                    down[index] -= step;
                    let width = f64::from(up[index]) - f64::from(down[index]);
                    close(gradient[index], value(&up, &x), value(&down, &x), width / 2.0);
                }
            }
            for i in 0..10 {
                for k in 0..3 {
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up.row_mut(i)[k] += step;
                    down.row_mut(i)[k] -= step;
                    let width = f64::from(up.row(i)[k]) - f64::from(down.row(i)[k]);
                    close(dx.row(i)[k], value(&parameters, &up), value(&parameters, &down), width / 2.0);
                }
            }
        }
    }

    #[test]
    fn a_network_s_figures_come_back() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut parameters = Vec::new();
        let mlp =
            Mlp::new(&[4, 6, 3], (Activation::Relu, Activation::Identity), Start::Uniform, &mut parameters, &mut rng);
        let network = mlp.network(&parameters).unwrap();
        let mut other = vec![0.0; parameters.len()];
        mlp.adopt(&network, &mut other);
        assert_eq!(other, parameters);
    }
}
