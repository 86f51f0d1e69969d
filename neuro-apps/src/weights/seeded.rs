//! Random weights, reproducible tensor by tensor.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use rand::distributions::{Distribution, Standard};
use rand_distr::StandardNormal;

use crate::seed;

/// A source of tensors which draws each one, on request, from the seed and the tensor's name.
///
/// A model loads from it exactly as it loads from a checkpoint, through a [`VarBuilder`]. Every tensor has a random stream
/// of its own, so the order of the requests does not matter, and adding a layer leaves the others' weights as they were.
/// The distribution is the one the layer asks for ([`Init`]).
///
/// ```
/// use neuro_apps::weights::SeededWeights;
///
/// # fn main() -> candle_core::Result<()> {
/// let a = SeededWeights::var_builder(7).pp("dense").get((3, 2), "bias")?;
/// let layer = candle_nn::linear(2, 3, SeededWeights::var_builder(7).pp("dense"))?;
/// assert_eq!(layer.weight().dims(), a.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SeededWeights {
    seed: u64,
}

impl SeededWeights {
    /// The source of the weights of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A [`VarBuilder`] over the weights of `seed`: 32-bit floats in main memory.
    pub fn var_builder(seed: u64) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Self::new(seed)), DType::F32, Device::Cpu)
    }

    fn draw(&self, name: &str, init: Init, shape: &Shape) -> Vec<f32> {
        let count = shape.elem_count();
        let mut rng = seed::stream(self.seed, name);
        let mut normal = |mean: f64, stdev: f64| -> Vec<f32> {
            let (mean, stdev) = (mean as f32, stdev as f32);
            let standard: rand::distributions::DistIter<_, _, f32> = StandardNormal.sample_iter(&mut rng);
            standard.take(count).map(|z| mean + stdev * z).collect()
        };
        match init {
            Init::Const(value) => vec![value as f32; count],
            Init::Randn { mean, stdev } => normal(mean, stdev),
            Init::Uniform { lo, up } => self.uniform(name, lo, up, count),
            Init::Kaiming { dist, fan, non_linearity } => {
                let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
                match dist {
                    NormalOrUniform::Normal => normal(0.0, stdev),
                    NormalOrUniform::Uniform => {
                        let bound = 3f64.sqrt() * stdev;
                        self.uniform(name, -bound, bound, count)
                    }
                }
            }
        }
    }

    fn uniform(&self, name: &str, lo: f64, up: f64, count: usize) -> Vec<f32> {
        let (lo, width) = (lo as f32, (up - lo) as f32);
        let unit: rand::distributions::DistIter<_, _, f32> = Standard.sample_iter(seed::stream(self.seed, name));
        unit.take(count).map(|u| lo + width * u).collect()
    }
}

impl SimpleBackend for SeededWeights {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let values = self.draw(name, init, &shape);
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> Result<Tensor> {
        candle_core::bail!("random weights need a shape to draw tensor `{name}`")
    }

    /// Always false: no tensor is stored, each is drawn on request.
    fn contains_tensor(&self, _name: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Init = Init::Randn { mean: 3.0, stdev: 2.0 };

    fn get(seed: u64, name: &str, init: Init, count: usize) -> Vec<f32> {
        SeededWeights::var_builder(seed).get_with_hints(count, name, init).and_then(|tensor| tensor.to_vec1()).unwrap()
    }

    #[test]
    fn a_tensor_does_not_depend_on_the_order_of_requests() {
        let weights = SeededWeights::var_builder(5);
        let read = |name: &str| -> Vec<f32> {
            let tensor = weights.pp("layer").get_with_hints(10, name, NORMAL);
            tensor.unwrap().to_vec1().unwrap()
        };
        let (a, b) = (read("a"), read("b"));
        let (b_first, a_second) = (read("b"), read("a"));
        assert_eq!((a.clone(), b.clone()), (a_second, b_first));
        assert_ne!(a, b);
        assert_ne!(a, get(6, "layer.a", NORMAL, 10));
        assert_eq!(a, get(5, "layer.a", NORMAL, 10));
    }

    #[test]
    fn distributions_are_those_asked_for() {
        let n = 100_000;
        let moments = |x: &[f32]| {
            let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            let var = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n as f64;
            (mean, var.sqrt())
        };
        // Standard errors: 2/√n = 0.006 for the mean of the normal, 4.5 × less for its deviation.
        let (mean, stdev) = moments(&get(1, "n", NORMAL, n));
        assert!((mean - 3.0).abs() < 0.04 && (stdev - 2.0).abs() < 0.04);

        let uniform = get(1, "u", Init::Uniform { lo: -1.0, up: 3.0 }, n);
        assert!(uniform.iter().all(|v| (-1.0..=3.0).contains(v)));
        let (mean, stdev) = moments(&uniform);
        assert!((mean - 1.0).abs() < 0.02 && (stdev - 4.0 / 12f64.sqrt()).abs() < 0.02);

        assert_eq!(get(1, "c", Init::Const(0.5), 3), vec![0.5; 3]);

        // Kaiming, fan-in 50, ReLU gain √2: deviation √(2/50) = 0.2, normal or uniform.
        for init in [candle_nn::init::DEFAULT_KAIMING_NORMAL, candle_nn::init::DEFAULT_KAIMING_UNIFORM] {
            let tensor = SeededWeights::var_builder(1).get_with_hints((n / 50, 50), "k", init);
            let values = tensor.unwrap().flatten_all().unwrap().to_vec1::<f32>();
            let (mean, stdev) = moments(&values.unwrap());
            assert!(mean.abs() < 0.005 && (stdev - 0.2).abs() < 0.005);
        }
    }
}
