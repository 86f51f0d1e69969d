//! The target `sim`: a simulated edge server that runs the very same experiments in a fraction of the time.
//!
//! A specification of a run goes in, its run folder comes out, with the arrivals that a measured run of it would have. What
//! follows works on it unchanged: datasets, datapoints, statistics, replays.
//!
//! - **Model.** A replica is a first-come-first-served single server. Running inferences share the cores by processor sharing
//!   with a cap for each application, and slow one another down by the pressure that they put on the memory. The formulas are
//!   in `sharing.rs`, what the parameters mean in [`BUILT_IN`], a commented TOML file. Start-up and pauses for garbage collection
//!   can be added and are off by default.
//! - **Time.** An event costs O(log replicas + applications): see `engine.rs`. There is no wall clock in it, so the simulated
//!   server is no [`crate::Target`], whose replicas answer requests as they are sent; [`simulate_campaign`] is its driver, many
//!   runs at once, and its runs have no date.
//! - **Truth.** `tests/sim.rs` holds it against the closed forms of M/M/1, M/D/1, M/M/c and M/G/1 processor sharing, against
//!   Little's law, and against a plain simulation that moves every inference at every event.
//! - **Parameters.** The built-in ones have the times alone and the ranges of the NeuRO study in order of magnitude;
//!   [`calibration`] fits others to a measured dataset.
//!
//! What it leaves out: priorities and time slices of the scheduler, NUMA, frequency scaling, the network, and every memory effect
//! that one number for all of memory cannot tell.
//!
//! # Example
//! ```
//! use neuro_data::campaign::{CampaignParams, Filling, random};
//! use neuro_data::{Catalogue, Phases, Tool};
//! use neuro_k8s::Interrupt;
//! use neuro_k8s::sim::{SimCampaignParams, SimParams, simulate_campaign};
//!
//! let phases = Phases { warmup_s: 5.0, duration_s: 60.0, drain_s: 5.0, warmup_inferences: 0 };
//! let campaign = CampaignParams { seed: 1, threads: 1, phases, observed_rate: None };
//! let filling = Filling { memory_gb: 28.0, partly: 0.5 };
//! let runs: Vec<_> = random(&campaign, Catalogue::built_in().apps(), filling, 4).collect();
//!
//! let out = tempfile::tempdir()?;
//! let tool = Tool { name: "example".into(), version: "1".into(), commit: String::new() };
//! let parameters = SimParams::built_in();
//! let params = SimCampaignParams::new(out.path(), tool);
//! let report = simulate_campaign(parameters.server("edge-a")?, &runs, &params, &Interrupt::new(), &mut ())?;
//! assert_eq!((report.complete, report.left), (4, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
