//! `neuro replay`: a placement put to the test.

use std::process::ExitCode;

use anyhow::Context;
use neuro_cli::interrupt_on_ctrl_c;
use neuro_cli::output::{self, table};
use neuro_data::files::write_atomic;
use neuro_data::run_folder::{RunFolder, run_path};
use neuro_data::store::TenantRow;
use neuro_data::{Dataset, RunSpec, wilson_interval};
use neuro_k8s::replay::{Replay, ReplayParams, ReplayReport};

use super::place::{Place, run_by_kind};
use super::run;
use crate::args::ReplayArgs;

pub(crate) fn replay(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let place = Place::of(args.target, &args.sim, None, &args.kube, &[], &args.threads)?;
    let catalogue = args.catalogue.read()?;
    let (plan, instance) = args.plan.read()?;
    let params = ReplayParams {
        seed: args.seed.seed,
        threads: args.threads.threads.unwrap_or(1),
        phases: args.phases.or(place.defaults().phases),
    };
    let replay = Replay::new(&plan, &instance, &catalogue, &params)
        .with_context(|| format!("{} does not answer {}", args.plan.plan.display(), args.plan.of.instance.display()))?
        .on(place.target());

    let interrupt = interrupt_on_ctrl_c()?;
    let runs: Vec<(String, RunSpec)> = replay.runs().iter().map(|run| (run.kind.clone(), run.spec.clone())).collect();
    let done = run_by_kind(&place, &runs, &args.out, args.lock.lock.as_deref(), catalogue, &interrupt)?;
    let folders = runs.iter().map(|(_, spec)| RunFolder::open(&run_path(&args.out, &spec.run_id())));
    let folders = folders.filter_map(Result::ok).collect::<Vec<_>>();
    let dataset = Dataset::build(&args.out.join("dataset"), &folders)?;
    let report = replay.judge(&dataset.read::<TenantRow>()?);
    // The folder tells the whole story: `neuro report` reads it.
    for (name, json) in [
        ("instance.json", serde_json::to_string_pretty(&instance)?),
        ("plan.json", serde_json::to_string_pretty(&plan)?),
        ("replay.json", serde_json::to_string_pretty(&report)?),
    ] {
        write_atomic(&args.out.join(name), format!("{json}\n").as_bytes())?;
    }
    if args.output.json {
        output::print(&format!("{}\n", serde_json::to_string(&report)?));
    } else {
        output::print(&to_text(&report));
    }
    Ok(run::verdict(&done))
}

fn to_text(report: &ReplayReport) -> String {
    let rows = report.requests.iter().map(|request| {
        let measured = request.measured_s.map_or("–".to_owned(), |s| format!("{s:.4}"));
        let excess = request.excess.map_or("–".to_owned(), |excess| format!("{:.1} %", 100.0 * excess));
        let unstable = request.servers.iter().any(|server| server.unstable);
        let verdict = match (request.violated, unstable) {
            (true, true) => "broken, overloaded",
            (true, false) => "broken",
            (false, true) => "kept, overloaded",
            (false, false) => "kept",
        };
        let servers: Vec<&str> = request.servers.iter().map(|server| server.server.as_str()).collect();
        vec![
            request.id.clone(),
            request.app.clone(),
            servers.join(", "),
            request.sla.name().to_owned(),
            format!("{}", request.promised_s),
            measured,
            excess,
            verdict.to_owned(),
        ]
    });
    let header = ["request", "app", "servers", "promise", "promised s", "measured s", "off by", "verdict"];
    let mut text = table::render(&header, rows);
    let count = report.requests.iter().filter(|request| request.violated).count();
    let all = report.requests.len();
    text += &format!("{count} of {all} promises broken ({:.1} %", 100.0 * report.violation_rate);
    if all > 0 {
        let (low, high) = wilson_interval(count as f64, all as f64);
        text += &format!(", 95 % interval {:.1} to {:.1} %", 100.0 * low, 100.0 * high);
    }
    text.push(')');
    if let (Some(mean), Some(max)) = (report.mean_excess, report.max_excess) {
        text += &format!(", by {:.1} % in the mean and {:.1} % at most", 100.0 * mean, 100.0 * max);
    }
    let ReplayReport { revenue_planned, revenue_kept, revenue_lost, .. } = report;
    text += &format!("\nrevenue: {revenue_planned:.2} planned, {revenue_kept:.2} kept, {revenue_lost:.2} lost\n");
    text
}
