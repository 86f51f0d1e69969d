//! `neuro solve` and `neuro audit`: placements.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use neuro_cli::interrupt_on_ctrl_c;
use neuro_cli::output::{self, table};
use neuro_data::files::write_atomic;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_opt::placement::{self, Audit, LnsParams, Problem, Profiles};
use neuro_profiler::Bundle;

use super::read_catalogue;
use crate::args::{AuditArgs, SolveArgs, SolveMethod};

/// Exit code of a plan that does not hold.
const FINDINGS: u8 = 3;

pub(crate) fn solve(args: &SolveArgs) -> anyhow::Result<ExitCode> {
    let instance = read_instance(&args.instance)?;
    let profiles = read_profiles(&args.profile)?;
    let catalogue = read_catalogue(args.catalogue.as_deref())?;
    let problem = Problem::new(&instance, &profiles, &catalogue)?;
    let plan = match args.method {
        SolveMethod::Greedy => placement::greedy(&problem)?,
        SolveMethod::Lns => {
            let interrupt = interrupt_on_ctrl_c()?;
            let params = LnsParams {
                time: args.time_limit,
                iterations: args.iterations,
                seed: args.seed,
                workers: args.workers.unwrap_or(LnsParams::default().workers),
                ..LnsParams::default()
            };
            let mut observer = |_: &neuro_opt::Progress| {
                if interrupt.stops_after_run() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            placement::lns(&problem, &params, &mut observer)?.plan
        }
    };
    let text = serde_json::to_string_pretty(&plan)? + "\n";
    if let Some(path) = &args.out {
        write_atomic(path, text.as_bytes())?;
    }
    if args.json || args.out.is_none() {
        output::print(&text);
    } else {
        output::print(&overview(&problem, &plan)?);
    }
    let interrupted = plan.termination == neuro_opt::Termination::Interrupted.id();
    Ok(if interrupted { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

pub(crate) fn audit(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let instance = read_instance(&args.instance)?;
    let plan: Plan = serde_json::from_str(&read(&args.plan)?)
        .map_err(|e| neuro_data::Error::Malformed { path: args.plan.clone(), reason: e.to_string() })?;
    let profiles = read_profiles(&args.profile)?;
    let problem = Problem::new(&instance, &profiles, &read_catalogue(args.catalogue.as_deref())?)?;
    let audit = placement::audit(&problem, &plan)?;
    if args.json {
        output::print(&(serde_json::to_string(&audit)? + "\n"));
    } else {
        output::print(&promises(&audit));
        for finding in &audit.findings {
            output::print(&format!("{finding}\n"));
        }
        let verdict = if audit.holds() { "the plan holds" } else { "the plan does not hold" };
        output::print(&format!("revenue {:.2}; {verdict}\n", audit.revenue));
    }
    Ok(if audit.holds() { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

/// Server by server, then who is rejected.
fn overview(problem: &Problem<'_>, plan: &Plan) -> anyhow::Result<String> {
    let audit = placement::audit(problem, plan)?;
    let mut text = promises(&audit);
    let rejected = plan.rejected.iter().map(|r| vec![r.request.clone(), format!("{:?}", r.code), r.detail.clone()]);
    if !plan.rejected.is_empty() {
        text += &table::render(&["rejected", "code", "why"], rejected);
    }
    let requests = &problem.instance().requests;
    let asked: f64 = requests.iter().map(|request| request.payment).sum();
    let served = requests.len() - plan.rejected.len();
    text += &format!(
        "{}: revenue {:.2} of {asked:.2} asked, {served} of {} requests, {:.2} s ({})\n",
        plan.method,
        plan.objective,
        requests.len(),
        plan.seconds,
        plan.termination,
    );
    Ok(text)
}

fn promises(audit: &Audit) -> String {
    let rows = audit.promises.iter().map(|promise| {
        let share = 100.0 * promise.promise_s / promise.delay_s;
        vec![
            promise.server.clone(),
            promise.request.clone(),
            promise.sla.name().to_owned(),
            format!("{:.4}", promise.promise_s),
            format!("{:.4}", promise.delay_s),
            format!("{share:.0}"),
        ]
    });
    table::render(&["server", "request", "sla", "promised (s)", "bound (s)", "% of bound"], rows)
}

pub(super) fn read_profiles(texts: &[String]) -> anyhow::Result<Profiles> {
    let mut profiles = Profiles::default();
    for text in texts {
        profiles = match text.split_once('=') {
            Some((kind, folder)) => profiles.with(kind, Bundle::read(Path::new(folder))?),
            None => profiles.and_of_all(Bundle::read(Path::new(text))?),
        };
    }
    Ok(profiles)
}

fn read_instance(path: &Path) -> anyhow::Result<Instance> {
    Instance::from_json(&read(path)?).with_context(|| format!("in {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
