//! From datasets to training data: datapoints of both sets, typed reading, splits and statistics.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use common::{HEADER, tree_bytes, write_prototype_run, write_run};
use neuro_data::datapoint::{Datapoint, DatapointKind, DatapointParams, DatapointSet, make};
use neuro_data::ingest::{IngestParams, ingest};
use neuro_data::split::{Fold, SplitBy, SplitParams, split};
use neuro_data::statistics::Statistics;
use neuro_data::store::{RunRow, TenantRow};
use neuro_data::summary::quantile;
use neuro_data::{Dataset, RequestRecord, Sla};

/// A run of the prototype: application, instances and rate of each tenant, and its service times.
fn write_tenants(folder: &Path, tenants: &[(&str, u32, f64, &[f64])]) {
    fs::create_dir_all(folder).unwrap();
    let mut requests = Vec::new();
    for (id, (app, instances, rate, times)) in tenants.iter().enumerate() {
        requests.push(serde_json::json!({
            "id": id, "application": app, "arrival_rate": rate, "num_instances": instances, "pids": [id],
        }));
        let mut text = format!("{HEADER}\n");
        for (i, time) in times.iter().enumerate() {
            text += &format!("{i},{time},{},,,0,0\n", 100.0 + i as f64 / 10.0);
        }
        fs::write(folder.join(format!("tenant-{id}.csv")), text).unwrap();
        fs::create_dir_all(folder.join(format!("proc_metrics/{id}"))).unwrap();
        let counters = format!("1.0 {} msec cpu-clock\n2.0 {} msec cpu-clock\n", 100 * (id + 1), 100 * (id + 1) + 20);
        fs::write(folder.join(format!("proc_metrics/{id}/{id}.raw")), counters).unwrap();
    }
    let text = serde_json::json!({ "tenant_requests": requests }).to_string();
    fs::write(folder.join("tenant_requests.json"), text).unwrap();
}

fn dataset_of(folder: &Path, change: impl FnOnce(&mut IngestParams)) -> Dataset {
    let mut params = IngestParams { jobs: 2, ..IngestParams::default() };
    change(&mut params);
    let out = folder.join("dataset");
    ingest(&[folder.join("raw")], &out, &params, &mut |_| ControlFlow::Continue(())).unwrap();
    Dataset::open(&out).unwrap()
}

const LONG: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0];

/// One run: two forests of different size and load, one neighbour, and one that starves.
fn four_tenants(folder: &Path) -> Dataset {
    write_tenants(
        &folder.join("raw/0001"),
        &[
            ("tclf-rf", 1, 2.0, &LONG),
            ("text-bert", 2, 1.0, &[0.5, 0.5, 0.7]),
            ("tclf-rf", 3, 6.0, &[10.0, 20.0]),
            ("tclf-gcn", 1, 3.0, &[]),
        ],
    );
    dataset_of(folder, |_| ())
}

fn points(dataset: &Dataset, params: &DatapointParams) -> Vec<Datapoint> {
    make(dataset, params).unwrap();
    dataset.datapoints::<Datapoint>(params.set).rows().unwrap().map(Result::unwrap).collect()
}

fn of_kind(points: &[Datapoint], kind: DatapointKind) -> Vec<&Datapoint> {
    points.iter().filter(|point| point.kind == kind).collect()
}

fn context(point: &Datapoint) -> Vec<(&str, f64, f64)> {
    point.context.iter().map(|entry| (entry.app.as_str(), entry.instances, entry.rate)).collect()
}

#[test]
fn our_points_pool_samples_and_weigh_rates() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = four_tenants(folder.path());
    let points = points(&dataset, &DatapointParams::default());

    let measured = of_kind(&points, DatapointKind::Measured);
    assert_eq!(measured.len(), 4);
    let bert = measured.iter().find(|point| point.app == "text-bert").unwrap();
    assert_eq!(
        (bert.instances, bert.rate, bert.samples, bert.tenants.as_slice()),
        (2.0, 1.0, 3, ["1".to_owned()].as_slice())
    );
    // (1 x 2 + 3 x 6) / 4 = 5 req/s for the forests.
    assert_eq!(context(bert), [("tclf-rf", 4.0, 5.0), ("tclf-gcn", 1.0, 3.0)]);
    let starved = measured.iter().find(|point| point.app == "tclf-gcn").unwrap();
    assert_eq!((starved.censored, starved.mean_s, starved.p95_s, starved.samples), (true, None, None, 0));

    let merged = of_kind(&points, DatapointKind::Merged);
    assert_eq!(merged.len(), 1);
    let forests = merged[0];
    assert_eq!((forests.instances, forests.rate, forests.samples), (4.0, 5.0, 8));
    let mut pooled = [LONG.as_slice(), &[10.0, 20.0]].concat();
    assert!((forests.mean_s.unwrap() - pooled.iter().sum::<f64>() / 8.0).abs() < 1e-12);
    assert!((forests.p75_s.unwrap() - quantile(&mut pooled, 0.75)).abs() < 1e-12);
    assert!((forests.p95_s.unwrap() - quantile(&mut pooled, 0.95)).abs() < 1e-12);
    assert_eq!(forests.tenants, ["0", "2"]);
    assert_eq!(context(forests), [("text-bert", 2.0, 1.0), ("tclf-gcn", 1.0, 3.0)]);
    assert!(forests.run_id.starts_with("random_0001_") && forests.server == "prototype");
    // 100 and 120 ms/s of one replica, 300 and 320 of three: mean (110 + 3 x 310) / 4.
    assert!((forests.cpu_clock_mean.unwrap() - 260e6).abs() < 1.0);
    // Each deviates by sqrt(200); the means by 150 and 50 from the pool's.
    let variance = 200.0 + (150.0_f64.powi(2) + 3.0 * 50.0_f64.powi(2)) / 4.0;
    assert!((forests.cpu_clock_std.unwrap() / 1e6 - variance.sqrt()).abs() < 1e-6);
    assert_eq!(forests.cache_misses_mean, None);
}

#[test]
fn reference_points_average_as_the_prototype_does() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = four_tenants(folder.path());
    let reference = DatapointParams { set: DatapointSet::Reference, ..DatapointParams::default() };
    let ours_before = points(&dataset, &DatapointParams::default());
    let points = points(&dataset, &reference);
    let forests = of_kind(&points, DatapointKind::Merged)[0];
    // Means 4 and 15, p75s 4.75 and 17.5, rates 2 and 6: plain averages.
    assert_eq!((forests.rate, forests.instances), (4.0, 4.0));
    assert_eq!((forests.mean_s, forests.p75_s), (Some(9.5), Some(11.125)));
    assert!((forests.cpu_clock_mean.unwrap() - 210e6).abs() < 1.0);
    let starved = points.iter().find(|point| point.app == "tclf-gcn" && point.kind == DatapointKind::Measured).unwrap();
    assert_eq!(
        (starved.mean_s, starved.p75_s, starved.p95_s, starved.censored),
        (Some(120.0), Some(120.0), Some(120.0), true)
    );
    let ours = dataset.datapoints::<Datapoint>(DatapointSet::Ours).rows().unwrap();
    assert_eq!(ours.map(Result::unwrap).collect::<Vec<_>>(), ours_before, "the two sets stand beside each other");
}

#[test]
fn zero_points_are_copies_without_latency_and_with_less_context() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..200 {
        let times: Vec<f64> = vec![1.0 + f64::from(i) / 1e3; 3];
        let run = folder.path().join(format!("raw/{i:04}"));
        write_tenants(
            &run,
            &[("tclf-rf", 2, 2.0, &times), ("text-bert", 1, 1.0, &times), ("iclf-mnet", 1, 1.0, &times)],
        );
    }
    let dataset = dataset_of(folder.path(), |_| ());
    let points = points(&dataset, &DatapointParams::default());
    let zeros = of_kind(&points, DatapointKind::Zero);
    let count = |app: &str| zeros.iter().filter(|point| point.app == app).count();
    // 200 trials of the high class and 400 of the low, each with probability 0.5: within four deviations.
    assert!(
        (72..=128).contains(&count("tclf-rf")) && (160..=240).contains(&count("text-bert")),
        "{}",
        count("tclf-rf")
    );
    for zero in &zeros {
        assert!((0.0..0.05).contains(&zero.instances));
        assert_eq!(
            (zero.mean_s, zero.p75_s, zero.p95_s, zero.cpu_clock_mean),
            (Some(0.0), Some(0.0), Some(0.0), Some(0.0))
        );
        assert!(zero.context.len() <= 2 && !zero.tenants.is_empty());
    }
    let kept: usize = zeros.iter().map(|zero| zero.context.len()).sum();
    let share = kept as f64 / (2 * zeros.len()) as f64;
    assert!((0.42..0.58).contains(&share), "{share}");

    let none = self::points(&dataset, &DatapointParams { zero_probability: 0.0, ..DatapointParams::default() });
    assert_eq!(none.len(), 600);
}

#[test]
fn datapoints_are_the_seed_s_and_a_run_of_many_equal_tenants_does_not_explode() {
    let folder = tempfile::tempdir().unwrap();
    let times: Vec<Vec<f64>> = (0..12).map(|i| vec![f64::from(i), f64::from(i) + 0.5]).collect();
    let tenants: Vec<(&str, u32, f64, &[f64])> = times
        .iter()
        .enumerate()
        .map(|(i, times)| ("tclf-rf", 2, if i < 2 { 5.0 } else { 5.0 + i as f64 }, times.as_slice()))
        .collect();
    write_tenants(&folder.path().join("raw/0001"), &tenants);
    let dataset = dataset_of(folder.path(), |_| ());
    let capped = points(&dataset, &DatapointParams::default());
    assert_eq!(of_kind(&capped, DatapointKind::Merged).len(), 64, "of 4,083");
    let distinct: BTreeSet<_> =
        of_kind(&capped, DatapointKind::Merged).iter().map(|point| point.tenants.clone()).collect();
    assert_eq!(distinct.len(), 64);

    let table = dataset.path().join("datapoints");
    let bytes = tree_bytes(&table);
    points(&dataset, &DatapointParams::default());
    assert_eq!(tree_bytes(&table), bytes);
    assert_ne!(points(&dataset, &DatapointParams { seed: 2, ..DatapointParams::default() }), capped);

    let same_rate = points(&dataset, &DatapointParams { same_rate: true, ..DatapointParams::default() });
    let merged = of_kind(&same_rate, DatapointKind::Merged);
    assert_eq!(merged.len(), 1);
    assert_eq!((merged[0].tenants.as_slice(), merged[0].rate), (["0".to_owned(), "1".to_owned()].as_slice(), 5.0));
}

#[test]
fn an_unmeasured_tenant_is_no_target_and_stays_in_the_context() {
    let folder = tempfile::tempdir().unwrap();
    write_prototype_run(&folder.path().join("raw/0001"));
    fs::remove_file(folder.path().join("raw/0001/tenant-1.csv")).unwrap();
    let dataset = dataset_of(folder.path(), |_| ());
    let points = points(&dataset, &DatapointParams { zero_probability: 0.0, ..DatapointParams::default() });
    assert_eq!(points.len(), 1);
    assert_eq!((points[0].app.as_str(), context(&points[0])), ("tclf-rf", vec![("text-tbert", 1.0, 4.0)]));
}

/// A part of the requests' columns.
#[derive(Debug, PartialEq)]
struct Served {
    tenant_id: String,
    service_s: Option<f64>,
}

neuro_data::row!(Served, "requests", {
    tenant_id: String, "", "tenant within the run";
    service_s: Option<f64>, "s", "time of the inference alone";
});

#[test]
fn a_scan_reads_the_columns_and_row_groups_that_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    for i in 0..6 {
        write_prototype_run(&raw.join(format!("{i:04}")));
    }
    write_run(&raw, 0);
    let dataset = dataset_of(folder.path(), |_| ());
    let all = dataset.read::<RequestRecord>().unwrap();
    let scanned: Vec<_> = dataset.scan::<RequestRecord>().rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(scanned, all);

    let run = &all[0].run_id;
    let mut rows = dataset.scan::<RequestRecord>().of_runs([run]).rows().unwrap();
    let of_run: Vec<_> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(of_run, all.iter().filter(|r| r.run_id == *run).cloned().collect::<Vec<_>>());
    assert_eq!(rows.row_groups(), (1, 6), "one a run, and of the others none is read");

    let mut rows = dataset.scan::<Served>().of_apps(["text-tbert", "no-such-app"]).rows().unwrap();
    let served: Vec<Served> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(served.len(), 18);
    assert!(served.iter().all(|row| row.tenant_id == "1" && row.service_s.is_some()));
    assert_eq!(rows.row_groups(), (6, 1), "our run has other applications");

    let edge = dataset.scan::<RequestRecord>().of_servers(["edge"]).rows().unwrap();
    assert_eq!(edge.map(Result::unwrap).filter(|row| row.app == "a").count(), 50);
    assert_eq!(dataset.scan::<Served>().of_servers(["edge"]).of_runs([run]).rows().unwrap().count(), 0);
    assert_eq!(dataset.scan::<RunRow>().of_servers(["prototype"]).rows().unwrap().count(), 6);

    make(&dataset, &DatapointParams::default()).unwrap();
    let mut points = dataset.datapoints::<Datapoint>(DatapointSet::Ours).of_apps(["tclf-rf"]).rows().unwrap();
    assert!(points.by_ref().all(|point| point.unwrap().app == "tclf-rf"));
    assert_eq!(points.row_groups(), (1, 3), "a row group an application");
}

#[test]
fn a_scan_names_the_file_that_is_damaged_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    write_prototype_run(&folder.path().join("raw/0001"));
    let dataset = dataset_of(folder.path(), |_| ());
    fs::write(dataset.path().join("requests/part-00000.parquet"), b"PAR1").unwrap();
    let mut rows = dataset.scan::<RequestRecord>().rows().unwrap();
    assert!(rows.next().unwrap().unwrap_err().to_string().contains("part-00000.parquet"));
    assert!(rows.next().is_none());
    assert!(
        dataset.scan::<RunRow>().of_apps(["a"]).rows().unwrap().next().unwrap().is_err(),
        "runs have no application"
    );
    assert!(dataset.datapoints::<Datapoint>(DatapointSet::Ours).rows().is_err(), "none were made");
}

/// Rows of runs of two tenants.
fn tenants_of(runs: &[(&str, [(&str, u32); 2])]) -> Vec<TenantRow> {
    let folder = tempfile::tempdir().unwrap();
    write_run(&folder.path().join("raw"), 0);
    let row = dataset_of(folder.path(), |_| ()).read::<TenantRow>().unwrap().remove(0);
    let row = |run: &str, (app, instances): (&str, u32)| TenantRow {
        run_id: run.to_owned(),
        app: app.to_owned(),
        instances,
        ..row.clone()
    };
    runs.iter().flat_map(|(run, tenants)| tenants.map(|tenant| row(run, tenant))).collect()
}

#[test]
fn splits_keep_configurations_or_combinations_together() {
    let names: Vec<String> = (0..40).map(|i| format!("run-{i:02}")).collect();
    let apps = ["a", "b", "c", "d", "e"];
    // 20 configurations twice each, of 10 combinations.
    let runs: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), [(apps[i % 5], 1 + (i / 10 % 2) as u32), (apps[(i + 1 + i / 5 % 2) % 5], 1)]))
        .collect();
    let tenants = tenants_of(&runs);
    let count = |folds: &std::collections::BTreeMap<String, Fold>, fold| folds.values().filter(|f| **f == fold).count();

    let by_run = split(&tenants, &SplitParams::default()).unwrap();
    assert_eq!((by_run.len(), count(&by_run, Fold::Test), count(&by_run, Fold::Validation)), (40, 8, 4));
    for i in 0..20 {
        assert_eq!(by_run[&names[i]], by_run[&names[i + 20]], "repetitions stay together");
    }
    assert_eq!(by_run, split(&tenants, &SplitParams::default()).unwrap());
    assert_ne!(by_run, split(&tenants, &SplitParams { seed: 2, ..SplitParams::default() }).unwrap());

    let by_combination = split(&tenants, &SplitParams { by: SplitBy::Combination, ..SplitParams::default() }).unwrap();
    assert_eq!(count(&by_combination, Fold::Test), 8, "two of ten combinations of four runs");
    let combinations = |fold| {
        let of_fold = runs.iter().filter(|(name, _)| by_combination[*name] == fold);
        of_fold.map(|(_, tenants)| BTreeSet::from(tenants.map(|(app, _)| app))).collect::<BTreeSet<_>>()
    };
    assert!(combinations(Fold::Test).is_disjoint(&combinations(Fold::Train)));
    assert!(split(&tenants, &SplitParams { test: 0.9, validation: 0.2, ..SplitParams::default() }).is_err());
    assert!(split(&tenants, &SplitParams { test: f64::NAN, ..SplitParams::default() }).is_err());
}

#[test]
fn statistics_tell_ranges_divisors_and_the_noise_floor() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    // Two repetitions of ours, 10 and 11 ms; of the prototype two runs of one configuration, 1 and 3 s.
    write_run(&raw, 0);
    write_run(&raw, 1);
    for (run, time) in [("0001", 1.0), ("0002", 3.0)] {
        write_tenants(&raw.join(run), &[("tclf-rf", 2, 2.5, &[time; 4]), ("tclf-gcn", 1, 3.0, &[])]);
    }
    let statistics = Statistics::of(&dataset_of(folder.path(), |_| ())).unwrap();
    assert_eq!(
        (statistics.runs["complete"], statistics.servers.as_slice()),
        (4, ["edge".to_owned(), "prototype".to_owned()].as_slice())
    );
    let app = |name: &str| statistics.apps.iter().find(|app| app.app == name).unwrap();
    let forest = app("tclf-rf");
    assert_eq!((forest.tenants, forest.starved, forest.samples), (2, 0, 8));
    assert_eq!((forest.instances, forest.rate), ((2.0, 2.0), (2.5, 2.5)));
    let mean = forest.service_s[0].unwrap();
    assert_eq!((mean.min, mean.p50, mean.max), (1.0, 2.0, 3.0));
    assert_eq!((app("tclf-gcn").starved, app("tclf-gcn").service_s[0]), (2, None));
    let divisors = &statistics.normalisation;
    assert_eq!((divisors.instances, divisors.rate, divisors.targets_s["tclf-rf"]), (16.0, 10.0, [3.0; 3]));
    assert!(!divisors.targets_s.contains_key("tclf-gcn"));
    assert!((divisors.counters["cpu-clock"] - 3e8).abs() < 1.0, "our runs: 1 s and 2 s in five each");
    let floor = |app: &str| statistics.noise_floor.iter().find(|f| f.app == app && f.statistic == Sla::Mean).unwrap();
    // 2 |x - y| / (x + y).
    assert!((floor("tclf-rf").median - 1.0).abs() < 1e-9 && (floor("a").median - 0.001 / 0.0105).abs() < 1e-6);
}
