//! HiGHS, built from its sources (needs cmake and libclang); feature `highs`.
//!
//! HiGHS has no special ordered sets: one binary a variable says which may be other than 0, so that set variables need finite
//! bounds.

use std::time::{Duration, Instant};

use highs::{HighsModelStatus, HighsSolutionStatus, RowProblem};

use super::{MipSolver, Solution, SolveOptions, admitted, unbounded_or_infeasible};
use crate::model::Model;
use crate::{Error, Outcome, Result, Sense, Termination};

/// HiGHS, in this process, one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Highs;

fn fault(problem: impl std::fmt::Debug) -> Error {
    Error::Solver { solver: "highs", problem: format!("{problem:?}") }
}

impl MipSolver for Highs {
    fn name(&self) -> &'static str {
        "highs"
    }

    fn solve(&self, model: &Model, options: &SolveOptions) -> Result<Solution> {
        let start = Instant::now();
        let mut problem = RowProblem::default();
        let mut costs = vec![0.0; model.variables().len()];
        model.objective().terms.iter().for_each(|(variable, c)| costs[variable.index()] = *c);
        let columns: Vec<_> = model
            .variables()
            .iter()
            .zip(&costs)
            .map(|(v, cost)| problem.add_column_with_integrality(*cost, v.lower..=v.upper, v.integer))
            .collect();
        for row in model.rows() {
            let terms: Vec<_> = row.terms.iter().map(|(variable, a)| (columns[variable.index()], *a)).collect();
            problem.add_row(row.lower..=row.upper, terms);
        }
        for set in model.sos1() {
            let mut choice = Vec::new();
            for variable in set {
                let data = &model.variables()[variable.index()];
                if !(data.lower.is_finite() && data.upper.is_finite()) {
                    return Err(fault(format!("the set variable {:?} needs finite bounds", data.name)));
                }
                let z = problem.add_integer_column(0.0, 0.0..=1.0);
                let x = columns[variable.index()];
                problem.add_row(..=0.0, [(x, 1.0), (z, -data.upper.max(0.0))]);
                problem.add_row(0.0.., [(x, 1.0), (z, -data.lower.min(0.0))]);
                choice.push((z, 1.0));
            }
            problem.add_row(..=1.0, choice);
        }
        let sense = if model.sense() == Sense::Maximise { highs::Sense::Maximise } else { highs::Sense::Minimise };
        let mut prepared = problem.try_optimise(sense).map_err(fault)?;
        prepared.make_quiet();
        prepared.set_option("threads", 1);
        prepared.set_option("mip_rel_gap", 0.0);
        prepared.set_option("mip_abs_gap", 1e-9);
        if let Some(limit) = options.time {
            let left = limit.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
            prepared.set_option("time_limit", left.as_secs_f64());
        }
        if let Some(nodes) = options.nodes {
            prepared.set_option("mip_max_nodes", i32::try_from(nodes).unwrap_or(i32::MAX));
        }
        if let Some(values) = model.start().filter(|values| model.is_feasible(values, super::TOLERANCE))
            && model.sos1().is_empty()
        {
            prepared.set_solution(Some(values), None, None, None);
        }
        let solved = prepared.try_solve().map_err(fault)?;
        let termination = match solved.status() {
            HighsModelStatus::Optimal | HighsModelStatus::ModelEmpty => Termination::Optimal,
            HighsModelStatus::Infeasible => Termination::Infeasible,
            HighsModelStatus::Unbounded | HighsModelStatus::UnboundedOrInfeasible => {
                return unbounded_or_infeasible(self, model, options, start);
            }
            HighsModelStatus::ReachedTimeLimit => Termination::TimeLimit,
            HighsModelStatus::ReachedSolutionLimit => Termination::NodeLimit,
            HighsModelStatus::ReachedIterationLimit => Termination::IterationLimit,
            HighsModelStatus::ReachedInterrupt => Termination::Interrupted,
            status => return Err(fault(status)),
        };
        // Of an empty model the binding cannot read the status.
        let held = solved.status() == HighsModelStatus::ModelEmpty
            || solved.primal_solution_status() == HighsSolutionStatus::Feasible;
        let limited = termination != Termination::Infeasible;
        let values = if held && limited {
            admitted(model, &solved.get_solution().columns()[..model.variables().len()])
        } else {
            None
        };
        if termination == Termination::Optimal && values.is_none() {
            return Err(fault("it calls a solution optimal that does not meet the model"));
        }
        let objective = values.as_ref().map(|values| model.objective().at(values));
        let bound = match termination {
            Termination::Optimal => objective,
            _ if limited => {
                let bound = solved.double_info_value(c"mip_dual_bound").ok().map(|b| b + model.objective().constant);
                let better = |a: f64, b: f64| if model.sense() == Sense::Maximise { a.max(b) } else { a.min(b) };
                bound.filter(|bound| bound.is_finite()).map(|bound| objective.map_or(bound, |o| better(bound, o)))
            }
            _ => None,
        };
        let nodes = solved.int_info_value(c"mip_node_count").ok().and_then(|nodes| u64::try_from(nodes).ok());
        let seconds = start.elapsed().as_secs_f64();
        let outcome = Outcome { termination, objective, bound, nodes: nodes.unwrap_or(0), seconds };
        outcome.check(model.sense(), 1e-6)?;
        Ok(Solution { outcome, values })
    }
}
