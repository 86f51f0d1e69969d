//! How the error falls with the runs to learn from.

use std::ops::ControlFlow;

use neuro_cli::WorkProgress;
use neuro_cli::output::{Axis, Chart, Reference, Series};
use neuro_data::Sla;
use neuro_profiler::evaluation::{ErrorSummary, Utilisation, judge};
use neuro_profiler::fit::{FitParams, Recipe, fit};
use neuro_profiler::train::{Progress, ServerStateParams};
use neuro_profiler::{Bundle, Folds, TrainingSet};
use serde::Serialize;

use super::super::train::tool_name;
use super::charts::panels;
use super::row;
use crate::args::EvaluateArgs;

/// Errors of profilers that learned from so many runs.
#[derive(Serialize)]
pub(super) struct LearningRow {
    pub(super) runs: usize,
    pub(super) target: &'static str,
    #[serde(flatten)]
    pub(super) summary: ErrorSummary,
}

pub(super) fn learning_curve(
    args: &EvaluateArgs,
    set: &TrainingSet,
    folds: &Folds,
    bundles: &[Bundle],
    utilisation: &Utilisation,
) -> anyhow::Result<Vec<LearningRow>> {
    let mut rows = Vec::new();
    if args.learning_curve.is_empty() {
        return Ok(rows);
    }
    let hash = set.hash();
    let split = bundles.iter().map(|b| &b.profile().data).find(|data| data.hash == hash);
    let Some(split) = split.and_then(|data| data.folds.clone()) else {
        let (field, value) = ("--learning-curve".to_owned(), format!("{:?}", args.learning_curve));
        let expected = "nothing, where no bundle was made of this dataset: a bundle's split is used";
        return Err(neuro_data::Error::Invalid { field, value, expected }.into());
    };
    let mut progress = WorkProgress::new("trainings");
    let total = args.learning_curve.len();
    for (i, runs) in args.learning_curve.iter().enumerate() {
        let params = FitParams {
            folds: split.clone(),
            train_runs: Some(*runs),
            tool: tool_name(),
            miss_rate: None,
            ..FitParams::default()
        };
        let mut observer = |p: &Progress| {
            progress.show(i, total, (i * p.steps + p.step) as u64, (total * p.steps) as u64);
            ControlFlow::Continue(())
        };
        let recipe = Recipe::ServerState(ServerStateParams::default());
        let fit = fit(set, &recipe, &params, None, &mut observer)?;
        let judged = judge(&fit.bundle, None, set, &folds.test, utilisation)?;
        // The fold may hold fewer than were asked for.
        let runs = fit.bundle.profile().data.runs[0];
        for row in Sla::ALL.into_iter().filter_map(|sla| row("", &judged, sla)) {
            rows.push(LearningRow { runs, target: row.target, summary: row.summary });
        }
    }
    Ok(rows)
}

pub(super) fn learning_chart(rows: &[LearningRow]) -> String {
    let series = |sla: Sla| {
        let points = |of: fn(&ErrorSummary) -> f64| -> Vec<(f64, f64)> {
            let wanted = rows.iter().filter(|row| row.target == sla.name());
            wanted.map(|row| (row.runs as f64, 100.0 * of(&row.summary))).collect()
        };
        vec![Series::marked("median", points(|s| s.median)), Series::marked("90th percentile", points(|s| s.p90))]
    };
    let references = |sla: Sla| {
        let floor = rows.iter().find(|row| row.target == sla.name()).and_then(|row| row.summary.noise_floor);
        let level = |floor| Reference::Level(100.0 * floor, format!("noise floor {:.1}", 100.0 * floor));
        floor.map(level).into_iter().collect()
    };
    let axis = |label: &str| Axis { label: label.to_owned(), logarithmic: true, ..Axis::default() };
    let title = "server-state: error on unseen runs by runs to learn from";
    Chart::row(title, axis("training runs"), axis("|error|, %"), panels(series, references)).picture()
}
