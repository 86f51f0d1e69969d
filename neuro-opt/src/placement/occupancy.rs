use neuro_profiler::server_state::CompiledServer;

use super::Problem;
use crate::Result;

/// What runs on one server while a search changes it.
#[derive(Clone, Debug)]
pub(crate) struct Occupancy {
    pub(crate) server: usize,
    /// Requests, in the order in which they came.
    pub(crate) tenants: Vec<usize>,
    pub(crate) used_gb: f64,
    /// The state, where the profiler has one.
    state: Option<CompiledServer>,
}

impl Occupancy {
    /// A server with nothing on it.
    pub(crate) fn empty(problem: &Problem<'_>, server: usize) -> Self {
        let state = problem.kind(server).compiled.as_ref().map(|kind| kind.head.empty());
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
        let fits = self.violator(problem)?.is_none();
        if !fits {
            self.remove(problem, self.tenants.len() - 1);
        }
        Ok(fits)
    }

    /// Adds a request, whatever becomes of the promises.
    pub(crate) fn add(&mut self, problem: &Problem<'_>, request: usize) {
        self.tenants.push(request);
        self.used_gb += problem.memory_gb[request];
        self.shift(problem, request, 1.0);
    }

    /// Removes the tenant at a place.
    pub(crate) fn remove(&mut self, problem: &Problem<'_>, place: usize) -> usize {
        let request = self.tenants.remove(place);
        self.used_gb -= problem.memory_gb[request];
        self.shift(problem, request, -1.0);
        request
    }

    fn shift(&mut self, problem: &Problem<'_>, request: usize, sign: f32) {
        if let (Some(state), Some(kind)) = (&mut self.state, &problem.kind(self.server).compiled) {
            state.add(&kind.terms[request], sign * problem.instance().requests[request].instances as f32);
        }
    }

    /// Counts memory and state anew, for sums that many changes have made imprecise.
    pub(crate) fn refresh(&mut self, problem: &Problem<'_>) {
        let tenants = std::mem::take(&mut self.tenants);
        *self = Self::empty(problem, self.server);
        tenants.into_iter().for_each(|request| self.add(problem, request));
    }

    /// The place of the first tenant whose promise does not hold.
    pub(crate) fn violator(&mut self, problem: &Problem<'_>) -> Result<Option<usize>> {
        let kind = problem.kind(self.server);
        if let (Some(state), Some(compiled)) = (&mut self.state, &kind.compiled) {
            let outputs = state.outputs(&compiled.head);
            let holds = |r: &usize| compiled.limits[*r].iter().all(|(output, limit)| outputs[*output] <= *limit);
            return Ok(self.tenants.iter().position(|r| !holds(r)));
        }
        let promises = kind.promises(problem.instance(), &self.tenants)?;
        let requests = &problem.instance().requests;
        Ok(self.tenants.iter().zip(promises).position(|(r, seconds)| seconds > requests[*r].delay_s))
    }
}

/// Memory by which sums of figures with one decimal may be off.
pub(crate) const MEMORY_TOLERANCE_GB: f64 = 1e-9;
