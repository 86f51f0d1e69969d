use ndarray::{Array1, Array2, ArrayView1, s};
use neuro_data::instance::Instance;
use neuro_profiler::deep_sets::{DeepSets, Pooling};
use neuro_profiler::server_state::{INSTANCES_SCALE, RATE_SCALE, ServerState};
use neuro_profiler::{Load, Model, sla_index};

use crate::placement::problem::Kind;
use crate::{Error, Method, Result};

/// The predictions of a server as functions of real numbers of instances, with gradients.
pub(super) struct Relaxed<'a> {
    model: Network<'a>,
    loads: &'a [Load],
    /// ln D − ln margin of each request.
    limits: Vec<f64>,
    /// The statistics that each request's promise is the largest of.
    statistics: Vec<Vec<usize>>,
}

enum Network<'a> {
    /// The published network; by application the mean rate of its requests.
    Paper { model: &'a DeepSets, rates: Vec<f64> },
    /// The network of a server's state; ψ (d × requests), and own terms with ln base by request.
    ServerState { model: &'a ServerState, states: Array2<f64>, own: Vec<[f64; 3]> },
}

/// An application on a server, for the context of others: min(1, n)·φ(e, n/16, λ/10).
struct Entry {
    /// What φ is given.
    input: Array1<f64>,
    rate: f64,
    instances: f64,
}

/// How a function of an entry changes with the instances of one of its requests: by a + (λ_r − λ)·b.
#[derive(Clone, Copy)]
struct Slope {
    by_instances: f64,
    by_rate: f64,
    rate: f64,
}

impl<'a> Relaxed<'a> {
    pub(super) fn new(kind: &'a Kind<'_>, instance: &Instance) -> Result<Self> {
        let model = match kind.bundle.model() {
            Model::Paper(model) if model.shape().pooling == Pooling::Sum => {
                let mut sums = vec![(0.0, 0.0); kind.bundle.profile().apps.len()];
                for load in &kind.loads {
                    sums[load.app].0 += load.instances;
                    sums[load.app].1 += load.instances * load.rate;
                }
                Network::Paper { model, rates: sums.into_iter().map(|(n, load)| load / f64::max(n, 1.0)).collect() }
            }
            Model::ServerState(model) => {
                let terms: Vec<_> = kind.loads.iter().map(|load| model.terms(load.app, load.rate)).collect();
                let states = Array2::from_shape_fn((model.shape().state, terms.len()), |(k, r)| terms[r].state[k]);
                let own = terms.iter().zip(&kind.loads).map(|(terms, load)| {
                    let base = model.base_s(load.app);
                    std::array::from_fn(|k| base[k].ln() + terms.own[k])
                });
                let own = own.collect();
                Network::ServerState { model, states, own }
            }
            other => {
                let found = other.architecture().name();
                let needed = "it takes gradients of the published network (paper) or of server-state";
                return Err(Error::UnsuitedProfiler { method: Method::Neuro, found, needed });
            }
        };
        let limit = |(request, load): (&neuro_data::instance::Request, &Load)| {
            request.delay_s.ln() - kind.bundle.margin(load.app, request.sla).ln()
        };
        let limits = instance.requests.iter().zip(&kind.loads).map(limit).collect();
        // A p95 is never below the p75.
        let statistics = |request: &neuro_data::instance::Request| match sla_index(request.sla) {
            2 => vec![1, 2],
            k => vec![k],
        };
        Ok(Self { model, loads: &kind.loads, limits, statistics: instance.requests.iter().map(statistics).collect() })
    }

    /// ln T + ln margin − ln D of each request beside `n` instances of each, its own included: above 0 where its promise fails.
    pub(super) fn excesses(&self, n: &[f64]) -> Result<Vec<f64>> {
        Ok(self.evaluate(n, false)?.0)
    }

    /// The same, and the derivatives (request × request) of each by the instances of each.
    pub(super) fn excesses_and_gradients(&self, n: &[f64]) -> Result<(Vec<f64>, Array2<f64>)> {
        self.evaluate(n, true)
    }

    fn evaluate(&self, n: &[f64], gradients: bool) -> Result<(Vec<f64>, Array2<f64>)> {
        match &self.model {
            Network::Paper { model, rates } => self.of_paper(model, rates, n, gradients),
            Network::ServerState { model, states, own } => self.of_server_state(model, states, own, n, gradients),
        }
    }

    /// The largest of a request's statistics, and which it is.
    fn largest(&self, request: usize, value: impl Fn(usize) -> f64) -> (usize, f64) {
        let values = self.statistics[request].iter().map(|k| (*k, value(*k)));
        values.fold((0, f64::NEG_INFINITY), |best, other| if other.1 > best.1 { other } else { best })
    }

    fn of_server_state(
        &self,
        model: &ServerState,
        states: &Array2<f64>,
        own: &[[f64; 3]],
        n: &[f64],
        gradients: bool,
    ) -> Result<(Vec<f64>, Array2<f64>)> {
        let h = states.dot(&ArrayView1::from(n));
        let (outputs, jacobian) = if gradients {
            let (outputs, jacobian) = model.head().jacobian(h.view())?;
            (outputs, jacobian.dot(states))
        } else {
            (model.head().forward(h.view())?, Array2::zeros((0, 0)))
        };
        let mut slopes = Array2::zeros(if gradients { (n.len(), n.len()) } else { (0, 0) });
        let mut excesses = Vec::with_capacity(n.len());
        for (r, load) in self.loads.iter().enumerate() {
            let (k, time) = self.largest(r, |k| own[r][k] + outputs[3 * load.app + k]);
            excesses.push(time - self.limits[r]);
            if gradients {
                slopes.row_mut(r).assign(&jacobian.row(3 * load.app + k));
            }
        }
        Ok((excesses, slopes))
    }

    fn of_paper(&self, model: &DeepSets, rates: &[f64], n: &[f64], gradients: bool) -> Result<(Vec<f64>, Array2<f64>)> {
        let mut sums = vec![(0.0, 0.0); rates.len()];
        for (load, n) in self.loads.iter().zip(n) {
            sums[load.app].0 += n;
            sums[load.app].1 += n * load.rate;
        }
        let is_asked: Vec<bool> = (0..rates.len()).map(|app| self.loads.iter().any(|load| load.app == app)).collect();
        let Some(phi) = model.phi() else { return Ok((Vec::new(), Array2::zeros((0, 0)))) };
        let of_app = |app: usize| is_asked[app].then(|| Entry::new(model, app, sums[app], rates[app]));
        let shared: Vec<Option<Entry>> = (0..rates.len()).map(of_app).collect();
        // φ of each application, with its Jacobian where gradients are asked for.
        let mut values: Vec<Array1<f64>> = Vec::new();
        let mut jacobians: Vec<Array2<f64>> = Vec::new();
        for entry in &shared {
            let (value, jacobian) = match entry {
                None => (Array1::zeros(model.shape().context), Array2::zeros((0, 0))),
                Some(entry) if gradients => phi.jacobian(entry.input.view())?,
                Some(entry) => (phi.forward(entry.input.view())?, Array2::zeros((0, 0))),
            };
            values.push(value);
            jacobians.push(jacobian);
        }
        let d = model.shape().context;
        let mut whole: Array1<f64> = Array1::zeros(d);
        for (entry, value) in shared.iter().zip(&values) {
            whole.scaled_add(entry.as_ref().map_or(0.0, Entry::part), value);
        }
        let mut slopes = Array2::zeros(if gradients { (n.len(), n.len()) } else { (0, 0) });
        let mut excesses = Vec::with_capacity(n.len());
        for (r, load) in self.loads.iter().enumerate() {
            // Its own application without itself.
            let (total, work) = sums[load.app];
            let others = ((total - n[r]).max(0.0), (work - n[r] * load.rate).max(0.0));
            let own = Entry::new(model, load.app, others, rates[load.app]);
            let mut context = whole.clone();
            context.scaled_add(-shared[load.app].as_ref().map_or(0.0, Entry::part), &values[load.app]);
            if own.part() > 0.0 {
                context.scaled_add(own.part(), &phi.forward(own.input.view())?);
            }
            let input: Array1<f64> = context
                .into_iter()
                .chain(model.embedding().row(load.app).iter().copied())
                .chain([n[r] / INSTANCES_SCALE, load.rate / RATE_SCALE])
                .collect();
            let scale = model.scale_s(load.app);
            let (mut largest, outputs) = ((0, 0.0), model.rho().outputs());
            let mut choose = |y: &Array1<f64>| {
                largest = self.largest(r, |k| scale[k].ln() + y[k]);
                Array1::from_shape_fn(outputs, |k| if k == largest.0 { 1.0 } else { 0.0 })
            };
            if !gradients {
                choose(&model.rho().forward(input.view())?);
                excesses.push(largest.1 - self.limits[r]);
                continue;
            }
            let (_, gradient) = model.rho().gradient(input.view(), choose)?;
            excesses.push(largest.1 - self.limits[r]);
            let by_context = gradient.slice(s![..d]);
            let (own_value, own_gradient) = phi.gradient(own.input.view(), |_| by_context.to_owned())?;
            let by_own = own.slope(by_context.dot(&own_value), own_gradient.view());
            let by_app: Vec<Option<Slope>> = shared
                .iter()
                .zip(values.iter().zip(&jacobians))
                .map(|(entry, (value, jacobian))| {
                    let entry = entry.as_ref()?;
                    // Two of its columns are enough.
                    let places = [entry.input.len() - 2, entry.input.len() - 1];
                    let mut gradient = Array1::zeros(entry.input.len());
                    places.iter().for_each(|place| gradient[*place] = by_context.dot(&jacobian.column(*place)));
                    Some(entry.slope(by_context.dot(value), gradient.view()))
                })
                .collect();
            let mut slopes = slopes.row_mut(r);
            for (j, other) in self.loads.iter().enumerate() {
                let of = if other.app == load.app { Some(by_own) } else { by_app[other.app] };
                if let (true, Some(slope)) = (j != r, of) {
                    slopes[j] = slope.by_instances + (other.rate - slope.rate) * slope.by_rate;
                }
            }
            slopes[r] = gradient[d + model.shape().embedding] / INSTANCES_SCALE;
        }
        Ok((excesses, slopes))
    }
}

impl Entry {
    /// Of an application with `instances` and Σ n·λ of its tenants; `rate` stands in where there are none.
    fn new(model: &DeepSets, app: usize, (instances, work): (f64, f64), rate: f64) -> Self {
        let none = instances < 1e-9;
        let (instances, rate) = if none { (0.0, rate) } else { (instances, work / instances) };
        let embedding = model.embedding().row(app);
        let load = [instances / INSTANCES_SCALE, rate / RATE_SCALE];
        Self { input: embedding.iter().copied().chain(load).collect(), rate, instances }
    }

    /// min(1, n).
    fn part(&self) -> f64 {
        self.instances.min(1.0)
    }

    /// Of w·φ·min(1, n), from w·φ and its gradient by what φ is given.
    fn slope(&self, value: f64, gradient: ArrayView1<'_, f64>) -> Slope {
        let (to_n, to_rate) = (gradient[gradient.len() - 2], gradient[gradient.len() - 1]);
        let coming_in = if self.instances < 1.0 { value } else { 0.0 };
        Slope {
            by_instances: self.part() * to_n / INSTANCES_SCALE + coming_in,
            // ∂λ/∂n_r = (λ_r − λ)/n, and min(1, n)/n is 1 below one instance.
            by_rate: to_rate / self.instances.max(1.0) / RATE_SCALE,
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use neuro_data::Catalogue;
    use neuro_data::scenario::{Scenario, ScenarioParams, draw};
    use neuro_profiler::Bundle;

    use super::*;
    use crate::placement::{Problem, Profiles};

    fn with_relaxed(bundle: &str, check: impl Fn(&Problem<'_>, &Relaxed<'_>)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/bundles").join(bundle);
        let profiles = Profiles::default().and_of_all(Bundle::read(&folder).unwrap());
        let params = ScenarioParams { requests: Some(14), ..ScenarioParams::new(Scenario::Mixed, 1, 4) };
        let instance = draw(&params, &Catalogue::built_in()).unwrap();
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let relaxed = Relaxed::new(&problem.kinds[0], &instance).unwrap();
        check(&problem, &relaxed);
    }

    #[test]
    fn whole_numbers_are_what_the_bundle_promises() {
        for bundle in ["edge-a", "edge-a-paper"] {
            with_relaxed(bundle, |problem, relaxed| {
                let requests = &problem.instance().requests;
                let there: Vec<usize> = (0..requests.len()).filter(|r| r % 3 != 0).collect();
                let n = |r: usize| if there.contains(&r) { f64::from(requests[r].instances) } else { 0.0 };
                let excesses = relaxed.excesses(&(0..requests.len()).map(n).collect::<Vec<_>>()).unwrap();
                let promises = problem.kinds[0].promises(problem.instance(), &there).unwrap();
                for (r, seconds) in there.iter().zip(promises) {
                    let expected = (seconds / requests[*r].delay_s).ln();
                    assert!((excesses[*r] - expected).abs() < 1e-9, "{bundle} {r}: {} is not {expected}", excesses[*r]);
                }
            });
        }
    }

    #[test]
    fn gradients_are_those_of_differences() {
        for bundle in ["edge-a", "edge-a-paper"] {
            with_relaxed(bundle, |problem, relaxed| {
                let requests = &problem.instance().requests;
                let n: Vec<f64> =
                    requests.iter().enumerate().map(|(r, q)| 0.07 * (r % 5) as f64 * f64::from(q.instances)).collect();
                // None that is there is where its application comes in, at 0 or 1.
                let n: Vec<f64> = n.iter().map(|n| n + 0.013).collect();
                let (values, slopes) = relaxed.excesses_and_gradients(&n).unwrap();
                assert_eq!(values, relaxed.excesses(&n).unwrap());
                let step = 1e-6;
                for j in 0..n.len() {
                    let at = |by: f64| {
                        let mut moved = n.clone();
                        moved[j] += by;
                        relaxed.excesses(&moved).unwrap()
                    };
                    let (ahead, behind) = (at(step), at(-step));
                    for r in 0..n.len() {
                        let difference = (ahead[r] - behind[r]) / (2.0 * step);
                        let size = 1.0_f64.max(difference.abs());
                        assert!((slopes[[r, j]] - difference).abs() < 1e-4 * size, "{bundle} {r} {j}");
                    }
                }
            });
        }
    }
}
