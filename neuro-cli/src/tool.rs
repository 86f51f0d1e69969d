//! What made a measurement.

use neuro_data::Tool;

/// This version of the project, for manifests.
pub fn tool() -> Tool {
    Tool {
        name: "neuro".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("NEURO_COMMIT").to_owned(),
    }
}
