use std::f64::consts::PI;

use argmin::core::{CostFunction, Error, Gradient, Hessian};

use super::{ContentionPoint, SigmoidParams};

/// Standard deviation of the normal prior on each of the six numbers (seconds, or requests per second).
const PRIOR_DEVIATION: f64 = 2.5;

/// The posterior of one curve as an argmin problem over the six numbers, with the noise σ eliminated.
///
/// The model is T_k ~ N(T(n_k, λ_k), σ²), each number ~ N(0, 2.5²), σ ~ half-normal(1), times in seconds. For given numbers
/// with squared error Q = Σ_k (T_k − T(n_k, λ_k))² over K points, the best v = σ² maximises
///
/// −(K/2) ln v − Q/(2v) − v/2, which gives v² + K v − Q = 0, so v = 2 Q / (K + √(K² + 4 Q)),
///
/// and at least the square of the floor. The maximum over the six numbers of what remains is the joint maximum. By the
/// envelope theorem its gradient is that at fixed σ. The Hessian is Gauss and Newton's, JᵀJ/σ² + I/2.5², which the prior
/// keeps positive definite.
#[derive(Clone, Copy)]
pub(super) struct Posterior<'a> {
    pub(super) points: &'a [ContentionPoint],
    /// The least σ allowed (s): with an exact fit the density would grow without bound as σ → 0.
    pub(super) sigma_floor_s: f64,
}

impl Posterior<'_> {
    /// Q: the sum of the squared errors (s²).
    pub(super) fn squared_error(&self, params: &SigmoidParams) -> f64 {
        let error = |point: &ContentionPoint| point.seconds - params.seconds(f64::from(point.instances), point.rate);
        self.points.iter().map(|point| error(point).powi(2)).sum()
    }

    /// The best σ (s) for a sum of squared errors Q (s²).
    pub(super) fn best_sigma(&self, squared_error: f64) -> f64 {
        let k = self.points.len() as f64;
        let variance = 2.0 * squared_error / (k + (k * k + 4.0 * squared_error).sqrt());
        variance.sqrt().max(self.sigma_floor_s)
    }

    /// ln of likelihood × priors at the numbers and the best σ for them, all constants included.
    pub(super) fn log_density(&self, params: &SigmoidParams) -> f64 {
        let k = self.points.len() as f64;
        let squared_error = self.squared_error(params);
        let sigma = self.best_sigma(squared_error);
        let likelihood = -0.5 * k * (2.0 * PI).ln() - k * sigma.ln() - squared_error / (2.0 * sigma * sigma);
        let noise_prior = (2.0 / PI).sqrt().ln() - 0.5 * sigma * sigma;
        let normal = |x: f64| -0.5 * (2.0 * PI).ln() - PRIOR_DEVIATION.ln() - 0.5 * (x / PRIOR_DEVIATION).powi(2);
        likelihood + noise_prior + params.to_array().into_iter().map(normal).sum::<f64>()
    }
}

/// The six numbers of an argmin parameter vector.
pub(super) fn params_of(numbers: &[f64]) -> SigmoidParams {
    let mut array = [f64::NAN; 6];
    for (slot, number) in array.iter_mut().zip(numbers) {
        *slot = *number;
    }
    SigmoidParams::from_array(array)
}

impl CostFunction for Posterior<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    /// −ln density, up to nothing; infinite where it is not a number.
    fn cost(&self, numbers: &Vec<f64>) -> Result<f64, Error> {
        let cost = -self.log_density(&params_of(numbers));
        Ok(if cost.is_nan() { f64::INFINITY } else { cost })
    }
}

impl Gradient for Posterior<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    /// Shape: 6.
    fn gradient(&self, numbers: &Vec<f64>) -> Result<Vec<f64>, Error> {
        let params = params_of(numbers);
        let precision = self.best_sigma(self.squared_error(&params)).powi(-2);
        let mut gradient: Vec<f64> = numbers.iter().map(|x| x / PRIOR_DEVIATION.powi(2)).collect();
        for point in self.points {
            let (seconds, slopes) = params.seconds_and_gradient(f64::from(point.instances), point.rate);
            let pull = (seconds - point.seconds) * precision;
            for (entry, slope) in gradient.iter_mut().zip(slopes) {
                *entry += pull * slope;
            }
        }
        Ok(gradient)
    }
}

impl Hessian for Posterior<'_> {
    type Param = Vec<f64>;
    type Hessian = Vec<Vec<f64>>;

    /// Shape: 6 × 6, symmetric, positive definite.
    fn hessian(&self, numbers: &Vec<f64>) -> Result<Vec<Vec<f64>>, Error> {
        let params = params_of(numbers);
        let precision = self.best_sigma(self.squared_error(&params)).powi(-2);
        let mut hessian = vec![vec![0.0; 6]; 6];
        for (i, row) in hessian.iter_mut().enumerate() {
            row[i] = PRIOR_DEVIATION.powi(-2);
        }
        for point in self.points {
            let (_, slopes) = params.seconds_and_gradient(f64::from(point.instances), point.rate);
            for (row, by_row) in hessian.iter_mut().zip(slopes) {
                for (entry, by_column) in row.iter_mut().zip(slopes) {
                    *entry += precision * by_row * by_column;
                }
            }
        }
        Ok(hessian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(scale: f64) -> Vec<ContentionPoint> {
        let mut points = Vec::new();
        for (k, (instances, rate)) in [(1, 1.0), (1, 4.0), (4, 2.0), (8, 3.0), (16, 1.0)].into_iter().enumerate() {
            points.push(ContentionPoint {
                app: "a".into(),
                neighbour: "b".into(),
                instances,
                rate,
                seconds: scale * (1.0 + 0.3 * k as f64),
            });
        }
        points
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        // Times of 1 s with σ free; of 0.5 ms with σ free; and of 1 s with σ held by its floor.
        for (scale, floor) in [(1.0, 1e-3), (5e-4, 5e-7), (1.0, 3.0)] {
            let points = points(scale);
            let posterior = Posterior { points: &points, sigma_floor_s: floor };
            let base = vec![1.2 * scale, 0.1 * scale, 0.4, 0.02, 1.5, -0.1];
            let gradient = posterior.gradient(&base).unwrap();
            for k in 0..6 {
                let step = if k < 2 { 1e-6 * scale } else { 1e-6 };
                let (mut up, mut down) = (base.clone(), base.clone());
                up[k] += step;
                down[k] -= step;
                let numeric = (posterior.cost(&up).unwrap() - posterior.cost(&down).unwrap()) / (2.0 * step);
                let tolerance = 1e-5 * (1.0 + gradient[k].abs());
                assert!((numeric - gradient[k]).abs() < tolerance, "{scale}, {k}: {numeric} ≠ {}", gradient[k]);
            }
        }
    }

    #[test]
    fn best_sigma_beats_its_neighbours() {
        let points = points(1.0);
        let posterior = Posterior { points: &points, sigma_floor_s: 1e-9 };
        let k = points.len() as f64;
        for squared_error in [1e-8, 0.01, 1.0, 400.0] {
            let density = |sigma: f64| -k * sigma.ln() - squared_error / (2.0 * sigma * sigma) - 0.5 * sigma * sigma;
            let best = posterior.best_sigma(squared_error);
            assert!(density(best) > density(best * 1.001), "{squared_error}");
            assert!(density(best) > density(best * 0.999), "{squared_error}");
        }
    }

    #[test]
    fn log_density_of_one_exact_point_by_hand() {
        // One point met exactly by θ₁ = 2, θ₂ = θ₃ = 0 (T = 1), σ at its floor of 0.5.
        let points =
            [ContentionPoint { app: "a".into(), neighbour: "b".into(), instances: 1, rate: 1.0, seconds: 1.0 }];
        let posterior = Posterior { points: &points, sigma_floor_s: 0.5 };
        let params = SigmoidParams { alpha1: 2.0, ..SigmoidParams::default() };
        let normal = |x: f64, sd: f64| (-0.5 * (x / sd).powi(2)).exp() / (sd * (2.0 * PI).sqrt());
        let expected =
            normal(0.0, 0.5).ln() + normal(2.0, 2.5).ln() + 5.0 * normal(0.0, 2.5).ln() + (2.0 * normal(0.5, 1.0)).ln();
        assert!((posterior.log_density(&params) - expected).abs() < 1e-12);
    }
}
