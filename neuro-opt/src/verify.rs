use serde::Serialize;

use crate::{Limits, NetworkMethod, NetworkOutcome, NetworkProblem, Observer, Result, Sense, Termination};

/// Whether c·f(x) ≤ t holds on a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds for every point.
    Proved,
    /// It does not: the outcome's `x` is a witness, by forward pass.
    Refuted,
    /// A limit came first.
    Unknown,
}

/// Proves or refutes c·f(x) ≤ `threshold` for all x of the problem's domain, whatever the problem's sense.
///
/// The outcome holds the witness, or the proved upper bound on c·f(x). On an empty domain everything is proved.
///
/// # Errors
///
/// Those of the method.
pub fn verify(
    problem: &NetworkProblem,
    threshold: f64,
    method: &dyn NetworkMethod,
    limits: &Limits,
    observer: Observer<'_>,
) -> Result<(Verdict, NetworkOutcome)> {
    let problem = problem.with_sense(Sense::Maximise);
    let limits = Limits { target: Some(threshold), ..limits.clone() };
    let outcome = method.optimise(&problem, &limits, observer)?;
    let verdict = if outcome.outcome.objective.is_some_and(|objective| objective > threshold) {
        Verdict::Refuted
    } else if outcome.outcome.termination == Termination::Infeasible
        || outcome.outcome.bound.is_some_and(|bound| bound <= threshold)
    {
        Verdict::Proved
    } else {
        Verdict::Unknown
    };
    Ok((verdict, outcome))
}
