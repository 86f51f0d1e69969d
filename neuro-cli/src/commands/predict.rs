//! `neuro predict`: JSON lines in, JSON lines out.

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::process::ExitCode;

use anyhow::Context;
use neuro_cli::output;
use neuro_profiler::{Bundle, Load, Profiler};
use serde::{Deserialize, Serialize};

use super::files::read_bundle;
use crate::args::PredictArgs;

/// A line in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    app: String,
    instances: f64,
    rate: f64,
    #[serde(default)]
    context: Vec<Entry>,
}

/// Another tenant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    app: String,
    instances: f64,
    rate: f64,
}

/// A line out.
#[derive(Serialize)]
struct Answer {
    mean_s: f64,
    p75_s: f64,
    p95_s: f64,
}

pub(crate) fn predict(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let bundle = read_bundle(&args.bundle)?;
    let input: Box<dyn BufRead> = match &args.input {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(stdin().lock()),
    };
    let (mut failed, mut outside) = (0, 0);
    for (i, line) in input.lines().enumerate() {
        let line = line.with_context(|| format!("cannot read line {}", i + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let text = match answer(&bundle, &line, args.margins) {
            Ok((answer, is_outside)) => {
                outside += usize::from(is_outside);
                serde_json::to_string(&answer)?
            }
            Err(error) => {
                failed += 1;
                serde_json::json!({ "error": format!("line {}: {error:#}", i + 1) }).to_string()
            }
        };
        output::print(&format!("{text}\n"));
    }
    #[expect(clippy::print_stderr, reason = "this is the command's voice")]
    if outside > 0 {
        eprintln!("{outside} lines are outside of the loads that the profiler was trained on");
    }
    Ok(if failed > 0 { ExitCode::from(super::FINDINGS) } else { ExitCode::SUCCESS })
}

/// The answer to a line, and whether a load of it is outside of what the profiler was trained on.
fn answer(bundle: &Bundle, line: &str, margins: bool) -> anyhow::Result<(Answer, bool)> {
    let question: Question = serde_json::from_str(line)?;
    let load = |app: &str, instances, rate| anyhow::Ok(Load { app: bundle.app(app)?, instances, rate });
    let mut server = vec![load(&question.app, question.instances, question.rate)?];
    for entry in &question.context {
        server.push(load(&entry.app, entry.instances, entry.rate)?);
    }
    let [mean_s, p75_s, p95_s] =
        if margins { bundle.promises(&server)?[0] } else { bundle.log_times(&server)?[0].map(f64::exp) };
    let is_outside = server.iter().any(|load| {
        let range = bundle.profile().ranges.get(&bundle.apps()[load.app]);
        range.is_some_and(|range| {
            load.instances > range.total_instances || !(range.rate[0]..=range.rate[1]).contains(&load.rate)
        })
    });
    Ok((Answer { mean_s, p75_s, p95_s }, is_outside))
}
