//! `neuro ingest` and `neuro data`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use super::shared::{CatalogueArgs, JobsArgs, OutputArgs, SeedArgs, SetKind, probability};

#[derive(Debug, ClapArgs)]
pub(crate) struct IngestArgs {
    /// Folders with runs in them, at any depth.
    #[arg(required = true)]
    pub(crate) raw: Vec<PathBuf>,
    /// The dataset; made where there is none.
    #[arg(long)]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    /// Take the first fault as an error.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Build the dataset anew of these runs alone.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Server that runs of the prototype were measured on.
    #[arg(long, default_value = "prototype")]
    pub(crate) server: String,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Make the datapoints that predictors are trained on.
    #[command(after_help = "Examples:\n  neuro data datapoints dataset\n  \
        neuro data datapoints dataset --set reference --seed 7\n  neuro data datapoints dataset --same-rate --zero 0")]
    Datapoints(DatapointArgs),
    /// Tell what a dataset covers: ranges, divisors, noise floor.
    #[command(
        after_help = "Examples:\n  neuro data stats dataset\n  neuro data stats dataset --svg distributions.svg\n  \
        neuro data stats dataset --json | jq .normalisation"
    )]
    Stats(StatsArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DatapointArgs {
    /// The dataset; its table of datapoints is made anew.
    pub(crate) dataset: PathBuf,
    /// Which way: ours (pooled samples) or as the prototype makes them.
    #[arg(long, value_enum, default_value = "ours")]
    pub(crate) set: SetKind,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    /// Most merged points of one application in one run.
    #[arg(long, default_value_t = 64)]
    pub(crate) subset_cap: usize,
    /// Merge only tenants of equal rate.
    #[arg(long)]
    pub(crate) same_rate: bool,
    /// Probability of a zero copy, 0 to 1.
    #[arg(long, default_value_t = 0.5, value_parser = probability)]
    pub(crate) zero: f64,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct StatsArgs {
    /// The dataset.
    pub(crate) dataset: PathBuf,
    /// Draw the distributions of the service times into this file.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
