use std::time::Instant;

use neuro_data::plan::Plan;

use super::occupancy::Occupancy;
use super::{Placement, Problem, plan_of};
use crate::{Method, Outcome, Result, Termination};

/// Requests one after another, those that pay most for their memory first, each on the first server where it and everybody there
/// keep their promises.
///
/// # Errors
///
/// A profiler cannot predict a server.
pub fn greedy(problem: &Problem<'_>) -> Result<Plan> {
    let start = Instant::now();
    let placement = place(problem)?;
    let outcome = Outcome {
        termination: Termination::Completed,
        objective: Some(problem.revenue(&placement)),
        bound: None,
        nodes: 0,
        seconds: start.elapsed().as_secs_f64(),
    };
    plan_of(problem, Method::Greedy, &placement, &outcome)
}

/// The placement of [`greedy`].
pub(super) fn place(problem: &Problem<'_>) -> Result<Placement> {
    let requests = &problem.instance().requests;
    let mut order: Vec<usize> = (0..requests.len()).collect();
    let density = |r: &usize| requests[*r].payment / problem.memory_gb[*r];
    order.sort_by(|a, b| density(b).total_cmp(&density(a)));
    let servers = problem.instance().servers.len();
    let mut occupancies: Vec<_> = (0..servers).map(|server| Occupancy::empty(problem, server)).collect();
    let mut placement: Placement = vec![None; requests.len()];
    for request in order {
        for occupancy in &mut occupancies {
            if occupancy.try_add(problem, request)? {
                placement[request] = Some(occupancy.server);
                break;
            }
        }
    }
    Ok(placement)
}
