//! `neuro run`: a co-location experiment into run folders and a dataset.

use std::process::ExitCode;

use anyhow::Context;
use neuro_apps::registry::Registry;
use neuro_cli::{CampaignProgress, interrupt_on_ctrl_c, output, tool, write_pairwise_results};
use neuro_data::campaign::{CampaignParams, baseline, in_measuring_order, pairwise, random};
use neuro_data::{Application, Catalogue, Dataset, Phases, RunSpec, run_folder::run_folders};
use neuro_k8s::{CampaignReport, DriverParams, LocalParams, LocalTarget, drive_campaign};

use super::read_catalogue;
use crate::args::{Experiment, RunArgs};

pub(crate) fn run(experiment: Experiment) -> anyhow::Result<ExitCode> {
    let common = match &experiment {
        Experiment::Baseline { common } | Experiment::Pairwise { common, .. } | Experiment::Random { common, .. } => {
            common
        }
    };
    let catalogue = read_catalogue(common.catalogue.as_deref())?;
    let apps = applications(&common.apps, &catalogue)?;
    let params = CampaignParams {
        seed: common.seed,
        threads: common.threads,
        phases: Phases {
            warmup_s: common.warmup,
            duration_s: common.duration,
            drain_s: common.drain,
            warmup_inferences: 3,
        },
        observed_rate: common.observed_rate,
    };
    // Two baselines of each application at least: their difference is the noise floor.
    let alone = || baseline(&params, &apps, common.repeats.max(2));
    let runs: Vec<RunSpec> = match &experiment {
        Experiment::Baseline { .. } => alone().collect(),
        Experiment::Pairwise { instances, rates, .. } => {
            alone().chain(pairwise(&params, &apps, instances, rates, common.repeats)).collect()
        }
        Experiment::Random { runs, memory, .. } => random(&params, &apps, *memory, *runs).collect(),
    };
    anyhow::ensure!(!runs.is_empty(), "no run fits: the memory is too small for any tenant, or no run was asked for");
    let runs = in_measuring_order(runs, common.seed);
    let report = measure(&runs, common, catalogue)?;

    let dataset = Dataset::build(&common.out.join("dataset"), &run_folders(&common.out)?)?;
    if common.json {
        print_json(&report, &dataset);
    } else if let Experiment::Pairwise { .. } = experiment {
        output::print(&write_pairwise_results(&common.out, &runs)?.to_text());
    } else {
        output::print(&format!("dataset: {}\n", dataset.path().display()));
    }
    Ok(verdict(&report))
}

/// The applications asked for, or all that this build serves.
fn applications(asked: &[String], catalogue: &Catalogue) -> anyhow::Result<Vec<Application>> {
    let registry = Registry::built_in();
    let can_start = |app: &Application| app.command.is_some() || registry.find(&app.id).is_ok();
    if asked.is_empty() {
        return Ok(catalogue.apps().iter().filter(|app| can_start(app)).cloned().collect());
    }
    asked
        .iter()
        .map(|id| {
            let app = catalogue.get(id)?;
            if !can_start(app) {
                registry.find(id)?;
            }
            Ok(app.clone())
        })
        .collect()
}

fn measure(runs: &[RunSpec], common: &RunArgs, catalogue: Catalogue) -> anyhow::Result<CampaignReport> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let mut local = LocalParams::new(catalogue);
    // The services are in this very program: `neuro app serve` is `neuro-app`.
    let serve = [own.display().to_string(), "app".into(), "serve".into()];
    local.programs.insert("neuro-app".into(), serve.to_vec());
    if let Some(lock) = &common.lock {
        local.lock.clone_from(lock);
    }
    let interrupt = interrupt_on_ctrl_c()?;
    let mut target = LocalTarget::new(local)?;
    let driver = DriverParams::new(&common.out, tool());
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let campaign = drive_campaign(&mut target, runs, &driver, &interrupt, &mut progress);
    Ok(runtime.block_on(campaign)?)
}

fn print_json(report: &CampaignReport, dataset: &Dataset) {
    let object = serde_json::json!({
        "dataset": dataset.path(),
        "finished_before": report.finished_before,
        "complete": report.complete,
        "invalid": report.invalid,
        "failed": report.failed,
        "left": report.left,
    });
    output::print(&format!("{object}\n"));
}

fn verdict(report: &CampaignReport) -> ExitCode {
    if report.left > 0 {
        ExitCode::from(130)
    } else if report.invalid + report.failed > 0 {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}
