//! Training: hand-derived passes over plain arrays, single precision, one thread.
//!
//! A batch is worked on as a whole, layer by layer; no loop asks the network for one sample. That takes a few large products a step
//! instead of the dozens of small tensors, each with an allocation and a graph node, that a step costs in a tensor library at these
//! sizes. The same data, parameters and seed give the same weights on machines with the same vector instructions.

mod adam;
mod deep_sets;
mod kernels;
mod loss;
mod mlp;
mod observer;
mod server_state;

pub use deep_sets::{ContextPoint, DeepSetsParams, DeepSetsTrainer, train_deep_sets};
pub use observer::{Observer, Progress};
pub use server_state::{ServerStateParams, ServerStateTrainer, Trained, train_server_state};
