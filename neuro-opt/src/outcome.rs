use serde::{Deserialize, Serialize, Serializer};

use crate::{Error, Result};

/// Whether the larger or the smaller objective is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sense {
    /// The larger is better; bounds are upper bounds.
    Maximise,
    /// The smaller is better; bounds are lower bounds.
    Minimise,
}

/// Why a method stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Termination {
    /// The solution held is proved optimal.
    Optimal,
    /// It is proved that no solution exists.
    Infeasible,
    /// Solutions of any quality exist.
    Unbounded,
    /// The gap that was asked for is reached.
    GapReached,
    /// A solution is held that is better than the target that was asked for.
    TargetReached,
    /// It is proved that no solution is better than the target that was asked for.
    TargetUnreachable,
    /// The time is up.
    TimeLimit,
    /// The branch-and-bound nodes are used up.
    NodeLimit,
    /// The iterations are used up.
    IterationLimit,
    /// A heuristic came to its end; nothing is proved.
    Completed,
    /// The user stopped it.
    Interrupted,
}

impl Termination {
    /// Its name in files.
    pub fn id(self) -> &'static str {
        match self {
            Self::Optimal => "optimal",
            Self::Infeasible => "infeasible",
            Self::Unbounded => "unbounded",
            Self::GapReached => "gap-reached",
            Self::TargetReached => "target-reached",
            Self::TargetUnreachable => "target-unreachable",
            Self::TimeLimit => "time-limit",
            Self::NodeLimit => "node-limit",
            Self::IterationLimit => "iteration-limit",
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a method holds when it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrimalStatus {
    /// A solution that meets every constraint.
    Feasible,
    /// No solution.
    None,
}

/// How an optimisation ended.
///
/// As JSON it also holds the derived `primal` and `gap`, which reading ignores.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Outcome {
    /// Why it stopped.
    pub termination: Termination,
    /// The objective of the solution held; `None` if none is held.
    pub objective: Option<f64>,
    /// A proved bound on the best objective; `None` where none is proved.
    pub bound: Option<f64>,
    /// Branch-and-bound nodes explored.
    pub nodes: u64,
    /// Wall-clock time (s).
    pub seconds: f64,
}

impl Outcome {
    /// Whether a solution is held.
    pub fn primal(&self) -> PrimalStatus {
        if self.objective.is_some() { PrimalStatus::Feasible } else { PrimalStatus::None }
    }

    /// The relative gap |bound − objective| / |objective|.
    ///
    /// It is 0 where the two are equal, whatever the objective, and `None` where it has no finite value: without a solution,
    /// without a bound, with an objective of 0 and another bound, or with an infinite bound.
    pub fn gap(&self) -> Option<f64> {
        let (objective, bound) = (self.objective?, self.bound?);
        let distance = (bound - objective).abs();
        let gap = if distance == 0.0 { 0.0 } else { distance / objective.abs() };
        gap.is_finite().then_some(gap)
    }

    /// Refuses an outcome that contradicts itself.
    ///
    /// `tolerance`, at least 0, is how much better than the bound an objective may be, relative to the larger of 1 and the
    /// bound's size, before it counts as a contradiction: solvers work in floating point.
    ///
    /// # Errors
    ///
    /// - [`Error::BoundContradicted`] if the objective is better than the bound by more than the tolerance;
    /// - [`Error::Contradiction`] if an infeasible problem has a solution, an optimal one none, or a figure is NaN.
    pub fn check(&self, sense: Sense, tolerance: f64) -> Result<()> {
        if [self.objective, self.bound].into_iter().flatten().any(f64::is_nan) {
            return Err(Error::Contradiction("objective or bound is not a number"));
        }
        match (self.termination, self.primal()) {
            (Termination::Infeasible, PrimalStatus::Feasible) => {
                return Err(Error::Contradiction("infeasible, but a solution is held"));
            }
            (Termination::Optimal | Termination::GapReached, PrimalStatus::None) => {
                return Err(Error::Contradiction("solved, but no solution is held"));
            }
            _ => {}
        }
        let (Some(objective), Some(bound)) = (self.objective, self.bound) else {
            return Ok(());
        };
        let better_by = match sense {
            Sense::Maximise => objective - bound,
            Sense::Minimise => bound - objective,
        };
        if better_by > tolerance * bound.abs().max(1.0) {
            return Err(Error::BoundContradicted { objective, bound });
        }
        Ok(())
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written {
            termination: Termination,
            primal: PrimalStatus,
            objective: Option<f64>,
            bound: Option<f64>,
            gap: Option<f64>,
            nodes: u64,
            seconds: f64,
        }
        Written {
            termination: self.termination,
            primal: self.primal(),
            objective: self.objective,
            bound: self.bound,
            gap: self.gap(),
            nodes: self.nodes,
            seconds: self.seconds,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(objective: Option<f64>, bound: Option<f64>) -> Outcome {
        Outcome { termination: Termination::TimeLimit, objective, bound, nodes: 3, seconds: 0.5 }
    }

    #[test]
    fn gaps() {
        let cases = [
            (Some(100.0), Some(102.0), Some(0.02)),
            (Some(-100.0), Some(-98.0), Some(0.02)),
            (Some(100.0), Some(100.0), Some(0.0)),
            (Some(0.0), Some(0.0), Some(0.0)),
            (Some(0.0), Some(5.0), None),
            (Some(100.0), Some(f64::INFINITY), None),
            (Some(100.0), None, None),
            (None, Some(5.0), None),
        ];
        for (objective, bound, gap) in cases {
            assert_eq!(outcome(objective, bound).gap(), gap, "{objective:?}, {bound:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let check = |outcome: Outcome, sense| outcome.check(sense, 1e-9);
        assert!(check(outcome(Some(1.0), Some(2.0)), Sense::Maximise).is_ok());
        let too_good = check(outcome(Some(1.0), Some(2.0)), Sense::Minimise).unwrap_err();
        assert!(matches!(too_good, Error::BoundContradicted { objective: 1.0, bound: 2.0 }));
        assert!(check(outcome(Some(1.0 + 1e-10), Some(1.0)), Sense::Maximise).is_ok());
        assert!(check(outcome(Some(1.0 + 1e-8), Some(1.0)), Sense::Maximise).is_err());
        assert!(check(outcome(Some(f64::NAN), None), Sense::Maximise).is_err());
        let infeasible = Outcome { termination: Termination::Infeasible, ..outcome(Some(1.0), None) };
        assert!(check(infeasible, Sense::Maximise).is_err());
        let optimal = Outcome { termination: Termination::Optimal, ..outcome(None, None) };
        assert!(check(optimal, Sense::Maximise).is_err());
    }

    #[test]
    fn json_form() {
        let held = outcome(Some(100.0), Some(102.0));
        let text = serde_json::to_string(&held).unwrap();
        let expected = r#"{"termination":"time-limit","primal":"feasible","objective":100.0,"bound":102.0,"gap":0.02,"nodes":3,"seconds":0.5}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), held);
        let nothing = serde_json::to_value(outcome(None, None)).unwrap();
        assert_eq!(nothing["primal"], "none");
        assert!(nothing["objective"].is_null() && nothing["bound"].is_null() && nothing["gap"].is_null());
    }
}
