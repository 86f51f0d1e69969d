//! Summaries: a tenant's service time in a run, with intervals that admit how little a short run knows.
//!
//! The samples are the service times of answered requests whose inference *started inside the window*, pooled over all replicas
//! of the tenant; percentiles are never averaged. What started after the window ran beside less load, and what never started
//! was not measured: neither has a number here. Intervals are 95 % percentile intervals of a circular block bootstrap, which
//! respects that neighbouring requests met the same contention.
//!
//! # References
//! - D. N. Politis, J. P. Romano, "A circular block-resampling procedure for stationary data", in *Exploring the Limits of
//!   Bootstrap*, Wiley, 1992, 263–270 (the resampling).
//! - P. Hall, J. L. Horowitz, B.-Y. Jing, "On blocking rules for the bootstrap with dependent data", *Biometrika* 82(3), 1995,
//!   doi:10.1093/biomet/82.3.561 (blocks of the order n^(1/3)).
//! - R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", *The American Statistician* 50(4), 1996,
//!   doi:10.1080/00031305.1996.10473566 (definition 7, as in NumPy and pandas).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Phases, RequestRecord, RequestStatus, Sla, Tenant};

/// Fewest samples for which an interval is given: below, resampling says more about itself than about the service.
pub const MIN_INTERVAL_SAMPLES: usize = 10;
/// Resamples behind an interval.
pub const RESAMPLES: usize = 1_000;

/// A figure with its 95 % interval; the interval is `None` below [`MIN_INTERVAL_SAMPLES`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Lower and upper end of its interval.
    pub interval: Option<(f64, f64)>,
}

/// What a run says about one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSummary {
    /// Requests due in the window that were answered.
    pub completed: u64,
    /// Requests due in the window that were not answered by the drain deadline.
    pub censored: u64,
    /// Requests due in the window that failed or could not be sent.
    pub failed: u64,
    /// Service times behind the estimates.
    pub samples: u64,
    /// Whether it was offered at least as much as it can serve: arrival rate × mean service time ≥ 1 per replica, or
    /// requests waited to the deadline and no inference was seen to end.
    pub unstable: bool,
    /// Mean, p75 and p95 of the service time, seconds, in the order of [`Sla::ALL`]; `None` where nothing was measured.
    pub service_s: Option<[Estimate; 3]>,
}

/// Summarises the requests of one tenant.
///
/// `seed` drives the resampling only.
pub fn summarise(tenant: &Tenant, phases: &Phases, requests: &[&RequestRecord], seed: u64) -> TenantSummary {
    let count =
        |wanted: &[RequestStatus]| requests.iter().filter(|r| !r.warmup && wanted.contains(&r.status)).count() as u64;
    let completed = count(&[RequestStatus::Ok]);
    let censored = count(&[RequestStatus::Censored]);
    let failed = count(&[RequestStatus::Failed, RequestStatus::Dropped]);

    let mut samples: Vec<(f64, f64)> = requests
        .iter()
        .filter(|r| !r.warmup && r.status == RequestStatus::Ok)
        .filter_map(|r| {
            // Where the service's clock is another host's, the start is known to be after the sending.
            let start = r.start_s.or(r.sent_s)?;
            let service = r.service_s?;
            (service.is_finite() && service >= 0.0 && start < phases.end_s()).then_some((start, service))
        })
        .collect();
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let samples: Vec<f64> = samples.into_iter().map(|(_, service)| service).collect();

    let service_s = estimates(&samples, seed);
    let utilisation = service_s.map(|[mean, ..]| tenant.rate * mean.value);
    let unstable = utilisation.map_or(censored > 0 && completed == 0, |u| u >= 1.0);
    TenantSummary { completed, censored, failed, samples: samples.len() as u64, unstable, service_s }
}

/// Mean, p75 and p95 of a sequence in order of time, with block-bootstrap intervals; `None` of nothing.
///
/// # Example
/// ```
/// let seconds: Vec<f64> = (0..1_000).map(|i| f64::from(i % 100)).collect();
/// let [mean, p75, p95] = neuro_data::summary::estimates(&seconds, 1).unwrap();
/// let expected = [49.5, 74.25, 94.05];
/// assert!([mean, p75, p95].iter().zip(expected).all(|(estimate, value)| (estimate.value - value).abs() < 1e-9));
/// let (lowest, highest) = mean.interval.unwrap();
/// assert!(lowest <= 49.5 && 49.5 <= highest);
/// ```
pub fn estimates(samples: &[f64], seed: u64) -> Option<[Estimate; 3]> {
    let values = statistics(&mut samples.to_vec())?;
    let intervals = (samples.len() >= MIN_INTERVAL_SAMPLES).then(|| bootstrap_intervals(samples, seed));
    let mut out = values.map(|value| Estimate { value, interval: None });
    if let Some(intervals) = intervals {
        for (estimate, interval) in out.iter_mut().zip(intervals) {
            estimate.interval = Some(interval);
        }
    }
    Some(out)
}

fn bootstrap_intervals(samples: &[f64], seed: u64) -> [(f64, f64); 3] {
    let n = samples.len();
    let block = (2.0 * (n as f64).cbrt()).ceil() as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws: [Vec<f64>; 3] = Default::default();
    let mut resample = Vec::with_capacity(n + block);
    for _ in 0..RESAMPLES {
        resample.clear();
        while resample.len() < n {
            let start = rng.gen_range(0..n);
            resample.extend((start..start + block).map(|i| samples[i % n]));
        }
        resample.truncate(n);
        if let Some(values) = statistics(&mut resample) {
            for (draws, value) in draws.iter_mut().zip(values) {
                draws.push(value);
            }
        }
    }
    draws.map(|mut draws| (quantile(&mut draws, 0.025), quantile(&mut draws, 0.975)))
}

/// Mean, p75 and p95; the order of the samples is lost.
fn statistics(samples: &mut [f64]) -> Option<[f64; 3]> {
    if samples.is_empty() {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let p75 = quantile(samples, 0.75);
    let p95 = quantile(samples, 0.95);
    Some([mean, p75, p95])
}

/// The `q`-quantile by linear interpolation between order statistics (definition 7); NaN of nothing. Reorders the samples.
pub fn quantile(samples: &mut [f64], q: f64) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    let position = q.clamp(0.0, 1.0) * (samples.len() - 1) as f64;
    let (_, &mut below, above) = samples.select_nth_unstable_by(position as usize, f64::total_cmp);
    let next = above.iter().copied().fold(f64::INFINITY, f64::min);
    let share = position.fract();
    if share > 0.0 { below + share * (next - below) } else { below }
}

impl TenantSummary {
    /// The estimate of one statistic.
    pub fn of(&self, sla: Sla) -> Option<Estimate> {
        self.service_s.map(|s| s[sla as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::Rng;

    fn phases() -> Phases {
        Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 0 }
    }

    fn tenant(rate: f64) -> Tenant {
        Tenant { id: "t".into(), app: "a".into(), instances: 1, rate }
    }

    fn request(start_s: f64, service_s: f64) -> RequestRecord {
        RequestRecord {
            run_id: "r".into(),
            tenant_id: "t".into(),
            app: "a".into(),
            replica: 0,
            seq: 0,
            intended_s: start_s,
            sent_s: Some(start_s),
            start_s: Some(start_s),
            end_s: Some(start_s + service_s),
            client_end_s: Some(start_s + service_s),
            service_s: Some(service_s),
            queueing_s: Some(0.0),
            response_s: Some(service_s),
            queue_len: Some(0),
            status: RequestStatus::Ok,
            warmup: false,
        }
    }

    fn unanswered(intended_s: f64) -> RequestRecord {
        RequestRecord {
            start_s: None,
            end_s: None,
            client_end_s: None,
            service_s: None,
            queueing_s: None,
            response_s: None,
            status: RequestStatus::Censored,
            ..request(intended_s, 0.0)
        }
    }

    fn summary(rate: f64, requests: &[RequestRecord]) -> TenantSummary {
        summarise(&tenant(rate), &phases(), &requests.iter().collect::<Vec<_>>(), 1)
    }

    #[test]
    fn quantiles_are_numpy_s() {
        // numpy.quantile([3, 1, 2, 10], [0, .25, .75, .95, 1]) = [1, 1.75, 4.75, 8.95, 10]
        for (q, expected) in [(0.0, 1.0), (0.25, 1.75), (0.75, 4.75), (0.95, 8.95), (1.0, 10.0)] {
            let value = quantile(&mut [3.0, 1.0, 2.0, 10.0], q);
            assert!((value - expected).abs() < 1e-12, "{q}: {value}");
        }
        assert!(quantile(&mut [], 0.5).is_nan());
        assert_eq!(quantile(&mut [7.0], 0.95), 7.0);
    }

    #[test]
    fn a_starved_tenant_is_censored_and_unstable_and_has_no_number() {
        let requests: Vec<_> = (1..10).map(|i| unanswered(f64::from(i))).collect();
        let summary = summary(1.0, &requests);
        assert_eq!((summary.completed, summary.censored, summary.samples), (0, 9, 0));
        assert!(summary.unstable);
        assert_eq!(summary.service_s, None);
    }

    #[test]
    fn utilisation_of_one_is_unstable() {
        let requests: Vec<_> = (1..10).map(|i| request(f64::from(i), 0.5)).collect();
        assert!(!summary(1.9, &requests).unstable);
        assert!(summary(2.0, &requests).unstable);
    }

    #[test]
    fn what_is_outside_of_the_window_is_no_sample() {
        let early = RequestRecord { warmup: true, ..request(0.5, 99.0) };
        // Due in the window, but its inference started after it, beside less load.
        let late = RequestRecord { intended_s: 10.5, ..request(11.5, 99.0) };
        let summary = summary(1.0, &[early, request(2.0, 0.1), request(3.0, 0.3), late]);
        assert_eq!((summary.completed, summary.samples), (3, 2));
        assert!((summary.of(Sla::Mean).unwrap().value - 0.2).abs() < 1e-12);
    }

    #[test]
    fn few_samples_have_no_interval_and_many_have_one_that_covers() {
        let few: Vec<_> = (0..9).map(f64::from).collect();
        assert!(estimates(&few, 1).unwrap().iter().all(|e| e.interval.is_none()));
        assert_eq!(estimates(&[], 1), None);
        // The mean of 2,000 uniforms on [0, 1): standard error 0.0065.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let many: Vec<f64> = (0..2_000).map(|_| rng.r#gen()).collect();
        let [mean, p75, p95] = estimates(&many, 1).unwrap();
        for (estimate, truth) in [(mean, 0.5), (p75, 0.75), (p95, 0.95)] {
            let (lo, hi) = estimate.interval.unwrap();
            assert!(lo < truth && truth < hi && hi - lo < 0.06, "{estimate:?}");
        }
        let (lo, hi) = mean.interval.unwrap();
        assert!((hi - lo - 2.0 * 1.96 * 0.00645).abs() < 0.006, "{lo} {hi}");
    }

    #[test]
    fn intervals_of_correlated_samples_are_wider() {
        // Each value held for 50 requests: 40 independent ones in 2,000.
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let held: Vec<f64> = (0..40).flat_map(|_| [rng.r#gen::<f64>(); 50]).collect();
        let mut mixed = held.clone();
        rand::seq::SliceRandom::shuffle(&mut mixed[..], &mut rng);
        let width = |samples: &[f64]| {
            let (lo, hi) = estimates(samples, 1).unwrap()[0].interval.unwrap();
            hi - lo
        };
        assert!(width(&held) > 2.0 * width(&mixed));
    }

    #[test]
    fn coverage_of_the_95_percent_interval_is_near_95_percent() {
        // 300 campaigns of 100 exponential samples: the mean's interval covers 1 in 91-97 % (the percentile bootstrap is a
        // little narrow at this size).
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let covered = (0..300)
            .filter(|_| {
                let samples: Vec<f64> = (0..100).map(|_| -(1.0 - rng.r#gen::<f64>()).ln()).collect();
                let (lo, hi) = estimates(&samples, 9).unwrap()[0].interval.unwrap();
                lo <= 1.0 && 1.0 <= hi
            })
            .count();
        assert!((255..=297).contains(&covered), "{covered} of 300");
    }

    proptest! {
        #[test]
        fn estimates_lie_within_the_samples_and_in_order(samples in prop::collection::vec(0.0..1e3f64, 1..200), seed: u64) {
            let [mean, p75, p95] = estimates(&samples, seed).unwrap();
            let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(p75.value <= p95.value);
            for estimate in [mean, p75, p95] {
                let slack = 1e-9 * high.max(1.0);
                prop_assert!(low - slack <= estimate.value && estimate.value <= high + slack);
                if let Some((lo, hi)) = estimate.interval {
                    prop_assert!(lo <= hi && low - slack <= lo && hi <= high + slack);
                }
            }
        }
    }
}
