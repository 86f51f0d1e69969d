//! `neuro run`, `neuro replay` and `neuro sim`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use neuro_data::scenario::Scenario;

use super::shared::{
    CatalogueArgs, JobsArgs, KubeArgs, LockArgs, OutputArgs, PhaseArgs, PlanArgs, ProfileArgs, SeedArgs, ServersArgs,
    SimArgs, TargetKind, ThreadsArgs, positive, probability,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Experiment {
    /// Each application alone.
    #[command(after_help = "Examples:\n  neuro run baseline --duration 30 --repeats 3 --out out\n  \
        neuro run baseline --apps tclf-rf,text-bert --json")]
    Baseline {
        #[command(flatten)]
        common: RunArgs,
    },
    /// Every ordered pair of applications, each alone too.
    #[command(after_help = "Examples:\n  neuro run pairwise --apps kalman-gru,tclf-rf --out out\n  \
        neuro run pairwise --target sim --kind edge-b --out simulated-pairs")]
    Pairwise {
        #[command(flatten)]
        common: RunArgs,
        /// Replicas of the second application of a pair [default: 1,2,4; simulated: 4,8,16]
        #[arg(long, value_delimiter = ',')]
        instances: Vec<u32>,
        /// Its arrival rates per replica, requests per second [default: 20,60; simulated: 1,2,3,4]
        #[arg(long, value_delimiter = ',')]
        rates: Vec<f64>,
    },
    /// Random tenants that fill a server.
    #[command(after_help = "Examples:\n  neuro run random --runs 10 --memory 4 --out out\n  \
        neuro run random --target sim --runs 1000 --partly 0.5 --out simulated")]
    Random {
        #[command(flatten)]
        common: RunArgs,
        /// Number of runs.
        #[arg(long, default_value_t = 10)]
        runs: u32,
        /// Memory to fill, GB [default: 4; simulated: 28]
        #[arg(long, value_parser = positive)]
        memory: Option<f64>,
        /// Share of the runs that fill only a part of it, 0 to 1; how much is drawn.
        #[arg(long, default_value_t = 0.0, value_parser = probability)]
        partly: f64,
    },
    /// Plans of random instances, run: the mixes that an optimiser chooses by some profilers, to learn from.
    #[command(
        after_help = "Example:\n  neuro run planned --target sim --profile edge-a=profiler-a --profile edge-b=profiler-b \
        --duration 300 --out planned\n  neuro ingest planned/runs edge-a/runs --out data-a\n  \
        neuro train data-a --server edge-a --all-kinds --monotone --out learned-a\n\n\
        A search seeks out the mixes that a profiler is too hopeful about. Two or three rounds of running its plans and\n\
        learning from them again mend that. The last round is for the margins alone:\n  \
        neuro run planned --target sim --profile edge-a=learned-a --profile edge-b=learned-b --seed 2 --out fresh\n  \
        neuro train fresh/dataset --server edge-a --margins-of learned-a --out ready-a\n\n\
        Plan instances such as will be decided (--scenarios, --servers), each round with a seed of its own."
    )]
    Planned(PlannedArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Applications; all that this build serves by default.
    #[arg(long, value_delimiter = ',')]
    pub(crate) apps: Vec<String>,
    /// Folder for runs, dataset and pictures.
    #[arg(long, default_value = "neuro-out")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) phases: PhaseArgs,
    /// Repetitions of each configuration; baselines have two at least, for the noise floor.
    #[arg(long, default_value_t = 1)]
    pub(crate) repeats: u32,
    /// Arrival rate of the observed application in baseline and pairwise runs, requests per second; by default what keeps it
    /// busy three tenths of the time, at most 40.
    #[arg(long)]
    pub(crate) observed_rate: Option<f64>,
    #[command(flatten)]
    pub(crate) threads: ThreadsArgs,
    /// Where to deploy.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) sim: SimArgs,
    /// Kind of simulated server; the first of the file by default (built in: edge-a, edge-b).
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Simulated: keep every request and counter reading, not only a summary of each tenant.
    #[arg(long)]
    pub(crate) records: bool,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PlannedArgs {
    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
    /// Number of plans.
    #[arg(long, default_value_t = 40)]
    pub(crate) plans: u32,
    /// Scenarios to draw the instances from, in turn.
    #[arg(long, value_delimiter = ',', default_value = "s1,s2,s3")]
    pub(crate) scenarios: Vec<Scenario>,
    #[command(flatten)]
    pub(crate) servers: ServersArgs,
    /// Iterations of the search for each plan.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) iterations: u64,
    /// Where to run them.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) sim: SimArgs,
    /// Folder for runs and dataset.
    #[arg(long, default_value = "neuro-planned")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) phases: PhaseArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadsArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Where to run it; simulated servers are of the kinds that the instance names.
    #[arg(long, value_enum, default_value = "sim")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) sim: SimArgs,
    /// Folder for runs and dataset.
    #[arg(long, default_value = "neuro-replay")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) phases: PhaseArgs,
    #[command(flatten)]
    pub(crate) threads: ThreadsArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) lock: LockArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Print the built-in parameters, as a file to start from.
    #[command(after_help = "Example:\n  neuro sim parameters > sim.toml")]
    Parameters,
    /// Fit a simulated server to a measured dataset and report how far it is off on runs that it was not fitted to.
    #[command(after_help = "Examples:\n  neuro sim calibrate --data neuro-out/dataset --out sim.toml\n  \
        neuro sim calibrate --data examples/data/dataset --out sim.toml --report calibration.json\n\n\
        Demands come from the baseline runs, parallelism, pressure and sensitivity from the pairwise ones; the random runs are\n\
        held out and judge the result.")]
    Calibrate(CalibrateArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CalibrateArgs {
    /// The dataset: baseline, pairwise and random runs of one server.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Where the parameters go, TOML.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Where the report goes too, JSON.
    #[arg(long)]
    pub(crate) report: Option<PathBuf>,
    /// Name of the kind of server that is made.
    #[arg(long, default_value = "calibrated")]
    pub(crate) kind: String,
    /// Cores of the server; those that its runs tell of by default.
    #[arg(long)]
    pub(crate) cores: Option<f64>,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
