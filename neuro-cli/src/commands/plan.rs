//! `neuro plan`: a placement on a Kubernetes cluster.

use std::process::ExitCode;

use neuro_cli::output::{self, table};
use neuro_data::files::write_atomic;
use neuro_k8s::kube::client;
use neuro_k8s::rollout::{self, Diff, PlacedStatus, RolloutParams};

use super::files::read_json;
use super::place::pod_settings;
use crate::args::{PlanCommand, RolloutArgs};

pub(crate) fn plan(command: PlanCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            PlanCommand::Diff { files, rollout, out } => {
                let (plan, instance) = files.read()?;
                let params = params(&rollout)?;
                let diff = rollout::diff(&client().await?, &plan, &instance, &params).await?;
                if let Some(path) = out {
                    write_atomic(&path, (serde_json::to_string_pretty(&diff)? + "\n").as_bytes())?;
                }
                print_diff(&diff, rollout.output.json, "would change")?;
            }
            PlanCommand::Apply { files, rollout, diff, dry_run } => {
                let (plan, instance) = files.read()?;
                let params = params(&rollout)?;
                let reviewed: Option<Diff> = diff.as_deref().map(read_json).transpose()?;
                let client = client().await?;
                let is_dry = dry_run.is_some();
                let done = rollout::apply(&client, &plan, &instance, &params, reviewed.as_ref(), is_dry).await?;
                print_diff(&done, rollout.output.json, if is_dry { "would change" } else { "changed" })?;
            }
            PlanCommand::Status { rollout } => {
                let statuses = rollout::status(&client().await?, &params(&rollout)?).await?;
                let is_broken = statuses.iter().any(|status| status.violated);
                if rollout.output.json {
                    output::print(&format!("{}\n", serde_json::json!({ "requests": statuses })));
                } else {
                    output::print(&to_text(&statuses));
                }
                return Ok(if is_broken { ExitCode::from(super::FINDINGS) } else { ExitCode::SUCCESS });
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn params(args: &RolloutArgs) -> anyhow::Result<RolloutParams> {
    let catalogue = args.catalogue.read()?;
    let mut params = RolloutParams::new(catalogue, pod_settings(&args.namespace, &args.image));
    params.name.clone_from(&args.name);
    for text in &args.nodes {
        let (server, node) = text.split_once('=').ok_or_else(|| neuro_data::Error::Invalid {
            field: "--node".to_owned(),
            value: text.clone(),
            expected: "SERVER=NODE",
        })?;
        params.nodes.insert(server.to_owned(), node.to_owned());
    }
    Ok(params)
}

fn print_diff(diff: &Diff, json: bool, verb: &str) -> anyhow::Result<()> {
    if json {
        output::print(&(serde_json::to_string(diff)? + "\n"));
        return Ok(());
    }
    for change in &diff.changes {
        output::print(&format!("{change}\n"));
    }
    output::print(&format!("{} objects {verb} in namespace {}\n", diff.changes.len(), diff.namespace));
    Ok(())
}

fn to_text(statuses: &[PlacedStatus]) -> String {
    let seconds = |value: Option<f64>| value.map_or("–".to_owned(), |s| format!("{s:.4}"));
    let rows = statuses.iter().map(|status| {
        let verdict = match (status.violated, status.measured_s) {
            (true, _) => "VIOLATED",
            (false, Some(_)) => "kept",
            (false, None) => "not measured",
        };
        vec![
            status.promise.request.clone(),
            status.promise.server.clone(),
            format!("{}/{}", status.ready, status.instances),
            status.promise.sla.name().to_owned(),
            format!("{}", status.promise.delay_s),
            seconds(status.promise.predicted_s),
            seconds(status.measured_s),
            status.samples.to_string(),
            verdict.to_owned(),
        ]
    });
    let header = ["request", "server", "ready", "sla", "promised s", "predicted s", "measured s", "samples", "verdict"];
    let mut text = table::render(&header, rows);
    for trouble in statuses.iter().flat_map(|status| &status.troubles) {
        text += &format!("{trouble}\n");
    }
    text
}
