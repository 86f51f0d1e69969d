use std::cmp::Ordering;

use crate::lp::LpStatus;
use crate::relaxation::Relaxation;
use crate::split_form::{Affine, SplitForm};

/// A part of the problem that is open.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// A proved lower bound on its objective.
    pub(super) bound: f64,
    /// Its relaxation, solved.
    pub(super) relaxation: Relaxation,
}

/// The least bound first.
impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        other.bound.total_cmp(&self.bound)
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Node {}

/// What became of a part of the problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Evaluation {
    /// Something in it may be better than the cutoff; the lower bound.
    Open(f64),
    /// Nothing in it is better than the cutoff; the lower bound.
    Closed(f64),
    /// It is empty.
    Empty,
}

/// Times a node's bounds are tightened and its relaxation solved again while that settles units.
const ROUNDS: usize = 4;
/// Times cuts are added in between.
const CUT_ROUNDS: usize = 8;

/// Bounds a node: propagation and CROWN, the relaxation with cuts, tightening by reduced costs, again while it settles units.
/// `cutoff` gives the objective that must be beaten; `offer` is told each optimum's input.
pub(super) fn evaluate(
    relaxation: &mut Relaxation,
    form: &SplitForm,
    cost: &Affine,
    mut cutoff: impl FnMut() -> f64,
    mut offer: impl FnMut(&[f64]),
) -> Evaluation {
    let mut weights = Vec::new();
    let mut bound = f64::NEG_INFINITY;
    for _ in 0..ROUNDS {
        if !relaxation.propagate(form) || !relaxation.crown(form) {
            // Bounds that exclude one another are valid for what is better than the cutoff.
            return closed_or_empty(cutoff());
        }
        let status = relaxation.solve(form, lp_cutoff(cutoff(), cost), CUT_ROUNDS);
        if status == LpStatus::Infeasible && relaxation.lp.is_proved_infeasible() {
            return closed_or_empty(cutoff());
        }
        let minimum = relaxation.lp.weighted_bound(&mut weights);
        bound = bound.max(minimum + cost.constant - cost.error);
        if status == LpStatus::Optimal {
            offer(&relaxation.inputs(form));
        }
        if bound >= cutoff() {
            return Evaluation::Closed(bound);
        }
        let before = relaxation.split();
        if !relaxation.tighten_by_cost(form, minimum, &weights, lp_cutoff(cutoff(), cost)) {
            return closed_or_empty(cutoff());
        }
        if relaxation.split() == before {
            break;
        }
    }
    Evaluation::Open(bound)
}

/// A part that holds nothing better than the cutoff; without a cutoff it holds nothing.
pub(super) fn closed_or_empty(cutoff: f64) -> Evaluation {
    if cutoff == f64::INFINITY { Evaluation::Empty } else { Evaluation::Closed(cutoff) }
}

/// The cutoff in terms of the relaxation's objective, which lacks the constant.
pub(super) fn lp_cutoff(cutoff: f64, cost: &Affine) -> f64 {
    // A little more, so that rounding does not leave a node open that the relaxation found closed.
    cutoff - cost.constant + cost.error + 1e-9 * (cutoff.abs() + cost.constant.abs()).max(1.0)
}
