//! Training of [`ServerState`] on batches of whole runs.

use std::ops::Range;

use ndarray::Array2;
use neuro_data::summary::quantile;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::adam::{Adam, cosine};
use super::kernels::Matrix;
use super::loss::{Target, huber};
use super::mlp::{Mlp, Start, Trace, normal};
use super::observer::{Observer, Progress};
use crate::network::Activation;
use crate::profiler::Profiler;
use crate::server_state::{INSTANCES_SCALE, ServerState, ServerStateShape, rate_features, unit_signs};
use crate::training_set::{RunSample, TrainingSet};
use crate::{Error, Result};

/// How a [`ServerState`] is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerStateParams {
    /// Its shape.
    pub shape: ServerStateShape,
    /// Steps, at least 1. Default 40,000.
    pub steps: usize,
    /// Runs a batch, at least 1. Default 16.
    pub batch: usize,
    /// Highest learning rate, above 0. Default 6e-3.
    pub rate: f64,
    /// Steps over which it rises. Default 100.
    pub warm_up: usize,
    /// Where Huber's loss on the logarithm turns linear, above 0. Default 0.05.
    pub delta: f64,
    /// Longest gradient. Default 1.
    pub clip: f64,
    /// By what share of it, times the learning rate, each weight of the network of h shrinks in a step, at least 0. Default 0.
    ///
    /// Small weights cancel less: bounds on the network are then tighter, and what is proved with them is proved faster (I. Loshchilov,
    /// F. Hutter, "Decoupled weight decay regularization", ICLR, 2019, arXiv:1711.05101; K. Y. Xiao et al., "Training for faster
    /// adversarial robustness verification via inducing ReLU stability", ICLR, 2019, arXiv:1809.03008).
    #[serde(default)]
    pub decay: f64,
    /// Looks at the validation runs; the training stops after `patience` of them without progress. Default 40.
    pub checks: usize,
    /// Default 40: never before the end.
    pub patience: usize,
    /// Seed of initial weights and of the order of runs. Default 1.
    pub seed: u64,
}

impl Default for ServerStateParams {
    fn default() -> Self {
        Self {
            shape: ServerStateShape::default(),
            steps: 40_000,
            batch: 16,
            rate: 6e-3,
            warm_up: 100,
            delta: 0.05,
            clip: 1.0,
            decay: 0.0,
            checks: 40,
            patience: 40,
            seed: 1,
        }
    }
}

impl ServerStateParams {
    fn check(&self) -> Result<()> {
        self.shape.check()?;
        let positive = |name, value: f64| {
            let required = "finite and above 0";
            if value.is_finite() && value > 0.0 { Ok(()) } else { Err(Error::InvalidOption { name, value, required }) }
        };
        positive("steps", self.steps as f64)?;
        positive("batch", self.batch as f64)?;
        positive("checks", self.checks as f64)?;
        positive("rate", self.rate)?;
        positive("delta", self.delta)?;
        positive("clip", self.clip)?;
        if !(self.decay.is_finite() && self.decay >= 0.0) {
            return Err(Error::InvalidOption { name: "decay", value: self.decay, required: "finite and at least 0" });
        }
        Ok(())
    }
}

/// A trained profiler and how it came about.
#[derive(Clone, Debug)]
pub struct Trained<M> {
    /// The profiler as it was at the best check.
    pub model: M,
    /// What was reported, in order.
    pub history: Vec<Progress>,
    /// Its validation error (see [`Progress`]).
    pub validation_error: Option<f64>,
}

/// Trains on some runs of a set and keeps what is best on others; on the last weights where there are no others.
///
/// With `start`, training goes on from that profiler's weights: applications that it knows keep their embeddings and outputs, new ones
/// are added. Base times are those of the new runs, where there are any.
///
/// # Errors
///
/// [`Error::InvalidOption`], [`Error::InvalidSetting`]; [`Error::UnmeasuredApp`] for an application without a single measurement among
/// the training runs; [`Error::Diverged`] if no finite weights come out.
pub fn train_server_state(
    set: &TrainingSet,
    train: &[usize],
    validation: &[usize],
    params: &ServerStateParams,
    start: Option<&ServerState>,
    observer: &mut dyn Observer,
) -> Result<Trained<ServerState>> {
    params.check()?;
    let mut trainer = ServerStateTrainer::new(set, train, params, start)?;
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed ^ 0x5eed);
    let validation: Vec<&RunSample> = validation.iter().map(|run| &set.runs[*run]).collect();
    let every = params.steps.div_ceil(params.checks);
    let mut since = 0;
    let mut order: Vec<usize> = Vec::new();
    let mut history = Vec::new();
    let mut best: Option<(f64, ServerState)> = None;
    let (mut loss, mut stale) = (0.0, 0);
    let mut batch = Vec::with_capacity(params.batch);
    for step in 0..params.steps {
        batch.clear();
        while batch.len() < params.batch {
            let next = order.pop().unwrap_or_else(|| {
                order = (0..train.len()).collect();
                order.shuffle(&mut rng);
                order.pop().unwrap_or_default()
            });
            batch.push(next);
        }
        let rate = cosine(params.rate, step, params.warm_up.min(params.steps), params.steps);
        loss += trainer.step(&batch, rate as f32);
        since += 1;
        let done = step + 1;
        if done % every == 0 || done == params.steps {
            // What was best before the weights were lost is kept, if there is any.
            if !trainer.parameters.iter().all(|weight| weight.is_finite()) {
                break;
            }
            let model = trainer.model()?;
            let error = median_error(&model, &validation)?;
            let progress = Progress {
                seed: params.seed,
                step: done,
                steps: params.steps,
                train_loss: loss / f64::from(since),
                validation_error: error,
            };
            (loss, since) = (0.0, 0);
            history.push(progress);
            let stop = observer.on_progress(&progress).is_break();
            let better = best.as_ref().is_none_or(|(least, _)| error.is_none_or(|error| error < *least));
            stale = if better { 0 } else { stale + 1 };
            if better {
                best = Some((error.unwrap_or(f64::INFINITY), model));
            }
            if stop || stale >= params.patience {
                break;
            }
        }
    }
    let (error, model) = best.ok_or(Error::Diverged { step: params.steps })?;
    Ok(Trained { model, history, validation_error: Some(error).filter(|error| error.is_finite()) })
}

/// Median of the absolute relative error over all tenants and statistics of some runs; `None` if there are none.
pub(super) fn median_error(model: &dyn Profiler, runs: &[&RunSample]) -> Result<Option<f64>> {
    let mut errors = Vec::new();
    for run in runs {
        for (tenant, log_times) in run.tenants.iter().zip(model.log_times(&run.server())?) {
            for (seconds, log_time) in tenant.seconds.iter().zip(log_times) {
                errors.extend(seconds.map(|seconds| (log_time.exp() / seconds - 1.0).abs()));
            }
        }
    }
    let median = neuro_data::summary::quantile(&mut errors, 0.5);
    Ok(Some(median).filter(|median| !median.is_nan()))
}

/// A tenant as the trainer sees it.
#[derive(Clone, Copy, Debug)]
struct Row {
    app: usize,
    /// Instances / 16.
    share: f32,
    rate: [f32; 2],
    targets: [Target; 3],
}

/// One training step by step; [`train_server_state`] is what drives it.
pub struct ServerStateTrainer<'a> {
    params: &'a ServerStateParams,
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
    /// The tenants of each run.
    rows: Vec<Row>,
    runs: Vec<Range<usize>>,
    request: Mlp,
    head: Mlp,
    /// The embeddings, (apps, embedding), then both networks.
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    /// Where a weight may not be negative (+1) or positive (−1), and its index.
    signs: Vec<(usize, f32)>,
    adam: Adam,
    inputs: Matrix,
    states: Matrix,
    input_gradient: Matrix,
    state_gradient: Matrix,
    request_trace: Trace,
    head_trace: Trace,
}

impl<'a> ServerStateTrainer<'a> {
    /// Initial weights for the runs `train` of a set, or those of `start`.
    ///
    /// # Errors
    ///
    /// As [`train_server_state`].
    pub fn new(
        set: &TrainingSet,
        train: &[usize],
        params: &'a ServerStateParams,
        start: Option<&ServerState>,
    ) -> Result<Self> {
        let shape = &params.shape;
        let mut apps = start.map_or_else(Vec::new, |model| model.apps().to_vec());
        apps.extend(set.apps.iter().filter(|app| start.is_none_or(|model| model.app(app).is_err())).cloned());
        let measured = set.base_s(train);
        let base = |app: &String| {
            let position = set.apps.iter().position(|other| other == app);
            let own = position.and_then(|position| measured[position]);
            let old = || start.and_then(|model| Some(model.base_s(model.app(app).ok()?)));
            own.or_else(old).ok_or_else(|| Error::UnmeasuredApp { app: app.clone() })
        };
        let base_s: Vec<[f64; 3]> = apps.iter().map(base).collect::<Result<_>>()?;
        let place: Vec<usize> =
            set.apps.iter().map(|app| apps.iter().position(|other| other == app).unwrap_or_default()).collect();

        let mut rows = Vec::new();
        let mut runs = Vec::new();
        for run in train {
            let begin = rows.len();
            for tenant in &set.runs[*run].tenants {
                let app = place[tenant.load.app];
                let log = |seconds: f64, k: usize| (seconds / base_s[app][k]).ln() as f32;
                let target = |k: usize| match (tenant.seconds[k], tenant.longer_than_s) {
                    (Some(seconds), _) => Target::Known(log(seconds, k)),
                    (None, Some(bound)) => Target::Above(log(bound, k)),
                    (None, None) => Target::Unknown,
                };
                rows.push(Row {
                    app,
                    share: (tenant.load.instances / INSTANCES_SCALE) as f32,
                    rate: rate_features(tenant.load.rate).map(|x| x as f32),
                    targets: [target(0), target(1), target(2)],
                });
            }
            runs.push(begin..rows.len());
        }
        if rows.is_empty() {
            return Err(Error::NoRuns { servers: set.servers.join(", ") });
        }

        let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
        let mut parameters: Vec<f32> = (0..apps.len() * shape.embedding).map(|_| normal(&mut rng) as f32).collect();
        let units = (Activation::Relu, Activation::Identity);
        let request = Mlp::new(&shape.request_widths(), units, Start::Normal, &mut parameters, &mut rng);
        let head = Mlp::new(&shape.head_widths(apps.len()), units, Start::Normal, &mut parameters, &mut rng);
        let signs = if shape.monotone { monotone_signs(shape, &head) } else { Vec::new() };
        if shape.monotone {
            for (index, sign) in &signs {
                parameters[*index] = sign * parameters[*index].abs();
            }
            // ψ starts above 0: a ReLU that is 0 for every request learns nothing.
            for index in request.bias_indices(shape.request.len()).take(shape.state) {
                parameters[index] = 0.5;
            }
        }
        if let Some(model) = start {
            if model.shape() != shape {
                let required = "the shape of the profiler that training goes on from";
                return Err(Error::InvalidSetting { name: "shape", value: format!("{shape:?}"), required });
            }
            for ((app, k), x) in model.embedding().indexed_iter() {
                parameters[app * shape.embedding + k] = *x as f32;
            }
            request.adopt(model.request(), &mut parameters);
            head.adopt(model.head(), &mut parameters);
        }
        let count = parameters.len();
        let mut trainer = Self {
            params,
            apps,
            base_s,
            rows,
            runs,
            request,
            head,
            parameters,
            gradient: vec![0.0; count],
            signs,
            adam: Adam::new(count),
            inputs: Matrix::default(),
            states: Matrix::default(),
            input_gradient: Matrix::default(),
            state_gradient: Matrix::default(),
            request_trace: Trace::default(),
            head_trace: Trace::default(),
        };
        if start.is_none() {
            trainer.spread_knots(&mut rng);
        }
        Ok(trainer)
    }

    /// Gives each hidden unit of the head inputs of standard deviation 1 over the training runs, and its knot a place among them.
    ///
    /// h grows with the load of a server: with no bias, knots would lie at an empty server. Where no weight is negative, all units of
    /// ReLU(x) would then be linear and those of −ReLU(−x) zero, for good.
    fn spread_knots(&mut self, rng: &mut ChaCha8Rng) {
        let all: Vec<usize> = (0..self.runs.len()).collect();
        self.loss_and_gradient(&all);
        let layers = self.params.shape.head.len();
        for layer in 0..=layers {
            self.head.forward(&self.parameters, &self.states, &mut self.head_trace);
            let inputs: Vec<Vec<f32>> = (0..all.len())
                .map(|run| {
                    let row = if layer == 0 { self.states.row(run) } else { self.head_trace.layer(layer - 1).row(run) };
                    row.to_vec()
                })
                .collect();
            let mut weights: Vec<Vec<(usize, usize)>> = Vec::new();
            for ((to, from), index) in self.head.weight_indices(layer) {
                weights.resize_with(weights.len().max(to + 1), Vec::new);
                weights[to].push((from, index));
            }
            for (unit, bias) in self.head.bias_indices(layer).enumerate() {
                let sum = |row: &Vec<f32>| -> f64 {
                    weights[unit].iter().map(|(from, index)| f64::from(self.parameters[*index] * row[*from])).sum()
                };
                let mut sums: Vec<f64> = inputs.iter().map(sum).collect();
                let mean = sums.iter().sum::<f64>() / sums.len() as f64;
                let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / sums.len() as f64;
                let scale = 1.0 / variance.sqrt().max(1e-6);
                for (_, index) in &weights[unit] {
                    self.parameters[*index] *= scale as f32;
                }
                let knot = if layer == layers { mean } else { quantile(&mut sums, rng.gen_range(0.02..0.98)) };
                self.parameters[bias] = (-knot * scale) as f32;
            }
        }
    }

    /// One step on a batch of runs, given by their positions among the training runs; the mean loss before it.
    pub fn step(&mut self, batch: &[usize], rate: f32) -> f64 {
        let loss = self.loss_and_gradient(batch);
        self.adam.step(&mut self.parameters, &self.gradient, rate, self.params.clip as f32);
        let kept = 1.0 - rate * self.params.decay as f32;
        if kept < 1.0 {
            for layer in 0..=self.params.shape.head.len() {
                self.head.weight_indices(layer).for_each(|(_, index)| self.parameters[index] *= kept);
            }
        }
        for (index, sign) in &self.signs {
            let weight = &mut self.parameters[*index];
            *weight = sign * (sign * *weight).max(0.0);
        }
        loss
    }

    /// The mean loss of a batch of runs, its gradient left in `self.gradient`.
    fn loss_and_gradient(&mut self, batch: &[usize]) -> f64 {
        let shape = &self.params.shape;
        let (d, e) = (shape.state, shape.embedding);
        let monotone = shape.monotone;
        let count: usize = batch.iter().map(|run| self.runs[*run].len()).sum();
        let rows = || batch.iter().flat_map(|run| self.runs[*run].clone());

        self.inputs.clear(count, e + 2);
        for (i, row) in rows().enumerate() {
            let row = &self.rows[row];
            let input = self.inputs.row_mut(i);
            input[..e].copy_from_slice(&self.parameters[row.app * e..][..e]);
            input[e..e + 2].copy_from_slice(&row.rate);
        }
        self.request.forward(&self.parameters, &self.inputs, &mut self.request_trace);
        self.states.clear(batch.len(), d);
        let mut i = 0;
        for (b, run) in batch.iter().enumerate() {
            for row in &self.rows[self.runs[*run].clone()] {
                let psi = &self.request_trace.output().row(i)[..d];
                for (h, psi) in self.states.row_mut(b).iter_mut().zip(psi) {
                    *h += row.share * if monotone { psi.max(0.0) } else { *psi };
                }
                i += 1;
            }
        }
        self.head.forward(&self.parameters, &self.states, &mut self.head_trace);

        let scale = 1.0 / (3 * count.max(1)) as f32;
        let delta = self.params.delta as f32;
        let mut total = 0.0;
        let outputs = self.head.outputs();
        self.request_trace.output_gradient(d + 3);
        self.head_trace.output_gradient(outputs);
        let mut i = 0;
        for (b, run) in batch.iter().enumerate() {
            for row in &self.rows[self.runs[*run].clone()] {
                for k in 0..3 {
                    let f = self.head_trace.output().row(b)[3 * row.app + k];
                    let own = self.request_trace.output().row(i)[d + k];
                    if let Some(error) = row.targets[k].error(f + own) {
                        let (loss, slope) = huber(error, delta);
                        total += f64::from(loss * scale);
                        self.head_trace.gradient_mut().row_mut(b)[3 * row.app + k] += slope * scale;
                        self.request_trace.gradient_mut().row_mut(i)[d + k] = slope * scale;
                    }
                }
                i += 1;
            }
        }

        self.gradient.fill(0.0);
        let (parameters, gradient) = (&self.parameters, &mut self.gradient);
        self.head.backward(parameters, gradient, &self.states, &mut self.head_trace, Some(&mut self.state_gradient));
        let mut i = 0;
        for (b, run) in batch.iter().enumerate() {
            for row in &self.rows[self.runs[*run].clone()] {
                for k in 0..d {
                    let passes = !monotone || self.request_trace.output().row(i)[k] > 0.0;
                    let slope = if passes { row.share * self.state_gradient.row(b)[k] } else { 0.0 };
                    self.request_trace.gradient_mut().row_mut(i)[k] = slope;
                }
                i += 1;
            }
        }
        let trace = &mut self.request_trace;
        self.request.backward(parameters, gradient, &self.inputs, trace, Some(&mut self.input_gradient));
        let mut i = 0;
        for run in batch {
            for row in &self.rows[self.runs[*run].clone()] {
                let to = &mut self.gradient[row.app * e..][..e];
                for (to, from) in to.iter_mut().zip(self.input_gradient.row(i)) {
                    *to += from;
                }
                i += 1;
            }
        }
        total
    }

    fn model(&self) -> Result<ServerState> {
        let shape = self.params.shape.clone();
        let at = |(app, k)| f64::from(self.parameters[app * shape.embedding + k]);
        let embedding = Array2::from_shape_fn((self.apps.len(), shape.embedding), at);
        let request = self.request.network(&self.parameters)?;
        let head = self.head.network(&self.parameters)?;
        ServerState::new(shape, self.apps.clone(), self.base_s.clone(), embedding, request, head)
    }
}

/// Which weights of the head have which sign.
fn monotone_signs(shape: &ServerStateShape, head: &Mlp) -> Vec<(usize, f32)> {
    let units: Vec<Vec<f64>> = shape.head.iter().map(|width| unit_signs(*width)).collect();
    let mut signs = Vec::new();
    for layer in 0..=shape.head.len() {
        for ((to, from), index) in head.weight_indices(layer) {
            let before = if layer == 0 { 1.0 } else { units[layer - 1][from] };
            let after = units.get(layer).map_or(1.0, |units| units[to]);
            signs.push((index, (before * after) as f32));
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn params(monotone: bool, steps: usize) -> ServerStateParams {
        ServerStateParams {
            shape: ServerStateShape { monotone, ..ServerStateShape::default() },
            steps,
            ..ServerStateParams::default()
        }
    }

    /// Every hundredth parameter, embeddings and both networks, against central differences of the loss.
    #[test]
    fn the_gradient_agrees_with_differences() {
        let mut set = synthetic::training_set(6, 0.01, 1);
        set.runs[0].tenants[0].seconds = [None; 3];
        set.runs[0].tenants[0].longer_than_s = Some(1e3);
        set.runs[1].tenants[0].seconds[1] = None;
        for monotone in [false, true] {
            // A wide quadratic part, so that the loss is smooth almost everywhere.
            let params = ServerStateParams { delta: 2.0, ..params(monotone, 1) };
            let mut trainer = ServerStateTrainer::new(&set, &[0, 1, 2, 3, 4, 5], &params, None).unwrap();
            let batch = [0, 3, 1, 4];
            trainer.loss_and_gradient(&batch);
            let gradient = trainer.gradient.clone();
            let (mut compared, mut apart) = (0, Vec::new());
            for index in (0..gradient.len()).filter(|i| gradient[*i] != 0.0).step_by(37) {
                let parameter = trainer.parameters[index];
                let mut at = |step: f32| {
                    trainer.parameters[index] = parameter + step;
                    let loss = trainer.loss_and_gradient(&batch);
                    trainer.parameters[index] = parameter;
                    loss
                };
                let step = 1e-3f32;
                let numeric = (at(step) - at(-step)) / f64::from(2.0 * step);
                let found = f64::from(gradient[index]);
                if (found - numeric).abs() > 2e-2 * numeric.abs() + 1e-3 {
                    apart.push((index, found, numeric));
                }
                compared += 1;
            }
            // ReLUs have kinks: a few differences reach over one.
            assert!(compared > 40 && apart.len() * 20 < compared, "{compared} {apart:?}");
        }
    }

    #[test]
    fn weights_that_grow_beyond_all_numbers_are_said() {
        let set = synthetic::training_set(20, 0.0, 1);
        let runs: Vec<usize> = (0..20).collect();
        let params = ServerStateParams { rate: 1e37, warm_up: 0, ..params(false, 200) };
        let refused = train_server_state(&set, &runs, &[], &params, None, &mut ()).unwrap_err();
        assert!(matches!(refused, Error::Diverged { .. }), "{refused}");
    }

    #[test]
    fn learns_a_formula_and_says_the_same_for_a_seed() {
        let set = synthetic::training_set(240, 0.0, 1);
        let (train, test): (Vec<usize>, Vec<usize>) = ((0..200).collect(), (200..240).collect());
        for monotone in [false, true] {
            let params = params(monotone, 3_000);
            let trained = train_server_state(&set, &train, &test, &params, None, &mut ()).unwrap();
            let error = trained.validation_error.unwrap();
            assert!(error < 0.03, "monotone {monotone}: {error}");
            let again = train_server_state(&set, &train, &test, &params, None, &mut ()).unwrap();
            assert_eq!(again.model, trained.model);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..50 {
                let mut server = synthetic::server(&mut rng);
                let before = trained.model.log_times(&server).unwrap();
                let some = rng.gen_range(0..server.len());
                server[some].instances += 1.0;
                let after = trained.model.log_times(&server).unwrap();
                let faster = before.iter().flatten().zip(after.iter().flatten()).any(|(b, a)| *a < b - 1e-12);
                assert!(!monotone || !faster, "{server:?}");
            }
        }
    }
}
