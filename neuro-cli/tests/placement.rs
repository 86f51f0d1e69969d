//! Placements by the command: every method, what it says of its plan, and what would change it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn neuro(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_neuro")).args(arguments).current_dir(folder).output().unwrap()
}

fn json(output: &Output) -> Value {
    let told = |error| (error, String::from_utf8_lossy(&output.stderr).into_owned());
    serde_json::from_slice(&output.stdout).map_err(told).unwrap()
}

fn bundle(name: &str) -> String {
    format!("{}/../examples/data/bundles/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// An instance of one small server.
fn instance(folder: &Path) {
    let requests =
        ["requests", "--scenario", "s1", "--servers", "1", "--kinds", "edge-a", "--seed", "3", "--memory", "8"];
    let more = ["--requests", "8", "--tightness", "0.5", "--out", "i.json"];
    assert!(neuro(folder, &[&requests[..], &more].concat()).status.success());
}

#[test]
fn methods_decide_and_their_audits_tell() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    instance(folder);
    let methods = [
        ("milp", "edge-a-monotone", true),
        ("neuro", "edge-a-monotone", true),
        ("neuro", "edge-a-paper", true),
        ("first-fit", "edge-a", false),
        ("perx", "edge-a-perx", false),
        ("scaloran", "edge-a-scaloran", false),
        ("scaloran-cons", "edge-a-scaloran", false),
    ];
    for (method, profile, decides_by_promises) in methods {
        let profile = bundle(profile);
        let solve = ["solve", "--instance", "i.json", "--profile", &profile, "--method", method];
        let output = neuro(folder, &[&solve[..], &["--time-limit", "20s", "--json", "--out", "p.json"]].concat());
        let plan = json(&output);
        let holds = plan["audit"]["holds"].as_bool().unwrap();
        assert_eq!(output.status.code(), Some(if holds { 0 } else { 3 }), "{method}");
        assert!(holds || !decides_by_promises, "{method}: {}", plan["audit"]["findings"]);
        assert_eq!(plan["bound"].is_null(), !matches!(method, "milp" | "scaloran" | "scaloran-cons"), "{method}");
        let audit = neuro(folder, &["audit", "--plan", "p.json", "--instance", "i.json", "--profile", &profile]);
        assert_eq!(audit.status.code(), output.status.code(), "{method}");
    }
    for (method, profile) in [("milp", "edge-a-paper"), ("perx", "edge-a"), ("scaloran", "edge-a-perx")] {
        let profile = bundle(profile);
        let output = neuro(folder, &["solve", "--instance", "i.json", "--profile", &profile, "--method", method]);
        assert_eq!(output.status.code(), Some(2), "{method}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot use the profiler"));
    }
}

#[test]
fn rejections_are_explained_and_changes_tried() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    instance(folder);
    let profile = bundle("edge-a-monotone");
    let given = ["--instance", "i.json", "--profile", &profile];
    let solve = [&["solve", "--method", "milp", "--out", "p.json"], &given[..]].concat();
    assert!(neuro(folder, &solve).status.success());
    let explain = neuro(folder, &[&["explain", "--plan", "p.json", "--json"], &given[..]].concat());
    let explained = json(&explain);
    let rejected = explained["requests"].as_array().unwrap();
    let plan: Value = serde_json::from_slice(&std::fs::read(folder.join("p.json")).unwrap()).unwrap();
    assert_eq!(rejected.len(), plan["rejected"].as_array().unwrap().len());
    // A proved optimum leaves nobody out who pays more than those in the way.
    let payments: Vec<f64> =
        rejected.iter().filter_map(|r| Some(r["payment"]["to"].as_f64()? - r["payment"]["from"].as_f64()?)).collect();
    assert!(!payments.is_empty() && payments.iter().all(|more| *more >= -1e-9), "{payments:?}");
    let unknown = neuro(folder, &[&["explain", "--plan", "p.json", "--request", "r99"], &given[..]].concat());
    assert_eq!(unknown.status.code(), Some(2));

    // What is dropped leaves; what is added and pays for everybody enters.
    let served = plan["assignments"][0]["request"].as_str().unwrap();
    let dropped = json(&neuro(folder, &[&solve[..], &["--json", "--what-if", "drop", served]].concat()));
    assert!(dropped["difference"]["leaves"][served].is_string(), "{dropped}");
    assert!(dropped["difference"]["revenue"].as_f64().unwrap() < 0.0);
    let rich = r#"{"id":"rich","app":"tclf-rf","instances":2,"rate":5,"payment":1000,"delay_s":1,"sla":"mean"}"#;
    std::fs::write(folder.join("rich.json"), rich).unwrap();
    let added = json(&neuro(folder, &[&solve[..], &["--json", "--what-if", "add", "rich.json"]].concat()));
    assert!(added["difference"]["enters"]["rich"].is_string(), "{added}");
    let base = added["base"]["objective"].as_f64().unwrap();
    assert!((base - plan["objective"].as_f64().unwrap()).abs() < 1e-9);
    assert!(added["changed"]["objective"].as_f64().unwrap() >= 1000.0);
}
