//! `neuro destroy`: end what a crash left of a run.

use std::process::ExitCode;
use std::time::Duration;

use neuro_cli::output;
use neuro_data::Catalogue;
use neuro_k8s::kube::{client, destroy_run};
use neuro_k8s::{LocalParams, LocalTarget, Target};

use crate::args::{DestroyArgs, TargetKind};

/// How long a cluster may take until everything is gone.
const GONE_DEADLINE: Duration = Duration::from_secs(120);

pub(crate) fn destroy(args: &DestroyArgs) -> anyhow::Result<ExitCode> {
    let DestroyArgs { run: run_id, target, namespace } = args;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = match *target {
        TargetKind::Local => {
            let mut target = LocalTarget::new(LocalParams::new(Catalogue::built_in()))?;
            format!("{} processes", runtime.block_on(target.sweep(run_id))?)
        }
        TargetKind::Kube => {
            let destroyed =
                runtime.block_on(async { destroy_run(&client().await?, namespace, run_id, GONE_DEADLINE).await });
            format!("{} objects", destroyed?)
        }
        TargetKind::Sim => {
            let (field, value) = ("--target".to_owned(), "sim".to_owned());
            let expected = "local or kube: a simulated run leaves nothing to end";
            return Err(neuro_data::Error::Invalid { field, value, expected }.into());
        }
    };
    output::print(&format!("{ended} of {run_id} ended\n"));
    Ok(ExitCode::SUCCESS)
}
