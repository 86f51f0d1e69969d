//! The published network: one network for each tenant.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use ndarray::{Array1, Array2, s};
use neuro_profiler::deep_sets::{DeepSets, Pooling};
use neuro_profiler::network::Activation;
use neuro_profiler::server_state::{INSTANCES_SCALE, RATE_SCALE};
use neuro_profiler::{Load, Model, Profiler, sla_index};

use super::interference::{LOOSE, Promise};
use super::{Interference, Judgement, Line, Reach, Region, Verdict};
use crate::bounds::{lower_line, upper_line};
use crate::placement::Problem;
use crate::{Error, Method, Result};

/// ρ(h_i, e_i, n_i, λ_i) of every tenant i, h_i = Σ_b φ(e_b, what else of application b there is).
///
/// The coordinates are the pieces themselves. φ has few values on a server, one for each set of requests of an application, so h is a
/// sum of tables: a function c·h has its extremes one table at a time, and each table has a plane below it. ρ is bounded by lines of
/// its activations (CROWN, as of ReLU networks), which need to be valid only; so GELU will do.
pub(crate) struct TenantNetworks<'p, 'a> {
    problem: &'p Problem<'a>,
    model: &'p DeepSets,
    /// Position of the kind of server.
    kind: usize,
    /// The request of each item, and its load.
    requests: Vec<usize>,
    loads: Vec<Load>,
    /// Instances of a piece of each item.
    instances: Vec<u32>,
    tables: Vec<Table>,
    /// Of each item its table, and its bit there.
    place: Vec<(usize, u32)>,
    /// Length of h.
    context: usize,
    /// Identity.
    contributions: Vec<f64>,
    /// The first layer on h, and by item its bias with what the tenant itself gives.
    first: Vec<f64>,
    own: Vec<Vec<f64>>,
    /// The other layers, the outputs' last.
    layers: Vec<Layer>,
    /// The outputs and limits that each item's promises are.
    promises: Vec<Vec<(usize, f64)>>,
    lines: RwLock<HashMap<LineKey, [(f64, f64); 2]>>,
}

/// φ of every set of requests of an application.
struct Table {
    /// Items, by bit.
    items: Vec<usize>,
    /// Sets × context.
    values: Vec<f64>,
    /// Sets that the memory can hold.
    fits: Vec<bool>,
}

/// A dense layer, out × in.
struct Layer {
    inputs: usize,
    weights: Vec<f64>,
    bias: Vec<f64>,
}

/// Lines below and above a unit: slope and intercept.
type Relaxed = Vec<[(f64, f64); 2]>;

/// An interval on a grid that is as fine as it is short: lines are made for those.
type LineKey = (i32, i64, i64);

/// A plane in the pieces of items, below a table: slopes by item, and a constant.
struct Plane {
    slopes: Vec<(usize, f64)>,
    constant: f64,
}

/// Most requests of one application: a table has a row for each of their sets.
const REQUESTS: usize = 12;
/// Binary digits by which the grid of an interval is finer than it.
const FINENESS: i32 = 4;
/// The shortest intervals that are told apart, in binary digits.
const SHORTEST: i32 = -30;

impl<'p, 'a> TenantNetworks<'p, 'a> {
    /// Of the requests `requests`, each of them a piece, on a server of a kind with so much memory.
    ///
    /// # Errors
    ///
    /// [`Error::UnsuitedProfiler`] for another profiler, or for more than twelve requests of an application.
    pub(crate) fn new(
        problem: &'p Problem<'a>,
        method: Method,
        kind: usize,
        requests: Vec<usize>,
        capacity_gb: f64,
    ) -> Result<Self> {
        let of = &problem.kinds[kind];
        let unsuited =
            |needed| Error::UnsuitedProfiler { method, found: of.bundle.model().architecture().name(), needed };
        let Model::Paper(model) = of.bundle.model() else { return Err(unsuited("a server-state or a paper profiler")) };
        let (Some(phi), Pooling::Sum) = (model.phi(), model.shape().pooling) else {
            return Err(unsuited("of the published networks only that which sums up its context (paper)"));
        };
        let all = &problem.instance().requests;
        let loads: Vec<Load> = requests.iter().map(|r| of.loads[*r]).collect();
        let instances: Vec<u32> = requests.iter().map(|r| all[*r].instances).collect();
        let context = model.shape().context;
        let entry = |app: usize, n: f64, rate: f64| -> Vec<f64> {
            model.embedding().row(app).iter().copied().chain([n / INSTANCES_SCALE, rate / RATE_SCALE]).collect()
        };
        let mut tables = Vec::new();
        let mut place = vec![(0, 0); requests.len()];
        for app in 0..of.bundle.profile().apps.len() {
            let items: Vec<usize> = (0..requests.len()).filter(|item| loads[*item].app == app).collect();
            if items.len() > REQUESTS {
                return Err(unsuited(
                    "for the published network at most 12 requests of an application, or server-state",
                ));
            }
            items.iter().enumerate().for_each(|(bit, item)| place[*item] = (tables.len(), bit as u32));
            let (mut values, mut fits) = (vec![0.0; context], vec![true]);
            for set in 1..1usize << items.len() {
                let held = || items.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, item)| *item);
                let n: f64 = held().map(|item| loads[item].instances).sum();
                let rate = held().map(|item| loads[item].instances * loads[item].rate).sum::<f64>() / n;
                values.extend(phi.forward(Array1::from(entry(app, n, rate)).view())?);
                let gb: f64 = held().map(|item| problem.memory_gb[requests[item]]).sum();
                fits.push(gb <= capacity_gb + crate::placement::occupancy::MEMORY_TOLERANCE_GB);
            }
            tables.push(Table { items, values, fits });
        }
        let flat = |matrix: &Array2<f64>| matrix.iter().copied().collect::<Vec<f64>>();
        let rho = model.rho().layers();
        let first = flat(&rho[0].weights().slice(s![.., ..context]).to_owned());
        let own = loads.iter().map(|load| {
            let own = Array1::from(entry(load.app, load.instances, load.rate));
            (rho[0].weights().slice(s![.., context..]).dot(&own) + rho[0].bias()).to_vec()
        });
        let own = own.collect();
        let layers = rho[1..].iter().map(|layer| Layer {
            inputs: layer.inputs(),
            weights: flat(layer.weights()),
            bias: layer.bias().to_vec(),
        });
        let layers = layers.collect();
        let promises = requests.iter().zip(&loads).map(|(r, load)| {
            let request = &all[*r];
            let sla = sla_index(request.sla);
            let promise = request.delay_s.ln() - of.bundle.margin(load.app, request.sla).ln();
            // A p95 is never below the p75, so a bound on it is one on both.
            let statistics = if sla == 2 { 1..=2 } else { sla..=sla };
            statistics.map(|k| (k, promise - model.scale_s(load.app)[k].ln())).collect()
        });
        let promises = promises.collect();
        let contributions = flat(&Array2::eye(requests.len()));
        let lines = RwLock::default();
        Ok(Self {
            problem,
            model,
            kind,
            requests,
            loads,
            instances,
            tables,
            place,
            context,
            contributions,
            first,
            own,
            layers,
            promises,
            lines,
        })
    }

    /// By table the sets that a region leaves, `item` taken out where it is given.
    fn sets(&self, region: &Region, table: usize, item: Option<usize>) -> Vec<usize> {
        let table = &self.tables[table];
        let (mut sure, mut open) = (0usize, 0usize);
        for (bit, other) in table.items.iter().enumerate().filter(|(_, other)| Some(**other) != item) {
            if region.least[*other] > 0 {
                sure |= 1 << bit;
            } else if region.most[*other] > 0 {
                open |= 1 << bit;
            }
        }
        // All subsets of the open ones.
        let mut sets = Vec::new();
        let mut subset = open;
        loop {
            if table.fits[sure | subset] {
                sets.push(sure | subset);
            }
            if subset == 0 {
                return sets;
            }
            subset = (subset - 1) & open;
        }
    }

    fn value(&self, table: usize, set: usize, c: &[f64]) -> f64 {
        crate::rounding::dot(&self.tables[table].values[set * self.context..(set + 1) * self.context], c)
    }

    /// The least or the most of c·h + constant over sets of every table.
    fn extreme(&self, sets: &[&[usize]], c: &[f64], constant: f64, above: bool) -> f64 {
        let of = |(table, sets): (usize, &&[usize])| {
            let values = sets.iter().map(|set| self.value(table, *set, c));
            if above { values.fold(f64::NEG_INFINITY, f64::max) } else { values.fold(f64::INFINITY, f64::min) }
        };
        constant + sets.iter().enumerate().map(of).sum::<f64>()
    }

    /// A plane below c·φ on the sets of a table.
    fn plane(&self, table: usize, sets: &[usize], c: &[f64]) -> Plane {
        let values: Vec<f64> = sets.iter().map(|set| self.value(table, *set, c)).collect();
        let mean = |bit: usize, there: usize| {
            let of = || sets.iter().zip(&values).filter(move |(set, _)| **set >> bit & 1 == there).map(|(_, v)| *v);
            (of().sum::<f64>(), of().count())
        };
        let mut slopes = Vec::new();
        for bit in 0..self.tables[table].items.len() {
            let ((with, n), (without, m)) = (mean(bit, 1), mean(bit, 0));
            if n > 0 && m > 0 {
                slopes.push((bit, with / n as f64 - without / m as f64));
            }
        }
        let rest = |(set, value): (&usize, &f64)| {
            value - slopes.iter().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, slope)| slope).sum::<f64>()
        };
        let constant = sets.iter().zip(&values).map(rest).fold(f64::INFINITY, f64::min);
        let items = &self.tables[table].items;
        Plane { slopes: slopes.into_iter().map(|(bit, slope)| (items[bit], slope)).collect(), constant }
    }

    /// Lines below and above GELU on an interval.
    fn lines(&self, least: f64, most: f64) -> [(f64, f64); 2] {
        let digits = ((most - least).log2().floor() as i32).clamp(SHORTEST, 60) - FINENESS;
        let step = f64::from(digits).exp2();
        let key = (digits, (least / step).floor() as i64, (most / step).ceil() as i64 + 1);
        if let Some(lines) = self.lines.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return *lines;
        }
        let (from, to) = (key.1 as f64 * step, key.2 as f64 * step);
        let (below, above) = (lower_line(Activation::Gelu, from, to), upper_line(Activation::Gelu, from, to));
        let lines = [(below.slope, below.intercept), (above.slope, above.intercept)];
        self.lines.write().unwrap_or_else(PoisonError::into_inner).insert(key, lines);
        lines
    }

    /// A function row·x + bias of the outputs of the last relaxed layer as one of h, from below or above; `own` is the first layer's
    /// bias.
    fn backward(&self, relaxed: &[Relaxed], own: &[f64], row: &[f64], bias: f64, above: bool) -> (Vec<f64>, f64) {
        let (mut coefficients, mut constant) = (row.to_vec(), bias);
        for (l, relaxed) in relaxed.iter().enumerate().rev() {
            let (inputs, weights, bias) = match l.checked_sub(1) {
                Some(l) => (self.layers[l].inputs, &self.layers[l].weights, &self.layers[l].bias[..]),
                None => (self.context, &self.first, own),
            };
            let mut before = vec![0.0; inputs];
            for (unit, (c, weights)) in coefficients.iter().zip(weights.chunks_exact(inputs)).enumerate() {
                let (slope, intercept) = relaxed[unit][usize::from((*c > 0.0) == above)];
                constant += c * intercept + c * slope * bias[unit];
                before.iter_mut().zip(weights).for_each(|(b, w)| *b += c * slope * w);
            }
            coefficients = before;
        }
        (coefficients, constant)
    }

    /// Lines of ρ's hidden layers for a tenant.
    fn relax(&self, sets: &[&[usize]], item: usize) -> Vec<Relaxed> {
        let own = &self.own[item];
        let of_first =
            self.first.chunks_exact(self.context).zip(own).map(|(row, bias)| {
                self.lines(self.extreme(sets, row, *bias, false), self.extreme(sets, row, *bias, true))
            });
        let mut relaxed: Vec<Relaxed> = vec![of_first.collect()];
        for layer in &self.layers[..self.layers.len() - 1] {
            let of_layer = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias).map(|(row, bias)| {
                let end = |above| {
                    let (c, constant) = self.backward(&relaxed, own, row, *bias, above);
                    self.extreme(sets, &c, constant, above)
                };
                // Two bounds of one figure may cross by rounding.
                let (least, most) = (end(false), end(true));
                self.lines(least.min(most), most.max(least))
            });
            let of_layer = of_layer.collect();
            relaxed.push(of_layer);
        }
        relaxed
    }

    /// ρ of a tenant beside these sets.
    fn outputs(&self, item: usize, sets: &[usize]) -> Vec<f64> {
        let mut h = vec![0.0; self.context];
        for (table, set) in sets.iter().enumerate() {
            let (place, bit) = self.place[item];
            let set = if table == place { set & !(1 << bit) } else { *set };
            let values = &self.tables[table].values[set * self.context..(set + 1) * self.context];
            h.iter_mut().zip(values).for_each(|(h, v)| *h += v);
        }
        let rows = self.first.chunks_exact(self.context).zip(&self.own[item]);
        let mut x: Vec<f64> = rows.map(|(row, bias)| bias + crate::rounding::dot(row, &h)).collect();
        for layer in &self.layers {
            x.iter_mut().for_each(|x| *x = Activation::Gelu.at(*x));
            let rows = layer.weights.chunks_exact(layer.inputs).zip(&layer.bias);
            x = rows.map(|(row, bias)| bias + crate::rounding::dot(row, &x)).collect();
        }
        x
    }
}

impl Interference for TenantNetworks<'_, '_> {
    fn dimension(&self) -> usize {
        self.requests.len()
    }

    fn contribution(&self, item: usize) -> &[f64] {
        let d = self.requests.len();
        &self.contributions[item * d..(item + 1) * d]
    }

    fn judge(&self, reach: &Reach<'_>, judgement: &mut Judgement) {
        let region = reach.region();
        let before = std::mem::take(&mut judgement.verdicts);
        judgement.lines.clear();
        judgement.open.clear();
        judgement.looseness.clear();
        judgement.looseness.resize(self.requests.len(), 0.0);
        let shared: Vec<Vec<usize>> = (0..self.tables.len()).map(|table| self.sets(region, table, None)).collect();
        let output = &self.layers[self.layers.len() - 1];
        for (item, promises) in self.promises.iter().enumerate() {
            if region.most[item] == 0 || before.get(item) == Some(&Verdict::Always) {
                judgement.verdicts.push(if region.most[item] == 0 { Verdict::Never } else { Verdict::Always });
                continue;
            }
            let (place, _) = self.place[item];
            let beside = self.sets(region, place, Some(item));
            let sets: Vec<&[usize]> =
                shared.iter().enumerate().map(|(t, sets)| if t == place { &beside[..] } else { &sets[..] }).collect();
            if sets.iter().any(|sets| sets.is_empty()) {
                judgement.verdicts.push(Verdict::Never);
                continue;
            }
            let (relaxed, own) = (self.relax(&sets, item), &self.own[item]);
            let mut verdict = Verdict::Always;
            let first = judgement.open.len();
            for (which, (o, limit)) in promises.iter().enumerate() {
                let row = &output.weights[o * output.inputs..(o + 1) * output.inputs];
                let limit = limit + LOOSE;
                let (c, constant) = self.backward(&relaxed, own, row, output.bias[*o], false);
                if self.extreme(&sets, &c, constant, false) > limit {
                    verdict = Verdict::Never;
                    break;
                }
                let (up, above) = self.backward(&relaxed, own, row, output.bias[*o], true);
                if self.extreme(&sets, &up, above, true) <= limit {
                    continue;
                }
                verdict = Verdict::Open;
                let mut line = Line { slope: vec![0.0; self.requests.len()], constant, highest: 0.0 };
                for (table, sets) in sets.iter().enumerate() {
                    let plane = self.plane(table, sets, &c);
                    line.constant += plane.constant;
                    plane.slopes.into_iter().for_each(|(item, slope)| line.slope[item] += slope);
                }
                line.highest = line.constant + reach.most(&line.slope);
                judgement.lines.push(line);
                judgement.open.push(Promise { item, which, line: judgement.lines.len() - 1, limit });
            }
            if verdict == Verdict::Never {
                judgement.open.truncate(first);
            }
            judgement.verdicts.push(verdict);
        }
    }

    fn excess(&self, pieces: &[f64], _: &[f64], excess: &mut Vec<f64>) {
        let held: Vec<usize> = (0..pieces.len()).filter(|item| pieces[*item] > 0.0).collect();
        let load = |item: &usize| Load { instances: self.loads[*item].instances * pieces[*item], ..self.loads[*item] };
        let loads: Vec<Load> = held.iter().map(load).collect();
        excess.clear();
        excess.resize(pieces.len(), 0.0);
        let Ok(times) = self.model.log_times(&loads) else { return };
        for (item, times) in held.into_iter().zip(times) {
            let scale = self.model.scale_s(self.loads[item].app);
            let over = self.promises[item].iter().map(|(k, limit)| times[*k] - scale[*k].ln() - limit - LOOSE);
            excess[item] = over.fold(0.0, f64::max);
        }
    }

    fn holds(&self, pieces: &[u32]) -> Result<bool> {
        self.problem.holds(self.kind, pieces, &self.requests, &self.instances)
    }

    fn nearly_holds(&self, pieces: &[u32], _: &[f64]) -> bool {
        let mut sets = vec![0usize; self.tables.len()];
        let held = || (0..pieces.len()).filter(|item| pieces[*item] > 0);
        held().for_each(|item| sets[self.place[item].0] |= 1 << self.place[item].1);
        held().all(|item| {
            let outputs = self.outputs(item, &sets);
            self.promises[item].iter().all(|(k, limit)| outputs[*k] <= *limit)
        })
    }
}
