//! A campaign: what was run, what it is worth, and how the services slow one another down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use neuro_data::statistics::Statistics;
use neuro_data::store::{RunRow, TenantRow};
use neuro_data::{Dataset, Manifest, RunStatus, Sla};
use neuro_profiler::pairwise::PairwiseStudy;
use neuro_profiler::{MapOptions, fit_all};

use super::page::{Cell, Page, named, seconds};
use crate::output::{Chart, distributions, small_distributions};
use crate::pairwise::{contention_curves, slowdown_heatmap};

/// Most runs that are listed with what is wrong with them.
const LISTED: usize = 50;

pub(super) fn show(page: &mut Page, folder: &Path, dataset: &Dataset) -> anyhow::Result<()> {
    let runs = dataset.read::<RunRow>()?;
    let tenants = dataset.read::<TenantRow>()?;
    let statistics = Statistics::of(dataset)?;
    page.section(&format!("Campaign {}", named(folder)));
    summary(page, &runs, &tenants, &statistics);
    applications(page, &statistics);
    noise_floor(page, &statistics);
    faults(page, &runs);
    if let (Ok(small), Ok(picture)) = (small_distributions(&statistics), distributions(&statistics)) {
        page.picture("distributions", "Service times", &small, picture);
    }
    let manifests: Vec<Manifest> = runs.iter().filter_map(|run| serde_json::from_str(&run.manifest).ok()).collect();
    let study = PairwiseStudy::gather(&manifests, &tenants);
    if !study.pairs.is_empty() {
        interference(page, folder, &study)?;
    }
    Ok(())
}

fn summary(page: &mut Page, runs: &[RunRow], tenants: &[TenantRow], statistics: &Statistics) {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        *kinds.entry(run.kind.name()).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let targets: BTreeSet<&str> = runs.iter().map(|run| run.target.as_str()).collect();
    let targets: Vec<&str> = targets.into_iter().collect();
    let of = |status: RunStatus| runs.iter().filter(|run| run.status == status).count();
    let complete = || runs.iter().filter(|run| run.status == RunStatus::Complete);
    let lateness = complete().filter_map(|run| run.send_lateness_p99_s).reduce(f64::max);
    let achieved = complete().filter_map(|run| Some(run.achieved_rate? / run.requested_rate)).reduce(f64::min);
    let loaded_h = complete().filter_map(|run| run.duration_s).sum::<f64>() / 3600.0;
    let samples: u64 = tenants.iter().map(|tenant| tenant.samples).sum();
    let count = |of: fn(&neuro_data::statistics::AppStatistics) -> u64| statistics.apps.iter().map(of).sum::<u64>();
    page.facts(&[
        ("runs", kinds.join(", ")),
        ("complete", of(RunStatus::Complete).to_string()),
        ("invalid", of(RunStatus::Invalid).to_string()),
        ("failed", of(RunStatus::Failed).to_string()),
        ("servers", statistics.servers.join(", ")),
        ("target", targets.join(", ")),
        ("measured windows", format!("{loaded_h:.1} h")),
        ("service times", samples.to_string()),
        ("tenants", count(|app| app.tenants).to_string()),
        ("offered too much", count(|app| app.unstable).to_string()),
        ("never served", count(|app| app.starved).to_string()),
        ("worst p99 send lateness", lateness.map_or("–".to_owned(), seconds)),
        ("least achieved / requested rate", achieved.map_or("–".to_owned(), |share| format!("{:.1} %", 100.0 * share))),
    ]);
}

fn applications(page: &mut Page, statistics: &Statistics) {
    let rows = statistics.apps.iter().map(|app| {
        let range = |(low, high): (f64, f64)| Cell::text(&format!("{low:.3} – {high:.3}").replace(".000", ""));
        let [mean, p75, p95] = app.service_s.map(|d| Cell::seconds(d.map(|d| d.p50)));
        let most = Cell::seconds(app.service_s[0].map(|d| d.max));
        vec![
            Cell::text(&app.app),
            Cell::count(app.tenants),
            Cell::count(app.unstable),
            Cell::count(app.starved),
            range(app.instances),
            range(app.rate),
            Cell::count(app.samples),
            mean,
            p75,
            p95,
            most,
        ]
    });
    let header = [
        "application",
        "tenants",
        "offered too much",
        "never served",
        "instances",
        "rate, 1/s",
        "service times",
        "mean",
        "p75",
        "p95",
        "longest mean",
    ];
    page.table("Applications; medians over the tenants of complete runs", &header, rows.collect());
}

fn noise_floor(page: &mut Page, statistics: &Statistics) {
    page.heading("Noise floor");
    if statistics.noise_floor.is_empty() {
        page.paragraph("No configuration was run twice, so nobody knows how far two equal runs are apart.");
        return;
    }
    let apps: BTreeSet<&str> = statistics.noise_floor.iter().map(|floor| floor.app.as_str()).collect();
    let rows = apps.into_iter().map(|app| {
        let of = |sla: Sla| statistics.noise_floor.iter().find(|f| f.app == app && f.statistic == sla);
        let mut row = vec![Cell::text(app), Cell::count(of(Sla::Mean).map_or(0, |floor| floor.pairs as u64))];
        for sla in Sla::ALL {
            row.push(Cell::percent(of(sla).map(|floor| floor.median), 1));
            row.push(Cell::percent(of(sla).map(|floor| floor.p90), 1));
        }
        row
    });
    let header =
        ["application", "pairs", "mean", "mean: 90 % below", "p75", "p75: 90 % below", "p95", "p95: 90 % below"];
    page.table(
        "Median difference of two runs of one configuration; no accuracy below it means anything",
        &header,
        rows.collect(),
    );
}

fn faults(page: &mut Page, runs: &[RunRow]) {
    let faulty: Vec<&RunRow> = runs.iter().filter(|run| run.status != RunStatus::Complete).collect();
    if faulty.is_empty() {
        return;
    }
    let rows = faulty.iter().take(LISTED).map(|run| {
        let reason = run.reason.as_deref().unwrap_or("no reason was recorded");
        vec![Cell::text(&run.run_id), Cell::text(run.status.name()), Cell::text(reason)]
    });
    let caption = match faulty.len() {
        count if count > LISTED => format!("Runs that do not count: {LISTED} of {count}"),
        count => format!("Runs that do not count: {count}"),
    };
    page.table(&caption, &["run", "status", "why"], rows.collect());
}

fn interference(page: &mut Page, folder: &Path, study: &PairwiseStudy) -> anyhow::Result<()> {
    page.section(&format!("Interference {}", named(folder)));
    let map = slowdown_heatmap(study);
    let caption = format!("How much longer each service (row) takes beside each other one (column): {}", map.subtitle);
    page.picture("heatmap", &caption, &map.small_picture()?, map.picture()?);
    let rows = study.pairs.iter().map(|pair| {
        let slowdown = study.slowdown(pair);
        let interval = slowdown.and_then(|slowdown| slowdown.interval);
        let remark = match pair.time {
            None => "never served",
            Some(time) if time.unstable => "offered too much",
            Some(time) if time.censored > 0 => "some never ended",
            Some(_) => "",
        };
        vec![
            Cell::text(&pair.app),
            Cell::text(&pair.neighbour),
            Cell::count(u64::from(pair.instances)),
            Cell::figure(Some(pair.rate), 2),
            Cell::seconds(pair.time.map(|time| time.mean_s)),
            Cell::figure(slowdown.map(|slowdown| slowdown.ratio), 2),
            Cell::figure(interval.map(|(low, _)| low), 2),
            Cell::figure(interval.map(|(_, high)| high), 2),
            Cell::text(remark),
        ]
    });
    let header = ["service", "beside", "replicas", "rate each", "mean", "slowdown", "95 % from", "to", ""];
    page.folded("Every pair as a table", false);
    page.table("Mean service time beside each load, over the time alone", &header, rows.collect());
    page.unfolded();

    page.heading("Contention curves");
    let chart = contention_curves(study, &fit_all(&study.points(), &MapOptions::default()));
    page.paragraph(&chart.subtitle);
    for (place, (app, panels)) in study.apps().iter().zip(chart.panels.chunks(chart.columns)).enumerate() {
        page.folded(app, place == 0);
        let title = format!("Mean service time of {app}");
        let chart = Chart { title, subtitle: String::new(), panels: panels.to_vec(), ..chart.clone() };
        page.chart("", &chart);
        page.unfolded();
    }
    page.figures.push(("curves".to_owned(), chart.picture()));
    Ok(())
}
