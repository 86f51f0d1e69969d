//! `neuro destroy`: end what a crash left of a run.

use std::process::ExitCode;

use neuro_cli::output;
use neuro_data::Catalogue;
use neuro_k8s::{LocalParams, LocalTarget, Target};

use crate::args::TargetKind;

pub(crate) fn destroy(run_id: &str, target: TargetKind) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(target == TargetKind::Local, "a simulated run leaves nothing to end");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut target = LocalTarget::new(LocalParams::new(Catalogue::built_in()))?;
    let ended = runtime.block_on(target.sweep(run_id))?;
    output::print(&format!("{ended} processes of {run_id} ended\n"));
    Ok(ExitCode::SUCCESS)
}
