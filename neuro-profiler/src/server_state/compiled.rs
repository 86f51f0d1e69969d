//! [`ServerState`] in single precision and fixed vectors, for searches that ask millions of times a second.

use ndarray::Array1;
use pulp::{Simd, WithSimd};

use super::{RequestTerms, ServerState};
use crate::simd::{LANES, Lane, ROWS, dispatch, eight_sums};

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
    /// W₁ row by row, each padded.
    first_rows: Vec<Lane>,
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
    /// Products of slopes and weights, (padded outputs of a layer, padded d): row i is ∂ unit i / ∂h.
    slopes: [Vec<Lane>; 2],
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
        let lanes = model.shape().state.div_ceil(LANES);
        let mut first_rows = vec![[0.0; LANES]; layers[0].outputs().next_multiple_of(LANES) * lanes];
        for ((j, k), w) in layers[0].weights().indexed_iter() {
            first_rows[j * lanes + k / LANES][k % LANES] = *w as f32;
        }
        Self {
            state: model.shape().state,
            outputs: model.head().outputs(),
            layers: layers.iter().map(compile).collect(),
            first_rows,
        }
    }

    /// The constants of a request.
    pub fn terms(&self, terms: &RequestTerms) -> CompiledTerms {
        let first = &self.layers[0];
        let mut sums = vec![[0.0f32; LANES]; first.width];
        dispatch(Accumulate { layer: first, x: &lanes(terms.state.iter()), sums: &mut sums });
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
        dispatch(Accumulate { layer: &self.layers[0], x: &lanes(h.iter()), sums: &mut server.first });
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
        dispatch(Outputs { server: self, head });
        let last = self.activations.len() - 1;
        &self.activations[last].as_flattened()[..head.outputs]
    }

    /// f(h) and its Jacobian ∂f/∂h, (apps × 3, d padded to whole vectors of 16): row 3·app + statistic, its first d figures.
    pub fn jacobian(&mut self, head: &CompiledHead) -> (&[f32], &[f32]) {
        dispatch(Jacobian { server: self, head });
        let last = self.activations.len() - 1;
        (&self.activations[last].as_flattened()[..head.outputs], self.slopes[0].as_flattened())
    }
}

struct Outputs<'a> {
    server: &'a mut CompiledServer,
    head: &'a CompiledHead,
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        forward(simd, self.server, self.head);
    }
}

#[inline(always)]
fn forward<S: Simd>(simd: S, server: &mut CompiledServer, head: &CompiledHead) {
    server.activations[0].copy_from_slice(&server.first);
    for (i, layer) in head.layers.iter().enumerate().skip(1) {
        let (before, after) = server.activations.split_at_mut(i);
        let x = before[i - 1].as_flattened_mut();
        for value in x.iter_mut() {
            *value = value.max(0.0);
        }
        after[0].copy_from_slice(&layer.bias);
        accumulate(simd, layer, &x[..layer.inputs], after[0].as_flattened_mut());
    }
}

struct Jacobian<'a> {
    server: &'a mut CompiledServer,
    head: &'a CompiledHead,
}

impl WithSimd for Jacobian<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { server, head } = self;
        forward(simd, server, head);
        let lanes = head.state.div_ceil(LANES);
        let width = lanes * LANES / S::F32_LANES;
        let [current, next] = &mut server.slopes;
        // ∂(W₁h + b₁)/∂h = W₁.
        current.clone_from(&head.first_rows);
        for (i, layer) in head.layers.iter().enumerate().skip(1) {
            // A unit that is off passes nothing on.
            let active = server.activations[i - 1].as_flattened();
            for (row, _) in current.chunks_exact_mut(lanes).zip(active).filter(|(_, active)| **active <= 0.0) {
                row.fill([0.0; LANES]);
            }
            next.resize(layer.width * LANES * lanes, [0.0; LANES]);
            let (rows, _) = S::as_simd_f32s(current[..layer.inputs * lanes].as_flattened());
            let (sums, _) = S::as_mut_simd_f32s(next.as_flattened_mut());
            // The weights of eight outputs lie side by side.
            let (pieces, _) = layer.weights.as_flattened().as_chunks::<ROWS>();
            let length = layer.width * LANES / ROWS;
            for (piece, sums) in sums.chunks_exact_mut(ROWS * width).enumerate() {
                for column in 0..width {
                    let zero = [simd.splat_f32s(0.0); ROWS];
                    let found = eight_sums(simd, zero, pieces[piece..].iter().step_by(length), rows, width, column);
                    for (sums, found) in sums.chunks_exact_mut(width).zip(found) {
                        sums[column] = found;
                    }
                }
            }
            std::mem::swap(current, next);
        }
    }
}

struct Accumulate<'a> {
    layer: &'a CompiledLayer,
    x: &'a [Lane],
    sums: &'a mut [Lane],
}

impl WithSimd for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, x, sums } = self;
        accumulate(simd, layer, &x.as_flattened()[..layer.inputs], sums.as_flattened_mut());
    }
}

/// sums += W·x, for x (inputs) and sums (padded outputs). Two sums at a time, so that one need not wait for the other.
#[inline(always)]
fn accumulate<S: Simd>(simd: S, layer: &CompiledLayer, x: &[f32], sums: &mut [f32]) {
    let width = layer.width * LANES / S::F32_LANES;
    let (weights, _) = S::as_simd_f32s(layer.weights.as_flattened());
    let (sums, _) = S::as_mut_simd_f32s(sums);
    let (pairs, last) = x.as_chunks::<2>();
    for (column, sum) in sums.iter_mut().enumerate() {
        let (mut even, mut odd) = (*sum, simd.splat_f32s(0.0));
        for ([a, b], w) in pairs.iter().zip(weights.chunks_exact(2 * width)) {
            even = simd.mul_add_f32s(simd.splat_f32s(*a), w[column], even);
            odd = simd.mul_add_f32s(simd.splat_f32s(*b), w[width + column], odd);
        }
        if let [x] = last {
            let w = weights[2 * pairs.len() * width + column];
            even = simd.mul_add_f32s(simd.splat_f32s(*x), w, even);
        }
        *sum = simd.add_f32s(even, odd);
    }
}

fn lanes<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> Vec<Lane> {
    let mut lanes = vec![[0.0; LANES]; values.len().div_ceil(LANES)];
    for (slot, value) in lanes.as_flattened_mut().iter_mut().zip(values) {
        *slot = *value as f32;
    }
    lanes
}
