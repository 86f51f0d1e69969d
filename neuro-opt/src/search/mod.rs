//! Branch and bound over the units of the network: our own method, which needs no solver.

mod branching;
mod climb;
mod node;
mod tree;
mod unit;

pub(crate) use climb::climb;
pub(crate) use unit::{UnitBudget, mip};

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::network_method::{NetworkMethod, NetworkOutcome};
use crate::tightening::{Tightened, Tightening, tighten};
use crate::{Limits, NetworkProblem, Observer, Outcome, Result, Sense};
use tree::Tree;

/// Branch and bound over the phases of the ReLU units, as complete verifiers do it.
///
/// A node is bounded by the linear relaxation of the network with what is fixed there; before that is solved, interval and CROWN
/// bounds are computed for the node, so that one fixed unit settles others, and afterwards the reduced costs of the solution
/// tighten them once more. Where a unit's value lies outside the convex hull of its graph over the node's box, the most violated
/// facet is added. Units to branch on are chosen by strong branching. Each bound is recomputed from the duals and rounded
/// outwards; each solution is a forward pass.
///
/// # References
///
/// - Bunel, Lu, Turkaslan, Torr, Kohli, Kumar, Branch and Bound for Piecewise Linear Neural Network Verification, Journal of
///   Machine Learning Research 21, 2020, arXiv:1909.06588.
/// - Wang, Zhang, Xu, Lin, Jana, Hsieh, Kolter, Beta-CROWN, NeurIPS 2021, arXiv:2103.06624.
/// - Tjandraatmadja, Anderson, Huchette, Ma, Patel, Vielma, The Convex Relaxation Barrier, Revisited, NeurIPS 2020,
///   arXiv:2006.14076.
/// - Achterberg, Koch, Martin, Branching rules revisited, Operations Research Letters 33, 2005, DOI 10.1016/j.orl.2004.04.002.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// Levels of bounds before the first node.
    pub tightening: Tightening,
    /// Threads; at least 1. With one, the same problem always takes the same course.
    pub threads: usize,
    /// Units tried by strong branching at a node; at least 1.
    pub candidates: usize,
    /// Pivots for each try.
    pub trial_pivots: usize,
    /// Points from which a solution is sought before the first node.
    pub starts: usize,
    /// Seed of these points.
    pub seed: u64,
    /// Bytes of nodes that may wait; beyond, the search goes deep instead of best first.
    pub memory: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            tightening: Tightening::default(),
            threads: 1,
            candidates: 12,
            trial_pivots: 15,
            starts: 10,
            seed: 1,
            memory: 1 << 29,
        }
    }
}

impl NetworkMethod for Search {
    fn optimise(&self, problem: &NetworkProblem, limits: &Limits, observer: Observer<'_>) -> Result<NetworkOutcome> {
        let start = Instant::now();
        limits.check()?;
        let Some(Tightened { domain, bounds, levels, x }) = tighten(problem, &self.tightening, limits, start)? else {
            return Ok(NetworkOutcome::infeasible(start, Vec::new()));
        };
        let tree = Tree::new(self, problem, domain, &bounds, limits, start)?;
        if let Some(x) = x {
            tree.offer(&x);
        }
        let result = tree.grow(observer)?;
        let sign = if problem.sense() == Sense::Maximise { -1.0 } else { 1.0 };
        let outcome = Outcome {
            termination: result.termination,
            objective: result.x.is_some().then_some(sign * result.objective),
            bound: result.bound.is_finite().then_some(sign * result.bound),
            nodes: result.nodes,
            seconds: start.elapsed().as_secs_f64(),
        };
        outcome.check(problem.sense(), 1e-9)?;
        Ok(NetworkOutcome { outcome, x: result.x, levels, repeated: None })
    }
}
