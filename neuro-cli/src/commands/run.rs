//! `neuro run`: a co-location experiment into run folders and a dataset.

use std::process::ExitCode;

use anyhow::Context;
use neuro_apps::registry::Registry;
use neuro_cli::{CampaignProgress, SimulationProgress, interrupt_on_ctrl_c, output, tool, write_pairwise_results};
use neuro_data::campaign::{CampaignParams, Filling, baseline, in_measuring_order, pairwise, random};
use neuro_data::files::write_atomic;
use neuro_data::{Application, Catalogue, Dataset, Phases, RunSpec, run_folder::run_folders};
use neuro_k8s::sim::{Keep, SimCampaignParams, SimParams, simulate_campaign};
use neuro_k8s::{CampaignReport, DriverParams, LocalParams, LocalTarget, drive_campaign};

use super::{read_catalogue, read_sim};
use crate::args::{Experiment, RunArgs, SimArgs, TargetKind};

pub(crate) fn run(experiment: Experiment) -> anyhow::Result<ExitCode> {
    let common = match &experiment {
        Experiment::Baseline { common } | Experiment::Pairwise { common, .. } | Experiment::Random { common, .. } => {
            common
        }
    };
    let place = Place::of(common)?;
    let defaults = place.defaults();
    let catalogue = read_catalogue(common.catalogue.as_deref())?;
    let apps = applications(&common.apps, &catalogue, &place)?;
    let params = CampaignParams {
        seed: common.seed,
        threads: common.threads.unwrap_or(1),
        phases: Phases {
            warmup_s: common.warmup.unwrap_or(defaults.phases.warmup_s),
            duration_s: common.duration.unwrap_or(defaults.phases.duration_s),
            drain_s: common.drain.unwrap_or(defaults.phases.drain_s),
            ..defaults.phases
        },
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
            random(&params, &apps, filling, *runs).collect()
        }
    };
    anyhow::ensure!(!runs.is_empty(), "no run fits: the memory is too small for any tenant, or no run was asked for");
    let runs = in_measuring_order(runs, common.seed);
    let report = match &place {
        Place::Local => measure(&runs, common, catalogue)?,
        Place::Sim { params, kind } => simulate(&runs, common, params, kind)?,
    };

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

/// Where a campaign runs.
enum Place {
    Local,
    Sim { params: SimParams, kind: String },
}

/// What is not asked for.
struct Defaults {
    phases: Phases,
    memory_gb: f64,
    instances: &'static [u32],
    rates: &'static [f64],
}

impl Place {
    fn of(common: &RunArgs) -> anyhow::Result<Self> {
        let SimArgs { sim, kind } = &common.simulated;
        let simulated_only = [
            ("--sim", sim.is_some()),
            ("--kind", kind.is_some()),
            ("--records", common.records),
            ("--jobs", common.jobs.is_some()),
        ];
        match common.target {
            TargetKind::Local => {
                let misplaced = simulated_only.iter().find(|(_, given)| *given);
                misplaced.map_or(Ok(Self::Local), |(flag, _)| Err(usage(flag, "goes with --target sim")))
            }
            TargetKind::Sim if common.threads.is_some() => Err(usage(
                "--threads",
                "goes with real services; simulated ones have the parallelism of their parameters",
            )),
            TargetKind::Sim => {
                let params = read_sim(&common.simulated)?;
                let kind = kind.clone().unwrap_or_else(|| params.kinds[0].name.clone());
                params.server(&kind)?;
                Ok(Self::Sim { params, kind })
            }
        }
    }

    /// Of a simulated server, those of the NeuRO study.
    fn defaults(&self) -> Defaults {
        let phases = |warmup_s, duration_s, drain_s| Phases { warmup_s, duration_s, drain_s, warmup_inferences: 3 };
        match self {
            Self::Local => {
                Defaults { phases: phases(1.0, 10.0, 2.0), memory_gb: 4.0, instances: &[1, 2, 4], rates: &[20.0, 60.0] }
            }
            Self::Sim { .. } => Defaults {
                phases: phases(30.0, 1800.0, 30.0),
                memory_gb: 28.0,
                instances: &[4, 8, 16],
                rates: &[1.0, 2.0, 3.0, 4.0],
            },
        }
    }

    /// Whether a service of an application can be had there.
    fn has(&self, app: &Application) -> anyhow::Result<()> {
        match self {
            Self::Local if app.command.is_some() => {}
            Self::Local => drop(Registry::built_in().find(&app.id)?),
            Self::Sim { params, kind } => drop(params.server(kind)?.service(&app.id)?),
        }
        Ok(())
    }
}

fn usage(flag: &str, expected: &'static str) -> anyhow::Error {
    neuro_data::Error::Invalid { field: flag.to_owned(), value: "given".to_owned(), expected }.into()
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

fn simulate(runs: &[RunSpec], common: &RunArgs, params: &SimParams, kind: &str) -> anyhow::Result<CampaignReport> {
    let mut campaign = SimCampaignParams::new(&common.out, tool());
    campaign.keep = if common.records { Keep::Records } else { Keep::Summaries };
    if let Some(jobs) = common.jobs {
        campaign.jobs = jobs.max(1);
    }
    let interrupt = interrupt_on_ctrl_c()?;
    let mut progress = SimulationProgress::default();
    let report = simulate_campaign(params.server(kind)?, runs, &campaign, &interrupt, &mut progress)?;
    write_atomic(&common.out.join("sim.toml"), params.to_toml()?.as_bytes())?;
    Ok(report)
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
