//! What a pairwise campaign leaves beside its runs: dataset, curves, baselines, pictures and a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use neuro_data::files::write_atomic;
use neuro_data::run_folder::run_folders;
use neuro_data::store::TenantRow;
use neuro_data::{Dataset, Manifest, NoiseFloor, RunSpec, RunStatus, Sla, noise_floor};
use neuro_profiler::files::{write_baselines, write_sig_params};
use neuro_profiler::pairwise::{PairMeasurement, PairwiseStudy, Slowdown};
use neuro_profiler::{CurveSet, MapOptions, TwoSegments, fit_all};

use crate::output::{Axis, Chart, HeatCell, HeatMap, Panel, Point, Reference, Series, table};

/// Everything that was found out, and where it was written.
#[derive(Debug)]
pub struct PairwiseResults {
    /// Service times alone and beside each other.
    pub study: PairwiseStudy,
    /// Contention curves.
    pub curves: CurveSet,
    /// A/A differences of repeated configurations.
    pub noise: Vec<NoiseFloor>,
    /// Every file and folder written.
    pub written: Vec<PathBuf>,
    /// Runs behind it by what they are worth, and the highest p99 send lateness among the complete ones, seconds.
    pub runs: (BTreeMap<&'static str, usize>, f64),
}

/// Builds the dataset of all runs under `out`, and from those of this campaign (`runs`) the curves, baselines, noise floor and
/// pictures, all into `out`.
///
/// # Errors
/// A run folder is malformed, or `out` cannot be written.
pub fn write_pairwise_results(out: &Path, runs: &[RunSpec]) -> anyhow::Result<PairwiseResults> {
    let folders = run_folders(out)?;
    let dataset = Dataset::build(&out.join("dataset"), &folders)?;
    let ours: BTreeSet<String> = runs.iter().map(RunSpec::run_id).collect();
    let manifests: Vec<&Manifest> = folders.iter().map(|f| f.manifest()).filter(|m| ours.contains(&m.run_id)).collect();

    let tenants = dataset.read::<TenantRow>()?;
    let study = PairwiseStudy::gather(manifests.iter().copied(), &tenants);
    let noise = noise_floor(manifests.iter().copied(), &tenants);
    let curves = fit_all(&study.points(), &MapOptions::default());

    let mut written = vec![out.join("runs"), dataset.path().to_owned()];
    let mut file = |name: &str| {
        let path = out.join(name);
        written.push(path.clone());
        path
    };
    let baselines = study.baselines.iter().map(|(app, time)| (app.clone(), time.mean_s)).collect();
    write_baselines(&file("baselines.json"), &baselines)?;
    write_sig_params(&file("sig_params.json"), &curves.fits)?;
    write_atomic(&file("segments.json"), &serde_json::to_vec_pretty(&segments(&study, &curves))?)?;
    write_atomic(&file("noise_floor.json"), &noise_json(&noise)?)?;
    write_atomic(&file("heatmap.svg"), slowdown_heatmap(&study).picture()?.as_bytes())?;
    write_atomic(&file("curves.svg"), contention_curves(&study, &curves).picture().as_bytes())?;

    let mut by_status = BTreeMap::new();
    for manifest in &manifests {
        *by_status.entry(manifest.status.name()).or_default() += 1;
    }
    let complete = manifests.iter().filter(|m| m.status == RunStatus::Complete);
    let lateness = complete.map(|m| m.load.send_lateness_s.p99).fold(0.0, f64::max);
    Ok(PairwiseResults { study, curves, noise, written, runs: (by_status, lateness) })
}

impl PairwiseResults {
    /// The tables and the paths, for a terminal.
    pub fn to_text(&self) -> String {
        let apps = self.study.apps();
        let heaviest = self.study.heaviest_load();
        let mut text = String::from(
            "\nService time alone, and the noise floor (A/A difference of two runs of one configuration)\n",
        );
        let alone = apps.iter().map(|app| self.baseline_cells(app)).collect::<Vec<_>>();
        text +=
            &table::render(&["app", "mean alone", "95 % interval", "samples", "A/A mean", "A/A p75", "A/A p95"], alone);

        text += "\nSlowdown of the mean service time beside the heaviest load of each neighbour, [95 % interval]\n";
        let mut header = vec!["observed app"];
        let beside: Vec<String> = apps.iter().map(|b| format!("beside {b}")).collect();
        header.extend(beside.iter().map(String::as_str));
        let row = |a: &String| {
            let cells = apps
                .iter()
                .map(|b| slowdown_cell(&self.study, heaviest.and_then(|load| self.study.beside(a, b, load))));
            std::iter::once(a.clone()).chain(cells).collect::<Vec<_>>()
        };
        text += &table::render(&header, apps.iter().map(row).collect::<Vec<_>>());
        if let Some((instances, rate)) = heaviest {
            let _ =
                writeln!(text, "heaviest load: {instances} replicas x {rate}/s each; – where no run of it is valid");
        }
        if self.study.pairs.iter().any(|pair| pair.time.is_none_or(|t| t.unstable || t.censored > 0)) {
            text += "! offered at least as much as it can serve, or not answered in time: the true time is longer\n";
        }

        let (by_status, lateness) = &self.runs;
        let counts: Vec<String> = by_status.iter().map(|(status, count)| format!("{count} {status}")).collect();
        let _ = writeln!(text, "\nruns: {}; worst p99 send lateness {:.2} ms", counts.join(", "), 1e3 * lateness);
        let fits = || self.curves.fits.values().flat_map(BTreeMap::values);
        let converged = fits().filter(|fit| fit.converged).count();
        let _ = writeln!(text, "curves: {} fitted, {converged} converged", fits().count());
        for ((app, neighbour), reason) in &self.curves.failures {
            // Most reasons name the pair themselves.
            let pair = format!("{app} beside {neighbour}: ");
            let reason = reason.to_string();
            let _ = writeln!(text, "no curve of {pair}{}", reason.strip_prefix(&pair).unwrap_or(&reason));
        }
        text += "\nwritten:\n";
        for path in &self.written {
            let _ = writeln!(text, "  {}", path.display());
        }
        text
    }

    fn baseline_cells(&self, app: &str) -> Vec<String> {
        let time = self.study.baselines.get(app);
        let interval = time.and_then(|t| t.interval_s);
        let floor = |sla: Sla| {
            let floor = self.noise.iter().find(|floor| floor.app == app && floor.statistic == sla);
            floor.map_or("–".to_owned(), |f| format!("{:.1} %", 100.0 * f.median))
        };
        vec![
            app.to_owned(),
            time.map_or("–".to_owned(), |t| milliseconds(t.mean_s)),
            interval.map_or("–".to_owned(), |(lo, hi)| format!("{} – {}", milliseconds(lo), milliseconds(hi))),
            time.map_or("0".to_owned(), |t| t.samples.to_string()),
            floor(Sla::Mean),
            floor(Sla::P75),
            floor(Sla::P95),
        ]
    }
}

fn milliseconds(seconds: f64) -> String {
    let ms = 1e3 * seconds;
    if ms < 10.0 { format!("{ms:.3} ms") } else { format!("{ms:.1} ms") }
}

/// A slowdown with its interval; starved and unstable tenants are marked.
fn slowdown_cell(study: &PairwiseStudy, pair: Option<&PairMeasurement>) -> String {
    let Some(pair) = pair else { return "–".to_owned() };
    let mark = if pair.time.is_none_or(|t| t.unstable || t.censored > 0) { " !" } else { "" };
    match study.slowdown(pair) {
        Some(Slowdown { ratio, interval: Some((lo, hi)) }) => format!("×{ratio:.2} [{lo:.2}–{hi:.2}]{mark}"),
        Some(Slowdown { ratio, interval: None }) => format!("×{ratio:.2}{mark}"),
        None => format!("–{mark}"),
    }
}

/// Two-segment lines of each curve at each measured rate: application → neighbour → rate → segments.
fn segments(
    study: &PairwiseStudy,
    curves: &CurveSet,
) -> BTreeMap<String, BTreeMap<String, BTreeMap<String, TwoSegments>>> {
    let mut all: BTreeMap<String, BTreeMap<String, BTreeMap<String, TwoSegments>>> = BTreeMap::new();
    for pair in &study.pairs {
        let fit = curves.fits.get(&pair.app).and_then(|row| row.get(&pair.neighbour));
        if let Some(Ok(lines)) = fit.map(|fit| TwoSegments::of_sigmoid(&fit.params, pair.rate)) {
            let row = all.entry(pair.app.clone()).or_default().entry(pair.neighbour.clone()).or_default();
            row.insert(pair.rate.to_string(), lines);
        }
    }
    all
}

fn noise_json(noise: &[NoiseFloor]) -> anyhow::Result<Vec<u8>> {
    let rows: Vec<_> = noise
        .iter()
        .map(|floor| {
            serde_json::json!({
                "app": floor.app, "statistic": floor.statistic.name(), "pairs": floor.pairs,
                "median": floor.median, "p90": floor.p90,
            })
        })
        .collect();
    serde_json::to_vec_pretty(&rows).context("the noise floor holds a number that JSON cannot")
}

/// The slowdown of each application beside the heaviest load of each other one.
pub(crate) fn slowdown_heatmap(study: &PairwiseStudy) -> HeatMap {
    let apps = study.apps();
    let heaviest = study.heaviest_load();
    let cell = |a: &String, b: &String| {
        let slowdown = study.slowdown(study.beside(a, b, heaviest?)?)?;
        let (lo, hi) = slowdown.interval.unwrap_or((f64::NAN, f64::NAN));
        Some(HeatCell { ratio: slowdown.ratio, lo, hi })
    };
    let cell = &cell;
    let cells: Vec<Option<HeatCell>> = apps.iter().flat_map(|a| apps.iter().map(move |b| cell(a, b))).collect();
    let subtitle = heaviest.map_or(String::new(), |(instances, rate)| {
        format!("mean beside {instances} replicas at {rate}/s each, over mean alone, with 95 % interval")
    });
    HeatMap { title: "Slowdown beside each other".to_owned(), subtitle, rows: apps.clone(), columns: apps, cells }
}

/// The measured points and fitted curves of every pair, a row of panels an application.
pub(crate) fn contention_curves(study: &PairwiseStudy, fits: &CurveSet) -> Chart {
    let apps = study.apps();
    let panel = |a: &String, b: &String| {
        let pairs: Vec<&PairMeasurement> = study.pairs.iter().filter(|p| &p.app == a && &p.neighbour == b).collect();
        let rates: BTreeSet<u64> = pairs.iter().map(|pair| pair.rate.to_bits()).collect();
        let most = pairs.iter().map(|pair| pair.instances).max().unwrap_or(1);
        let fit = fits.fits.get(a).and_then(|row| row.get(b));
        let series = rates.into_iter().map(f64::from_bits).map(|rate| {
            let measured = pairs.iter().filter(|pair| pair.rate == rate).filter_map(|pair| {
                let time = pair.time?;
                let interval = time.interval_s.map(|(lo, hi)| (1e3 * lo, 1e3 * hi));
                Some(Point { x: f64::from(pair.instances), y: 1e3 * time.mean_s, interval })
            });
            let along = (0..=60).map(|i| 1.0 + (f64::from(most) - 1.0) * f64::from(i) / 60.0);
            let line = fit.map(|fit| along.map(|n| (n, 1e3 * fit.params.seconds(n, rate))).collect());
            Series { name: format!("{rate}/s each"), points: measured.collect(), line: line.unwrap_or_default() }
        });
        let alone = study.baselines.get(a).map(|time| Reference::Level(1e3 * time.mean_s, "alone".to_owned()));
        Panel { title: format!("{a} beside {b}"), series: series.collect(), references: alone.into_iter().collect() }
    };
    let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
    Chart {
        title: "Mean service time beside each other".to_owned(),
        subtitle: "measured with 95 % intervals, fitted PERX sigmoid, and the time alone".to_owned(),
        x: axis("replicas beside"),
        y: axis("mean service time, ms"),
        columns: apps.len().max(1),
        panels: apps.iter().flat_map(|a| apps.iter().map(|b| panel(a, b))).collect(),
    }
}
