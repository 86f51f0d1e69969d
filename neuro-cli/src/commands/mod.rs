//! One file a subcommand.

mod apps;
mod completions;
mod datapoints;
mod demo;
mod destroy;
mod evaluate;
mod explain;
mod ingest;
mod operator;
mod place;
mod plan;
mod planned;
mod predict;
mod replay;
mod report;
mod requests;
mod run;
mod sim;
mod solve;
mod stats;
mod train;
mod version;
mod what_if;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use neuro_data::Catalogue;
use neuro_k8s::sim::SimParams;

use crate::args::{AppCommand, Args, Command, DataCommand};

/// Does what the command line asks for.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Some(command) = args.command else {
        return completions::overview();
    };
    match command {
        Command::Demo(args) => demo::demo(&args),
        Command::Apps { catalogue, json } => apps::list(&read_catalogue(catalogue.as_deref())?, json),
        Command::App { command: AppCommand::Serve(serve) } => apps::serve(serve),
        Command::Run { experiment } => run::run(experiment),
        Command::Ingest(args) => ingest::ingest(args),
        Command::Data { command: DataCommand::Datapoints(args) } => datapoints::datapoints(args),
        Command::Data { command: DataCommand::Stats { dataset, svg, json } } => {
            stats::stats(&dataset, svg.as_deref(), json)
        }
        Command::Train(args) => train::train(*args),
        Command::Predict(args) => predict::predict(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Requests(args) => requests::requests(&args),
        Command::Solve(args) => solve::solve(&args),
        Command::Audit(args) => solve::audit(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::SolverWorker => {
            neuro_opt::solver::worker::serve(&neuro_opt::solver::cbc::Cbc)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay(args) => replay::replay(args),
        Command::Report(args) => report::report(&args),
        Command::Sim { command } => sim::sim(command),
        Command::Completions { shell } => Ok(completions::completions(shell)),
        Command::Version { json } => Ok(version::version(json)),
        Command::Destroy { run, target, namespace } => destroy::destroy(&run, target, &namespace),
        Command::Plan { command } => plan::plan(command),
        Command::Operator { command } => operator::operator(command),
    }
}

/// The exit code of an error: 2 where the input is to blame, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let data = error.chain().find_map(|cause| {
        cause
            .downcast_ref::<neuro_data::Error>()
            .or_else(|| match cause.downcast_ref::<neuro_k8s::Error>() {
                Some(neuro_k8s::Error::Data(error)) => Some(error),
                _ => None,
            })
            .or_else(|| match cause.downcast_ref::<neuro_profiler::Error>() {
                Some(neuro_profiler::Error::Data(error)) => Some(error),
                _ => None,
            })
    });
    let cluster = error.chain().find_map(|cause| cause.downcast_ref::<neuro_k8s::Error>());
    if matches!(cluster, Some(neuro_k8s::Error::NodeChoice { .. } | neuro_k8s::Error::Namespace { .. })) {
        return ExitCode::from(2);
    }
    let problem = error.chain().find_map(|cause| cause.downcast_ref::<neuro_opt::Error>());
    let is_input = problem.is_some_and(|error| {
        use neuro_opt::Error::{Data, InvalidOption, NoProfile, Request, UnsuitedProfiler};
        matches!(error, Data(_) | InvalidOption { .. } | NoProfile { .. } | Request { .. } | UnsuitedProfiler { .. })
    });
    if is_input {
        return ExitCode::from(2);
    }
    let profiler = error.chain().find_map(|cause| cause.downcast_ref::<neuro_profiler::Error>());
    let app = error.chain().find_map(|cause| cause.downcast_ref::<neuro_apps::error::Error>());
    match (data, app) {
        (Some(neuro_data::Error::Invalid { .. } | neuro_data::Error::UnknownApp { .. }), _) => ExitCode::from(2),
        (Some(neuro_data::Error::Malformed { .. } | neuro_data::Error::Problem(_)), _) => ExitCode::from(2),
        (Some(neuro_data::Error::Interrupted), _) => ExitCode::from(130),
        (_, Some(error)) => ExitCode::from(error.exit_code()),
        (None, None) if profiler.is_some_and(neuro_profiler::Error::is_input) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn read_catalogue(extension: Option<&Path>) -> anyhow::Result<Catalogue> {
    let Some(path) = extension else { return Ok(Catalogue::built_in()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Catalogue::built_in().extended(&text).with_context(|| format!("in {}", path.display()))
}

/// The parameters of simulated servers.
fn read_sim(file: Option<&Path>) -> anyhow::Result<SimParams> {
    let Some(path) = file else { return Ok(SimParams::built_in()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    SimParams::from_toml(&text).with_context(|| format!("in {}", path.display()))
}
