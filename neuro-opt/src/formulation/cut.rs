//! Cuts: rows that every exact encoding meets, and its linear relaxation does not.

use neuro_profiler::network::Network;

use crate::bounds::{Crown, NetworkBounds};
use crate::model::{Linear, Model, Variable};
use crate::relaxation::Relaxation;
use crate::{Domain, InputSet, NetworkProblem, Result, Sense, SplitForm};

/// Adds CROWN's lines for the objective: A̲·x + d̲ ≤ c·f(x) ≤ A̅·x + d̅, two rows over inputs and outputs alone. `bounds` must hold on
/// `inputs`.
///
/// # Errors
///
/// Those of [`Crown::within`] and [`Model::add`].
pub fn add_crown(
    model: &mut Model,
    network: &Network,
    inputs: &dyn InputSet,
    bounds: &NetworkBounds,
    c: &[f64],
    x: &[Variable],
    outputs: &[Linear],
) -> Result<usize> {
    let [lower, upper] = Crown::within(network, inputs, Some(bounds))?.output_lines(c)?;
    let mut value = Linear::default();
    c.iter().zip(outputs).for_each(|(c, output)| value.add_scaled(*c, output));
    let minus = |(coefficients, constant): &(Vec<f64>, f64)| {
        let mut rest = value.clone();
        x.iter().zip(coefficients).for_each(|(x, a)| rest.add_scaled(-a, &(*x).into()));
        (rest, *constant)
    };
    let (rest, constant) = minus(&upper);
    model.add(rest.at_most(constant))?;
    let (rest, constant) = minus(&lower);
    model.add(rest.at_least(constant))?;
    Ok(2)
}

/// Adds the facets of single units' convex hulls that the relaxation of `problem` needs at its optimum, found by solving it and
/// cutting until nothing is violated. `column` gives each split unit's output by layer and unit.
///
/// # Errors
///
/// [`Error::UnsupportedActivation`](crate::Error::UnsupportedActivation), and those of [`Model::add`].
pub fn add_hull(
    model: &mut Model,
    problem: &NetworkProblem,
    domain: &Domain,
    bounds: &NetworkBounds,
    x: &[Variable],
    column: impl Fn(usize, usize) -> Linear,
) -> Result<usize> {
    let form = SplitForm::new(problem.network(), domain, bounds)?;
    let sign = if problem.sense() == Sense::Maximise { -1.0 } else { 1.0 };
    let weights: Vec<f64> = problem.objective().iter().map(|c| sign * c).collect();
    let mut relaxation = Relaxation::new(&form, domain)?;
    relaxation.lp.set_objective(&form.combination(&weights, domain).coefficients);
    relaxation.solve(&form, f64::INFINITY, 50);
    let mut added = 0;
    for (coefficients, upper) in relaxation.cuts() {
        let mut sum = Linear::default();
        for (index, a) in coefficients.iter().enumerate() {
            match index.checked_sub(form.inputs) {
                None => sum.add_scaled(*a, &x[index].into()),
                Some(unit) => sum.add_scaled(*a, &column(form.units[unit].layer, form.units[unit].unit)),
            }
        }
        model.add(sum.at_most(upper))?;
        added += 1;
    }
    Ok(added)
}
