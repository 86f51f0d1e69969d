//! The prototype's weights, against what PyTorch predicts with them (`reference/hydra.py` makes the golden values).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![cfg(feature = "candle")]

use std::path::Path;

use neuro_data::Catalogue;
use neuro_profiler::torch::{TorchFiles, import_torch};
use neuro_profiler::{Load, Profiler};
use serde_json::Value;

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/hydra"))
}

#[test]
fn predictions_agree_with_pytorch() {
    let (stats, norma) = (folder().join("sts_server1.json"), folder().join("norma.json"));
    let files = TorchFiles { weights: folder(), stats: &stats, norma: &norma, apps: &[] };
    let model = import_torch(&files, &Catalogue::built_in()).unwrap();
    let load = |value: &Value| Load {
        app: model.app(value["app"].as_str().unwrap()).unwrap(),
        instances: value["instances"].as_f64().unwrap(),
        rate: value["rate"].as_f64().unwrap(),
    };
    let golden = std::fs::read_to_string(folder().join("golden.jsonl")).unwrap();
    assert_eq!(golden.lines().count(), 40);
    for line in golden.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let question = &line["question"];
        let mut server = vec![load(question)];
        server.extend(question["context"].as_array().unwrap().iter().map(load));
        let found = model.log_times(&server).unwrap()[0].map(f64::exp);
        let mut times: Vec<f64> = line["times_s"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
        // Ours do not cross.
        times[2] = times[2].max(times[1]);
        for (found, expected) in found.iter().zip(times) {
            assert!((found / expected - 1.0).abs() < 1e-9, "{question}: {found} instead of {expected}");
        }
    }
}

#[test]
fn another_order_needs_as_many_applications_as_rows() {
    let (stats, norma) = (folder().join("sts_server1.json"), folder().join("norma.json"));
    let apps = ["tclf-rf".to_owned(), "tclf-gcn".to_owned()];
    let files = TorchFiles { weights: folder(), stats: &stats, norma: &norma, apps: &apps };
    let message = import_torch(&files, &Catalogue::built_in()).unwrap_err().to_string();
    assert!(message.contains("tclf-rf,tclf-gcn") && message.contains("row of the embedding"), "{message}");
    let files = TorchFiles { weights: Path::new("/nowhere"), apps: &[], ..files };
    let message = import_torch(&files, &Catalogue::built_in()).unwrap_err().to_string();
    assert!(message.contains("weights_embedding.pth"), "{message}");
    let files = TorchFiles { weights: folder(), stats: &norma, ..files };
    let message = import_torch(&files, &Catalogue::built_in()).unwrap_err().to_string();
    assert!(message.contains("norma.json") && message.contains("max"), "{message}");
}
