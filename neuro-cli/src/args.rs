//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use neuro_apps::server::ServeArgs;

/// Measure, learn and decide how inference services share edge servers.
#[derive(Debug, Parser)]
#[command(
    name = "neuro",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 done but some runs are \
    invalid or failed or some raw files faulty, 130 interrupted."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the applications that can be deployed.
    Apps {
        /// A TOML file with further applications.
        #[arg(long)]
        catalogue: Option<PathBuf>,
        /// One JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Work with one application.
    App {
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Run a co-location experiment.
    #[command(after_help = "Examples:\n  neuro run pairwise --apps kalman-gru,tclf-rf --out out\n  \
        neuro run baseline --duration 30 --repeats 3 --out out\n  neuro run random --runs 10 --memory 4 --out out")]
    Run {
        #[command(subcommand)]
        experiment: Experiment,
    },
    /// Read raw runs, ours or the prototype's, into a dataset.
    #[command(after_help = "Examples:\n  neuro ingest neuro-out/runs --out dataset\n  \
        neuro ingest /data/prototype --out dataset --server edge-1\n  neuro ingest raw --out dataset --strict --json\n\n\
        Runs that the dataset knows are passed over. Faults of files are told on standard error with file, line and\n\
        column, beside what is good: exit code 3. With --strict the first one ends it and nothing changes: exit code 2.")]
    Ingest(IngestArgs),
    /// Work with a dataset.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Tell the versions of this command and of the solver it is linked to.
    Version {
        /// One JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
    /// End what a crash left of a run.
    Destroy {
        /// The run's id, as in its folder's name.
        #[arg(long)]
        run: String,
        /// Where it ran.
        #[arg(long, value_enum, default_value = "local")]
        target: TargetKind,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Serve one application in the foreground.
    Serve(ServeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct IngestArgs {
    /// Folders with runs in them, at any depth.
    #[arg(required = true)]
    pub(crate) raw: Vec<PathBuf>,
    /// The dataset; made where there is none.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Workers; one a core by default.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
    /// Take the first fault as an error.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Build the dataset anew of these runs alone.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Server that runs of the prototype were measured on.
    #[arg(long, default_value = "prototype")]
    pub(crate) server: String,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
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
    Stats {
        /// The dataset.
        dataset: PathBuf,
        /// Draw the distributions of the service times into this file.
        #[arg(long)]
        svg: Option<PathBuf>,
        /// One JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DatapointArgs {
    /// The dataset; its table of datapoints is made anew.
    pub(crate) dataset: PathBuf,
    /// Which way: ours (pooled samples) or as the prototype makes them.
    #[arg(long, value_enum, default_value = "ours")]
    pub(crate) set: SetKind,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Most merged points of one application in one run.
    #[arg(long, default_value_t = 64)]
    pub(crate) subset_cap: usize,
    /// Merge only tenants of equal rate.
    #[arg(long)]
    pub(crate) same_rate: bool,
    /// Probability of a zero copy, 0 to 1.
    #[arg(long, default_value_t = 0.5, value_parser = probability)]
    pub(crate) zero: f64,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetKind {
    /// Pooled samples, rates weighted by instances.
    Ours,
    /// Averages over tenants, starved ones labelled 120 s.
    Reference,
}

fn probability(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("not from 0 to 1".to_owned()) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// Each application alone.
    Baseline {
        #[command(flatten)]
        common: RunArgs,
    },
    /// Every ordered pair of applications, each alone too.
    Pairwise {
        #[command(flatten)]
        common: RunArgs,
        /// Replicas of the second application of a pair.
        #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
        instances: Vec<u32>,
        /// Its arrival rates per replica, requests per second.
        #[arg(long, value_delimiter = ',', default_value = "20,60")]
        rates: Vec<f64>,
    },
    /// Random tenants that fill a server.
    Random {
        #[command(flatten)]
        common: RunArgs,
        /// Number of runs.
        #[arg(long, default_value_t = 10)]
        runs: u32,
        /// Memory to fill, GB.
        #[arg(long, default_value_t = 4.0)]
        memory: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// Processes of this machine.
    Local,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Applications; all that this build serves by default.
    #[arg(long, value_delimiter = ',')]
    pub(crate) apps: Vec<String>,
    /// Folder for runs, dataset and pictures.
    #[arg(long, default_value = "neuro-out")]
    pub(crate) out: PathBuf,
    /// Master seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Measured window of a run, seconds; longer where a slow observed application would have too few arrivals in it and
    /// `--observed-rate` is left out.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// Load before the window, seconds.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// How long unfinished requests are awaited after the window, seconds.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) drain: f64,
    /// Repetitions of each configuration; baselines have two at least, for the noise floor.
    #[arg(long, default_value_t = 1)]
    pub(crate) repeats: u32,
    /// Arrival rate of the observed application in baseline and pairwise runs, requests per second; by default what keeps it
    /// busy three tenths of the time, at most 40.
    #[arg(long)]
    pub(crate) observed_rate: Option<f64>,
    /// Compute threads of each replica.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u32,
    /// Where to deploy.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// File that keeps two drivers off this machine.
    #[arg(long, hide = true)]
    pub(crate) lock: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}
