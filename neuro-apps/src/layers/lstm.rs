//! A long short-term memory layer, fast on short rows.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};

use super::activation::{sigmoid, tanh};

/// A unidirectional LSTM layer.
///
/// With x_t the input and h_t, c_t the state after step t (h_0 = c_0 = 0), σ the logistic function and ⊙ the product by
/// elements:
///
/// ```text
/// [i; f; g; o] = W_ih·x_t + b_ih + W_hh·h_{t−1} + b_hh
/// c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g)
/// h_t = σ(o) ⊙ tanh(c_t)
/// ```
///
/// The input's share of all steps is one matrix product. The recurrence is one operation of its own: as separate tensor
/// operations each step would allocate a dozen small tensors, which costs more than the arithmetic.
///
/// # References
///
/// S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, doi 10.1162/neco.1997.9.8.1735;
/// with the forget gate of F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to Forget: Continual Prediction with LSTM",
/// Neural Computation 12(10), 2000, doi 10.1162/089976600300015015.
#[derive(Debug, Clone)]
pub struct Lstm {
    /// W_ihᵀ, (inputs, 4·hidden).
    input_weight: Tensor,
    /// W_hhᵀ, (hidden, 4·hidden).
    hidden_weight: Tensor,
    /// b_ih + b_hh, (4·hidden).
    bias: Tensor,
}

impl Lstm {
    /// Loads layer `index` of a stack under PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`.
    /// Initial values, where the builder draws them: uniform in ±1/√hidden.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(inputs: usize, hidden: usize, index: usize, vb: VarBuilder) -> Result<Self> {
        let bound = 1.0 / (hidden as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = |kind: &str, columns: usize| {
            vb.get_with_hints((4 * hidden, columns), &format!("weight_{kind}_l{index}"), init)?.t()?.contiguous()
        };
        let bias = |kind: &str| vb.get_with_hints(4 * hidden, &format!("bias_{kind}_l{index}"), init);
        Ok(Self {
            input_weight: weight("ih", inputs)?,
            hidden_weight: weight("hh", hidden)?,
            bias: (bias("ih")? + bias("hh")?)?,
        })
    }

    /// The hidden states of all steps.
    ///
    /// # Shapes
    ///
    /// `xs`: (steps, batch, inputs), 32-bit floats. Returns (steps, batch, hidden).
    ///
    /// # Errors
    ///
    /// When the shape is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (steps, batch, inputs) = xs.dims3()?;
        let gates = xs
            .reshape((steps * batch, inputs))?
            .matmul(&self.input_weight)?
            .broadcast_add(&self.bias)?
            .reshape((steps, batch, ()))?;
        gates.apply_op2_no_bwd(&self.hidden_weight, &Recurrence)
    }
}

/// The recurrence: gates of the input (steps, batch, 4·hidden) and W_hhᵀ (hidden, 4·hidden) to states (steps, batch, hidden).
struct Recurrence;

impl CustomOp2 for Recurrence {
    fn name(&self) -> &'static str {
        "lstm-recurrence"
    }

    fn cpu_fwd(
        &self,
        gates: &CpuStorage,
        gates_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (steps, batch, width) = gates_layout.shape().dims3()?;
        let (hidden, weight_width) = weight_layout.shape().dims2()?;
        if width != 4 * hidden || width != weight_width {
            candle_core::bail!("the gates are {width} wide, the recurrent weight {hidden} × {weight_width}");
        }
        let gates = contiguous(gates, gates_layout)?;
        let state_layout = Layout::contiguous((batch, hidden));
        let mut state = CpuStorage::F32(vec![0.0; batch * hidden]);
        let mut cell = vec![0f32; batch * hidden];
        let mut states = Vec::with_capacity(steps * batch * hidden);
        for gates in gates.chunks_exact(batch * width) {
            let recurrent = state.matmul(weight, (1, batch, width, hidden), &state_layout, weight_layout)?;
            let recurrent = recurrent.as_slice::<f32>()?;
            for (((gates, recurrent), cell), state) in gates
                .chunks_exact(width)
                .zip(recurrent.chunks_exact(width))
                .zip(cell.chunks_exact_mut(hidden))
                .zip(values(&mut state)?.chunks_exact_mut(hidden))
            {
                update(gates, recurrent, cell, state);
            }
            states.extend_from_slice(values(&mut state)?);
        }
        Ok((CpuStorage::F32(states), Shape::from((steps, batch, hidden))))
    }
}

/// One step of one item. The gates are [i, f, g, o], the input's share and the recurrent share of each (4·hidden); `cell` and
/// `state` (hidden) are replaced.
fn update(gates: &[f32], recurrent: &[f32], cell: &mut [f32], state: &mut [f32]) {
    let hidden = cell.len();
    let [input, forget, candidate, output] = quarters(gates, hidden);
    let [input_r, forget_r, candidate_r, output_r] = quarters(recurrent, hidden);
    let state = &mut state[..hidden];
    for k in 0..hidden {
        let kept = sigmoid(forget[k] + forget_r[k]) * cell[k];
        cell[k] = kept + sigmoid(input[k] + input_r[k]) * tanh(candidate[k] + candidate_r[k]);
        state[k] = sigmoid(output[k] + output_r[k]) * tanh(cell[k]);
    }
}

/// Four slices of `length` each; equal known lengths let the compiler drop the bounds checks.
fn quarters(values: &[f32], length: usize) -> [&[f32]; 4] {
    [0, 1, 2, 3].map(|index| &values[index * length..][..length])
}

/// The values of a state.
fn values(storage: &mut CpuStorage) -> Result<&mut [f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => candle_core::bail!("the LSTM state is not of 32-bit floats"),
    }
}

/// The values of a contiguous tensor of 32-bit floats.
fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("the LSTM recurrence needs contiguous tensors"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::SeededWeights;
    use candle_core::Device;
    use candle_nn::rnn::{LSTMConfig, RNN};
    use rand::Rng;

    const STEPS: usize = 7;
    const BATCH: usize = 3;
    const INPUTS: usize = 4;
    const HIDDEN: usize = 5;

    fn input() -> Tensor {
        let mut rng = crate::seed::stream(3, "test");
        let values: Vec<f32> = (0..STEPS * BATCH * INPUTS).map(|_| rng.gen_range(-2.0..2.0)).collect();
        Tensor::from_vec(values, (STEPS, BATCH, INPUTS), &Device::Cpu).unwrap()
    }

    fn states() -> Vec<Vec<Vec<f32>>> {
        let layer = Lstm::load(INPUTS, HIDDEN, 0, SeededWeights::var_builder(9)).unwrap();
        layer.forward(&input()).unwrap().to_vec3().unwrap()
    }

    /// The equations of the doc comment, written out in 64-bit loops.
    #[test]
    fn agrees_with_the_equations() {
        let vb = SeededWeights::var_builder(9);
        let bound = 1.0 / (HIDDEN as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let matrix = |name: &str, columns: usize| -> Vec<Vec<f32>> {
            let tensor = vb.get_with_hints((4 * HIDDEN, columns), name, init);
            tensor.unwrap().to_vec2().unwrap()
        };
        let vector = |name: &str| -> Vec<f32> { vb.get_with_hints(4 * HIDDEN, name, init).unwrap().to_vec1().unwrap() };
        let (w_ih, w_hh) = (matrix("weight_ih_l0", INPUTS), matrix("weight_hh_l0", HIDDEN));
        let (b_ih, b_hh) = (vector("bias_ih_l0"), vector("bias_hh_l0"));
        let dot = |row: &[f32], x: &[f64]| -> f64 { row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum() };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());

        let xs: Vec<Vec<Vec<f32>>> = input().to_vec3().unwrap();
        let states = states();
        for item in 0..BATCH {
            let (mut h, mut c) = (vec![0f64; HIDDEN], vec![0f64; HIDDEN]);
            for (x, state) in xs.iter().zip(&states) {
                let x: Vec<f64> = x[item].iter().map(|v| f64::from(*v)).collect();
                let gate = |row: usize| {
                    dot(&w_ih[row], &x) + f64::from(b_ih[row]) + dot(&w_hh[row], &h) + f64::from(b_hh[row])
                };
                let gates: Vec<f64> = (0..4 * HIDDEN).map(gate).collect();
                for k in 0..HIDDEN {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|block| gates[block * HIDDEN + k]);
                    c[k] = sigmoid(f) * c[k] + sigmoid(i) * g.tanh();
                    h[k] = sigmoid(o) * c[k].tanh();
                    assert!((h[k] - f64::from(state[item][k])).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn agrees_with_candle_step_by_step() {
        let bound = 1.0 / (HIDDEN as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let config = LSTMConfig {
            w_ih_init: init,
            w_hh_init: init,
            b_ih_init: Some(init),
            b_hh_init: Some(init),
            ..LSTMConfig::default()
        };
        let candle = candle_nn::rnn::lstm(INPUTS, HIDDEN, config, SeededWeights::var_builder(9)).unwrap();
        let steps = candle.seq(&input().transpose(0, 1).unwrap()).unwrap();
        for (ours, theirs) in states().iter().zip(&steps) {
            let theirs: Vec<Vec<f32>> = theirs.h().to_vec2().unwrap();
            for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }

    #[test]
    fn a_weight_of_another_width_is_an_error() {
        let gates = Tensor::zeros((2, 1, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
        let weight = Tensor::zeros((3, 12), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(gates.apply_op2_no_bwd(&weight, &Recurrence).is_err());
    }
}
