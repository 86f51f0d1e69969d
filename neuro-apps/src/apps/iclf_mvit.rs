//! `iclf-mvit`: image classification by MobileViT-S.

use candle_core::{Result as TensorResult, Tensor};
use candle_nn::{LayerNorm, Module, VarBuilder, layer_norm};

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::layers::activation::Activation;
use crate::layers::convolution::{Bias, Convolution, Names};
use crate::layers::dense::Dense;
use crate::layers::depthwise::Depthwise;
use crate::layers::image::{CLASSES, channels_last, random_images};
use crate::layers::inverted_residual::InvertedResidual;
use crate::layers::squeeze_excitation::global_average_pool;
use crate::layers::transformer::{TransformerLayer, TransformerShape};
use crate::registry::App;

/// Side of an image, in pixels.
const SIZE: usize = 256;
/// ε of every norm.
const EPS: f64 = 1e-5;
/// Channels inside an inverted residual for each channel of its input.
const EXPANSION: usize = 4;
/// Side of a patch, in positions of the feature map.
const PATCH: usize = 2;
/// Attention heads.
const HEADS: usize = 4;
/// Channels after the first convolution, after each stage and before the mean.
const STEM: usize = 16;
const LOCAL_STAGES: [LocalStage; 2] =
    [LocalStage { outputs: 32, stride: 1, blocks: 1 }, LocalStage { outputs: 64, stride: 2, blocks: 3 }];
const GLOBAL_STAGES: [GlobalStage; 3] = [
    GlobalStage { outputs: 96, hidden: 144, layers: 2 },
    GlobalStage { outputs: 128, hidden: 192, layers: 4 },
    GlobalStage { outputs: 160, hidden: 240, layers: 3 },
];
const FEATURES: usize = 640;

/// The registry entry.
pub static APP: App = App {
    id: "iclf-mvit",
    description: "MobileViT-S on images of 256 x 256 x 3",
    default_batch: 2,
    max_batch: 16,
    model: |weights, _| Ok(Box::new(MobileVit::load(weights)?)),
};

/// A stage of inverted residuals; the first has the stride.
struct LocalStage {
    outputs: usize,
    stride: usize,
    blocks: usize,
}

/// A stage that halves the map and then looks at all of it.
struct GlobalStage {
    outputs: usize,
    /// Width of the transformer.
    hidden: usize,
    /// Layers of the transformer.
    layers: usize,
}

/// MobileViT-S with 1,000 classes, 5,578,632 parameters.
///
/// About 2 G multiply-adds for an image of 256 × 256.
///
/// # References
///
/// S. Mehta, M. Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer", ICLR, 2022,
/// doi 10.48550/arXiv.2110.02178.
#[derive(Debug, Clone)]
pub struct MobileVit {
    stem: Convolution,
    local: Vec<InvertedResidual>,
    global: Vec<GlobalBlock>,
    last: Convolution,
    classifier: Dense,
}

impl MobileVit {
    /// Loads the network under the names of Hugging Face's `MobileViTForImageClassification`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder<'static>) -> TensorResult<Self> {
        let model = vb.pp("mobilevit");
        let stages = model.pp("encoder.layer");
        let mut inputs = STEM;
        let mut local = Vec::new();
        for (index, stage) in LOCAL_STAGES.iter().enumerate() {
            for number in 0..stage.blocks {
                let stride = if number == 0 { stage.stride } else { 1 };
                let vb = stages.pp(index).pp("layer").pp(number);
                local.push(inverted_residual(inputs, stage.outputs, stride, &vb)?);
                inputs = stage.outputs;
            }
        }
        let mut global = Vec::new();
        for (index, stage) in GLOBAL_STAGES.iter().enumerate() {
            global.push(GlobalBlock::load(inputs, stage, &stages.pp(LOCAL_STAGES.len() + index))?);
            inputs = stage.outputs;
        }
        Ok(Self {
            stem: Convolution::load((3, STEM), 3, 2, Activation::Silu, &names(&model.pp("conv_stem")))?,
            local,
            global,
            last: Convolution::load((inputs, FEATURES), 1, 1, Activation::Silu, &names(&model.pp("conv_1x1_exp")))?,
            classifier: Dense::load(FEATURES, CLASSES, Activation::Identity, &vb.pp("classifier"))?,
        })
    }

    /// The logits of each image.
    ///
    /// # Shapes
    ///
    /// `images`: (batch, 3, height, width), both sides multiples of 64. Returns (batch, 1000).
    ///
    /// # Errors
    ///
    /// When there are other than three channels or a side is no multiple of 64.
    pub fn forward(&self, images: &Tensor) -> TensorResult<Tensor> {
        let mut xs = self.stem.forward(&channels_last(images)?)?;
        for block in &self.local {
            xs = block.forward(&xs)?;
        }
        for block in &self.global {
            xs = block.forward(&xs)?;
        }
        self.classifier.forward(&global_average_pool(&self.last.forward(&xs)?)?)
    }
}

/// The names of a convolution with its norm in Hugging Face's implementation.
fn names(vb: &VarBuilder<'static>) -> Names {
    Names { convolution: vb.pp("convolution"), bias: Bias::Norm(vb.pp("normalization"), EPS) }
}

fn inverted_residual(
    inputs: usize,
    outputs: usize,
    stride: usize,
    vb: &VarBuilder<'static>,
) -> TensorResult<InvertedResidual> {
    let inner = inputs * EXPANSION;
    Ok(InvertedResidual {
        expand: Some(Convolution::load((inputs, inner), 1, 1, Activation::Silu, &names(&vb.pp("expand_1x1")))?),
        depthwise: Depthwise::load(inner, 3, stride, Activation::Silu, &names(&vb.pp("conv_3x3")))?,
        excitation: None,
        project: Convolution::load((inner, outputs), 1, 1, Activation::Identity, &names(&vb.pp("reduce_1x1")))?,
        residual: stride == 1 && inputs == outputs,
    })
}

/// A MobileViT block: halve the map, look around each position with a convolution, then across the whole map with a transformer over
/// the positions that stand at one place of their patch, and fuse the result with the input.
#[derive(Debug, Clone)]
struct GlobalBlock {
    downsample: InvertedResidual,
    around: Convolution,
    widen: Convolution,
    layers: Vec<TransformerLayer>,
    norm: LayerNorm,
    project: Convolution,
    fuse: Convolution,
}

impl GlobalBlock {
    fn load(inputs: usize, stage: &GlobalStage, vb: &VarBuilder<'static>) -> TensorResult<Self> {
        let &GlobalStage { outputs, hidden, layers } = stage;
        let shape = TransformerShape { hidden, heads: HEADS, inner: 2 * hidden, eps: EPS };
        let layer =
            |index: usize| TransformerLayer::load(shape, Activation::Silu, &vb.pp("transformer.layer").pp(index));
        // The one convolution with neither norm nor bias.
        let widen = Names { convolution: vb.pp("conv_1x1.convolution"), bias: Bias::None };
        Ok(Self {
            downsample: inverted_residual(inputs, outputs, 2, &vb.pp("downsampling_layer"))?,
            around: Convolution::load((outputs, outputs), 3, 1, Activation::Silu, &names(&vb.pp("conv_kxk")))?,
            widen: Convolution::load((outputs, hidden), 1, 1, Activation::Identity, &widen)?,
            layers: (0..layers).map(layer).collect::<TensorResult<_>>()?,
            norm: layer_norm(hidden, EPS, vb.pp("layernorm"))?,
            project: Convolution::load((hidden, outputs), 1, 1, Activation::Silu, &names(&vb.pp("conv_projection")))?,
            fuse: Convolution::load((2 * outputs, outputs), 3, 1, Activation::Silu, &names(&vb.pp("fusion")))?,
        })
    }

    fn forward(&self, xs: &Tensor) -> TensorResult<Tensor> {
        let xs = self.downsample.forward(xs)?;
        let wide = self.widen.forward(&self.around.forward(&xs)?)?;
        let (batch, height, width, _) = wide.dims4()?;
        let mut tokens = unfold(&wide)?;
        for layer in &self.layers {
            tokens = layer.forward(&tokens)?;
        }
        let map = fold(&self.norm.forward(&tokens)?, batch, height, width)?;
        self.fuse.forward(&Tensor::cat(&[&xs, &self.project.forward(&map)?], 3)?)
    }
}

/// A map (batch, height, width, channels) as (batch · 4, patches, channels): one sequence for each place in a patch.
fn unfold(map: &Tensor) -> TensorResult<Tensor> {
    let (batch, height, width, channels) = map.dims4()?;
    if height % PATCH != 0 || width % PATCH != 0 {
        candle_core::bail!(
            "a map of {height} × {width} is not made of whole patches: the image's sides must be multiples of 64"
        );
    }
    let (rows, columns) = (height / PATCH, width / PATCH);
    map.reshape(&[batch, rows, PATCH, columns, PATCH, channels][..])?
        .permute(vec![0, 2, 4, 1, 3, 5])?
        .reshape((batch * PATCH * PATCH, rows * columns, channels))?
        .contiguous()
}

/// The inverse of [`unfold`].
fn fold(tokens: &Tensor, batch: usize, height: usize, width: usize) -> TensorResult<Tensor> {
    let channels = tokens.dim(2)?;
    tokens
        .reshape(&[batch, PATCH, PATCH, height / PATCH, width / PATCH, channels][..])?
        .permute(vec![0, 3, 1, 4, 2, 5])?
        .reshape((batch, height, width, channels))?
        .contiguous()
}

impl Model for MobileVit {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let images = random_images(seed, "iclf-mvit.input", batch, SIZE)?;
        Ok(Tensors::from([("pixel_values".to_owned(), images)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.forward(input(&APP, inputs, "pixel_values")?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn unfolding_gathers_the_places_of_the_patches() {
        // A map of 2 × 4 positions with one channel, numbered row by row: two patches, [0 1; 4 5] and [2 3; 6 7].
        let map = Tensor::arange(0f32, 8.0, &Device::Cpu).unwrap().reshape((1, 2, 4, 1)).unwrap();
        let tokens = unfold(&map).unwrap();
        let expected = [[0.0, 2.0], [1.0, 3.0], [4.0, 6.0], [5.0, 7.0]].map(|row| row.to_vec());
        assert_eq!(tokens.squeeze(2).unwrap().to_vec2::<f32>().unwrap(), expected);
        let back = fold(&tokens, 1, 2, 4).unwrap();
        assert_eq!(back.flatten_all().unwrap().to_vec1::<f32>().unwrap(), (0..8u8).map(f32::from).collect::<Vec<_>>());
    }

    #[test]
    fn an_image_that_is_not_made_of_patches_is_refused() {
        let map = Tensor::zeros((1, 3, 4, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(unfold(&map).unwrap_err().to_string().contains("multiples of 64"));
    }
}
