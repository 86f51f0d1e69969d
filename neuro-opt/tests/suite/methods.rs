use std::ops::ControlFlow;
use std::time::Duration;

use neuro_opt::formulation::Milp;
use neuro_opt::model::Model;
use neuro_opt::solver::{MipSolver, Solution, SolveOptions};
use neuro_opt::{
    Domain, Error, Level, Limits, NetworkMethod, NetworkProblem, Outcome, Search, Sense, Termination, Tightening,
    Verdict, verify,
};
use rand::Rng;

use crate::network::{assert_solved, brute_force, problem, random, samples, solve};

/// All patterns of phases are the oracle.
#[test]
fn search_agrees_with_brute_force() {
    for seed in 0..300 {
        let widths: &[usize] = match seed % 3 {
            0 => &[2, 4, 1],
            1 => &[3, 4, 4, 2],
            _ => &[1, 3, 3, 2, 1],
        };
        let problem = problem(seed, widths);
        assert_solved(&solve(&Search::default(), &problem), &problem, brute_force(&problem));
    }
}

/// Thousands of small networks: the value is the forward pass, nothing that is sampled is better, the bound is one.
#[test]
fn thousands_of_networks_are_solved_to_their_forward_pass() {
    for seed in 0..3_000 {
        let mut random = random(seed);
        let widths = [random.gen_range(1..5), random.gen_range(1..9), random.gen_range(1..9), random.gen_range(1..4)];
        let problem = problem(seed, &widths);
        let outcome = solve(&Search::default(), &problem);
        let objective = outcome.outcome.objective.unwrap();
        assert_solved(&outcome, &problem, objective);
        let bound = outcome.outcome.bound.unwrap();
        for x in samples(&problem, 100, seed) {
            let value = problem.value(&x).unwrap();
            let beyond = if problem.sense() == Sense::Maximise { value - bound } else { bound - value };
            assert!(beyond <= 1e-12, "seed {seed}: {value} is better than the bound {bound}");
        }
    }
}

/// Every setting gives the same optimum.
#[test]
fn settings_change_the_course_and_not_the_result() {
    for seed in 0..6 {
        let problem = problem(seed, &[5, 12, 12, 1]);
        let expected = solve(&Search::default(), &problem).outcome.objective.unwrap();
        let settings = [
            Search { threads: 3, ..Search::default() },
            Search { candidates: 1, starts: 0, ..Search::default() },
            Search { memory: 0, ..Search::default() },
            Search { tightening: Tightening::up_to(Level::Interval), ..Search::default() },
            Search { tightening: Tightening::up_to(Level::Mip), ..Search::default() },
        ];
        for search in settings {
            assert_solved(&solve(&search, &problem), &problem, expected);
        }
    }
}

/// The same problem takes the same course.
#[test]
fn one_thread_is_deterministic() {
    let problem = problem(3, &[5, 12, 12, 1]);
    let (a, b) = (solve(&Search::default(), &problem), solve(&Search::default(), &problem));
    assert_eq!((a.x, a.outcome.nodes, a.outcome.bound), (b.x, b.outcome.nodes, b.outcome.bound));
    assert!(a.outcome.nodes > 1);
}

/// Whole-number inputs: all of them, one after another, are the oracle.
#[test]
fn whole_inputs_agree_with_enumeration() {
    for seed in 0..60 {
        let continuous = problem(seed, &[3, 6, 6, 1]);
        let domain = Domain::new(vec![0.0; 3], vec![3.2; 3]).unwrap().with_row(vec![1.0, 2.0, 1.5], 6.0).unwrap();
        let domain = domain.with_integers(0..3).unwrap();
        let problem = NetworkProblem::new(continuous.network().clone(), domain, vec![1.0], continuous.sense()).unwrap();
        let points = (0..64).map(|pick| vec![f64::from(pick % 4), f64::from(pick / 4 % 4), f64::from(pick / 16)]);
        let values = points.filter(|x| problem.domain().contains(x, 0.0)).map(|x| problem.value(&x).unwrap());
        let best = match problem.sense() {
            Sense::Maximise => values.fold(f64::NEG_INFINITY, f64::max),
            Sense::Minimise => values.fold(f64::INFINITY, f64::min),
        };
        assert_solved(&solve(&Search::default(), &problem), &problem, best);
    }
}

#[test]
fn limits_are_outcomes() {
    let problem = problem(11, &[8, 20, 20, 1]);
    let run =
        |limits: &Limits| Search::default().optimise(&problem, limits, &mut |_| ControlFlow::Continue(())).unwrap();
    let full = run(&Limits::default());
    assert_eq!(full.outcome.termination, Termination::Optimal);
    assert!(full.outcome.nodes > 20);
    let short = run(&Limits { nodes: Some(10), ..Limits::default() });
    assert_eq!(short.outcome.termination, Termination::NodeLimit);
    let (bound, best) = (short.outcome.bound.unwrap(), full.outcome.objective.unwrap());
    let sign = if problem.sense() == Sense::Maximise { 1.0 } else { -1.0 };
    assert!(sign * (bound - best) >= -1e-9, "a bound of an unfinished search is one");
    let none = run(&Limits { time: Some(Duration::ZERO), ..Limits::default() });
    assert_eq!(none.outcome.termination, Termination::TimeLimit);
    let stopped = Search::default()
        .optimise(&problem, &Limits { gap: 0.0, ..Limits::default() }, &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped.unwrap().outcome.termination, Termination::Interrupted | Termination::Optimal));
}

#[test]
fn an_empty_domain_is_infeasible() {
    let whole = problem(1, &[2, 4, 1]);
    // Excluded by one row, and by two rows only together.
    let one = Domain::new(vec![0.0; 2], vec![1.0; 2]).unwrap().with_row(vec![1.0, 1.0], -0.5).unwrap();
    let two = Domain::new(vec![0.0; 2], vec![1.0; 2]).unwrap();
    let two = two.with_row(vec![1.0, -1.0], -0.1).unwrap().with_row(vec![-1.0, 1.0], -0.1).unwrap();
    for domain in [one, two] {
        let problem = NetworkProblem::new(whole.network().clone(), domain, vec![1.0], Sense::Maximise).unwrap();
        let outcome = solve(&Search::default(), &problem);
        assert_eq!(outcome.outcome.termination, Termination::Infeasible);
        assert_eq!((outcome.x, outcome.outcome.objective), (None, None));
    }
}

#[test]
fn limits_on_the_output_are_proved_or_refuted() {
    for seed in 0..40 {
        let problem = problem(seed, &[3, 6, 6, 1]).with_sense(Sense::Maximise);
        let best = brute_force(&problem.with_sense(Sense::Maximise));
        let check =
            |t: f64| verify(&problem, t, &Search::default(), &Limits::default(), &mut |_| ControlFlow::Continue(()));
        let (verdict, outcome) = check(best + 1e-4).unwrap();
        assert_eq!(verdict, Verdict::Proved);
        assert!(outcome.outcome.bound.unwrap() <= best + 1e-4);
        let (verdict, outcome) = check(best - 1e-4).unwrap();
        assert_eq!(verdict, Verdict::Refuted);
        let witness = outcome.x.unwrap();
        assert!(problem.value(&witness).unwrap() > best - 1e-4 && problem.domain().contains(&witness, 1e-8));
    }
}

/// A solver whose first answers are wrong.
struct Lying {
    lies: std::cell::Cell<usize>,
    lie: fn(&Model) -> Solution,
}

impl MipSolver for Lying {
    fn name(&self) -> &'static str {
        "lying"
    }

    fn solve(&self, model: &Model, _: &SolveOptions) -> neuro_opt::Result<Solution> {
        match self.lies.get().checked_sub(1) {
            Some(left) => {
                self.lies.set(left);
                Ok((self.lie)(model))
            }
            None => Err(Error::Solver { solver: "lying", problem: "it has no more to say".to_owned() }),
        }
    }
}

fn infeasible(_: &Model) -> Solution {
    let termination = Termination::Infeasible;
    Solution { outcome: Outcome { termination, objective: None, bound: None, nodes: 0, seconds: 0.0 }, values: None }
}

/// The input in the middle, and an objective that no forward pass gives.
fn too_good(model: &Model) -> Solution {
    let values = model.variables().iter().map(|v| 0.5 * (v.lower + v.upper)).collect();
    let claimed = if model.sense() == Sense::Maximise { 1e3 } else { -1e3 };
    let (objective, bound, termination) = (Some(claimed), Some(claimed), Termination::Optimal);
    Solution { outcome: Outcome { termination, objective, bound, nodes: 0, seconds: 0.0 }, values: Some(values) }
}

/// Nobody sees what the forward pass does not confirm.
#[test]
fn what_a_solver_claims_is_checked_by_forward_pass() {
    let problem = problem(5, &[3, 6, 6, 1]);
    let run = |level, lies, lie| {
        let solver = Lying { lies: std::cell::Cell::new(lies), lie };
        let milp = Milp { tightening: Tightening::up_to(level), ..Milp::new(&solver) };
        milp.optimise(&problem, &Limits::default(), &mut |_| ControlFlow::Continue(()))
    };
    let error = run(Level::Rows, 1, too_good).unwrap_err();
    assert!(matches!(error, Error::Unconfirmed { claimed, forward } if claimed.abs() == 1e3 && forward.abs() < 1e2));
    // Under a cutoff a solution is held: "infeasible" contradicts it, and so does a second time.
    let error = run(Level::LpCutoff, 1, infeasible).unwrap_err();
    assert!(matches!(error, Error::Solver { solver: "lying", .. }), "{error}");
}

/// A solve under a cutoff that contradicts itself is made again without, and the outcome says so.
#[cfg(feature = "cbc")]
#[test]
fn a_repeated_solve_is_reported() {
    struct OnceLying(Lying);
    impl MipSolver for OnceLying {
        fn name(&self) -> &'static str {
            "once lying"
        }
        fn solve(&self, model: &Model, options: &SolveOptions) -> neuro_opt::Result<Solution> {
            self.0.solve(model, options).or_else(|_| neuro_opt::solver::cbc::Cbc.solve(model, options))
        }
    }
    let problem = problem(5, &[3, 6, 6, 1]);
    let expected = brute_force(&problem);
    let solver = OnceLying(Lying { lies: std::cell::Cell::new(1), lie: infeasible });
    let outcome = solve(&Milp::new(&solver), &problem);
    assert_solved(&outcome, &problem, expected);
    assert!(
        outcome.repeated.as_ref().unwrap().contains("infeasible, but a solution is held"),
        "{:?}",
        outcome.repeated
    );
    assert!(outcome.levels.iter().all(|level| level.cutoff.is_none()));
    // An honest one needs no second time.
    assert_eq!(solve(&Milp::new(&neuro_opt::solver::cbc::Cbc), &problem).repeated, None);
}

/// No time at all: no solution, and a bound only if it is one.
#[cfg(feature = "cbc")]
#[test]
fn a_program_without_time_holds_nothing_wrong() {
    let problem = problem(11, &[8, 20, 20, 1]);
    let optimum = solve(&Search::default(), &problem).outcome.objective.unwrap();
    let tightening = Tightening::up_to(Level::Crown);
    let milp = Milp { tightening, ..Milp::new(&neuro_opt::solver::cbc::Cbc) };
    let limits = Limits::of_time(Duration::from_millis(1));
    let outcome = milp.optimise(&problem, &limits, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(outcome.outcome.termination, Termination::TimeLimit);
    assert_eq!(outcome.x.is_some(), outcome.outcome.objective.is_some());
    let sign = if problem.sense() == Sense::Maximise { 1.0 } else { -1.0 };
    assert!(outcome.outcome.bound.is_none_or(|bound| sign * (bound - optimum) >= -1e-6));
}
