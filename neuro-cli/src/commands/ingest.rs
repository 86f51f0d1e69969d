//! `neuro ingest`: raw runs into a dataset.

use std::ops::ControlFlow;
use std::process::ExitCode;

use neuro_cli::{WorkProgress, interrupt_on_ctrl_c, output};
use neuro_data::ingest::{IngestParams, IngestReport, ingest as ingest_runs};

use crate::args::IngestArgs;

pub(crate) fn ingest(args: IngestArgs) -> anyhow::Result<ExitCode> {
    let mut params = IngestParams {
        strict: args.strict,
        replace: args.replace,
        server: args.server,
        catalogue: args.catalogue.read()?,
        ..IngestParams::default()
    };
    if let Some(jobs) = args.jobs.jobs {
        params.jobs = jobs.max(1);
    }
    let interrupt = interrupt_on_ctrl_c()?;
    let mut bar = WorkProgress::new("runs");
    let report = ingest_runs(&args.raw, &args.out, &params, &mut |progress| {
        bar.show(progress.runs_done, progress.runs, progress.bytes_done, progress.bytes);
        if interrupt.stops_after_run() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(bar);
    tell_problems(&report);
    if args.output.json {
        let object = serde_json::json!({
            "dataset": args.out,
            "added": report.added,
            "known": report.known,
            "problems": report.problems.kept(),
            "problems_total": report.problems.total(),
            "datapoints_removed": report.datapoints_removed,
        });
        output::print(&format!("{object}\n"));
    } else {
        let again =
            if report.datapoints_removed { "; its datapoints were of the old runs: make them again" } else { "" };
        let IngestReport { added, known, .. } = report;
        output::print(&format!("{added} runs added, {known} known already: {}{again}\n", args.out.display()));
    }
    Ok(if report.problems.total() > 0 { ExitCode::from(super::FINDINGS) } else { ExitCode::SUCCESS })
}

#[expect(clippy::print_stderr, reason = "this is the command's voice")]
fn tell_problems(report: &IngestReport) {
    for problem in report.problems.kept() {
        eprintln!("{problem}");
    }
    let more = report.problems.total() - report.problems.kept().len() as u64;
    if more > 0 {
        eprintln!("and {more} more like these");
    }
}
