use super::Search;
use super::node::{Node, lp_cutoff};
use crate::ReluPhase;
use crate::relaxation::Relaxation;
use crate::split_form::{Affine, SplitForm};

/// What a node is divided by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Branching {
    /// A unit is active or inactive.
    Unit(usize),
    /// A whole-number input is at most this, or at least one more.
    Input(usize, f64),
}

impl Branching {
    /// The relaxation of one side; `None` if it is empty.
    pub(super) fn side(self, node: &Relaxation, form: &SplitForm, above: bool) -> Option<Relaxation> {
        let mut side = node.clone();
        let kept = match self {
            Self::Unit(unit) => side.fix(form, unit, above),
            Self::Input(input, value) if above => side.tighten_input(input, value + 1.0, f64::INFINITY),
            Self::Input(input, value) => side.tighten_input(input, f64::NEG_INFINITY, value),
        };
        kept.then_some(side)
    }
}

/// The branching that strong branching finds best: of the units whose values are furthest from their graph, and the inputs
/// furthest from whole numbers, the one with the largest product of both sides' rise of the bound. `None` if nothing is left to
/// divide.
pub(super) fn choose(search: &Search, node: &Node, form: &SplitForm, cost: &Affine, cutoff: f64) -> Option<Branching> {
    let relaxation = &node.relaxation;
    let units = (0..form.units.len()).filter(|&unit| relaxation.phase(unit) == ReluPhase::Split).map(|unit| {
        let a = relaxation.preactivation(form, unit);
        let violation = relaxation.violation(form, unit).max(0.0);
        // How far the unit's value must move in either phase.
        let (down, up) = (violation + a.max(0.0), violation + (-a).max(0.0));
        (violation.max(1e-9) * (1e-3 + down.min(up)), Branching::Unit(unit))
    });
    let inputs = (0..form.inputs).filter(|&input| relaxation.is_fractional(input)).map(|input| {
        let floor = relaxation.lp.value(input).floor();
        let part = relaxation.lp.value(input) - floor;
        (part.min(1.0 - part), Branching::Input(input, floor))
    });
    let mut candidates: Vec<(f64, Branching)> = units.chain(inputs).collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates.truncate(search.candidates.max(1));
    if let [(_, only)] = candidates[..] {
        return Some(only);
    }
    let limit = lp_cutoff(cutoff, cost);
    let rise = |branching: Branching, above: bool| {
        let most = (cutoff - node.bound).min(1e9);
        let Some(mut side) = branching.side(relaxation, form, above) else { return most };
        if !side.propagate(form) {
            return most;
        }
        side.lp.solve_within(limit, search.trial_pivots);
        (side.lp.objective() + cost.constant - node.bound).clamp(0.0, most)
    };
    let scored = candidates.into_iter().map(|(_, branching)| {
        let score = rise(branching, true).max(1e-9) * rise(branching, false).max(1e-9);
        (score, branching)
    });
    // The first of equals.
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, branching)| branching)
}
