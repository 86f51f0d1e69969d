use std::path::{Path, PathBuf};

use ndarray::Array2;
use neuro_opt::files::{onnx_network, read_bundle, read_network, read_onnx, read_problem, read_safetensors};
use neuro_opt::{Error, Sense};
use neuro_profiler::baselines::Uncontended;
use neuro_profiler::deep_sets::{DeepSets, DeepSetsParts, DeepSetsShape};
use neuro_profiler::network::{Activation, Network};
use neuro_profiler::server_state::{ServerState, ServerStateShape};
use neuro_profiler::{BUNDLE_FORMAT, Bundle, DataFacts, Load, Model, Profile, RunSample, TenantSample, TrainingSet};

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

/// A bundle of a profiler of two applications, written and read back as a network.
fn through_bundle(model: Model) -> Result<Network, Error> {
    let profile = Profile {
        format: BUNDLE_FORMAT,
        name: "test".to_owned(),
        architecture: model.architecture(),
        apps: Vec::new(),
        ranges: Default::default(),
        margins: None,
        data: DataFacts::default(),
        training: serde_json::Value::Null,
        metrics: serde_json::Value::Null,
        tool: "test".to_owned(),
        weights_sha256: String::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    Bundle::new(model, profile).write(&path).unwrap();
    read_bundle(&path)
}

#[test]
fn networks_are_read_from_bundles() {
    let mut random = crate::network::random(1);
    let mut of = |widths: &[usize], activation| crate::network::network(&mut random, widths, activation);
    let apps = vec!["a".to_owned(), "b".to_owned()];
    let seconds = vec![[0.01, 0.02, 0.03]; 2];

    let shape = ServerStateShape::default();
    let (request, head) = (shape.request_widths(), shape.head_widths(2));
    let (request, head) = (of(&request, Activation::Relu), of(&head, Activation::Relu));
    let embedding = Array2::ones((2, shape.embedding));
    let model = ServerState::new(shape, apps.clone(), seconds.clone(), embedding, request, head.clone()).unwrap();
    assert_eq!(through_bundle(Model::ServerState(model)).unwrap(), head);

    let shape = DeepSetsShape { counters: Vec::new(), ..DeepSetsShape::default() };
    let rho = of(&shape.rho_widths(2), Activation::Gelu);
    let parts = DeepSetsParts {
        apps: apps.clone(),
        scale_s: seconds.clone(),
        embedding: Array2::ones((2, shape.embedding)),
        phi: shape.phi_widths().map(|widths| of(&widths, Activation::Gelu)),
        rho: rho.clone(),
        counters: None,
        counter_scale: [1.0; 3],
        shape,
    };
    assert_eq!(through_bundle(Model::Paper(DeepSets::new(parts).unwrap())).unwrap(), rho);

    let load = Load { app: 0, instances: 1.0, rate: 1.0 };
    let (id, measured) = ("t".to_owned(), [Some(0.01); 3]);
    let tenant =
        TenantSample { id, load, seconds: measured, errors: [None; 3], longer_than_s: None, counters: [None; 3] };
    let run = RunSample { run_id: "r".to_owned(), kind: neuro_data::RunKind::Baseline, tenants: vec![tenant] };
    let set = TrainingSet { apps: vec!["a".to_owned()], servers: Vec::new(), runs: vec![run] };
    let alone = Uncontended::fit(&set, &[0]).unwrap();
    let error = through_bundle(Model::Uncontended(alone)).unwrap_err().to_string();
    assert!(error.contains("uncontended") && error.contains("no network"), "{error}");
    assert!(read_bundle(Path::new("no-such-bundle")).unwrap_err().to_string().contains("no-such-bundle"));
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
        (r#"{"layers":[{"W":[],"b":[]}],"lb":[],"ub":[],"c":[]}"#, "no outputs"),
        (r#"{"layers":[{"W":[[NaN]],"b":[0]}],"lb":[0],"ub":[1],"c":[1]}"#, "problem.json"),
        (r#"{"layers":[{"W":[[1e999]],"b":[0]}],"lb":[0],"ub":[1],"c":[1]}"#, "problem.json"),
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
