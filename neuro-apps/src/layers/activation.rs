//! Activation functions that the compiler can vectorise, and the pass that applies them together with a bias.
//!
//! The standard library's `exp` and `tanh` are scalar calls; a recurrent network over hundreds of steps would spend more time
//! in them than in its matrix products.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};

use super::simd::{contiguous, contiguous_mut, for_each_row, vectorised};

/// e^x for x in [−87, 87] (clamped), relative error below 3e-7.
///
/// x = k·ln 2 + r with |r| ≤ ln 2 / 2: the polynomial is the Taylor series of e^r to degree 7, and 2^k is written into the
/// exponent. Adding and taking away 1.5·2²³ rounds to the nearest whole number without a call.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2_HIGH - k * LN_2_LOW;
    let p = 1.0 / 5_040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // The low bits of `shifted` hold k; moved up 23 places they are k in the exponent, and the bits of ROUND fall off.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    p * scale
}

/// The logistic function 1 / (1 + e^−x), absolute error below 3e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, as 2·sigmoid(2x) − 1; absolute error below 5e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// What follows a convolution or a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x
    Identity,
    /// max(x, 0)
    Relu,
    /// x·min(max(x + 3, 0), 6) / 6
    ///
    /// # References
    ///
    /// A. Howard et al., "Searching for MobileNetV3", ICCV, 2019, doi 10.1109/ICCV.2019.00140.
    HardSwish,
    /// min(max(x + 3, 0), 6) / 6, of the same source
    HardSigmoid,
    /// x·sigmoid(x), also called swish
    ///
    /// # References
    ///
    /// S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation in reinforcement
    /// learning", Neural Networks 107, 2018, doi 10.1016/j.neunet.2017.12.012.
    Silu,
    /// 1 / (1 + e^−x)
    Sigmoid,
}

impl Activation {
    /// Applies the function to every value.
    #[inline(always)]
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => each(values, |x| x.max(0.0)),
            Self::HardSwish => each(values, |x| x * hard_sigmoid(x)),
            Self::HardSigmoid => each(values, hard_sigmoid),
            Self::Silu => each(values, |x| x * sigmoid(x)),
            Self::Sigmoid => each(values, sigmoid),
        }
    }
}

#[inline(always)]
fn each(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

#[inline(always)]
fn hard_sigmoid(x: f32) -> f32 {
    (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
}

/// Replaces `xs` by activation(xs + bias), in place: one pass over memory where separate operations would take three.
///
/// # Shapes
///
/// `xs`: (…, channels), contiguous; `bias`: (channels).
///
/// # Errors
///
/// When the shapes differ or the values are no 32-bit floats.
pub fn add_bias(xs: &Tensor, bias: &Tensor, activation: Activation) -> Result<()> {
    xs.inplace_op2(bias, &BiasActivation(activation))
}

struct BiasActivation(Activation);

impl InplaceOp2 for BiasActivation {
    fn name(&self) -> &'static str {
        "bias-activation"
    }

    fn cpu_fwd(&self, xs: &mut CpuStorage, xs_layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Result<()> {
        /// Values that one thread takes at a time.
        const GRAIN: usize = 1 << 14;
        let channels = bias_layout.shape().dims1()?;
        if xs_layout.dims().last() != Some(&channels) || channels == 0 {
            candle_core::bail!("a bias of {channels} channels does not fit {:?}", xs_layout.shape());
        }
        let (xs, bias) = (contiguous_mut(xs, xs_layout)?, contiguous(bias, bias_layout)?);
        let width = channels * (GRAIN / channels).clamp(1, xs.len() / channels);
        let add = |xs: &mut [f32]| {
            vectorised(|| {
                for row in xs.chunks_exact_mut(channels) {
                    for (x, b) in row.iter_mut().zip(bias) {
                        *x += b;
                    }
                    self.0.apply(row);
                }
            });
        };
        let whole = xs.len() / width * width;
        let (rows, rest) = xs.split_at_mut(whole);
        for_each_row(rows, width, |_, rows| add(rows));
        add(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn bias_and_activation_agree_with_their_formulas() {
        let (rows, channels) = (40_000, 3);
        let xs: Vec<f32> = (0..rows * channels).map(|i| (i as f32 * 0.37) % 16.0 - 8.0).collect();
        let bias = [0.5f32, -1.0, 0.0];
        type Function = fn(f64) -> f64;
        let cases: [(Activation, Function); 6] = [
            (Activation::Identity, |x| x),
            (Activation::Relu, |x| x.max(0.0)),
            (Activation::HardSwish, |x| x * ((x + 3.0) / 6.0).clamp(0.0, 1.0)),
            (Activation::HardSigmoid, |x| ((x + 3.0) / 6.0).clamp(0.0, 1.0)),
            (Activation::Silu, |x| x / (1.0 + (-x).exp())),
            (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        ];
        for (activation, function) in cases {
            let tensor = Tensor::from_slice(&xs, (rows, channels), &Device::Cpu).unwrap();
            add_bias(&tensor, &Tensor::new(&bias, &Device::Cpu).unwrap(), activation).unwrap();
            let found: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            for (i, found) in found.into_iter().enumerate() {
                let expected = function(f64::from(xs[i] + bias[i % channels]));
                assert!((f64::from(found) - expected).abs() < 3e-6, "{activation:?} of value {i}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn a_bias_of_another_width_is_refused() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(add_bias(&zeros(&[4, 3]), &zeros(&[4]), Activation::Relu).is_err());
        assert!(add_bias(&zeros(&[4, 4]).narrow(1, 0, 3).unwrap(), &zeros(&[3]), Activation::Relu).is_err());
    }

    #[test]
    fn errors_are_within_the_stated_bounds() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 5e-4;
            let exact = f64::from(x);
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-exact).exp())).abs() < 3e-7, "{x}");
            assert!((f64::from(tanh(x)) - exact.tanh()).abs() < 5e-7, "{x}");
            if exact.abs() < 87.0 {
                assert!((f64::from(exp(x)) / exact.exp() - 1.0).abs() < 3e-7, "{x}");
            }
        }
    }
}
