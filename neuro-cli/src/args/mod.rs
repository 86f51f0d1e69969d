//! The command line.

mod cluster;
mod data;
mod experiment;
mod placement;
mod profiler;
mod shared;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use neuro_apps::server::ServeArgs;

pub(crate) use self::cluster::{DestroyArgs, OperatorArgs, OperatorCommand, PlanCommand, RolloutArgs};
pub(crate) use self::data::{DataCommand, DatapointArgs, IngestArgs, StatsArgs};
pub(crate) use self::experiment::{CalibrateArgs, Experiment, PlannedArgs, ReplayArgs, SimCommand};
pub(crate) use self::placement::{AuditArgs, ExplainArgs, RequestsArgs, SolveArgs, SolveMethod};
pub(crate) use self::profiler::{Arch, EvaluateArgs, FoldArgs, PredictArgs, TrainArgs};
pub(crate) use self::shared::{
    CatalogueArgs, ImageArgs, InstanceArgs, KubeArgs, OutputArgs, PhaseArgs, PlanArgs, ProfileArgs, PullPolicyArg,
    SeedArgs, SetKind, SimArgs, TargetKind, ThreadsArgs,
};

/// Measure, learn and decide how inference services share edge servers.
#[derive(Debug, Parser)]
#[command(
    name = "neuro",
    version,
    after_help = "First steps:\n  neuro demo                    the whole way in two minutes, on a simulated server\n  \
    neuro run pairwise --help     measure the services of this machine\n\n\
    Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 done but something is invalid (runs, raw files, lines to\n\
    predict, a plan that does not hold), 130 interrupted.\n\
    Results go to standard output, progress and complaints to standard error."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The whole way in two minutes: experiments on a simulated server, profilers, a plan and its replay.
    #[command(after_help = "Example:\n  neuro demo --out neuro-demo\n\n\
        Each step prints the command that does the same. Runs that are there already are not done again.")]
    Demo(DemoArgs),
    /// List the applications that can be deployed.
    #[command(after_help = "Examples:\n  neuro apps\n  neuro apps --catalogue my-apps.toml --json")]
    Apps {
        #[command(flatten)]
        catalogue: CatalogueArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Work with one application.
    App {
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Run a co-location experiment.
    #[command(after_help = "Examples:\n  neuro run pairwise --apps kalman-gru,tclf-rf --out out\n  \
        neuro run baseline --duration 30 --repeats 3 --out out\n  neuro run random --runs 10 --memory 4 --out out\n  \
        neuro run random --target sim --runs 1000 --partly 0.5 --out simulated\n  \
        neuro run pairwise --apps kalman-gru --target kube --namespace neuro-exp --node edge-1 --out out")]
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
    /// Fit a latency profiler to a dataset, or import the prototype's.
    #[command(after_help = "Examples:\n  neuro train dataset --out profiler\n  \
        neuro train dataset --monotone --seeds 3 --svg loss.svg --out profiler\n  \
        neuro train dataset --arch perx --out perx\n  neuro train other --from profiler --runs 100 --out tuned\n  \
        neuro train --import-torch weights --stats sts_server1.json --norma norma.json --out imported")]
    Train(Box<TrainArgs>),
    /// Predict service times: JSON lines in, JSON lines out.
    #[command(after_help = "Example:\n  echo '{\"app\":\"tclf-rf\",\"instances\":2,\"rate\":20,\"context\":\
        [{\"app\":\"text-bert\",\"instances\":1,\"rate\":2}]}' | neuro predict profiler\n\n\
        A line that cannot be predicted is answered by {\"error\": …}: exit code 3.")]
    Predict(PredictArgs),
    /// Judge profilers by runs that they have not seen.
    #[command(
        after_help = "Example:\n  neuro evaluate dataset server-state perx trees --out evaluation --learning-curve 100,200,500"
    )]
    Evaluate(EvaluateArgs),
    /// Draw an instance, requests and servers, from a scenario.
    #[command(after_help = "Example:\n  neuro requests --scenario s1 --servers 4 --seed 19 --out instance.json")]
    Requests(RequestsArgs),
    /// Decide which requests to admit and where.
    #[command(
        after_help = "Examples:\n  neuro solve --instance instance.json --profile examples/data/bundles/edge-a --out plan.json\n  \
        neuro solve --instance instance.json --profile edge-a=bundles/edge-a --profile edge-b=bundles/edge-b --time-limit 30s\n  \
        neuro solve --instance instance.json --profile bundles/edge-a --what-if drop r7 --what-if add request.json\n  \
        neuro solve --instance instance.json --profile bundles/edge-a-perx --method perx --delta 10 --base-factor 0.5\n\n\
        A plan that breaks promises of the given profilers, as those of perx, scaloran, scaloran-cons, first-fit and neuro may: exit code 3."
    )]
    Solve(SolveArgs),
    /// Re-evaluate a plan from scratch.
    #[command(
        after_help = "Example:\n  neuro audit --plan plan.json --instance instance.json --profile examples/data/bundles/edge-a\n\n\
        A plan that does not hold: exit code 3."
    )]
    Audit(AuditArgs),
    /// Say why requests are rejected and what would admit them.
    #[command(
        after_help = "Example:\n  neuro explain --plan plan.json --instance instance.json --profile examples/data/bundles/edge-a\n\n\
        A change is the least of its kind with everybody else staying where they are."
    )]
    Explain(ExplainArgs),
    /// Solve one mixed-integer program from standard input.
    #[command(hide = true)]
    SolverWorker,
    /// Put a placement to the test: run it and hold what is measured against what was promised.
    #[command(after_help = "Examples:\n  neuro replay --plan plan.json --instance instance.json --target sim\n  \
        neuro replay --plan plan.json --instance instance.json --target local --duration 30 --json\n\n\
        On this machine the servers of the plan are replayed one after another, whatever their kind.")]
    Replay(ReplayArgs),
    /// Show what lies in some folders: one HTML file that needs nothing else.
    #[command(after_help = "Examples:\n  neuro report neuro-out evaluation --out report.html\n  \
        neuro report . --out report.html --figures pictures\n\n\
        Whatever is found is shown: datasets, the output of `neuro evaluate --out`, scaling.json, plans, their instances, and the\n\
        replay.json of `neuro replay`, at any depth up to five.")]
    Report(ReportArgs),
    /// Work with the simulated servers.
    Sim {
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Write the completions of a shell to standard output.
    #[command(
        after_help = "Examples:\n  neuro completions bash > ~/.local/share/bash-completion/completions/neuro\n  \
        neuro completions zsh > ~/.zfunc/_neuro\n  neuro completions fish > ~/.config/fish/completions/neuro.fish"
    )]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Tell the versions of this command and of the solver it is linked to.
    #[command(after_help = "Example:\n  neuro version --json")]
    Version(OutputArgs),
    /// End what a crash left of a run.
    #[command(after_help = "Example:\n  neuro destroy --run pairwise_kalman-gru_tclf-rf_0_1a2b3c4d")]
    Destroy(DestroyArgs),
    /// Put a plan on a Kubernetes cluster, the one that kubectl speaks to.
    #[command(
        after_help = "Examples:\n  neuro plan diff --plan plan.json --instance instance.json --out diff.json\n  \
        neuro plan apply --plan plan.json --instance instance.json --diff diff.json\n  neuro plan status --json\n\n\
        Promises that are broken: exit code 3."
    )]
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// Keep requests placed that are asked for as custom resources of a Kubernetes cluster.
    #[command(after_help = "Examples:\n  neuro operator crds | kubectl apply -f -\n  \
        neuro operator run --namespace neuro --profile examples/data/bundles/edge-a")]
    Operator {
        #[command(subcommand)]
        command: OperatorCommand,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// Folder for everything that is made.
    #[arg(long, default_value = "neuro-demo")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    /// So many random runs a kind of server.
    #[arg(long, default_value_t = 400)]
    pub(crate) runs: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Serve one application in the foreground.
    #[command(after_help = "Example:\n  neuro app serve --app tclf-rf --port 8001")]
    Serve(ServeArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ReportArgs {
    /// Folders.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// The page.
    #[arg(long, default_value = "report.html")]
    pub(crate) out: PathBuf,
    /// Write every picture into this folder too, as SVG.
    #[arg(long, value_name = "DIR")]
    pub(crate) figures: Option<PathBuf>,
    /// Title of the page.
    #[arg(long, default_value = "neuro report")]
    pub(crate) title: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    /// Goes through the commands that do something themselves.
    fn leaves(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&clap::Command, &str)) {
        let subcommands: Vec<_> =
            command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()).collect();
        if subcommands.is_empty() {
            visit(command, path);
        }
        for sub in subcommands {
            leaves(sub, &format!("{path} {}", sub.get_name()), visit);
        }
    }

    #[test]
    fn every_command_shows_examples_that_it_understands() {
        Args::command().debug_assert();
        leaves(&Args::command(), "neuro", &mut |command, path| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let pipes = help.lines().flat_map(|line| line.split('|')).map(str::trim);
            let examples: Vec<&str> = pipes.filter(|line| line.starts_with("neuro ")).collect();
            assert!(examples.iter().any(|line| line.starts_with(path)), "{path}: {help}");
            for example in examples {
                let words = example.split('>').next().unwrap_or_default().split_whitespace();
                Args::command().try_get_matches_from(words).unwrap_or_else(|e| unreachable!("{example}: {e}"));
            }
        });
    }
}
