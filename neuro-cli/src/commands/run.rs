//! `neuro run`: a co-location experiment into run folders and a dataset.

use std::process::ExitCode;

use neuro_cli::{interrupt_on_ctrl_c, output, tool, write_pairwise_results};
use neuro_data::campaign::{CampaignParams, Filling, baseline, in_measuring_order, pairwise, random};
use neuro_data::{Application, Catalogue, Dataset, RunSpec, run_folder::run_folders};
use neuro_k8s::CampaignReport;
use neuro_k8s::sim::{Keep, SimCampaignParams};

use super::place::{Place, measure, measure_on_cluster, simulate};
use super::planned;
use crate::args::Experiment;

pub(crate) fn run(experiment: Experiment) -> anyhow::Result<ExitCode> {
    let common = match &experiment {
        Experiment::Planned(args) => return planned::planned(args),
        Experiment::Baseline { common } | Experiment::Pairwise { common, .. } | Experiment::Random { common, .. } => {
            common
        }
    };
    let simulated_only = [("--records", common.records), ("--jobs", common.jobs.jobs.is_some())];
    let place =
        Place::of(common.target, &common.sim, common.kind.as_deref(), &common.kube, &simulated_only, &common.threads)?;
    let defaults = place.defaults();
    let catalogue = common.catalogue.read()?;
    let apps = applications(&common.apps, &catalogue, &place)?;
    let params = CampaignParams {
        seed: common.seed.seed,
        threads: common.threads.threads.unwrap_or(1),
        phases: common.phases.or(defaults.phases),
        observed_rate: common.observed_rate,
    };
    // Two baselines of each application at least: their difference is the noise floor.
    let alone = || baseline(&params, &apps, common.repeats.max(2));
    let runs: Vec<RunSpec> = match &experiment {
        Experiment::Baseline { .. } => alone().collect(),
        Experiment::Pairwise { instances, rates, .. } => {
            let instances = if instances.is_empty() { defaults.instances } else { instances };
            let rates = if rates.is_empty() { defaults.rates } else { rates };
            alone().chain(pairwise(&params, &apps, instances, rates, common.repeats)).collect()
        }
        Experiment::Random { runs, memory, partly, .. } => {
            let filling = Filling { memory_gb: memory.unwrap_or(defaults.memory_gb), partly: *partly };
            let again = |run: RunSpec| (0..common.repeats).map(move |repeat| RunSpec { repeat, ..run.clone() });
            random(&params, &apps, filling, *runs).flat_map(again).collect()
        }
        Experiment::Planned(_) => Vec::new(),
    };
    if runs.is_empty() {
        let (field, value) = ("the number of runs".to_owned(), "0".to_owned());
        let expected = "one at least; is --memory too small for any tenant?";
        return Err(neuro_data::Error::Invalid { field, value, expected }.into());
    }
    let runs = in_measuring_order(place.mark(runs), common.seed.seed);
    let interrupt = interrupt_on_ctrl_c()?;
    let report = match &place {
        Place::Local => measure(&runs, &common.out, common.lock.lock.as_deref(), catalogue, &interrupt)?,
        Place::Kube(args) => measure_on_cluster(&runs, &common.out, args, catalogue, &interrupt)?,
        Place::Sim { params, kind } => {
            let mut campaign = SimCampaignParams::new(&common.out, tool());
            campaign.keep = if common.records { Keep::Records } else { Keep::Summaries };
            campaign.jobs = common.jobs.jobs.map_or(campaign.jobs, |jobs| jobs.max(1));
            simulate(&runs, &campaign, params, kind, &interrupt)?
        }
    };

    let dataset = Dataset::build(&common.out.join("dataset"), &run_folders(&common.out)?)?;
    if common.output.json {
        print_json(&report, &dataset);
    } else if let Experiment::Pairwise { .. } = experiment {
        output::print(&write_pairwise_results(&common.out, &runs)?.to_text());
    } else {
        output::print(&format!("dataset: {}\n", dataset.path().display()));
    }
    Ok(verdict(&report))
}

/// The applications asked for, or all that can be had.
fn applications(asked: &[String], catalogue: &Catalogue, place: &Place) -> anyhow::Result<Vec<Application>> {
    if asked.is_empty() {
        return Ok(catalogue.apps().iter().filter(|app| place.has(app).is_ok()).cloned().collect());
    }
    asked
        .iter()
        .map(|id| {
            let app = catalogue.get(id)?;
            place.has(app)?;
            Ok(app.clone())
        })
        .collect()
}

pub(super) fn print_json(report: &CampaignReport, dataset: &Dataset) {
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

/// The exit code of a campaign.
pub(super) fn verdict(report: &CampaignReport) -> ExitCode {
    if report.left > 0 {
        ExitCode::from(130)
    } else if report.invalid + report.failed > 0 {
        ExitCode::from(super::FINDINGS)
    } else {
        ExitCode::SUCCESS
    }
}
