//! Margins: by what factor a prediction is lengthened before it is promised.

use std::collections::BTreeMap;

use neuro_data::Sla;
use serde::{Deserialize, Serialize};

use crate::profiler::{ByName, Profiler};
use crate::training_set::RunSample;
use crate::{Error, Result};

/// Factors by which predictions of each application and statistic are multiplied before they become promises.
///
/// They are split-conformal: with n held-out tenants of an application, neither learned from nor chosen by, and their ratios
/// measured / predicted in order of size, the factor is the ⌈(n + 1)(1 − α)⌉-th of them, and at least 1. A further tenant *drawn as
/// those were* is then slower than its promise with probability at most α, on average over tenants and over held-out sets. Nothing is
/// guaranteed for one application in one regime of load, for servers that are loaded otherwise than the held-out runs, or for tenants
/// that an optimiser chose: it picks predictions that are too low. Where n is too small for the quantile to exist, the factor is the
/// largest ratio and [`AppMargin::reached`] is false.
///
/// # References
///
/// J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive inference for regression", *Journal of
/// the American Statistical Association* 113(523), 2018, doi:10.1080/01621459.2017.1307116.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// α: the share of promises that may be broken.
    pub miss_rate: f64,
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
        let model = &ByName::new(model, apps);
        if !(miss_rate > 0.0 && miss_rate < 1.0) {
            let required = "between 0 and 1";
            return Err(Error::InvalidOption { name: "miss_rate", value: miss_rate, required });
        }
        let mut ratios = vec![[const { Vec::new() }; 3]; model.apps().len()];
        for run in runs {
            for (tenant, log_times) in run.tenants.iter().zip(model.log_times(&run.server())?) {
                for k in 0..3 {
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
        let apps = model.apps().iter().cloned().zip(ratios.iter_mut().map(margins)).collect();
        Ok(Self { miss_rate, runs: runs.len(), apps })
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
