//! Squeeze-and-excitation: channels weighted by what the whole map holds.

use candle_core::{CpuStorage, CustomOp1, InplaceOp2, Layout, Result, Shape, Tensor};
use candle_nn::VarBuilder;

use super::activation::Activation;
use super::convolution::{Convolution, Names};
use super::simd::{contiguous, contiguous_mut, for_each_row, vectorised};

/// A squeeze-and-excitation block: with s the mean of each channel, x becomes x ⊙ gate(W_2·act(W_1·s + b_1) + b_2).
///
/// # References
///
/// J. Hu, L. Shen, G. Sun, "Squeeze-and-Excitation Networks", CVPR, 2018, doi 10.1109/CVPR.2018.00745.
#[derive(Debug, Clone)]
pub struct SqueezeExcitation {
    squeeze: Convolution,
    excite: Convolution,
}

impl SqueezeExcitation {
    /// Loads the block under torchvision's names, `fc1` and `fc2`: from `channels` to `squeezed` and back.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(
        channels: usize,
        squeezed: usize,
        activation: Activation,
        gate: Activation,
        vb: &VarBuilder<'static>,
    ) -> Result<Self> {
        Ok(Self {
            squeeze: Convolution::load((channels, squeezed), 1, 1, activation, &Names::biased(vb.pp("fc1")))?,
            excite: Convolution::load((squeezed, channels), 1, 1, gate, &Names::biased(vb.pp("fc2")))?,
        })
    }

    /// Weights the channels of `xs` in place.
    ///
    /// # Shapes
    ///
    /// `xs`: (batch, height, width, channels), contiguous.
    ///
    /// # Errors
    ///
    /// When the number of channels is another one.
    pub fn apply(&self, xs: &Tensor) -> Result<()> {
        let (batch, _, _, channels) = xs.dims4()?;
        let means = global_average_pool(xs)?.reshape((batch, 1, 1, channels))?;
        let gates = self.excite.forward(&self.squeeze.forward(&means)?)?;
        xs.inplace_op2(&gates, &ScaleChannels)
    }
}

/// The mean of each channel: (batch, height, width, channels) to (batch, channels), also called global average pooling.
///
/// # Errors
///
/// When the map is no contiguous one of 32-bit floats.
pub fn global_average_pool(xs: &Tensor) -> Result<Tensor> {
    xs.apply_op1_no_bwd(&GlobalAveragePool)
}

struct GlobalAveragePool;

impl CustomOp1 for GlobalAveragePool {
    fn name(&self) -> &'static str {
        "global-average-pool"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let xs = contiguous(xs, layout)?;
        let positions = height * width;
        let mut means = vec![0f32; batch * channels];
        for_each_row(&mut means, channels, |item, means| {
            vectorised(|| {
                for position in xs[item * positions * channels..][..positions * channels].chunks_exact(channels) {
                    for (sum, x) in means.iter_mut().zip(position) {
                        *sum += x;
                    }
                }
                let share = 1.0 / positions as f32;
                means.iter_mut().for_each(|mean| *mean *= share);
            });
        });
        Ok((CpuStorage::F32(means), Shape::from((batch, channels))))
    }
}

/// Multiplies a map (batch, height, width, channels) by gates (batch, 1, 1, channels).
struct ScaleChannels;

impl InplaceOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        "scale-channels"
    }

    fn cpu_fwd(&self, xs: &mut CpuStorage, xs_layout: &Layout, gates: &CpuStorage, layout: &Layout) -> Result<()> {
        let (batch, height, width, channels) = xs_layout.shape().dims4()?;
        if layout.dims() != [batch, 1, 1, channels] {
            candle_core::bail!("gates {:?} do not fit a map {:?}", layout.shape(), xs_layout.shape());
        }
        let (xs, gates) = (contiguous_mut(xs, xs_layout)?, contiguous(gates, layout)?);
        for_each_row(xs, width * channels, |index, row| {
            let gates = &gates[index / height * channels..][..channels];
            vectorised(|| {
                for position in row.chunks_exact_mut(channels) {
                    for (x, gate) in position.iter_mut().zip(gates) {
                        *x *= gate;
                    }
                }
            });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::SeededWeights;
    use candle_nn::Init;

    /// The same block out of the tensor library's operations.
    #[test]
    fn agrees_with_separate_operations() {
        let (batch, height, width, channels, squeezed) = (2, 3, 5, 9, 4);
        let vb = SeededWeights::var_builder(5);
        let block = SqueezeExcitation::load(channels, squeezed, Activation::Relu, Activation::Sigmoid, &vb).unwrap();
        let init = Init::Randn { mean: 0.3, stdev: 1.0 };
        let xs = vb.get_with_hints((batch, height, width, channels), "map", init).unwrap();

        let weight = |name: &str, outputs, inputs| {
            let (weight, _) = Names::biased(vb.pp(name)).folded(outputs, inputs, 1, Activation::Relu).unwrap();
            weight.reshape((outputs, inputs)).unwrap().t().unwrap()
        };
        let means = xs.mean((1, 2)).unwrap();
        let inner = means.matmul(&weight("fc1", squeezed, channels)).unwrap().relu().unwrap();
        let gates = candle_nn::ops::sigmoid(&inner.matmul(&weight("fc2", channels, squeezed)).unwrap()).unwrap();
        let expected = xs.broadcast_mul(&gates.reshape((batch, 1, 1, channels)).unwrap()).unwrap();

        let found = xs.copy().unwrap();
        block.apply(&found).unwrap();
        let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
    }
}
