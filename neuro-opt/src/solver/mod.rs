//! Mixed-integer solvers behind one trait, each with a feature and a file of its own.

#[cfg(feature = "cbc")]
pub mod cbc;
#[cfg(feature = "highs")]
pub mod highs;
pub mod worker;

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(any(feature = "cbc", feature = "highs"))]
use crate::Termination;
use crate::model::Model;
use crate::{Outcome, Result};

/// A mixed-integer solver.
pub trait MipSolver {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Solves `model`.
    ///
    /// Whatever the solver, a solution that is held meets the model ([`Model::is_feasible`] to 1e-6; whole numbers exactly), the
    /// objective is computed from its values, and a bound that is reported is a bound. A time limit or an infeasible model is an
    /// outcome.
    ///
    /// # Errors
    ///
    /// [`Error::Solver`](crate::Error::Solver) if the solver fails or contradicts itself.
    fn solve(&self, model: &Model, options: &SolveOptions) -> Result<Solution>;
}

/// What a solver is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SolveOptions {
    /// Wall-clock limit; none by default.
    pub time: Option<Duration>,
    /// Limit of nodes; none by default.
    pub nodes: Option<u64>,
    /// Whether the model is solved as it is, without what a solver may do to it before (see [`cbc`]); by default not.
    pub plain: bool,
}

/// What a solver answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// Why it stopped, the objective, the bound, nodes and time.
    pub outcome: Outcome,
    /// One figure a variable.
    pub values: Option<Vec<f64>>,
}

/// What a model is whose objective is unbounded wherever there is a solution: a solve without the objective says whether there is.
#[cfg(any(feature = "cbc", feature = "highs"))]
pub(crate) fn unbounded_or_infeasible(
    solver: &dyn MipSolver,
    model: &Model,
    options: &SolveOptions,
    start: std::time::Instant,
) -> Result<Solution> {
    let mut feasibility = model.clone();
    feasibility.optimise(model.sense(), crate::model::Linear::default())?;
    let left = options.time.map(|limit| limit.saturating_sub(start.elapsed()));
    let found = solver.solve(&feasibility, &SolveOptions { time: left, ..options.clone() })?;
    let termination = match found.outcome.termination {
        Termination::Optimal => Termination::Unbounded,
        other => other,
    };
    let (nodes, seconds) = (found.outcome.nodes, start.elapsed().as_secs_f64());
    Ok(Solution { outcome: Outcome { termination, objective: None, bound: None, nodes, seconds }, values: None })
}

/// How far a solver's values may miss the model.
#[cfg(any(feature = "cbc", feature = "highs"))]
pub(crate) const TOLERANCE: f64 = 1e-6;

/// A solver's values with whole numbers made whole and bounds kept, if they then meet the model.
#[cfg(any(feature = "cbc", feature = "highs"))]
pub(crate) fn admitted(model: &Model, values: &[f64]) -> Option<Vec<f64>> {
    let values: Vec<f64> = values
        .iter()
        .zip(model.variables())
        .map(|(&value, variable)| {
            let near = (value - value.round()).abs() <= 1e-5;
            if variable.integer && near { value.round() } else { value }.clamp(variable.lower, variable.upper)
        })
        .collect();
    model.is_feasible(&values, TOLERANCE).then_some(values)
}
