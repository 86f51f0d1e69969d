//! Margins: how much a prediction is stretched before it is promised.

use std::collections::BTreeMap;

use neuro_data::Sla;
use serde::{Deserialize, Serialize};

use crate::profiler::{ByName, Load, Profiler};
use crate::training_set::RunSample;
use crate::{Error, Result};

/// Headroom, and factors by application and statistic, that make promises of predictions.
///
/// A tenant is promised
///
/// promise = factor · prediction(n·(1 + headroom)),
///
/// the time that is predicted where every tenant of its server has that much more of its instances, times a factor. The factors are
/// split-conformal: with m held-out tenants of an application, neither learned from nor chosen by, and their ratios
/// measured / prediction(n·(1 + headroom)) in order of size, the factor is the ⌈(m + 1)(1 − α)⌉-th of them, and at least 1. A further
/// tenant *drawn as those were* is then slower than its promise with probability at most α, on average over tenants and over held-out
/// sets. Where m is too small for the quantile to exist, the factor is the largest ratio and [`AppMargin::reached`] is false.
///
/// **Headroom** is there for the knee. Near saturation a few per cent of load are a multiple of the time, so an error that is small in
/// load is huge in time: a factor that covers it forbids everything else. [`Margins::with_headroom`] takes the headroom, of a few,
/// whose promises are shortest on the held-out runs. That these choose one of a few forms costs of the coverage what vanishes with the
/// root of their number (Yang and Kuchibhotla).
///
/// **Drawn as those were** is the catch. An optimiser picks what is predicted too low (the optimiser's curse, Smith and Winkler), so
/// margins for promises that it makes have to come from runs of its own plans by that very profiler, which nothing was learned from:
/// `recalibrate` in [`crate::fit`]. Nothing is guaranteed for one application in one regime of load, or for instances of another
/// sort than those that were planned.
///
/// # References
///
/// - J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive inference for regression", *Journal
///   of the American Statistical Association* 113(523), 2018, doi:10.1080/01621459.2017.1307116.
/// - A. N. Angelopoulos, S. Bates, "Conformal prediction: a gentle introduction", *Foundations and Trends in Machine Learning* 16(4),
///   2023, doi:10.1561/2200000101.
/// - Y. Yang, A. K. Kuchibhotla, "Selection and aggregation of conformal prediction sets", *Journal of the American Statistical
///   Association* 120(549), 2025, doi:10.1080/01621459.2024.2344700.
/// - J. E. Smith, R. L. Winkler, "The optimizer's curse: skepticism and postdecision surprise in decision analysis", *Management
///   Science* 52(3), 2006, doi:10.1287/mnsc.1050.0451.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// α: the share of promises that may be broken.
    pub miss_rate: f64,
    /// By what share more instances a server is predicted with than it has; 0 of a profiler that is not a
    /// [`ServerState`](crate::server_state::ServerState).
    #[serde(default)]
    pub headroom: f64,
    /// Held-out runs behind them.
    pub runs: usize,
    /// By application.
    pub apps: BTreeMap<String, AppMargins>,
}

/// The margins of one application.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppMargins {
    /// Of the mean.
    pub mean: AppMargin,
    /// Of the 75th percentile.
    pub p75: AppMargin,
    /// Of the 95th percentile.
    pub p95: AppMargin,
}

/// One margin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppMargin {
    /// The factor, at least 1.
    pub factor: f64,
    /// Held-out tenants behind it.
    pub tenants: usize,
    /// Whether there were enough of them.
    pub reached: bool,
}

/// Headrooms that [`Margins::with_headroom`] chooses from, beside none.
pub const HEADROOMS: [f64; 12] = [0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.25, 0.3];

/// A server with a share more of each of its tenants.
pub(crate) fn loaded(server: &[Load], headroom: f64) -> Vec<Load> {
    server.iter().map(|load| Load { instances: load.instances * (1.0 + headroom), ..*load }).collect()
}

impl Margins {
    /// Margins of a profiler, from runs that it has not seen, for promises of which a share `miss_rate` may be broken.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for a share that is not between 0 and 1; what the profiler refuses.
    pub fn of(model: &dyn Profiler, runs: &[&RunSample], miss_rate: f64) -> Result<Self> {
        Self::of_apps(model, model.apps(), runs, miss_rate, 1.0)
    }

    /// The same of runs whose applications are positions in `apps`, with factors of at least `least`: 0 shows how a profiler's errors
    /// are distributed, rather than what to promise.
    ///
    /// # Errors
    ///
    /// As [`Margins::of`].
    pub fn of_apps(
        model: &dyn Profiler,
        apps: &[String],
        runs: &[&RunSample],
        miss_rate: f64,
        least: f64,
    ) -> Result<Self> {
        Ok(Self::at(model, apps, runs, miss_rate, least, 0.0)?.0)
    }

    /// As [`Margins::of_apps`], with the headroom, of [`HEADROOMS`], whose promises are shortest: of the least mean logarithm over the
    /// tenants of these runs.
    ///
    /// # Errors
    ///
    /// As [`Margins::of`].
    pub fn with_headroom(model: &dyn Profiler, apps: &[String], runs: &[&RunSample], miss_rate: f64) -> Result<Self> {
        let mut shortest = Self::at(model, apps, runs, miss_rate, 1.0, 0.0)?;
        for headroom in HEADROOMS {
            let other = Self::at(model, apps, runs, miss_rate, 1.0, headroom)?;
            if other.1 < shortest.1 {
                shortest = other;
            }
        }
        Ok(shortest.0)
    }

    /// Margins with a headroom, and the sum of the logarithms of the promises, seconds, that they make on these runs.
    fn at(
        model: &dyn Profiler,
        apps: &[String],
        runs: &[&RunSample],
        miss_rate: f64,
        least: f64,
        headroom: f64,
    ) -> Result<(Self, f64)> {
        let model = &ByName::new(model, apps);
        if !(miss_rate > 0.0 && miss_rate < 1.0) {
            let required = "between 0 and 1";
            return Err(Error::InvalidOption { name: "miss_rate", value: miss_rate, required });
        }
        let mut ratios = vec![[const { Vec::new() }; 3]; model.apps().len()];
        let mut log_predictions = 0.0;
        for run in runs {
            for (tenant, log_times) in run.tenants.iter().zip(model.log_times(&loaded(&run.server(), headroom))?) {
                for k in 0..3 {
                    log_predictions += log_times[k];
                    // A starved tenant was slower than anything that was promised.
                    let starved = tenant.longer_than_s.map(|_| f64::INFINITY);
                    let ratio = tenant.seconds[k].map(|seconds| seconds / log_times[k].exp()).or(starved);
                    ratios[tenant.load.app][k].extend(ratio);
                }
            }
        }
        let margins = |lists: &mut [Vec<f64>; 3]| {
            let [mean, p75, p95] = lists.each_mut().map(|list| margin(list, miss_rate, least));
            AppMargins { mean, p75, p95 }
        };
        let apps: BTreeMap<String, AppMargins> =
            model.apps().iter().cloned().zip(ratios.iter_mut().map(margins)).collect();
        let log_factors: f64 = apps
            .values()
            .flat_map(|app| [app.mean, app.p75, app.p95])
            .map(|margin| margin.tenants as f64 * margin.factor.ln())
            .sum();
        Ok((Self { miss_rate, headroom, runs: runs.len(), apps }, log_predictions + log_factors))
    }

    /// The factor of an application and a statistic; 1 of an application that is not there.
    pub fn factor(&self, app: &str, sla: Sla) -> f64 {
        self.apps.get(app).map_or(1.0, |margins| margins.of(sla).factor)
    }
}

impl AppMargins {
    /// That of a statistic.
    pub fn of(&self, sla: Sla) -> AppMargin {
        match sla {
            Sla::Mean => self.mean,
            Sla::P75 => self.p75,
            Sla::P95 => self.p95,
        }
    }
}

fn margin(ratios: &mut [f64], miss_rate: f64, least: f64) -> AppMargin {
    ratios.sort_by(f64::total_cmp);
    let tenants = ratios.len();
    let rank = ((tenants + 1) as f64 * (1.0 - miss_rate)).ceil() as usize;
    let wanted = ratios.get(rank.saturating_sub(1)).copied().filter(|ratio| ratio.is_finite());
    let largest = ratios.iter().rev().copied().find(|ratio| ratio.is_finite());
    AppMargin { factor: wanted.or(largest).unwrap_or(1.0).max(least), tenants, reached: wanted.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiler::LogTimes;
    use crate::training_set::TenantSample;
    use neuro_data::RunKind;

    /// T = 1 / (1 − u) s of a server with the utilisation u = Σn / 20, as far as u = 0.95.
    struct Queue {
        apps: Vec<String>,
        /// By what the load is misjudged.
        sees: f64,
    }

    impl Profiler for Queue {
        fn apps(&self) -> &[String] {
            &self.apps
        }

        fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
            let busy: f64 = server.iter().map(|load| load.instances / 20.0).sum();
            Ok(vec![[-(1.0 - (self.sees * busy).min(0.95)).ln(); 3]; server.len()])
        }
    }

    #[test]
    fn an_error_of_load_becomes_headroom_and_no_factor() {
        let queue = |sees| Queue { apps: vec!["a".to_owned()], sees };
        let run = |n: u32| {
            let load = Load { app: 0, instances: f64::from(n), rate: 1.0 };
            let seconds = queue(1.1).log_times(&[load]).unwrap()[0].map(|log| Some(log.exp()));
            let tenant = TenantSample {
                id: "t".to_owned(),
                load,
                seconds,
                errors: [None; 3],
                longer_than_s: None,
                counters: [None; 3],
            };
            RunSample { run_id: format!("r{n}"), kind: RunKind::Replay, tenants: vec![tenant] }
        };
        // As many runs near the knee as far from it.
        let runs: Vec<RunSample> = (0..5).flat_map(|_| (1..=16).map(run)).collect();
        let runs: Vec<&RunSample> = runs.iter().collect();
        let (model, apps) = (queue(1.0), ["a".to_owned()]);
        let plain = Margins::of_apps(&model, &apps, &runs, 0.05, 1.0).unwrap();
        // At n = 16: (1 − 0.8) / (1 − 0.88).
        assert!((plain.factor("a", Sla::P95) - 0.2 / 0.12).abs() < 1e-9, "{plain:?}");
        let found = Margins::with_headroom(&model, &apps, &runs, 0.05).unwrap();
        assert_eq!(found.headroom, 0.1);
        assert!((found.factor("a", Sla::Mean) - 1.0).abs() < 1e-9, "{found:?}");
        // A profiler that is right needs none.
        let right = Margins::with_headroom(&queue(1.1), &apps, &runs, 0.05).unwrap();
        assert_eq!((right.headroom, right.factor("a", Sla::P75)), (0.0, 1.0));
    }

    #[test]
    fn the_factor_is_an_order_statistic() {
        // 19 ratios: ⌈20 · 0.95⌉ = 19, the largest; 18 are too few; 99: ⌈95⌉ = 95.
        let ratios = |n: usize| (1..=n).rev().map(|i| 1.0 + i as f64 / 100.0).collect::<Vec<_>>();
        assert_eq!(margin(&mut ratios(19), 0.05, 1.0), AppMargin { factor: 1.19, tenants: 19, reached: true });
        assert_eq!(margin(&mut ratios(18), 0.05, 1.0), AppMargin { factor: 1.18, tenants: 18, reached: false });
        assert_eq!(margin(&mut ratios(99), 0.05, 1.0), AppMargin { factor: 1.95, tenants: 99, reached: true });
        assert_eq!(margin(&mut vec![0.5; 40], 0.05, 1.0).factor, 1.0);
        assert_eq!(margin(&mut Vec::new(), 0.05, 1.0), AppMargin { factor: 1.0, tenants: 0, reached: false });
        assert!(!margin(&mut vec![f64::INFINITY; 40], 0.05, 1.0).reached);
    }
}
