//! `neuro solve`: who is served, and where.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context;
use neuro_cli::output::{self, table};
use neuro_cli::{SearchProgress, interrupt_on_ctrl_c};
use neuro_data::files::write_atomic;
use neuro_data::plan::{Plan, TracePoint};
use neuro_k8s::Interrupt;
use neuro_opt::placement::{
    self, Certificate, DecomposedParams, ExactParams, Finding, LnsParams, MilpParams, NeuroParams, PerxParams, Problem,
    ScalOranParams,
};
use neuro_opt::solver::worker::Worker;
use neuro_profiler::baselines::Reach;

use super::audit::promises;
use super::what_if;
use crate::args::{SolveArgs, SolveMethod};

pub(crate) fn solve(args: &SolveArgs) -> anyhow::Result<ExitCode> {
    let instance = args.problem.read()?;
    let profiles = args.profiles.read()?;
    let catalogue = args.catalogue.read()?;
    let proves = matches!(args.method, SolveMethod::Decomposed | SolveMethod::Exact | SolveMethod::Milp);
    if let Some(path) = args.certificate.as_ref().filter(|_| !proves) {
        let (field, value) = ("--certificate".to_owned(), path.display().to_string());
        let expected = "nothing with this method: decomposed, exact and milp prove bounds";
        return Err(neuro_data::Error::Invalid { field, value, expected }.into());
    }
    let changed = what_if::changed(&instance, &args.what_if)?;
    let interrupt = interrupt_on_ctrl_c()?;
    let problem = Problem::new(&instance, &profiles, &catalogue)?;
    let (plan, certificate) = decide(args, &problem, &interrupt)?;
    if let Some((path, certificate)) = args.certificate.as_ref().zip(certificate.as_ref()) {
        write_atomic(path, serde_json::to_string(certificate)?.as_bytes())?;
    }
    let code = match changed {
        None => told(args, &problem, &plan, None)?,
        Some(changed) => {
            let problem = Problem::new(&changed, &profiles, &catalogue)?;
            let after = if is_interrupted(&plan) { plan.clone() } else { decide(args, &problem, &interrupt)?.0 };
            told(args, &problem, &after, Some(&plan))?
        }
    };
    anyhow::ensure!(
        args.certificate.is_none() || certificate.is_some() || is_interrupted(&plan),
        "the plan is whole, but {} proved no bound in its time, so no certificate was written: give it more",
        plan.method
    );
    Ok(code)
}

/// Writes and prints a plan, or what becomes of a base.
fn told(args: &SolveArgs, problem: &Problem<'_>, plan: &Plan, base: Option<&Plan>) -> anyhow::Result<ExitCode> {
    let text = serde_json::to_string_pretty(plan)? + "\n";
    if let Some(path) = &args.out {
        write_atomic(path, text.as_bytes())?;
    }
    match base {
        Some(base) if args.output.json => output::print(&what_if::to_json(base, plan)?),
        Some(base) => output::print(&what_if::to_text(base, plan)),
        None if args.output.json || args.out.is_none() => output::print(&text),
        None => output::print(&overview(problem, plan)?),
    }
    Ok(if is_interrupted(plan) {
        ExitCode::from(130)
    } else if placement::audit(problem, plan)?.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::FINDINGS)
    })
}

fn is_interrupted(plan: &Plan) -> bool {
    plan.termination == neuro_opt::Termination::Interrupted.id()
}

/// The plan of the method that was asked for, and what proves its bound.
fn decide(
    args: &SolveArgs,
    problem: &Problem<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<(Plan, Option<Certificate>)> {
    let mut trace: Vec<TracePoint> = Vec::new();
    let bar = SearchProgress::new(args.time.time_limit);
    let mut observer = |progress: &neuro_opt::Progress| {
        let bound = Some(progress.bound).filter(|bound| bound.is_finite());
        bar.show(progress.objective, bound);
        let is_new = |last: &TracePoint| last.objective != progress.objective || last.bound != bound;
        if trace.last().is_none_or(is_new) {
            trace.push(TracePoint { seconds: progress.seconds, objective: progress.objective, bound });
        }
        if interrupt.stops_after_run() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let time = Some(args.time.time_limit);
    let solver = solver(interrupt)?;
    let workers = args.workers.unwrap_or(LnsParams::default().workers);
    let keep = args.certificate.is_some();
    let mut certificate = None;
    let mut plan = match args.method {
        SolveMethod::Decomposed => {
            let params = DecomposedParams {
                time: args.time.time_limit,
                workers,
                seed: args.seed.seed,
                certificate: keep,
                ..DecomposedParams::default()
            };
            let found = placement::decomposed(problem, &params, &mut observer)?;
            certificate = found.certificate;
            found.plan
        }
        SolveMethod::Exact => {
            let limits = neuro_opt::Limits { time, ..neuro_opt::Limits::default() };
            let params = ExactParams { limits, workers, seed: args.seed.seed, certificate: keep };
            let found = placement::exact(problem, &params, &mut observer)?;
            certificate = found.certificate;
            found.plan
        }
        SolveMethod::Greedy => placement::greedy(problem)?,
        SolveMethod::FirstFit => placement::first_fit(problem)?,
        SolveMethod::Lns => {
            let params = LnsParams {
                time: args.time.time_limit,
                iterations: args.iterations,
                seed: args.seed.seed,
                workers,
                ..LnsParams::default()
            };
            placement::lns(problem, &params, &mut observer)?.plan
        }
        SolveMethod::Milp => {
            let (splits, seed) = (args.splits, args.seed.seed);
            let params = MilpParams { time, splits, seed, certificate: keep, ..MilpParams::default() };
            let found = placement::milp(problem, &params, &solver, &mut observer)?;
            certificate = found.certificate;
            found.plan
        }
        SolveMethod::Neuro => {
            let found = placement::neuro(problem, &NeuroParams { time, ..NeuroParams::default() }, &mut observer)?;
            let (cpu, evaluations) = (found.cpu_seconds, found.evaluations);
            // A note beside the plan, which has no field for it.
            bar.say(&format!("{cpu:.3} s of CPU for {evaluations} evaluations of a server's promises"));
            found.plan
        }
        SolveMethod::Perx => {
            let (delta, base_factor) = (args.delta, args.base_factor);
            let params = PerxParams { delta, base_factor, time, ..PerxParams::default() };
            placement::perx(problem, &params, &solver, &mut observer)?
        }
        SolveMethod::Scaloran | SolveMethod::ScaloranCons => {
            let reach = if args.method == SolveMethod::Scaloran { Reach::Average } else { Reach::Own };
            let params = ScalOranParams { reach, time, ..ScalOranParams::default() };
            placement::scaloran(problem, &params, &solver, &mut observer)?
        }
    };
    drop(bar);
    // The end of it: what was found after the last report.
    if !trace.is_empty() {
        trace.push(TracePoint { seconds: plan.seconds, objective: Some(plan.objective), bound: plan.bound });
    }
    plan.trace = trace;
    Ok((plan, certificate))
}

/// CBC in a process of this very program, which Ctrl-C ends.
fn solver(interrupt: &Interrupt) -> anyhow::Result<Worker> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let interrupt = interrupt.clone();
    Ok(Worker::new(own, ["solver-worker".to_owned()]).until(move || interrupt.stops_after_run()))
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
    if let (Some(bound), Some(gap)) = (plan.bound, plan.gap) {
        text += &format!("no placement has more than {bound:.2}: the plan is at most {:.2} % short\n", 100.0 * gap);
    }
    let broken = audit.findings.iter().filter(|finding| matches!(finding, Finding::Promise { .. })).count();
    if broken > 0 {
        text += &format!("{broken} of {} promises of the given profilers are broken\n", audit.promises.len());
    }
    Ok(text)
}
