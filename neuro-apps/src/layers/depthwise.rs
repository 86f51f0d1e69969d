//! Depthwise convolutions: each channel with a kernel of its own.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::activation::Activation;
use super::convolution::{Names, Windows};
use super::simd::{contiguous, for_each_row, vectorised};

/// A depthwise convolution with a square kernel of odd width, zero padding of half that width, a bias and an activation.
///
/// The tensor library would split the channels and convolve one after another. Here the inner loop runs over channels, which lie
/// side by side, with the sums of a block of them in registers. What limits it is loading two values for each multiply-add.
#[derive(Debug, Clone)]
pub struct Depthwise {
    /// (kernel, kernel, channels).
    weight: Tensor,
    bias: Tensor,
    kernel: Kernel,
}

impl Depthwise {
    /// Loads the convolution of `channels` channels: the `weight` of the checkpoint is (channels, 1, kernel, kernel).
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(channels: usize, kernel: usize, stride: usize, activation: Activation, names: &Names) -> Result<Self> {
        let (weight, bias) = names.folded(channels, 1, kernel, activation)?;
        let weight = weight.reshape((channels, kernel, kernel))?.permute((1, 2, 0))?.contiguous()?;
        Ok(Self { weight, bias, kernel: Kernel { windows: Windows { kernel, stride }, activation } })
    }

    /// The activated output.
    ///
    /// # Shapes
    ///
    /// `xs`: (batch, height, width, channels), contiguous. Returns (batch, ⌈height / stride⌉, ⌈width / stride⌉, channels).
    ///
    /// # Errors
    ///
    /// When the number of channels is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply_op3_no_bwd(&self.weight, &self.bias, &self.kernel)
    }
}

#[derive(Debug, Clone, Copy)]
struct Kernel {
    windows: Windows,
    activation: Activation,
}

impl CustomOp3 for Kernel {
    fn name(&self) -> &'static str {
        "depthwise-convolution"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = xs_layout.shape().dims4()?;
        if weight_layout.dims().last() != Some(&channels) {
            candle_core::bail!("a depthwise weight {:?} does not fit {channels} channels", weight_layout.shape());
        }
        let xs = contiguous(xs, xs_layout)?;
        let (weight, bias) = (contiguous(weight, weight_layout)?, contiguous(bias, bias_layout)?);
        let (rows, columns) = (self.windows.outputs(height), self.windows.outputs(width));
        let mut ys = vec![0f32; batch * rows * columns * channels];
        for_each_row(&mut ys, columns * channels, |index, ys| {
            let (item, row) = (index / rows, index % rows);
            let map = &xs[item * height * width * channels..][..height * width * channels];
            let side = self.windows.taps(row, height);
            vectorised(|| {
                for (column, ys) in ys.chunks_exact_mut(channels).enumerate() {
                    let window = Window { map, width, rows: side, columns: self.windows.taps(column, width) };
                    self.position(&window, weight, bias, ys);
                }
            });
        });
        Ok((CpuStorage::F32(ys), Shape::from((batch, rows, columns, channels))))
    }
}

/// The inputs of one output position: the map (height, width, channels) and the taps inside it along either side.
struct Window<'a> {
    map: &'a [f32],
    width: usize,
    rows: (usize, usize, usize),
    columns: (usize, usize, usize),
}

impl Kernel {
    /// All channels of one output position, in blocks that fit in registers.
    #[inline(always)]
    fn position(&self, window: &Window, weight: &[f32], bias: &[f32], ys: &mut [f32]) {
        let channels = ys.len();
        let mut channel = 0;
        while channel + 64 <= channels {
            self.block::<64>(window, weight, bias, ys, channel);
            channel += 64;
        }
        while channel + 8 <= channels {
            self.block::<8>(window, weight, bias, ys, channel);
            channel += 8;
        }
        while channel < channels {
            self.block::<1>(window, weight, bias, ys, channel);
            channel += 1;
        }
    }

    /// The `N` channels from `channel` on.
    #[inline(always)]
    fn block<const N: usize>(&self, window: &Window, weight: &[f32], bias: &[f32], ys: &mut [f32], channel: usize) {
        let channels = ys.len();
        let (first_row, row, count_rows) = window.rows;
        let (first_column, column, count_columns) = window.columns;
        let mut sums = [0f32; N];
        sums.copy_from_slice(&bias[channel..channel + N]);
        for y in 0..count_rows {
            let mut x_at = ((row + y) * window.width + column) * channels + channel;
            let mut w_at = ((first_row + y) * self.windows.kernel + first_column) * channels + channel;
            for _ in 0..count_columns {
                let (x, w) = (&window.map[x_at..x_at + N], &weight[w_at..w_at + N]);
                for lane in 0..N {
                    sums[lane] += x[lane] * w[lane];
                }
                x_at += channels;
                w_at += channels;
            }
        }
        self.activation.apply(&mut sums);
        ys[channel..channel + N].copy_from_slice(&sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::SeededWeights;
    use candle_nn::Init;

    /// The tensor library's grouped convolution is the oracle; 77 channels need blocks of every size.
    #[test]
    fn agrees_with_a_grouped_convolution() {
        let channels = 77;
        for (kernel, stride, height, width) in [(3, 1, 5, 7), (3, 2, 6, 7), (5, 1, 2, 3), (5, 2, 9, 8)] {
            let vb = SeededWeights::var_builder(3);
            let names = Names::biased(vb.pp("c"));
            let depthwise = Depthwise::load(channels, kernel, stride, Activation::Relu, &names).unwrap();
            let weight = names.folded(channels, 1, kernel, Activation::Relu).unwrap().0;
            let init = Init::Randn { mean: 0.0, stdev: 1.0 };
            let xs = vb.get_with_hints((2, height, width, channels), "map", init).unwrap();
            let found = depthwise.forward(&xs).unwrap();

            let nchw = xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let expected = nchw.conv2d(&weight, kernel / 2, stride, 1, channels).unwrap().relu().unwrap();
            let expected = expected.permute((0, 2, 3, 1)).unwrap();
            assert_eq!(found.dims(), expected.dims());
            let difference = (found - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-5, "kernel {kernel}, stride {stride}");
        }
    }
}
