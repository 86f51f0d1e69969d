//! `neuro evaluate`: profilers side by side on runs that none has seen.

mod charts;
mod learning;

use std::collections::BTreeSet;
use std::process::ExitCode;

use neuro_cli::Predictions;
use neuro_cli::output::{self, table};
use neuro_data::statistics::Statistics;
use neuro_data::{Sla, files::write_atomic};
use neuro_profiler::evaluation::{ErrorSummary, Judged, Utilisation, judge, summarise};
use neuro_profiler::{Bundle, Folds, TrainingSet};
use serde::Serialize;

use self::charts::{calibration, error_by_part, error_densities};
use self::learning::{learning_chart, learning_curve};
use super::files::{open_dataset, read_bundle};
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

/// Bands of utilisation, from and up to; the last is open.
const BANDS: [(f64, f64); 6] = [(0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.1), (1.1, f64::INFINITY)];
/// Numbers of neighbours, from and up to.
const NEIGHBOURS: [(usize, usize); 5] = [(0, 3), (4, 7), (8, 11), (12, 15), (16, usize::MAX)];
/// Columns of a table of errors; the last where they are of a part.
const HEADER: [&str; 11] =
    ["profiler", "target", "median", "mean", "p90", "p99", "signed", "optimistic", "broken", "noise floor", "of"];

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
    let count = folds.test.len();
    output::print(&format!("Relative errors on {count} runs that no profiler has seen, in %:\n"));
    output::print(&table::render(&HEADER[..10], rows.iter().map(|row| cells(&row.name, row.target, &row.summary))));
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
        output::print(&format!("{title}, of the mean:\n{}", table::render(&HEADER, cells)));
    }
    if !learning.is_empty() {
        let cells = learning.iter().map(|row| cells(&format!("{} runs", row.runs), row.target, &row.summary));
        output::print(&format!("server-state by runs to learn from:\n{}", table::render(&HEADER[..10], cells)));
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
