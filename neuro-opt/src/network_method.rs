use std::time::Instant;

use serde::Serialize;

use crate::tightening::LevelReport;
use crate::{Limits, NetworkProblem, Observer, Outcome, Result, Termination};

/// A way to optimise over a network.
pub trait NetworkMethod {
    /// Optimises `problem` within `limits`.
    ///
    /// Whatever the method, an input that is held lies in the domain (rows to 1e-9) and the objective is its forward pass.
    ///
    /// # Errors
    ///
    /// [`Error::Overflow`](crate::Error::Overflow) if inputs are unbounded or units overflow,
    /// [`Error::UnsupportedActivation`](crate::Error::UnsupportedActivation), an invalid option, or what the method's solver reports.
    fn optimise(&self, problem: &NetworkProblem, limits: &Limits, observer: Observer<'_>) -> Result<NetworkOutcome>;
}

/// How an optimisation over a network ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkOutcome {
    /// Why it stopped, the objective, the bound, and what it took.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The input of the objective.
    pub x: Option<Vec<f64>>,
    /// What the levels of bounds did, in order.
    pub levels: Vec<LevelReport>,
    /// Why a first solve, under an objective cutoff, was thrown away and another made without it; `None` if there was one only.
    pub repeated: Option<String>,
}

impl NetworkOutcome {
    /// Split units by interval bounds, before any other level: the binaries of the plainest encoding.
    pub fn binaries_before(&self) -> usize {
        self.levels.first().map_or(0, |level| level.phases.split)
    }

    /// Split units after the last level.
    pub fn binaries_after(&self) -> usize {
        self.levels.last().map_or(0, |level| level.phases.split)
    }

    pub(crate) fn infeasible(start: Instant, levels: Vec<LevelReport>) -> Self {
        let seconds = start.elapsed().as_secs_f64();
        let outcome = Outcome { termination: Termination::Infeasible, objective: None, bound: None, nodes: 0, seconds };
        Self { outcome, x: None, levels, repeated: None }
    }
}
