//! `tstr-lstm`: regression of a long multivariate time series by a stacked LSTM.

use candle_core::{Module, Result as TensorResult, Tensor};
use candle_nn::{Init, Linear, VarBuilder};
use rand_distr::{Distribution, StandardNormal};

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::layers::lstm::Lstm;
use crate::registry::App;
use crate::seed;

/// Time steps of one series.
const STEPS: usize = 784;
/// Features of one time step.
const FEATURES: usize = 100;
/// Units of each LSTM layer.
const HIDDEN: usize = 50;
/// Units of the two inner dense layers.
const DENSE: usize = 10;

/// The registry entry.
pub static APP: App = App {
    id: "tstr-lstm",
    description: "2 x LSTM(50) + dense 10-10-1 over 784 steps x 100 features",
    default_batch: 16,
    max_batch: 256,
    model: |weights, _| Ok(Box::new(StackedLstm::load(weights)?)),
};

/// The network: two LSTM layers of 50 units, the last state through dense layers of 10, 10 and 1 units with ReLU between.
///
/// About 1.25 GFLOP for 16 series: per item and step 4·50·(100 + 50) and 4·50·(50 + 50) multiply-adds.
#[derive(Debug, Clone)]
pub struct StackedLstm {
    layers: [Lstm; 2],
    dense: [Linear; 3],
}

impl StackedLstm {
    /// Loads the network: `lstm.*_l0`, `lstm.*_l1` (PyTorch's names) and `dense.0`, `dense.1`, `dense.2`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder) -> TensorResult<Self> {
        let lstm = vb.pp("lstm");
        let dense = |index: usize, inputs, outputs| dense(inputs, outputs, vb.pp("dense").pp(index));
        Ok(Self {
            layers: [Lstm::load(FEATURES, HIDDEN, 0, lstm.clone())?, Lstm::load(HIDDEN, HIDDEN, 1, lstm)?],
            dense: [dense(0, HIDDEN, DENSE)?, dense(1, DENSE, DENSE)?, dense(2, DENSE, 1)?],
        })
    }

    /// The prediction for each series.
    ///
    /// # Shapes
    ///
    /// `xs`: (784 steps, batch, 100 features). Returns (batch).
    ///
    /// # Errors
    ///
    /// When the number of features is another one, or there is no step.
    pub fn forward(&self, xs: &Tensor) -> TensorResult<Tensor> {
        let Some(last_step) = xs.dim(0)?.checked_sub(1) else { candle_core::bail!("a series needs at least one step") };
        let states = self.layers[1].forward(&self.layers[0].forward(xs)?)?;
        let [first, second, last] = &self.dense;
        let xs = first.forward(&states.get(last_step)?)?.relu()?;
        let xs = second.forward(&xs)?.relu()?;
        last.forward(&xs)?.squeeze(1)
    }
}

/// A dense layer; where the builder draws it, weight and bias are uniform in ±1/√inputs.
fn dense(inputs: usize, outputs: usize, vb: VarBuilder) -> TensorResult<Linear> {
    let bound = 1.0 / (inputs as f64).sqrt();
    let init = Init::Uniform { lo: -bound, up: bound };
    let weight = vb.get_with_hints((outputs, inputs), "weight", init)?;
    let bias = vb.get_with_hints(outputs, "bias", init)?;
    Ok(Linear::new(weight, Some(bias)))
}

impl Model for StackedLstm {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        Ok(Tensors::from([("series".to_owned(), random_series(seed, batch)?)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.forward(input(&APP, inputs, "series")?)?)
    }
}

/// White noise of unit variance, (steps, batch, features).
fn random_series(seed: u64, batch: usize) -> TensorResult<Tensor> {
    let values: Vec<f32> =
        StandardNormal.sample_iter(seed::stream(seed, "tstr-lstm.input")).take(STEPS * batch * FEATURES).collect();
    Tensor::from_vec(values, (STEPS, batch, FEATURES), &candle_core::Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::VarMap;

    /// LSTM: 4·50·(100 + 50 + 2) + 4·50·(50 + 50 + 2) = 30,400 + 20,400; dense: 510 + 110 + 11.
    #[test]
    fn has_the_expected_number_of_parameters() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, candle_core::DType::F32, &candle_core::Device::Cpu);
        StackedLstm::load(vb).unwrap();
        let count: usize = variables.all_vars().iter().map(|var| var.elem_count()).sum();
        assert_eq!(count, 51_431);
    }
}
