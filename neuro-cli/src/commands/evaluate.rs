//! `neuro evaluate`: profilers side by side on runs that none has seen.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::process::ExitCode;

use neuro_cli::output::{self, Axis, Chart, Panel, Reference, Series, density, table};
use neuro_cli::{Predictions, WorkProgress};
use neuro_data::statistics::Statistics;
use neuro_data::{Sla, files::write_atomic};
use neuro_profiler::evaluation::{ErrorSummary, Judged, Utilisation, judge, summarise};
use neuro_profiler::fit::{FitParams, Recipe, fit};
use neuro_profiler::train::{Progress, ServerStateParams};
use neuro_profiler::{Bundle, Folds, Margins, RunSample, TrainingSet};
use serde::Serialize;

use super::files::{open_dataset, read_bundle};
use super::train::tool_name;
use crate::args::EvaluateArgs;

/// Errors of one profiler on one statistic.
#[derive(Serialize)]
struct Row {
    name: String,
    target: &'static str,
    #[serde(flatten)]
    summary: ErrorSummary,
}

/// The same, of a part of the predictions.
#[derive(Serialize)]
struct PartRow {
    name: String,
    target: &'static str,
    part: String,
    #[serde(flatten)]
    summary: ErrorSummary,
}

/// Errors of profilers that learned from so many runs.
#[derive(Serialize)]
struct LearningRow {
    runs: usize,
    target: &'static str,
    #[serde(flatten)]
    summary: ErrorSummary,
}

/// Bands of utilisation, from and up to; the last is open.
const BANDS: [(f64, f64); 6] = [(0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.1), (1.1, f64::INFINITY)];
/// Numbers of neighbours, from and up to.
const NEIGHBOURS: [(usize, usize); 5] = [(0, 3), (4, 7), (8, 11), (12, 15), (16, usize::MAX)];
/// Shares of promises that are to be kept, of the calibration plot.
const LEVELS: [f64; 9] = [0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98];

pub(crate) fn evaluate(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let catalogue = args.catalogue.read()?;
    let dataset = open_dataset(&args.dataset)?;
    let set = TrainingSet::read(&dataset, &catalogue, &args.of.server)?;
    let bundles: Vec<Bundle> = args.bundles.iter().map(|path| read_bundle(path)).collect::<Result<_, _>>()?;
    let names = names(&bundles);
    let (folds, own) = folds(&set, &bundles)?;
    anyhow::ensure!(!folds.test.is_empty(), "no run is left to judge by: the profilers have seen all of them");
    let reference = if own { &folds.train } else { &folds.test };
    let utilisation = Utilisation::fit(&set, reference)?;

    let mut judged: Vec<Vec<Judged>> = Vec::new();
    for bundle in &bundles {
        judged.push(judge(bundle, bundle.profile().margins.as_ref(), &set, &folds.test, &utilisation)?);
    }
    let rows: Vec<Row> = names
        .iter()
        .zip(&judged)
        .flat_map(|(name, judged)| Sla::ALL.into_iter().filter_map(move |sla| row(name, judged, sla)))
        .collect();
    let by_app = parts(
        &names,
        &judged,
        set.apps.iter().enumerate().map(|(i, app)| (app.clone(), Box::new(move |j: &Judged| j.app == i) as Part)),
    );
    let by_utilisation = parts(
        &names,
        &judged,
        BANDS
            .iter()
            .map(|band| (band_name(*band), Box::new(|j: &Judged| (band.0..band.1).contains(&j.utilisation)) as Part)),
    );
    let by_neighbours = parts(
        &names,
        &judged,
        NEIGHBOURS.iter().map(|band| {
            (neighbour_name(*band), Box::new(|j: &Judged| (band.0..=band.1).contains(&j.neighbours)) as Part)
        }),
    );
    let learning = learning_curve(args, &set, &folds, &bundles, &utilisation)?;
    let repeated = Statistics::of(&dataset)?.noise_floor;

    let object = serde_json::json!({
        "dataset": args.dataset,
        "servers": set.servers,
        "test_runs": folds.test.len(),
        "cores": utilisation.cores(),
        "models": rows,
        "by_app": by_app,
        "by_utilisation": by_utilisation,
        "by_neighbours": by_neighbours,
        "learning_curve": learning,
        "repeated_runs": repeated,
    });
    let mut written = Vec::new();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out)?;
        let mut write = |name: &str, content: &str| {
            written.push(out.join(name));
            write_atomic(&out.join(name), content.as_bytes())
        };
        write("evaluation.json", &format!("{}\n", serde_json::to_string_pretty(&object)?))?;
        let predictions = Predictions::of(&names, &set, &judged);
        write("predictions.json", &format!("{}\n", serde_json::to_string(&predictions)?))?;
        write("errors.svg", &error_densities(&names, &judged))?;
        let bands: Vec<String> = BANDS.iter().map(|band| band_name(*band)).collect();
        let title = "Median error by utilisation: offered work / cores";
        write("utilisation.svg", &error_by_part(title, "utilisation", &bands, &by_utilisation, &rows))?;
        let bands: Vec<String> = NEIGHBOURS.iter().map(|band| neighbour_name(*band)).collect();
        let title = "Median error by number of neighbours";
        write("neighbours.svg", &error_by_part(title, "other tenants", &bands, &by_neighbours, &rows))?;
        if own && !folds.calibration.is_empty() {
            write("calibration.svg", &calibration(&names, &bundles, &set, &folds, &utilisation, &rows)?)?;
        }
        if !learning.is_empty() {
            write("learning-curve.svg", &learning_chart(&learning))?;
        }
    }
    if args.output.json {
        output::print(&format!("{object}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let header =
        ["profiler", "target", "median", "mean", "p90", "p99", "signed", "optimistic", "broken", "noise floor"];
    let count = folds.test.len();
    output::print(&format!("Relative errors on {count} runs that no profiler has seen, in %:\n"));
    output::print(&table::render(&header, rows.iter().map(|row| cells(&row.name, row.target, &row.summary))));
    let header =
        ["profiler", "target", "median", "mean", "p90", "p99", "signed", "optimistic", "broken", "noise floor", "of"];
    if !repeated.is_empty() {
        let cells = repeated.iter().map(|floor| {
            let (app, sla, pairs) = (floor.app.clone(), floor.statistic.name().to_owned(), floor.pairs.to_string());
            vec![app, sla, pairs, format!("{:.1}", 100.0 * floor.median), format!("{:.1}", 100.0 * floor.p90)]
        });
        let header = ["app", "target", "pairs", "median", "p90"];
        let title =
            "How far two runs of one configuration are apart, in %, which also counts what intervals do not see";
        output::print(&format!("{title}:\n{}", table::render(&header, cells)));
    }
    for (title, rows) in [
        ("By application", &by_app),
        ("By utilisation (offered work / cores)", &by_utilisation),
        ("By other tenants on the server", &by_neighbours),
    ] {
        let mean = rows.iter().filter(|row| row.target == Sla::Mean.name());
        let cells = mean.map(|row| [cells(&row.name, row.target, &row.summary), vec![row.part.clone()]].concat());
        output::print(&format!("{title}, of the mean:\n{}", table::render(&header, cells)));
    }
    if !learning.is_empty() {
        let cells = learning.iter().map(|row| cells(&format!("{} runs", row.runs), row.target, &row.summary));
        let header = &header[..10];
        output::print(&format!("server-state by runs to learn from:\n{}", table::render(header, cells)));
    }
    for path in written {
        output::print(&format!("written: {}\n", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the bundles, numbered where two have one.
fn names(bundles: &[Bundle]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for bundle in bundles {
        let name = &bundle.profile().name;
        let same = names.iter().filter(|other| *other == name || other.starts_with(&format!("{name} #"))).count();
        names.push(if same == 0 { name.clone() } else { format!("{name} #{}", same + 1) });
    }
    names
}

/// The runs to judge by, and whether they are the bundles' own test runs: those that the first bundle's split of this very dataset leaves
/// for the test, or else all; without any that a bundle has seen.
fn folds(set: &TrainingSet, bundles: &[Bundle]) -> anyhow::Result<(Folds, bool)> {
    let hash = set.hash();
    let split = bundles
        .iter()
        .map(|bundle| &bundle.profile().data)
        .find(|data| data.hash == hash)
        .and_then(|data| data.folds.as_ref());
    let mut folds = match split {
        Some(split) => set.folds(split)?,
        None => Folds { test: set.co_located(false), ..Folds::default() },
    };
    let seen: BTreeSet<&str> =
        bundles.iter().flat_map(|bundle| &bundle.profile().data.used).map(String::as_str).collect();
    folds.test.retain(|run| !seen.contains(set.runs[*run].run_id.as_str()));
    Ok((folds, split.is_some()))
}

fn row(name: &str, judged: &[Judged], sla: Sla) -> Option<Row> {
    let of: Vec<Judged> = judged.iter().filter(|j| j.sla == sla).copied().collect();
    Some(Row { name: name.to_owned(), target: sla.name(), summary: summarise(&of)? })
}

type Part<'a> = Box<dyn Fn(&Judged) -> bool + 'a>;

fn parts<'a>(
    names: &[String],
    judged: &[Vec<Judged>],
    parts: impl Iterator<Item = (String, Part<'a>)>,
) -> Vec<PartRow> {
    let mut rows = Vec::new();
    for (part, is_in) in parts {
        for (name, judged) in names.iter().zip(judged) {
            let of: Vec<Judged> = judged.iter().filter(|j| is_in(j)).copied().collect();
            for Row { name, target, summary } in Sla::ALL.into_iter().filter_map(|sla| row(name, &of, sla)) {
                rows.push(PartRow { name, target, part: part.clone(), summary });
            }
        }
    }
    rows
}

fn cells(name: &str, target: &str, summary: &ErrorSummary) -> Vec<String> {
    let percent = |x: f64| format!("{:.1}", 100.0 * x);
    let ErrorSummary { median, mean, p90, p99, signed_median, optimistic_rate, broken_rate, noise_floor, .. } =
        *summary;
    let figures = [median, mean, p90, p99, signed_median, optimistic_rate, broken_rate].map(percent);
    let floor = noise_floor.map_or("–".to_owned(), percent);
    [vec![name.to_owned(), target.to_owned()], figures.to_vec(), vec![floor]].concat()
}

fn band_name((low, high): (f64, f64)) -> String {
    if high.is_finite() { format!("{low}–{high}") } else { format!("≥ {low}") }
}

fn neighbour_name((low, high): (usize, usize)) -> String {
    if high == usize::MAX { format!("≥ {low}") } else { format!("{low}–{high}") }
}

fn learning_curve(
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
        anyhow::bail!("--learning-curve needs a bundle that was made of this dataset: its split is used");
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

/// One panel a statistic, with its noise floor.
fn panels(series: impl Fn(Sla) -> Vec<Series>, references: impl Fn(Sla) -> Vec<Reference>) -> Vec<Panel> {
    let panel = |sla: Sla| Panel { title: sla.name().to_owned(), series: series(sla), references: references(sla) };
    Sla::ALL.into_iter().map(panel).collect()
}

/// Densities of ln(predicted / measured), by a Gaussian kernel of Silverman's width.
fn error_densities(names: &[String], judged: &[Vec<Judged>]) -> String {
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

fn error_by_part(title: &str, label: &str, bands: &[String], parts: &[PartRow], rows: &[Row]) -> String {
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
fn calibration(
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

fn learning_chart(rows: &[LearningRow]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_have_names() {
        assert_eq!(band_name((0.8, 0.95)), "0.8–0.95");
        assert_eq!(band_name((1.1, f64::INFINITY)), "≥ 1.1");
        assert_eq!(neighbour_name((16, usize::MAX)), "≥ 16");
    }
}
