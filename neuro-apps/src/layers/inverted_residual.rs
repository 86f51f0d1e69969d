//! The building block of mobile image classifiers.

use candle_core::{Result, Tensor};

use super::convolution::Convolution;
use super::depthwise::Depthwise;
use super::squeeze_excitation::SqueezeExcitation;

/// An inverted residual: expand to more channels, convolve each of them, weight them, project to fewer; and add the input where it
/// has the shape of the output.
///
/// # References
///
/// M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR, 2018,
/// doi 10.1109/CVPR.2018.00474.
#[derive(Debug, Clone)]
pub struct InvertedResidual {
    /// 1 × 1, activated; none where the number of channels stays.
    pub expand: Option<Convolution>,
    /// The convolution of each channel, activated.
    pub depthwise: Depthwise,
    /// The weights of the channels, where the network has them.
    pub excitation: Option<SqueezeExcitation>,
    /// 1 × 1, not activated.
    pub project: Convolution,
    /// Whether the input is added.
    pub residual: bool,
}

impl InvertedResidual {
    /// # Shapes
    ///
    /// `xs`: (batch, height, width, inputs), contiguous. Returns (batch, ⌈height / stride⌉, ⌈width / stride⌉, outputs).
    ///
    /// # Errors
    ///
    /// When the number of channels is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = match &self.expand {
            Some(expand) => self.depthwise.forward(&expand.forward(xs)?)?,
            None => self.depthwise.forward(xs)?,
        };
        if let Some(excitation) = &self.excitation {
            excitation.apply(&ys)?;
        }
        let ys = self.project.forward(&ys)?;
        if self.residual { xs + ys } else { Ok(ys) }
    }
}
