//! `neuro ingest` and `neuro data` as they are typed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn neuro(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_neuro")).args(arguments).output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn write_raw(run: &Path) {
    fs::create_dir_all(run).unwrap();
    let tenants = r#"{"tenant_requests":[{"id":0,"application":"tclf-rf","arrival_rate":2.0,"num_instances":1},
        {"id":1,"application":"tclf-rf","arrival_rate":4.0,"num_instances":3}]}"#;
    fs::write(run.join("tenant_requests.json"), tenants).unwrap();
    for id in 0..2 {
        let rows: String = (0..20).map(|i| format!("{i},0.{}{id},{}.5\n", i + 10, 100 + i)).collect();
        fs::write(run.join(format!("tenant-{id}.csv")), format!(",service_times,arrival_times\n{rows}")).unwrap();
        fs::create_dir_all(run.join(format!("proc_metrics/tenant_{id}"))).unwrap();
        fs::write(run.join(format!("proc_metrics/tenant_{id}/1.raw")), "1.0 5 page-faults\n").unwrap();
    }
}

#[test]
fn raw_runs_become_a_dataset_datapoints_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    write_raw(&raw.join("0001"));
    let (raw, out) = (raw.display().to_string(), folder.path().join("dataset").display().to_string());

    let first = neuro(&["ingest", &raw, "--out", &out, "--json", "--jobs", "1"]);
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!((json(&first)["added"].as_u64(), json(&first)["problems_total"].as_u64()), (Some(1), Some(0)));
    assert_eq!(json(&neuro(&["ingest", &raw, "--out", &out, "--json"]))["known"].as_u64(), Some(1));

    let points = neuro(&["data", "datapoints", &out, "--json", "--zero", "0"]);
    let report = &json(&points)["report"];
    assert_eq!((report["points"]["measured"].as_u64(), report["points"]["merged"].as_u64()), (Some(2), Some(1)));
    assert!(Path::new(&out).join("datapoints/part-00000.parquet").exists());
    assert_eq!(neuro(&["data", "datapoints", &out, "--set", "reference"]).status.code(), Some(0));
    assert!(Path::new(&out).join("datapoints-reference/part-00000.parquet").exists());
    assert_eq!(neuro(&["data", "datapoints", &out, "--zero", "1.5"]).status.code(), Some(2));

    let svg = folder.path().join("d.svg");
    let stats = neuro(&["data", "stats", &out, "--json", "--svg", &svg.display().to_string()]);
    assert_eq!(json(&stats)["apps"][0]["samples"].as_u64(), Some(40));
    assert!(fs::read_to_string(&svg).unwrap().contains("tclf-rf"));
    assert!(String::from_utf8_lossy(&neuro(&["data", "stats", &out]).stdout).contains("tclf-rf"));
}

#[test]
fn faults_are_told_beside_what_is_good_or_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    write_raw(&raw.join("0001"));
    fs::write(raw.join("0001/tenant-1.csv"), ",service_times,arrival_times\n0,0.5,100.0\n1,oops,101.0\n").unwrap();
    let (raw, out) = (raw.display().to_string(), folder.path().join("dataset").display().to_string());

    let strict = neuro(&["ingest", &raw, "--out", &out, "--strict"]);
    assert_eq!(strict.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&strict.stderr).contains("tenant-1.csv:3:3: service_times is \"oops\""));
    assert!(!Path::new(&out).exists());

    let tolerant = neuro(&["ingest", &raw, "--out", &out]);
    assert_eq!(tolerant.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&tolerant.stderr).contains("tenant-1.csv:3:3: "));
    assert!(String::from_utf8_lossy(&tolerant.stdout).contains("1 runs added"));
    assert_eq!(
        neuro(&["ingest", &folder.path().join("none").display().to_string(), "--out", &out]).status.code(),
        Some(2)
    );
    fs::create_dir_all(folder.path().join("empty")).unwrap();
    assert_eq!(
        neuro(&["ingest", &folder.path().join("empty").display().to_string(), "--out", &out]).status.code(),
        Some(2)
    );
}
