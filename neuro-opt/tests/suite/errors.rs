use std::ops::ControlFlow;

use ndarray::{Array1, Array2, array};
use neuro_opt::bounds::{crown, interval};
use neuro_opt::formulation::{Embedding, big_m};
use neuro_opt::model::{Linear, Model};
use neuro_opt::{Domain, Error, Limits, NetworkMethod, NetworkProblem, Search, Sense};
use neuro_profiler::network::{Activation, Dense, Network};

fn network(activation: Activation) -> Network {
    let hidden = Dense::new(array![[1.0], [-1.0]], array![0.0, 0.0], activation).unwrap();
    Network::new(vec![hidden, Dense::new(array![[1.0, 1.0]], array![0.0], Activation::Identity).unwrap()]).unwrap()
}

fn run(domain: Domain, activation: Activation) -> Result<neuro_opt::NetworkOutcome, Error> {
    let problem = NetworkProblem::new(network(activation), domain, vec![1.0], Sense::Maximise)?;
    Search::default().optimise(&problem, &Limits::default(), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn weights_that_are_no_numbers_and_empty_layers_are_refused() {
    let layer = |w: Array2<f64>, b: Array1<f64>| Dense::new(w, b, Activation::Relu);
    assert!(layer(array![[f64::NAN]], array![0.0]).is_err());
    assert!(layer(array![[1.0]], array![f64::INFINITY]).is_err());
    assert!(layer(Array2::zeros((0, 1)), array![]).is_err());
    let nan = NetworkProblem::new(
        network(Activation::Relu),
        Domain::new(vec![0.0], vec![1.0]).unwrap(),
        vec![f64::NAN],
        Sense::Maximise,
    );
    assert!(matches!(nan, Err(Error::InvalidObjective { output: 0, .. })));
}

#[test]
fn bounds_without_a_value_between_are_refused() {
    assert!(matches!(Domain::new(vec![1.0], vec![0.0]), Err(Error::InvalidInputBounds { input: 0, .. })));
    assert!(matches!(Domain::new(vec![f64::NAN], vec![0.0]), Err(Error::InvalidInputBounds { .. })));
    assert!(matches!(Domain::new(vec![0.0, 0.0], vec![1.0]), Err(Error::InputLength { found: 1, needed: 2 })));
    let domain = Domain::new(vec![0.2], vec![0.8]).unwrap();
    assert!(matches!(domain.clone().with_integers([0]), Err(Error::InvalidInputBounds { .. })));
    assert!(matches!(domain.clone().with_integers([3]), Err(Error::UnknownInput { input: 3, inputs: 1 })));
    assert!(matches!(domain.with_row(vec![f64::NAN], 1.0), Err(Error::InvalidRow { row: 0, .. })));
    assert!(matches!(Model::new().continuous("x", 2.0, 1.0), Err(Error::InvalidVariable { .. })));
}

/// |x| over all numbers has no maximum, and no big-M; a row may give the bound that is missing.
#[test]
fn unbounded_inputs_are_an_error_that_says_so() {
    let error = run(Domain::new(vec![0.0], vec![f64::INFINITY]).unwrap(), Activation::Relu).unwrap_err();
    assert!(matches!(error, Error::Overflow { layer: 0, .. }), "{error}");
    assert!(error.to_string().contains("finite"));
    let limited = Domain::new(vec![0.0], vec![f64::INFINITY]).unwrap().with_row(vec![2.0], 3.0).unwrap();
    let outcome = run(limited, Activation::Relu).unwrap();
    assert!((outcome.outcome.objective.unwrap() - 1.5).abs() < 1e-6);
}

#[test]
fn a_big_m_that_overflows_is_an_error() {
    let huge = Dense::new(array![[1e300], [-1e300]], array![0.0, 0.0], Activation::Relu).unwrap();
    let out = Dense::new(array![[1e300, 1e300]], array![0.0], Activation::Relu).unwrap();
    let network = Network::new(vec![huge, out]).unwrap();
    let domain = Domain::new(vec![-1e10], vec![1e10]).unwrap();
    assert!(matches!(interval(&network, &domain), Err(Error::Overflow { .. })));
    assert!(matches!(crown(&network, &domain), Err(Error::Overflow { .. })));
    let mut model = Model::new();
    let wrong = big_m::add(&mut model, "n", &Linear::default(), f64::NEG_INFINITY, 1.0);
    assert!(matches!(wrong, Err(Error::InvalidBounds { .. })));
}

#[test]
fn gelu_is_refused_by_exact_encodings() {
    let domain = Domain::new(vec![-1.0], vec![1.0]).unwrap();
    let error = run(domain.clone(), Activation::Gelu).unwrap_err();
    assert!(matches!(error, Error::UnsupportedActivation { layer: 0, activation: Activation::Gelu }), "{error}");
    let network = network(Activation::Gelu);
    let bounds = crown(&network, &domain).unwrap();
    let mut model = Model::new();
    let x = model.continuous("x", -1.0, 1.0).unwrap();
    let error = Embedding::new(&network, &bounds).add(&mut model, &[x.into()]).unwrap_err();
    assert!(matches!(error, Error::UnsupportedActivation { .. }));
}

#[test]
fn models_refuse_what_is_no_figure() {
    let mut model = Model::new();
    let x = model.continuous("x", 0.0, 1.0).unwrap();
    assert!(matches!(model.add((f64::NAN * x).at_most(1.0)), Err(Error::InvalidModelRow { .. })));
    assert!(matches!(model.add(Linear::from(x).at_most(f64::NAN)), Err(Error::InvalidModelRow { .. })));
    let mut other = Model::new();
    assert!(matches!(other.add(Linear::from(x).at_most(1.0)), Err(Error::UnknownVariable { .. })));
    let limits = Limits { gap: f64::NAN, ..Limits::default() };
    assert!(matches!(limits.check(), Err(Error::InvalidOption { name: "gap", .. })));
}
