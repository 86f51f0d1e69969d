//! The target `sim`.

pub mod calibration;
mod campaign;
mod demand;
mod engine;
mod folder;
mod parameters;
mod sharing;

pub use campaign::{SimCampaignParams, simulate_campaign};
pub use demand::Demand;
pub use engine::{CounterTotals, Inference, SimulatedRun, simulate};
pub use folder::Keep;
pub use parameters::{BUILT_IN, Garbage, ServerKind, Service, SimParams, SimulatedServer};

/// The kind of target that a manifest of a simulated run names.
pub const TARGET: &str = "sim";
