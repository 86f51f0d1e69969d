use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;

use super::certificate::{Certificate, ClassBasis, GroupProof, PartProof};
use super::filling::{Tree, TreeParams, interference_of};
use super::lns::{LnsParams, search};
use super::{Placement, Problem, greedy, plan_of};
use crate::{Error, Limits, Method, Observer, Outcome, Result};

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct ExactParams {
    /// When to stop; by default only at the optimum.
    pub limits: Limits,
    /// Threads, at least 1; by default the number of cores.
    pub workers: usize,
    /// Seed of the search for a first plan.
    pub seed: u64,
    /// Whether to keep a proof of the bound; by default not.
    pub certificate: bool,
}

impl Default for ExactParams {
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self { limits: Limits::default(), workers, seed: 1, certificate: false }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The best plan, audited.
    pub plan: Plan,
    /// Nodes of the tree.
    pub nodes: u64,
    /// The proof of the bound, if it was asked for.
    pub certificate: Option<Certificate>,
}

/// Fills the one server of a problem and proves that no filling has more revenue, by branch and bound.
///
/// A request counts if it is served wholly, so on one server splitting it is no choice: the optimum is that of integer splits too.
///
/// # Errors
///
/// [`Error::OneServerOnly`], [`Error::UnsuitedProfiler`], [`Error::InvalidOption`], a profiler that cannot predict a server, or
/// [`Error::FailedAudit`].
pub fn exact(problem: &Problem<'_>, params: &ExactParams, observer: Observer<'_>) -> Result<Exact> {
    params.limits.check()?;
    let start = Instant::now();
    let servers = problem.instance().servers.len();
    if servers != 1 {
        return Err(Error::OneServerOnly { method: Method::Exact, servers });
    }
    let requests = problem.admissible(0);
    let capacity_gb = problem.instance().servers[0].memory_gb;
    let prices = vec![0.0; problem.instance().requests.len()];
    let interference = interference_of(problem, Method::Exact, 0, requests.clone(), capacity_gb, None)?;
    let filling = problem.filling(&requests, &prices, capacity_gb, &*interference);
    let first = first_plan(problem, params, observer)?;
    let known: Vec<u32> = requests.iter().map(|r| u32::from(first[*r].is_some())).collect();
    let mut limits = params.limits.clone();
    limits.time = limits.time.map(|time| time.saturating_sub(start.elapsed()));
    let tree = TreeParams { limits, workers: params.workers, keep: params.certificate };
    let solution = Tree::new(&filling, &*interference, &tree, Some(known)).run(observer)?;
    let mut placement: Placement = vec![None; problem.instance().requests.len()];
    for (request, pieces) in requests.iter().zip(solution.pieces.clone().unwrap_or_default()) {
        placement[*request] = (pieces > 0).then_some(0);
    }
    let revenue = problem.revenue(&placement);
    let outcome = Outcome {
        termination: solution.termination,
        objective: Some(revenue),
        bound: Some(solution.bound.max(revenue)),
        nodes: solution.nodes,
        seconds: start.elapsed().as_secs_f64(),
    };
    let certificate = params.certificate.then(|| Certificate {
        bound: solution.bound,
        classes: vec![ClassBasis::of(&problem.instance().servers[0].name, &*interference)],
        parts: vec![PartProof { branching: None, prices, groups: vec![GroupProof::of(&solution, &filling)] }],
    });
    Ok(Exact { plan: plan_of(problem, Method::Exact, &placement, &outcome)?, nodes: solution.nodes, certificate })
}

/// A plan to begin with.
fn first_plan(problem: &Problem<'_>, params: &ExactParams, observer: Observer<'_>) -> Result<Placement> {
    let iterations = FIRST_ITERATIONS * problem.instance().requests.len().max(1) as u64;
    let time = params.limits.time.map_or(Duration::MAX, |time| time / 2);
    let lns = LnsParams { time, iterations: Some(iterations), workers: 1, seed: params.seed, ..LnsParams::default() };
    let mut stopped = false;
    let found = search(problem, &lns, greedy::place(problem)?, &mut |progress| {
        stopped |= observer(progress) == ControlFlow::Break(());
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found.placement)
}

/// Iterations of the first search by request.
const FIRST_ITERATIONS: u64 = 40;
