use std::path::Path;

use neuro_profiler::network::Network;
use neuro_profiler::{Bundle, Model};

use super::fault;
use crate::Result;

/// Reads the network of a profiler's bundle that is to be embedded.
///
/// | profiler | network |
/// |---|---|
/// | `server-state` | of the server's state h (d) → (apps × 3): ReLU |
/// | `paper` and its variants | ρ, (h, embedding, n/16, λ/10) → 3: GELU, which bounds and tables take and exact encodings refuse |
///
/// # Errors
///
/// Those of [`Bundle::read`], and [`Error::File`](crate::Error::File) for a profiler without a network.
pub fn read_bundle(folder: &Path) -> Result<Network> {
    let bundle = Bundle::read(folder)?;
    match bundle.model() {
        Model::ServerState(model) => Ok(model.head().clone()),
        Model::Paper(model) => Ok(model.rho().clone()),
        other => {
            let name = other.architecture().name();
            Err(fault(
                folder,
                format!("holds a {name} profiler, which has no network; server-state and paper have one"),
            ))
        }
    }
}
