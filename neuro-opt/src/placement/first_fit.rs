use std::time::Instant;

use neuro_data::plan::Plan;

use super::occupancy::MEMORY_TOLERANCE_GB;
use super::{Placement, Problem, plan_of};
use crate::{Method, Outcome, Result, Termination};

/// Requests in the order of the instance, each on the first server that has the memory: what an orchestrator does that knows nothing of
/// latency. The plan's audit tells which promises that breaks.
///
/// # Errors
///
/// A profiler cannot predict a server.
pub fn first_fit(problem: &Problem<'_>) -> Result<Plan> {
    let start = Instant::now();
    let mut free_gb: Vec<f64> = problem.instance().servers.iter().map(|server| server.memory_gb).collect();
    let mut placement: Placement = Vec::new();
    for needed in &problem.memory_gb {
        let server = free_gb.iter().position(|free| *needed <= free + MEMORY_TOLERANCE_GB);
        if let Some(server) = server {
            free_gb[server] -= needed;
        }
        placement.push(server);
    }
    let outcome = Outcome {
        termination: Termination::Completed,
        objective: Some(problem.revenue(&placement)),
        bound: None,
        nodes: 0,
        seconds: start.elapsed().as_secs_f64(),
    };
    plan_of(problem, Method::FirstFit, &placement, &outcome)
}
