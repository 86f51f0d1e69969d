//! Summaries: a tenant's service time in a run, with intervals that admit how little a short run knows.
//!
//! The samples are the service times of answered requests whose inference *started inside the window*, pooled over all replicas
//! of the tenant; percentiles are never averaged. What started after the window ran beside less load, and what never started
//! was not measured: neither has a number here.
//!
//! Intervals are 95 % intervals that respect that neighbouring requests met the same contention. Up to
//! [`BOOTSTRAP_SAMPLES`] samples they are percentile intervals of a circular block bootstrap. Beyond, resamples
//! cost more than all the rest of reading a campaign and tell no more than *sectioning*: the samples in order of time are cut
//! into k = [`SECTIONS`] sections of equal length, and with θ the figure of all samples and θ_i that of section i the interval
//! is θ ± t(k−1; 0.975) · sqrt(Σ (θ_i − θ)² / (k (k−1))). A section is far longer than a bootstrap block, so dependence is
//! respected at least as well, and deviations are taken from θ, so that a section's bias widens the interval.
//!
//! # References
//! - D. N. Politis, J. P. Romano, "A circular block-resampling procedure for stationary data", in *Exploring the Limits of
//!   Bootstrap*, Wiley, 1992, 263–270 (the resampling).
//! - P. Hall, J. L. Horowitz, B.-Y. Jing, "On blocking rules for the bootstrap with dependent data", *Biometrika* 82(3), 1995,
//!   doi:10.1093/biomet/82.3.561 (blocks of the order n^(1/3)).
//! - M. K. Nakayama, "Confidence intervals for quantiles using sectioning when applying variance-reduction techniques", *ACM
//!   Transactions on Modeling and Computer Simulation* 24(4), 2014, doi:10.1145/2558328 (sectioning).
//! - R. J. Hyndman, Y. Fan, "Sample quantiles in statistical packages", *The American Statistician* 50(4), 1996,
//!   doi:10.1080/00031305.1996.10473566 (definition 7, as in NumPy and pandas).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Phases, RequestRecord, RequestStatus, Sla, Tenant};

/// Fewest samples for which an interval is given: below, resampling says more about itself than about the service.
pub const MIN_INTERVAL_SAMPLES: usize = 10;
/// Resamples behind a bootstrap interval: the standard error of its ends for there being no more of them is a fifteenth of half its
/// length, sqrt(0.025·0.975/400)/(1.96·φ(1.96)) with φ the density of the standard normal.
pub const RESAMPLES: usize = 400;
/// Most samples whose interval is bootstrapped; of more it comes from sections.
pub const BOOTSTRAP_SAMPLES: usize = 2_000;
/// Sections behind the interval of a large sample.
pub const SECTIONS: usize = 20;
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
///
/// `seed` drives the resampling only.
pub fn summarise(tenant: &Tenant, phases: &Phases, requests: &[&RequestRecord], seed: u64) -> TenantSummary {
    let mut outcomes = Outcomes::default();
    for request in requests {
        // Where the service's clock is another host's, the start is known to be after the sending.
        let start_s = request.start_s.or(request.sent_s);
        outcomes.push(request.status, request.warmup, start_s, request.service_s);
    }
    outcomes.summarise(tenant, phases, seed).0
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

    /// The summary, and the service times behind it in order of size.
    pub(crate) fn summarise(mut self, tenant: &Tenant, phases: &Phases, seed: u64) -> (TenantSummary, Vec<f64>) {
        // A request that was due before the window may have waited until it: what counts is when its inference started.
        let (start_s, end_s) = (phases.warmup_s, phases.end_s());
        self.times.retain(|(start, _)| (start_s..end_s).contains(start));
        if !self.times.is_sorted_by(|a, b| a.0 <= b.0) {
            self.times.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let samples: Vec<f64> = self.times.into_iter().map(|(_, service)| service).collect();
        let sorted = sorted(&samples);
        let service_s = estimates_of(&samples, &sorted, seed);
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
        (summary, sorted)
    }
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
    estimates_of(samples, &sorted(samples), seed)
}

/// [`estimates`] of samples that are given in order of size too.
fn estimates_of(samples: &[f64], sorted: &[f64], seed: u64) -> Option<[Estimate; 3]> {
    if samples.is_empty() {
        return None;
    }
    let values = [mean(samples), quantile_of_sorted(sorted, 0.75), quantile_of_sorted(sorted, 0.95)];
    let intervals = match samples.len() {
        0..MIN_INTERVAL_SAMPLES => [None; 3],
        MIN_INTERVAL_SAMPLES..=BOOTSTRAP_SAMPLES => bootstrap_intervals(samples, sorted, seed).map(Some),
        _ => section_intervals(samples, values, (sorted[0], sorted[sorted.len() - 1])).map(Some),
    };
    let mut out = values.map(|value| Estimate { value, interval: None });
    for (estimate, interval) in out.iter_mut().zip(intervals) {
        estimate.interval = interval;
    }
    Some(out)
}

/// Percentile intervals of a circular block bootstrap of mean, p75 and p95.
///
/// A resample is never written out. Its mean comes from sums over the samples up to each place; and how many of its values are
/// of some rank or below from counts over the samples up to each place, by which its quantiles are searched.
fn bootstrap_intervals(samples: &[f64], sorted: &[f64], seed: u64) -> [(f64, f64); 3] {
    let n = samples.len();
    let block = (2.0 * (n as f64).cbrt()).ceil() as usize;
    let mut ranks = Ranks::new(samples, sorted, block);
    let sums: Vec<f64> = ranks
        .circle()
        .map(|i| samples[i])
        .scan(0.0, |sum, x| Some(std::mem::replace(sum, *sum + x)))
        .chain([samples.iter().sum::<f64>() + samples[..block.min(n)].iter().sum::<f64>()])
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = [(); 3].map(|()| Vec::with_capacity(RESAMPLES));
    let mut blocks = Vec::with_capacity(n / block + 1);
    let mut near = [0.75, 0.95].map(|q| (q * (n - 1) as f64) as usize);
    for _ in 0..RESAMPLES {
        blocks.clear();
        let mut left = n;
        while left > 0 {
            let start = rng.gen_range(0..n);
            blocks.push((start, start + block.min(left)));
            left -= block.min(left);
        }
        let mean = blocks.iter().map(|(start, end)| sums[*end] - sums[*start]).sum::<f64>() / n as f64;
        let p75 = ranks.quantile(&blocks, 0.75, &mut near[0]);
        let p95 = ranks.quantile(&blocks, 0.95, &mut near[1]);
        for (draws, value) in draws.iter_mut().zip([mean, p75, p95]) {
            draws.push(value);
        }
    }
    draws.map(|mut draws| (quantile(&mut draws, 0.025), quantile(&mut draws, 0.975)))
}

/// Ranks of samples in order of time, of which blocks are drawn that may run on from the end to the start.
struct Ranks<'a> {
    sorted: &'a [f64],
    ranks: Vec<usize>,
    block: usize,
    /// For a rank, once it was asked for: how many samples before each place of the circle are of that rank or below.
    up_to: Vec<Option<Vec<u16>>>,
}

impl<'a> Ranks<'a> {
    fn new(samples: &[f64], sorted: &'a [f64], block: usize) -> Self {
        let ranks = samples.iter().map(|x| sorted.partition_point(|y| y < x)).collect();
        Self { sorted, ranks, block, up_to: vec![None; samples.len()] }
    }

    /// Every sample, and the first ones again, by their places.
    fn circle(&self) -> impl Iterator<Item = usize> + use<> {
        let n = self.ranks.len();
        (0..n + self.block).map(move |i| i % n)
    }

    /// How many values of the blocks are of a rank or below.
    fn count(&mut self, blocks: &[(usize, usize)], rank: usize) -> usize {
        if self.up_to[rank].is_none() {
            let mut count = 0_u16;
            let mut counts = vec![0];
            counts.extend(self.circle().map(|i| {
                count += u16::from(self.ranks[i] <= rank);
                count
            }));
            self.up_to[rank] = Some(counts);
        }
        let Some(counts) = &self.up_to[rank] else { return 0 };
        blocks.iter().map(|(start, end)| usize::from(counts[*end] - counts[*start])).sum()
    }

    /// The rank of the value at a place in the ordered values of the blocks, searched from a rank that is near it.
    fn rank_at(&mut self, blocks: &[(usize, usize)], place: usize, near: usize) -> usize {
        // Up to `below` there are too few values, up to `found` there are enough.
        let (mut below, mut found) = (-1, self.sorted.len() as i64 - 1);
        let mut probe = near as i64;
        while found - below > 1 {
            probe = probe.clamp(below + 1, found - 1);
            let missing = place as i64 + 1 - self.count(blocks, probe as usize) as i64;
            *if missing > 0 { &mut below } else { &mut found } = probe;
            // A rank holds one value on average.
            probe += missing;
        }
        found as usize
    }

    /// The `q`-quantile (definition 7) of the values of the blocks; `near` is the rank that was found last.
    fn quantile(&mut self, blocks: &[(usize, usize)], q: f64, near: &mut usize) -> f64 {
        let position = q * (self.ranks.len() - 1) as f64;
        let (place, share) = (position as usize, position.fract());
        *near = self.rank_at(blocks, place, *near);
        let below = self.sorted[*near];
        if share > 0.0 {
            let next = self.rank_at(blocks, place + 1, *near);
            below + share * (self.sorted[next] - below)
        } else {
            below
        }
    }
}

/// Sectioning intervals of mean, p75 and p95, within what was seen.
fn section_intervals(samples: &[f64], values: [f64; 3], (low, high): (f64, f64)) -> [(f64, f64); 3] {
    let n = samples.len();
    let mut squares = [0.0; 3];
    for i in 0..SECTIONS {
        let section = &samples[i * n / SECTIONS..(i + 1) * n / SECTIONS];
        let mean = mean(section);
        let mut section = section.to_vec();
        let p95 = quantile(&mut section, 0.95);
        let p75 = quantile(&mut section, 0.75);
        for (sum, deviation) in squares.iter_mut().zip([mean - values[0], p75 - values[1], p95 - values[2]]) {
            *sum += deviation * deviation;
        }
    }
    let k = SECTIONS as f64;
    let mut intervals = [(0.0, 0.0); 3];
    for ((interval, value), sum) in intervals.iter_mut().zip(values).zip(squares) {
        let half = STUDENT_T * (sum / (k * (k - 1.0))).sqrt();
        *interval = ((value - half).max(low.min(value)), (value + half).min(high.max(value)));
    }
    intervals
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The samples in order of size. Bits of non-negative floats are in the order of the floats, and integers sort faster.
fn sorted(samples: &[f64]) -> Vec<f64> {
    if samples.iter().any(|x| x.is_sign_negative()) {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        return sorted;
    }
    let mut bits: Vec<u64> = samples.iter().map(|x| x.to_bits()).collect();
    bits.sort_unstable();
    bits.into_iter().map(f64::from_bits).collect()
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
        let late = RequestRecord { intended_s: Some(10.5), ..request(11.5, 99.0) };
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

    #[test]
    fn sums_over_blocks_are_those_of_the_resample() {
        // Two samples in blocks of three: every resample is one block from either place, cut to two values, both of them.
        let (lo, hi) = bootstrap_intervals(&[1.0, 3.0], &[1.0, 3.0], 1)[0];
        assert_eq!((lo, hi), (2.0, 2.0));
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
            for (covered, (estimate, truth)) in
                covered.iter_mut().zip(estimates(&samples, 1).unwrap().iter().zip(truth))
            {
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
        let values = estimates(&samples, 1).unwrap();
        let sections = section_intervals(&samples, values.map(|e| e.value), (0.0, 100.0));
        for (estimate, (lo, hi)) in values.iter().zip(sections) {
            let (lower, upper) = estimate.interval.unwrap();
            let ratio = (hi - lo) / (upper - lower);
            assert!((0.6..1.6).contains(&ratio), "{ratio}");
        }
    }

    proptest! {
        #[test]
        fn quantiles_of_blocks_are_those_of_the_resample(
            samples in prop::collection::vec((0..40_u8).prop_map(f64::from), 10..60),
            starts in prop::collection::vec(0..10_usize, 20),
            q in 0.0..1.0f64,
            mut near in 0..60_usize,
        ) {
            let (n, sorted) = (samples.len(), sorted(&samples));
            let mut blocks = Vec::new();
            let mut resample = Vec::new();
            for start in starts.into_iter().cycle() {
                let end = start + 4.min(n - resample.len());
                resample.extend((start..end).map(|i| samples[i % n]));
                blocks.push((start, end));
                if resample.len() == n {
                    break;
                }
            }
            let found = Ranks::new(&samples, &sorted, 4).quantile(&blocks, q, &mut near);
            prop_assert!((found - quantile(&mut resample, q)).abs() < 1e-9);
        }

        #[test]
        fn quantiles_of_sorted_and_unsorted_are_one(samples in prop::collection::vec(-1e3..1e3f64, 1..100), q in 0.0..1.0f64) {
            prop_assert_eq!(quantile_of_sorted(&sorted(&samples), q), quantile(&mut samples.clone(), q));
        }

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
