//! Training of [`DeepSets`] on batches of datapoints.

use ndarray::Array2;
use neuro_data::datapoint::{Datapoint, DatapointKind};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::adam::{Adam, cosine};
use super::kernels::Matrix;
use super::loss::{Target, huber};
use super::mlp::{Mlp, Start, Trace, normal};
use super::observer::{Observer, Progress};
use super::server_state::{Trained, median_error};
use crate::deep_sets::{DeepSets, DeepSetsParts, DeepSetsShape, Pooling, flat_features};
use crate::network::Activation;
use crate::profiler::{Load, context_of};
use crate::server_state::{INSTANCES_SCALE, RATE_SCALE};
use crate::training_set::{RunSample, TrainingSet};
use crate::{Error, Result};

/// What a [`DeepSets`] learns from: a tenant, the others by application, and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextPoint {
    /// The run that it is of.
    pub run_id: String,
    /// The tenant.
    pub target: Load,
    /// The others on its server, summed up by application.
    pub others: Vec<Load>,
    /// Mean, p75 and p95, seconds; 0 of a zero point, `None` where unknown.
    pub seconds: [Option<f64>; 3],
    /// Of a starved tenant: its times are longer than this, seconds.
    pub longer_than_s: Option<f64>,
    /// cpu-clock, cache misses and page faults; `None` where unsupported.
    pub counters: [Option<f64>; 3],
}

impl ContextPoint {
    /// Of a row of a table of datapoints; `None` where it names an application that is not among `apps`.
    pub fn of_datapoint(point: &Datapoint, apps: &[String]) -> Option<Self> {
        let place = |id: &str| apps.iter().position(|app| app == id);
        let others = point
            .context
            .iter()
            .map(|entry| Some(Load { app: place(&entry.app)?, instances: entry.instances, rate: entry.rate }));
        let zero = point.kind == DatapointKind::Zero;
        let seconds = [point.mean_s, point.p75_s, point.p95_s];
        Some(Self {
            run_id: point.run_id.clone(),
            target: Load { app: place(&point.app)?, instances: point.instances, rate: point.rate },
            others: others.collect::<Option<_>>()?,
            seconds: if zero { [Some(0.0); 3] } else { seconds },
            longer_than_s: None,
            counters: [point.cpu_clock_mean, point.cache_misses_mean, point.page_faults_mean],
        })
    }

    /// Those of a run as it was measured, without merged and zero points.
    pub fn of_run(run: &RunSample) -> Vec<Self> {
        let server = run.server();
        let point = |(i, tenant): (usize, &crate::training_set::TenantSample)| Self {
            run_id: run.run_id.clone(),
            target: tenant.load,
            others: context_of(&server, i),
            seconds: tenant.seconds,
            longer_than_s: tenant.longer_than_s,
            counters: tenant.counters,
        };
        run.tenants.iter().enumerate().map(point).collect()
    }
}

/// How a [`DeepSets`] is trained. The default is the published recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepSetsParams {
    /// Its shape.
    pub shape: DeepSetsShape,
    /// Passes over the points, at least 1. Default 10.
    pub epochs: usize,
    /// Points a batch, at least 1. Default 16.
    pub batch: usize,
    /// Learning rate, above 0. Default 1e-3.
    pub rate: f64,
    /// Whether it falls along a cosine. Default no.
    pub cosine: bool,
    /// Share of the points that is drawn to learn from, above 0 to 1. Default 0.4.
    pub share: f64,
    /// Whether errors are taken of the logarithm (Huber, δ = 0.05) instead of the square of T / scale. Default no.
    pub log_space: bool,
    /// Weight of the counters' squared errors in the first epoch; it falls by a tenth each. Default 0.1.
    pub counter_weight: f64,
    /// Longest gradient. Default 1.
    pub clip: f64,
    /// Seed of initial weights, of the points drawn and of their order. Default 1.
    pub seed: u64,
}

impl Default for DeepSetsParams {
    fn default() -> Self {
        Self {
            shape: DeepSetsShape::default(),
            epochs: 10,
            batch: 16,
            rate: 1e-3,
            cosine: false,
            share: 0.4,
            log_space: false,
            counter_weight: 0.1,
            clip: 1.0,
            seed: 1,
        }
    }
}

impl DeepSetsParams {
    fn check(&self) -> Result<()> {
        self.shape.check()?;
        let check = |name, value: f64, most: f64, required| {
            let fits = value.is_finite() && value > 0.0 && value <= most;
            if fits { Ok(()) } else { Err(Error::InvalidOption { name, value, required }) }
        };
        let positive = |name, value: f64| check(name, value, f64::INFINITY, "finite and above 0");
        positive("epochs", self.epochs as f64)?;
        positive("batch", self.batch as f64)?;
        positive("rate", self.rate)?;
        check("share", self.share, 1.0, "above 0 and at most 1")?;
        positive("clip", self.clip)
    }
}

/// Where Huber's loss on the logarithm turns linear.
const DELTA: f32 = 0.05;

/// Trains on datapoints and keeps what is best, after an epoch, on validation runs.
///
/// # Errors
///
/// [`Error::InvalidOption`], [`Error::InvalidSetting`], [`Error::NoRuns`] without points, [`Error::UnmeasuredApp`] for an application
/// without a measurement, [`Error::Diverged`].
pub fn train_deep_sets(
    set: &TrainingSet,
    points: &[ContextPoint],
    validation: &[usize],
    params: &DeepSetsParams,
    observer: &mut dyn Observer,
) -> Result<Trained<DeepSets>> {
    params.check()?;
    let mut trainer = DeepSetsTrainer::new(set, points, params)?;
    let validation: Vec<&RunSample> = validation.iter().map(|run| &set.runs[*run]).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed ^ 0x5eed);
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.shuffle(&mut rng);
    order.truncate(((points.len() as f64 * params.share).round() as usize).max(1));
    let steps = params.epochs * order.len().div_ceil(params.batch);
    let mut history = Vec::new();
    let mut best: Option<(f64, DeepSets)> = None;
    let mut step = 0;
    for epoch in 0..params.epochs {
        order.shuffle(&mut rng);
        let weight = params.counter_weight * 0.9f64.powi(epoch as i32);
        let (mut loss, first) = (0.0, step);
        for batch in order.chunks(params.batch) {
            let rate = if params.cosine { cosine(params.rate, step, 100.min(steps), steps) } else { params.rate };
            loss += trainer.step(batch, rate as f32, weight as f32);
            step += 1;
        }
        // What was best before the weights were lost is kept, if there is any.
        if !trainer.parameters.iter().all(|weight| weight.is_finite()) {
            break;
        }
        let model = trainer.model()?;
        let error = median_error(&model, &validation)?;
        let train_loss = loss / (step - first) as f64;
        let progress = Progress { seed: params.seed, step, steps, train_loss, validation_error: error };
        history.push(progress);
        let better = best.as_ref().is_none_or(|(least, _)| error.is_none_or(|error| error < *least));
        if better {
            best = Some((error.unwrap_or(f64::INFINITY), model));
        }
        if observer.on_progress(&progress).is_break() {
            break;
        }
    }
    let (error, model) = best.ok_or(Error::Diverged { step })?;
    Ok(Trained { model, history, validation_error: Some(error).filter(|error| error.is_finite()) })
}

/// A point as the trainer sees it.
#[derive(Clone, Debug)]
struct Point {
    app: usize,
    load: [f32; 2],
    /// Application and load of the others.
    others: Vec<(usize, [f32; 2])>,
    /// Features of the flat variant.
    flat: Vec<f32>,
    targets: [Target; 3],
    counters: [Option<f32>; 3],
}

/// One training of the published network step by step; [`train_deep_sets`] is what drives it.
pub struct DeepSetsTrainer<'a> {
    params: &'a DeepSetsParams,
    apps: Vec<String>,
    scale_s: Vec<[f64; 3]>,
    counter_scale: [f64; 3],
    points: Vec<Point>,
    phi: Option<Mlp>,
    rho: Mlp,
    counters: Option<Mlp>,
    parameters: Vec<f32>,
    gradient: Vec<f32>,
    adam: Adam,
    members: Matrix,
    member_gradient: Matrix,
    inputs: Matrix,
    input_gradient: Matrix,
    own: Matrix,
    own_gradient: Matrix,
    phi_trace: Trace,
    rho_trace: Trace,
    counter_trace: Trace,
    /// Of each point and output of φ, which member has the maximum.
    largest: Vec<usize>,
}

impl<'a> DeepSetsTrainer<'a> {
    /// Initial weights for some points.
    ///
    /// # Errors
    ///
    /// As [`train_deep_sets`].
    pub fn new(set: &TrainingSet, points: &[ContextPoint], params: &'a DeepSetsParams) -> Result<Self> {
        if points.is_empty() {
            return Err(Error::NoRuns { servers: set.servers.join(", ") });
        }
        let apps = set.apps.clone();
        let mut scale_s = vec![[0.0f64; 3]; apps.len()];
        let mut counter_scale = [0.0f64; 3];
        for point in points {
            for k in 0..3 {
                let scale = &mut scale_s[point.target.app][k];
                *scale = scale.max(point.seconds[k].unwrap_or_default());
                counter_scale[k] = counter_scale[k].max(point.counters[k].unwrap_or_default());
            }
        }
        if let Some(app) = scale_s.iter().position(|scale| scale.contains(&0.0)) {
            return Err(Error::UnmeasuredApp { app: apps[app].clone() });
        }
        // Without a counter nothing is divided by its scale.
        let counter_scale = counter_scale.map(|scale| if scale > 0.0 { scale } else { 1.0 });
        let shape = &params.shape;
        let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
        let mut parameters: Vec<f32> = (0..apps.len() * shape.embedding).map(|_| normal(&mut rng) as f32).collect();
        let units = (Activation::Gelu, Activation::Identity);
        let mut mlp = |widths: Vec<usize>| Mlp::new(&widths, units, Start::Uniform, &mut parameters, &mut rng);
        let phi = shape.phi_widths().map(&mut mlp);
        let rho = mlp(shape.rho_widths(apps.len()));
        let counters = shape.counter_widths().map(&mut mlp);
        let point = |point: &ContextPoint| {
            let load = |load: &Load| [(load.instances / INSTANCES_SCALE) as f32, (load.rate / RATE_SCALE) as f32];
            let scaled = |seconds: f64, k: usize| {
                let ratio = seconds / scale_s[point.target.app][k];
                if params.log_space { ratio.ln() as f32 } else { ratio as f32 }
            };
            let target = |k: usize| match (point.seconds[k], point.longer_than_s) {
                (Some(seconds), _) if params.log_space && seconds <= 0.0 => Target::Unknown,
                (Some(seconds), _) => Target::Known(scaled(seconds, k)),
                (None, Some(bound)) => Target::Above(scaled(bound, k)),
                (None, None) => Target::Unknown,
            };
            let flat =
                (shape.pooling == Pooling::Flat).then(|| flat_features(apps.len(), &point.target, &point.others));
            Point {
                app: point.target.app,
                load: load(&point.target),
                others: point.others.iter().map(|other| (other.app, load(other))).collect(),
                flat: flat.into_iter().flatten().map(|x| x as f32).collect(),
                targets: [target(0), target(1), target(2)],
                counters: std::array::from_fn(|k| point.counters[k].map(|c| (c / counter_scale[k]) as f32)),
            }
        };
        let points = points.iter().map(point).collect();
        let count = parameters.len();
        Ok(Self {
            params,
            apps,
            scale_s,
            counter_scale,
            points,
            phi,
            rho,
            counters,
            parameters,
            gradient: vec![0.0; count],
            adam: Adam::new(count),
            members: Matrix::default(),
            member_gradient: Matrix::default(),
            inputs: Matrix::default(),
            input_gradient: Matrix::default(),
            own: Matrix::default(),
            own_gradient: Matrix::default(),
            phi_trace: Trace::default(),
            rho_trace: Trace::default(),
            counter_trace: Trace::default(),
            largest: Vec::new(),
        })
    }

    /// One step on a batch of points, given by their positions; the mean loss before it.
    pub fn step(&mut self, batch: &[usize], rate: f32, counter_weight: f32) -> f64 {
        let loss = self.loss_and_gradient(batch, counter_weight);
        self.adam.step(&mut self.parameters, &self.gradient, rate, self.params.clip as f32);
        loss
    }

    fn loss_and_gradient(&mut self, batch: &[usize], counter_weight: f32) -> f64 {
        let shape = &self.params.shape;
        let (e, d) = (shape.embedding, shape.context);
        let pooled = match shape.pooling {
            Pooling::Sum => d,
            Pooling::SumMax => 2 * d,
            Pooling::Flat => 0,
        };
        self.gradient.fill(0.0);

        let count: usize = batch.iter().map(|point| self.points[*point].others.len()).sum();
        let inputs = if self.phi.is_some() { pooled + e + 2 } else { self.apps.len() + 5 };
        self.inputs.clear(batch.len(), inputs);
        if let Some(phi) = &self.phi {
            self.members.clear(count, e + 2);
            let others = batch.iter().flat_map(|point| &self.points[*point].others);
            for (i, (app, load)) in others.enumerate() {
                let row = self.members.row_mut(i);
                row[..e].copy_from_slice(&self.parameters[app * e..][..e]);
                row[e..e + 2].copy_from_slice(load);
            }
            phi.forward(&self.parameters, &self.members, &mut self.phi_trace);
            self.largest.clear();
            let mut i = 0;
            for (b, point) in batch.iter().enumerate() {
                let point = &self.points[*point];
                let h = self.inputs.row_mut(b);
                let mut largest = vec![usize::MAX; if shape.pooling == Pooling::SumMax { d } else { 0 }];
                for _ in &point.others {
                    let value = &self.phi_trace.output().row(i)[..d];
                    for (h, value) in h.iter_mut().zip(value) {
                        *h += value;
                    }
                    for (k, largest) in largest.iter_mut().enumerate() {
                        if *largest == usize::MAX || value[k] > h[d + k] {
                            (*largest, h[d + k]) = (i, value[k]);
                        }
                    }
                    i += 1;
                }
                self.largest.extend(largest);
                h[pooled..pooled + e].copy_from_slice(&self.parameters[point.app * e..][..e]);
                h[pooled + e..pooled + e + 2].copy_from_slice(&point.load);
            }
        } else {
            for (b, point) in batch.iter().enumerate() {
                let flat = &self.points[*point].flat;
                self.inputs.row_mut(b)[..flat.len()].copy_from_slice(flat);
            }
        }

        self.rho.forward(&self.parameters, &self.inputs, &mut self.rho_trace);
        self.rho_trace.output_gradient(3);
        let scale = 1.0 / (3 * batch.len()) as f32;
        let mut total = 0.0;
        for (b, point) in batch.iter().enumerate() {
            for (k, target) in self.points[*point].targets.into_iter().enumerate() {
                let output = self.rho_trace.output().row(b)[k];
                let prediction = if self.params.log_space { output } else { output.exp() };
                let Some(error) = target.error(prediction) else { continue };
                let (loss, slope) =
                    if self.params.log_space { huber(error, DELTA) } else { (error * error, 2.0 * error * prediction) };
                total += f64::from(loss * scale);
                self.rho_trace.gradient_mut().row_mut(b)[k] = slope * scale;
            }
        }
        let (parameters, gradient) = (&self.parameters, &mut self.gradient);
        let target = self.phi.is_some().then_some(&mut self.input_gradient);
        self.rho.backward(parameters, gradient, &self.inputs, &mut self.rho_trace, target);

        let Some(phi) = &self.phi else { return total };
        self.phi_trace.output_gradient(d);
        let mut i = 0;
        for (b, point) in batch.iter().enumerate() {
            let slopes = self.input_gradient.row(b);
            for _ in &self.points[*point].others {
                let to = self.phi_trace.gradient_mut().row_mut(i);
                to[..d].copy_from_slice(&slopes[..d]);
                if shape.pooling == Pooling::SumMax {
                    for k in (0..d).filter(|k| self.largest[b * d + k] == i) {
                        to[k] += slopes[d + k];
                    }
                }
                i += 1;
            }
            add(&mut gradient[self.points[*point].app * e..][..e], &slopes[pooled..]);
        }
        phi.backward(parameters, gradient, &self.members, &mut self.phi_trace, Some(&mut self.member_gradient));
        let others = batch.iter().flat_map(|point| &self.points[*point].others);
        for (i, (app, _)) in others.enumerate() {
            add(&mut gradient[app * e..][..e], self.member_gradient.row(i));
        }

        let counted = |point: &&usize| self.points[**point].counters.iter().any(Option::is_some);
        let batch: Vec<usize> = batch.iter().filter(counted).copied().collect();
        let Some(head) = self.counters.as_ref().filter(|_| !batch.is_empty()) else { return total };
        self.own.clear(batch.len(), e + 2);
        for (b, point) in batch.iter().enumerate() {
            let point = &self.points[*point];
            let row = self.own.row_mut(b);
            row[..e].copy_from_slice(&parameters[point.app * e..][..e]);
            row[e..e + 2].copy_from_slice(&point.load);
        }
        head.forward(parameters, &self.own, &mut self.counter_trace);
        self.counter_trace.output_gradient(3);
        for (b, point) in batch.iter().enumerate() {
            for (k, counter) in self.points[*point].counters.into_iter().enumerate() {
                let Some(counter) = counter else { continue };
                let error = self.counter_trace.output().row(b)[k] - counter;
                total += f64::from(counter_weight * error * error * scale);
                self.counter_trace.gradient_mut().row_mut(b)[k] = 2.0 * counter_weight * error * scale;
            }
        }
        head.backward(parameters, gradient, &self.own, &mut self.counter_trace, Some(&mut self.own_gradient));
        for (b, point) in batch.iter().enumerate() {
            add(&mut gradient[self.points[*point].app * e..][..e], self.own_gradient.row(b));
        }
        total
    }

    fn model(&self) -> Result<DeepSets> {
        let shape = self.params.shape.clone();
        let e = shape.embedding;
        DeepSets::new(DeepSetsParts {
            embedding: Array2::from_shape_fn((self.apps.len(), e), |(app, k)| f64::from(self.parameters[app * e + k])),
            apps: self.apps.clone(),
            scale_s: self.scale_s.clone(),
            phi: self.phi.as_ref().map(|phi| phi.network(&self.parameters)).transpose()?,
            rho: self.rho.network(&self.parameters)?,
            counters: self.counters.as_ref().map(|head| head.network(&self.parameters)).transpose()?,
            counter_scale: self.counter_scale,
            shape,
        })
    }
}

fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    fn points(set: &TrainingSet) -> Vec<ContextPoint> {
        set.runs.iter().flat_map(ContextPoint::of_run).collect()
    }

    #[test]
    fn the_gradient_of_every_variant_agrees_with_differences() {
        let set = synthetic::training_set(8, 0.01, 1);
        let mut points = points(&set);
        for (i, point) in points.iter_mut().enumerate() {
            point.counters = [Some(1.0 + i as f64), None, (i % 3 == 0).then_some(2.0)];
        }
        points[0].seconds = [None; 3];
        points[0].longer_than_s = Some(0.5);
        points[1].others.clear();
        for shape in [DeepSetsShape::default(), DeepSetsShape::sum_max(), DeepSetsShape::flat()] {
            for log_space in [false, true] {
                let params = DeepSetsParams { shape: shape.clone(), log_space, ..DeepSetsParams::default() };
                let mut trainer = DeepSetsTrainer::new(&set, &points, &params).unwrap();
                // Short steps from the start, where exp is tame.
                trainer.parameters.iter_mut().for_each(|p| *p *= 0.5);
                let batch: Vec<usize> = (0..20).collect();
                trainer.loss_and_gradient(&batch, 0.1);
                let gradient = trainer.gradient.clone();
                let largest = gradient.iter().fold(0.0f32, |most, g| most.max(g.abs()));
                let (mut compared, mut apart) = (0, Vec::new());
                for index in (0..gradient.len()).filter(|i| gradient[*i].abs() > 1e-3 * largest).step_by(23) {
                    let parameter = trainer.parameters[index];
                    let mut at = |step: f32| {
                        trainer.parameters[index] = parameter + step;
                        let loss = trainer.loss_and_gradient(&batch, 0.1);
                        trainer.parameters[index] = parameter;
                        loss
                    };
                    let numeric = (at(1e-3) - at(-1e-3)) / 2e-3;
                    let found = f64::from(gradient[index]);
                    if (found - numeric).abs() > 2e-2 * numeric.abs() + 2e-3 * f64::from(largest) {
                        apart.push((index, found, numeric));
                    }
                    compared += 1;
                }
                // A maximum, and Huber's loss, have kinks.
                assert!(compared > 30 && apart.len() * 20 < compared, "{shape:?} {compared} {apart:?}");
            }
        }
    }

    #[test]
    fn learns_a_formula() {
        let set = synthetic::training_set(160, 0.0, 1);
        let points: Vec<ContextPoint> = set.runs[..130].iter().flat_map(ContextPoint::of_run).collect();
        let params = DeepSetsParams {
            log_space: true,
            share: 1.0,
            epochs: 40,
            rate: 5e-3,
            cosine: true,
            ..DeepSetsParams::default()
        };
        let validation: Vec<usize> = (130..160).collect();
        let trained = train_deep_sets(&set, &points, &validation, &params, &mut ()).unwrap();
        let error = trained.validation_error.unwrap();
        assert!(error < 0.1, "{error}");
    }
}
