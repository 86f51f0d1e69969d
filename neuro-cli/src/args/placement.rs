//! `neuro requests`, `neuro solve`, `neuro audit` and `neuro explain`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use neuro_data::scenario::Scenario;

use super::shared::{
    CatalogueArgs, InstanceArgs, OutputArgs, PlanArgs, ProfileArgs, SeedArgs, ServersArgs, TimeLimitArgs,
};

#[derive(Debug, ClapArgs)]
pub(crate) struct RequestsArgs {
    /// s1: every application; s2: 40 % real-time; s3: 90 % real-time.
    #[arg(long, default_value_t = Scenario::Mixed)]
    pub(crate) scenario: Scenario,
    #[command(flatten)]
    pub(crate) servers: ServersArgs,
    /// Memory of each server, GB.
    #[arg(long, default_value_t = 32.0)]
    pub(crate) memory: f64,
    /// Requests [default: 15 a server]
    #[arg(long)]
    pub(crate) requests: Option<usize>,
    /// By which latency bounds are multiplied.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) tightness: f64,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    /// File for the instance; standard output by default.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
}

/// Placement methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SolveMethod {
    /// Prices and one server at a time: a plan and a proved bound. Of server-state and paper profilers.
    Decomposed,
    /// One server, to the proved optimum. Of server-state and paper profilers.
    Exact,
    /// Large neighbourhood search: ruin and recreate until the time is up.
    Lns,
    /// Requests one after another, those that pay most for their memory first.
    Greedy,
    /// One program with the networks as big-M rows, for CBC: proves a bound. Of server-state profilers.
    Milp,
    /// The published algorithm: relax, merge, round, server after server. Of paper and server-state profilers.
    Neuro,
    /// A program on PERX's curves. Of perx profilers.
    Perx,
    /// A program on ScalO-RAN's curves of all applications of a server. Of scaloran profilers.
    Scaloran,
    /// A program on the target's own ScalO-RAN curve alone. Of scaloran profilers.
    ScaloranCons,
    /// Requests one after another, each where there is memory, whatever latency becomes of it.
    FirstFit,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    pub(crate) problem: InstanceArgs,
    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
    /// How to decide.
    #[arg(long, value_enum, default_value = "decomposed")]
    pub(crate) method: SolveMethod,
    #[command(flatten)]
    pub(crate) time: TimeLimitArgs,
    /// Iterations of each worker of lns, after which it ends whatever the time: then the plan is the seed's.
    #[arg(long)]
    pub(crate) iterations: Option<u64>,
    /// File for what proves the bound, of decomposed, exact and milp, which takes half of its time for it; `neuro audit --certificate` checks it.
    #[arg(long)]
    pub(crate) certificate: Option<PathBuf>,
    /// Threads of decomposed, exact and lns [default: the number of cores]
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Let milp run the instances of a request on several servers.
    #[arg(long)]
    pub(crate) splits: bool,
    /// By what perx multiplies slowdowns; the study: 10 in s1, 1.5 in s2, 3 in s3.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) delta: f64,
    /// By what perx multiplies the time alone; the study: 0.5 in s1, 1 in s2 and s3.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) base_factor: f64,
    /// Decide once more with a change, and print the difference: add FILE (a request or a list of them, JSON), drop ID (a request, or a
    /// server by its name), server FILE (a server or a list; one of a name that is there takes its place). May be given several times.
    #[arg(long, num_args = 2, value_names = ["add|drop|server", "FILE|ID"], action = clap::ArgAction::Append)]
    pub(crate) what_if: Vec<String>,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    /// File for the plan, that of the change where there is one; standard output by default.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
    /// Only this request.
    #[arg(long)]
    pub(crate) request: Option<String>,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// What proves the plan's bound, to be checked too.
    #[arg(long)]
    pub(crate) certificate: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) profiles: ProfileArgs,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
