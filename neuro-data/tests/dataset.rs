//! Run folders and datasets, from records to tables and back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::fs;

use common::{request, spec, write_starving_run};
use neuro_data::run_folder::{PartialRun, RunFolder, run_folders};
use neuro_data::store::{Row, RunRow, TableWriter, TenantRow, read_table, table_files};
use neuro_data::{CounterSample, Dataset, Manifest, RequestRecord, RequestStatus, RunStatus, Sla, noise_floor};
use proptest::prelude::*;

#[test]
fn a_run_folder_is_there_whole_or_not_at_all() {
    let out = tempfile::tempdir().unwrap();
    let run = write_starving_run(out.path(), spec("x", 0), RunStatus::Complete, 0.01);
    assert_eq!(RunFolder::open(run.path()).unwrap(), run);
    assert_eq!(run.requests().unwrap().len(), 70);
    assert!(!run.path().join("logs").exists(), "logs are kept of failed runs only");
    let failed = write_starving_run(out.path(), spec("y", 0), RunStatus::Failed, 0.01);
    assert!(failed.path().join("logs").exists());

    // A layout of another version is not guessed at.
    let manifest = failed.path().join("run.json");
    let later = fs::read_to_string(&manifest).unwrap().replacen("\"schema\": 1", "\"schema\": 2", 1);
    fs::write(&manifest, later).unwrap();
    let refused = RunFolder::open(failed.path()).unwrap_err().to_string();
    assert!(refused.contains("run.json") && refused.contains("version 2"), "{refused}");
    write_starving_run(out.path(), spec("y", 0), RunStatus::Failed, 0.01);

    // What a crash leaves: a partial folder, and a folder without a manifest.
    let crashed = PartialRun::begin(out.path(), "crashed").unwrap();
    fs::write(out.path().join("runs/crashed.partial/requests.parquet"), b"half").unwrap();
    fs::create_dir_all(out.path().join("runs/no-manifest")).unwrap();
    assert_eq!(run_folders(out.path()).unwrap().len(), 2);
    drop(crashed);
    let again = PartialRun::begin(out.path(), "crashed").unwrap();
    assert!(!out.path().join("runs/crashed.partial/requests.parquet").exists(), "a new attempt starts clean");
    again.discard().unwrap();
    assert!(!out.path().join("runs/crashed.partial").exists());
}

#[test]
fn the_dataset_has_the_tables_and_says_null_for_what_nobody_measured() {
    let out = tempfile::tempdir().unwrap();
    write_starving_run(out.path(), spec("x", 0), RunStatus::Complete, 0.010);
    write_starving_run(out.path(), spec("x", 1), RunStatus::Complete, 0.012);
    write_starving_run(out.path(), spec("y", 0), RunStatus::Failed, 0.010);
    let folders = run_folders(out.path()).unwrap();
    let dataset = Dataset::build(&out.path().join("dataset"), &folders).unwrap();

    let runs = dataset.read::<RunRow>().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(
        runs.iter().filter(|r| r.status == RunStatus::Failed && r.reason.as_deref() == Some("because")).count(),
        1
    );
    assert_eq!(runs[0].started_at.unwrap().0, 1_750_000_000.25);
    let back: Manifest = serde_json::from_str(&runs[0].manifest).unwrap();
    assert_eq!(back.run_id, runs[0].run_id);

    let tenants = dataset.read::<TenantRow>().unwrap();
    assert_eq!(tenants.len(), 4, "a failed run has no tenants");
    let starved = tenants.iter().find(|t| t.tenant_id == "neighbour").unwrap();
    assert_eq!((starved.completed, starved.censored, starved.samples), (0, 20, 0));
    assert!(starved.unstable);
    for sla in Sla::ALL {
        assert_eq!((starved.statistic(sla), starved.interval(sla)), (None, None));
    }
    let observed = tenants.iter().find(|t| t.tenant_id == "observed").unwrap();
    assert!((observed.mean_s.unwrap() - 0.010).abs() < 1e-9 && observed.mean_s_lo.is_some());
    // Two readings in the window: 1 s and 2 s of CPU time in five seconds each; the one of the warm-up is none of them.
    assert!((observed.cpu_clock_mean.unwrap() - 3e8).abs() < 1.0);
    assert!((observed.cpu_clock_std.unwrap() - 2f64.sqrt() * 1e8).abs() < 1.0);
    assert_eq!((observed.cache_misses_mean, observed.page_faults_mean), (None, None));

    assert_eq!(dataset.read::<RequestRecord>().unwrap().len(), 140);
    let counters = dataset.read::<CounterSample>().unwrap();
    assert!(counters.iter().any(|c| c.event == "cache-misses" && c.count.is_none()));

    // |0.010 - 0.012| / 0.011 between the two repetitions.
    let manifests: Vec<&Manifest> = folders.iter().map(RunFolder::manifest).collect();
    let floor = noise_floor(manifests, &tenants);
    assert_eq!(floor.len(), 3);
    assert!(floor.iter().all(|f| f.app == "a" && f.pairs == 1 && (f.median - 0.002 / 0.011).abs() < 1e-9), "{floor:?}");
}

#[test]
fn building_again_replaces_and_a_crash_while_building_leaves_the_old() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("dataset");
    write_starving_run(out.path(), spec("x", 0), RunStatus::Complete, 0.010);
    let dataset = Dataset::build(&path, &run_folders(out.path()).unwrap()).unwrap();
    write_starving_run(out.path(), spec("x", 1), RunStatus::Complete, 0.010);
    let folders = run_folders(out.path()).unwrap();
    fs::write(folders[1].path().join("requests.parquet"), b"broken").unwrap();
    let error = Dataset::build(&path, &folders).unwrap_err().to_string();
    assert!(error.contains("requests.parquet"), "{error}");
    assert_eq!(dataset.read::<RunRow>().unwrap().len(), 1, "the old dataset is whole");
    Dataset::build(&path, &folders[..1]).unwrap();
    assert_eq!(Dataset::open(&path).unwrap().read::<RunRow>().unwrap().len(), 1);
    assert!(Dataset::open(out.path()).is_err());
    assert!(!out.path().join("dataset.partial").exists(), "what was replaced is removed");
}

#[test]
fn the_columns_are_the_documented_ones() {
    fn names<R: Row>() -> Vec<String> {
        R::schema().fields().iter().map(|f| f.name().clone()).collect()
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        names::<RequestRecord>(),
        words(
            "run_id tenant_id app replica seq intended_s sent_s start_s end_s client_end_s service_s queueing_s response_s \
             queue_len status warmup"
        )
    );
    assert_eq!(names::<CounterSample>(), words("run_id tenant_id replica time_s event count enabled_ns running_ns"));
    for column in
        words("run_id tenant_id app instances rate completed censored unstable mean_s mean_s_lo p75_s_hi p95_s_lo")
    {
        assert!(names::<TenantRow>().contains(&column), "{column}");
    }
    let schema = RequestRecord::schema();
    assert_eq!(schema.metadata()["neuro.schema"], "1");
    assert_eq!(schema.field_with_name("service_s").unwrap().metadata()["unit"], "s");
    assert!(schema.field_with_name("service_s").unwrap().is_nullable());
    assert!(!schema.field_with_name("seq").unwrap().is_nullable());
}

#[test]
fn a_file_that_lacks_a_column_or_is_no_parquet_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut table = TableWriter::create(&path).unwrap();
    table.write(&[request("r", &spec("x", 0).tenants[0], 0, None)]).unwrap();
    assert!(!path.exists(), "not there before it is whole");
    table.finish().unwrap();
    let error = read_table::<CounterSample>(&path).unwrap_err().to_string();
    assert!(error.contains("x.parquet") && error.contains("time_s"), "{error}");
    fs::write(&path, b"PAR1").unwrap();
    assert!(read_table::<RequestRecord>(&path).unwrap_err().to_string().contains("x.parquet"));
    drop(TableWriter::<RequestRecord>::create(&folder.path().join("y.parquet")).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "an unfinished file is removed");
    assert!(table_files::<RequestRecord>(folder.path()).is_err());
}

prop_compose! {
    fn any_request()(
        names in ("[a-z]{0,8}", "\\PC{0,8}", "[a-z-]{0,8}"),
        numbers in (any::<Option<u32>>(), any::<u64>(), any::<Option<f64>>()),
        known in prop::array::uniform7(prop::option::of(prop::num::f64::NORMAL | prop::num::f64::ZERO)),
        queue_len in prop::option::of(any::<u32>()),
        status in prop::sample::select(vec![
            RequestStatus::Ok, RequestStatus::Censored, RequestStatus::Failed, RequestStatus::Dropped,
        ]),
        warmup in any::<bool>(),
    ) -> RequestRecord {
        let [sent_s, start_s, end_s, client_end_s, service_s, queueing_s, response_s] = known;
        RequestRecord {
            run_id: names.0, tenant_id: names.1, app: names.2, replica: numbers.0, seq: numbers.1,
            intended_s: numbers.2.filter(|x| !x.is_nan()),
            sent_s, start_s, end_s, client_end_s, service_s, queueing_s, response_s, queue_len, status, warmup,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn records_survive_parquet(groups in prop::collection::vec(prop::collection::vec(any_request(), 0..20), 0..4)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.parquet");
        let mut table = TableWriter::create(&path).unwrap();
        for group in &groups {
            table.write(group).unwrap();
        }
        table.finish().unwrap();
        prop_assert_eq!(read_table::<RequestRecord>(&path).unwrap(), groups.concat());
    }
}

/// What an experiment leaves that was given up before its first run was done, and the next call after it.
#[test]
fn a_dataset_of_no_runs_has_its_tables_and_can_be_built_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dataset");
    let dataset = Dataset::build(&path, &[]).unwrap();
    assert_eq!(dataset.read::<RunRow>().unwrap(), []);
    assert_eq!(Dataset::open(&path).unwrap().read::<TenantRow>().unwrap(), []);
    let run = write_starving_run(folder.path(), spec("x", 0), RunStatus::Complete, 0.01);
    assert_eq!(Dataset::build(&path, &[run]).unwrap().read::<RunRow>().unwrap().len(), 1);
}
