//! `neuro plan`, `neuro operator` and `neuro destroy`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::shared::{
    CatalogueArgs, ImageArgs, OutputArgs, PlanArgs, ProfileArgs, SeedArgs, TargetKind, TimeLimitArgs, duration,
};

/// A plan and a place on a cluster.
#[derive(Debug, ClapArgs)]
pub(crate) struct RolloutArgs {
    /// Namespace.
    #[arg(long, default_value = "neuro")]
    pub(crate) namespace: String,
    /// Name of the plan among those of the namespace.
    #[arg(long, default_value = "default")]
    pub(crate) name: String,
    /// The node of a server that is named otherwise: SERVER=NODE.
    #[arg(long = "node", value_name = "SERVER=NODE")]
    pub(crate) nodes: Vec<String>,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Show what applying a plan would change.
    #[command(
        after_help = "Example:\n  neuro plan diff --plan plan.json --instance instance.json --namespace neuro --out diff.json"
    )]
    Diff {
        #[command(flatten)]
        files: PlanArgs,
        #[command(flatten)]
        rollout: RolloutArgs,
        /// File for the difference, to be applied as reviewed.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Make the cluster as a plan wants it.
    #[command(
        after_help = "Example:\n  neuro plan apply --plan plan.json --instance instance.json --namespace neuro --diff diff.json"
    )]
    Apply {
        #[command(flatten)]
        files: PlanArgs,
        #[command(flatten)]
        rollout: RolloutArgs,
        /// The difference as it was reviewed; refused if the cluster or the plan has changed since.
        #[arg(long)]
        diff: Option<PathBuf>,
        /// Let the server check every object and change nothing.
        #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "server")]
        dry_run: Option<DryRun>,
    },
    /// Hold what placed requests get against what they were promised.
    #[command(after_help = "Example:\n  neuro plan status --namespace neuro\n\nA promise that is broken: exit code 3.")]
    Status {
        #[command(flatten)]
        rollout: RolloutArgs,
    },
}

/// Who checks without changing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// The API server.
    Server,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Keep the requests of a namespace placed.
    #[command(
        after_help = "Example:\n  neuro operator run --namespace neuro --profile examples/data/bundles/edge-a-planned"
    )]
    Run(OperatorArgs),
    /// Print the definitions of the custom resources, YAML.
    #[command(after_help = "Example:\n  neuro operator crds > crds.yaml")]
    Crds,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct OperatorArgs {
    /// Namespace of requests, servers and replicas.
    #[arg(long, default_value = "neuro")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    #[command(flatten)]
    pub(crate) time: TimeLimitArgs,
    /// Wall-clock time for the search in the background.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub(crate) background_time_limit: Duration,
    /// Time between looks at the cluster when nothing changes.
    #[arg(long, value_parser = duration, default_value = "15s")]
    pub(crate) resync: Duration,
    /// Address of `/metrics` and `/healthz`.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub(crate) metrics: SocketAddr,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DestroyArgs {
    /// The run's id, as in its folder's name.
    #[arg(long)]
    pub(crate) run: String,
    /// Where it ran.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    /// Kubernetes: namespace.
    #[arg(long, default_value = "neuro-exp")]
    pub(crate) namespace: String,
}
