//! The pictures of an evaluation: a panel a statistic, with its noise floor.

use neuro_cli::output::{Axis, Chart, Panel, Reference, Series, density};
use neuro_data::Sla;
use neuro_profiler::evaluation::{Judged, Utilisation, judge};
use neuro_profiler::{Bundle, Folds, Margins, RunSample, TrainingSet};

use super::{PartRow, Row, row};

/// Shares of promises that are to be kept, of the calibration plot.
const LEVELS: [f64; 9] = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98];

/// One panel a statistic, with its noise floor.
pub(super) fn panels(series: impl Fn(Sla) -> Vec<Series>, references: impl Fn(Sla) -> Vec<Reference>) -> Vec<Panel> {
    let panel = |sla: Sla| Panel { title: sla.name().to_owned(), series: series(sla), references: references(sla) };
    Sla::ALL.into_iter().map(panel).collect()
}

/// Densities of ln(predicted / measured), by a Gaussian kernel of Silverman's width.
pub(super) fn error_densities(names: &[String], judged: &[Vec<Judged>]) -> String {
    const END: f64 = 0.6;
    const POINTS: usize = 241;
    let series = |sla: Sla| {
        let one = |(name, judged): (&String, &Vec<Judged>)| {
            let errors = judged.iter().filter(|j| j.sla == sla).map(|j| (j.predicted_s / j.measured_s).ln());
            let errors: Vec<f64> = errors.collect();
            let shape = density(&errors, (-END, END), POINTS, 1e-2);
            Series::line(name.clone(), shape.into_iter().map(|(x, y)| (100.0 * x, y)).collect())
        };
        names.iter().zip(judged).map(one).collect()
    };
    let references = |sla: Sla| {
        let floor = judged.iter().find_map(|judged| row("", judged, sla)?.summary.noise_floor);
        let at = |floor: f64| {
            let name = format!("noise ±{:.1}", 100.0 * floor);
            [Reference::Position(100.0 * floor, name), Reference::Position(-100.0 * floor, String::new())]
        };
        floor.into_iter().flat_map(at).collect()
    };
    let x = Axis {
        label: "100 · ln(predicted / measured)".to_owned(),
        ends: Some((-100.0 * END, 100.0 * END)),
        ..Axis::default()
    };
    let y = Axis { label: "density".to_owned(), logarithmic: true, ends: Some((0.02, 40.0)), ..Axis::default() };
    Chart::row("Errors on unseen runs", x, y, panels(series, references)).picture()
}

fn floor_level(rows: &[Row], sla: Sla) -> Vec<Reference> {
    let floor = rows.iter().find(|row| row.target == sla.name()).and_then(|row| row.summary.noise_floor);
    floor
        .map(|floor| Reference::Level(100.0 * floor, format!("noise floor {:.1}", 100.0 * floor)))
        .into_iter()
        .collect()
}

pub(super) fn error_by_part(title: &str, label: &str, bands: &[String], parts: &[PartRow], rows: &[Row]) -> String {
    let series = |sla: Sla| {
        let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        names.dedup();
        let one = |name: &str| {
            let of = |(i, band): (usize, &String)| {
                let is_it = |row: &&PartRow| row.name == name && row.target == sla.name() && row.part == *band;
                parts.iter().find(is_it).map(|row| (i as f64, 100.0 * row.summary.median))
            };
            let points = bands.iter().enumerate().filter_map(of).collect();
            Series::marked(name, points)
        };
        names.into_iter().map(one).collect()
    };
    let x = Axis {
        label: label.to_owned(),
        names: bands.to_vec(),
        ends: Some((-0.5, bands.len() as f64 - 0.5)),
        ..Axis::default()
    };
    let y = Axis { label: "median |error|, %".to_owned(), logarithmic: true, ..Axis::default() };
    Chart::row(title, x, y, panels(series, |sla| floor_level(rows, sla))).picture()
}

/// How many promises are kept where margins are taken for some share of them.
pub(super) fn calibration(
    names: &[String],
    bundles: &[Bundle],
    set: &TrainingSet,
    folds: &Folds,
    utilisation: &Utilisation,
    rows: &[Row],
) -> anyhow::Result<String> {
    let held_out: Vec<&RunSample> = folds.calibration.iter().map(|run| &set.runs[*run]).collect();
    let mut kept: Vec<[Vec<(f64, f64)>; 3]> = Vec::new();
    for bundle in bundles {
        let mut points = [const { Vec::new() }; 3];
        for level in LEVELS {
            let margins = Margins::of_apps(bundle, &set.apps, &held_out, 1.0 - level, 0.0)?;
            let judged = judge(bundle, Some(&margins), set, &folds.test, utilisation)?;
            for (points, sla) in points.iter_mut().zip(Sla::ALL) {
                points
                    .extend(row("", &judged, sla).map(|row| (100.0 * level, 100.0 * (1.0 - row.summary.broken_rate))));
            }
        }
        kept.push(points);
    }
    let series = |sla: Sla| {
        let k = neuro_profiler::sla_index(sla);
        let one = |(name, points): (&String, &[Vec<(f64, f64)>; 3])| Series::marked(name.clone(), points[k].clone());
        names.iter().zip(&kept).map(one).collect()
    };
    let references = |sla: Sla| {
        let floor = rows.iter().find(|row| row.target == sla.name()).and_then(|row| row.summary.noise_floor);
        let floor = floor.map_or(String::new(), |floor| format!(" (noise floor of times {:.1} %)", 100.0 * floor));
        vec![Reference::Diagonal(format!("as promised{floor}"))]
    };
    let axis = |label: &str| Axis { label: label.to_owned(), ends: Some((45.0, 100.0)), ..Axis::default() };
    let title = "Promises kept on unseen runs, by what the margins are made for";
    Ok(Chart::row(title, axis("to be kept, %"), axis("kept, %"), panels(series, references)).picture())
}
