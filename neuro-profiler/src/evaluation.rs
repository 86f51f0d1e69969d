//! How good a profiler is: errors on runs that it has not seen, and what they are worth.

use std::collections::BTreeMap;

use neuro_data::Sla;
use neuro_data::summary::quantile;
use serde::Serialize;

use crate::Result;
use crate::margins::{Margins, loaded};
use crate::profiler::{ByName, Profiler, sla_index};
use crate::training_set::{RunSample, TrainingSet};

/// A prediction beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Position of the application in the set.
    pub app: usize,
    /// The statistic.
    pub sla: Sla,
    /// Predicted, seconds.
    pub predicted_s: f64,
    /// Predicted with its margin, seconds: what would be promised.
    pub promised_s: f64,
    /// Measured, seconds.
    pub measured_s: f64,
    /// Standard error of the measurement's logarithm, where known.
    pub error: Option<f64>,
    /// Work that the run offered, relative to what its server can do.
    pub utilisation: f64,
    /// Other tenants on the server.
    pub neighbours: usize,
}

impl Judged {
    /// (predicted − measured) / measured.
    pub fn relative(&self) -> f64 {
        self.predicted_s / self.measured_s - 1.0
    }
}

/// The errors of one profiler on one statistic, or on some of its predictions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorSummary {
    /// Predictions.
    pub count: usize,
    /// Median of the absolute relative error.
    pub median: f64,
    /// Its mean.
    pub mean: f64,
    /// Its 90th percentile.
    pub p90: f64,
    /// Its 99th percentile.
    pub p99: f64,
    /// Median of the signed relative error; below 0 where predictions are too low.
    pub signed_median: f64,
    /// Of all promises that the prediction says are kept, the share that was not: promises are as long as the times that the
    /// application's tenants were measured at.
    pub optimistic_rate: f64,
    /// Share of measurements above prediction × margin.
    pub broken_rate: f64,
    /// The median absolute error that remains of a perfect prediction, by the intervals of the measurements; `None` without them.
    pub noise_floor: Option<f64>,
}

/// Predictions of a profiler on runs, beside the measurements.
///
/// Starved tenants are not among them: nobody knows their times.
///
/// # Errors
///
/// [`crate::Error::UntrainedApp`] for an application of the runs that the profiler does not know; what the profiler refuses.
pub fn judge(
    model: &dyn Profiler,
    margins: Option<&Margins>,
    set: &TrainingSet,
    runs: &[usize],
    utilisation: &Utilisation,
) -> Result<Vec<Judged>> {
    let model = ByName::new(model, &set.apps);
    let mut judged = Vec::new();
    for run in runs {
        let run = &set.runs[*run];
        let load = utilisation.of(run);
        let predicted = model.log_times(&run.server())?;
        let headroom = margins.map_or(0.0, |margins| margins.headroom);
        let cautious =
            if headroom > 0.0 { model.log_times(&loaded(&run.server(), headroom))? } else { predicted.clone() };
        for (tenant, (log_times, cautious)) in run.tenants.iter().zip(predicted.iter().zip(&cautious)) {
            for sla in Sla::ALL {
                let k = sla_index(sla);
                let Some(measured_s) = tenant.seconds[k] else { continue };
                let predicted_s = log_times[k].exp();
                let margin = margins.map_or(1.0, |margins| margins.factor(&set.apps[tenant.load.app], sla));
                judged.push(Judged {
                    app: tenant.load.app,
                    sla,
                    predicted_s,
                    promised_s: cautious[k].exp() * margin,
                    measured_s,
                    error: tenant.errors[k],
                    utilisation: load,
                    neighbours: run.tenants.len() - 1,
                });
            }
        }
    }
    Ok(judged)
}

/// How much work a run offers: Σ n·λ·(time alone) over its tenants, divided by what the server can do at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Utilisation {
    alone_s: Vec<f64>,
    cores: f64,
}

impl Utilisation {
    /// With the times alone and the cores that [`crate::baselines::Queueing`] finds among `train`.
    ///
    /// # Errors
    ///
    /// [`crate::Error::UnmeasuredApp`], [`crate::Error::NoRuns`].
    pub fn fit(set: &TrainingSet, train: &[usize]) -> Result<Self> {
        let queue = crate::baselines::Queueing::fit(set, train)?;
        let alone = crate::baselines::Uncontended::fit(set, train)?;
        let alone_s = (0..set.apps.len()).map(|app| alone.base_s(app)[0]).collect();
        Ok(Self { alone_s, cores: queue.cores() })
    }

    /// Of a run.
    pub fn of(&self, run: &RunSample) -> f64 {
        let work = run.server().iter().map(|load| load.instances * load.rate * self.alone_s[load.app]).sum::<f64>();
        work / self.cores
    }

    /// Cores by which work is divided.
    pub fn cores(&self) -> f64 {
        self.cores
    }
}

/// Sums up predictions; `None` of nothing.
pub fn summarise(judged: &[Judged]) -> Option<ErrorSummary> {
    if judged.is_empty() {
        return None;
    }
    let mut signed: Vec<f64> = judged.iter().map(Judged::relative).collect();
    let mut errors: Vec<f64> = signed.iter().map(|error| error.abs()).collect();
    let broken = judged.iter().filter(|j| j.measured_s > j.promised_s).count();
    Some(ErrorSummary {
        count: judged.len(),
        median: quantile(&mut errors, 0.5),
        mean: errors.iter().sum::<f64>() / errors.len() as f64,
        p90: quantile(&mut errors, 0.9),
        p99: quantile(&mut errors, 0.99),
        signed_median: quantile(&mut signed, 0.5),
        optimistic_rate: optimistic_rate(judged),
        broken_rate: broken as f64 / judged.len() as f64,
        noise_floor: noise_floor(judged),
    })
}

/// Of all (tenant, promise) with prediction ≤ promise, the share with promise < measurement; the promises of a tenant are the measured
/// times of its application and statistic among `judged`.
fn optimistic_rate(judged: &[Judged]) -> f64 {
    let mut promises: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for j in judged {
        promises.entry((j.app, sla_index(j.sla))).or_default().push(j.measured_s);
    }
    promises.values_mut().for_each(|list| list.sort_by(f64::total_cmp));
    let (mut accepted, mut broken) = (0, 0);
    for j in judged {
        let Some(list) = promises.get(&(j.app, sla_index(j.sla))) else { continue };
        let first_kept = list.partition_point(|promise| *promise < j.predicted_s);
        let first_met = list.partition_point(|promise| *promise < j.measured_s);
        accepted += list.len() - first_kept;
        broken += first_met.saturating_sub(first_kept);
    }
    if accepted == 0 { 0.0 } else { broken as f64 / accepted as f64 }
}

/// The median of |error| where each error is normal with the standard error of its measurement: the x at which the mean of
/// 2Φ(x/σ) − 1 is one half.
fn noise_floor(judged: &[Judged]) -> Option<f64> {
    let deviations: Vec<f64> = judged.iter().filter_map(|j| j.error).collect();
    if deviations.len() < judged.len().div_ceil(2) {
        return None;
    }
    let within = |x: f64| {
        let share = |deviation: &f64| {
            if *deviation > 0.0 { libm::erf(x / deviation * std::f64::consts::FRAC_1_SQRT_2) } else { 1.0 }
        };
        deviations.iter().map(share).sum::<f64>() / deviations.len() as f64
    };
    let (mut low, mut high) = (0.0, 10.0 * deviations.iter().copied().fold(1e-9, f64::max));
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        *if within(middle) < 0.5 { &mut low } else { &mut high } = middle;
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(predicted_s: f64, measured_s: f64) -> Judged {
        Judged {
            app: 0,
            sla: Sla::Mean,
            predicted_s,
            promised_s: 1.1 * predicted_s,
            measured_s,
            error: Some(0.02),
            utilisation: 0.5,
            neighbours: 3,
        }
    }

    #[test]
    fn figures_by_hand() {
        // Relative errors: 0, +1, −0.5, −0.2.
        let all = [judged(1.0, 1.0), judged(4.0, 2.0), judged(1.5, 3.0), judged(3.2, 4.0)];
        let summary = summarise(&all).unwrap();
        assert_eq!(summary.count, 4);
        assert!((summary.median - 0.35).abs() < 1e-12 && (summary.mean - 0.425).abs() < 1e-12);
        assert!((summary.signed_median + 0.1).abs() < 1e-12);
        // Promises 1, 2, 3, 4. Accepted: 4 of the first, 1 of the second, 3 of the third (2, 3, 4: 2 is broken), 1 of the last (4: met).
        assert!((summary.optimistic_rate - 1.0 / 9.0).abs() < 1e-12, "{}", summary.optimistic_rate);
        // 1.65 < 3 and 3.52 < 4.
        assert_eq!(summary.broken_rate, 0.5);
        // One σ: its 75 % point, 0.6745 σ.
        assert!((summary.noise_floor.unwrap() - 0.674_489_75 * 0.02).abs() < 1e-9);
        assert_eq!(summarise(&[]), None);
    }
}
