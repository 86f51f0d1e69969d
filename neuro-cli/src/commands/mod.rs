//! One file a subcommand.

mod apps;
mod audit;
mod completions;
mod datapoints;
mod demo;
mod destroy;
mod evaluate;
mod explain;
mod files;
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

use std::process::ExitCode;

use crate::args::{AppCommand, Args, Command, DataCommand};

/// Does what the command line asks for.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let Some(command) = args.command else {
        return completions::overview();
    };
    match command {
        Command::Demo(args) => demo::demo(&args),
        Command::Apps { catalogue, output } => apps::list(&catalogue.read()?, output.json),
        Command::App { command: AppCommand::Serve(serve) } => apps::serve(serve),
        Command::Run { experiment } => run::run(experiment),
        Command::Ingest(args) => ingest::ingest(args),
        Command::Data { command: DataCommand::Datapoints(args) } => datapoints::datapoints(args),
        Command::Data { command: DataCommand::Stats(args) } => stats::stats(&args),
        Command::Train(args) => train::train(*args),
        Command::Predict(args) => predict::predict(&args),
        Command::Evaluate(args) => evaluate::evaluate(&args),
        Command::Requests(args) => requests::requests(&args),
        Command::Solve(args) => solve::solve(&args),
        Command::Audit(args) => audit::audit(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::SolverWorker => {
            neuro_opt::solver::worker::serve(&neuro_opt::solver::cbc::Cbc)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay(args) => replay::replay(args),
        Command::Report(args) => report::report(&args),
        Command::Sim { command } => sim::sim(command),
        Command::Completions { shell } => Ok(completions::completions(shell)),
        Command::Version(output) => Ok(version::version(output.json)),
        Command::Destroy(args) => destroy::destroy(&args),
        Command::Plan { command } => plan::plan(command),
        Command::Operator { command } => operator::operator(command),
    }
}

/// Exit code of a call that did what was asked and found something wrong: a promise that does not hold, a run that failed, a fault in
/// a raw file.
pub(crate) const FINDINGS: u8 = 3;

/// The exit code of an error: 130 of an interruption, 2 where the input is to blame, else 1.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let cluster = error.chain().find_map(|cause| cause.downcast_ref::<neuro_k8s::Error>());
    let profiler = error.chain().find_map(|cause| cause.downcast_ref::<neuro_profiler::Error>());
    let placement = error.chain().find_map(|cause| cause.downcast_ref::<neuro_opt::Error>());
    let data =
        error.chain().find_map(|cause| cause.downcast_ref::<neuro_data::Error>()).or(match (cluster, profiler) {
            (Some(neuro_k8s::Error::Data(error)), _) | (_, Some(neuro_profiler::Error::Data(error))) => Some(error),
            _ => None,
        });
    if matches!(data, Some(neuro_data::Error::Interrupted)) {
        return ExitCode::from(130);
    }
    if let Some(error) = error.chain().find_map(|cause| cause.downcast_ref::<neuro_apps::error::Error>()) {
        return ExitCode::from(error.exit_code());
    }
    // A file or folder that was named and is not there; what a target lacks is no input.
    let is_absent = cluster.is_none()
        && error.chain().any(|cause| {
            cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        });
    let is_input = data.is_some_and(neuro_data::Error::is_input)
        || cluster.is_some_and(neuro_k8s::Error::is_input)
        || profiler.is_some_and(neuro_profiler::Error::is_input)
        || placement.is_some_and(neuro_opt::Error::is_input);
    if is_input || is_absent { ExitCode::from(2) } else { ExitCode::FAILURE }
}
