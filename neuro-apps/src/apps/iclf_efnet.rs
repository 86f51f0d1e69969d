//! `iclf-efnet`: image classification by EfficientNetV2-L.

use candle_core::{Result as TensorResult, Tensor};
use candle_nn::VarBuilder;

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::layers::activation::Activation;
use crate::layers::convolution::{Convolution, Names};
use crate::layers::dense::Dense;
use crate::layers::depthwise::Depthwise;
use crate::layers::image::{CLASSES, channels_last, random_images};
use crate::layers::inverted_residual::InvertedResidual;
use crate::layers::squeeze_excitation::{SqueezeExcitation, global_average_pool};
use crate::registry::App;

/// Side of an image, in pixels.
const SIZE: usize = 224;
/// ε of every batch norm.
const EPS: f64 = 1e-3;
/// Channels after the first convolution and before the mean.
const STEM: usize = 32;
const FEATURES: usize = 1_280;

/// The registry entry.
pub static APP: App = App {
    id: "iclf-efnet",
    description: "EfficientNetV2-L on images of 224 x 224 x 3",
    default_batch: 1,
    max_batch: 32,
    model: |weights, _| Ok(Box::new(EfficientNetV2::load(weights)?)),
};

/// A stage of equal blocks, all of kernel 3; the first block has the stride.
struct Stage {
    /// Whether expansion and convolution are one dense convolution.
    fused: bool,
    /// Channels inside a block for each channel of its input.
    expansion: usize,
    stride: usize,
    outputs: usize,
    blocks: usize,
}

/// The stages of the L network, from the authors' implementation and appendix.
const STAGES: [Stage; 7] = [
    Stage { fused: true, expansion: 1, stride: 1, outputs: 32, blocks: 4 },
    Stage { fused: true, expansion: 4, stride: 2, outputs: 64, blocks: 7 },
    Stage { fused: true, expansion: 4, stride: 2, outputs: 96, blocks: 7 },
    Stage { fused: false, expansion: 4, stride: 2, outputs: 192, blocks: 10 },
    Stage { fused: false, expansion: 6, stride: 1, outputs: 224, blocks: 19 },
    Stage { fused: false, expansion: 6, stride: 2, outputs: 384, blocks: 25 },
    Stage { fused: false, expansion: 6, stride: 1, outputs: 640, blocks: 7 },
];

/// EfficientNetV2-L with 1,000 classes, 118,515,272 parameters.
///
/// About 2.7 G multiply-adds for an image of 224 × 224 (12.3 G at the 480 × 480 of its training).
///
/// # References
///
/// M. Tan, Q. V. Le, "EfficientNetV2: Smaller Models and Faster Training", ICML, PMLR 139, 2021, doi 10.48550/arXiv.2104.00298.
#[derive(Debug, Clone)]
pub struct EfficientNetV2 {
    stem: Convolution,
    blocks: Vec<Block>,
    last: Convolution,
    classifier: Dense,
}

#[derive(Debug, Clone)]
enum Block {
    Fused(FusedBlock),
    Inverted(InvertedResidual),
}

/// Expansion and convolution in one, then the projection; without expansion the one convolution alone.
#[derive(Debug, Clone)]
struct FusedBlock {
    convolution: Convolution,
    project: Option<Convolution>,
    residual: bool,
}

impl EfficientNetV2 {
    /// Loads the network under torchvision's names of `efficientnet_v2_l`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder<'static>) -> TensorResult<Self> {
        let features = vb.pp("features");
        let names = |index: usize| Names::sequence(&features.pp(index), EPS);
        let mut inputs = STEM;
        let mut blocks = Vec::new();
        for (index, stage) in STAGES.iter().enumerate() {
            for number in 0..stage.blocks {
                let stride = if number == 0 { stage.stride } else { 1 };
                let vb = features.pp(index + 1).pp(number).pp("block");
                blocks.push(if stage.fused {
                    Block::Fused(FusedBlock::load(inputs, stage, stride, &vb)?)
                } else {
                    Block::Inverted(inverted_residual(inputs, stage, stride, &vb)?)
                });
                inputs = stage.outputs;
            }
        }
        Ok(Self {
            stem: Convolution::load((3, STEM), 3, 2, Activation::Silu, &names(0))?,
            blocks,
            last: Convolution::load((inputs, FEATURES), 1, 1, Activation::Silu, &names(STAGES.len() + 1))?,
            classifier: Dense::load(FEATURES, CLASSES, Activation::Identity, &vb.pp("classifier").pp(1))?,
        })
    }

    /// The logits of each image.
    ///
    /// # Shapes
    ///
    /// `images`: (batch, 3, height, width). Returns (batch, 1000).
    ///
    /// # Errors
    ///
    /// When there are other than three channels.
    pub fn forward(&self, images: &Tensor) -> TensorResult<Tensor> {
        let mut xs = self.stem.forward(&channels_last(images)?)?;
        for block in &self.blocks {
            xs = match block {
                Block::Fused(block) => block.forward(&xs)?,
                Block::Inverted(block) => block.forward(&xs)?,
            };
        }
        self.classifier.forward(&global_average_pool(&self.last.forward(&xs)?)?)
    }
}

impl FusedBlock {
    fn load(inputs: usize, stage: &Stage, stride: usize, vb: &VarBuilder<'static>) -> TensorResult<Self> {
        let (inner, outputs) = (inputs * stage.expansion, stage.outputs);
        let names = |index: usize| Names::sequence(&vb.pp(index), EPS);
        let residual = stride == 1 && inputs == outputs;
        if stage.expansion == 1 {
            let convolution = Convolution::load((inputs, outputs), 3, stride, Activation::Silu, &names(0))?;
            return Ok(Self { convolution, project: None, residual });
        }
        let convolution = Convolution::load((inputs, inner), 3, stride, Activation::Silu, &names(0))?;
        let project = Some(Convolution::load((inner, outputs), 1, 1, Activation::Identity, &names(1))?);
        Ok(Self { convolution, project, residual })
    }

    fn forward(&self, xs: &Tensor) -> TensorResult<Tensor> {
        let mut ys = self.convolution.forward(xs)?;
        if let Some(project) = &self.project {
            ys = project.forward(&ys)?;
        }
        if self.residual { xs + ys } else { Ok(ys) }
    }
}

fn inverted_residual(
    inputs: usize,
    stage: &Stage,
    stride: usize,
    vb: &VarBuilder<'static>,
) -> TensorResult<InvertedResidual> {
    let (inner, outputs) = (inputs * stage.expansion, stage.outputs);
    let names = |index: usize| Names::sequence(&vb.pp(index), EPS);
    let excitation = SqueezeExcitation::load(inner, inputs / 4, Activation::Silu, Activation::Sigmoid, &vb.pp(2))?;
    Ok(InvertedResidual {
        expand: Some(Convolution::load((inputs, inner), 1, 1, Activation::Silu, &names(0))?),
        depthwise: Depthwise::load(inner, 3, stride, Activation::Silu, &names(1))?,
        excitation: Some(excitation),
        project: Convolution::load((inner, outputs), 1, 1, Activation::Identity, &names(3))?,
        residual: stride == 1 && inputs == outputs,
    })
}

impl Model for EfficientNetV2 {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let images = random_images(seed, "iclf-efnet.input", batch, SIZE)?;
        Ok(Tensors::from([("pixel_values".to_owned(), images)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.forward(input(&APP, inputs, "pixel_values")?)?)
    }
}
