//! The relaxed program of one server: an augmented Lagrangian with spectral projected gradients.
//!
//! With the constraints g_i(z) ≤ 0, multipliers μ_i ≥ 0 and a penalty ρ,
//!
//! L(z) = −Σ c_r z_r + Σ_i (max(0, μ_i + ρ g_i)² − μ_i²) / 2ρ
//!
//! is minimised over the box, then μ_i ← max(0, μ_i + ρ g_i), and ρ grows while the violation does not shrink.
//!
//! # References
//!
//! - E. G. Birgin, J. M. Martínez, M. Raydan, "Nonmonotone spectral projected gradient methods on convex sets", SIAM Journal on
//!   Optimization 10(4), 2000, doi:10.1137/S1052623497330963.
//! - R. Andreani, E. G. Birgin, J. M. Martínez, M. L. Schuverdt, "On augmented Lagrangian methods with general lower-level constraints",
//!   SIAM Journal on Optimization 18(4), 2007, doi:10.1137/060654797.

use std::time::Instant;

use super::relaxed::Relaxed;
use crate::Result;

/// max Σ c_r z_r over fractions 0 ≤ z_r ≤ most_r under memory and promises.
pub(super) struct Program<'a> {
    pub(super) relaxed: &'a Relaxed<'a>,
    pub(super) weights: &'a [f64],
    /// GB of an instance.
    pub(super) memory_gb: &'a [f64],
    pub(super) capacity_gb: f64,
    /// Instances of a whole request.
    pub(super) whole: &'a [f64],
    pub(super) most: Vec<f64>,
}

/// How long to go on.
pub(super) struct ProgramParams {
    /// Rounds of multipliers.
    pub(super) rounds: usize,
    /// Steps of a round.
    pub(super) steps: usize,
    /// When to leave it at what has been found.
    pub(super) until: Option<Instant>,
}

impl ProgramParams {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Violation of the constraints that counts as none.
const FEASIBLE: f64 = 1e-5;
/// Length of a projected gradient step that counts as none.
const STATIONARY: f64 = 1e-5;
/// Values of L that a step may be compared with.
const MEMORY: usize = 10;
/// Relative decrease that is asked of a step.
const ARMIJO: f64 = 1e-4;

/// Objective, constraints and derivatives at a point.
struct Point {
    cost: f64,
    /// Memory, then z_r·excess_r.
    constraints: Vec<f64>,
    /// Excess of each request, and its derivatives by z.
    excesses: Vec<f64>,
    slopes: ndarray::Array2<f64>,
}

impl Program<'_> {
    /// The fractions, and how many evaluations it took.
    pub(super) fn solve(&self, params: &ProgramParams) -> Result<(Vec<f64>, u64)> {
        let needed_gb: f64 = self.most.iter().zip(self.gb()).map(|(z, gb)| z * gb).sum();
        // Inside: half of what memory allows to all alike.
        let share = 0.5 * (self.capacity_gb / needed_gb.max(f64::MIN_POSITIVE)).min(1.0);
        let mut z: Vec<f64> = self.most.iter().map(|most| share * most).collect();
        let mut multipliers = vec![0.0; z.len() + 1];
        let (mut penalty, mut before, mut evaluations) = (10.0, f64::INFINITY, 0);
        for _ in 0..params.rounds {
            let (next, count) = self.descend(z, &multipliers, penalty, params)?;
            z = next;
            evaluations += count + 1;
            let point = self.at(&z)?;
            let violation = point.constraints.iter().copied().fold(0.0, f64::max);
            let mut moved: f64 = 0.0;
            for (multiplier, g) in multipliers.iter_mut().zip(&point.constraints) {
                let next = f64::max(0.0, *multiplier + penalty * g);
                moved = moved.max((next - *multiplier).abs());
                *multiplier = next;
            }
            if violation <= FEASIBLE && moved <= STATIONARY * penalty || params.is_over() {
                break;
            }
            if violation > 0.5 * before {
                penalty *= 4.0;
            }
            before = violation;
        }
        Ok((z, evaluations))
    }

    /// GB of each request as a whole.
    fn gb(&self) -> impl Iterator<Item = f64> {
        self.memory_gb.iter().zip(self.whole).map(|(gb, n)| gb * n)
    }

    fn at(&self, z: &[f64]) -> Result<Point> {
        let n: Vec<f64> = z.iter().zip(self.whole).map(|(z, whole)| z * whole).collect();
        let (excesses, slopes) = self.relaxed.excesses_and_gradients(&n)?;
        let scale = self.scale();
        let cost = -self.weights.iter().zip(z).map(|(c, z)| c * z).sum::<f64>() / scale;
        let used: f64 = self.gb().zip(z).map(|(gb, z)| gb * z).sum();
        let mut constraints = vec![used / self.capacity_gb - 1.0];
        constraints.extend(z.iter().zip(&excesses).map(|(z, excess)| z * excess));
        Ok(Point { cost, constraints, excesses, slopes })
    }

    /// The largest weight, by which the objective is divided.
    fn scale(&self) -> f64 {
        self.weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max)
    }

    /// L and its gradient.
    fn lagrangian(&self, z: &[f64], multipliers: &[f64], penalty: f64) -> Result<(f64, Vec<f64>)> {
        let point = self.at(z)?;
        let mut value = point.cost;
        let scale = self.scale();
        let mut gradient: Vec<f64> = self.weights.iter().map(|c| -c / scale).collect();
        let pressure: Vec<f64> =
            multipliers.iter().zip(&point.constraints).map(|(m, g)| f64::max(0.0, m + penalty * g)).collect();
        for (pressure, multiplier) in pressure.iter().zip(multipliers) {
            value += (pressure * pressure - multiplier * multiplier) / (2.0 * penalty);
        }
        for (gradient, gb) in gradient.iter_mut().zip(self.gb()) {
            *gradient += pressure[0] * gb / self.capacity_gb;
        }
        for (r, pressure) in pressure[1..].iter().enumerate().filter(|(_, pressure)| **pressure > 0.0) {
            gradient[r] += pressure * point.excesses[r];
            let by_instances = point.slopes.row(r);
            for ((gradient, slope), whole) in gradient.iter_mut().zip(by_instances).zip(self.whole) {
                *gradient += pressure * z[r] * slope * whole;
            }
        }
        Ok((value, gradient))
    }

    /// Goes down L from `z`.
    fn descend(
        &self,
        mut z: Vec<f64>,
        multipliers: &[f64],
        penalty: f64,
        params: &ProgramParams,
    ) -> Result<(Vec<f64>, u64)> {
        let (mut value, mut gradient) = self.lagrangian(&z, multipliers, penalty)?;
        let mut evaluations = 1;
        let mut length = 0.1;
        let mut values = vec![value];
        for _ in 0..params.steps {
            if params.is_over() {
                break;
            }
            let direction: Vec<f64> = z
                .iter()
                .zip(&gradient)
                .zip(&self.most)
                .map(|((z, g), most)| (z - length * g).clamp(0.0, *most) - z)
                .collect();
            let slope: f64 = direction.iter().zip(&gradient).map(|(d, g)| d * g).sum();
            if direction.iter().all(|d| d.abs() <= STATIONARY) || slope >= 0.0 {
                break;
            }
            let reference = values.iter().rev().take(MEMORY).copied().fold(f64::NEG_INFINITY, f64::max);
            let mut part = 1.0;
            let (next, next_value, next_gradient) = loop {
                let next: Vec<f64> = z
                    .iter()
                    .zip(&direction)
                    .zip(&self.most)
                    .map(|((z, d), most)| (z + part * d).clamp(0.0, *most))
                    .collect();
                let (next_value, next_gradient) = self.lagrangian(&next, multipliers, penalty)?;
                evaluations += 1;
                if next_value <= reference + ARMIJO * part * slope || part < 1e-6 {
                    break (next, next_value, next_gradient);
                }
                part *= 0.5;
            };
            // The spectral step of Barzilai and Borwein.
            let (mut ss, mut sy) = (0.0, 0.0);
            for i in 0..z.len() {
                let step = next[i] - z[i];
                ss += step * step;
                sy += step * (next_gradient[i] - gradient[i]);
            }
            length = if sy > 0.0 { (ss / sy).clamp(1e-6, 1e3) } else { 1.0 };
            (z, value, gradient) = (next, next_value, next_gradient);
            values.push(value);
        }
        Ok((z, evaluations))
    }
}
