//! Dense layers with their activation.

use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

use super::activation::{Activation, add_bias};

/// activation(x·Wᵀ + b).
#[derive(Debug, Clone)]
pub struct Dense {
    /// Wᵀ, (inputs, outputs).
    weight: Tensor,
    bias: Tensor,
    activation: Activation,
}

impl Dense {
    /// Loads `weight`, (outputs, inputs), and `bias`. Initial values, where the builder draws them: normal with variance 1 / inputs,
    /// no bias.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(inputs: usize, outputs: usize, activation: Activation, vb: &VarBuilder<'static>) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 / (inputs as f64).sqrt() };
        let weight = vb.get_with_hints((outputs, inputs), "weight", init)?.t()?.contiguous()?;
        let bias = vb.get_with_hints(outputs, "bias", Init::Const(0.0))?;
        Ok(Self { weight, bias, activation })
    }

    /// # Shapes
    ///
    /// `xs`: (…, inputs), contiguous. Returns (…, outputs).
    ///
    /// # Errors
    ///
    /// When the last dimension is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut shape = xs.dims().to_vec();
        let Some(last) = shape.last_mut() else { candle_core::bail!("a dense layer needs a dimension") };
        let inputs = std::mem::replace(last, self.weight.dim(1)?);
        let ys = xs.reshape(((), inputs))?.matmul(&self.weight)?;
        add_bias(&ys, &self.bias, self.activation)?;
        ys.reshape(shape)
    }
}
