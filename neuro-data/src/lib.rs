#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod app;
pub mod campaign;
#[cfg(feature = "parquet")]
mod counter_rates;
#[cfg(feature = "parquet")]
pub mod datapoint;
#[cfg(feature = "parquet")]
pub mod dataset;
mod error;
pub mod files;
pub mod ingest;
pub mod instance;
mod manifest;
#[cfg(feature = "parquet")]
mod noise;
mod order;
pub mod plan;
mod record;
#[cfg(feature = "parquet")]
pub mod run_folder;
pub mod scenario;
mod seed;
mod share;
#[cfg(feature = "parquet")]
pub mod split;
#[cfg(feature = "parquet")]
pub mod statistics;
#[cfg(feature = "parquet")]
pub mod store;
pub mod summary;
#[cfg(feature = "parquet")]
mod tally;
mod tenant;

pub use app::{Application, Catalogue, LoadClass};
#[cfg(feature = "parquet")]
pub use dataset::Dataset;
pub use error::{Error, Result};
pub use manifest::{
    CleanupVerdict, DataVerdict, Host, Lateness, LoadGate, LoadReport, Manifest, RUN_SCHEMA, ReplicaInfo, RunStatus,
    Tool,
};
#[cfg(feature = "parquet")]
pub use noise::{NoiseFloor, noise_floor};
pub use record::{CounterSample, RequestRecord, RequestStatus};
pub use seed::derive_seed;
pub use share::wilson_interval;
#[cfg(feature = "parquet")]
pub use tally::Tally;
pub use tenant::{Phases, RunKind, RunSpec, Sla, Tenant};
