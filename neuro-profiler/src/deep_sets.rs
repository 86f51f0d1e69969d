//! The published network ("Hydra") and its variants: one evaluation a tenant, given what else runs on its server.
//!
//! A tenant of application a with n instances at rate λ each, beside others summed up by application b (n_b, λ_b), has the time
//!
//! T_k = scale_k(a) · exp(ρ_k(h, e_a, n/16, λ/10)), h = Σ_b φ(e_b, n_b/16, λ_b/10),
//!
//! with an embedding e shared by both. An auxiliary head on (e_a, n/16, λ/10) predicts counters and is of use in training alone.
//! Variants: h made of sums and maxima, and a flat network on one-hot features. All layers but the last are followed by GELU.
//!
//! # References
//!
//! - Javeed, F. Fodor, G. Dán, NeuRO, INFOCOM, 2026 (the network).
//! - M. Zaheer et al., "Deep Sets", NeurIPS, 2017, arXiv:1703.06114.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use crate::network::{Activation, Network};
use crate::profiler::{Load, LogTimes, Profiler, context_of, uncrossed};
use crate::server_state::{INSTANCES_SCALE, RATE_SCALE, base_matrix, base_times};
use crate::weights::Weights;
use crate::{Error, Result};

/// How the others on a server become features of fixed length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Σ φ, as published.
    #[default]
    Sum,
    /// Σ φ and max φ.
    SumMax,
    /// No φ: one-hot application, n/16, λ/10, and of the others Σ n/16, the mean of λ/10 over instances, and Σ nλ/160.
    Flat,
}

/// The shape of a [`DeepSets`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSetsShape {
    /// Length of an application's embedding. Default 5.
    pub embedding: usize,
    /// Hidden widths of φ. Default 50, 25.
    pub phi: Vec<usize>,
    /// Outputs of φ. Default 5.
    pub context: usize,
    /// Hidden widths of ρ. Default 50, 25; of the flat variant 100, 50, 25.
    pub rho: Vec<usize>,
    /// Hidden widths of the head that predicts cpu-clock, cache misses and page faults; none where empty. Default 50, 10.
    pub counters: Vec<usize>,
    /// Default sums.
    pub pooling: Pooling,
}

impl Default for DeepSetsShape {
    fn default() -> Self {
        Self {
            embedding: 5,
            phi: vec![50, 25],
            context: 5,
            rho: vec![50, 25],
            counters: vec![50, 10],
            pooling: Pooling::Sum,
        }
    }
}

impl DeepSetsShape {
    /// Without the auxiliary head, with sums and maxima.
    pub fn sum_max() -> Self {
        Self { counters: Vec::new(), pooling: Pooling::SumMax, ..Self::default() }
    }

    /// The flat network.
    pub fn flat() -> Self {
        Self { rho: vec![100, 50, 25], counters: Vec::new(), pooling: Pooling::Flat, ..Self::default() }
    }

    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self.pooling {
            Pooling::Sum => "paper",
            Pooling::SumMax => "paper-sum-max",
            Pooling::Flat => "paper-flat",
        }
    }

    /// Widths of φ; `None` of the flat variant.
    pub fn phi_widths(&self) -> Option<Vec<usize>> {
        (self.pooling != Pooling::Flat).then(|| [&[self.embedding + 2], &self.phi[..], &[self.context]].concat())
    }

    /// Widths of ρ.
    pub fn rho_widths(&self, apps: usize) -> Vec<usize> {
        let inputs = match self.pooling {
            Pooling::Sum => self.context + self.embedding + 2,
            Pooling::SumMax => 2 * self.context + self.embedding + 2,
            Pooling::Flat => apps + 5,
        };
        [&[inputs], &self.rho[..], &[3]].concat()
    }

    /// Widths of the head of counters; `None` where there is none.
    pub fn counter_widths(&self) -> Option<Vec<usize>> {
        let there = !self.counters.is_empty() && self.pooling != Pooling::Flat;
        there.then(|| [&[self.embedding + 2], &self.counters[..], &[3]].concat())
    }

    /// Refuses a shape that no network can have.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`].
    pub fn check(&self) -> Result<()> {
        let widths = self.phi.iter().chain(&self.rho).chain(&self.counters).chain([&self.embedding, &self.context]);
        match widths.copied().find(|width| !(1..=4096).contains(width)) {
            Some(width) => {
                Err(Error::InvalidSetting { name: "width", value: width.to_string(), required: "from 1 to 4096" })
            }
            None => Ok(()),
        }
    }
}

/// A trained network as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct DeepSets {
    shape: DeepSetsShape,
    apps: Vec<String>,
    scale_s: Vec<[f64; 3]>,
    embedding: Array2<f64>,
    phi: Option<Network>,
    rho: Network,
    counters: Option<Network>,
    counter_scale: [f64; 3],
}

/// The pieces of a [`DeepSets`].
#[derive(Clone, Debug, PartialEq)]
pub struct DeepSetsParts {
    /// Its shape.
    pub shape: DeepSetsShape,
    /// Applications, in the order of the embedding's rows.
    pub apps: Vec<String>,
    /// By what targets were divided, seconds, by application and statistic.
    pub scale_s: Vec<[f64; 3]>,
    /// apps × embedding.
    pub embedding: Array2<f64>,
    /// φ.
    pub phi: Option<Network>,
    /// ρ.
    pub rho: Network,
    /// The head of counters.
    pub counters: Option<Network>,
    /// By what counters were divided.
    pub counter_scale: [f64; 3],
}

impl DeepSets {
    /// Puts one together.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for a shape that cannot be, [`Error::InvalidNetwork`] if the pieces do not fit it.
    pub fn new(parts: DeepSetsParts) -> Result<Self> {
        let DeepSetsParts { shape, apps, scale_s, embedding, phi, rho, counters, counter_scale } = parts;
        shape.check()?;
        let widths = |network: &Network| -> Vec<usize> {
            std::iter::once(network.inputs()).chain(network.layers().iter().map(|layer| layer.outputs())).collect()
        };
        let refuse = |problem: &str| Err(Error::InvalidNetwork { layer: 0, problem: problem.to_owned() });
        let fits = phi.as_ref().map(widths) == shape.phi_widths()
            && widths(&rho) == shape.rho_widths(apps.len())
            && counters.as_ref().map(widths) == shape.counter_widths();
        if !fits {
            return refuse("the widths are not those of the shape");
        }
        if embedding.dim() != (apps.len(), shape.embedding) || scale_s.len() != apps.len() {
            return refuse("embedding, scales and applications differ in number");
        }
        let positive = scale_s.iter().flatten().chain(&counter_scale).all(|s| s.is_finite() && *s > 0.0);
        if !(positive && embedding.iter().all(|x| x.is_finite())) {
            return refuse("an embedding or a scale is not a number");
        }
        Ok(Self { shape, apps, scale_s, embedding, phi, rho, counters, counter_scale })
    }

    /// Its shape.
    pub fn shape(&self) -> &DeepSetsShape {
        &self.shape
    }

    /// By what targets of an application were divided: seconds of mean, p75 and p95.
    pub fn scale_s(&self, app: usize) -> [f64; 3] {
        self.scale_s[app]
    }

    /// Embeddings, apps × embedding.
    pub fn embedding(&self) -> &Array2<f64> {
        &self.embedding
    }

    /// φ: (embedding, n/16, λ/10) → context; `None` of the flat variant.
    pub fn phi(&self) -> Option<&Network> {
        self.phi.as_ref()
    }

    /// ρ: (h, embedding, n/16, λ/10) → ln(T / scale) of mean, p75 and p95; of the flat variant its own features.
    pub fn rho(&self) -> &Network {
        &self.rho
    }

    /// The head of counters, (embedding, n/16, λ/10) → counters / their scales, and the scales.
    pub fn counters(&self) -> Option<(&Network, [f64; 3])> {
        self.counters.as_ref().map(|network| (network, self.counter_scale))
    }

    /// (embedding, n/16, λ/10).
    fn entry(&self, load: &Load) -> Array1<f64> {
        let mut entry = self.embedding.row(load.app).to_vec();
        entry.extend([load.instances / INSTANCES_SCALE, load.rate / RATE_SCALE]);
        Array1::from(entry)
    }

    /// h of the others on a server; an empty one has h = 0.
    pub fn context(&self, others: &[Load]) -> Array1<f64> {
        let d = self.shape.context;
        let mut sum: Array1<f64> = Array1::zeros(d);
        let mut max: Option<Array1<f64>> = None;
        for other in others {
            if let Some(phi) = &self.phi {
                let value = run(phi, self.entry(other));
                sum += &value;
                max = Some(match max {
                    Some(max) => ndarray::Zip::from(&max).and(&value).map_collect(|a, b| a.max(*b)),
                    None => value,
                });
            }
        }
        match self.shape.pooling {
            Pooling::SumMax => sum.iter().copied().chain(max.unwrap_or_else(|| Array1::zeros(d))).collect(),
            Pooling::Sum | Pooling::Flat => sum,
        }
    }

    /// The times of a tenant beside others that are summed up by application.
    ///
    /// # Panics
    ///
    /// If there is no such application.
    pub fn log_times_beside(&self, target: &Load, others: &[Load]) -> LogTimes {
        let input: Array1<f64> = match self.shape.pooling {
            Pooling::Flat => Array1::from(flat_features(self.apps.len(), target, others)),
            _ => self.context(others).into_iter().chain(self.entry(target)).collect(),
        };
        let output = run(&self.rho, input);
        uncrossed(std::array::from_fn(|k| self.scale_s[target.app][k].ln() + output[k]))
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("embedding", self.embedding.clone().into_dyn());
        weights.insert("scale_s", base_matrix(&self.scale_s).into_dyn());
        weights.insert("counter_scale", Array1::from(self.counter_scale.to_vec()).into_dyn());
        weights.insert_network("rho", &self.rho);
        for (name, network) in [("phi", &self.phi), ("counters", &self.counters)] {
            if let Some(network) = network {
                weights.insert_network(name, network);
            }
        }
        weights
    }

    pub(crate) fn from_weights(shape: DeepSetsShape, apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        shape.check()?;
        let (gelu, linear) = (Activation::Gelu, Activation::Identity);
        let embedding = weights.take_matrix("embedding", apps.len(), shape.embedding)?;
        let scale_s = base_times(&weights.take_matrix("scale_s", apps.len(), 3)?);
        let scale = weights.take_vector("counter_scale", 3)?;
        let rho = weights.take_network("rho", &shape.rho_widths(apps.len()), gelu, linear)?;
        let phi = shape.phi_widths().map(|widths| weights.take_network("phi", &widths, gelu, linear)).transpose()?;
        let counters =
            shape.counter_widths().map(|widths| weights.take_network("counters", &widths, gelu, linear)).transpose()?;
        let counter_scale = [scale[0], scale[1], scale[2]];
        Self::new(DeepSetsParts { shape, apps, scale_s, embedding, phi, rho, counters, counter_scale })
    }
}

impl Profiler for DeepSets {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let of = |(i, target): (usize, &Load)| self.log_times_beside(target, &context_of(server, i));
        Ok(server.iter().enumerate().map(of).collect())
    }
}

/// What the flat variant is given.
pub(crate) fn flat_features(apps: usize, target: &Load, others: &[Load]) -> Vec<f64> {
    let mut features: Vec<f64> = (0..apps).map(|app| if app == target.app { 1.0 } else { 0.0 }).collect();
    let instances: f64 = others.iter().map(|other| other.instances).sum();
    let load: f64 = others.iter().map(|other| other.instances * other.rate).sum();
    let mean_rate = if instances > 0.0 { load / instances } else { 0.0 };
    features.extend([target.instances / INSTANCES_SCALE, target.rate / RATE_SCALE]);
    features.extend([instances / INSTANCES_SCALE, mean_rate / RATE_SCALE, load / INSTANCES_SCALE / RATE_SCALE]);
    features
}

fn run(network: &Network, input: Array1<f64>) -> Array1<f64> {
    network.layers().iter().fold(input, |x, layer| layer.forward(x.view()))
}
