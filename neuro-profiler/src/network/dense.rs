use ndarray::{Array1, Array2, ArrayView1};

use super::Activation;
use crate::{Error, Result};

/// A dense layer: y = σ(W·x + b).
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    weights: Array2<f64>,
    bias: Array1<f64>,
    activation: Activation,
}

impl Dense {
    /// The layer of `weights` W (out × in), `bias` b (out) and `activation` σ.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidLayer`] if a side is empty, the bias has another length than W has rows, or a figure is not finite.
    pub fn new(weights: Array2<f64>, bias: Array1<f64>, activation: Activation) -> Result<Self> {
        let (outputs, inputs) = weights.dim();
        let problem = if outputs == 0 || inputs == 0 {
            Some("has no outputs or no inputs".to_owned())
        } else if bias.len() != outputs {
            Some(format!("has {} biases", bias.len()))
        } else if !weights.iter().chain(&bias).all(|figure| figure.is_finite()) {
            Some("holds a figure that is not finite".to_owned())
        } else {
            None
        };
        match problem {
            Some(problem) => Err(Error::InvalidLayer { outputs, inputs, problem }),
            None => Ok(Self { weights, bias, activation }),
        }
    }

    /// The layer that gives for x what this one gives for `scale`·x.
    pub(super) fn of_scaled_input(&self, scale: f64) -> Self {
        Self { weights: &self.weights * scale, ..self.clone() }
    }

    /// W, out × in.
    pub fn weights(&self) -> &Array2<f64> {
        &self.weights
    }

    /// b, out.
    pub fn bias(&self) -> &Array1<f64> {
        &self.bias
    }

    /// σ.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Length of its input.
    pub fn inputs(&self) -> usize {
        self.weights.ncols()
    }

    /// Length of its output.
    pub fn outputs(&self) -> usize {
        self.weights.nrows()
    }

    /// W·x + b for x (in), what the activation is applied to.
    ///
    /// # Panics
    ///
    /// If x has another length.
    pub fn preactivation(&self, x: ArrayView1<'_, f64>) -> Array1<f64> {
        self.weights.dot(&x) + &self.bias
    }

    /// σ(W·x + b) for x (in).
    ///
    /// # Panics
    ///
    /// If x has another length.
    pub fn forward(&self, x: ArrayView1<'_, f64>) -> Array1<f64> {
        self.preactivation(x).mapv_into(|a| self.activation.at(a))
    }
}
