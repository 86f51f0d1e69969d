use std::collections::BTreeMap;

use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_profiler::server_state::{CompiledHead, CompiledTerms};
use neuro_profiler::{Bundle, Load, Model, Profiler, sla_index};

use super::filling::{Filling, Interference};
use super::published::{CompiledTenants, TenantTerms};
use crate::{Error, Result};

/// Profilers by kind of server, or one for every kind.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    by_kind: BTreeMap<String, Bundle>,
    of_all: Option<Bundle>,
}

impl Profiles {
    /// Adds the profiler of every kind that has none of its own.
    #[must_use]
    pub fn and_of_all(mut self, bundle: Bundle) -> Self {
        self.of_all = Some(bundle.with_headroom());
        self
    }

    /// Adds the profiler of one kind.
    #[must_use]
    pub fn with(mut self, kind: impl Into<String>, bundle: Bundle) -> Self {
        self.by_kind.insert(kind.into(), bundle.with_headroom());
        self
    }

    /// The profiler of a kind; its network predicts with the headroom of its margins ([`Bundle::with_headroom`]).
    pub fn get(&self, kind: &str) -> Option<&Bundle> {
        self.by_kind.get(kind).or(self.of_all.as_ref())
    }
}

/// An instance with what is needed to decide it, checked.
#[derive(Debug)]
pub struct Problem<'a> {
    instance: &'a Instance,
    pub(crate) kinds: Vec<Kind<'a>>,
    /// Position of the kind of each server.
    pub(crate) kind_of: Vec<usize>,
    /// Memory of all instances of each request, GB.
    pub(crate) memory_gb: Vec<f64>,
    /// Memory of one instance of each request, GB.
    pub(crate) instance_memory_gb: Vec<f64>,
}

/// A kind of server: its profiler and, by request, what the profiler needs to know of it.
#[derive(Debug)]
pub(crate) struct Kind<'a> {
    pub(crate) bundle: &'a Bundle,
    /// The load of each request.
    pub(crate) loads: Vec<Load>,
    /// Whether a load lies above what the profiler was trained on: such a request is not admitted.
    pub(crate) beyond_training: Vec<bool>,
    /// A server-state profiler or the published network, compiled.
    pub(crate) compiled: Option<CompiledKind>,
}

/// A profiler and its requests, for searches.
#[derive(Debug)]
pub(crate) enum CompiledKind {
    /// One network of a server.
    Shared(CompiledState),
    /// One network for each tenant, and what it needs to know of each request.
    Tenants(CompiledTenants, Vec<TenantTerms>),
}

/// A server-state profiler and its requests, for searches.
#[derive(Debug)]
pub(crate) struct CompiledState {
    pub(crate) head: CompiledHead,
    pub(crate) terms: Vec<CompiledTerms>,
    /// The outputs that each request bounds, and their bounds.
    pub(crate) limits: Vec<Vec<(usize, f32)>>,
    /// Number of outputs.
    pub(crate) outputs: usize,
}

/// By how much a search keeps its single-precision predictions below a promise's logarithm, so that the audit in double precision
/// finds it kept.
const SINGLE_PRECISION_SLACK: f64 = 1e-4;

impl<'a> Problem<'a> {
    /// Puts a problem together. Memory is the catalogue's.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for an instance that is out of range or an unknown application, [`Error::NoProfile`] for a kind of server
    /// without a profiler, [`Error::Network`] for a profiler that does not know an application.
    pub fn new(instance: &'a Instance, profiles: &'a Profiles, catalogue: &Catalogue) -> Result<Self> {
        instance.validate()?;
        let mut names: Vec<&str> = Vec::new();
        let mut kinds = Vec::new();
        let mut kind_of = Vec::new();
        for server in &instance.servers {
            let known = names.iter().position(|name| *name == server.kind);
            kind_of.push(match known {
                Some(place) => place,
                None => {
                    let missing = || Error::NoProfile { server: server.name.clone(), kind: server.kind.clone() };
                    kinds.push(Kind::new(profiles.get(&server.kind).ok_or_else(missing)?, instance)?);
                    names.push(&server.kind);
                    names.len() - 1
                }
            });
        }
        let mut instance_memory_gb = Vec::new();
        for (i, request) in instance.requests.iter().enumerate() {
            let app = catalogue.get(&request.app).map_err(|source| Error::Request {
                field: format!("requests[{i}].app"),
                source: Box::new(source.into()),
            })?;
            instance_memory_gb.push(app.memory_gb);
        }
        let memory = instance.requests.iter().zip(&instance_memory_gb);
        let memory_gb = memory.map(|(request, gb)| f64::from(request.instances) * gb).collect();
        Ok(Self { instance, kinds, kind_of, memory_gb, instance_memory_gb })
    }

    /// The instance.
    pub fn instance(&self) -> &'a Instance {
        self.instance
    }

    /// The kind of a server.
    pub(crate) fn kind(&self, server: usize) -> &Kind<'a> {
        &self.kinds[self.kind_of[server]]
    }

    /// The requests that a kind of server may be given.
    pub(crate) fn admissible(&self, kind: usize) -> Vec<usize> {
        (0..self.instance.requests.len()).filter(|r| !self.kinds[kind].beyond_training[*r]).collect()
    }

    /// A server to fill with these requests, at prices that take from what they pay.
    pub(crate) fn filling(
        &self,
        requests: &[usize],
        prices: &[f64],
        capacity_gb: f64,
        interference: &dyn Interference,
    ) -> Filling {
        let profit = |r: &usize| self.instance.requests[*r].payment - prices[*r];
        let memory_gb = requests.iter().map(|r| self.memory_gb[*r]).collect();
        let most = vec![1; requests.len()];
        let kinds: Vec<(&str, u32)> = requests
            .iter()
            .map(|r| (self.instance.requests[*r].app.as_str(), self.instance.requests[*r].instances))
            .collect();
        Filling::new(requests.iter().map(profit).collect(), memory_gb, most, capacity_gb, interference).alike(&kinds)
    }

    /// Whether every promise holds on a server of a kind, with `pieces` of `instances` each of these requests.
    pub(crate) fn holds(&self, kind: usize, pieces: &[u32], requests: &[usize], instances: &[u32]) -> Result<bool> {
        let of = &self.kinds[kind];
        let held: Vec<(usize, f64)> = pieces
            .iter()
            .zip(requests.iter().zip(instances))
            .filter(|(pieces, _)| **pieces > 0)
            .map(|(pieces, (request, n))| (*request, f64::from(*pieces) * f64::from(*n)))
            .collect();
        let loads: Vec<Load> =
            held.iter().map(|(r, instances)| Load { instances: *instances, ..of.loads[*r] }).collect();
        let promises = of.bundle.promises(&loads)?;
        let requests = &self.instance.requests;
        Ok(held.iter().zip(promises).all(|((r, _), times)| times[sla_index(requests[*r].sla)] <= requests[*r].delay_s))
    }

    /// The revenue of a placement.
    pub(crate) fn revenue(&self, placement: &super::Placement) -> f64 {
        let placed = placement.iter().zip(&self.instance.requests).filter(|(server, _)| server.is_some());
        placed.map(|(_, request)| request.payment).sum()
    }
}

impl<'a> Kind<'a> {
    fn new(bundle: &'a Bundle, instance: &Instance) -> Result<Self> {
        let mut loads = Vec::new();
        let mut beyond_training = Vec::new();
        for (i, request) in instance.requests.iter().enumerate() {
            let unknown = |source: neuro_profiler::Error| Error::Request {
                field: format!("requests[{i}].app"),
                source: Box::new(source.into()),
            };
            let app = bundle.app(&request.app).map_err(unknown)?;
            let load = Load { app, instances: f64::from(request.instances), rate: request.rate };
            let range = bundle.profile().ranges.get(&request.app);
            beyond_training.push(range.is_some_and(|range| {
                load.instances > range.instances[1].max(range.total_instances)
                    || load.rate > range.rate[1] * (1.0 + 1e-9)
            }));
            loads.push(load);
        }
        let compiled = match bundle.model() {
            Model::ServerState(model) => {
                let head = CompiledHead::new(model);
                let terms: Vec<_> = loads.iter().map(|load| model.terms(load.app, load.rate)).collect();
                let limits = instance.requests.iter().zip(&loads).zip(&terms).map(|((request, load), terms)| {
                    let sla = sla_index(request.sla);
                    let promise = request.delay_s.ln() - bundle.margin(load.app, request.sla).ln();
                    // A p95 is never below the p75, so a bound on it is one on both.
                    let statistics = if sla == 2 { 1..=2 } else { sla..=sla };
                    let limit = |k: usize| {
                        let limit = promise - model.base_s(load.app)[k].ln() - terms.own[k] - SINGLE_PRECISION_SLACK;
                        (3 * load.app + k, limit as f32)
                    };
                    statistics.map(limit).collect()
                });
                let limits = limits.collect();
                let terms = terms.iter().map(|terms| head.terms(terms)).collect();
                Some(CompiledKind::Shared(CompiledState { head, terms, limits, outputs: model.head().outputs() }))
            }
            Model::Paper(model) => CompiledTenants::new(model).map(|network| {
                let terms = instance.requests.iter().zip(&loads).map(|(request, load)| {
                    let sla = sla_index(request.sla);
                    let promise = request.delay_s.ln() - bundle.margin(load.app, request.sla).ln();
                    let statistics = if sla == 2 { 1..=2 } else { sla..=sla };
                    let limit = |k: usize| {
                        let limit = promise - model.scale_s(load.app)[k].ln() - SINGLE_PRECISION_SLACK;
                        (k, limit as f32)
                    };
                    network.terms(load.app, load.instances, load.rate, statistics.map(limit).collect())
                });
                let terms = terms.collect();
                CompiledKind::Tenants(network, terms)
            }),
            _ => None,
        };
        Ok(Self { bundle, loads, beyond_training, compiled })
    }

    /// Seconds that may be promised to each of the requests that share a server, of the statistic that each asks for.
    pub(crate) fn promises(&self, instance: &Instance, requests: &[usize]) -> Result<Vec<f64>> {
        let server: Vec<Load> = requests.iter().map(|r| self.loads[*r]).collect();
        let promises = self.bundle.promises(&server)?;
        Ok(requests.iter().zip(promises).map(|(r, times)| times[sla_index(instance.requests[*r].sla)]).collect())
    }
}
