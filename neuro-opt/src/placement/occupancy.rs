use neuro_profiler::server_state::CompiledServer;

use super::Problem;
use super::problem::CompiledKind;
use super::published::{TenantServer, TenantTerms};
use crate::Result;

/// What runs on one server while a search changes it.
#[derive(Clone, Debug)]
pub(crate) struct Occupancy {
    pub(crate) server: usize,
    /// Requests, in the order in which they came.
    pub(crate) tenants: Vec<usize>,
    pub(crate) used_gb: f64,
    state: State,
}

/// What the profiler says of it changes with its tenants.
#[derive(Clone, Debug)]
enum State {
    /// Of a profiler that has no such thing.
    None,
    /// One network of the server, and the tightest limit of its tenants on each output.
    Shared(CompiledServer, Vec<f32>),
    Tenants(TenantServer),
}

impl Occupancy {
    /// A server with nothing on it.
    pub(crate) fn empty(problem: &Problem<'_>, server: usize) -> Self {
        let state = match &problem.kind(server).compiled {
            Some(CompiledKind::Shared(kind)) => State::Shared(kind.head.empty(), vec![f32::INFINITY; kind.outputs]),
            Some(CompiledKind::Tenants(..)) => State::Tenants(TenantServer::default()),
            None => State::None,
        };
        Self { server, tenants: Vec::new(), used_gb: 0.0, state }
    }

    /// GB that are free.
    pub(crate) fn free_gb(&self, problem: &Problem<'_>) -> f64 {
        problem.instance().servers[self.server].memory_gb - self.used_gb
    }

    /// Whether there is memory for a request.
    pub(crate) fn has_memory(&self, problem: &Problem<'_>, request: usize) -> bool {
        problem.memory_gb[request] <= self.free_gb(problem) + MEMORY_TOLERANCE_GB
    }

    /// Adds a request if there is memory and every promise holds then; says whether it did.
    pub(crate) fn try_add(&mut self, problem: &Problem<'_>, request: usize) -> Result<bool> {
        if !self.has_memory(problem, request) || problem.kind(self.server).beyond_training[request] {
            return Ok(false);
        }
        self.add(problem, request);
        let fits = self.holds(problem)?;
        if !fits {
            self.remove(problem, self.tenants.len() - 1);
        }
        Ok(fits)
    }

    /// Adds a request, whatever becomes of the promises.
    pub(crate) fn add(&mut self, problem: &Problem<'_>, request: usize) {
        self.used_gb += problem.memory_gb[request];
        match (&mut self.state, &problem.kind(self.server).compiled) {
            (State::Shared(state, tightest), Some(CompiledKind::Shared(kind))) => {
                state.add(&kind.terms[request], problem.instance().requests[request].instances as f32);
                for (output, limit) in &kind.limits[request] {
                    tightest[*output] = tightest[*output].min(*limit);
                }
            }
            (State::Tenants(state), Some(CompiledKind::Tenants(network, terms))) => {
                state.add(network, &terms[request], self.tenants.iter().map(|r| &terms[*r]));
            }
            _ => {}
        }
        self.tenants.push(request);
    }

    /// Removes the tenant at a place.
    pub(crate) fn remove(&mut self, problem: &Problem<'_>, place: usize) -> usize {
        let request = self.tenants.remove(place);
        self.used_gb -= problem.memory_gb[request];
        match (&mut self.state, &problem.kind(self.server).compiled) {
            (State::Shared(state, tightest), Some(CompiledKind::Shared(kind))) => {
                state.add(&kind.terms[request], -(problem.instance().requests[request].instances as f32));
                for (output, limit) in &kind.limits[request] {
                    if *limit <= tightest[*output] {
                        let left = self.tenants.iter().flat_map(|r| &kind.limits[*r]);
                        let left = left.filter(|(other, _)| other == output).map(|(_, limit)| *limit);
                        tightest[*output] = left.fold(f32::INFINITY, f32::min);
                    }
                }
            }
            (State::Tenants(state), Some(CompiledKind::Tenants(network, terms))) => {
                state.remove(network, place, &terms[request], self.tenants.iter().map(|r| &terms[*r]));
            }
            _ => {}
        }
        request
    }

    /// Counts memory and state anew, for sums that many changes have made imprecise.
    pub(crate) fn refresh(&mut self, problem: &Problem<'_>) {
        let tenants = std::mem::take(&mut self.tenants);
        *self = Self::empty(problem, self.server);
        tenants.into_iter().for_each(|request| self.add(problem, request));
    }

    /// Whether every promise holds.
    pub(crate) fn holds(&mut self, problem: &Problem<'_>) -> Result<bool> {
        if let (State::Shared(state, tightest), Some(CompiledKind::Shared(kind))) =
            (&mut self.state, &problem.kind(self.server).compiled)
        {
            let outputs = state.outputs(&kind.head);
            // Without a branch: in vectors.
            return Ok(outputs.iter().zip(tightest).fold(true, |holds, (output, limit)| holds & (*output <= *limit)));
        }
        Ok(self.violator(problem)?.is_none())
    }

    /// The place of a tenant whose promise does not hold.
    pub(crate) fn violator(&mut self, problem: &Problem<'_>) -> Result<Option<usize>> {
        let kind = problem.kind(self.server);
        match (&mut self.state, &kind.compiled) {
            (State::Shared(state, _), Some(CompiledKind::Shared(compiled))) => {
                let outputs = state.outputs(&compiled.head);
                let holds = |r: &usize| compiled.limits[*r].iter().all(|(output, limit)| outputs[*output] <= *limit);
                Ok(self.tenants.iter().position(|r| !holds(r)))
            }
            (State::Tenants(state), Some(CompiledKind::Tenants(network, terms))) => {
                let terms: Vec<&TenantTerms> = self.tenants.iter().map(|r| &terms[*r]).collect();
                Ok(state.violator(network, &terms))
            }
            _ => {
                let promises = kind.promises(problem.instance(), &self.tenants)?;
                let requests = &problem.instance().requests;
                Ok(self.tenants.iter().zip(promises).position(|(r, seconds)| seconds > requests[*r].delay_s))
            }
        }
    }
}

/// Memory by which sums of figures with one decimal may be off.
pub(crate) const MEMORY_TOLERANCE_GB: f64 = 1e-9;
