//! The default profiler: one state per server, one network for all of its tenants.
//!
//! With n_j instances of a tenant of application a_j at rate λ_j each, a server has the state
//!
//! h = Σ_j n_j · ψ(a_j, λ_j, ln λ_j) / 16 in R^d,
//!
//! over *all* its tenants, and tenant i the service time
//!
//! ln T_ik = ln base_k(a_i) + own_k(a_i, λ_i, ln λ_i) + f_k(h; a_i), k of mean, p75, p95,
//!
//! where ψ and own are outputs of one *request network* and f is one ReLU network of h with three outputs an application. Hence:
//!
//! - what belongs to a request alone, ψ and own, are constants ([`ServerState::terms`]) of any optimisation;
//! - h is exactly linear in instances: a tenant split in two at one rate, or two merged, changes nothing;
//! - one network a server, however many tenants, and no exponential: a promise of D seconds is a bound on one output.
//!
//! A *monotone* one predicts no tenant to be faster when instances are added: ψ ≥ 0 and no weight on a path from h to an output is
//! negative. With ReLU(x) alone it would be convex; so half of its units are −ReLU(−x) ([`ServerState::signs`]).
//!
//! The sum over a set follows M. Zaheer et al., "Deep Sets", NeurIPS, 2017, arXiv:1703.06114; monotone networks with units of both
//! curvatures D. Runje, S. M. Shankaranarayana, "Constrained monotonic neural networks", ICML, 2023, arXiv:2205.11775.

mod compiled;

use ndarray::{Array1, Array2, ArrayView1, s};
use serde::{Deserialize, Serialize};

pub use compiled::{CompiledHead, CompiledServer, CompiledTerms};

use crate::network::{Activation, Network};
use crate::profiler::{Load, LogTimes, Profiler, uncrossed};
use crate::weights::Weights;
use crate::{Error, Result};

/// By what instances are divided in h.
pub const INSTANCES_SCALE: f64 = 16.0;
/// By what the rate is divided before ψ, requests per second.
pub const RATE_SCALE: f64 = 10.0;
/// The least rate of which a logarithm is taken, requests per second.
const LEAST_RATE: f64 = 1e-3;

/// The shape of a [`ServerState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerStateShape {
    /// Length of an application's embedding. Default 5.
    pub embedding: usize,
    /// Hidden widths of the request network. Default 50, 25.
    pub request: Vec<usize>,
    /// d, the length of h. Default 8.
    pub state: usize,
    /// Hidden widths of the network of h, each even where it is monotone. Default 32, 16.
    pub head: Vec<usize>,
    /// Whether more instances are never faster. Default no.
    pub monotone: bool,
}

impl Default for ServerStateShape {
    fn default() -> Self {
        Self { embedding: 5, request: vec![50, 25], state: 8, head: vec![32, 16], monotone: false }
    }
}

impl ServerStateShape {
    /// Widths of the request network: embedding, rate and ln rate → d + 3.
    pub fn request_widths(&self) -> Vec<usize> {
        [&[self.embedding + 2], &self.request[..], &[self.state + 3]].concat()
    }

    /// Widths of the network of h: d → apps × 3.
    pub fn head_widths(&self, apps: usize) -> Vec<usize> {
        [&[self.state], &self.head[..], &[3 * apps]].concat()
    }

    /// Refuses a shape that no network can have.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`].
    pub fn check(&self) -> Result<()> {
        let widths = self.request.iter().chain(&self.head).chain([&self.embedding, &self.state]);
        match widths.copied().find(|width| !(1..=4096).contains(width)) {
            Some(width) => {
                Err(Error::InvalidSetting { name: "width", value: width.to_string(), required: "from 1 to 4096" })
            }
            None => Ok(()),
        }
    }
}

/// What depends on a request alone: its application and its rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTerms {
    /// ψ / 16: what one instance adds to h (d).
    pub state: Array1<f64>,
    /// What is added to its own ln(T / base), in the order of [`neuro_data::Sla::ALL`].
    pub own: [f64; 3],
}

/// A trained profiler as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerState {
    shape: ServerStateShape,
    apps: Vec<String>,
    /// Seconds, by application and statistic.
    base_s: Vec<[f64; 3]>,
    /// apps × embedding.
    embedding: Array2<f64>,
    request: Network,
    head: Network,
}

impl ServerState {
    /// Puts one together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidNetwork`] if the pieces do not fit, or it is to be monotone and is not; [`Error::InvalidLayer`] for an embedding
    /// or base times that are not finite and, the latter, above 0.
    pub fn new(
        shape: ServerStateShape,
        apps: Vec<String>,
        base_s: Vec<[f64; 3]>,
        embedding: Array2<f64>,
        request: Network,
        head: Network,
    ) -> Result<Self> {
        let widths = |network: &Network| -> Vec<usize> {
            std::iter::once(network.inputs()).chain(network.layers().iter().map(|layer| layer.outputs())).collect()
        };
        let refuse = |problem: &str| Err(Error::InvalidNetwork { layer: 0, problem: problem.to_owned() });
        if widths(&request) != shape.request_widths() || widths(&head) != shape.head_widths(apps.len()) {
            return refuse("the widths are not those of the shape");
        }
        if embedding.dim() != (apps.len(), shape.embedding) || base_s.len() != apps.len() {
            return refuse("embedding, base times and applications differ in number");
        }
        if !embedding.iter().all(|x| x.is_finite()) || !base_s.iter().flatten().all(|b| b.is_finite() && *b > 0.0) {
            return refuse("an embedding or a base time is not a number");
        }
        let piecewise_linear = head
            .layers()
            .iter()
            .rev()
            .enumerate()
            .all(|(i, layer)| layer.activation() == if i == 0 { Activation::Identity } else { Activation::Relu });
        if !piecewise_linear {
            return refuse("the network of h must have ReLU units and a linear output");
        }
        let model = Self { shape, apps, base_s, embedding, request, head };
        if model.shape.monotone && !model.has_monotone_weights() {
            return refuse("it is said to be monotone, but has weights that are not");
        }
        Ok(model)
    }

    /// Its shape.
    pub fn shape(&self) -> &ServerStateShape {
        &self.shape
    }

    /// Base times of an application: seconds of mean, p75 and p95.
    pub fn base_s(&self, app: usize) -> [f64; 3] {
        self.base_s[app]
    }

    /// Embeddings, apps × embedding.
    pub fn embedding(&self) -> &Array2<f64> {
        &self.embedding
    }

    /// The request network: (embedding, rate / 10, ln rate) → (ψ, own). The last layer gives ψ through ReLU where the profiler is
    /// monotone; that is not part of this network.
    pub fn request(&self) -> &Network {
        &self.request
    }

    /// f: h (d) → (apps × 3), ReLU; output 3·app + statistic is that part of ln(T / base) which depends on h.
    pub fn head(&self) -> &Network {
        &self.head
    }

    /// What predicts of every server what this one predicts where each tenant has `headroom` times its instances more: h is linear in
    /// them, so f takes (1 + headroom)·h.
    pub fn with_headroom(&self, headroom: f64) -> Self {
        Self { head: self.head.of_scaled_input(1.0 + headroom), ..self.clone() }
    }

    /// The constants of a request.
    ///
    /// # Panics
    ///
    /// If there is no such application.
    pub fn terms(&self, app: usize, rate: f64) -> RequestTerms {
        let mut input: Vec<f64> = self.embedding.row(app).to_vec();
        input.extend(rate_features(rate));
        let output = self.request.layers().iter().fold(Array1::from(input), |x, layer| layer.forward(x.view()));
        let psi = output.slice(s![..self.shape.state]);
        let lowest = if self.shape.monotone { 0.0 } else { f64::NEG_INFINITY };
        let own = output.slice(s![self.shape.state..]);
        RequestTerms { state: psi.mapv(|x| x.max(lowest) / INSTANCES_SCALE), own: [own[0], own[1], own[2]] }
    }

    /// h of a server (d).
    ///
    /// Tenants of one application and rate are added up first and all in a fixed order, so that neither their order nor splitting one
    /// into several changes a single bit, as long as instances are whole numbers.
    pub fn state(&self, server: &[Load]) -> Array1<f64> {
        let mut loads = server.to_vec();
        loads.sort_by(|a, b| a.app.cmp(&b.app).then(a.rate.total_cmp(&b.rate)));
        let mut h = Array1::zeros(self.shape.state);
        for equal in loads.chunk_by(|a, b| a.app == b.app && a.rate == b.rate) {
            let instances: f64 = equal.iter().map(|load| load.instances).sum();
            h.scaled_add(instances, &self.terms(equal[0].app, equal[0].rate).state);
        }
        h
    }

    /// Whether each unit of each hidden layer of [`ServerState::head`] stands for ReLU(x) (+1) or, its signs turned, for −ReLU(−x)
    /// (−1): the first half of a layer is the former, the rest the latter.
    ///
    /// In a monotone profiler the sign of unit i, times that of unit j of the layer before (+1 of h), times their weight is never
    /// negative: a unit of +1 only ever needs to be bounded from below, one of −1 from above.
    pub fn signs(&self) -> Vec<Vec<f64>> {
        self.shape.head.iter().map(|width| unit_signs(*width)).collect()
    }

    fn has_monotone_weights(&self) -> bool {
        let signs = self.signs();
        self.head.layers().iter().enumerate().all(|(i, layer)| {
            layer.weights().indexed_iter().all(|((to, from), w)| {
                let before = if i == 0 { 1.0 } else { signs[i - 1][from] };
                let after = signs.get(i).map_or(1.0, |signs| signs[to]);
                w * before * after >= 0.0
            })
        })
    }

    /// What the network of h says: (apps × 3).
    fn outputs(&self, h: ArrayView1<'_, f64>) -> Array1<f64> {
        self.head.layers().iter().fold(h.to_owned(), |x, layer| layer.forward(x.view()))
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("embedding", self.embedding.clone().into_dyn());
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights.insert_network("request", &self.request);
        weights.insert_network("head", &self.head);
        weights
    }

    pub(crate) fn from_weights(shape: ServerStateShape, apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        shape.check()?;
        let embedding = weights.take_matrix("embedding", apps.len(), shape.embedding)?;
        let base_s = base_times(&weights.take_matrix("base_s", apps.len(), 3)?);
        let request =
            weights.take_network("request", &shape.request_widths(), Activation::Relu, Activation::Identity)?;
        let head =
            weights.take_network("head", &shape.head_widths(apps.len()), Activation::Relu, Activation::Identity)?;
        Self::new(shape, apps, base_s, embedding, request, head)
    }
}

impl Profiler for ServerState {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let outputs = self.outputs(self.state(server).view());
        let of = |load: &Load| {
            let own = self.terms(load.app, load.rate).own;
            let base = self.base_s[load.app];
            uncrossed(std::array::from_fn(|k| base[k].ln() + own[k] + outputs[3 * load.app + k]))
        };
        Ok(server.iter().map(of).collect())
    }
}

/// What ψ is given of a rate: rate / 10 and ln rate.
pub(crate) fn rate_features(rate: f64) -> [f64; 2] {
    [rate / RATE_SCALE, rate.max(LEAST_RATE).ln()]
}

/// +1 for the first half of the units of a layer, −1 for the rest.
pub(crate) fn unit_signs(width: usize) -> Vec<f64> {
    (0..width).map(|i| if i < width.div_ceil(2) { 1.0 } else { -1.0 }).collect()
}

/// Base times as a matrix, apps × 3.
pub(crate) fn base_matrix(base_s: &[[f64; 3]]) -> Array2<f64> {
    Array2::from_shape_fn((base_s.len(), 3), |(app, k)| base_s[app][k])
}

/// And back.
pub(crate) fn base_times(matrix: &Array2<f64>) -> Vec<[f64; 3]> {
    matrix.rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect()
}

#[cfg(test)]
#[cfg(feature = "candle")]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::synthetic;
    use crate::train::{ServerStateParams, train_server_state};

    fn model(monotone: bool) -> ServerState {
        let set = synthetic::training_set(40, 0.0, 3);
        let runs: Vec<usize> = (0..40).collect();
        let shape = ServerStateShape { monotone, ..ServerStateShape::default() };
        let params = ServerStateParams { shape, steps: 200, ..ServerStateParams::default() };
        train_server_state(&set, &runs, &[], &params, None, &mut ()).unwrap().model
    }

    fn servers() -> impl Strategy<Value = Vec<Load>> {
        let load = (0..4usize, 1..20u32, 0.1..100.0f64);
        let load = load.prop_map(|(app, n, rate)| Load { app, instances: f64::from(n), rate });
        proptest::collection::vec(load, 1..12)
    }

    #[test]
    fn splitting_and_order_change_nothing() {
        let model = model(false);
        proptest!(ProptestConfig::with_cases(64), |(server in servers(), part in 0.0..1.0f64, turn in 0..12usize)| {
            let times = model.log_times(&server).unwrap();
            let mut other = server.clone();
            other.rotate_left(turn % server.len());
            let mut expected = times.clone();
            expected.rotate_left(turn % server.len());
            prop_assert_eq!(&model.log_times(&other).unwrap(), &expected);
            // The first tenant in two at one rate.
            let split = (server[0].instances * part).floor();
            let mut two = server.clone();
            two[0].instances -= split;
            two.push(Load { instances: split, ..server[0] });
            let found = model.log_times(&two).unwrap();
            prop_assert_eq!(&found[..server.len()], &times[..]);
            prop_assert_eq!(found[server.len()], times[0]);
        });
    }

    #[test]
    fn the_compiled_form_agrees_and_its_slopes_are_differences() {
        for monotone in [false, true] {
            let model = model(monotone);
            let head = CompiledHead::new(&model);
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let (mut close, mut compared) = (0, 0);
            for _ in 0..30 {
                let server = synthetic::server(&mut rng);
                let mut compiled = head.empty();
                for load in &server {
                    compiled.add(&head.terms(&model.terms(load.app, load.rate)), load.instances as f32);
                }
                let h = model.state(&server);
                let exact = model.outputs(h.view());
                assert_eq!(head.server(&h).outputs(&head).len(), exact.len());
                let (outputs, slopes) = compiled.jacobian(&head);
                for (found, exact) in outputs.iter().zip(&exact) {
                    assert!((f64::from(*found) - exact).abs() < 1e-4 * (1.0 + exact.abs()), "{found} {exact}");
                }
                for k in 0..model.shape().state {
                    let step = 1e-7;
                    let mut up = h.clone();
                    up[k] += step;
                    let differences = (model.outputs(up.view()) - &exact) / step;
                    for (i, difference) in differences.iter().enumerate() {
                        let slope = f64::from(slopes[i * 16 + k]);
                        close += usize::from((slope - difference).abs() < 1e-3 * (1.0 + difference.abs()));
                        compared += 1;
                    }
                }
            }
            // In single precision a unit near its knot may be on the other side of it.
            assert!(close * 50 >= compared * 49, "{close} of {compared}");
        }
    }

    #[test]
    fn headroom_is_more_of_every_tenant() {
        for monotone in [false, true] {
            let model = model(monotone);
            let cautious = model.with_headroom(0.15);
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            for _ in 0..20 {
                let server = synthetic::server(&mut rng);
                let more: Vec<Load> =
                    server.iter().map(|load| Load { instances: 1.15 * load.instances, ..*load }).collect();
                let (found, expected) = (cautious.log_times(&server).unwrap(), model.log_times(&more).unwrap());
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
                }
                let plain = model.log_times(&server).unwrap();
                assert!(!monotone || found.iter().flatten().zip(plain.iter().flatten()).all(|(c, p)| c >= p));
            }
        }
    }

    #[test]
    fn a_monotone_profiler_with_a_wrong_weight_is_refused() {
        let model = model(true);
        let mut weights = model.to_weights();
        let mut first = weights.take_matrix("head.0.weight", 32, 8).unwrap();
        assert!(ServerState::from_weights(model.shape.clone(), model.apps.clone(), &mut model.to_weights()).is_ok());
        // Unit 0 is ReLU(x): its weights may not be negative.
        first[[0, 0]] = -0.1;
        weights.insert("head.0.weight", first.into_dyn());
        let error = ServerState::from_weights(model.shape.clone(), model.apps.clone(), &mut weights).unwrap_err();
        assert!(error.to_string().contains("monotone"), "{error}");
    }
}
