//! Profilers side by side, on runs that none has seen.

use std::path::Path;

use neuro_data::Sla;

use super::inputs::{ErrorRow, Evaluation};
use super::page::{Cell, Page, named};
use crate::output::{Axis, Chart, Panel, Reference, Series, density};

/// Half the width of the densities, as a relative error.
const REACH: f64 = 1.0;
const PLACES: usize = 201;

pub(super) fn show(page: &mut Page, folder: &Path, evaluation: &Evaluation) {
    page.section(&format!("Profilers {}", named(folder)));
    page.paragraph(&format!(
        "Relative errors of predicted service times on {} runs that no profiler has seen. Signed: below zero where predictions are \
         too low. Optimistic: of the promises that the prediction says are kept, the share that was not. Broken: measurements above \
         prediction times margin.",
        evaluation.test_runs
    ));
    page.table(
        "Errors by profiler and statistic",
        &HEADER,
        evaluation.models.iter().map(|row| cells(row, false)).collect(),
    );
    if let Some(predictions) = &evaluation.predictions {
        let panel = |sla: Sla| {
            let series = names(&evaluation.models).into_iter().map(|name| {
                let shape = density(&predictions.relative_errors(name, sla), (-REACH, REACH), PLACES, 0.005);
                Series::line(name, shape.into_iter().map(|(x, y)| (100.0 * x, y)).collect())
            });
            let mut references = vec![Reference::Position(0.0, String::new())];
            if let Some(floor) = floor(&evaluation.models, sla) {
                references.push(Reference::Position(100.0 * floor, format!("noise ±{:.1}", 100.0 * floor)));
                references.push(Reference::Position(-100.0 * floor, String::new()));
            }
            Panel { title: sla.name().to_owned(), series: series.collect(), references }
        };
        let x = Axis { ends: Some((-100.0 * REACH, 100.0 * REACH)), ..axis("(predicted − measured) / measured, %") };
        let y = Axis { logarithmic: true, ends: Some((0.2, 50.0)), ..axis("density") };
        let mut chart = Chart::row("Density of the relative error", x, y, Sla::ALL.map(panel).to_vec());
        chart.subtitle = "Gaussian kernel of Silverman's width".to_owned();
        page.chart("error-densities", &chart);
    } else {
        page.paragraph("No predictions.json lies beside evaluation.json: run `neuro evaluate --out` again for the error densities.");
    }
    let load = error_by_part(
        "Median error by load: offered work / what the cores can do",
        "utilisation",
        evaluation,
        &evaluation.by_utilisation,
    );
    page.chart("error-by-load", &load);
    let neighbours =
        error_by_part("Median error by number of neighbours", "other tenants", evaluation, &evaluation.by_neighbours);
    page.chart("error-by-neighbours", &neighbours);
    page.folded("Errors by application and load as tables", false);
    for (title, rows) in [("Errors by application", &evaluation.by_app), ("Errors by load", &evaluation.by_utilisation)]
    {
        let header: Vec<&str> = ["part"].into_iter().chain(HEADER).collect();
        page.table(title, &header, rows.iter().map(|row| cells(row, true)).collect());
    }
    page.unfolded();
}

const HEADER: [&str; 11] = [
    "profiler",
    "statistic",
    "median",
    "mean",
    "p90",
    "p99",
    "signed median",
    "optimistic",
    "broken",
    "noise floor",
    "predictions",
];

fn cells(row: &ErrorRow, with_part: bool) -> Vec<Cell> {
    let part = with_part.then(|| Cell::text(&row.part));
    let names = [Cell::text(&row.name), Cell::text(&row.target)];
    let errors = [row.median, row.mean, row.p90, row.p99, row.signed_median, row.optimistic_rate, row.broken_rate];
    let errors = errors.map(|error| Cell::percent(Some(error), 1));
    let rest = [Cell::percent(row.noise_floor, 1), Cell::count(row.count as u64)];
    part.into_iter().chain(names).chain(errors).chain(rest).collect()
}

fn names(rows: &[ErrorRow]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    names
}

fn floor(rows: &[ErrorRow], sla: Sla) -> Option<f64> {
    rows.iter().find(|row| row.target == sla.name()).and_then(|row| row.noise_floor)
}

fn axis(label: &str) -> Axis {
    Axis { label: label.to_owned(), ..Axis::default() }
}

fn error_by_part(title: &str, label: &str, evaluation: &Evaluation, rows: &[ErrorRow]) -> Chart {
    let mut parts: Vec<String> = Vec::new();
    for row in rows {
        if !parts.contains(&row.part) {
            parts.push(row.part.clone());
        }
    }
    let panel = |sla: Sla| {
        let series = names(&evaluation.models).into_iter().map(|name| {
            let at = |(i, part): (usize, &String)| {
                let is_it = |row: &&ErrorRow| row.name == name && row.target == sla.name() && row.part == *part;
                rows.iter().find(is_it).map(|row| (i as f64, 100.0 * row.median))
            };
            Series::marked(name, parts.iter().enumerate().filter_map(at).collect())
        });
        let floor = floor(&evaluation.models, sla);
        let level = floor.map(|floor| Reference::Level(100.0 * floor, format!("noise floor {:.1}", 100.0 * floor)));
        Panel { title: sla.name().to_owned(), series: series.collect(), references: level.into_iter().collect() }
    };
    let x = Axis { names: parts.clone(), ..axis(label) };
    let y = Axis { logarithmic: true, ..axis("median |error|, %") };
    Chart::row(title, x, y, Sla::ALL.map(panel).to_vec())
}
