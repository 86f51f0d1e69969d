//! Flags that several commands have.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

/// Further applications.
#[derive(Debug, ClapArgs)]
pub(crate) struct CatalogueArgs {
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
}

/// What goes to standard output.
#[derive(Debug, ClapArgs)]
pub(crate) struct OutputArgs {
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where random numbers come from.
#[derive(Debug, ClapArgs)]
pub(crate) struct SeedArgs {
    /// Seed of all that is drawn.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How many things are done at once.
#[derive(Debug, ClapArgs)]
pub(crate) struct JobsArgs {
    /// Runs at once [default: one a core; simulated: two]. The results are the same.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
}

/// How long a method may take.
#[derive(Debug, ClapArgs)]
pub(crate) struct TimeLimitArgs {
    /// Wall-clock time for a plan, such as 60s, 500ms or 2m.
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) time_limit: Duration,
}

/// What predicts latencies.
#[derive(Debug, ClapArgs)]
pub(crate) struct ProfileArgs {
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
}

/// The requests and servers that a plan is for.
#[derive(Debug, ClapArgs)]
pub(crate) struct InstanceArgs {
    /// The problem, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
}

/// A plan and the problem that it answers.
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanArgs {
    /// The placement, JSON.
    #[arg(long)]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) of: InstanceArgs,
}

/// How many servers of which kinds are drawn.
#[derive(Debug, ClapArgs)]
pub(crate) struct ServersArgs {
    /// Servers of an instance.
    #[arg(long, default_value_t = 2)]
    pub(crate) servers: usize,
    /// Kinds of the servers, the better first; each gets an equal share.
    #[arg(long, value_delimiter = ',', default_value = "edge-a,edge-b")]
    pub(crate) kinds: Vec<String>,
}

/// Which of a dataset's runs.
#[derive(Debug, ClapArgs)]
pub(crate) struct RunsArgs {
    /// Only runs on these servers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server: Vec<String>,
}

/// The phases of a run.
#[derive(Debug, ClapArgs)]
pub(crate) struct PhaseArgs {
    /// Measured window of a run, seconds; longer where a slow observed application would have too few arrivals in it and
    /// its rate is left open [default: 10; simulated: 1800]
    #[arg(long)]
    pub(crate) duration: Option<f64>,
    /// Load before the window, seconds [default: 1; simulated: 30]
    #[arg(long)]
    pub(crate) warmup: Option<f64>,
    /// How long unfinished requests are awaited after the window, seconds [default: 2; simulated: 30]
    #[arg(long)]
    pub(crate) drain: Option<f64>,
}

/// Compute threads.
#[derive(Debug, ClapArgs)]
pub(crate) struct ThreadsArgs {
    /// Compute threads of each replica [default: 1]; simulated services have the parallelism of their parameters.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
}

/// The file that keeps two drivers apart.
#[derive(Debug, ClapArgs)]
pub(crate) struct LockArgs {
    /// File that keeps two drivers off this machine.
    #[arg(long, hide = true)]
    pub(crate) lock: Option<PathBuf>,
}

/// Kinds of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// Processes of this machine.
    Local,
    /// A node of a Kubernetes cluster, the one that kubectl speaks to.
    Kube,
    /// A simulated server.
    Sim,
}

/// The simulated servers.
#[derive(Debug, ClapArgs)]
pub(crate) struct SimArgs {
    /// A TOML file of simulated servers and services; the built-in ones by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) sim: Option<PathBuf>,
}

/// Where on a cluster, and with which image.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct KubeArgs {
    /// Kubernetes: namespace [default: neuro-exp]
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Kubernetes: node to measure; may be left out where only one takes pods.
    #[arg(long)]
    pub(crate) node: Option<String>,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// Kubernetes: use a namespace that holds others' objects; they are left alone.
    #[arg(long)]
    pub(crate) adopt: bool,
}

/// What pods run.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ImageArgs {
    /// Kubernetes: image of the built-in services, as `make image` builds it [default: neuro-app of this version]
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Kubernetes: when nodes fetch images [default: if-not-present]
    #[arg(long, value_enum)]
    pub(crate) pull_policy: Option<PullPolicyArg>,
}

/// When nodes fetch images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicyArg {
    /// Before every start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// It is there already.
    Never,
}

/// Which datapoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetKind {
    /// Pooled samples, rates weighted by instances.
    Ours,
    /// Averages over tenants, starved ones labelled 120 s.
    Reference,
}

/// A time with its unit: `60s`, `500ms`, `2m`, `1h`; seconds without one.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let figures = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[figures.len()..] {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("{unit:?} is no unit; known: ms, s, m, h")),
    };
    let seconds = figures.parse::<f64>().map_err(|e| format!("{figures:?}: {e}"))? * unit;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A number from 0 to 1.
pub(super) fn probability(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("not from 0 to 1".to_owned()) }
}

/// A finite number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("not finite and above 0".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_shares_have_ends() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("3 weeks").is_err() && duration("-1s").is_err() && duration("s").is_err());
        assert_eq!(probability("0.5"), Ok(0.5));
        assert!(probability("1.1").is_err() && probability("half").is_err());
        assert_eq!(positive("0.5"), Ok(0.5));
        assert!(positive("0").is_err() && positive("inf").is_err() && positive("NaN").is_err());
    }
}
