//! `server-state` profilers: one network of one state for all tenants.

use linfa_linalg::eigh::Eigh;
use ndarray::{Array1, Array2};
use neuro_profiler::Model;
use neuro_profiler::network::Network;
use neuro_profiler::sla_index;
use pulp::{Arch, Simd, WithSimd};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::interference::{LOOSE, Promise};
use super::{Interference, Judgement, Line, Reach, Verdict};
use crate::placement::Problem;
use crate::{Error, Method, Result};

/// The state of a server in the coordinates in which its network is steepest first.
///
/// With h = Σ g_i x_i, samples of h have a covariance Σ = A·Aᵀ; in z = A⁻¹h they are white. The gradients of the network's outputs
/// by z have second moments V·D·Vᵀ with D falling: y = Vᵀ·A⁻¹·h. That is exact, since the first layer takes A·V in, and one
/// coordinate of y then carries nearly all of what the network makes of h (P. G. Constantine, Active Subspaces, SIAM, 2015,
/// doi:10.1137/1.9781611973860).
pub(crate) struct SharedState<'p, 'a> {
    problem: &'p Problem<'a>,
    /// Position of the kind of server.
    kind: usize,
    /// The request of each item.
    requests: Vec<usize>,
    /// Instances of a piece of each item.
    instances: Vec<u32>,
    dimension: usize,
    basis: Basis,
    /// items × d.
    contributions: Vec<f64>,
    /// How much the outputs may change with each unit of each hidden layer, a mean over the promised ones.
    unit_weights: Vec<Vec<f64>>,
    layers: Vec<Layer>,
    /// The outputs and limits that each item's promises are.
    promises: Vec<Vec<(usize, f64)>>,
}

/// A dense layer, out × in.
struct Layer {
    inputs: usize,
    weights: Vec<f64>,
    /// in × out.
    transposed: Vec<f64>,
    bias: Vec<f64>,
}

/// Lines below and above the units of a hidden layer: slopes and intercepts; a line below goes through 0.
#[derive(Default)]
struct Relaxed {
    below: Vec<f64>,
    above: Vec<(f64, f64)>,
}

impl Relaxed {
    /// A unit of this phase, or of this range; `is_on` says which of the two lines below it is taken.
    fn push(&mut self, phase: Option<bool>, (least, most): (f64, f64), is_on: bool) {
        let (below, above) = match phase {
            Some(true) => (1.0, (1.0, 0.0)),
            Some(false) => (0.0, (0.0, 0.0)),
            None => {
                let slope = most / (most - least);
                (if is_on { 1.0 } else { 0.0 }, (slope, -slope * least))
            }
        };
        self.below.push(below);
        self.above.push(above);
    }
}

/// Fillings whose states are sampled.
const SAMPLES: usize = 96;
/// Variance that every direction has at least, relative to the mean variance.
const LEAST_VARIANCE: f64 = 1e-6;
/// Seed of the samples.
const SEED: u64 = 0x5eed;

impl<'p, 'a> SharedState<'p, 'a> {
    /// Of the requests `requests`, each of them a piece, on a server of a kind with so much memory.
    ///
    /// `basis` is a rotation, h = basis.0 · y and y = basis.1 · h; by default it is made from samples.
    ///
    /// # Errors
    ///
    /// [`Error::UnsuitedProfiler`] for another profiler, [`Error::Certificate`] for a basis whose parts do not fit.
    pub(crate) fn new(
        problem: &'p Problem<'a>,
        method: Method,
        kind: usize,
        requests: Vec<usize>,
        capacity_gb: f64,
        basis: Option<Basis>,
    ) -> Result<Self> {
        let Model::ServerState(model) = problem.kinds[kind].bundle.model() else {
            return Err(Error::UnsuitedProfiler {
                method,
                found: problem.kinds[kind].bundle.model().architecture().name(),
                needed: "a server-state or a paper profiler",
            });
        };
        let of = &problem.kinds[kind];
        let all = &problem.instance().requests;
        let instances: Vec<u32> = requests.iter().map(|r| all[*r].instances).collect();
        let terms: Vec<_> = requests.iter().map(|r| model.terms(of.loads[*r].app, of.loads[*r].rate)).collect();
        let d = model.shape().state;
        let mut states: Vec<f64> = Vec::with_capacity(requests.len() * d);
        for (terms, n) in terms.iter().zip(&instances) {
            states.extend(terms.state.iter().map(|s| s * f64::from(*n)));
        }
        let promises = requests.iter().zip(&terms).map(|(r, terms)| {
            let (request, app) = (&all[*r], of.loads[*r].app);
            let sla = sla_index(request.sla);
            let promise = request.delay_s.ln() - of.bundle.margin(app, request.sla).ln();
            // A p95 is never below the p75, so a bound on it is one on both.
            let statistics = if sla == 2 { 1..=2 } else { sla..=sla };
            statistics.map(|k| (3 * app + k, promise - model.base_s(app)[k].ln() - terms.own[k])).collect()
        });
        let promises: Vec<Vec<(usize, f64)>> = promises.collect();
        let memory: Vec<f64> =
            requests.iter().zip(&instances).map(|(r, n)| problem.instance_memory_gb[*r] * f64::from(*n)).collect();
        let outputs: Vec<usize> = promises.iter().flatten().map(|(output, _)| *output).collect();
        let (basis, inverse) = match basis {
            Some(basis) => checked(basis, d)?,
            None => rotation(model.head(), &sample(&states, d, &memory, capacity_gb), &outputs)?,
        };
        let mut contributions = vec![0.0; states.len()];
        for (g, y) in states.chunks_exact(d).zip(contributions.chunks_exact_mut(d)) {
            y.copy_from_slice(inverse.dot(&Array1::from(g.to_vec())).as_slice().unwrap_or(&[]));
        }
        let layers = model.head().layers().iter().enumerate().map(|(i, layer)| {
            let weights = if i == 0 { layer.weights().dot(&basis) } else { layer.weights().clone() };
            let (transposed, weights) = (weights.t().iter().copied().collect(), weights.iter().copied().collect());
            Layer { inputs: layer.inputs(), weights, transposed, bias: layer.bias().to_vec() }
        });
        let layers: Vec<Layer> = layers.collect();
        let unit_weights = unit_weights(&layers, &outputs);
        Ok(Self {
            problem,
            kind,
            requests,
            instances,
            dimension: d,
            basis: (basis, inverse),
            contributions,
            unit_weights,
            layers,
            promises,
        })
    }

    fn forward(&self, y: &[f64]) -> Vec<f64> {
        Arch::new().dispatch(Forward { layers: &self.layers, y })
    }

    /// Lines of the hidden layers on a region, CROWN's.
    fn relax(&self, reach: &Reach<'_>, judgement: &mut Judgement) -> Vec<Relaxed> {
        judgement.looseness.clear();
        judgement.looseness.resize(self.dimension, 0.0);
        let hidden = &self.layers[..self.layers.len() - 1];
        judgement.phases.resize(hidden.iter().map(|layer| layer.bias.len()).sum(), None);
        judgement.ranges.clear();
        let mut phases = judgement.phases.iter_mut();
        let mut relaxed: Vec<Relaxed> = Vec::new();
        for (layer, weights) in hidden.iter().zip(&self.unit_weights) {
            let mut of = Relaxed::default();
            let rows = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias);
            for (((row, bias), weight), phase) in rows.zip(weights).zip(&mut phases) {
                let mut range = (0.0, 0.0);
                if phase.is_none() {
                    let (below, above) =
                        (self.backward(&relaxed, row, *bias, false), self.backward(&relaxed, row, *bias, true));
                    // The box alone costs little, and settles most units.
                    range = (below.1 + reach.on_box(&below.0).0, above.1 + reach.on_box(&above.0).1);
                    if range.0 < 0.0 && range.1 > 0.0 {
                        range = (below.1 + reach.least(&below.0), above.1 + reach.most(&above.0));
                    }
                    if range.0 >= 0.0 {
                        *phase = Some(true);
                    } else if range.1 <= 0.0 {
                        *phase = Some(false);
                    } else {
                        judgement.looseness.iter_mut().zip(&above.0).for_each(|(sum, s)| *sum += weight * s.abs());
                    }
                }
                let (least, most) = range;
                judgement.ranges.push(range);
                of.push(*phase, range, most > -least);
            }
            relaxed.push(of);
        }
        relaxed
    }

    /// A function row·x + bias of the outputs of the last relaxed layer as one of y, from below or above.
    fn backward(&self, relaxed: &[Relaxed], row: &[f64], bias: f64, above: bool) -> (Vec<f64>, f64) {
        let (mut coefficients, mut constant) = (row.to_vec(), bias);
        for (layer, relaxed) in self.layers.iter().zip(relaxed).rev() {
            let mut before = vec![0.0; layer.inputs];
            for (unit, (c, weights)) in coefficients.iter().zip(layer.weights.chunks_exact(layer.inputs)).enumerate() {
                let (slope, intercept) =
                    if (*c > 0.0) == above { relaxed.above[unit] } else { (relaxed.below[unit], 0.0) };
                constant += c * intercept;
                let c = c * slope;
                if c != 0.0 {
                    constant += c * layer.bias[unit];
                    before.iter_mut().zip(weights).for_each(|(b, w)| *b += c * w);
                }
            }
            coefficients = before;
        }
        (coefficients, constant)
    }
}

/// A pass through the layers: what is off costs nothing.
struct Forward<'a> {
    layers: &'a [Layer],
    y: &'a [f64],
}

impl WithSimd for Forward<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f64> {
        let mut x = self.y.to_vec();
        for (i, layer) in self.layers.iter().enumerate() {
            let mut next = layer.bias.clone();
            for (x, column) in x.iter().zip(layer.transposed.chunks_exact(layer.bias.len())) {
                // Units that are off, but never the input.
                if i == 0 || *x > 0.0 {
                    next.iter_mut().zip(column).for_each(|(next, weight)| *next += x * weight);
                }
            }
            if i + 1 < self.layers.len() {
                next.iter_mut().for_each(|next| *next = next.max(0.0));
            }
            x = next;
        }
        x
    }
}

impl Interference for SharedState<'_, '_> {
    fn basis(&self) -> Option<&Basis> {
        Some(&self.basis)
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn contribution(&self, item: usize) -> &[f64] {
        let d = self.dimension;
        &self.contributions[item * d..(item + 1) * d]
    }

    fn judge(&self, reach: &Reach<'_>, judgement: &mut Judgement) {
        let relaxed = self.relax(reach, judgement);
        let output = &self.layers[self.layers.len() - 1];
        let before = std::mem::take(&mut judgement.verdicts);
        judgement.lines.clear();
        judgement.open.clear();
        // Per output the tightest limit that is in question; least value, greatest value, position of the line below.
        let mut tightest = vec![f64::INFINITY; output.bias.len()];
        let in_question = (self.promises.iter().enumerate())
            .filter(|(item, _)| reach.region().most[*item] > 0 && before.get(*item) != Some(&Verdict::Always));
        for (o, limit) in in_question.flat_map(|(_, promises)| promises) {
            tightest[*o] = tightest[*o].min(limit + LOOSE);
        }
        let mut known: Vec<Option<(f64, f64, usize)>> = vec![None; output.bias.len()];
        for (item, promises) in self.promises.iter().enumerate() {
            if reach.region().most[item] == 0 {
                judgement.verdicts.push(Verdict::Never);
                continue;
            }
            if before.get(item) == Some(&Verdict::Always) {
                judgement.verdicts.push(Verdict::Always);
                continue;
            }
            let mut verdict = Verdict::Always;
            let first = judgement.open.len();
            for (which, (o, limit)) in promises.iter().enumerate() {
                let (lowest, highest, line) = *known[*o].get_or_insert_with(|| {
                    let row = &output.weights[o * output.inputs..(o + 1) * output.inputs];
                    let (slope, constant) = self.backward(&relaxed, row, output.bias[*o], true);
                    let highest = constant + reach.most(&slope);
                    if highest <= tightest[*o] {
                        // No line: nothing is open.
                        return (f64::NEG_INFINITY, highest, usize::MAX);
                    }
                    let (slope, constant) = self.backward(&relaxed, row, output.bias[*o], false);
                    let lowest = constant + reach.least(&slope);
                    let line_highest = constant + reach.most(&slope);
                    judgement.lines.push(Line { slope, constant, highest: line_highest });
                    (lowest, highest, judgement.lines.len() - 1)
                });
                let limit = limit + LOOSE;
                if lowest > limit {
                    verdict = Verdict::Never;
                } else if highest > limit && verdict != Verdict::Never {
                    verdict = Verdict::Open;
                    judgement.open.push(Promise { item, which, line, limit });
                }
            }
            if verdict == Verdict::Never {
                judgement.open.truncate(first);
            }
            judgement.verdicts.push(verdict);
        }
    }

    fn tangent(&self, judgement: &Judgement, promise: &Promise, y: &[f64]) -> Option<(Vec<f64>, f64)> {
        let (o, _) = self.promises[promise.item][promise.which];
        let mut units = judgement.phases.iter().zip(&judgement.ranges);
        let mut relaxed: Vec<Relaxed> = Vec::new();
        let mut x = y.to_vec();
        let (output, hidden) = self.layers.split_last()?;
        for layer in hidden {
            let mut next = layer.bias.clone();
            for (x, column) in x.iter().zip(layer.transposed.chunks_exact(layer.bias.len())) {
                if *x != 0.0 {
                    next.iter_mut().zip(column).for_each(|(next, weight)| *next += x * weight);
                }
            }
            let mut of = Relaxed::default();
            for (x, (phase, range)) in next.iter_mut().zip(&mut units) {
                of.push(*phase, *range, *x > 0.0);
                *x = x.max(0.0);
            }
            relaxed.push(of);
            x = next;
        }
        let row = &output.weights[o * output.inputs..(o + 1) * output.inputs];
        Some(self.backward(&relaxed, row, output.bias[o], false))
    }

    fn excess(&self, pieces: &[f64], y: &[f64], excess: &mut Vec<f64>) {
        let outputs = self.forward(y);
        let worst = |promises: &[(usize, f64)]| {
            promises.iter().map(|(o, limit)| outputs[*o] - limit - LOOSE).fold(0.0, f64::max)
        };
        excess.clear();
        excess.extend(pieces.iter().zip(&self.promises).map(|(x, p)| if *x > 0.0 { worst(p) } else { 0.0 }));
    }

    fn holds(&self, pieces: &[u32]) -> Result<bool> {
        self.problem.holds(self.kind, pieces, &self.requests, &self.instances)
    }

    fn nearly_holds(&self, pieces: &[u32], y: &[f64]) -> bool {
        let outputs = self.forward(y);
        let holds = |promises: &[(usize, f64)]| promises.iter().all(|(o, limit)| outputs[*o] <= *limit);
        pieces.iter().zip(&self.promises).all(|(x, promises)| *x == 0 || holds(promises))
    }
}

/// h = basis.0 · y and y = basis.1 · h.
pub(crate) type Basis = (Array2<f64>, Array2<f64>);

/// A basis whose parts are each other's inverse.
fn checked(basis: Basis, d: usize) -> Result<Basis> {
    let fail = |problem| Err(Error::Certificate { place: "basis".into(), problem });
    if basis.0.dim() != (d, d) || basis.1.dim() != (d, d) {
        return fail("it is not as long as the state");
    }
    let off = basis.0.dot(&basis.1) - Array2::<f64>::eye(d);
    let size = basis.0.mapv(f64::abs).dot(&basis.1.mapv(f64::abs));
    // A product that is off by more than rounding is another network.
    if off.iter().zip(&size).all(|(off, size)| off.abs() <= 1e-12 * (1.0 + size)) {
        Ok(basis)
    } else {
        fail("its parts are not each other's inverse")
    }
}

/// States h of servers that are filled at random, samples × d.
fn sample(states: &[f64], d: usize, memory: &[f64], capacity_gb: f64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut order: Vec<usize> = (0..memory.len()).collect();
    let mut samples = Array2::zeros((SAMPLES, d));
    for mut h in samples.rows_mut() {
        order.shuffle(&mut rng);
        let mut left = capacity_gb * rng.gen_range(0.3..1.0);
        for item in &order {
            if memory[*item] <= left {
                left -= memory[*item];
                let state = &states[item * d..(item + 1) * d];
                h.iter_mut().zip(state).for_each(|(h, s)| *h += s);
            }
        }
    }
    samples
}

/// Of each hidden layer Σ |W| along all paths to the outputs, their mean.
fn unit_weights(layers: &[Layer], outputs: &[usize]) -> Vec<Vec<f64>> {
    let last = &layers[layers.len() - 1];
    let mut weights = vec![0.0; last.inputs];
    for output in outputs {
        let row = &last.weights[output * last.inputs..(output + 1) * last.inputs];
        weights.iter_mut().zip(row).for_each(|(sum, w)| *sum += w.abs() / outputs.len() as f64);
    }
    let mut all = vec![weights];
    for layer in layers[1..layers.len() - 1].iter().rev() {
        let mut before = vec![0.0; layer.inputs];
        for (row, weight) in layer.weights.chunks_exact(layer.inputs).zip(&all[all.len() - 1]) {
            before.iter_mut().zip(row).for_each(|(sum, w)| *sum += weight * w.abs());
        }
        all.push(before);
    }
    all.reverse();
    all
}

/// A·V and its inverse.
fn rotation(network: &Network, samples: &Array2<f64>, outputs: &[usize]) -> Result<(Array2<f64>, Array2<f64>)> {
    let d = samples.ncols();
    let mean = samples.mean_axis(ndarray::Axis(0)).unwrap_or_else(|| Array1::zeros(d));
    let centred = samples - &mean;
    let mut covariance = centred.t().dot(&centred) / samples.nrows() as f64;
    let trace: f64 = covariance.diag().sum();
    let room = LEAST_VARIANCE * trace / d as f64 + f64::MIN_POSITIVE.sqrt();
    covariance.diag_mut().mapv_inplace(|v| v + room);
    let (variances, directions) = eigen(&covariance)?;
    // A = U·√S.
    let scale = variances.mapv(|v| v.max(room).sqrt());
    let a = &directions * &scale;
    let a_inverse = (&directions / &scale).reversed_axes();
    let mut moments: Array2<f64> = Array2::zeros((d, d));
    for h in samples.rows() {
        for gradient in gradients(network, h.to_owned(), outputs) {
            let g = a.t().dot(&gradient);
            for i in 0..d {
                for j in 0..d {
                    moments[[i, j]] += g[i] * g[j];
                }
            }
        }
    }
    let (energies, mut v) = eigen(&moments)?;
    // Largest first.
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|i, j| energies[*j].total_cmp(&energies[*i]));
    v = v.select(ndarray::Axis(1), &order);
    let (basis, inverse) = (a.dot(&v), v.t().dot(&a_inverse));
    if !basis.iter().chain(&inverse).all(|x| x.is_finite()) {
        return Err(Error::Contradiction("the state of a server cannot be rotated"));
    }
    Ok((basis, inverse))
}

fn eigen(matrix: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    matrix.eigh().map_err(|_| Error::Contradiction("the state of a server cannot be rotated"))
}

/// Gradients of the outputs at h, each output as often as it is named.
fn gradients(network: &Network, h: Array1<f64>, outputs: &[usize]) -> Vec<Array1<f64>> {
    let mut jacobian: Array2<f64> = Array2::eye(h.len());
    let mut x = h;
    for layer in network.layers() {
        let before = layer.weights().dot(&x) + layer.bias();
        jacobian = layer.weights().dot(&jacobian);
        x = before.mapv(|a| layer.activation().at(a));
        for (mut row, a) in jacobian.rows_mut().into_iter().zip(&before) {
            if layer.activation() == neuro_profiler::network::Activation::Relu && *a <= 0.0 {
                row.fill(0.0);
            }
        }
    }
    let mut weights = vec![0.0; jacobian.nrows()];
    outputs.iter().for_each(|o| weights[*o] += 1.0);
    let named = weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0);
    named.map(|(o, weight)| jacobian.row(o).to_owned() * f64::sqrt(*weight)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use neuro_data::Catalogue;
    use neuro_data::scenario::{Scenario, ScenarioParams, draw};
    use neuro_profiler::Bundle;

    use super::*;
    use crate::placement::Profiles;
    use crate::placement::filling::{Region, settle};

    /// Lines that touch lie below their predictions everywhere, and some nearer to them where they touch than the first ones.
    #[test]
    fn lines_that_touch_lie_below() {
        for (suffix, seed) in [("", 1), ("", 2), ("-monotone", 1), ("-monotone", 2)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/data/bundles/edge-a{suffix}"));
            let profiles = Profiles::default().with("edge-a", Bundle::read(&folder).unwrap());
            let params = ScenarioParams {
                requests: Some(40),
                kinds: vec!["edge-a".into()],
                ..ScenarioParams::new(Scenario::Mixed, 1, seed)
            };
            let instance = draw(&params, &Catalogue::built_in()).unwrap();
            let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
            let requests = problem.admissible(0);
            let shared = SharedState::new(&problem, Method::Exact, 0, requests.clone(), 32.0, None).unwrap();
            let filling = problem.filling(&requests, &vec![0.0; 40], 32.0, &shared);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut fillings = Vec::new();
            while fillings.len() < 200 {
                let pieces: Vec<f64> = (0..filling.items())
                    .map(|_| if rng.gen_bool(0.3) { rng.r#gen::<f64>().round() } else { 0.0 })
                    .collect();
                if filling.used_gb(&pieces.iter().map(|x| *x as u32).collect::<Vec<_>>()) <= 32.0 {
                    fillings.push(filling.coordinates(&pieces));
                }
            }
            let (mut judgement, mut region) = (Judgement::default(), Region::whole(&filling));
            assert!(settle(&filling, &shared, &mut region, &mut judgement));
            assert!(!judgement.open.is_empty());
            let mut closer = 0;
            for promise in &judgement.open {
                let (o, _) = shared.promises[promise.item][promise.which];
                let first = &judgement.lines[promise.line];
                for (at, y) in fillings.iter().zip(fillings.iter().rev()) {
                    let (slope, constant) = shared.tangent(&judgement, promise, at).unwrap();
                    let value = |y: &[f64]| constant + crate::rounding::dot(&slope, y);
                    for y in [at, y] {
                        assert!(value(y) <= shared.forward(y)[o] + 1e-9, "{suffix} {seed}");
                    }
                    closer += usize::from(value(at) > first.constant + crate::rounding::dot(&first.slope, at) + 1e-9);
                }
            }
            assert!(closer > 0, "no line is nearer than the first one where it touches");
        }
    }
}
