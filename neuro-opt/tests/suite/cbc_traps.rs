//! What CBC 2.10 is known to get wrong, one test each.

use std::time::{Duration, Instant};

use neuro_opt::model::{Linear, Model};
use neuro_opt::solver::cbc::Cbc;
use neuro_opt::solver::worker::Worker;
use neuro_opt::solver::{MipSolver, SolveOptions};
use neuro_opt::{Sense, Termination};
use rand::Rng;

use crate::conformance::{hard, worker};

fn within(model: &Model, time: Duration) -> neuro_opt::solver::Solution {
    Cbc.solve(model, &SolveOptions { time: Some(time), ..SolveOptions::default() }).unwrap()
}

/// A market-split program without slack, for which CBC finds no solution in the time: it hands back a fractional vector.
#[test]
fn a_time_limit_without_a_solution_holds_none() {
    let mut random = crate::network::random(4);
    let mut model = Model::new();
    let x: Vec<_> = (0..50).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
    for _ in 0..6 {
        let a: Vec<f64> = x.iter().map(|_| f64::from(random.gen_range(0..100_u32))).collect();
        let sum = x.iter().zip(&a).fold(Linear::default(), |sum, (x, a)| sum + *a * *x);
        model.add(sum.equals((a.iter().sum::<f64>() / 2.0).floor())).unwrap();
    }
    model.optimise(Sense::Minimise, x.iter().fold(Linear::default(), |sum, x| sum + *x)).unwrap();
    let solution = within(&model, Duration::from_millis(300));
    assert_eq!(solution.outcome.termination, Termination::TimeLimit);
    assert_eq!((solution.values, solution.outcome.objective), (None, None));
}

/// Time in which the process stands still counts: a limit of CPU time, CBC's own idea, would go on where it was.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_is_of_wall_clock_time() {
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    let limit = Duration::from_secs(2);
    let mut child = Command::new(env!("CARGO_BIN_EXE_neuro-opt-worker"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request =
        serde_json::json!({ "model": hard(), "options": SolveOptions { time: Some(limit), ..SolveOptions::default() } }).to_string();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{request}\n").as_bytes()).unwrap();
    let pid = child.id().to_string();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    std::thread::sleep(limit / 10);
    signal("-STOP");
    std::thread::sleep(limit);
    signal("-CONT");
    let answer = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let answer = answer.into_iter().find(|line| line.contains("termination")).unwrap();
    assert!(answer.contains("time-limit"), "{answer}");
    // User and system time in ticks, after the name in parentheses; the process is not waited for yet.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|figure| figure.parse::<u64>().unwrap()).sum();
    // Even of 100 ticks a second, a limit of CPU time would have taken all of it.
    assert!(Duration::from_millis(10 * ticks) < limit / 2, "{ticks} ticks");
    drop(input);
    child.wait().unwrap();
}

/// Solutions that differ by less than CBC's own increment of 1e-5: the best of them is found, as enumeration has it.
#[test]
fn a_small_improvement_is_taken() {
    let mut random = crate::network::random(2);
    for _ in 0..8 {
        let n = 14;
        let weights: Vec<f64> = (0..n).map(|_| f64::from(random.gen_range(20..90_u32))).collect();
        // Nearly as valuable as heavy: many subsets fill the capacity, and millionths make the difference.
        let values: Vec<f64> = weights.iter().map(|w| w + 1e-6 * f64::from(random.gen_range(0..9_u32))).collect();
        let capacity = (weights.iter().sum::<f64>() / 2.0).floor();
        let mut model = Model::new();
        let x: Vec<_> = (0..n).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
        let sum = |figures: &[f64]| x.iter().zip(figures).fold(Linear::default(), |sum, (x, a)| sum + *a * *x);
        model.add(sum(&weights).at_most(capacity)).unwrap();
        model.optimise(Sense::Maximise, sum(&values)).unwrap();
        let total =
            |pick: u32, figures: &[f64]| -> f64 { (0..n).filter(|j| pick >> j & 1 == 1).map(|j| figures[j]).sum() };
        let fitting = (0..1_u32 << n).filter(|pick| total(*pick, &weights) <= capacity);
        let best = fitting.map(|pick| total(pick, &values)).fold(0.0, f64::max);
        let found = Cbc.solve(&model, &SolveOptions::default()).unwrap().outcome.objective.unwrap();
        assert!((found - best).abs() < 1e-7, "{found} instead of {best}");
    }
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

/// A strongly correlated knapsack, its optimum by dynamic programming: the bound at a limit of nodes is on the right side of it, the
/// objective's constant included.
#[test]
fn a_bound_at_a_limit_is_a_bound() {
    let mut random = crate::network::random(9);
    let weights: Vec<usize> = (0..60).map(|_| random.gen_range(100..1_000)).collect();
    let capacity = weights.iter().sum::<usize>() / 2;
    let mut best = vec![0_usize; capacity + 1];
    for &weight in &weights {
        for room in (weight..=capacity).rev() {
            best[room] = best[room].max(best[room - weight] + weight + 100);
        }
    }
    let constant = 1e4;
    for sense in [Sense::Maximise, Sense::Minimise] {
        let sign = if sense == Sense::Maximise { 1.0 } else { -1.0 };
        let optimum = sign * best[capacity] as f64 + constant;
        let mut model = Model::new();
        let x: Vec<_> = (0..60).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
        let sum =
            |of: &dyn Fn(usize) -> f64| x.iter().zip(&weights).fold(Linear::default(), |sum, (x, w)| sum + of(*w) * *x);
        model.add(sum(&|w| w as f64).at_most(capacity as f64)).unwrap();
        model.optimise(sense, sum(&|w| sign * (w as f64 + 100.0)) + Linear::constant(constant)).unwrap();
        let options = SolveOptions { nodes: Some(20), ..SolveOptions::default() };
        let solution = Cbc.solve(&model, &options).unwrap();
        assert_eq!(solution.outcome.termination, Termination::NodeLimit);
        let bound = solution.outcome.bound.unwrap();
        assert!(sign * (bound - optimum) >= -1e-6, "{bound} is no bound on {optimum}");
        assert!(sign * (bound - optimum) < 200.0, "{bound} is far from {optimum}");
    }
}

/// Many solves at once in one process give the results of one after another.
#[test]
fn solves_at_the_same_time_do_not_disturb_one_another() {
    const MODELS: usize = 24;
    let model = |k: usize| {
        let mut random = crate::network::random(k as u64);
        let mut model = Model::new();
        let x: Vec<_> = (0..25).map(|j| model.binary(format!("x{j}")).unwrap()).collect();
        let mut sum =
            |limit: u32| x.iter().fold(Linear::default(), |sum, x| sum + f64::from(random.gen_range(1..limit)) * *x);
        for _ in 0..3 {
            model.add(sum(50).at_most(200.0)).unwrap();
        }
        model.optimise(Sense::Maximise, sum(50)).unwrap();
        model
    };
    let objective =
        |solver: &dyn MipSolver, k| solver.solve(&model(k), &SolveOptions::default()).unwrap().outcome.objective;
    let alone: Vec<_> = (0..MODELS).map(|k| objective(&Cbc, k)).collect();
    for (solver, rounds) in [(&Cbc as &(dyn MipSolver + Sync), 3), (&worker(), 1)] {
        for _ in 0..rounds {
            let together: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..MODELS).map(|k| scope.spawn(move || objective(solver, k))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(together, alone);
        }
    }
}

/// A worker that never answers is killed at the limit; one that ends is told as such.
#[test]
fn a_worker_that_hangs_is_killed() {
    let start = Instant::now();
    // It reads and says nothing that is an answer, and ends when nobody writes any more.
    let hanging = Worker::new("cat", []);
    let options = SolveOptions { time: Some(Duration::from_millis(50)), ..SolveOptions::default() };
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

/// A worker that is ended by a signal is started once more without preprocessing; if that does not help, the error tells by what and
/// what it wrote.
#[cfg(unix)]
#[test]
fn a_worker_that_dies_is_tried_again_as_it_is() {
    let answer = serde_json::to_string(&Ok::<_, String>(an_answer())).unwrap();
    let worker = |script: String| Worker::new("sh", ["-c".to_owned(), script]);
    let dies = "echo 'a fault of memory' >&2; kill -SEGV $$";
    let once = worker(format!(
        "read -r line; case $line in *'\"plain\":true'*) echo 'neuro-answer {answer}';; *) {dies};; esac"
    ));
    let solution = once.solve(&Model::new(), &SolveOptions::default()).unwrap();
    assert_eq!(solution.outcome.objective, Some(3.0));
    // Nor is there anything to try where it was to be so.
    let always = worker(format!("read -r line; {dies}"));
    for plain in [false, true] {
        let error = always.solve(&Model::new(), &SolveOptions { plain, ..SolveOptions::default() }).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("signal: 11") && text.contains("a fault of memory"), "{text}");
        assert_eq!(text.contains("without preprocessing"), !plain, "{text}");
    }
    // Where the time is up, that is what is said.
    let late = worker(format!("read -r line; sleep 0.1; {dies}"));
    let options = SolveOptions { time: Some(Duration::from_millis(50)), ..SolveOptions::default() };
    assert_eq!(late.solve(&Model::new(), &options).unwrap().outcome.termination, Termination::TimeLimit);
}

fn an_answer() -> neuro_opt::solver::Solution {
    let outcome = neuro_opt::Outcome {
        termination: Termination::Optimal,
        objective: Some(3.0),
        bound: Some(3.0),
        nodes: 0,
        seconds: 0.0,
    };
    neuro_opt::solver::Solution { outcome, values: Some(Vec::new()) }
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
