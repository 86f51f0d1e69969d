//! What CBC 2.10 is known to get wrong, one test each.

use std::time::{Duration, Instant};

use neuro_opt::model::{Linear, Model};
use neuro_opt::solver::cbc::Cbc;
use neuro_opt::solver::worker::Worker;
use neuro_opt::solver::{MipSolver, SolveOptions};
use neuro_opt::{Sense, Termination};

use crate::conformance::{hard, worker};

fn within(model: &Model, time: Duration) -> neuro_opt::solver::Solution {
    Cbc.solve(model, &SolveOptions { time: Some(time), nodes: None }).unwrap()
}

/// Twice 19 of 38 objects in pairs: no solution, which takes longer to see than there is time. CBC hands back a fractional vector.
#[test]
fn a_time_limit_without_a_solution_holds_none() {
    let mut model = Model::new();
    let x: Vec<_> = (0..60).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
    // Even coefficients, odd sums.
    for row in 0..3_usize {
        let sum = x
            .iter()
            .enumerate()
            .fold(Linear::default(), |sum, (j, x)| sum + 2.0 * ((j * (row + 3) * 7 % 41 + 11) as f64) * *x);
        model.add(sum.equals(1001.0 + 200.0 * row as f64)).unwrap();
    }
    model.optimise(Sense::Minimise, x.iter().fold(Linear::default(), |sum, x| sum + *x)).unwrap();
    let solution = within(&model, Duration::from_millis(50));
    assert!(matches!(solution.outcome.termination, Termination::TimeLimit | Termination::Infeasible));
    assert_eq!((solution.values, solution.outcome.objective), (None, None));
}

#[test]
fn sets_without_an_integer_are_not_solved_as_a_linear_program() {
    let mut model = Model::new();
    let x = model.continuous("x", 0.0, 1.0).unwrap();
    let y = model.continuous("y", 0.0, 1.0).unwrap();
    model.add_sos1(vec![x, y]).unwrap();
    model.optimise(Sense::Maximise, x + y).unwrap();
    let solution = Cbc.solve(&model, &SolveOptions::default()).unwrap();
    assert!((solution.outcome.objective.unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(solution.values.unwrap().len(), 2, "the binary that was added is not handed out");
}

#[test]
fn a_model_without_integers_is_launched() {
    let mut model = Model::new();
    let x = model.continuous("x", 0.0, 1.5).unwrap();
    model.optimise(Sense::Maximise, x.into()).unwrap();
    let solution = Cbc.solve(&model, &SolveOptions::default()).unwrap();
    assert_eq!((solution.outcome.termination, solution.outcome.bound), (Termination::Optimal, Some(1.5)));
}

#[test]
fn values_of_an_infeasible_model_are_not_read() {
    let mut model = Model::new();
    let x = model.integer("x", 0.0, 10.0).unwrap();
    model.add((2.0 * x).equals(3.0)).unwrap();
    model.optimise(Sense::Maximise, x.into()).unwrap();
    let solution = Cbc.solve(&model, &SolveOptions::default()).unwrap();
    assert_eq!(solution.outcome.termination, Termination::Infeasible);
    assert_eq!((solution.values, solution.outcome.objective, solution.outcome.bound), (None, None, None));
}

/// The bound at a limit is one: below the optimum, which the worker finds given more time, or at least below what is held.
#[test]
fn a_bound_at_a_limit_is_below_what_is_held() {
    let solution = within(&hard(), Duration::from_millis(400));
    if let Some(bound) = solution.outcome.bound {
        assert!(bound.is_finite() && bound.abs() < 1e49);
        assert!(solution.outcome.objective.is_none_or(|objective| bound <= objective + 1e-6));
    }
}

/// Eight solves at once in one process give the results of one after another.
#[test]
fn solves_at_the_same_time_do_not_disturb_one_another() {
    let model = |k: usize| {
        let mut model = Model::new();
        let x: Vec<_> = (0..12).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
        let sum =
            |f: &dyn Fn(usize) -> f64| x.iter().enumerate().fold(Linear::default(), |sum, (j, x)| sum + f(j) * *x);
        model.add(sum(&|j| ((j * 5 + k) % 11 + 2) as f64).at_most(30.0)).unwrap();
        model.optimise(Sense::Maximise, sum(&|j| ((j * 7 + k) % 13 + 1) as f64)).unwrap();
        model
    };
    let objective =
        |solver: &dyn MipSolver, k| solver.solve(&model(k), &SolveOptions::default()).unwrap().outcome.objective;
    let alone: Vec<_> = (0..8).map(|k| objective(&Cbc, k)).collect();
    for solver in [&Cbc as &(dyn MipSolver + Sync), &worker()] {
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|k| scope.spawn(move || objective(solver, k))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(together, alone);
    }
}

/// A worker that never answers is killed at the limit; one that ends is told as such.
#[test]
fn a_worker_that_hangs_is_killed() {
    let start = Instant::now();
    // It reads and says nothing that is an answer, and ends when nobody writes any more.
    let hanging = Worker::new("cat", []);
    let options = SolveOptions { time: Some(Duration::from_millis(50)), nodes: None };
    let solution = hanging.solve(&Model::new(), &options).unwrap();
    assert_eq!(solution.outcome.termination, Termination::TimeLimit);
    assert!(start.elapsed() < Duration::from_secs(100));
    // Nor is it waited for when it is to stop, with a limit or without.
    let stopped = Worker::new("cat", []).until(|| true).solve(&Model::new(), &SolveOptions::default()).unwrap();
    assert_eq!((stopped.outcome.termination, stopped.values), (Termination::Interrupted, None));
    for program in ["true", "no-such-program"] {
        let error = Worker::new(program, []).solve(&Model::new(), &options).unwrap_err();
        assert!(error.to_string().contains(program), "{error}");
    }
}

/// A worker ends when the program that started it is gone.
#[test]
fn a_worker_does_not_outlive_its_parent() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_neuro-opt-worker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let request = serde_json::json!({ "model": hard(), "options": {} }).to_string();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{request}\n").as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}
