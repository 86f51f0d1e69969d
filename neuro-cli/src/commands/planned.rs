//! `neuro run planned`: what an optimiser chooses by some profilers, run so that others learn from it.

use std::ops::ControlFlow;
use std::process::ExitCode;

use neuro_cli::{WorkProgress, interrupt_on_ctrl_c, output};
use neuro_data::run_folder::run_folders;
use neuro_data::scenario::{ScenarioParams, draw};
use neuro_data::{Dataset, Error, RunSpec};
use neuro_k8s::replay::{Replay, ReplayParams};
use neuro_opt::placement::{LnsParams, Problem, lns};

use super::place::{Place, run_by_kind};
use super::run;
use crate::args::PlannedArgs;

pub(super) fn planned(args: &PlannedArgs) -> anyhow::Result<ExitCode> {
    let place = Place::of(args.target, &args.sim, None, &args.kube, &[], &args.threads)?;
    let catalogue = args.catalogue.read()?;
    let profiles = args.profiles.read()?;
    let phases = args.phases.or(place.defaults().phases);
    let threads = args.threads.threads.unwrap_or(1);
    let interrupt = interrupt_on_ctrl_c()?;
    let mut progress = WorkProgress::new("plans");
    let mut runs: Vec<(String, RunSpec)> = Vec::new();
    for (plan, scenario) in (0..args.plans).zip(args.scenarios.iter().cycle()) {
        if interrupt.stops_after_run() {
            return Ok(ExitCode::from(130));
        }
        let seed = args.seed.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(plan));
        let params = ScenarioParams {
            kinds: args.servers.kinds.clone(),
            ..ScenarioParams::new(*scenario, args.servers.servers, seed)
        };
        let instance = draw(&params, &catalogue)?;
        let problem = Problem::new(&instance, &profiles, &catalogue)?;
        let search = LnsParams { iterations: Some(args.iterations), workers: 1, seed, ..LnsParams::default() };
        let chosen = lns(&problem, &search, &mut |_| ControlFlow::Continue(()))?.plan;
        let replay =
            Replay::new(&chosen, &instance, &catalogue, &ReplayParams { seed, threads, phases })?.on(place.target());
        runs.extend(replay.runs().iter().map(|run| (run.kind.clone(), run.spec.clone())));
        progress.show(plan as usize + 1, args.plans as usize, u64::from(plan) + 1, u64::from(args.plans));
    }
    drop(progress);
    if runs.is_empty() {
        let (field, value) = ("--plans".to_owned(), args.plans.to_string());
        return Err(Error::Invalid { field, value, expected: "plans that serve something" }.into());
    }
    let report = run_by_kind(&place, &runs, &args.out, args.lock.lock.as_deref(), catalogue, &interrupt)?;
    let dataset = Dataset::build(&args.out.join("dataset"), &run_folders(&args.out)?)?;
    if args.output.json {
        run::print_json(&report, &dataset);
    } else {
        output::print(&format!("dataset: {}\n", dataset.path().display()));
    }
    Ok(run::verdict(&report))
}
