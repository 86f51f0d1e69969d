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

/// An application on a server, for the context of others.
struct Entry {
    rate: f64,
    /// min(1, n)·φ.
    value: Array1<f64>,
    /// Its derivative by n at a fixed rate, and by the rate over n: what a request's instance changes is the first plus
    /// (λ_r − λ)·the second.
    by_instances: Array1<f64>,
    by_rate: Array1<f64>,
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
        let of_app = |(app, sum): (usize, &(f64, f64))| {
            is_asked[app].then(|| entry(model, app, *sum, rates[app], gradients)).transpose()
        };
        let shared = sums.iter().enumerate().map(of_app).collect::<Result<Vec<Option<Entry>>>>()?;
        let d = model.shape().context;
        let mut whole: Array1<f64> = Array1::zeros(d);
        shared.iter().flatten().for_each(|entry| whole += &entry.value);
        let mut slopes = Array2::zeros(if gradients { (n.len(), n.len()) } else { (0, 0) });
        let mut excesses = Vec::with_capacity(n.len());
        for (r, load) in self.loads.iter().enumerate() {
            // Its own application without itself.
            let (total, work) = sums[load.app];
            let others = ((total - n[r]).max(0.0), (work - n[r] * load.rate).max(0.0));
            let own = entry(model, load.app, others, rates[load.app], gradients)?;
            let mut input = whole.to_vec();
            if let Some(with) = &shared[load.app] {
                input.iter_mut().zip(&own.value).zip(&with.value).for_each(|((h, own), with)| *h += own - with);
            }
            input.extend(model.embedding().row(load.app));
            input.extend([n[r] / INSTANCES_SCALE, load.rate / RATE_SCALE]);
            let input = Array1::from(input);
            let scale = model.scale_s(load.app);
            if !gradients {
                let outputs = model.rho().forward(input.view())?;
                let (_, time) = self.largest(r, |k| scale[k].ln() + outputs[k]);
                excesses.push(time - self.limits[r]);
                continue;
            }
            let (outputs, jacobian) = model.rho().jacobian(input.view())?;
            let (k, time) = self.largest(r, |k| scale[k].ln() + outputs[k]);
            excesses.push(time - self.limits[r]);
            let by_context = jacobian.slice(s![k, ..d]);
            let products =
                |entry: &Entry| (by_context.dot(&entry.by_instances), by_context.dot(&entry.by_rate), entry.rate);
            let by_app: Vec<Option<(f64, f64, f64)>> =
                shared.iter().map(|entry| entry.as_ref().map(products)).collect();
            let by_own = products(&own);
            let mut slopes = slopes.row_mut(r);
            for (j, other) in self.loads.iter().enumerate() {
                let of = if other.app == load.app { Some(by_own) } else { by_app[other.app] };
                if let (true, Some((by_instances, by_rate, rate))) = (j != r, of) {
                    slopes[j] = by_instances + (other.rate - rate) * by_rate;
                }
            }
            slopes[r] = jacobian[[k, d + model.shape().embedding]] / INSTANCES_SCALE;
        }
        Ok((excesses, slopes))
    }
}

/// What an application with `instances` and Σ n·λ of its tenants adds to the context; `rate` stands in where there are none.
fn entry(model: &DeepSets, app: usize, (instances, work): (f64, f64), rate: f64, gradients: bool) -> Result<Entry> {
    let d = model.shape().context;
    let zeros = || Array1::zeros(d);
    let Some(phi) = model.phi() else {
        return Ok(Entry { rate, value: zeros(), by_instances: zeros(), by_rate: zeros() });
    };
    let none = instances < 1e-9;
    let rate = if none { rate } else { work / instances };
    let part = if none { 0.0 } else { instances.min(1.0) };
    let mut input = model.embedding().row(app).to_vec();
    input.extend([instances / INSTANCES_SCALE, rate / RATE_SCALE]);
    let input = Array1::from(input);
    if !gradients {
        let value = if none { zeros() } else { phi.forward(input.view())? * part };
        return Ok(Entry { rate, value, by_instances: zeros(), by_rate: zeros() });
    }
    let (value, jacobian) = phi.jacobian(input.view())?;
    let (to_n, to_rate) = (jacobian.column(input.len() - 2), jacobian.column(input.len() - 1));
    let mut by_instances = &to_n * (part / INSTANCES_SCALE);
    if instances < 1.0 {
        by_instances += &value;
    }
    // ∂λ/∂n_r = (λ_r − λ)/n, and part/n is 1 below one instance.
    let by_rate = &to_rate * (1.0 / instances.max(1.0) / RATE_SCALE);
    Ok(Entry { rate, value: value * part, by_instances, by_rate })
}
