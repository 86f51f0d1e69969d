use std::time::Instant;

use neuro_opt::bounds::{IntegerDomain, Knapsack, RowsLp, crown, interval, lower_line, upper_line};
use neuro_opt::formulation::table::{Table, TableSums};
use neuro_opt::{Domain, InputSet, Level, Limits, NetworkProblem, Sense, Tightening, tighten};
use neuro_profiler::network::Activation;
use proptest::prelude::*;
use rand::Rng;

use crate::network::{self, problem, random, samples};

/// At every level, every pre-activation of every sample lies within its bounds; samples worse than a cutoff do not count. Each
/// level is at least as tight as the one before.
#[test]
fn every_level_holds_for_samples() {
    for seed in 0..25 {
        let problem = problem(seed, &[3, 8, 8, 2]);
        let mut widths = f64::INFINITY;
        for level in Level::ALL {
            let tightened =
                tighten(&problem, &Tightening::up_to(level), &Limits::default(), Instant::now()).unwrap().unwrap();
            let cutoff = tightened.levels.last().unwrap().cutoff;
            for x in samples(&problem, 2_000, seed) {
                let value = problem.value(&x).unwrap();
                let worse = cutoff.is_some_and(|cutoff| match problem.sense() {
                    Sense::Maximise => value < cutoff,
                    Sense::Minimise => value > cutoff,
                });
                if worse {
                    continue;
                }
                let mut y = ndarray::Array1::from(x);
                for (layer, bounds) in problem.network().layers().iter().zip(&tightened.bounds.layers) {
                    for (unit, a) in layer.preactivation(y.view()).iter().enumerate() {
                        let (lower, upper) = (bounds.lower[unit], bounds.upper[unit]);
                        // The samples' own rounding.
                        assert!(lower <= a + 1e-12 && *a <= upper + 1e-12, "{level:?}: {a} not in [{lower}, {upper}]");
                    }
                    y = layer.forward(y.view());
                }
            }
            let total: f64 =
                tightened.bounds.layers.iter().flat_map(|b| b.upper.iter().zip(&b.lower)).map(|(u, l)| u - l).sum();
            assert!(total <= widths + 1e-9, "{level:?} is wider than the level before it");
            widths = total;
        }
    }
}

/// The levels settle more and more: on these networks some units each.
#[test]
fn dearer_levels_leave_fewer_binaries() {
    let mut left = [0; 6];
    for seed in 0..20 {
        // A small box, on which some units are settled.
        let whole = problem(seed, &[3, 10, 10, 1]);
        let domain = Domain::new(vec![0.0; 3], vec![0.5; 3]).unwrap().with_row(vec![1.0; 3], 0.6).unwrap();
        let problem = NetworkProblem::new(whole.network().clone(), domain, vec![1.0], Sense::Maximise).unwrap();
        for (left, level) in left.iter_mut().zip(Level::ALL) {
            let tightened =
                tighten(&problem, &Tightening::up_to(level), &Limits::default(), Instant::now()).unwrap().unwrap();
            let last = tightened.levels.last().unwrap();
            assert_eq!(last.level, level);
            *left += last.phases.split;
            let split: Vec<usize> = tightened.levels.iter().map(|level| level.phases.split).collect();
            assert!(split.windows(2).all(|pair| pair[0] >= pair[1]));
            assert!(tightened.levels.windows(2).all(|p| p[1].settled == p[0].phases.split - p[1].phases.split));
        }
    }
    assert!(left.windows(2).all(|pair| pair[0] >= pair[1]), "{left:?}");
    assert!(left[0] > left[1] && left[1] > left[2] && left[3] > left[4], "{left:?}");
}

/// One layer over a box: interval bounds are exact.
#[test]
fn interval_bounds_of_one_layer_are_exact() {
    use ndarray::array;
    let layer = neuro_profiler::network::Dense::new(array![[1.0, -2.0]], array![0.5], Activation::Relu).unwrap();
    let network = neuro_profiler::network::Network::new(vec![layer]).unwrap();
    let domain = Domain::new(vec![-1.0, 0.0], vec![3.0, 2.0]).unwrap();
    let bounds = interval(&network, &domain).unwrap();
    // 1·(−1) − 2·2 + 0.5 = −4.5 and 3 + 0.5 = 3.5.
    assert!((bounds.layers[0].lower[0] + 4.5).abs() < 1e-12 && bounds.layers[0].lower[0] <= -4.5);
    assert!((bounds.layers[0].upper[0] - 3.5).abs() < 1e-12 && bounds.layers[0].upper[0] >= 3.5);
}

/// CROWN of a GELU network holds for samples, and is tighter than intervals in sum.
#[test]
fn crown_bounds_gelu_networks() {
    for seed in 0..20 {
        let mut random = random(seed);
        let network = network::network(&mut random, &[4, 10, 8, 2], Activation::Gelu);
        let domain = Domain::new(vec![-1.0; 4], vec![0.5; 4]).unwrap();
        let (plain, bounds) = (interval(&network, &domain).unwrap(), crown(&network, &domain).unwrap());
        let width = |b: &neuro_opt::bounds::NetworkBounds| -> f64 {
            b.layers.iter().flat_map(|b| b.upper.iter().zip(&b.lower)).map(|(u, l)| u - l).sum()
        };
        assert!(width(&bounds) < 0.9 * width(&plain));
        for _ in 0..2_000 {
            let x: Vec<f64> = (0..4).map(|_| random.gen_range(-1.0..0.5)).collect();
            let mut y = ndarray::Array1::from(x);
            for (layer, bounds) in network.layers().iter().zip(&bounds.layers) {
                for (unit, a) in layer.preactivation(y.view()).iter().enumerate() {
                    assert!(bounds.lower[unit] <= *a && *a <= bounds.upper[unit]);
                }
                y = layer.forward(y.view());
            }
        }
    }
}

proptest! {
    /// Lines stay on their side of the activation.
    #[test]
    fn lines_bound_their_activation(l in -9.0..9.0_f64, width in 1e-6..9.0_f64, share in 0.0..=1.0_f64) {
        let (u, a) = (l + width, l + share * width);
        for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            let (below, above) = (lower_line(activation, l, u), upper_line(activation, l, u));
            let y = activation.at(a);
            prop_assert!(below.slope * a + below.intercept <= y + 1e-14 * (1.0 + a.abs()));
            prop_assert!(above.slope * a + above.intercept >= y - 1e-14 * (1.0 + a.abs()));
        }
    }

    /// The fractional knapsack is at least every sample and is reached: the linear program says the same.
    #[test]
    fn one_row_is_exact(seed in 0_u64..10_000) {
        let mut random = random(seed);
        let n = random.gen_range(1..6);
        let draw = |random: &mut rand_chacha::ChaCha8Rng| -> Vec<f64> { (0..n).map(|_| random.gen_range(-1.0..1.0)).collect() };
        let (g, a) = (draw(&mut random), draw(&mut random));
        let domain = Domain::new(vec![-1.0; n], vec![2.0; n]).unwrap().with_row(a, random.gen_range(0.0..1.0)).unwrap();
        let set = RowsLp::new(&domain).unwrap().unwrap();
        let (by_hand, by_lp) = (domain.maximum(&g), set.maximum(&g));
        prop_assert!((by_hand - by_lp).abs() < 1e-7, "{by_hand} {by_lp}");
    }
}

/// The knapsack's dynamic program is exact on whole weights, and at least the best on any.
#[test]
fn knapsack_agrees_with_enumeration() {
    let mut random = random(5);
    for round in 0..300 {
        let choices = random.gen_range(1..5);
        let whole = round % 2 == 0;
        let mut draw = |limit: f64| -> Vec<Vec<f64>> {
            (0..choices)
                .map(|_| {
                    (0..3)
                        .map(|_| {
                            let x: f64 = random.gen_range(0.0..limit);
                            if whole { x.round() } else { x }
                        })
                        .collect()
                })
                .collect()
        };
        let (weights, values) = (draw(9.0), draw(20.0));
        let capacity = 15.0;
        let mut best = f64::NEG_INFINITY;
        for pick in 0..3_usize.pow(choices as u32) {
            let at = |j: usize| pick / 3_usize.pow(j as u32) % 3;
            let weight: f64 = (0..choices).map(|j| weights[j][at(j)]).sum();
            if weight <= capacity {
                best = best.max((0..choices).map(|j| values[j][at(j)]).sum());
            }
        }
        match Knapsack::new(weights, capacity) {
            Ok(knapsack) => {
                let bound = knapsack.maximum(&values);
                assert!(bound >= best, "{bound} {best}");
                assert!(!whole || bound <= best + 1e-9, "{bound} {best}");
            }
            Err(_) => assert_eq!(best, f64::NEG_INFINITY),
        }
    }
}

/// Under one row over whole numbers the bounds are at most those under the fractional row.
#[test]
fn whole_numbers_are_tighter_than_fractions() {
    let domain = Domain::new(vec![0.0; 2], vec![3.0; 2]).unwrap().with_row(vec![2.0, 3.0], 5.0).unwrap();
    let domain = domain.with_integers([0, 1]).unwrap();
    let set = IntegerDomain::new(&domain).unwrap().unwrap();
    // max 2·n₁ + 4·n₂: fractional 2·5/3·2 = 6.67 at n = (0, 1.67), whole 6 at (1, 1).
    assert!((set.maximum(&[2.0, 4.0]) - 6.0).abs() < 1e-9);
    assert!((domain.maximum(&[2.0, 4.0]) - 20.0 / 3.0).abs() < 1e-9);
}

/// Sums of tables under a memory row: every combination that fits is within the bounds, and the bounds are reached.
#[test]
fn sums_of_tables_are_bounded_exactly() {
    let mut random = random(6);
    let tables: Vec<Table> = (0..3)
        .map(|_| Table::new(0, ndarray::Array2::from_shape_fn((4, 2), |_| random.gen_range(-1.0..1.0))).unwrap())
        .collect();
    let weights = [1.0, 2.0, 3.0];
    let sums = TableSums::new(tables.clone(), &weights, 7.0).unwrap();
    for g in [[1.0, 0.0], [0.0, -1.0], [0.7, -0.4]] {
        let mut best = f64::NEG_INFINITY;
        for pick in 0..64_usize {
            let n = [pick % 4, pick / 4 % 4, pick / 16];
            if n.iter().zip(weights).map(|(n, w)| *n as f64 * w).sum::<f64>() <= 7.0 {
                let h: Vec<f64> = (0..2).map(|k| (0..3).map(|j| tables[j].values()[[n[j], k]]).sum()).collect();
                best = best.max(g[0] * h[0] + g[1] * h[1]);
            }
        }
        assert!((sums.maximum(&g) - best).abs() < 1e-9 && sums.maximum(&g) >= best);
    }
}

/// Without a budget, the search for each unit's bounds finds them: brute force over all phase patterns says the same. The objective
/// 0 makes the cutoff before it cut nothing off.
#[test]
fn unit_searches_find_exact_bounds() {
    let mut searched = 0;
    for seed in 0..6 {
        let whole = problem(seed, &[2, 5, 4, 1]);
        let (network, domain) = (whole.network(), whole.domain());
        let problem = NetworkProblem::new(network.clone(), domain.clone(), vec![0.0], Sense::Maximise).unwrap();
        let tightening = Tightening { unit_nodes: u64::MAX, ..Tightening::up_to(Level::Mip) };
        let tightened = tighten(&problem, &tightening, &Limits::default(), Instant::now()).unwrap().unwrap();
        let report = tightened.levels.last().unwrap();
        assert!(report.level == Level::Mip && report.solves > 0);
        let second = &network.layers()[1];
        for unit in 0..second.outputs() {
            let (lower, upper) = (tightened.bounds.layers[1].lower[unit], tightened.bounds.layers[1].upper[unit]);
            // A unit that an earlier level settled is not searched.
            if lower >= 0.0 || upper <= 0.0 {
                continue;
            }
            searched += 1;
            let row = second.weights().row(unit).insert_axis(ndarray::Axis(0)).to_owned();
            let bias = ndarray::array![second.bias()[unit]];
            let own = neuro_profiler::network::Dense::new(row, bias, Activation::Identity).unwrap();
            let own = neuro_profiler::network::Network::new(vec![network.layers()[0].clone(), own]).unwrap();
            for (sense, found) in [(Sense::Minimise, lower), (Sense::Maximise, upper)] {
                let exact = NetworkProblem::new(own.clone(), domain.clone(), vec![1.0], sense).unwrap();
                let exact = network::brute_force(&exact);
                assert!((found - exact).abs() < 1e-6, "{found} {exact}");
            }
        }
    }
    assert!(searched > 6);
}
