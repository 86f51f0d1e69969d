//! Convolutions with batch norm folded in, as matrix products.

use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor};
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_nn::var_builder::VarBuilder;

use super::activation::{Activation, add_bias};
use super::simd::{contiguous, for_each_row};

/// Where the tensors of a convolution and of the batch norm after it stand in a checkpoint.
pub struct Names {
    /// The convolution: its `weight`.
    pub convolution: VarBuilder<'static>,
    /// Where its bias comes from.
    pub bias: Bias,
}

/// What shifts the output of a convolution.
pub enum Bias {
    /// Nothing.
    None,
    /// The convolution's own `bias`.
    Own,
    /// A batch norm: its `weight`, `bias`, `running_mean`, `running_var`, and ε.
    Norm(VarBuilder<'static>, f64),
}

impl Names {
    /// The names of a torchvision sequence: the convolution is its member 0, the norm member 1.
    pub fn sequence(vb: &VarBuilder<'static>, eps: f64) -> Self {
        Self { convolution: vb.pp(0), bias: Bias::Norm(vb.pp(1), eps) }
    }

    /// A convolution with a bias of its own.
    pub fn biased(vb: VarBuilder<'static>) -> Self {
        Self { convolution: vb, bias: Bias::Own }
    }

    /// The weight (`outputs`, `inputs`, `kernel`, `kernel`) and the bias (`outputs`) of one convolution that does what convolution and
    /// norm do one after the other: with s = γ/√(σ² + ε), the weight is s·W and the bias is β − s·μ.
    ///
    /// Initial values, where the builder draws them: normal, of variance g² / (inputs · kernel²), and a norm that changes nothing. The
    /// gain g is √2, which keeps the variance through a ReLU, and ½ where no activation follows, so that the sums of a deep residual
    /// network stay small.
    pub(super) fn folded(
        &self,
        outputs: usize,
        inputs: usize,
        kernel: usize,
        activation: Activation,
    ) -> Result<(Tensor, Tensor)> {
        let non_linearity = match activation {
            Activation::Identity => NonLinearity::ExplicitGain(0.5),
            _ => NonLinearity::ReLU,
        };
        let random = Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity };
        let weight = self.convolution.get_with_hints((outputs, inputs, kernel, kernel), "weight", random)?;
        let (norm, eps) = match &self.bias {
            Bias::None => return Ok((weight, Tensor::zeros(outputs, DType::F32, &Device::Cpu)?)),
            Bias::Own => return Ok((weight, self.convolution.get_with_hints(outputs, "bias", Init::Const(0.0))?)),
            Bias::Norm(norm, eps) => (norm, eps),
        };
        let get = |name: &str, value: f64| norm.get_with_hints(outputs, name, Init::Const(value));
        let (gamma, beta) = (get("weight", 1.0)?, get("bias", 0.0)?);
        let (mean, variance) = (get("running_mean", 0.0)?, get("running_var", 1.0)?);
        let scale = (gamma / (variance + *eps)?.sqrt()?)?;
        Ok((weight.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, (beta - scale * mean)?))
    }
}

/// A convolution over all channels with a square kernel of odd width, zero padding of half that width, a bias and an activation.
///
/// For each output position the input values under the kernel are gathered into a row, and all rows are multiplied by the weight: one
/// matrix product. A 1 × 1 kernel needs no gathering.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// (kernel · kernel · inputs, outputs).
    weight: Tensor,
    bias: Tensor,
    kernel: usize,
    stride: usize,
    activation: Activation,
}

impl Convolution {
    /// Loads a convolution from `inputs` to `outputs` channels.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        stride: usize,
        activation: Activation,
        names: &Names,
    ) -> Result<Self> {
        let (weight, bias) = names.folded(outputs, inputs, kernel, activation)?;
        let weight = weight.permute((2, 3, 1, 0))?.reshape((kernel * kernel * inputs, outputs))?.contiguous()?;
        Ok(Self { weight, bias, kernel, stride, activation })
    }

    /// The activated output.
    ///
    /// # Shapes
    ///
    /// `xs`: (batch, height, width, inputs), contiguous. Returns (batch, ⌈height / stride⌉, ⌈width / stride⌉, outputs).
    ///
    /// # Errors
    ///
    /// When the number of channels is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, height, width, inputs) = xs.dims4()?;
        let outputs = self.weight.dim(1)?;
        let windows = Windows { kernel: self.kernel, stride: self.stride };
        let (rows, columns) = (windows.outputs(height), windows.outputs(width));
        let ys = if self.kernel == 1 && self.stride == 1 {
            xs.reshape((batch * rows * columns, inputs))?.matmul(&self.weight)?
        } else {
            let window = self.kernel * self.kernel * inputs;
            let items = (GATHERED / (rows * columns * window).max(1)).clamp(1, batch.max(1));
            let products = (0..batch).step_by(items).map(|first| {
                let part = xs.narrow(0, first, items.min(batch - first))?;
                part.apply_op1_no_bwd(&windows)?.matmul(&self.weight)
            });
            let products = products.collect::<Result<Vec<_>>>()?;
            if let [product] = &products[..] { product.clone() } else { Tensor::cat(&products, 0)? }
        };
        add_bias(&ys, &self.bias, self.activation)?;
        ys.reshape((batch, rows, columns, outputs))
    }
}

/// Values gathered at a time, but one item at least: 8 MB, so that the memory of a batch is that of its maps and the rows are still in
/// the cache when they are multiplied.
const GATHERED: usize = 2_000_000;

/// The windows of a kernel over a feature map with zero padding of half the kernel's width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Windows {
    /// Number of windows along a side of `size`.
    pub(super) fn outputs(self, size: usize) -> usize {
        size.div_ceil(self.stride)
    }

    /// The part of the window `output` that lies inside a side of `size`: first tap, first input, number of taps.
    pub(super) fn taps(self, output: usize, size: usize) -> (usize, usize, usize) {
        let (padding, start) = (self.kernel / 2, output * self.stride);
        let first = padding.saturating_sub(start);
        let input = (start + first).saturating_sub(padding);
        (first, input, (self.kernel - first).min(size - input))
    }
}

/// Gathers windows: (batch, height, width, channels) to (batch · rows · columns, kernel · kernel · channels).
impl CustomOp1 for Windows {
    fn name(&self) -> &'static str {
        "gather-windows"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let xs = contiguous(xs, layout)?;
        let (rows, columns) = (self.outputs(height), self.outputs(width));
        let window = self.kernel * self.kernel * channels;
        let mut gathered = vec![0f32; batch * rows * columns * window];
        for_each_row(&mut gathered, columns * window, |index, gathered| {
            let (item, row) = (index / rows, index % rows);
            let (first_y, y, count_y) = self.taps(row, height);
            for (column, window) in gathered.chunks_exact_mut(window).enumerate() {
                let (first_x, x, count_x) = self.taps(column, width);
                for tap in 0..count_y {
                    let from = ((item * height + y + tap) * width + x) * channels;
                    let to = ((first_y + tap) * self.kernel + first_x) * channels;
                    let run = count_x * channels;
                    window[to..to + run].copy_from_slice(&xs[from..from + run]);
                }
            }
        });
        Ok((CpuStorage::F32(gathered), Shape::from((batch * rows * columns, window))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::SeededWeights;

    fn map(seed: u64, shape: (usize, usize, usize, usize)) -> Tensor {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        SeededWeights::var_builder(seed).get_with_hints(shape, "map", init).unwrap()
    }

    /// The largest difference between two tensors.
    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        let difference = (a - b).unwrap().abs().unwrap();
        difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    /// The tensor library's own convolution, then its batch norm, is the oracle.
    #[test]
    fn agrees_with_convolution_and_batch_norm_one_after_the_other() {
        for (kernel, stride, height, width) in
            [(1, 1, 5, 4), (1, 2, 5, 4), (3, 1, 5, 7), (3, 2, 6, 7), (5, 1, 2, 3), (5, 2, 9, 8)]
        {
            let (inputs, outputs) = (3, 5);
            let vb = SeededWeights::var_builder(1);
            let names = Names::biased(vb.pp("c"));
            let (weight, bias) = names.folded(outputs, inputs, kernel, Activation::Identity).unwrap();
            assert_eq!(bias.to_vec1::<f32>().unwrap(), [0.0; 5]);

            // A norm whose four tensors all matter.
            let gamma = Tensor::new(&[1.5f32, 0.5, -1.0, 2.0, 1.0], &Device::Cpu).unwrap();
            let beta = Tensor::new(&[0.1f32, 0.2, 0.3, -0.4, 0.0], &Device::Cpu).unwrap();
            let mean = Tensor::new(&[-0.3f32, 0.0, 0.6, 0.2, 1.0], &Device::Cpu).unwrap();
            let variance = Tensor::new(&[0.5f32, 2.0, 1.0, 0.1, 3.0], &Device::Cpu).unwrap();
            let tensors = [("weight", &gamma), ("bias", &beta), ("running_mean", &mean), ("running_var", &variance)];
            let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor.clone())).into();
            let norm = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
            let names = Names { convolution: vb.pp("c"), bias: Bias::Norm(norm, 1e-3) };

            let xs = map(kernel as u64, (2, height, width, inputs));
            let convolution =
                Convolution::load((inputs, outputs), kernel, stride, Activation::Identity, &names).unwrap();
            let found = convolution.forward(&xs).unwrap();

            let nchw = xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let plain = nchw.conv2d(&weight, kernel / 2, stride, 1, 1).unwrap();
            let norm = candle_nn::BatchNorm::new(outputs, mean, variance, gamma, beta, 1e-3).unwrap();
            let expected = plain.apply_t(&norm, false).unwrap().permute((0, 2, 3, 1)).unwrap();
            assert_eq!(found.dims(), expected.dims());
            assert!(distance(&found, &expected) < 1e-4, "kernel {kernel}, stride {stride}");
        }
    }

    #[test]
    fn windows_at_the_borders_keep_the_taps_inside() {
        let windows = Windows { kernel: 5, stride: 2 };
        // Output 0 of a side of 6 covers inputs −2..3, output 2 covers 2..7.
        assert_eq!(windows.outputs(6), 3);
        assert_eq!(windows.taps(0, 6), (2, 0, 3));
        assert_eq!(windows.taps(1, 6), (0, 0, 5));
        assert_eq!(windows.taps(2, 6), (0, 2, 4));
        // A side narrower than the kernel.
        assert_eq!(Windows { kernel: 5, stride: 1 }.taps(0, 1), (2, 0, 1));
    }
}
