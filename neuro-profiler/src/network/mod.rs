//! Trained networks as plain data: what training produces, what runs without a tensor library, and what a mixed-integer program
//! embeds.
//!
//! Everything is f64: a network that was trained in f32 is widened exactly, so that bounds and audits are about the very function
//! that predicts.

mod activation;
mod dense;

pub use activation::Activation;
pub use dense::Dense;

use ndarray::{Array1, Array2, ArrayView1};

use crate::{Error, Result};

/// A feed-forward network: dense layers one after another.
///
/// ```
/// use ndarray::array;
/// use neuro_profiler::network::{Activation, Dense, Network};
///
/// // |x| = max(0, x) + max(0, −x)
/// let network = Network::new(vec![
///     Dense::new(array![[1.0], [-1.0]], array![0.0, 0.0], Activation::Relu)?,
///     Dense::new(array![[1.0, 1.0]], array![0.0], Activation::Identity)?,
/// ])?;
/// assert_eq!(network.forward(array![-3.0].view())?, array![3.0]);
/// # Ok::<(), neuro_profiler::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    layers: Vec<Dense>,
}

impl Network {
    /// The network of these layers, the first of which is given the input.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidNetwork`] if there is none, or one takes another number of inputs than the one before it has outputs.
    pub fn new(layers: Vec<Dense>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::InvalidNetwork { layer: 0, problem: "there is no layer".to_owned() });
        }
        for (i, pair) in layers.windows(2).enumerate() {
            let (given, taken) = (pair[0].outputs(), pair[1].inputs());
            if given != taken {
                let problem = format!("takes {taken} inputs, but the one before it has {given} outputs");
                return Err(Error::InvalidNetwork { layer: i + 1, problem });
            }
        }
        Ok(Self { layers })
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Dense] {
        &self.layers
    }

    /// Length of its input.
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, Dense::inputs)
    }

    /// Length of its output.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(0, Dense::outputs)
    }

    /// The network that gives for x what this one gives for `scale`·x.
    pub(crate) fn of_scaled_input(&self, scale: f64) -> Self {
        let mut layers = self.layers.clone();
        if let Some(first) = layers.first_mut() {
            *first = first.of_scaled_input(scale);
        }
        Self { layers }
    }

    /// The output (outputs) for the input `x` (inputs).
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `x` has another length.
    pub fn forward(&self, x: ArrayView1<'_, f64>) -> Result<Array1<f64>> {
        if x.len() != self.inputs() {
            return Err(Error::InputLength { found: x.len(), needed: self.inputs() });
        }
        Ok(self.layers.iter().fold(x.to_owned(), |x, layer| layer.forward(x.view())))
    }

    /// The output (outputs) for the input `x` (inputs) and the Jacobian ∂output/∂x (outputs × inputs), by going backwards.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `x` has another length.
    pub fn jacobian(&self, x: ArrayView1<'_, f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        if x.len() != self.inputs() {
            return Err(Error::InputLength { found: x.len(), needed: self.inputs() });
        }
        let (value, slopes) = self.slopes(x);
        let mut jacobian = Array2::eye(self.outputs());
        for (layer, slopes) in self.layers.iter().zip(&slopes).rev() {
            jacobian = (jacobian * slopes).dot(layer.weights());
        }
        Ok((value, jacobian))
    }

    /// The output y (outputs) for the input `x` (inputs) and the gradient of w·y by x (inputs), with w = `weights`(y) (outputs) held.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `x` or w has another length.
    pub fn gradient(
        &self,
        x: ArrayView1<'_, f64>,
        weights: impl FnOnce(&Array1<f64>) -> Array1<f64>,
    ) -> Result<(Array1<f64>, Array1<f64>)> {
        if x.len() != self.inputs() {
            return Err(Error::InputLength { found: x.len(), needed: self.inputs() });
        }
        let (value, slopes) = self.slopes(x);
        let mut gradient = weights(&value);
        if gradient.len() != self.outputs() {
            return Err(Error::InputLength { found: gradient.len(), needed: self.outputs() });
        }
        for (layer, slopes) in self.layers.iter().zip(&slopes).rev() {
            gradient = (gradient * slopes).dot(layer.weights());
        }
        Ok((value, gradient))
    }

    /// The output, and each layer's slopes on the way.
    fn slopes(&self, x: ArrayView1<'_, f64>) -> (Array1<f64>, Vec<Array1<f64>>) {
        let mut slopes = Vec::with_capacity(self.layers.len());
        let mut value = x.to_owned();
        for layer in &self.layers {
            let before = layer.preactivation(value.view());
            slopes.push(before.mapv(|a| layer.activation().slope(a)));
            value = before.mapv_into(|a| layer.activation().at(a));
        }
        (value, slopes)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn forward_by_hand() {
        let hidden = Dense::new(array![[1.0, -1.0], [2.0, 0.5]], array![0.5, -4.0], Activation::Relu).unwrap();
        let output = Dense::new(array![[3.0, 10.0]], array![-1.0], Activation::Identity).unwrap();
        let network = Network::new(vec![hidden, output]).unwrap();
        // Hidden: max(0, 1 − 2 + 0.5) = 0 and max(0, 2 + 1 − 4) = 0, then max(0, 2.5) = 2.5 and max(0, 1) = 1.
        assert_eq!(network.forward(array![1.0, 2.0].view()).unwrap(), array![-1.0]);
        assert_eq!(network.forward(array![2.5, 0.5].view()).unwrap(), array![3.0 * 2.5 + 10.0 * 1.25 - 1.0]);
    }

    #[test]
    fn the_jacobian_is_that_of_differences() {
        let hidden = Dense::new(array![[1.0, -1.0], [2.0, 0.5], [-0.3, 0.7]], array![0.5, -1.0, 0.1], Activation::Gelu);
        let output = Dense::new(array![[3.0, 10.0, -2.0], [0.5, -1.0, 4.0]], array![-1.0, 2.0], Activation::Identity);
        let network = Network::new(vec![hidden.unwrap(), output.unwrap()]).unwrap();
        let x = array![0.3, -0.8];
        let (value, jacobian) = network.jacobian(x.view()).unwrap();
        assert_eq!(value, network.forward(x.view()).unwrap());
        let (same, gradient) = network.gradient(x.view(), |_| array![2.0, -3.0]).unwrap();
        assert_eq!(same, value);
        for input in 0..2 {
            let combined = 2.0 * jacobian[[0, input]] - 3.0 * jacobian[[1, input]];
            assert!((gradient[input] - combined).abs() < 1e-12);
            let mut step = Array1::zeros(2);
            step[input] = 1e-6;
            let ahead = network.forward((&x + &step).view()).unwrap();
            let behind = network.forward((&x - &step).view()).unwrap();
            for output in 0..2 {
                let difference = (ahead[output] - behind[output]) / 2e-6;
                assert!((jacobian[[output, input]] - difference).abs() < 1e-7, "{output}, {input}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let layer = |w: Array2, b: usize| Dense::new(w, Array1::zeros(b), Activation::Identity);
        type Array2 = ndarray::Array2<f64>;
        assert!(matches!(layer(Array2::zeros((0, 2)), 0), Err(Error::InvalidLayer { .. })));
        assert!(matches!(layer(Array2::zeros((2, 0)), 2), Err(Error::InvalidLayer { .. })));
        assert!(matches!(layer(Array2::zeros((2, 3)), 3), Err(Error::InvalidLayer { .. })));
        assert!(matches!(layer(array![[f64::NAN]], 1), Err(Error::InvalidLayer { .. })));
        assert!(matches!(layer(array![[f64::INFINITY]], 1), Err(Error::InvalidLayer { .. })));
        assert!(matches!(Network::new(Vec::new()), Err(Error::InvalidNetwork { layer: 0, .. })));
        let layers = vec![layer(Array2::zeros((2, 3)), 2).unwrap(), layer(Array2::zeros((1, 3)), 1).unwrap()];
        assert!(matches!(Network::new(layers.clone()), Err(Error::InvalidNetwork { layer: 1, .. })));
        let network = Network::new(layers[..1].to_vec()).unwrap();
        assert!(matches!(network.forward(array![1.0].view()), Err(Error::InputLength { found: 1, needed: 3 })));
    }
}
