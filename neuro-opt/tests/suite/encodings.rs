use neuro_opt::bounds::crown;
use neuro_opt::formulation::{Embedding, Encoding, epigraph, table::Table};
use neuro_opt::model::{Linear, Model};
use neuro_opt::{Domain, Sense};
use neuro_profiler::network::{Activation, Dense, Network};

/// |x|: two units, both split.
fn absolute() -> Network {
    let hidden = Dense::new(ndarray::array![[1.0], [-1.0]], ndarray::array![0.0, 0.0], Activation::Relu).unwrap();
    let out = Dense::new(ndarray::array![[1.0, 1.0]], ndarray::array![0.0], Activation::Identity).unwrap();
    Network::new(vec![hidden, out]).unwrap()
}

/// The structure: what each encoding adds for two split units.
#[test]
fn every_encoding_has_its_rows() {
    let (network, domain) = (absolute(), Domain::new(vec![-1.0], vec![2.0]).unwrap());
    let bounds = crown(&network, &domain).unwrap();
    for (encoding, variables, integers, rows, sets) in
        [(Encoding::BigM, 5, 2, 6, 0), (Encoding::BigMPreactivation, 7, 2, 8, 0), (Encoding::Sos1, 5, 0, 2, 2)]
    {
        let mut model = Model::new();
        let x = model.continuous("x", -1.0, 2.0).unwrap();
        let embedded = Embedding::new(&network, &bounds).encoding(encoding).add(&mut model, &[x.into()]).unwrap();
        assert_eq!(
            (model.variables().len(), model.integers(), model.rows().len(), model.sos1().len()),
            (variables, integers, rows, sets),
            "{encoding:?}"
        );
        assert_eq!(embedded.binaries, 2);
    }
    // Minimised, |x| is its epigraph: no binary at all; maximised, both are needed.
    for (w, binaries) in [(1.0, 0), (-1.0, 2)] {
        let mut model = Model::new();
        let x = model.continuous("x", -1.0, 2.0).unwrap();
        let embedded = Embedding::new(&network, &bounds).minimised(vec![w]).add(&mut model, &[x.into()]).unwrap();
        assert_eq!((embedded.binaries, model.integers()), (binaries, binaries));
    }
    assert_eq!(epigraph::useless_above(&network, &bounds, &[1.0])[0], [true, true]);
}

/// Settled units cost nothing.
#[test]
fn settled_units_are_substituted() {
    let (network, domain) = (absolute(), Domain::new(vec![0.5], vec![2.0]).unwrap());
    let bounds = crown(&network, &domain).unwrap();
    let mut model = Model::new();
    let x = model.continuous("x", 0.5, 2.0).unwrap();
    let embedded = Embedding::new(&network, &bounds).add(&mut model, &[x.into()]).unwrap();
    assert_eq!((model.variables().len(), model.rows().len(), embedded.binaries), (1, 0, 0));
    assert!((embedded.outputs[0].at(&[1.25]) - 1.25).abs() < 1e-12);
}

/// A table of a network is the network, whatever its activation.
#[test]
fn tables_are_their_subnetwork() {
    let mut random = crate::network::random(1);
    let network = crate::network::network(&mut random, &[2, 5, 3], Activation::Gelu);
    let table = Table::of_network(&network, &[0.0, 0.7], 0, 2, 5).unwrap();
    for n in 2..=5_i64 {
        let expected = network.forward(ndarray::array![n as f64, 0.7].view()).unwrap();
        assert_eq!(table.values().row((n - 2) as usize), expected);
    }
    let mut model = Model::new();
    let n = model.integer("n", 2.0, 5.0).unwrap();
    let outputs = table.add(&mut model, "t", n).unwrap();
    // n = 4: the third binary.
    let values = [4.0, 0.0, 0.0, 1.0, 0.0];
    assert!(model.is_feasible(&values, 1e-9) && !model.is_feasible(&[4.0, 0.0, 1.0, 0.0, 0.0], 1e-9));
    assert!(outputs.iter().zip(table.values().row(2)).all(|(output, value)| output.at(&values) == *value));
    assert!(
        Table::of_network(&network, &[0.0, 0.7], 2, 0, 1).is_err()
            && Table::of_network(&network, &[0.0, 0.7], 0, 1, 0).is_err()
    );
}

#[test]
fn models_are_written_as_mps_and_lp() {
    let mut model = Model::new();
    let x = model.continuous("speed", -1.0, f64::INFINITY).unwrap();
    let n = model.integer("n", 0.0, 7.0).unwrap();
    model.add((2.0 * x - 3.0 * n).at_most(4.0)).unwrap();
    model.add((x + n).equals(1.5)).unwrap();
    model.add_sos1(vec![x, n]).unwrap();
    model.optimise(Sense::Maximise, x + Linear::constant(2.0)).unwrap();
    let mps = model.to_mps();
    for line in [
        "    x0 cost -1.0",
        " L r0",
        " E r1",
        "    x0 r0 2.0",
        "    x1 r0 -3.0",
        "    rhs r1 1.5",
        "    rhs cost 2.0",
        " LO bnd x0 -1.0",
        " PL bnd x0",
        " UP bnd x1 7.0",
        " S1 s0",
        "    x1 2",
        "    m1 'MARKER' 'INTORG'",
        "ENDATA",
    ] {
        assert!(mps.lines().any(|found| found == line), "{line:?} is missing in\n{mps}");
    }
    let lp = model.to_lp();
    for line in
        ["Maximize", " r0: + 2.0 speed - 3.0 n <= 4.0", " -1.0 <= speed <= +inf", " s0: S1 :: speed:1 n:2", "End"]
    {
        assert!(lp.lines().any(|found| found == line), "{line:?} is missing in\n{lp}");
    }
}

#[cfg(feature = "cbc")]
mod with_cbc {
    use neuro_opt::bounds::crown;
    use neuro_opt::formulation::{Cuts, Embedding, Encoding, Milp, table::Table, table::TableSums};
    use neuro_opt::model::{Linear, Model};
    use neuro_opt::solver::{MipSolver, SolveOptions, cbc::Cbc};
    use neuro_opt::{Level, NetworkMethod, Search, Sense, TableNetwork, Tightening};
    use neuro_profiler::network::Activation;

    use crate::network::{assert_solved, brute_force, problem, random, solve};

    /// Every encoding, with every cut and level, is the brute-force optimum.
    #[test]
    fn every_encoding_agrees_with_brute_force() {
        for seed in 0..12 {
            let problem = problem(seed, &[2, 4, 4, 1]);
            let expected = brute_force(&problem);
            for encoding in Encoding::ALL {
                for (level, cuts) in [
                    (Level::Interval, Cuts::None),
                    (Level::Rows, Cuts::Crown),
                    (Level::Lp, Cuts::Hull),
                    (Level::Mip, Cuts::None),
                ] {
                    for epigraph in [false, true] {
                        let tightening = Tightening::up_to(level);
                        let milp = Milp { encoding, cuts, epigraph, tightening, ..Milp::new(&Cbc) };
                        assert_solved(&solve(&milp, &problem), &problem, expected);
                    }
                }
            }
        }
    }

    /// A thousand networks: CBC on big-M is the forward pass and our own search.
    #[test]
    fn a_thousand_programs_agree_with_the_search() {
        for seed in 0..1_000 {
            let problem = problem(seed, &[2, 5, 3, 1]);
            let expected = solve(&neuro_opt::Search::default(), &problem).outcome.objective.unwrap();
            let milp = Milp {
                encoding: Encoding::ALL[seed as usize % 3],
                tightening: Tightening::up_to(Level::Rows),
                ..Milp::new(&Cbc)
            };
            assert_solved(&solve(&milp, &problem), &problem, expected);
        }
    }

    /// Tables, their sum under a memory row, and a network behind it: against all combinations.
    #[test]
    fn a_network_behind_a_sum_of_tables() {
        for seed in 0..8 {
            let mut random = random(seed);
            let first = crate::network::network(&mut random, &[1, 4, 2], Activation::Gelu);
            let second = crate::network::network(&mut random, &[2, 5, 1], Activation::Relu);
            let tables = vec![Table::of_network(&first, &[0.0], 0, 0, 3).unwrap(); 3];
            let weights = [1.0, 1.5, 2.0];
            let sums = TableSums::new(tables.clone(), &weights, 5.0).unwrap();
            let bounds = crown(&second, &sums).unwrap();
            let mut model = Model::new();
            let (mut memory, mut h) = (Linear::default(), vec![Linear::default(); 2]);
            for (j, table) in tables.iter().enumerate() {
                let n = model.integer(format!("n{j}"), 0.0, 3.0).unwrap();
                memory += weights[j] * n;
                let outputs = table.add(&mut model, &format!("t{j}"), n).unwrap();
                h.iter_mut().zip(outputs).for_each(|(h, output)| *h += output);
            }
            model.add(memory.at_most(5.0)).unwrap();
            let embedded = Embedding::new(&second, &bounds).add(&mut model, &h).unwrap();
            model.optimise(Sense::Maximise, embedded.outputs[0].clone()).unwrap();
            let solution = Cbc.solve(&model, &SolveOptions::default()).unwrap();
            let mut best = f64::NEG_INFINITY;
            for pick in 0..64_usize {
                let n = [pick % 4, pick / 4 % 4, pick / 16];
                if n.iter().zip(weights).map(|(n, w)| *n as f64 * w).sum::<f64>() <= 5.0 {
                    let h = ndarray::Array1::from_shape_fn(2, |k| (0..3).map(|j| tables[j].values()[[n[j], k]]).sum());
                    best = best.max(second.forward(h.view()).unwrap()[0]);
                }
            }
            assert!((solution.outcome.objective.unwrap() - best).abs() < 1e-6);
        }
    }

    /// The same as a problem of any method, against all combinations.
    #[test]
    fn sums_of_tables_are_optimised_by_every_method() {
        for seed in 0..12 {
            let mut random = random(seed);
            let first = crate::network::network(&mut random, &[1, 4, 2], Activation::Gelu);
            let second = crate::network::network(&mut random, &[2, 6, 4, 1], Activation::Relu);
            let tables = vec![Table::of_network(&first, &[0.0], 0, 0, 3).unwrap(); 3];
            let (weights, capacity) = ([1.0, 1.5, 2.0], 5.0);
            let f = TableNetwork::new(tables, second).unwrap();
            let mut best = f64::NEG_INFINITY;
            for pick in 0..64_i64 {
                let n = [pick % 4, pick / 4 % 4, pick / 16];
                if n.iter().zip(weights).map(|(n, w)| *n as f64 * w).sum::<f64>() <= capacity {
                    best = best.max(f.forward(&n).unwrap()[0]);
                }
            }
            let problem = f.problem(&weights, capacity, vec![1.0], Sense::Maximise).unwrap();
            for method in [&Search::default() as &dyn NetworkMethod, &Milp::new(&Cbc)] {
                let outcome = solve(method, &problem);
                assert_solved(&outcome, &problem, best);
                let n = f.counts(&outcome.x.unwrap()).unwrap();
                assert!((f.forward(&n).unwrap()[0] - best).abs() < 1e-6);
                assert_eq!(f.counts(&f.chosen(&n).unwrap()).unwrap(), n);
            }
        }
    }

    /// What CBC needs special ordered sets for without preprocessing, which ends the program on some of them.
    #[test]
    fn special_ordered_sets_of_larger_networks() {
        for seed in 0..6 {
            let problem = problem(seed, &[4, 10, 8, 1]);
            let expected = solve(&Search::default(), &problem).outcome.objective.unwrap();
            for level in [Level::Interval, Level::LpCutoff] {
                let tightening = Tightening::up_to(level);
                let milp = Milp { encoding: Encoding::Sos1, tightening, ..Milp::new(&Cbc) };
                assert_solved(&solve(&milp, &problem), &problem, expected);
            }
        }
    }
}
