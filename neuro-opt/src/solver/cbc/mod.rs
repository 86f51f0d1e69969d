//! COIN-OR Branch and Cut, through the system's library.
//!
//! What CBC is known to get wrong is handled here, each with a test, in `tests/suite/cbc_traps.rs` or below:
//!
//! - *A time limit without a solution* comes with a fractional vector and the objective ∓1e50: what fails
//!   [`Model::is_feasible`](crate::model::Model::is_feasible) is not held.
//! - *Special ordered sets without an integer column* are ignored, and a model without integers is not "launched": one free
//!   binary is added to either.
//! - *An infeasible model still has values*: they are not read.
//! - *Preprocessing has given wrong answers, and a start that is already optimal "infeasible"*: "infeasible", and a solution that fails
//!   the check, are confirmed or replaced by a second solve without either.
//! - *"Unbounded" is said of the relaxation*, whether or not there is a whole-number solution: a solve without the objective tells.
//! - *A solution must be better by 1e-5* to be taken, unless `increment` says otherwise: it is 1e-9.
//! - *Preprocessing has ended the program* by an assertion on models with special ordered sets: it is off for these.
//! - *A time limit that ends preprocessing has ended the program*, by a fault of memory in `CglPreProcess::postProcess`: it is off with
//!   [`SolveOptions::plain`], and where CBC runs as a [`worker`](super::worker) only the worker is lost.
//! - *`sec` is CPU time* unless `timeMode` is `elapsed`.
//! - *With a gap the reported bound was wrong*: none is ever set.
//! - *Solves at the same time disturb one another*: a lock is held; [`worker`](super::worker) gets around it with processes.

mod library;

use std::ffi::c_int;
use std::time::{Duration, Instant};

use super::{MipSolver, Solution, SolveOptions, admitted, unbounded_or_infeasible};
use crate::model::Model;
use crate::{Error, Outcome, Result, Sense, Termination};
use library::{Answer, Columns};

/// The version of the CBC library that is linked, such as `2.10.8`.
///
/// ```
/// assert!(neuro_opt::solver::cbc::version().starts_with("2."));
/// ```
pub fn version() -> &'static str {
    library::version()
}

/// CBC, in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cbc;

/// CBC's secondary statuses.
const STOPPED_ON_NODES: c_int = 3;
const STOPPED_ON_TIME: c_int = 4;

impl MipSolver for Cbc {
    fn name(&self) -> &'static str {
        "cbc"
    }

    fn solve(&self, model: &Model, options: &SolveOptions) -> Result<Solution> {
        let start = Instant::now();
        let mut columns = columns(model);
        let answer = attempt(&columns, options, start, !options.plain)?;
        if answer.unbounded {
            return unbounded_or_infeasible(self, model, options, start);
        }
        let read = |answer: &Answer| Reading::of(model, answer);
        let (mut reading, mut nodes) = (read(&answer), answer.nodes);
        if reading.needs_confirmation {
            columns.start_values = None;
            let again = attempt(&columns, options, start, false)?;
            nodes += again.nodes;
            let confirmed = read(&again);
            reading = match (reading.termination, confirmed.needs_confirmation) {
                // The same without preprocessing.
                (Termination::Infeasible, true) if confirmed.termination == Termination::Infeasible => confirmed,
                (_, true) => {
                    let problem = "it calls a solution optimal that does not meet the model".to_owned();
                    return Err(Error::Solver { solver: "cbc", problem });
                }
                (_, false) => confirmed,
            };
        }
        let objective = reading.values.as_ref().map(|values| model.objective().at(values));
        let better = |a: f64, b: f64| if model.sense() == Sense::Maximise { a.max(b) } else { a.min(b) };
        let bound = match (reading.termination, objective) {
            // The two agree up to CBC's tolerances.
            (Termination::Optimal, objective) => objective,
            (_, Some(objective)) => reading.bound.map(|bound| better(bound, objective)),
            _ => reading.bound,
        };
        let termination = reading.termination;
        let outcome = Outcome { termination, objective, bound, nodes, seconds: start.elapsed().as_secs_f64() };
        outcome.check(model.sense(), 1e-6)?;
        Ok(Solution { outcome, values: reading.values })
    }
}

/// What an answer means.
struct Reading {
    termination: Termination,
    values: Option<Vec<f64>>,
    bound: Option<f64>,
    needs_confirmation: bool,
}

impl Reading {
    fn of(model: &Model, answer: &Answer) -> Self {
        if answer.infeasible || answer.relaxation_infeasible {
            let termination = Termination::Infeasible;
            return Self { termination, values: None, bound: None, needs_confirmation: true };
        }
        let held = answer.objective.abs() < 1e49 && !answer.values.is_empty();
        let values = if held { admitted(model, &answer.values[..model.variables().len()]) } else { None };
        let bound = answer.bound + model.objective().constant;
        let bound = (bound.abs() < 1e49).then_some(bound);
        if answer.optimal {
            // A solution that fails the check is none.
            let needs_confirmation = values.is_none();
            return Self { termination: Termination::Optimal, values, bound, needs_confirmation };
        }
        let termination = match answer.secondary {
            STOPPED_ON_NODES => Termination::NodeLimit,
            STOPPED_ON_TIME => Termination::TimeLimit,
            _ if answer.abandoned => Termination::IterationLimit,
            _ => Termination::TimeLimit,
        };
        Self { termination, values, bound, needs_confirmation: false }
    }
}

/// One solve in the time that is left.
fn attempt(columns: &Columns, options: &SolveOptions, start: Instant, preprocess: bool) -> Result<Answer> {
    library::solve(columns, &parameters(columns, options, start, preprocess))
}

/// CBC's names and values.
fn parameters(
    columns: &Columns,
    options: &SolveOptions,
    start: Instant,
    preprocess: bool,
) -> Vec<(&'static str, String)> {
    let mut parameters = vec![("logLevel", "0".to_owned()), ("increment", "1e-9".to_owned())];
    if let Some(limit) = options.time {
        let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(10));
        parameters.push(("timeMode", "elapsed".to_owned()));
        parameters.push(("sec", left.as_secs_f64().to_string()));
    }
    if let Some(nodes) = options.nodes {
        parameters.push(("maxNodes", nodes.min(i32::MAX as u64).to_string()));
    }
    if !preprocess {
        parameters.push(("presolve", "off".to_owned()));
    }
    if !preprocess || !columns.sos1.is_empty() {
        parameters.push(("preprocess", "off".to_owned()));
    }
    parameters
}

/// The model column by column, with one more, free binary where it has no integer.
fn columns(model: &Model) -> Columns {
    let mut lists: Vec<Vec<(c_int, f64)>> = vec![Vec::new(); model.variables().len()];
    for (index, row) in (0..).zip(model.rows()) {
        for (variable, a) in &row.terms {
            lists[variable.index()].push((index, *a));
        }
    }
    let (mut start, mut index, mut value) = (vec![0], Vec::new(), Vec::new());
    for list in lists {
        index.extend(list.iter().map(|(row, _)| *row));
        value.extend(list.iter().map(|(_, a)| *a));
        // Checked again before the call.
        start.push(c_int::try_from(index.len()).unwrap_or(c_int::MAX));
    }
    let mut cost = vec![0.0; model.variables().len()];
    for (variable, c) in &model.objective().terms {
        cost[variable.index()] = *c;
    }
    let mut columns = Columns {
        start,
        index,
        value,
        lower: model.variables().iter().map(|variable| variable.lower).collect(),
        upper: model.variables().iter().map(|variable| variable.upper).collect(),
        cost,
        integer: model.variables().iter().map(|variable| variable.integer).collect(),
        row_lower: model.rows().iter().map(|row| row.lower).collect(),
        row_upper: model.rows().iter().map(|row| row.upper).collect(),
        sos1: model.sos1().iter().map(|set| set.iter().map(|variable| variable.index()).collect()).collect(),
        maximise: model.sense() == Sense::Maximise,
        start_values: model.start().filter(|values| model.is_feasible(values, super::TOLERANCE)).map(<[f64]>::to_vec),
    };
    if !columns.integer.contains(&true) {
        columns.start.extend(columns.start.last().copied());
        columns.lower.push(0.0);
        columns.upper.push(1.0);
        columns.cost.push(0.0);
        columns.integer.push(true);
        if let Some(values) = &mut columns.start_values {
            values.push(0.0);
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_one_that_the_build_script_accepts() {
        let numbers: Vec<u32> = version().split('.').filter_map(|part| part.parse().ok()).collect();
        assert!(numbers >= vec![2, 10], "{}", version());
    }

    /// Preprocessing ends some builds of CBC where there are sets; no gap is ever set, since bounds were wrong with one.
    #[test]
    fn parameters_are_what_the_traps_ask_for() {
        let mut model = Model::new();
        let x = model.binary("x").unwrap();
        let y = model.binary("y").unwrap();
        let all = |model: &Model, preprocess| {
            parameters(&columns(model), &SolveOptions::default(), Instant::now(), preprocess)
        };
        let off = |parameters: &[(&str, String)], name| parameters.iter().any(|(n, v)| *n == name && v == "off");
        assert!(!off(&all(&model, true), "preprocess"));
        assert!(off(&all(&model, false), "preprocess") && off(&all(&model, false), "presolve"));
        model.add_sos1(vec![x, y]).unwrap();
        assert!(off(&all(&model, true), "preprocess"));
        assert!(!all(&model, true).iter().any(|(name, _)| name.to_lowercase().contains("ratio") || *name == "allow"));
    }

    /// Answers that CBC gives, and what they are worth.
    #[test]
    fn answers_are_read_with_distrust() {
        let mut model = Model::new();
        let x = model.binary("x").unwrap();
        model.optimise(Sense::Maximise, x.into()).unwrap();
        let answer = |optimal, infeasible, objective, value| Answer {
            secondary: STOPPED_ON_TIME,
            optimal,
            infeasible,
            unbounded: false,
            relaxation_infeasible: false,
            abandoned: false,
            objective,
            bound: 1.0,
            nodes: 0,
            values: vec![value],
        };
        let read = |answer: Answer| {
            let reading = Reading::of(&model, &answer);
            (reading.termination, reading.values, reading.needs_confirmation)
        };
        assert_eq!(read(answer(true, false, 1.0, 1.0)), (Termination::Optimal, Some(vec![1.0]), false));
        // "Optimal" with half a binary, "infeasible" with values, a limit without a solution.
        assert_eq!(read(answer(true, false, 0.5, 0.5)), (Termination::Optimal, None, true));
        assert_eq!(read(answer(false, true, 1.0, 1.0)), (Termination::Infeasible, None, true));
        assert_eq!(read(answer(false, false, -1e50, 1.0)), (Termination::TimeLimit, None, false));
    }
}
