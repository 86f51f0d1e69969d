//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use neuro_apps::server::ServeArgs;
use neuro_data::scenario::Scenario;

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
    Version {
        /// One JSON object on standard output.
        #[arg(long)]
        json: bool,
    },
    /// End what a crash left of a run.
    #[command(after_help = "Example:\n  neuro destroy --run pairwise_kalman-gru_tclf-rf_0_1a2b3c4d")]
    Destroy {
        /// The run's id, as in its folder's name.
        #[arg(long)]
        run: String,
        /// Where it ran.
        #[arg(long, value_enum, default_value = "local")]
        target: TargetKind,
        /// Kubernetes: namespace.
        #[arg(long, default_value = "neuro-exp")]
        namespace: String,
    },
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
    /// Master seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
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
pub(crate) struct RequestsArgs {
    /// s1: every application; s2: 40 % real-time; s3: 90 % real-time.
    #[arg(long, default_value_t = Scenario::Mixed)]
    pub(crate) scenario: Scenario,
    /// Servers.
    #[arg(long, default_value_t = 2)]
    pub(crate) servers: usize,
    /// Kinds of the servers, the better first; each gets an equal share.
    #[arg(long, value_delimiter = ',', default_value = "edge-a,edge-b")]
    pub(crate) kinds: Vec<String>,
    /// Memory of each server, GB.
    #[arg(long, default_value_t = 32.0)]
    pub(crate) memory: f64,
    /// Requests [default: 15 a server]
    #[arg(long)]
    pub(crate) requests: Option<usize>,
    /// By which latency bounds are multiplied.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) tightness: f64,
    /// Master seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// File for the instance; standard output by default.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
}

/// Placement methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SolveMethod {
    /// Prices and one server at a time: a plan and a proved bound. Of server-state profilers.
    Decomposed,
    /// One server, to the proved optimum. Of server-state profilers.
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
    /// The problem, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
    /// How to decide.
    #[arg(long, value_enum, default_value = "decomposed")]
    pub(crate) method: SolveMethod,
    /// Wall-clock time, such as 60s, 500ms or 2m.
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) time_limit: Duration,
    /// Iterations of each worker of lns, after which it ends whatever the time: then the plan is the seed's.
    #[arg(long)]
    pub(crate) iterations: Option<u64>,
    /// File for what proves the bound, of decomposed and exact; `neuro audit --certificate` checks it.
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
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// File for the plan, that of the change where there is one; standard output by default.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// The plan, JSON, on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The placement, JSON.
    #[arg(long)]
    pub(crate) plan: PathBuf,
    /// The problem that it answers, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
    /// Only this request.
    #[arg(long)]
    pub(crate) request: Option<String>,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AuditArgs {
    /// The placement, JSON.
    #[arg(long)]
    pub(crate) plan: PathBuf,
    /// What proves the plan's bound, to be checked too.
    #[arg(long)]
    pub(crate) certificate: Option<PathBuf>,
    /// The problem that it answers, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A time with its unit: `60s`, `500ms`, `2m`, `1h`; seconds without one.
fn duration(text: &str) -> Result<Duration, String> {
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

#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// The placement, JSON.
    #[arg(long)]
    pub(crate) plan: PathBuf,
    /// The problem that it answers, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
    /// Where to run it.
    #[arg(long, value_enum, default_value = "sim")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    /// A TOML file of simulated servers and services; the built-in ones by default. Servers are of the kinds that the instance
    /// names.
    #[arg(long, value_name = "FILE")]
    pub(crate) sim: Option<PathBuf>,
    /// Folder for runs and dataset.
    #[arg(long, default_value = "neuro-replay")]
    pub(crate) out: PathBuf,
    /// Master seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Measured window, seconds [default: 10; simulated: 1800]
    #[arg(long)]
    pub(crate) duration: Option<f64>,
    /// Load before the window, seconds [default: 1; simulated: 30]
    #[arg(long)]
    pub(crate) warmup: Option<f64>,
    /// How long unfinished requests are awaited after the window, seconds [default: 2; simulated: 30]
    #[arg(long)]
    pub(crate) drain: Option<f64>,
    /// Compute threads of each replica [default: 1]; not of simulated ones.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
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
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Seed of the simulated runs.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
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
        #[arg(long)]
        memory: Option<f64>,
        /// Share of the runs that fill only a part of it, 0 to 1; how much is drawn.
        #[arg(long, default_value_t = 0.0, value_parser = probability)]
        partly: f64,
    },
    /// Plans of random instances, run: the mixes that an optimiser chooses by some profilers, to learn from.
    #[command(
        after_help = "Example:\n  neuro run planned --target sim --profile edge-a=profiler-a --profile edge-b=profiler-b \
        --duration 300 --out planned\n  neuro ingest planned/runs edge-a/runs --out data-a\n  \
        neuro train data-a --server edge-a --all-kinds --out profiler-a\n\n\
        A search seeks out the mixes that a profiler is too hopeful about. Two or three rounds of running its plans and\n\
        learning from them again mend that."
    )]
    Planned(PlannedArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PlannedArgs {
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
    /// Number of plans.
    #[arg(long, default_value_t = 40)]
    pub(crate) plans: u32,
    /// Scenarios to draw the instances from, in turn.
    #[arg(long, value_delimiter = ',', default_value = "s1,s2,s3")]
    pub(crate) scenarios: Vec<Scenario>,
    /// Servers of an instance.
    #[arg(long, default_value_t = 2)]
    pub(crate) servers: usize,
    /// Kinds of the servers, the better first; each gets an equal share.
    #[arg(long, value_delimiter = ',', default_value = "edge-a,edge-b")]
    pub(crate) kinds: Vec<String>,
    /// Iterations of the search for each plan.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) iterations: u64,
    /// Where to run them.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    /// A TOML file of simulated servers and services; the built-in ones by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) sim: Option<PathBuf>,
    /// Folder for runs and dataset.
    #[arg(long, default_value = "neuro-planned")]
    pub(crate) out: PathBuf,
    /// Master seed.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Measured window of a run, seconds [default: 10; simulated: 1800]
    #[arg(long)]
    pub(crate) duration: Option<f64>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// Processes of this machine.
    Local,
    /// A node of a Kubernetes cluster, the one that kubectl speaks to.
    Kube,
    /// A simulated server.
    Sim,
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
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A plan and the problem that it answers.
#[derive(Debug, ClapArgs)]
pub(crate) struct PlanFiles {
    /// The placement, JSON.
    #[arg(long)]
    pub(crate) plan: PathBuf,
    /// The problem that it answers, JSON.
    #[arg(long)]
    pub(crate) instance: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Show what applying a plan would change.
    #[command(
        after_help = "Example:\n  neuro plan diff --plan plan.json --instance instance.json --namespace neuro --out diff.json"
    )]
    Diff {
        #[command(flatten)]
        files: PlanFiles,
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
        files: PlanFiles,
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
    /// A profiler's folder, for every kind of server or for one: kind=FOLDER.
    #[arg(long, required = true, value_name = "[KIND=]FOLDER")]
    pub(crate) profile: Vec<String>,
    #[command(flatten)]
    pub(crate) image: ImageArgs,
    /// Wall-clock time for a plan.
    #[arg(long, value_parser = duration, default_value = "5s")]
    pub(crate) time_limit: Duration,
    /// Wall-clock time for the search in the background.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub(crate) background_time_limit: Duration,
    /// Time between looks at the cluster when nothing changes.
    #[arg(long, value_parser = duration, default_value = "15s")]
    pub(crate) resync: Duration,
    /// Address of `/metrics` and `/healthz`.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub(crate) metrics: std::net::SocketAddr,
    /// Seed of the searches.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
}

/// Which simulated server.
#[derive(Debug, ClapArgs)]
pub(crate) struct SimArgs {
    /// A TOML file of simulated servers and services; the built-in ones by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) sim: Option<PathBuf>,
    /// Kind of simulated server; the first of the file by default (built in: edge-a, edge-b).
    #[arg(long)]
    pub(crate) kind: Option<String>,
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
    /// `--observed-rate` is left out [default: 10; simulated: 1800]
    #[arg(long)]
    pub(crate) duration: Option<f64>,
    /// Load before the window, seconds [default: 1; simulated: 30]
    #[arg(long)]
    pub(crate) warmup: Option<f64>,
    /// How long unfinished requests are awaited after the window, seconds [default: 2; simulated: 30]
    #[arg(long)]
    pub(crate) drain: Option<f64>,
    /// Repetitions of each configuration; baselines have two at least, for the noise floor.
    #[arg(long, default_value_t = 1)]
    pub(crate) repeats: u32,
    /// Arrival rate of the observed application in baseline and pairwise runs, requests per second; by default what keeps it
    /// busy three tenths of the time, at most 40.
    #[arg(long)]
    pub(crate) observed_rate: Option<f64>,
    /// Compute threads of each replica [default: 1]; simulated services have the parallelism of their parameters.
    #[arg(long)]
    pub(crate) threads: Option<u32>,
    /// Where to deploy.
    #[arg(long, value_enum, default_value = "local")]
    pub(crate) target: TargetKind,
    #[command(flatten)]
    pub(crate) kube: KubeArgs,
    #[command(flatten)]
    pub(crate) simulated: SimArgs,
    /// Simulated: keep every request and counter reading, not only a summary of each tenant.
    #[arg(long)]
    pub(crate) records: bool,
    /// Simulated: runs at once; two a core by default. The results are the same.
    #[arg(long)]
    pub(crate) jobs: Option<usize>,
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
    /// Seed of the first training.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Trainings; the one with the least validation error is kept.
    #[arg(long, default_value_t = 1)]
    pub(crate) seeds: u64,
    /// Only runs on these servers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server: Vec<String>,
    /// Most runs to learn from.
    #[arg(long)]
    pub(crate) runs: Option<usize>,
    #[command(flatten)]
    pub(crate) folds: FoldArgs,
    /// Share of promises that may be broken; 0: no margins.
    #[arg(long, default_value_t = 0.05, value_parser = probability)]
    pub(crate) miss_rate: f64,
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
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Only runs on these servers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) server: Vec<String>,
    /// Train server-state profilers on so many runs each and draw their errors.
    #[arg(long, value_delimiter = ',')]
    pub(crate) learning_curve: Vec<usize>,
    /// A TOML file with further applications.
    #[arg(long)]
    pub(crate) catalogue: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
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
