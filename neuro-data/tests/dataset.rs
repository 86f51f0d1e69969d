//! Run folders and datasets, from records to tables and back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neuro_data::run_folder::{PartialRun, RunFolder, run_folders};
use neuro_data::store::{Row, RunRow, TableWriter, TenantRow, read_table, table_files};
use neuro_data::{
    CleanupVerdict, CounterSample, DataVerdict, Dataset, Host, LoadGate, LoadReport, Manifest, Phases, RUN_SCHEMA,
    RequestRecord, RequestStatus, RunKind, RunSpec, RunStatus, Sla, Tenant, Tool, noise_floor,
};
use proptest::prelude::*;

fn spec(name: &str, repeat: u32) -> RunSpec {
    RunSpec {
        kind: RunKind::Pairwise,
        name: name.into(),
        repeat,
        seed: 1,
        threads: 1,
        phases: Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 1 },
        tenants: vec![
            Tenant { id: "observed".into(), app: "a".into(), instances: 1, rate: 5.0 },
            Tenant { id: "neighbour".into(), app: "b".into(), instances: 2, rate: 10.0 },
        ],
    }
}

fn manifest(spec: RunSpec, status: RunStatus) -> Manifest {
    Manifest {
        schema: RUN_SCHEMA,
        run_id: spec.run_id(),
        spec_hash: spec.hash(),
        seeds: BTreeMap::new(),
        server: "edge".into(),
        target: "local".into(),
        started_at: 1_750_000_000.25,
        tool: Tool { name: "t".into(), version: "1".into(), commit: String::new() },
        host: Host::default(),
        replicas: Vec::new(),
        target_facts: BTreeMap::new(),
        load: LoadReport::default(),
        gate: LoadGate::default(),
        status,
        reason: (status != RunStatus::Complete).then(|| "because".into()),
        data: DataVerdict::Whole,
        cleanup: CleanupVerdict::Clean,
        spec,
    }
}

fn request(run_id: &str, tenant: &Tenant, seq: u64, service_s: Option<f64>) -> RequestRecord {
    let intended_s = 1.0 + 0.1 * seq as f64;
    RequestRecord {
        run_id: run_id.into(),
        tenant_id: tenant.id.clone(),
        app: tenant.app.clone(),
        replica: 0,
        seq,
        intended_s,
        sent_s: Some(intended_s),
        start_s: service_s.map(|_| intended_s + 0.001),
        end_s: service_s.map(|s| intended_s + 0.001 + s),
        client_end_s: service_s.map(|s| intended_s + 0.002 + s),
        service_s,
        queueing_s: service_s.map(|_| 0.0),
        response_s: service_s.map(|s| 0.002 + s),
        queue_len: service_s.map(|_| 0),
        status: if service_s.is_some() { RequestStatus::Ok } else { RequestStatus::Censored },
        warmup: false,
    }
}

/// A run in which the observed tenant takes `service_s` and the neighbour starves.
fn write_run(out: &Path, spec: RunSpec, status: RunStatus, service_s: f64) -> RunFolder {
    let run_id = spec.run_id();
    let (observed, starved) = (spec.tenants[0].clone(), spec.tenants[1].clone());
    let mut requests: Vec<_> = (0..50).map(|i| request(&run_id, &observed, i, Some(service_s))).collect();
    requests.extend((0..20).map(|i| request(&run_id, &starved, i, None)));
    let counter = |time_s: f64, event: &str, count| CounterSample {
        run_id: run_id.clone(),
        tenant_id: observed.id.clone(),
        replica: 0,
        time_s,
        event: event.into(),
        count,
        enabled_ns: Some(1_000_000_000),
        running_ns: Some(1_000_000_000),
    };
    // A second's warm-up, then two readings five seconds apart.
    let counters = [
        counter(1.0, "cpu-clock", Some(9_000_000_000)),
        counter(6.0, "cpu-clock", Some(1_000_000_000)),
        counter(11.0, "cpu-clock", Some(2_000_000_000)),
        counter(1.0, "cache-misses", None),
        counter(6.0, "cache-misses", None),
        counter(11.0, "cache-misses", None),
    ];
    let partial = PartialRun::begin(out, &run_id).unwrap();
    fs::create_dir_all(partial.logs()).unwrap();
    partial.commit(manifest(spec, status), &requests, &counters).unwrap()
}

#[test]
fn a_run_folder_is_there_whole_or_not_at_all() {
    let out = tempfile::tempdir().unwrap();
    let run = write_run(out.path(), spec("x", 0), RunStatus::Complete, 0.01);
    assert_eq!(RunFolder::open(run.path()).unwrap(), run);
    assert_eq!(run.requests().unwrap().len(), 70);
    assert!(!run.path().join("logs").exists(), "logs are kept of failed runs only");
    let failed = write_run(out.path(), spec("y", 0), RunStatus::Failed, 0.01);
    assert!(failed.path().join("logs").exists());

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
    write_run(out.path(), spec("x", 0), RunStatus::Complete, 0.010);
    write_run(out.path(), spec("x", 1), RunStatus::Complete, 0.012);
    write_run(out.path(), spec("y", 0), RunStatus::Failed, 0.010);
    let folders = run_folders(out.path()).unwrap();
    let dataset = Dataset::build(&out.path().join("dataset"), &folders).unwrap();

    let runs = dataset.read::<RunRow>().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(
        runs.iter().filter(|r| r.status == RunStatus::Failed && r.reason.as_deref() == Some("because")).count(),
        1
    );
    assert_eq!(runs[0].started_at.0, 1_750_000_000.25);
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
    write_run(out.path(), spec("x", 0), RunStatus::Complete, 0.010);
    let dataset = Dataset::build(&path, &run_folders(out.path()).unwrap()).unwrap();
    write_run(out.path(), spec("x", 1), RunStatus::Complete, 0.010);
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
    assert!(!schema.field_with_name("intended_s").unwrap().is_nullable());
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
        numbers in (any::<u32>(), any::<u64>(), any::<f64>()),
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
            intended_s: if numbers.2.is_nan() { 0.0 } else { numbers.2 },
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
