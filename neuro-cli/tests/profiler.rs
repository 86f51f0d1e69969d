//! From a simulated campaign to profilers, predictions and a judgement, by the command.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn neuro(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_neuro"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = neuro(folder, arguments, "");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn train_predict_evaluate() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let short = ["--target", "sim", "--duration", "120", "--out", "c", "--json"];
    done(folder, &[&["run", "random", "--runs", "60"], &short[..]].concat());
    let pairs = ["run", "pairwise", "--apps", "tclf-rf,kalman-gru"];
    done(folder, &[&pairs, &short[..]].concat());

    let train = ["train", "c/dataset", "--steps", "400", "--seeds", "2", "--svg", "loss.svg", "--out", "ss", "--json"];
    let trained: Value = serde_json::from_str(&done(folder, &train)).unwrap();
    assert_eq!(trained["seeds"].as_array().unwrap().len(), 2);
    assert!(std::fs::read_to_string(folder.join("loss.svg")).unwrap().contains("seed 2"));
    for arch in ["perx", "uncontended"] {
        done(folder, &["train", "c/dataset", "--arch", arch, "--out", arch]);
    }
    let untold = neuro(folder, &["train", "c/dataset", "--arch", "paper", "--out", "paper"], "");
    assert!(String::from_utf8_lossy(&untold.stderr).contains("neuro data datapoints c/dataset --set reference"));
    done(folder, &["data", "datapoints", "c/dataset", "--set", "reference"]);
    done(folder, &["train", "c/dataset", "--arch", "paper", "--epochs", "1", "--out", "paper"]);
    // An interrupted or half-copied bundle is told from a whole one.
    assert!(!folder.join("paper.partial").exists());

    let lines = concat!(
        r#"{"app":"tclf-rf","instances":2,"rate":20,"context":[{"app":"text-bert","instances":1,"rate":2}]}"#,
        "\n",
        r#"{"app":"nothing","instances":2,"rate":20}"#,
        "\n",
    );
    let output = neuro(folder, &["predict", "ss"], lines);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let time = |answer: &Value, name: &str| answer[name].as_f64().unwrap();
    assert!(time(&answers[0], "mean_s") > 0.0 && time(&answers[0], "p95_s") >= time(&answers[0], "p75_s"));
    assert!(answers[1]["error"].as_str().unwrap().contains("nothing"));
    let promised = neuro(folder, &["predict", "ss", "--margins"], lines.lines().next().unwrap());
    let promised: Value = serde_json::from_slice(&promised.stdout).unwrap();
    assert!(time(&promised, "p95_s") >= time(&answers[0], "p95_s"));

    let evaluate = ["evaluate", "c/dataset", "ss", "perx", "uncontended", "paper", "--out", "ev", "--json"];
    let judged: Value = serde_json::from_str(&done(folder, &evaluate)).unwrap();
    let models = judged["models"].as_array().unwrap();
    assert_eq!(models.len(), 12);
    for row in models {
        for key in ["median", "mean", "p90", "p99", "signed_median", "optimistic_rate", "noise_floor"] {
            assert!(row[key].is_f64(), "{key}: {row}");
        }
    }
    assert!(models[0]["name"] == "server-state" && models[0]["target"] == "mean");
    for picture in ["errors.svg", "utilisation.svg", "neighbours.svg", "calibration.svg"] {
        let svg = std::fs::read_to_string(folder.join("ev").join(picture)).unwrap();
        assert!(svg.contains("uncontended") && svg.contains("noise"), "{picture}");
    }

    let missing = neuro(folder, &["predict", "c"], "");
    assert_eq!(missing.status.code(), Some(2));
    std::fs::write(folder.join("ss/weights.safetensors"), b"cut").unwrap();
    let broken = neuro(folder, &["predict", "ss"], "");
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("refused"));
}
