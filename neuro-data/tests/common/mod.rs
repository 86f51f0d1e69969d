//! Runs on disk for the tests.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use neuro_data::run_folder::{PartialRun, RunFolder};
use neuro_data::{
    CleanupVerdict, CounterSample, DataVerdict, Host, LoadGate, LoadReport, Manifest, Phases, RUN_SCHEMA,
    RequestRecord, RequestStatus, RunKind, RunSpec, RunStatus, Tenant, Tool,
};

/// The header of the prototype's `tenant-<id>.csv`.
pub(crate) const HEADER: &str =
    ",service_times,arrival_times,departure_times,interarrival_times,queueing_times,queue_lens";

/// A run of the prototype with two tenants: 0, two replicas of `tclf-rf`, and 1, one of `text-tbert`. Runs of different folder
/// names are different runs.
pub(crate) fn write_prototype_run(folder: &Path) {
    fs::create_dir_all(folder.join("proc_metrics/tenant_0")).unwrap();
    fs::create_dir_all(folder.join("proc_metrics/tenant_1")).unwrap();
    let requests = r#"{"tenant_requests":[
        {"id":0,"application":"tclf-rf","arrival_rate":2.0,"num_instances":2,"payment":2.5,"delay":0.02,"sla_type":1,"port":31000,"pids":[21,20]},
        {"id":1,"application":"text-tbert","arrival_rate":4.0,"num_instances":1,"payment":7.5,"delay":1.5,"sla_type":0,"port":31001,"pids":[30]}]}"#;
    let requests = requests.replace("\n        ", "");
    fs::write(folder.join("tenant_requests.json"), requests).unwrap();
    let rows = "0,0.5,1700000000.0,1700000000.75,,0.25,1.0\n1,1.0,1700000001.0,1700000002.0,1.0,0.0,0.0\n\
                2,1.5,1700000002.0,1700000003.5,1.0,0.0,0.0\n3,4.0,1700000003.0,1700000007.5,1.0,0.5,1.0\n\
                4,,1700000004.0,,1.0,,\n";
    fs::write(folder.join("tenant-0.csv"), format!("{HEADER}\n{rows}")).unwrap();
    let rows = "0,0.125,1700000000.5,1700000000.625,,0.0,0.0\n1,0.25,1700000002.5,1700000002.75,2.0,0.0,0.0\n\
                2,0.125,1700000004.5,1700000004.625,2.0,0.0,0.0\n";
    fs::write(folder.join("tenant-1.csv"), format!("{HEADER}\n{rows}")).unwrap();
    let text = "#           time             counts unit events\n\
                1.0  500.00 msec cpu-clock  #  0.500 CPUs utilized\n1.0  <not counted>  cache-misses  (0.00%)\n\
                2.0  700.00 msec cpu-clock  #  0.700 CPUs utilized\n2.0  900  cache-misses  #  3.1 %  (49.87%)\n";
    fs::write(folder.join("proc_metrics/tenant_0/21.raw"), text).unwrap();
    fs::write(folder.join("proc_metrics/tenant_0/20.raw"), "1,0  300,00 msec cpu-clock\n").unwrap();
    let text = "1.0  100.00 msec cpu-clock\n2.0  110.00 msec cpu-clock\n";
    fs::write(folder.join("proc_metrics/tenant_1/30.raw"), text).unwrap();
}

/// A specification of two tenants.
pub(crate) fn spec(name: &str, repeat: u32) -> RunSpec {
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
        target: None,
    }
}

/// The manifest of a run.
pub(crate) fn manifest(spec: RunSpec, status: RunStatus) -> Manifest {
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

/// A request that was answered after `service_s`, or never.
pub(crate) fn request(run_id: &str, tenant: &Tenant, seq: u64, service_s: Option<f64>) -> RequestRecord {
    let intended_s = 1.0 + 0.1 * seq as f64;
    RequestRecord {
        run_id: run_id.into(),
        tenant_id: tenant.id.clone(),
        app: tenant.app.clone(),
        replica: Some(0),
        seq,
        intended_s: Some(intended_s),
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
pub(crate) fn write_starving_run(out: &Path, spec: RunSpec, status: RunStatus, service_s: f64) -> RunFolder {
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

/// A complete run of ours.
pub(crate) fn write_run(out: &Path, repeat: u32) -> RunFolder {
    write_starving_run(out, spec("x", repeat), RunStatus::Complete, 0.010 + 0.001 * f64::from(repeat))
}

/// Every file below a folder by its path from there, with its content.
pub(crate) fn tree_bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = PathBuf::from(path.file_name().unwrap());
        if path.is_dir() {
            files.extend(tree_bytes(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}
