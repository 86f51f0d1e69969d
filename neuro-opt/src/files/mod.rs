//! Networks and problems on disk.
//!
//! | file | read by |
//! |---|---|
//! | a problem, with its network, as JSON | [`read_problem`] |
//! | a network as JSON | [`read_network`] |
//! | a profiler's bundle, `weights.safetensors` + `profile.json` | [`read_bundle`] |
//! | layers as JSON beside weights in safetensors | [`read_safetensors`] |
//! | ONNX: dense, ReLU and Gemm graphs as PyTorch exports them | [`read_onnx`] |

mod bundle;
mod json;
mod onnx;
mod safetensors;

pub use bundle::read_bundle;
pub use json::{ProblemFile, read_network, read_problem};
pub use onnx::{onnx_network, read_onnx};
pub use safetensors::read_safetensors;

use std::path::Path;

use crate::{Error, Result};

/// The bytes of a file.
fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::File { path: path.to_owned(), problem: error.to_string() })
}

/// What is wrong with a file.
fn fault(path: &Path, problem: impl std::fmt::Display) -> Error {
    Error::File { path: path.to_owned(), problem: problem.to_string() }
}
