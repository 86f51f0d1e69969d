//! `neuro version`: what this is and what it is linked to.

use std::process::ExitCode;

use neuro_cli::{output, tool};
use neuro_opt::solver::cbc;

pub(crate) fn version(json: bool) -> ExitCode {
    let (tool, cbc) = (tool(), cbc::version());
    if json {
        output::print(&format!("{}\n", serde_json::json!({ "tool": tool, "cbc": cbc })));
    } else {
        let commit = if tool.commit.is_empty() { String::new() } else { format!(" ({})", tool.commit) };
        output::print(&format!("{} {}{commit}, CBC {cbc}\n", tool.name, tool.version));
    }
    ExitCode::SUCCESS
}
