use neuro_opt::lp::{LpStatus, Simplex};
use rand::Rng;

use crate::network::random;

/// All vertices of a box with rows, by brute force: each choice of n tight constraints.
fn vertices_minimum(c: &[f64], rows: &[(Vec<f64>, f64)], side: f64) -> Option<f64> {
    // Two dimensions: lines x = ±side, y = ±side and the rows.
    let mut lines: Vec<([f64; 2], f64)> =
        vec![([1.0, 0.0], side), ([1.0, 0.0], -side), ([0.0, 1.0], side), ([0.0, 1.0], -side)];
    lines.extend(rows.iter().map(|(a, b)| ([a[0], a[1]], *b)));
    let mut best: Option<f64> = None;
    for (i, (a, p)) in lines.iter().enumerate() {
        for (b, q) in &lines[i + 1..] {
            let det = a[0] * b[1] - a[1] * b[0];
            if det.abs() < 1e-9 {
                continue;
            }
            let (x, y) = ((p * b[1] - a[1] * q) / det, (a[0] * q - p * b[0]) / det);
            let inside = x.abs() <= side + 1e-9
                && y.abs() <= side + 1e-9
                && rows.iter().all(|(a, b)| a[0] * x + a[1] * y <= b + 1e-9);
            if inside {
                let value = c[0] * x + c[1] * y;
                best = Some(best.map_or(value, |best: f64| best.min(value)));
            }
        }
    }
    best
}

#[test]
fn random_programs_agree_with_their_vertices() {
    let mut random = random(1);
    let (mut optimal, mut infeasible) = (0, 0);
    for _ in 0..2_000 {
        let c = [random.gen_range(-1.0..1.0), random.gen_range(-1.0..1.0)];
        let rows: Vec<(Vec<f64>, f64)> = (0..random.gen_range(0..6))
            .map(|_| (vec![random.gen_range(-1.0..1.0), random.gen_range(-1.0..1.0)], random.gen_range(-0.8..1.0)))
            .collect();
        let mut lp = Simplex::new(&[-2.0, -2.0], &[2.0, 2.0]).unwrap();
        lp.set_objective(&c);
        for (a, b) in &rows {
            lp.add_row(a, f64::NEG_INFINITY, *b);
        }
        match (lp.solve(f64::INFINITY), vertices_minimum(&c, &rows, 2.0)) {
            (LpStatus::Optimal, Some(expected)) => {
                assert!((lp.objective() - expected).abs() < 1e-7, "{} {expected}", lp.objective());
                assert!(lp.bound() <= expected + 1e-9 && lp.bound() > expected - 1e-6);
                optimal += 1;
            }
            (LpStatus::Infeasible, None) => {
                assert!(lp.is_proved_infeasible());
                infeasible += 1;
            }
            // At a hair's breadth of infeasible the two may differ.
            (status, expected) => panic!("{status:?}, but the vertices say {expected:?}"),
        }
        // Another objective from the same basis.
        lp.set_objective(&[c[1], c[0]]);
        if lp.solve(f64::INFINITY) == LpStatus::Optimal {
            let expected = vertices_minimum(&[c[1], c[0]], &rows, 2.0).unwrap();
            assert!((lp.objective() - expected).abs() < 1e-7);
        }
    }
    assert!(optimal > 1_000 && infeasible > 20, "{optimal} {infeasible}");
}

/// Changing bounds, adding and removing rows, and computing the tableau afresh leave the same optimum as starting over.
#[test]
fn a_kept_tableau_is_as_good_as_a_new_one() {
    let mut random = random(2);
    for _ in 0..200 {
        let n = random.gen_range(2..7);
        let mut lp = Simplex::new(&vec![-1.0; n], &vec![1.0; n]).unwrap();
        let c: Vec<f64> = (0..n).map(|_| random.gen_range(-1.0..1.0)).collect();
        lp.set_objective(&c);
        let mut rows: Vec<(Vec<f64>, f64)> = Vec::new();
        for step in 0..8 {
            let a: Vec<f64> = (0..n).map(|_| random.gen_range(-1.0..1.0)).collect();
            let b = random.gen_range(0.1..0.6);
            lp.add_row(&a, f64::NEG_INFINITY, b);
            rows.push((a, b));
            let variable = random.gen_range(0..n);
            lp.set_bounds(variable, -0.9, 0.8);
            assert_eq!(lp.solve(f64::INFINITY), LpStatus::Optimal);
            if step == 5 {
                let row = random.gen_range(0..rows.len());
                if lp.remove_row(lp.row_variable(row)) {
                    rows.swap_remove(row);
                }
            }
            let kept = lp.objective();
            if step % 2 == 0 {
                lp.refresh();
                assert!((lp.objective() - kept).abs() < 1e-9);
            }
            let (lower, upper): (Vec<f64>, Vec<f64>) = (0..n).map(|j| (lp.lower(j), lp.upper(j))).unzip();
            let mut new = Simplex::new(&lower, &upper).unwrap();
            rows.iter().for_each(|(a, b)| _ = new.add_row(a, f64::NEG_INFINITY, *b));
            new.set_objective(&c);
            assert_eq!(new.solve(f64::INFINITY), LpStatus::Optimal);
            assert_eq!(lp.solve(f64::INFINITY), LpStatus::Optimal);
            assert!((new.objective() - lp.objective()).abs() < 1e-7);
        }
    }
}
