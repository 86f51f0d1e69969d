use std::time::Instant;

use neuro_profiler::network::Network;

use super::NetworkBounds;
use crate::relaxation::Relaxation;
use crate::{Domain, ReluPhase, Result, Sense, SplitForm};

/// Points that are not good enough to matter: only those whose c·f(x) is at least as good as `value` do.
///
/// A cutoff over the inputs is a row of the [`Domain`].
#[derive(Clone, Debug, PartialEq)]
pub struct Cutoff {
    /// c, one figure an output.
    pub objective: Vec<f64>,
    /// Which values are the better ones.
    pub sense: Sense,
    /// The value.
    pub value: f64,
}

/// Bounds from linear programs, and how many were solved.
#[derive(Clone, Debug, PartialEq)]
pub struct LpBounds {
    /// The bounds: valid for every point of the domain, or, with a cutoff, for those that it leaves.
    pub bounds: NetworkBounds,
    /// Linear programs solved.
    pub solves: u64,
}

/// Tightens `bounds`, which must hold on `domain`, by the least and the largest pre-activation of each split unit in the linear
/// relaxation of what is before it, under the domain's rows and the cutoff; layer by layer, each unit with what the ones before it
/// gained. Stops at `deadline` with what it has. `None` if no point is left.
///
/// Each bound is recomputed from the duals and rounded outwards.
///
/// # Errors
///
/// [`Error::UnsupportedActivation`](crate::Error::UnsupportedActivation) for another activation than ReLU,
/// [`Error::InvalidInputBounds`](crate::Error::InvalidInputBounds) for an infinite domain.
///
/// # References
///
/// Gleixner, Berthold, Müller, Weltge, Three enhancements for optimization-based bound tightening, Journal of Global Optimization
/// 67, 2017, DOI 10.1007/s10898-016-0450-4.
pub fn lp(
    network: &Network,
    domain: &Domain,
    bounds: &NetworkBounds,
    cutoff: Option<&Cutoff>,
    deadline: Option<Instant>,
) -> Result<Option<LpBounds>> {
    let form = SplitForm::new(network, domain, bounds)?;
    let cutoff = cutoff.map(|cutoff| {
        let sign = if cutoff.sense == Sense::Maximise { -1.0 } else { 1.0 };
        let weights: Vec<f64> = cutoff.objective.iter().map(|c| sign * c).collect();
        (form.combination(&weights, domain), sign * cutoff.value)
    });
    let mut relaxation = Relaxation::with_cutoff(&form, domain, cutoff.as_ref().map(|(cost, value)| (cost, *value)))?;
    if !relaxation.propagate(&form) {
        return Ok(None);
    }
    let mut solves = 0;
    for index in 0..form.units.len() {
        let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if late || relaxation.phase(index) != ReluPhase::Split {
            continue;
        }
        let a = &form.units[index].preactivation;
        for sign in [1.0, -1.0] {
            let direction: Vec<f64> = a.coefficients.iter().map(|w| sign * w).collect();
            relaxation.lp.set_objective(&direction);
            relaxation.solve(&form, f64::INFINITY, 4);
            if relaxation.lp.is_proved_infeasible() {
                return Ok(None);
            }
            solves += 1;
            let limit = relaxation.lp.bound() + sign * a.constant - a.error - 4.0 * f64::EPSILON * a.constant.abs();
            let kept = if sign > 0.0 {
                relaxation.tighten(&form, index, limit, f64::INFINITY)
            } else {
                relaxation.tighten(&form, index, f64::NEG_INFINITY, -limit)
            };
            if !kept {
                return Ok(None);
            }
        }
    }
    let mut bounds = bounds.clone();
    for (index, unit) in form.units.iter().enumerate() {
        bounds.layers[unit.layer].tighten(unit.unit, relaxation.lower[index], relaxation.upper[index]);
    }
    Ok(Some(LpBounds { bounds, solves }))
}
