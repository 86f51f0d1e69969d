//! Random networks and the oracle that needs no optimisation theory: all phase patterns, or a fine grid.

use std::ops::ControlFlow;

use ndarray::{Array1, Array2};
use neuro_opt::lp::{LpStatus, Simplex};
use neuro_opt::{Domain, Limits, NetworkMethod, NetworkOutcome, NetworkProblem, Sense};
use neuro_profiler::network::{Activation, Dense, Network};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Dense layers of these widths, the first being the inputs; the last layer is affine.
pub(crate) fn network(random: &mut ChaCha8Rng, widths: &[usize], activation: Activation) -> Network {
    let last = widths.len() - 2;
    let layers = widths.windows(2).enumerate().map(|(index, pair)| {
        let scale = (2.0 / pair[0] as f64).sqrt();
        let weights = Array2::from_shape_fn((pair[1], pair[0]), |_| scale * random.gen_range(-1.7..1.7));
        let bias = Array1::from_shape_fn(pair[1], |_| random.gen_range(-0.3..0.3));
        Dense::new(weights, bias, if index == last { Activation::Identity } else { activation }).unwrap()
    });
    Network::new(layers.collect()).unwrap()
}

/// A problem over [−1, 1]ⁿ with one row that cuts a corner off.
pub(crate) fn problem(seed: u64, widths: &[usize]) -> NetworkProblem {
    let mut random = random(seed);
    let network = network(&mut random, widths, Activation::Relu);
    let inputs = widths[0];
    let row: Vec<f64> = (0..inputs).map(|_| random.gen_range(-1.0..1.0)).collect();
    let domain = Domain::new(vec![-1.0; inputs], vec![1.0; inputs]).unwrap();
    let domain = domain.with_row(row, random.gen_range(0.0..0.5)).unwrap();
    let c = (0..network.outputs()).map(|_| random.gen_range(-1.0..1.0)).collect();
    let sense = if random.r#gen() { Sense::Maximise } else { Sense::Minimise };
    NetworkProblem::new(network, domain, c, sense).unwrap()
}

/// The optimum over all patterns of phases, each a linear program over x alone. Inputs must not be whole numbers.
pub(crate) fn brute_force(problem: &NetworkProblem) -> f64 {
    let network = problem.network();
    let units: usize = network.layers().iter().filter(|l| l.activation() == Activation::Relu).map(Dense::outputs).sum();
    let sign = if problem.sense() == Sense::Maximise { -1.0 } else { 1.0 };
    let n = network.inputs();
    let best = (0..1_u64 << units).filter_map(|pattern| {
        let mut lp = Simplex::new(problem.domain().lower(), problem.domain().upper()).unwrap();
        for row in problem.domain().rows() {
            lp.add_row(&row.coefficients, f64::NEG_INFINITY, row.upper);
        }
        // Everything is affine in x: rows of coefficients and a constant.
        let mut map: Vec<(Vec<f64>, f64)> =
            (0..n).map(|j| ((0..n).map(|k| f64::from(u8::from(j == k))).collect(), 0.0)).collect();
        let mut unit = 0;
        for layer in network.layers() {
            let mut next = Vec::new();
            for (weights, bias) in layer.weights().outer_iter().zip(layer.bias()) {
                let mut a = (vec![0.0; n], *bias);
                for (w, (coefficients, constant)) in weights.iter().zip(&map) {
                    a.0.iter_mut().zip(coefficients).for_each(|(a, c)| *a += w * c);
                    a.1 += w * constant;
                }
                if layer.activation() == Activation::Relu {
                    if pattern >> unit & 1 == 1 {
                        lp.add_row(&a.0, -a.1, f64::INFINITY);
                    } else {
                        lp.add_row(&a.0, f64::NEG_INFINITY, -a.1);
                        a = (vec![0.0; n], 0.0);
                    }
                    unit += 1;
                }
                next.push(a);
            }
            map = next;
        }
        let mut cost = (vec![0.0; n], 0.0);
        for (c, (coefficients, constant)) in problem.objective().iter().zip(&map) {
            cost.0.iter_mut().zip(coefficients).for_each(|(sum, a)| *sum += sign * c * a);
            cost.1 += sign * c * constant;
        }
        lp.set_objective(&cost.0);
        (lp.solve(f64::INFINITY) == LpStatus::Optimal).then(|| lp.objective() + cost.1)
    });
    sign * best.fold(f64::INFINITY, f64::min)
}

pub(crate) fn solve(method: &dyn NetworkMethod, problem: &NetworkProblem) -> NetworkOutcome {
    method.optimise(problem, &Limits::default(), &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The objective is the forward pass of an admitted input, and it is `expected`.
pub(crate) fn assert_solved(outcome: &NetworkOutcome, problem: &NetworkProblem, expected: f64) {
    let x = outcome.x.as_ref().unwrap();
    let objective = outcome.outcome.objective.unwrap();
    assert!(problem.domain().contains(x, 1e-8), "{x:?}");
    assert!((problem.value(x).unwrap() - objective).abs() <= 1e-6);
    assert!((objective - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{objective} instead of {expected}");
    assert_eq!(outcome.outcome.termination, neuro_opt::Termination::Optimal);
    outcome.outcome.check(problem.sense(), 1e-6).unwrap();
}

/// Points of the domain's box, those that break a row left out.
pub(crate) fn samples(problem: &NetworkProblem, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = random(seed);
    let domain = problem.domain();
    let draw = || -> Vec<f64> {
        let sides = domain.lower().iter().zip(domain.upper()).zip(domain.integer());
        sides
            .map(|((lower, upper), integer)| {
                let x: f64 = random.gen_range(*lower..=*upper);
                if *integer { x.round() } else { x }
            })
            .collect()
    };
    std::iter::repeat_with(draw).take(count).filter(|x| domain.contains(x, 0.0)).collect()
}
