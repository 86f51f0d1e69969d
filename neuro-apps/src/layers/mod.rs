//! Parts that several models share, and kernels that the tensor library has no fast one for.
//!
//! Feature maps stand as (batch, height, width, channels): a 1 × 1 convolution is then one matrix product over the whole batch, and
//! every other kernel has its inner loop over channels that lie side by side.

pub mod activation;
pub mod bert;
pub mod convolution;
pub mod decision_tree;
pub mod dense;
pub mod depthwise;
pub mod graph;
pub mod image;
pub mod inverted_residual;
pub mod lstm;
mod simd;
pub mod squeeze_excitation;
pub mod transformer;
