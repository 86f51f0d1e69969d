//! What image classifiers share: images in, classes out.

use candle_core::{Device, Result, Tensor};
use rand_distr::{Distribution, StandardNormal};

use crate::seed;

/// Number of classes of ImageNet.
pub const CLASSES: usize = 1_000;

/// White noise of unit variance, as a normalised image roughly is: (batch, 3, size, size), the channels first as in PyTorch. `name`
/// and `seed` determine it.
///
/// # Errors
///
/// When the tensor cannot be made.
pub fn random_images(seed: u64, name: &str, batch: usize, size: usize) -> Result<Tensor> {
    let values: Vec<f32> = StandardNormal.sample_iter(seed::stream(seed, name)).take(batch * 3 * size * size).collect();
    Tensor::from_vec(values, (batch, 3, size, size), &Device::Cpu)
}

/// Images with the channels first to a feature map with the channels last.
///
/// # Errors
///
/// When there are not four dimensions.
pub fn channels_last(images: &Tensor) -> Result<Tensor> {
    images.permute((0, 2, 3, 1))?.contiguous()
}
