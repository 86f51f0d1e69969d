//! The command on simulated servers: campaigns, replays and the calibration of the sample dataset.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use neuro_data::store::{RunRow, TenantRow};
use neuro_data::{Dataset, RunKind};
use neuro_k8s::sim::SimParams;

fn neuro(arguments: &str, paths: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuro"));
    command.args(arguments.split_whitespace());
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path)
}

#[test]
fn a_random_campaign_becomes_a_dataset_to_train_on_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let campaign = "run random --target sim --partly 0.5 --duration 60 --warmup 5 --json";
    let report = json(&neuro(&format!("{campaign} --runs 6"), &[("--out", &out)]));
    assert_eq!((report["complete"].as_u64(), report["left"].as_u64()), (Some(6), Some(0)));
    let report = json(&neuro(&format!("{campaign} --runs 8 --jobs 1"), &[("--out", &out)]));
    assert_eq!((report["finished_before"].as_u64(), report["complete"].as_u64()), (Some(6), Some(2)));

    let dataset = Dataset::open(&out.join("dataset")).unwrap();
    let runs: Vec<RunRow> = dataset.read().unwrap();
    assert_eq!(runs.len(), 8);
    assert!(runs.iter().all(|run| run.target == "sim" && run.server == "edge-a" && run.started_at.is_none()));
    let tenants: Vec<TenantRow> = dataset.read().unwrap();
    assert!(tenants.iter().filter(|tenant| tenant.mean_s.is_some()).count() > 20);

    let made = neuro("data datapoints --json", &[]);
    assert_eq!(made.status.code(), Some(2), "the dataset is missing");
    let mut command = Command::new(env!("CARGO_BIN_EXE_neuro"));
    let made = json(&command.args(["data", "datapoints", "--json"]).arg(dataset.path()).output().unwrap());
    assert!(made["report"]["points"]["measured"].as_u64().unwrap() > 20, "{made}");

    // The parameters lie beside the runs and are those that they were made with.
    let text = std::fs::read_to_string(out.join("sim.toml")).unwrap();
    assert_eq!(SimParams::from_toml(&text).unwrap(), SimParams::built_in());
    // The same campaign on another kind of server is other runs, and none is taken for one that is there.
    let other = json(&neuro(&format!("{campaign} --runs 6 --kind edge-b"), &[("--out", &out)]));
    assert_eq!((other["finished_before"].as_u64(), other["complete"].as_u64()), (Some(0), Some(6)));
    let runs: Vec<RunRow> = Dataset::open(&out.join("dataset")).unwrap().read().unwrap();
    assert_eq!(runs.iter().filter(|run| run.server == "edge-b").count(), 6);
    assert_eq!(runs.len(), 14);
}

#[test]
fn flags_that_mean_nothing_at_a_target_are_refused() {
    for (arguments, flag) in [
        ("run baseline --records", "--records"),
        ("run baseline --kind edge-a", "--kind"),
        ("run baseline --target sim --threads 2", "--threads"),
        ("run baseline --target sim --kind edge-z", "edge-z"),
        ("run baseline --target sim --apps tclf-fr", "tclf-fr"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = neuro(arguments, &[("--out", &folder.path().join("out"))]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(flag), "{arguments}: {message}");
    }
}

#[test]
fn a_plan_made_by_hand_is_replayed_on_simulated_servers_of_two_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (plan, instance) = (examples("placement/plan.json"), examples("placement/instance.json"));
    let replay = || {
        let paths: [(&str, &Path); 3] = [("--plan", &plan), ("--instance", &instance), ("--out", &out)];
        json(&neuro("replay --target sim --duration 600 --json", &paths))
    };
    let report = replay();
    let requests = report["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 9, "the rejected one is not replayed");
    let (mut kept, mut violated) = (0.0, 0);
    for request in requests {
        let (promised, measured) = (request["promised_s"].as_f64().unwrap(), request["measured_s"].as_f64().unwrap());
        assert_eq!(request["violated"].as_bool().unwrap(), measured > promised, "{request}");
        violated += usize::from(measured > promised);
        kept += if measured > promised { 0.0 } else { request["payment"].as_f64().unwrap() };
    }
    assert!((report["revenue_kept"].as_f64().unwrap() - kept).abs() < 1e-9);
    assert!((report["violation_rate"].as_f64().unwrap() - violated as f64 / 9.0).abs() < 1e-12);
    assert!((1..9).contains(&violated), "the example shows both: {violated}");
    assert_eq!(requests[1]["servers"].as_array().unwrap().len(), 2, "one request is on both servers");
    let runs: Vec<RunRow> = Dataset::open(&out.join("dataset")).unwrap().read().unwrap();
    let servers: Vec<&str> = runs.iter().map(|run| run.server.as_str()).collect();
    assert_eq!(servers, ["edge-a", "edge-b"]);
    assert!(runs.iter().all(|run| run.kind == RunKind::Replay));
    assert_eq!(replay(), report, "a second call finds the runs and says the same");
}

#[test]
fn what_a_search_chooses_becomes_runs_of_every_kind_of_server() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let profiles =
        ["edge-a", "edge-b"].map(|kind| format!("{kind}={}", examples(&format!("data/bundles/{kind}")).display()));
    let planned = || {
        let paths: [(&str, &Path); 3] =
            [("--profile", Path::new(&profiles[0])), ("--profile", Path::new(&profiles[1])), ("--out", &out)];
        json(&neuro("run planned --target sim --plans 3 --iterations 300 --duration 20 --seed 5 --json", &paths))
    };
    assert_eq!(planned()["complete"].as_u64(), Some(6), "three plans on two servers");
    let again = planned();
    assert_eq!(
        (again["finished_before"].as_u64(), again["complete"].as_u64()),
        (Some(6), Some(0)),
        "the plans are the seed's"
    );
    let runs: Vec<RunRow> = Dataset::open(&out.join("dataset")).unwrap().read().unwrap();
    assert!(runs.iter().all(|run| run.kind == RunKind::Replay));
    for kind in ["edge-a", "edge-b"] {
        assert_eq!(runs.iter().filter(|run| run.server == kind).count(), 3, "{kind}");
    }
}

#[test]
fn a_plan_is_replayed_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("instance.json"),
        r#"{"servers": [{"name": "here", "kind": "any", "memory_gb": 2}], "requests": [
            {"id": "strict", "app": "kalman-gru", "instances": 1, "rate": 20, "payment": 2, "delay_s": 1e-6, "sla": "mean"},
            {"id": "lax", "app": "kalman-gru", "instances": 1, "rate": 20, "payment": 3, "delay_s": 10, "sla": "mean"}]}"#,
    )
    .unwrap();
    std::fs::write(
        at("plan.json"),
        r#"{"method": "by hand", "objective": 5, "bound": null, "gap": null, "seconds": 0, "termination": "complete",
            "assignments": [{"request": "strict", "server": "here", "instances": 1},
                            {"request": "lax", "server": "here", "instances": 1}], "rejected": []}"#,
    )
    .unwrap();
    let (plan, instance, out, lock) = (at("plan.json"), at("instance.json"), at("out"), at("lock"));
    let paths: [(&str, &Path); 4] = [("--plan", &plan), ("--instance", &instance), ("--out", &out), ("--lock", &lock)];
    let output = neuro("replay --target local --duration 0.6 --warmup 0.1 --drain 1 --json", &paths);
    // A busy machine may make the run invalid, which is told and judged all the same.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let violated: Vec<_> =
        report["requests"].as_array().unwrap().iter().map(|r| r["violated"].as_bool().unwrap()).collect();
    assert_eq!(violated, [true, false]);
    assert_eq!((report["revenue_kept"].as_f64(), report["revenue_lost"].as_f64()), (Some(3.0), Some(2.0)));
}

#[test]
fn the_sample_dataset_calibrates_a_server_that_can_be_run() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, report) = (folder.path().join("sim.toml"), folder.path().join("report.json"));
    let data = examples("data/dataset");
    let paths: [(&str, &Path); 3] = [("--data", &data), ("--out", &sim), ("--report", &report)];
    let printed = json(&neuro("sim calibrate --json", &paths));
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(examples("data/calibration.json")).unwrap()).unwrap();
    assert_eq!(printed, written);
    assert!(printed["loss_after"].as_f64().unwrap() < printed["loss_before"].as_f64().unwrap());
    assert!(printed["held_out_runs"].as_u64().unwrap() >= 30 && printed["held_out"].as_array().unwrap().len() == 15);
    // The report in the repository is this one.
    let loss = |report: &serde_json::Value| report["loss_after"].as_f64().unwrap();
    assert!((loss(&kept) / loss(&printed) - 1.0).abs() < 1e-6, "{} and {}", loss(&kept), loss(&printed));

    let out = folder.path().join("out");
    let campaign = "run random --target sim --runs 3 --memory 4 --duration 20 --json --apps kalman-gru,tclf-gcn";
    let done = json(&neuro(campaign, &[("--sim", &sim), ("--out", &out)]));
    assert_eq!(done["complete"].as_u64(), Some(3));
}
