use argmin::core::{Executor, State, TerminationReason, TerminationStatus};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::levenberg_marquardt::LevenbergMarquardt;
use super::posterior::{Posterior, params_of};
use super::{ContentionPoint, SigmoidParams};
use crate::{Error, Result};

/// The least number of points of a fit. With fewer than six settings the priors decide what the points leave open.
pub const MIN_POINTS: usize = 4;

/// How to search for the maximum a posteriori.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MapOptions {
    /// Starting points of the search, at least 1; the best end is kept. The first two follow from the data, the others are
    /// drawn. Default 16.
    pub starts: usize,
    /// Iterations of each start, at least 1. Default 1,000.
    pub max_iterations: u64,
    /// A start has converged when the local quadratic model promises less than this gain in the log posterior; above 0.
    /// Default 1e-9.
    pub tolerance: f64,
    /// The least σ allowed, as a share of the mean service time of the points; above 0. Without it an exact fit would have an
    /// infinite density at σ = 0. Default 1e-3: no service time is measured more finely.
    pub sigma_floor: f64,
    /// Seed of the drawn starts. Default 0.
    pub seed: u64,
}

impl Default for MapOptions {
    fn default() -> Self {
        Self { starts: 16, max_iterations: 1_000, tolerance: 1e-9, sigma_floor: 1e-3, seed: 0 }
    }
}

impl MapOptions {
    fn check(&self) -> Result<()> {
        let above_zero = |x: f64| x.is_finite() && x > 0.0;
        let checks = [
            ("starts", self.starts as f64, self.starts >= 1, "at least 1"),
            ("max_iterations", self.max_iterations as f64, self.max_iterations >= 1, "at least 1"),
            ("tolerance", self.tolerance, above_zero(self.tolerance), "finite and above 0"),
            ("sigma_floor", self.sigma_floor, above_zero(self.sigma_floor), "finite and above 0"),
        ];
        match checks.into_iter().find(|(_, _, ok, _)| !ok) {
            Some((name, value, _, required)) => Err(Error::InvalidOption { name, value, required }),
            None => Ok(()),
        }
    }
}

/// A fitted contention curve and how the fit went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigmoidFit {
    /// The curve.
    pub params: SigmoidParams,
    /// The noise σ of the model (s).
    pub sigma_s: f64,
    /// The least σ that was allowed (s). Where `sigma_s` equals it, the curve meets the points as closely as the model can
    /// tell, and `log_posterior` depends on the floor.
    pub sigma_floor_s: f64,
    /// ln of likelihood × priors at the maximum found, with all constants except the evidence.
    pub log_posterior: f64,
    /// Whether the start that was kept converged. If not, the curve is the best found, not a proven maximum.
    pub converged: bool,
    /// Starts tried.
    pub starts: usize,
    /// Starts that converged, to whichever local maximum.
    pub converged_starts: usize,
    /// Iterations of the start that was kept.
    pub iterations: u64,
    /// Root of the mean squared error on the points (s).
    pub rmse_s: f64,
    /// Points fitted.
    pub points: usize,
}

/// Fits the PERX sigmoid to the points of one ordered pair of applications by maximum a posteriori.
///
/// The model is the one that the NeuRO prototype uses for its PERX baseline, unchanged: T_k ~ N(T(n_k, λ_k), σ²) with T of
/// [`SigmoidParams`], a prior N(0, 2.5²) on each of the six numbers and half-normal(1) on σ, times in seconds and rates in
/// requests per second per instance. The maximum is that of the density in the six numbers and σ itself (no logarithm, no
/// Jacobian). σ has a closed-form best value for given numbers and is eliminated, which leaves the joint maximum where it
/// is. The priors are in absolute units: curves that saturate above some tens of seconds are pulled down by them, as in the
/// prototype.
///
/// From each of several starting points an argmin executor runs the Levenberg–Marquardt method with analytic derivatives;
/// the best end is kept. The result depends neither on the order of the points nor on anything but them and the options.
///
/// # Errors
///
/// - [`Error::NoPoints`], [`Error::TooFewPoints`] below [`MIN_POINTS`], [`Error::MixedPairs`];
/// - [`Error::InvalidPoint`] for the first value that is not finite or out of its range;
/// - [`Error::InvalidOption`] for an option out of its range;
/// - [`Error::NoFit`] if no start reaches finite numbers.
///
/// A search that does not converge is no error: see [`SigmoidFit::converged`].
pub fn fit_sigmoid(points: &[ContentionPoint], options: &MapOptions) -> Result<SigmoidFit> {
    options.check()?;
    let points = checked_and_sorted(points)?;
    let mean_seconds = points.iter().map(|point| point.seconds).sum::<f64>() / points.len() as f64;
    let posterior = Posterior { points: &points, sigma_floor_s: options.sigma_floor * mean_seconds };

    let mut best: Option<(f64, Search)> = None;
    let mut converged_starts = 0;
    let mut reason = String::from("not a number");
    for start in starting_points(&points, mean_seconds, options) {
        let search = match climb(posterior, start, options) {
            Ok(search) => search,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        let density = posterior.log_density(&search.params);
        if !(search.params.is_finite() && density.is_finite()) {
            continue;
        }
        converged_starts += usize::from(search.converged);
        if best.as_ref().is_none_or(|(highest, _)| density > *highest) {
            best = Some((density, search));
        }
    }

    let (log_posterior, search) = best.ok_or_else(|| Error::NoFit {
        app: points[0].app.clone(),
        neighbour: points[0].neighbour.clone(),
        starts: options.starts,
        reason,
    })?;
    let squared_error = posterior.squared_error(&search.params);
    Ok(SigmoidFit {
        params: search.params,
        sigma_s: posterior.best_sigma(squared_error),
        sigma_floor_s: posterior.sigma_floor_s,
        log_posterior,
        converged: search.converged,
        starts: options.starts,
        converged_starts,
        iterations: search.iterations,
        rmse_s: (squared_error / points.len() as f64).sqrt(),
        points: points.len(),
    })
}

/// The points of one pair in a canonical order, so that sums do not depend on the order given.
fn checked_and_sorted(points: &[ContentionPoint]) -> Result<Vec<ContentionPoint>> {
    let first = points.first().ok_or(Error::NoPoints)?;
    for point in points {
        if (&point.app, &point.neighbour) != (&first.app, &first.neighbour) {
            return Err(Error::MixedPairs { first: first.pair(), other: point.pair() });
        }
        point.check()?;
    }
    if points.len() < MIN_POINTS {
        return Err(Error::TooFewPoints {
            app: first.app.clone(),
            neighbour: first.neighbour.clone(),
            found: points.len(),
            needed: MIN_POINTS,
        });
    }
    let mut points = points.to_vec();
    points.sort_by(|a, b| {
        a.instances.cmp(&b.instances).then(a.rate.total_cmp(&b.rate)).then(a.seconds.total_cmp(&b.seconds))
    });
    Ok(points)
}

/// Where one start ended.
struct Search {
    params: SigmoidParams,
    converged: bool,
    iterations: u64,
}

fn climb(posterior: Posterior<'_>, start: SigmoidParams, options: &MapOptions) -> Result<Search, argmin::core::Error> {
    let result = Executor::new(posterior, LevenbergMarquardt::new(options.tolerance))
        .configure(|state| state.param(start.to_array().to_vec()).max_iters(options.max_iterations))
        .ctrlc(false)
        .run()?;
    let converged = TerminationStatus::Terminated(TerminationReason::SolverConverged);
    let state = result.state;
    Ok(Search {
        params: params_of(state.get_best_param().map_or(&[], Vec::as_slice)),
        converged: *state.get_termination_status() == converged,
        iterations: state.get_iter(),
    })
}

/// The starting points: a constant curve, a gentle rise in the middle of the rates, then drawn ones. Steepness and middle are
/// drawn at the fewest and at the most instances and joined by a line in n.
fn starting_points(points: &[ContentionPoint], mean_seconds: f64, options: &MapOptions) -> Vec<SigmoidParams> {
    let extent = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (x.min(low), x.max(high)))
    };
    let (fewest, most) = extent(&mut points.iter().map(|point| f64::from(point.instances)));
    let (slowest_rate, fastest_rate) = extent(&mut points.iter().map(|point| point.rate));
    let (_, longest) = extent(&mut points.iter().map(|point| point.seconds));
    // A width for the rates even where there is only one, or only zero.
    let width = [fastest_rate - slowest_rate, fastest_rate].into_iter().find(|x| *x > 0.0).unwrap_or(1.0);

    let constant = SigmoidParams { alpha1: 2.0 * mean_seconds, ..SigmoidParams::default() };
    let gentle = SigmoidParams {
        alpha1: 2.0 * mean_seconds,
        alpha2: 1.0 / width,
        alpha3: 0.5 * (slowest_rate + fastest_rate),
        ..SigmoidParams::default()
    };
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let drawn = std::iter::repeat_with(|| {
        let mut line = |draw: &mut dyn FnMut(&mut ChaCha8Rng) -> f64| {
            let (at_fewest, at_most) = (draw(&mut random), draw(&mut random));
            let slope = if most > fewest { (at_most - at_fewest) / (most - fewest) } else { 0.0 };
            (at_fewest - slope * fewest, slope)
        };
        let (alpha1, beta1) = line(&mut |random| longest * random.gen_range(0.5..3.0));
        let (alpha2, beta2) = line(&mut |random| 10_f64.powf(random.gen_range(-1.0..1.0)) / width);
        let (alpha3, beta3) = line(&mut |random| slowest_rate + width * random.gen_range(-1.0..2.0));
        SigmoidParams { alpha1, beta1, alpha2, beta2, alpha3, beta3 }
    });
    [constant, gentle].into_iter().chain(drawn).take(options.starts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The grid of the reference's pairwise campaign, with normal noise of the given size relative to the time.
    fn synthetic(truth: &SigmoidParams, noise: f64, seed: u64) -> Vec<ContentionPoint> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut points = Vec::new();
        for instances in [4_u32, 8, 16] {
            for rate in [1.0, 2.0, 3.0, 4.0] {
                // The sum of twelve uniforms, less 6, is close to a standard normal.
                let normal = (0..12).map(|_| random.gen_range(0.0..1.0)).sum::<f64>() - 6.0;
                points.push(ContentionPoint {
                    app: "a".into(),
                    neighbour: "b".into(),
                    instances,
                    rate,
                    seconds: truth.seconds(f64::from(instances), rate) * (1.0 + noise * normal),
                });
            }
        }
        points
    }

    fn scaled(truth: SigmoidParams, scale: f64) -> SigmoidParams {
        SigmoidParams { alpha1: truth.alpha1 * scale, beta1: truth.beta1 * scale, ..truth }
    }

    const TRUTH: SigmoidParams =
        SigmoidParams { alpha1: 1.0, beta1: 0.15, alpha2: 0.6, beta2: 0.03, alpha3: 2.5, beta3: -0.08 };

    fn largest_relative_error(fit: &SigmoidFit, truth: &SigmoidParams) -> f64 {
        let mut largest = 0.0_f64;
        for n in 4..=16 {
            for step in 0..=30 {
                let (n, rate) = (f64::from(n), 1.0 + 0.1 * f64::from(step));
                let exact = truth.seconds(n, rate);
                largest = largest.max((fit.params.seconds(n, rate) - exact).abs() / exact);
            }
        }
        largest
    }

    #[test]
    fn recovers_the_curve_from_half_a_millisecond_to_ten_seconds() {
        for scale in [5e-4, 0.02, 1.0, 5.0] {
            let truth = scaled(TRUTH, scale);
            let fit = fit_sigmoid(&synthetic(&truth, 0.01, 7), &MapOptions::default()).unwrap();
            assert!(fit.converged, "scale {scale}: {fit:?}");
            assert!(fit.converged_starts >= 12, "scale {scale}: {fit:?}");
            let error = largest_relative_error(&fit, &truth);
            assert!(error < 0.05, "scale {scale}: off by {error}");
            assert!(fit.sigma_s < 0.05 * scale, "scale {scale}: {fit:?}");
        }
    }

    #[test]
    fn an_exact_fit_stops_at_the_noise_floor() {
        let truth = scaled(TRUTH, 0.02);
        let fit = fit_sigmoid(&synthetic(&truth, 0.0, 0), &MapOptions::default()).unwrap();
        assert!(fit.converged);
        assert_eq!(fit.sigma_s, fit.sigma_floor_s);
        assert!(fit.sigma_floor_s > 0.0 && fit.rmse_s < fit.sigma_floor_s);
        assert!(largest_relative_error(&fit, &truth) < 0.01);
    }

    #[test]
    fn no_nearby_point_is_better() {
        let points = synthetic(&scaled(TRUTH, 0.05), 0.02, 3);
        let fit = fit_sigmoid(&points, &MapOptions::default()).unwrap();
        let posterior = Posterior { points: &points, sigma_floor_s: fit.sigma_floor_s };
        assert!((posterior.log_density(&fit.params) - fit.log_posterior).abs() < 1e-9);
        for k in 0..6 {
            for step in [-1e-4, 1e-4] {
                let mut numbers = fit.params.to_array();
                numbers[k] += step * numbers[k].abs().max(1e-3);
                let moved = posterior.log_density(&SigmoidParams::from_array(numbers));
                assert!(moved < fit.log_posterior + 1e-9, "{}", SigmoidParams::NAMES[k]);
            }
        }
    }

    #[test]
    fn order_does_not_matter_and_the_seed_fixes_the_result() {
        let points = synthetic(&TRUTH, 0.02, 1);
        let mut turned = points.clone();
        turned.reverse();
        turned.swap(2, 7);
        let options = MapOptions { seed: 5, ..MapOptions::default() };
        let fit = fit_sigmoid(&points, &options).unwrap();
        assert_eq!(fit, fit_sigmoid(&points, &options).unwrap());
        assert_eq!(fit, fit_sigmoid(&turned, &options).unwrap());
    }

    #[test]
    fn non_convergence_is_reported() {
        let options = MapOptions { max_iterations: 1, starts: 3, ..MapOptions::default() };
        let fit = fit_sigmoid(&synthetic(&TRUTH, 0.02, 1), &options).unwrap();
        assert!(!fit.converged);
        assert_eq!((fit.starts, fit.converged_starts, fit.iterations), (3, 0, 1));
        assert!(fit.params.is_finite());
    }

    #[test]
    fn a_service_that_nothing_slows_down_gets_a_flat_curve() {
        let mut points = synthetic(&TRUTH, 0.0, 0);
        for point in &mut points {
            point.seconds = 0.003;
        }
        let fit = fit_sigmoid(&points, &MapOptions::default()).unwrap();
        assert!(fit.converged);
        for (n, rate) in [(1.0, 1.0), (10.0, 2.5), (16.0, 4.0)] {
            assert!((fit.params.seconds(n, rate) / 0.003 - 1.0).abs() < 0.01);
        }
    }

    #[test]
    fn one_rate_or_one_count_is_enough_to_fit() {
        let all = synthetic(&scaled(TRUTH, 0.01), 0.01, 2);
        let one_count: Vec<_> = all.iter().filter(|point| point.instances == 8).cloned().collect();
        let fit = fit_sigmoid(&one_count, &MapOptions::default()).unwrap();
        assert!(fit.converged && fit.rmse_s < 0.001, "{fit:?}");
        let mut one_rate = all;
        one_rate.iter_mut().for_each(|point| point.rate = 0.0);
        assert!(fit_sigmoid(&one_rate, &MapOptions::default()).unwrap().params.is_finite());
    }

    #[test]
    fn extreme_times_do_not_break_the_search() {
        for seconds in [[1e-12, 2e-12, 1e-12, 3e-12], [1e3, 1e5, 1e4, 1e6], [1e-300, 1e-3, 1.0, 1e100]] {
            let mut points = synthetic(&TRUTH, 0.0, 0);
            points.truncate(4);
            for (point, seconds) in points.iter_mut().zip(seconds) {
                point.seconds = seconds;
            }
            match fit_sigmoid(&points, &MapOptions::default()) {
                Ok(fit) => assert!(fit.params.is_finite() && fit.log_posterior.is_finite(), "{fit:?}"),
                Err(error) => assert!(matches!(error, Error::NoFit { .. }), "{error}"),
            }
        }
    }

    #[test]
    fn bad_points_and_options_are_named() {
        let good = synthetic(&TRUTH, 0.0, 0);
        let options = MapOptions::default();
        let with = |change: &dyn Fn(&mut ContentionPoint)| {
            let mut points = good.clone();
            change(&mut points[3]);
            fit_sigmoid(&points, &options).unwrap_err().to_string()
        };
        assert_eq!(with(&|p| p.seconds = f64::NAN), "a beside b: seconds is NaN, but must be finite and above 0");
        assert_eq!(with(&|p| p.seconds = -0.5), "a beside b: seconds is -0.5, but must be finite and above 0");
        assert!(with(&|p| p.rate = f64::INFINITY).contains("rate is inf"));
        assert!(with(&|p| p.rate = -1.0).contains("rate is -1"));
        assert!(with(&|p| p.instances = 0).contains("instances is 0"));
        assert!(with(&|p| p.neighbour = "c".into()).contains("a beside c"));
        assert!(matches!(fit_sigmoid(&[], &options), Err(Error::NoPoints)));
        assert!(matches!(fit_sigmoid(&good[..3], &options), Err(Error::TooFewPoints { found: 3, needed: 4, .. })));
        let options = MapOptions { sigma_floor: 0.0, ..MapOptions::default() };
        assert!(matches!(fit_sigmoid(&good, &options), Err(Error::InvalidOption { name: "sigma_floor", .. })));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 32, ..Default::default() })]

        /// Whatever was measured: finite numbers, σ within its floor, no worse than a constant at the mean, in any order.
        #[test]
        fn any_measurements_give_a_usable_curve(
            settings in proptest::collection::vec((1_u32..20, 0.0_f64..100.0, -9.0_f64..4.0), MIN_POINTS..20),
        ) {
            let mut points: Vec<_> = settings
                .into_iter()
                .map(|(instances, rate, exponent)| ContentionPoint {
                    app: "a".into(),
                    neighbour: "b".into(),
                    instances,
                    rate,
                    seconds: exponent.exp(),
                })
                .collect();
            let fit = fit_sigmoid(&points, &MapOptions::default()).unwrap();
            assert!(fit.params.is_finite() && fit.sigma_s >= fit.sigma_floor_s);
            let mean = points.iter().map(|point| point.seconds).sum::<f64>() / points.len() as f64;
            let constant = SigmoidParams { alpha1: 2.0 * mean, ..SigmoidParams::default() };
            let posterior = Posterior { points: &points, sigma_floor_s: fit.sigma_floor_s };
            assert!(fit.log_posterior >= posterior.log_density(&constant) - 1e-9);
            points.reverse();
            assert_eq!(fit_sigmoid(&points, &MapOptions::default()).unwrap(), fit);
        }
    }
}
