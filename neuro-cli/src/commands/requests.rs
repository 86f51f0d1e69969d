//! `neuro requests`: an instance drawn from a scenario.

use std::process::ExitCode;

use neuro_cli::output;
use neuro_data::files::write_atomic;
use neuro_data::scenario::{ScenarioParams, draw};

use crate::args::RequestsArgs;

pub(crate) fn requests(args: &RequestsArgs) -> anyhow::Result<ExitCode> {
    let params = ScenarioParams {
        kinds: args.servers.kinds.clone(),
        memory_gb: args.memory,
        requests: args.requests,
        tightness: args.tightness,
        ..ScenarioParams::new(args.scenario, args.servers.servers, args.seed.seed)
    };
    let instance = draw(&params, &args.catalogue.read()?)?;
    let text = serde_json::to_string_pretty(&instance)? + "\n";
    match &args.out {
        Some(path) => write_atomic(path, text.as_bytes())?,
        None => output::print(&text),
    }
    Ok(ExitCode::SUCCESS)
}
