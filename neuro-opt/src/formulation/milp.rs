use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::embedding::Role;
use super::{Embedded, Embedding, Encoding, cut};
use crate::model::{Linear, Model, Variable};
use crate::solver::{MipSolver, SolveOptions};
use crate::tightening::{Level, Tightened, Tightening, tighten};
use crate::{
    Error, Limits, NetworkMethod, NetworkOutcome, NetworkProblem, Observer, Outcome, Progress, Result, Sense,
    SplitForm, Termination,
};

/// Cuts that go into the model from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cuts {
    /// None.
    None,
    /// CROWN's lines for the objective.
    Crown,
    /// Facets of the units' convex hulls.
    Hull,
}

/// The network as a mixed-integer program for a solver.
pub struct Milp<'a> {
    /// The solver.
    pub solver: &'a dyn MipSolver,
    /// How split units are encoded.
    pub encoding: Encoding,
    /// How far bounds are tightened before.
    pub tightening: Tightening,
    /// Cuts in the model.
    pub cuts: Cuts,
    /// Whether units that can only make the objective worse go without a binary.
    pub epigraph: bool,
}

impl<'a> Milp<'a> {
    /// Big-M with pre-activations, bounds up to linear programs with an objective cutoff, epigraphs, no cuts.
    pub fn new(solver: &'a dyn MipSolver) -> Self {
        Self {
            solver,
            encoding: Encoding::BigMPreactivation,
            tightening: Tightening::up_to(Level::LpCutoff),
            cuts: Cuts::None,
            epigraph: true,
        }
    }

    /// The model, its inputs, and what the network became; `bounds` as they were tightened.
    ///
    /// # Errors
    ///
    /// Those of [`Embedding::add`].
    pub fn model(&self, problem: &NetworkProblem, tightened: &Tightened) -> Result<(Model, Vec<Variable>, Embedded)> {
        let domain = &tightened.domain;
        let mut model = Model::new();
        let x = (0..domain.inputs())
            .map(|input| {
                let (name, lower, upper) = (format!("x{input}"), domain.lower()[input], domain.upper()[input]);
                if domain.integer()[input] {
                    model.integer(name, lower, upper)
                } else {
                    model.continuous(name, lower, upper)
                }
            })
            .collect::<Result<Vec<Variable>>>()?;
        for row in domain.rows() {
            let mut sum = Linear::default();
            x.iter().zip(&row.coefficients).for_each(|(x, a)| sum.add_scaled(*a, &(*x).into()));
            model.add(sum.at_most(row.upper))?;
        }
        let sign = if problem.sense() == Sense::Maximise { -1.0 } else { 1.0 };
        let mut embedding = Embedding::new(problem.network(), &tightened.bounds).encoding(self.encoding);
        if self.epigraph {
            embedding = embedding.minimised(problem.objective().iter().map(|c| sign * c).collect());
        }
        let inputs: Vec<Linear> = x.iter().copied().map(Linear::from).collect();
        let embedded = embedding.add(&mut model, &inputs)?;
        let mut objective = Linear::default();
        problem.objective().iter().zip(&embedded.outputs).for_each(|(c, output)| objective.add_scaled(*c, output));
        model.optimise(problem.sense(), objective)?;
        match self.cuts {
            Cuts::None => {}
            Cuts::Crown => {
                let (network, c) = (problem.network(), problem.objective());
                cut::add_crown(&mut model, network, domain, &tightened.bounds, c, &x, &embedded.outputs)?;
            }
            Cuts::Hull => {
                let column = |layer: usize, unit: usize| embedded.units[layer][unit].clone();
                cut::add_hull(&mut model, problem, domain, &tightened.bounds, &x, column)?;
            }
        }
        if let Some(start) = &tightened.x {
            let values = values_at(problem, tightened, &embedded, &model, start)?;
            model.set_start(values)?;
        }
        Ok((model, x, embedded))
    }
}

/// Every variable's value at an input.
fn values_at(
    problem: &NetworkProblem,
    tightened: &Tightened,
    embedded: &Embedded,
    model: &Model,
    x: &[f64],
) -> Result<Vec<f64>> {
    let mut values = vec![0.0; model.variables().len()];
    values[..x.len()].copy_from_slice(x);
    let form = SplitForm::new(problem.network(), &tightened.domain, &tightened.bounds)?;
    let columns = form.values(x);
    let split = |layer, unit| form.units.iter().position(|split| (split.layer, split.unit) == (layer, unit));
    for &(variable, layer, unit, role) in &embedded.variables {
        let Some(index) = split(layer, unit) else { continue };
        let (y, a) = (columns[form.inputs + index], form.units[index].preactivation.at(&columns));
        values[variable.index()] = match role {
            Role::Output => y,
            Role::Phase => f64::from(u8::from(a > 0.0)),
            Role::Slack => y - a,
            Role::Preactivation => a,
        };
    }
    Ok(values)
}

impl NetworkMethod for Milp<'_> {
    fn optimise(&self, problem: &NetworkProblem, limits: &Limits, observer: Observer<'_>) -> Result<NetworkOutcome> {
        let start = Instant::now();
        limits.check()?;
        let outcome = self.attempt(problem, &self.tightening, limits, start, observer);
        match outcome {
            // Bounds under a cutoff can leave less room than a solver's tolerances need: once more without, and the outcome says so.
            Err(
                error @ (Error::Contradiction(_)
                | Error::Unconfirmed { .. }
                | Error::BoundContradicted { .. }
                | Error::Solver { .. }),
            ) if self.tightening.level > Level::Lp => {
                let plain = Tightening { level: Level::Lp, ..self.tightening.clone() };
                let again = self.attempt(problem, &plain, limits, start, observer)?;
                Ok(NetworkOutcome { repeated: Some(error.to_string()), ..again })
            }
            outcome => outcome,
        }
    }
}

impl Milp<'_> {
    fn attempt(
        &self,
        problem: &NetworkProblem,
        tightening: &Tightening,
        limits: &Limits,
        start: Instant,
        observer: Observer<'_>,
    ) -> Result<NetworkOutcome> {
        let Some(tightened) = tighten(problem, tightening, limits, start)? else {
            return Ok(NetworkOutcome::infeasible(start, Vec::new()));
        };
        let (model, x, _) = self.model(problem, &tightened)?;
        let held = tightened.x.as_ref().map(|x| problem.value(x)).transpose()?;
        let seconds = start.elapsed().as_secs_f64();
        let report = Progress { objective: held, bound: f64::NAN, nodes: 0, open: 1, seconds };
        if observer(&report).is_break() {
            let outcome =
                Outcome { termination: Termination::Interrupted, objective: held, bound: None, nodes: 0, seconds };
            return Ok(NetworkOutcome { outcome, x: tightened.x, levels: tightened.levels, repeated: None });
        }
        let time = limits.time.map(|limit| limit.saturating_sub(start.elapsed()));
        let solution = self.solver.solve(&model, &SolveOptions { time, nodes: limits.nodes, plain: false })?;

        // What counts is the forward pass at the solver's input, and the better of that and what was held before.
        let better = |a: f64, b: f64| if problem.sense() == Sense::Maximise { a > b } else { a < b };
        let mut best = tightened.x.zip(held);
        let mut solver = solution.outcome;
        if let Some(values) = &solution.values {
            let input: Vec<f64> = x.iter().map(|x| values[x.index()]).collect();
            let repaired = problem.admitted(&input);
            if let Some((input, value)) = repaired.map(|x| problem.value(&x).map(|value| (x, value))).transpose()?
                && best.as_ref().is_none_or(|(_, held)| better(value, *held))
            {
                best = Some((input, value));
            }
        }
        let objective = best.as_ref().map(|(_, value)| *value);
        if let (Some(objective), Some(claimed)) = (objective, solver.objective) {
            // A solution that the network does not confirm is no optimum.
            let far = (objective - claimed).abs() > 1e-5 * claimed.abs().max(1.0);
            if solver.termination == Termination::Optimal && far && !better(objective, claimed) {
                return Err(Error::Unconfirmed { claimed, forward: objective });
            }
        }
        if solver.termination == Termination::Infeasible && objective.is_some() {
            return Err(Error::Contradiction("the solver finds the model infeasible, but a solution is held"));
        }
        // The solver's tolerances let its bound be a little too tight.
        solver.bound = match (solver.bound, objective) {
            (Some(bound), Some(objective)) if better(objective, bound) => Some(objective),
            (bound, _) => bound,
        };
        let outcome = Outcome { objective, seconds: start.elapsed().as_secs_f64(), ..solver };
        outcome.check(problem.sense(), 1e-6)?;
        Ok(NetworkOutcome { outcome, x: best.map(|(x, _)| x), levels: tightened.levels, repeated: None })
    }
}
