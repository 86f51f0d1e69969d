//! `neuro train`, `neuro predict` and `neuro evaluate`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

use super::shared::{CatalogueArgs, OutputArgs, RunsArgs, SeedArgs, SetKind, probability};

/// Kinds of profilers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// One state and one network a server.
    ServerState,
    /// The published network.
    Paper,
    /// The published network with sums and maxima, without its head of counters.
    PaperSumMax,
    /// A flat network on one-hot features.
    PaperFlat,
    /// Sigmoids of pairs; needs pairwise runs.
    Perx,
    /// Self-contention curves, averaged over applications; needs pairwise runs.
    Scaloran,
    /// The target's own self-contention curve; needs pairwise runs.
    ScaloranCons,
    /// A queueing formula.
    Queueing,
    /// Boosted regression trees.
    Trees,
    /// As if alone.
    Uncontended,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TrainArgs {
    /// The dataset.
    #[arg(required_unless_present = "import_torch")]
    pub(crate) dataset: Option<PathBuf>,
    /// Folder of the bundle; what is there is replaced.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// What to fit.
    #[arg(long, value_enum, default_value = "server-state")]
    pub(crate) arch: Arch,
    /// Server-state: more instances are never faster.
    #[arg(long)]
    pub(crate) monotone: bool,
    /// Server-state: hidden widths of the network of the server's state.
    #[arg(long, value_delimiter = ',', default_value = "32,16")]
    pub(crate) head: Vec<usize>,
    /// Server-state: length of the server's state.
    #[arg(long, default_value_t = 8)]
    pub(crate) state: usize,
    /// Server-state: decay of the head's weights; plans over a network of small weights are proved faster.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) decay: f64,
    /// Server-state: training steps.
    #[arg(long)]
    pub(crate) steps: Option<usize>,
    /// Paper: passes over the datapoints.
    #[arg(long)]
    pub(crate) epochs: Option<usize>,
    /// Paper: train on logarithms, on all datapoints, with a cosine schedule.
    #[arg(long)]
    pub(crate) log_space: bool,
    /// Paper: which datapoints of the dataset (`neuro data datapoints`).
    #[arg(long, value_enum, default_value = "reference")]
    pub(crate) set: SetKind,
    /// Highest learning rate [default: server-state 0.006, paper 0.001].
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Go on from this server-state bundle; applications that are new are added.
    #[arg(long)]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    /// Trainings, of this seed and those that follow; the one with the least validation error is kept.
    #[arg(long, default_value_t = 1)]
    pub(crate) seeds: u64,
    #[command(flatten)]
    pub(crate) of: RunsArgs,
    /// Most runs to learn from.
    #[arg(long)]
    pub(crate) runs: Option<usize>,
    #[command(flatten)]
    pub(crate) folds: FoldArgs,
    /// Share of promises that may be broken; 0: no margins.
    #[arg(long, default_value_t = 0.05, value_parser = probability)]
    pub(crate) miss_rate: f64,
    /// Take this bundle as it is, with margins anew from all runs of the dataset that it has not seen: best from plans that were made
    /// by it (`neuro run planned`).
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["from", "arch", "import_torch"])]
    pub(crate) margins_of: Option<PathBuf>,
    /// Name in tables.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Draw how the training went into this file.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
    /// Import the four state dicts of the prototype in this folder instead.
    #[arg(long, requires = "stats", requires = "norma", conflicts_with = "dataset")]
    pub(crate) import_torch: Option<PathBuf>,
    /// The prototype's scales of targets.
    #[arg(long, requires = "import_torch")]
    pub(crate) stats: Option<PathBuf>,
    /// The prototype's scales of counters.
    #[arg(long, requires = "import_torch")]
    pub(crate) norma: Option<PathBuf>,
    /// Applications in the order of the imported embedding; that of the catalogue by default.
    #[arg(long, value_delimiter = ',', requires = "import_torch")]
    pub(crate) apps: Vec<String>,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How runs are split.
#[derive(Debug, ClapArgs)]
pub(crate) struct FoldArgs {
    /// Share of runs that is left alone, to judge by.
    #[arg(long, default_value_t = 1.0 / 6.0, value_parser = probability)]
    pub(crate) test: f64,
    /// Share of runs to choose by.
    #[arg(long, default_value_t = 0.05, value_parser = probability)]
    pub(crate) validation: f64,
    /// Share of runs to take margins from.
    #[arg(long, default_value_t = 0.15, value_parser = probability)]
    pub(crate) calibration: f64,
    /// Split and learn from runs of pairs and baselines too, not only from random ones.
    #[arg(long)]
    pub(crate) all_kinds: bool,
    /// Hold out whole combinations of applications.
    #[arg(long)]
    pub(crate) by_combination: bool,
    /// Seed of the split.
    #[arg(long, default_value_t = 1)]
    pub(crate) split_seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PredictArgs {
    /// The bundle.
    pub(crate) bundle: PathBuf,
    /// File of JSON lines; standard input by default.
    #[arg(long)]
    pub(crate) input: Option<PathBuf>,
    /// Predict what may be promised: times with their margins.
    #[arg(long)]
    pub(crate) margins: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvaluateArgs {
    /// The dataset.
    pub(crate) dataset: PathBuf,
    /// Bundles.
    #[arg(required = true)]
    pub(crate) bundles: Vec<PathBuf>,
    /// Folder for pictures and `evaluation.json`.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: RunsArgs,
    /// Train server-state profilers on so many runs each and draw their errors.
    #[arg(long, value_delimiter = ',')]
    pub(crate) learning_curve: Vec<usize>,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
