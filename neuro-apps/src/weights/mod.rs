//! Where a model's tensors come from: drawn from a seed, or read from a checkpoint.

mod checkpoint;
mod seeded;

pub use checkpoint::Checkpoint;
pub use seeded::SeededWeights;
