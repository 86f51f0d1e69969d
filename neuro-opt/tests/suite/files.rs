use std::path::{Path, PathBuf};

use neuro_opt::files::{onnx_network, read_network, read_onnx, read_problem, read_safetensors};
use neuro_opt::{Error, Sense};
use neuro_profiler::network::{Activation, Network};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

/// What ONNX Runtime answered, in f32.
fn assert_answers(network: &Network, name: &str) {
    let answers: serde_json::Value = serde_json::from_slice(&std::fs::read(file("answers.json")).unwrap()).unwrap();
    let figures = |key: &str| -> Vec<f64> { serde_json::from_value(answers[key].clone()).unwrap() };
    let y = network.forward(ndarray::Array1::from(figures("x")).view()).unwrap();
    let expected = figures(name);
    assert_eq!(y.len(), expected.len());
    assert!(y.iter().zip(&expected).all(|(y, expected)| (y - expected).abs() < 1e-6), "{y} {expected:?}");
}

#[test]
fn onnx_networks_answer_as_onnx_runtime_does() {
    let relu = read_onnx(&file("relu.onnx")).unwrap();
    assert_eq!(relu.layers().iter().map(|layer| layer.outputs()).collect::<Vec<_>>(), [5, 4, 2]);
    assert_answers(&relu, "relu");
    assert_answers(&read_onnx(&file("matmul.onnx")).unwrap(), "matmul");
}

#[test]
fn safetensors_and_onnx_are_the_same_network() {
    let network = read_safetensors(&file("relu.json"), &file("relu.safetensors")).unwrap();
    assert_eq!(network, read_onnx(&file("relu.onnx")).unwrap());
}

#[test]
fn what_onnx_holds_beyond_dense_layers_is_named() {
    let error = read_onnx(&file("sigmoid.onnx")).unwrap_err().to_string();
    assert!(error.contains("Sigmoid") && error.contains("sigmoid.onnx"), "{error}");
    assert!(matches!(onnx_network(b"no protobuf"), Err(Error::Onnx { .. })));
    assert!(matches!(onnx_network(b""), Err(Error::Onnx { .. })));
    // Cut off anywhere, it is an error and no panic.
    let bytes = std::fs::read(file("relu.onnx")).unwrap();
    for end in 0..bytes.len() {
        assert!(onnx_network(&bytes[..end]).is_err() || end > bytes.len() - 40, "{end}");
    }
}

#[test]
fn problems_are_read_from_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("problem.json");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_problem(&path)
    };
    let layers =
        r#""layers":[{"W":[[1,2],[3,4],[5,6]],"b":[1,2,3],"relu":true},{"W":[[1,0,-1]],"b":[0],"relu":false}]"#;
    let rest = r#""lb":[0,-1],"ub":[1,1],"a":[1,1],"b":0.5,"c":[2],"sense":"min""#;
    let problem = read(&format!("{{{layers},{rest}}}")).unwrap();
    assert_eq!((problem.network().inputs(), problem.network().outputs()), (2, 1));
    assert_eq!(problem.network().layers()[0].activation(), Activation::Relu);
    assert_eq!((problem.sense(), problem.domain().rows()[0].upper), (Sense::Minimise, 0.5));
    // relu(1 + 1, 2 + 3, 3 + 5) at (1, 0): 2·(2 − 8).
    assert_eq!(problem.value(&[1.0, 0.0]).unwrap(), -12.0);
    assert_eq!(read_network(&path).unwrap(), *problem.network());

    for (text, says) in [
        ("{", "problem.json"),
        (r#"{"layers":[],"lb":[],"ub":[],"c":[]}"#, "no layer"),
        (&format!("{{{layers},{}}}", rest.replace(r#""b":0.5,"#, "")), "both"),
        (&format!("{{{layers},{}}}", rest.replace("[0,-1]", "[2,-1]")), "input 0"),
        (&format!("{{{layers},{}}}", rest.replace(r#""c":[2]"#, r#""c":[2,3]"#)), "1 figures"),
        (&format!("{{{},{rest}}}", layers.replace("[3,4]", "[3]")), "row 1"),
        (&format!("{{{},{rest}}}", layers.replace("[1,0,-1]", "[1,0]")), "takes 2 inputs"),
        (&format!("{{{layers},{rest},\"speed\":1}}"), "speed"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
    assert!(read_problem(&folder.path().join("none.json")).unwrap_err().to_string().contains("none.json"));
}
