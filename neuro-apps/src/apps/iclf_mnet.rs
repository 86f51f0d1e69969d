//! `iclf-mnet`: image classification by MobileNetV3-Large.

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
/// Channels after the first convolution, before the mean and before the classifier.
const STEM: usize = 16;
const FEATURES: usize = 960;
const HIDDEN: usize = 1_280;

/// The registry entry.
pub static APP: App = App {
    id: "iclf-mnet",
    description: "MobileNetV3-Large on images of 224 x 224 x 3",
    default_batch: 8,
    max_batch: 64,
    model: |weights, _| Ok(Box::new(MobileNetV3::load(weights)?)),
};

/// A row of the network's table: kernel, channels inside, channels out, squeeze-and-excitation, activation, stride.
type Row = (usize, usize, usize, bool, Activation, usize);

/// Table 1 of the paper, from the second row to the last but three.
const ROWS: [Row; 15] = {
    use Activation::{HardSwish, Relu};
    [
        (3, 16, 16, false, Relu, 1),
        (3, 64, 24, false, Relu, 2),
        (3, 72, 24, false, Relu, 1),
        (5, 72, 40, true, Relu, 2),
        (5, 120, 40, true, Relu, 1),
        (5, 120, 40, true, Relu, 1),
        (3, 240, 80, false, HardSwish, 2),
        (3, 200, 80, false, HardSwish, 1),
        (3, 184, 80, false, HardSwish, 1),
        (3, 184, 80, false, HardSwish, 1),
        (3, 480, 112, true, HardSwish, 1),
        (3, 672, 112, true, HardSwish, 1),
        (5, 672, 160, true, HardSwish, 2),
        (5, 960, 160, true, HardSwish, 1),
        (5, 960, 160, true, HardSwish, 1),
    ]
};

/// MobileNetV3-Large with 1,000 classes, 5,483,032 parameters.
///
/// About 0.22 G multiply-adds for an image of 224 × 224.
///
/// # References
///
/// A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan, Q. V. Le, H. Adam, "Searching
/// for MobileNetV3", ICCV, 2019, doi 10.1109/ICCV.2019.00140.
#[derive(Debug, Clone)]
pub struct MobileNetV3 {
    stem: Convolution,
    blocks: Vec<InvertedResidual>,
    last: Convolution,
    hidden: Dense,
    classifier: Dense,
}

impl MobileNetV3 {
    /// Loads the network under torchvision's names of `mobilenet_v3_large`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder<'static>) -> TensorResult<Self> {
        let features = vb.pp("features");
        let names = |index: usize| Names::sequence(&features.pp(index), EPS);
        let mut inputs = STEM;
        let mut blocks = Vec::with_capacity(ROWS.len());
        for (index, row) in ROWS.iter().enumerate() {
            blocks.push(block(inputs, row, &features.pp(index + 1).pp("block"))?);
            inputs = row.2;
        }
        let classifier = vb.pp("classifier");
        Ok(Self {
            stem: Convolution::load((3, STEM), 3, 2, Activation::HardSwish, &names(0))?,
            blocks,
            last: Convolution::load((inputs, FEATURES), 1, 1, Activation::HardSwish, &names(ROWS.len() + 1))?,
            hidden: Dense::load(FEATURES, HIDDEN, Activation::HardSwish, &classifier.pp(0))?,
            classifier: Dense::load(HIDDEN, CLASSES, Activation::Identity, &classifier.pp(3))?,
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
            xs = block.forward(&xs)?;
        }
        let features = global_average_pool(&self.last.forward(&xs)?)?;
        self.classifier.forward(&self.hidden.forward(&features)?)
    }
}

/// The block of a row: its layers are numbered, those that it lacks are left out.
fn block(inputs: usize, row: &Row, vb: &VarBuilder<'static>) -> TensorResult<InvertedResidual> {
    let &(kernel, inner, outputs, excited, activation, stride) = row;
    let mut next = 0;
    let mut layer = || {
        next += 1;
        vb.pp(next - 1)
    };
    let pointwise = |channels, activation, vb: VarBuilder<'static>| {
        Convolution::load(channels, 1, 1, activation, &Names::sequence(&vb, EPS))
    };
    Ok(InvertedResidual {
        expand: if inner == inputs { None } else { Some(pointwise((inputs, inner), activation, layer())?) },
        depthwise: Depthwise::load(inner, kernel, stride, activation, &Names::sequence(&layer(), EPS))?,
        excitation: if excited {
            let squeezed = multiple_of_8(inner / 4);
            Some(SqueezeExcitation::load(inner, squeezed, Activation::Relu, Activation::HardSigmoid, &layer())?)
        } else {
            None
        },
        project: pointwise((inner, outputs), Activation::Identity, layer())?,
        residual: stride == 1 && inputs == outputs,
    })
}

/// The multiple of 8 nearest to `channels`; the one above it where that would take away more than a tenth.
fn multiple_of_8(channels: usize) -> usize {
    let nearest = ((channels + 4) / 8 * 8).max(8);
    if 10 * nearest < 9 * channels { nearest + 8 } else { nearest }
}

impl Model for MobileNetV3 {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let images = random_images(seed, "iclf-mnet.input", batch, SIZE)?;
        Ok(Tensors::from([("pixel_values".to_owned(), images)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.forward(input(&APP, inputs, "pixel_values")?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_rounded_as_published() {
        // 72/4 = 18 would become 16, more than a tenth less.
        assert_eq!([72, 120, 480, 672, 960].map(|inner| multiple_of_8(inner / 4)), [24, 32, 120, 168, 240]);
    }
}
