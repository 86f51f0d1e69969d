//! Summaries: a tenant's service time in a run, with intervals that admit how little a short run knows.
//!
//! The samples are the service times of answered requests whose inference *started inside the window*, pooled over all replicas
//! of the tenant; percentiles are never averaged. What started after the window ran beside less load, and what never started
//! was not measured: neither has a number here.
//!
//! Intervals are 95 % intervals that respect that neighbouring requests met the same contention. Up to
//! [`BOOTSTRAP_SAMPLES`] samples they are percentile intervals of a circular block bootstrap, which is not drawn: a resample's
//! mean is a sum over its blocks, and its quantile is at most x where enough of its values are, whose number is a sum over its
//! blocks too; the points of such sums follow from the first three moments of a block's sum (Cornish and Fisher). So no chance is
//! involved, and an interval costs a few passes over the samples. Beyond, those passes cost more than all the rest of reading a
//! campaign and tell no more than *sectioning*: the samples in order of time are cut into k = [`SECTIONS`] sections of equal
//! length, and with θ the figure of all samples and θ_i that of section i the interval is θ ± t(k−1; 0.975) · sqrt(Σ (θ_i − θ)² / (k (k−1))). A section is far longer than a bootstrap block, so dependence is
//! respected at least as well, and deviations are taken from θ, so that a section's bias widens the interval.
//!
//! # References
//! - D. N. Politis, J. P. Romano, "A circular block-resampling procedure for stationary data", in *Exploring the Limits of
//!   Bootstrap*, Wiley, 1992, 263–270 (the resampling).
//! - E. A. Cornish, R. A. Fisher, "Moments and cumulants in the specification of distributions", *Revue de l'Institut
//!   International de Statistique* 5(4), 1938, doi:10.2307/1400905 (points of a sum).
//! - P. Hall, J. L. Horowitz, B.-Y. Jing, "On blocking rules for the bootstrap with dependent data", *Biometrika* 82(3), 1995,
//!   doi:10.1093/biomet/82.3.561 (blocks of the order n^(1/3)).
//! - M. K. Nakayama, "Confidence intervals for quantiles using sectioning when applying variance-reduction techniques", *ACM
//!   Transactions on Modeling and Computer Simulation* 24(4), 2014, doi:10.1145/2558328 (sectioning).
//! - R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", *The American Statistician* 50(4), 1996,
//!   doi:10.1080/00031305.1996.10473566 (definition 7, as in NumPy and pandas).

use crate::order::Order;
use crate::{Phases, RequestRecord, RequestStatus, Sla, Tenant};

/// Fewest samples for which an interval is given: below, resampling says more about itself than about the service.
pub const MIN_INTERVAL_SAMPLES: usize = 10;
/// Most samples whose interval is bootstrapped; of more it comes from sections.
pub const BOOTSTRAP_SAMPLES: usize = 2_000;
/// Sections behind the interval of a large sample.
pub const SECTIONS: usize = 20;
/// 97.5 % point of the standard normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;
/// 97.5 % point of Student's t with `SECTIONS - 1` = 19 degrees of freedom.
const STUDENT_T: f64 = 2.093_024_054_408_263;

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
pub fn summarise(tenant: &Tenant, phases: &Phases, requests: &[&RequestRecord]) -> TenantSummary {
    let mut outcomes = Outcomes::default();
    for request in requests {
        // Where the service's clock is another host's, the start is known to be after the sending.
        let start_s = request.start_s.or(request.sent_s);
        outcomes.push(request.status, request.warmup, start_s, request.service_s);
    }
    outcomes.summarise(tenant, phases).0
}

/// What became of one tenant's requests, gathered one by one: 16 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    completed: u64,
    censored: u64,
    failed: u64,
    /// When each inference started and how long it took, seconds.
    times: Vec<(f64, f64)>,
}

impl Outcomes {
    /// Makes room for further requests.
    #[cfg(feature = "parquet")]
    pub(crate) fn reserve(&mut self, requests: usize) {
        self.times.reserve(requests);
    }

    /// Takes note of one request; `start_s` is when its inference started, or when it was sent where only that is known.
    pub(crate) fn push(&mut self, status: RequestStatus, warmup: bool, start_s: Option<f64>, service_s: Option<f64>) {
        match status {
            _ if warmup => {}
            RequestStatus::Ok => self.completed += 1,
            RequestStatus::Censored => self.censored += 1,
            RequestStatus::Failed | RequestStatus::Dropped => self.failed += 1,
        }
        if let (RequestStatus::Ok, Some(start), Some(service)) = (status, start_s, service_s)
            && service.is_finite()
            && service >= 0.0
        {
            self.times.push((start, service));
        }
    }

    /// The summary, and the order of the service times behind it.
    pub(crate) fn summarise(mut self, tenant: &Tenant, phases: &Phases) -> (TenantSummary, Order) {
        // A request that was due before the window may have waited until it: what counts is when its inference started.
        let (start_s, end_s) = (phases.warmup_s, phases.end_s());
        self.times.retain(|(start, _)| (start_s..end_s).contains(start));
        if !self.times.is_sorted_by(|a, b| a.0 <= b.0) {
            self.times.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let samples: Vec<f64> = self.times.into_iter().map(|(_, service)| service).collect();
        let (service_s, order) = estimates_and_order(&samples);
        let utilisation = service_s.map(|[mean, ..]| tenant.rate * mean.value);
        let unstable = utilisation.map_or(self.censored > 0 && self.completed == 0, |u| u >= 1.0);
        let summary = TenantSummary {
            completed: self.completed,
            censored: self.censored,
            failed: self.failed,
            samples: samples.len() as u64,
            unstable,
            service_s,
        };
        (summary, order)
    }
}

/// Mean, p75 and p95 of a sequence in order of time, with 95 % intervals; `None` of nothing.
///
/// # Example
/// ```
/// let seconds: Vec<f64> = (0..1_000).map(|i| f64::from(i % 100)).collect();
/// let [mean, p75, p95] = neuro_data::summary::estimates(&seconds).unwrap();
/// let expected = [49.5, 74.25, 94.05];
/// assert!([mean, p75, p95].iter().zip(expected).all(|(estimate, value)| (estimate.value - value).abs() < 1e-9));
/// let (lowest, highest) = mean.interval.unwrap();
/// assert!(lowest <= 49.5 && 49.5 <= highest);
/// ```
pub fn estimates(samples: &[f64]) -> Option<[Estimate; 3]> {
    estimates_and_order(samples).0
}

/// [`estimates`], and the order of the samples.
fn estimates_and_order(samples: &[f64]) -> (Option<[Estimate; 3]>, Order) {
    let mut order = Order::of(samples);
    if samples.is_empty() {
        return (None, order);
    }
    let values = figures(samples, &mut order);
    let intervals = if samples.len() > BOOTSTRAP_SAMPLES {
        let ends = (order.at(0), order.at(samples.len() - 1));
        section_intervals(&sections(samples), values, ends).map(Some)
    } else if samples.len() < MIN_INTERVAL_SAMPLES {
        [None; 3]
    } else {
        bootstrap_intervals(samples, &order.all()).map(Some)
    };
    let mut estimates = values.map(|value| Estimate { value, interval: None });
    for (estimate, interval) in estimates.iter_mut().zip(intervals) {
        estimate.interval = interval;
    }
    (Some(estimates), order)
}

/// Mean, p75 and p95 of samples whose order is given too.
fn figures(samples: &[f64], order: &mut Order) -> [f64; 3] {
    [mean(samples), order.quantile(0.75), order.quantile(0.95)]
}

/// Percentile intervals of a circular block bootstrap of mean, p75 and p95, in the limit of many resamples.
///
/// A resample of n samples is n/b blocks of b that follow one another, each drawn with equal chances. The mean is a sum over them;
/// and a quantile is of some value or below where enough of the resample is, which is a sum too.
fn bootstrap_intervals(samples: &[f64], sorted: &[f64]) -> [(f64, f64); 3] {
    let n = samples.len();
    let blocks = Blocks::new(samples);
    let (low, high) = blocks.ends_of_sum(|x| x);
    let within = |x: f64| x.clamp(sorted[0], sorted[n - 1]);
    let of_quantile = |q: f64| {
        // Half a sample less than is needed, as counts are whole numbers.
        let enough = q * (n - 1) as f64 + 0.5;
        let up_to = |x: f64| blocks.ends_of_sum(|y| f64::from(y <= x));
        let low = sorted.partition_point(|x| up_to(*x).1 < enough);
        let high = low + sorted[low..].partition_point(|x| up_to(*x).0 < enough);
        (sorted[low.min(n - 1)], sorted[high.min(n - 1)])
    };
    [(within(low / n as f64), within(high / n as f64)), of_quantile(0.75), of_quantile(0.95)]
}

/// Samples in order of time, of which blocks are drawn that may run on from the end to the start.
struct Blocks {
    /// The samples, and the first ones again.
    circle: Vec<f64>,
    length: usize,
}

impl Blocks {
    fn new(samples: &[f64]) -> Self {
        let length = ((2.0 * (samples.len() as f64).cbrt()).ceil() as usize).min(samples.len());
        Self { circle: [samples, &samples[..length]].concat(), length }
    }

    /// The 2.5 % and the 97.5 % point of the sum of a value over a resample.
    ///
    /// It is a sum of independent draws, whose points follow from the first three moments of one (Cornish and Fisher).
    fn ends_of_sum(&self, value: impl Fn(f64) -> f64) -> (f64, f64) {
        let samples = &self.circle[..self.circle.len() - self.length];
        let n = samples.len() as f64;
        let draws = n / self.length as f64;
        let total: f64 = samples.iter().map(|x| value(*x)).sum();
        // By how much the sum of the current block is off that of an average one.
        let mut deviation = self.circle[..self.length].iter().map(|x| value(*x)).sum::<f64>() - total / draws;
        let (mut squares, mut cubes) = (0.0, 0.0);
        for (first, next) in samples.iter().zip(&self.circle[self.length..]) {
            let square = deviation * deviation;
            squares += square;
            cubes += square * deviation;
            deviation += value(*next) - value(*first);
        }
        let (variance, third) = (draws * squares / n, draws * cubes / n);
        let skewness = if variance > 0.0 { third / variance / variance.sqrt() } else { 0.0 };
        let point = |z: f64| total + variance.sqrt() * (z + (z * z - 1.0) * skewness / 6.0);
        (point(-NORMAL), point(NORMAL))
    }
}

/// Mean, p75 and p95 of each section of the samples.
fn sections(samples: &[f64]) -> [[f64; 3]; SECTIONS] {
    let n = samples.len();
    std::array::from_fn(|i| {
        let section = &samples[i * n / SECTIONS..(i + 1) * n / SECTIONS];
        figures(section, &mut Order::of(section))
    })
}

/// Sectioning intervals of mean, p75 and p95, within what was seen.
fn section_intervals(sections: &[[f64; 3]; SECTIONS], values: [f64; 3], (low, high): (f64, f64)) -> [(f64, f64); 3] {
    let k = SECTIONS as f64;
    std::array::from_fn(|i| {
        let value = values[i];
        let squares: f64 = sections.iter().map(|section| (section[i] - value).powi(2)).sum();
        let half = STUDENT_T * (squares / (k * (k - 1.0))).sqrt();
        ((value - half).max(low.min(value)), (value + half).min(high.max(value)))
    })
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The `q`-quantile (definition 7) of samples in order of size; NaN of nothing.
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = sorted[position as usize];
    let share = position.fract();
    if share > 0.0 { below + share * (sorted[position as usize + 1] - below) } else { below }
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
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

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
            replica: Some(0),
            seq: 0,
            intended_s: Some(start_s),
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
        summarise(&tenant(rate), &phases(), &requests.iter().collect::<Vec<_>>())
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
        let late = RequestRecord { intended_s: Some(10.5), ..request(11.5, 99.0) };
        let summary = summary(1.0, &[early, request(2.0, 0.1), request(3.0, 0.3), late]);
        assert_eq!((summary.completed, summary.samples), (3, 2));
        assert!((summary.of(Sla::Mean).unwrap().value - 0.2).abs() < 1e-12);
    }

    #[test]
    fn few_samples_have_no_interval_and_many_have_one_that_covers() {
        let few: Vec<_> = (0..9).map(f64::from).collect();
        assert!(estimates(&few).unwrap().iter().all(|e| e.interval.is_none()));
        assert_eq!(estimates(&[]), None);
        // The mean of 2,000 uniforms on [0, 1): standard error 0.0065.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let many: Vec<f64> = (0..2_000).map(|_| rng.r#gen()).collect();
        let [mean, p75, p95] = estimates(&many).unwrap();
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
            let (lo, hi) = estimates(samples).unwrap()[0].interval.unwrap();
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
                let (lo, hi) = estimates(&samples).unwrap()[0].interval.unwrap();
                lo <= 1.0 && 1.0 <= hi
            })
            .count();
        assert!((255..=297).contains(&covered), "{covered} of 300");
    }

    #[test]
    fn bootstrap_intervals_are_those_of_many_resamples() {
        // 200 dependent samples, 20,000 resamples drawn and sorted: ends differ by less than a tenth of the interval's length, or by
        // one sample.
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut x = 0.0;
        let samples: Vec<f64> = (0..200)
            .map(|_| {
                x = 0.7 * x - 0.3 * (1.0 - rng.r#gen::<f64>()).ln();
                x
            })
            .collect();
        let n = samples.len();
        let block = Blocks::new(&samples).length;
        let mut draws = [(); 3].map(|()| Vec::new());
        for _ in 0..20_000 {
            let mut resample = Vec::with_capacity(n + block);
            while resample.len() < n {
                let start = rng.gen_range(0..n);
                resample.extend((start..start + block).map(|i| samples[i % n]));
            }
            resample.truncate(n);
            let mean = mean(&resample);
            for (draws, figure) in
                draws.iter_mut().zip([mean, quantile(&mut resample, 0.75), quantile(&mut resample, 0.95)])
            {
                draws.push(figure);
            }
        }
        let sorted = Order::of(&samples).all();
        let rank = |x: f64| sorted.partition_point(|y| *y < x);
        for (draws, (low, high)) in draws.iter_mut().zip(bootstrap_intervals(&samples, &sorted)) {
            let drawn = [quantile(draws, 0.025), quantile(draws, 0.975)];
            for (end, drawn) in [low, high].into_iter().zip(drawn) {
                let close = (end - drawn).abs() < 0.1 * (high - low) || rank(end).abs_diff(rank(drawn)) <= 1;
                assert!(close, "{end} {drawn} of {low} to {high}");
            }
        }
    }

    #[test]
    fn intervals_from_sections_cover_as_bootstrapped_ones_do() {
        // 300 series of 4,000 dependent samples: x = e^z, z autoregressive with coefficient 0.8 and unit variance, so that
        // the mean is e^(1/2) and the 95th percentile e^1.644854.
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut normal = move || {
            let (u, v): (f64, f64) = (1.0 - rng.r#gen::<f64>(), rng.r#gen());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        };
        let truth = [0.5_f64.exp(), 0.674_490_f64.exp(), 1.644_854_f64.exp()];
        let mut covered = [0; 3];
        for _ in 0..300 {
            let mut z = normal();
            let samples: Vec<f64> = (0..4_000)
                .map(|_| {
                    z = 0.8 * z + 0.6 * normal();
                    z.exp()
                })
                .collect();
            for (covered, (estimate, truth)) in covered.iter_mut().zip(estimates(&samples).unwrap().iter().zip(truth)) {
                let (lo, hi) = estimate.interval.unwrap();
                *covered += usize::from(lo <= truth && truth <= hi);
            }
        }
        assert!(covered.iter().all(|covered| (270..=298).contains(covered)), "{covered:?} of 300");
    }

    #[test]
    fn the_two_kinds_of_interval_agree_where_they_meet() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let samples: Vec<f64> = (0..BOOTSTRAP_SAMPLES).map(|_| -(1.0 - rng.r#gen::<f64>()).ln()).collect();
        let values = estimates(&samples).unwrap();
        let sections = section_intervals(&sections(&samples), values.map(|e| e.value), (0.0, 100.0));
        for (estimate, (lo, hi)) in values.iter().zip(sections) {
            let (lower, upper) = estimate.interval.unwrap();
            let ratio = (hi - lo) / (upper - lower);
            assert!((0.6..1.6).contains(&ratio), "{ratio}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_of_sorted_and_unsorted_are_one(samples in prop::collection::vec(-1e3..1e3f64, 1..100), q in 0.0..1.0f64) {
            prop_assert_eq!(Order::of(&samples).quantile(q), quantile(&mut samples.clone(), q));
            prop_assert_eq!(quantile_of_sorted(&Order::of(&samples).all(), q), quantile(&mut samples.clone(), q));
        }

        #[test]
        fn estimates_lie_within_the_samples_and_in_order(samples in prop::collection::vec(0.0..1e3f64, 1..200)) {
            let [mean, p75, p95] = estimates(&samples).unwrap();
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
