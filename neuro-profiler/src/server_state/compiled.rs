//! [`ServerState`] in single precision and fixed vectors, for searches that ask millions of times a second.

use ndarray::Array1;

use super::{RequestTerms, ServerState};
use crate::simd::{LANES, Lane, vectorised};

/// A layer: (inputs, vectors of outputs), column vectors of W one after another.
#[derive(Clone, Debug)]
struct CompiledLayer {
    inputs: usize,
    width: usize,
    weights: Vec<Lane>,
    bias: Vec<Lane>,
}

/// The network of h, compiled.
///
/// It is single precision: compare its answers with a margin of 1e-4 and ask [`ServerState`] before a promise is made.
#[derive(Clone, Debug)]
pub struct CompiledHead {
    state: usize,
    outputs: usize,
    layers: Vec<CompiledLayer>,
}

/// The constants of a request, compiled.
#[derive(Clone, Debug)]
pub struct CompiledTerms {
    /// W₁·ψ / 16: what one instance adds to the first layer.
    first: Vec<Lane>,
    /// As [`RequestTerms::own`].
    pub own: [f32; 3],
}

/// A server whose tenants change: it keeps W₁·h + b₁, so that a change costs one vector and an answer the other layers.
///
/// ```
/// # use neuro_profiler::server_state::{CompiledHead, CompiledServer, ServerState};
/// // Whether one instance more of a request is faster than `limit`, which is ln(D / base) − own of its application.
/// fn fits(model: &ServerState, head: &CompiledHead, server: &mut CompiledServer, app: usize, rate: f64, limit: f32) -> bool {
///     let terms = head.terms(&model.terms(app, rate));
///     server.add(&terms, 1.0);
///     let fits = server.outputs(head)[3 * app] <= limit;
///     server.add(&terms, -1.0);
///     fits
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CompiledServer {
    first: Vec<Lane>,
    /// The activations of each hidden layer, then the outputs.
    activations: Vec<Vec<Lane>>,
    /// Products of slopes and weights, (outputs of a layer, padded d): row i is ∂ unit i / ∂h.
    slopes: [Vec<f32>; 2],
}

impl CompiledHead {
    /// Of a profiler.
    pub fn new(model: &ServerState) -> Self {
        let layers = model.head().layers();
        let compile = |layer: &crate::network::Dense| {
            let width = layer.outputs().div_ceil(LANES);
            let mut weights = vec![[0.0; LANES]; layer.inputs() * width];
            for ((j, k), w) in layer.weights().indexed_iter() {
                weights[k * width + j / LANES][j % LANES] = *w as f32;
            }
            CompiledLayer { inputs: layer.inputs(), width, weights, bias: lanes(layer.bias().iter()) }
        };
        Self {
            state: model.shape().state,
            outputs: model.head().outputs(),
            layers: layers.iter().map(compile).collect(),
        }
    }

    /// The constants of a request.
    pub fn terms(&self, terms: &RequestTerms) -> CompiledTerms {
        let first = &self.layers[0];
        let mut sums = vec![[0.0f32; LANES]; first.width];
        vectorised(|| accumulate(first, &lanes(terms.state.iter()), &mut sums));
        CompiledTerms { first: sums, own: terms.own.map(|x| x as f32) }
    }

    /// A server with nothing on it.
    pub fn empty(&self) -> CompiledServer {
        CompiledServer {
            first: self.layers[0].bias.clone(),
            activations: self.layers.iter().map(|layer| vec![[0.0; LANES]; layer.width]).collect(),
            slopes: [Vec::new(), Vec::new()],
        }
    }

    /// A server of the state h (d): use it now and then in place of one that many changes have made imprecise.
    pub fn server(&self, h: &Array1<f64>) -> CompiledServer {
        let mut server = self.empty();
        vectorised(|| accumulate(&self.layers[0], &lanes(h.iter()), &mut server.first));
        server
    }
}

impl CompiledServer {
    /// Adds instances of a request, or takes them away.
    #[inline]
    pub fn add(&mut self, terms: &CompiledTerms, instances: f32) {
        for (sum, term) in self.first.iter_mut().zip(&terms.first) {
            for l in 0..LANES {
                sum[l] += instances * term[l];
            }
        }
    }

    /// f(h): (apps × 3), index 3·app + statistic.
    pub fn outputs(&mut self, head: &CompiledHead) -> &[f32] {
        vectorised(
            #[inline(always)]
            || self.forward(head),
        );
        let last = self.activations.len() - 1;
        &self.activations[last].as_flattened()[..head.outputs]
    }

    #[inline(always)]
    fn forward(&mut self, head: &CompiledHead) {
        self.activations[0].copy_from_slice(&self.first);
        for (i, layer) in head.layers.iter().enumerate().skip(1) {
            let (before, after) = self.activations.split_at_mut(i);
            let x = &mut before[i - 1];
            for lane in x.iter_mut() {
                for value in lane {
                    *value = value.max(0.0);
                }
            }
            after[0].copy_from_slice(&layer.bias);
            accumulate(layer, x, &mut after[0]);
        }
    }

    /// f(h) and its Jacobian ∂f/∂h, (apps × 3, d padded to whole vectors of 16): row 3·app + statistic, its first d figures.
    pub fn jacobian(&mut self, head: &CompiledHead) -> (&[f32], &[f32]) {
        vectorised(
            #[inline(always)]
            || {
                self.forward(head);
                let width = head.state.div_ceil(LANES);
                let [current, next] = &mut self.slopes;
                // ∂(W₁h)/∂h = W₁, row by row.
                let first = &head.layers[0];
                current.clear();
                current.resize(first.width * LANES * width * LANES, 0.0);
                for k in 0..first.inputs {
                    for (j, w) in first.weights[k * first.width..][..first.width].as_flattened().iter().enumerate() {
                        current[j * width * LANES + k] = *w;
                    }
                }
                for (i, layer) in head.layers.iter().enumerate().skip(1) {
                    let active = self.activations[i - 1].as_flattened();
                    next.clear();
                    next.resize(layer.width * LANES * width * LANES, 0.0);
                    for k in (0..layer.inputs).filter(|k| active[*k] > 0.0) {
                        let row = current[k * width * LANES..][..width * LANES].as_chunks::<LANES>().0;
                        let column = layer.weights[k * layer.width..][..layer.width].as_flattened();
                        for (w, sums) in column.iter().zip(next.chunks_exact_mut(width * LANES)) {
                            for (sum, slope) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(row) {
                                for l in 0..LANES {
                                    sum[l] = w.mul_add(slope[l], sum[l]);
                                }
                            }
                        }
                    }
                    std::mem::swap(current, next);
                }
            },
        );
        let last = self.activations.len() - 1;
        (&self.activations[last].as_flattened()[..head.outputs], &self.slopes[0])
    }
}

/// sums += W·x.
#[inline(always)]
fn accumulate(layer: &CompiledLayer, x: &[Lane], sums: &mut [Lane]) {
    let x = &x.as_flattened()[..layer.inputs];
    match sums {
        [a] => {
            let mut sum = *a;
            for (x, w) in x.iter().zip(&layer.weights) {
                for l in 0..LANES {
                    sum[l] = x.mul_add(w[l], sum[l]);
                }
            }
            *a = sum;
        }
        [a, b] => {
            let mut sum = [*a, *b];
            for (x, w) in x.iter().zip(layer.weights.as_chunks::<2>().0) {
                for i in 0..2 {
                    for l in 0..LANES {
                        sum[i][l] = x.mul_add(w[i][l], sum[i][l]);
                    }
                }
            }
            [*a, *b] = sum;
        }
        sums => {
            for (x, w) in x.iter().zip(layer.weights.chunks_exact(layer.width)) {
                for (sum, w) in sums.iter_mut().zip(w) {
                    for l in 0..LANES {
                        sum[l] = x.mul_add(w[l], sum[l]);
                    }
                }
            }
        }
    }
}

fn lanes<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> Vec<Lane> {
    let mut lanes = vec![[0.0; LANES]; values.len().div_ceil(LANES)];
    for (slot, value) in lanes.as_flattened_mut().iter_mut().zip(values) {
        *slot = *value as f32;
    }
    lanes
}
