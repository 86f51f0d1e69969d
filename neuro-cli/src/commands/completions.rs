//! `neuro completions`, and `neuro` alone: what the command line offers.

use std::process::ExitCode;

use clap::CommandFactory;
use neuro_cli::output;

use crate::args::Args;

/// The help, for somebody who asks for nothing yet.
pub(crate) fn overview() -> anyhow::Result<ExitCode> {
    Args::command().print_help()?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "neuro", &mut script);
    output::print(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}
