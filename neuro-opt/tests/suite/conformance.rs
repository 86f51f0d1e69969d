//! What every solver must do, one suite for all.

use std::time::{Duration, Instant};

use neuro_opt::model::{Linear, Model};
use neuro_opt::solver::{MipSolver, SolveOptions};
use neuro_opt::{Sense, Termination};
use rand::Rng;

use crate::network::random;

fn solvers() -> Vec<Box<dyn MipSolver>> {
    vec![
        #[cfg(feature = "cbc")]
        Box::new(neuro_opt::solver::cbc::Cbc),
        #[cfg(feature = "cbc")]
        Box::new(worker()),
        #[cfg(feature = "highs")]
        Box::new(neuro_opt::solver::highs::Highs),
    ]
}

#[cfg(feature = "cbc")]
pub(crate) fn worker() -> neuro_opt::solver::worker::Worker {
    neuro_opt::solver::worker::Worker::new(env!("CARGO_BIN_EXE_neuro-opt-worker"), [])
}

fn each(check: impl Fn(&dyn MipSolver)) {
    solvers().iter().for_each(|solver| check(solver.as_ref()));
}

/// Random knapsacks with an equality, against all subsets, in both directions.
#[test]
fn small_programs_agree_with_enumeration() {
    each(|solver| {
        let mut random = random(1);
        for _ in 0..15 {
            let n = 6;
            let mut draw = || -> Vec<f64> { (0..n).map(|_| f64::from(random.gen_range(-9_i32..10))).collect() };
            let (values, weights) = (draw(), draw());
            for sense in [Sense::Maximise, Sense::Minimise] {
                let mut model = Model::new();
                let x: Vec<_> = (0..n).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
                let sum = |figures: &[f64]| x.iter().zip(figures).fold(Linear::default(), |sum, (x, a)| sum + *a * *x);
                model.add(sum(&weights).at_most(4.0)).unwrap();
                model.add(sum(&vec![1.0; n]).equals(3.0)).unwrap();
                model.optimise(sense, sum(&values) + Linear::constant(2.5)).unwrap();
                let picks = (0..1_u32 << n).filter(|pick| pick.count_ones() == 3);
                let total = |pick: u32, figures: &[f64]| -> f64 {
                    (0..n).filter(|j| pick >> j & 1 == 1).map(|j| figures[j]).sum()
                };
                let all = picks.filter(|pick| total(*pick, &weights) <= 4.0).map(|pick| total(pick, &values) + 2.5);
                let best = match sense {
                    Sense::Maximise => all.reduce(f64::max),
                    Sense::Minimise => all.reduce(f64::min),
                };
                let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
                match best {
                    None => assert_eq!(solution.outcome.termination, Termination::Infeasible, "{}", solver.name()),
                    Some(best) => {
                        assert_eq!(solution.outcome.termination, Termination::Optimal, "{}", solver.name());
                        assert!((solution.outcome.objective.unwrap() - best).abs() < 1e-6);
                        assert!((solution.outcome.bound.unwrap() - best).abs() < 1e-6);
                        assert!(model.is_feasible(&solution.values.unwrap(), 1e-6));
                    }
                }
            }
        }
    });
}

#[test]
fn continuous_programs_have_their_closed_form() {
    each(|solver| {
        let mut model = Model::new();
        let x = model.continuous("x", 0.0, 10.0).unwrap();
        let y = model.continuous("y", f64::NEG_INFINITY, f64::INFINITY).unwrap();
        model.add((x + 2.0 * y).at_most(4.0)).unwrap();
        model.add((3.0 * x + y).at_most(6.0)).unwrap();
        model.add((x - y).at_least(-5.0)).unwrap();
        model.optimise(Sense::Maximise, x + y).unwrap();
        let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
        assert_eq!(solution.outcome.termination, Termination::Optimal, "{}", solver.name());
        let values = solution.values.unwrap();
        assert!((values[0] - 1.6).abs() < 1e-6 && (values[1] - 1.2).abs() < 1e-6);
    });
}

#[test]
fn unbounded_and_empty_programs_are_told() {
    each(|solver| {
        let mut model = Model::new();
        let x = model.continuous("x", 0.0, f64::INFINITY).unwrap();
        model.optimise(Sense::Maximise, x.into()).unwrap();
        let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
        assert_eq!(solution.outcome.termination, Termination::Unbounded, "{}", solver.name());
        assert_eq!(solution.values, None);

        // 2n = 3 has no whole-number solution, whatever x is worth; 2n = 4 has one.
        for (right, termination) in [(3.0, Termination::Infeasible), (4.0, Termination::Unbounded)] {
            let mut model = Model::new();
            let x = model.continuous("x", 0.0, f64::INFINITY).unwrap();
            let n = model.integer("n", 0.0, 9.0).unwrap();
            model.add((2.0 * n).equals(right)).unwrap();
            model.optimise(Sense::Maximise, x + n).unwrap();
            let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
            assert_eq!(solution.outcome.termination, termination, "{}", solver.name());
            assert_eq!((solution.values, solution.outcome.bound), (None, None));
        }

        let nothing = solver.solve(&Model::new(), &SolveOptions::default()).unwrap();
        assert_eq!((nothing.outcome.termination, nothing.outcome.objective), (Termination::Optimal, Some(0.0)));
    });
}

#[test]
fn sets_are_kept() {
    each(|solver| {
        let mut model = Model::new();
        let x = model.continuous("x", 0.0, 2.0).unwrap();
        let y = model.continuous("y", 0.0, 3.0).unwrap();
        model.add_sos1(vec![x, y]).unwrap();
        model.optimise(Sense::Maximise, 2.0 * x + y).unwrap();
        let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
        // Both at their bounds would be 7.
        assert!((solution.outcome.objective.unwrap() - 4.0).abs() < 1e-6, "{}", solver.name());
    });
}

/// A market-split program: hard for its size.
pub(crate) fn hard() -> Model {
    let mut random = random(4);
    let mut model = Model::new();
    let x: Vec<_> = (0..40).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
    let mut slack = Linear::default();
    for row in 0..5 {
        let a: Vec<f64> = x.iter().map(|_| f64::from(random.gen_range(0..100_u32))).collect();
        let over = model.continuous(format!("o{row}"), 0.0, 1e4).unwrap();
        let under = model.continuous(format!("u{row}"), 0.0, 1e4).unwrap();
        let sum = x.iter().zip(&a).fold(Linear::default(), |sum, (x, a)| sum + *a * *x);
        let half = (a.iter().sum::<f64>() / 2.0).floor();
        model.add((sum - over + under).equals(half)).unwrap();
        slack = slack + over + under;
    }
    model.optimise(Sense::Minimise, slack).unwrap();
    model
}

#[test]
fn limits_are_outcomes_and_are_kept() {
    each(|solver| {
        let start = Instant::now();
        let limit = Duration::from_millis(300);
        let solution = solver.solve(&hard(), &SolveOptions { time: Some(limit), ..SolveOptions::default() }).unwrap();
        assert_eq!(solution.outcome.termination, Termination::TimeLimit, "{}", solver.name());
        // A hundred times the limit is no measurement but a limit that was not looked at.
        assert!(start.elapsed() < 100 * limit, "{}", solver.name());
        if let (Some(bound), Some(objective)) = (solution.outcome.bound, solution.outcome.objective) {
            assert!(bound <= objective + 1e-6);
        }
        let few =
            solver.solve(&hard(), &SolveOptions { time: Some(20 * limit), nodes: Some(5), plain: false }).unwrap();
        assert!(
            matches!(few.outcome.termination, Termination::NodeLimit | Termination::TimeLimit),
            "{}",
            solver.name()
        );
    });
}

/// A start is used, or at least does no harm.
#[test]
fn a_start_is_taken() {
    each(|solver| {
        let mut model = Model::new();
        let x = model.integer("x", 0.0, 10.0).unwrap();
        model.add((3.0 * x).at_most(20.0)).unwrap();
        model.optimise(Sense::Maximise, x.into()).unwrap();
        for start in [6.0, 9.0] {
            // The second breaks the row.
            model.set_start(vec![start]).unwrap();
            let solution = solver.solve(&model, &SolveOptions::default()).unwrap();
            assert_eq!(solution.values, Some(vec![6.0]), "{}", solver.name());
        }
    });
}
