//! Datapoints: what a latency predictor is trained on.
//!
//! A datapoint is one tenant (application, instances, rate per instance), the *context* it ran in (the other tenants of its
//! server by application) and what was measured of it. Each run gives
//!
//! - a *measured* point a tenant;
//! - *merged* points: two or more tenants of one application, seen as one. A run with m of them has 2^m − 1 − m such subsets;
//!   of more than [`DatapointParams::subset_cap`] a random choice is taken;
//! - *zero* points: copies with hardly any instance, no latency and a part of the context dropped, so that a predictor learns
//!   where nothing begins.
//!
//! There are two [`DatapointSet`]s. In *ours* a merged tenant's rate is the mean over its instances, its quantiles come from
//! the pooled samples of its parts, and a starved tenant has no label, for its times are known only to be longer than the run.
//! The *reference* set is made as the prototype makes it, to compare: rates and quantiles are averaged over tenants, whatever
//! their size, and a starved tenant is labelled 120 s.

mod pool;
mod table;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::seed::derive_seed;
use crate::store::{QuantileRow, RunRow, TenantRow};
use crate::{Catalogue, LoadClass};

use pool::Pool;

pub use table::{DatapointReport, make};

/// The label that the prototype gives to a starved tenant, seconds.
pub const STARVED_LABEL_S: f64 = 120.0;

/// How a datapoint came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatapointKind {
    /// A tenant as it ran.
    Measured,
    /// Several tenants of one application as one.
    Merged,
    /// A copy of one of the others with hardly any instance and no latency.
    Zero,
}

impl DatapointKind {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Merged => "merged",
            Self::Zero => "zero",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Measured, Self::Merged, Self::Zero].into_iter().find(|kind| kind.name() == name)
    }
}

/// All other tenants of one application on the server.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextEntry {
    /// Application.
    pub app: String,
    /// Their instances.
    pub instances: f64,
    /// Their arrival rate per instance, requests per second.
    pub rate: f64,
}

/// One datapoint: a row of `datapoints/`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns are described once, in the schema")]
pub struct Datapoint {
    pub run_id: String,
    pub server: String,
    pub kind: DatapointKind,
    pub app: String,
    pub instances: f64,
    pub rate: f64,
    pub context: Vec<ContextEntry>,
    pub mean_s: Option<f64>,
    pub p75_s: Option<f64>,
    pub p95_s: Option<f64>,
    pub cpu_clock_mean: Option<f64>,
    pub cpu_clock_std: Option<f64>,
    pub cache_misses_mean: Option<f64>,
    pub cache_misses_std: Option<f64>,
    pub page_faults_mean: Option<f64>,
    pub page_faults_std: Option<f64>,
    pub samples: u64,
    pub censored: bool,
    pub tenants: Vec<String>,
}

/// Which way datapoints are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatapointSet {
    /// Pooled samples, rates weighted by instances.
    Ours,
    /// As the prototype makes them, faults included.
    Reference,
}

impl DatapointSet {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ours, Self::Reference];

    /// The table's folder in a dataset.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Ours => crate::dataset::DATAPOINTS,
            Self::Reference => "datapoints-reference",
        }
    }
}

/// How to make datapoints.
#[derive(Debug, Clone)]
pub struct DatapointParams {
    /// Which way; ours by default.
    pub set: DatapointSet,
    /// Seed of the choice of subsets and of the zero points; 1 by default.
    pub seed: u64,
    /// Most merged points of one application in one run; 64 by default.
    pub subset_cap: usize,
    /// Whether only tenants of equal rate are merged; off by default. One tenant of the mean rate is not the same load as
    /// several of different rates, so that such points are less true than the others.
    pub same_rate: bool,
    /// Probability of a zero copy, 0 to 1, tried twice for applications of the low load class; 0.5 by default.
    pub zero_probability: f64,
    /// Tells the load classes; an application it does not hold is of the high class. The built-in one by default.
    pub catalogue: Catalogue,
}

impl Default for DatapointParams {
    fn default() -> Self {
        Self {
            set: DatapointSet::Ours,
            seed: 1,
            subset_cap: 64,
            same_rate: false,
            zero_probability: 0.5,
            catalogue: Catalogue::built_in(),
        }
    }
}

/// A tenant of a run with the service times behind its summary.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredTenant<'a> {
    /// Its summary.
    pub row: &'a TenantRow,
    /// Its service times; those of a tenant without samples are empty.
    pub quantiles: &'a QuantileRow,
}

/// The datapoints of one run: its measured points in order of tenant, then the merged ones, then the zero points.
///
/// A tenant without statistics that is not known to have starved has no point of its own and remains in the contexts.
pub fn of_run(run: &RunRow, tenants: &[MeasuredTenant<'_>], params: &DatapointParams) -> Vec<Datapoint> {
    let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(params.seed, &["datapoints", &run.run_id]));
    let maker = Maker { run, tenants, params };
    let targets: Vec<usize> = (0..tenants.len()).filter(|i| maker.is_target(*i)).collect();
    let mut points: Vec<Datapoint> = targets.iter().map(|i| maker.measured(*i)).collect();
    for group in maker.groups(&targets) {
        points.extend(maker.merged(&group, &mut rng));
    }
    let mut zeros = Vec::new();
    for point in &points {
        let low = params.catalogue.get(&point.app).is_ok_and(|app| app.load == LoadClass::Low);
        for _ in 0..if low { 2 } else { 1 } {
            if rng.gen_bool(params.zero_probability.clamp(0.0, 1.0)) {
                zeros.push(zero(point, &mut rng));
            }
        }
    }
    points.extend(zeros);
    points
}

/// Makes the points of one run.
struct Maker<'a> {
    run: &'a RunRow,
    tenants: &'a [MeasuredTenant<'a>],
    params: &'a DatapointParams,
}

impl Maker<'_> {
    fn row(&self, i: usize) -> &TenantRow {
        self.tenants[i].row
    }

    /// Whether nothing of a tenant was served, so that its times are longer than the run.
    fn is_starved(&self, i: usize) -> bool {
        self.row(i).is_starved()
    }

    fn is_target(&self, i: usize) -> bool {
        self.row(i).samples > 0 || self.is_starved(i)
    }

    /// Groups of tenants that may be merged: of one application and, where asked for, of one rate.
    fn groups(&self, targets: &[usize]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for &i in targets {
            // Nobody knows the pooled quantiles of samples that are longer than the run.
            if self.params.set == DatapointSet::Ours && self.is_starved(i) {
                continue;
            }
            let row = self.row(i);
            let fits = |group: &Vec<usize>| {
                group.first().is_some_and(|first| {
                    let first = self.row(*first);
                    first.app == row.app && (!self.params.same_rate || first.rate == row.rate)
                })
            };
            match groups.iter_mut().find(|group| fits(group)) {
                // A bit of a mask each.
                Some(group) if group.len() < 128 => group.push(i),
                Some(_) => {}
                None => groups.push(vec![i]),
            }
        }
        groups.retain(|group| group.len() > 1);
        groups
    }

    fn measured(&self, i: usize) -> Datapoint {
        let row = self.row(i);
        let starved = self.is_starved(i);
        let label = |value: Option<f64>| match self.params.set {
            DatapointSet::Reference if starved => Some(STARVED_LABEL_S),
            _ => value,
        };
        Datapoint {
            kind: DatapointKind::Measured,
            mean_s: label(row.mean_s),
            p75_s: label(row.p75_s),
            p95_s: label(row.p95_s),
            censored: starved,
            ..self.frame(&[i])
        }
    }

    fn merged(&self, group: &[usize], rng: &mut ChaCha8Rng) -> Vec<Datapoint> {
        let subsets = subsets(group.len(), self.params.subset_cap, rng);
        if self.params.set == DatapointSet::Reference {
            return subsets.into_iter().map(|subset| self.averaged(&members(group, subset))).collect();
        }
        let quantiles = |i: &usize| (self.row(*i).samples, self.tenants[*i].quantiles.service_s.as_slice());
        let pool = Pool::new(group.iter().map(quantiles));
        let point = |subset| {
            let members = members(group, subset);
            let samples: u64 = members.iter().map(|i| self.row(*i).samples).sum();
            let sum: f64 =
                members.iter().filter_map(|i| Some(self.row(*i).mean_s? * self.row(*i).samples as f64)).sum();
            let [p75, p95] = pool.quantiles(subset, [0.75, 0.95]);
            Datapoint {
                kind: DatapointKind::Merged,
                mean_s: Some(sum / samples as f64),
                p75_s: Some(p75),
                p95_s: Some(p95),
                ..self.frame(&members)
            }
        };
        subsets.into_iter().map(point).collect()
    }

    /// A merged point as the prototype makes it: plain averages over tenants.
    fn averaged(&self, members: &[usize]) -> Datapoint {
        let points: Vec<Datapoint> = members.iter().map(|i| self.measured(*i)).collect();
        let mean = |value: fn(&Datapoint) -> Option<f64>| plain_mean(points.iter().map(value));
        Datapoint {
            kind: DatapointKind::Merged,
            mean_s: mean(|p| p.mean_s),
            p75_s: mean(|p| p.p75_s),
            p95_s: mean(|p| p.p95_s),
            censored: points.iter().any(|point| point.censored),
            ..self.frame(members)
        }
    }

    /// What all points of some tenants have: who they are, their counters and their context.
    fn frame(&self, members: &[usize]) -> Datapoint {
        let rows: Vec<&TenantRow> = members.iter().map(|i| self.row(*i)).collect();
        let (instances, rate) = self.load(&rows);
        let counter = |of: fn(&TenantRow) -> Moments| {
            let parts: Vec<_> = rows.iter().map(|row| (of(row), f64::from(row.instances))).collect();
            match self.params.set {
                DatapointSet::Ours => pooled_moments(&parts),
                DatapointSet::Reference => (
                    plain_mean(parts.iter().map(|((mean, _), _)| *mean)),
                    plain_mean(parts.iter().map(|((_, deviation), _)| *deviation)),
                ),
            }
        };
        let cpu_clock = counter(|row| (row.cpu_clock_mean, row.cpu_clock_std));
        let cache_misses = counter(|row| (row.cache_misses_mean, row.cache_misses_std));
        let page_faults = counter(|row| (row.page_faults_mean, row.page_faults_std));
        Datapoint {
            run_id: self.run.run_id.clone(),
            server: self.run.server.clone(),
            kind: DatapointKind::Measured,
            app: rows.first().map_or_else(String::new, |row| row.app.clone()),
            instances,
            rate,
            context: self.context(members),
            mean_s: None,
            p75_s: None,
            p95_s: None,
            cpu_clock_mean: cpu_clock.0,
            cpu_clock_std: cpu_clock.1,
            cache_misses_mean: cache_misses.0,
            cache_misses_std: cache_misses.1,
            page_faults_mean: page_faults.0,
            page_faults_std: page_faults.1,
            samples: rows.iter().map(|row| row.samples).sum(),
            censored: false,
            tenants: rows.iter().map(|row| row.tenant_id.clone()).collect(),
        }
    }

    /// Everybody but `members`, by application in order of first appearance.
    fn context(&self, members: &[usize]) -> Vec<ContextEntry> {
        let mut apps: Vec<(&str, Vec<&TenantRow>)> = Vec::new();
        for i in (0..self.tenants.len()).filter(|i| !members.contains(i)) {
            let row = self.row(i);
            match apps.iter_mut().find(|(app, _)| *app == row.app) {
                Some((_, rows)) => rows.push(row),
                None => apps.push((&row.app, vec![row])),
            }
        }
        let entry = |(app, rows): (&str, Vec<&TenantRow>)| {
            let (instances, rate) = self.load(&rows);
            ContextEntry { app: app.to_owned(), instances, rate }
        };
        apps.into_iter().map(entry).collect()
    }

    /// Instances of some tenants together and their rate per instance.
    fn load(&self, rows: &[&TenantRow]) -> (f64, f64) {
        let instances: f64 = rows.iter().map(|row| f64::from(row.instances)).sum();
        let rate = match self.params.set {
            DatapointSet::Ours => rows.iter().map(|row| row.rate * f64::from(row.instances)).sum::<f64>() / instances,
            DatapointSet::Reference => rows.iter().map(|row| row.rate).sum::<f64>() / rows.len() as f64,
        };
        (instances, rate)
    }
}

/// The members of a group whose bits are set.
fn members(group: &[usize], subset: u128) -> Vec<usize> {
    group.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1).map(|(_, i)| *i).collect()
}

/// Subsets of two or more of `count` ≤ 128, as bits: all where there are at most `cap`, else `cap` different ones at random.
fn subsets(count: usize, cap: usize, rng: &mut ChaCha8Rng) -> Vec<u128> {
    let all = u128::MAX >> (128 - count.clamp(1, 128));
    // All but the empty one and those of one.
    if all - (count as u128) <= cap as u128 {
        return (1..=all).filter(|subset| subset.count_ones() > 1).collect();
    }
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < cap {
        let subset = rng.r#gen::<u128>() & all;
        if subset.count_ones() > 1 {
            chosen.insert(subset);
        }
    }
    chosen.into_iter().collect()
}

/// Mean and standard deviation of some readings, as far as they are known.
type Moments = (Option<f64>, Option<f64>);

/// Mean and standard deviation of pooled readings, of which each part's are known and their number goes with its weight;
/// unknown where a part's mean is.
fn pooled_moments(parts: &[(Moments, f64)]) -> Moments {
    let weights: f64 = parts.iter().map(|(_, weight)| weight).sum();
    let weighted = |of: fn(&Moments) -> Option<f64>| {
        parts.iter().map(|(moments, weight)| Some(of(moments)? * weight)).sum::<Option<f64>>().map(|sum| sum / weights)
    };
    let mean = weighted(|moments| moments.0);
    let square = weighted(|moments| Some(moments.0?.powi(2) + moments.1?.powi(2)));
    let deviation = match parts {
        [((_, deviation), _)] => *deviation,
        _ => mean.zip(square).map(|(mean, square)| (square - mean * mean).max(0.0).sqrt()),
    };
    (mean, deviation)
}

/// The mean of what is known; `None` of nothing.
fn plain_mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// A copy with U(0, 0.05) instances, zero targets, and each entry of the context dropped with probability 0.5.
fn zero(point: &Datapoint, rng: &mut ChaCha8Rng) -> Datapoint {
    let zero = Some(0.0);
    let mut context = point.context.clone();
    context.retain(|_| rng.gen_bool(0.5));
    Datapoint {
        kind: DatapointKind::Zero,
        instances: rng.gen_range(0.0..0.05),
        context,
        mean_s: zero,
        p75_s: zero,
        p95_s: zero,
        cpu_clock_mean: zero,
        cpu_clock_std: zero,
        cache_misses_mean: zero,
        cache_misses_std: zero,
        page_faults_mean: zero,
        page_faults_std: zero,
        samples: 0,
        censored: false,
        ..point.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_all_or_as_many_different_ones_as_are_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        assert_eq!(subsets(1, 64, &mut rng), [0; 0]);
        assert_eq!(subsets(3, 64, &mut rng), [0b011, 0b101, 0b110, 0b111]);
        assert_eq!(subsets(3, 4, &mut rng).len(), 4);
        assert_eq!(subsets(6, 57, &mut rng).len(), 57, "2^6 - 1 - 6");
        let many = subsets(12, 64, &mut rng);
        assert!(many.len() == 64 && many.iter().all(|s| s.count_ones() > 1 && s >> 12 == 0));
        assert_eq!(subsets(128, 10, &mut rng).len(), 10);
        assert_eq!(subsets(12, 0, &mut rng), [0; 0]);
    }

    #[test]
    fn moments_of_a_pool_are_those_of_all_readings() {
        // Readings 1, 3 and 5, 7 (deviations 1): mean 4, mean square 21, variance 5.
        let part = |mean, deviation, weight| ((Some(mean), Some(deviation)), weight);
        let (mean, deviation) = pooled_moments(&[part(2.0, 1.0, 1.0), part(6.0, 1.0, 1.0)]);
        assert_eq!((mean, deviation), (Some(4.0), Some(5.0_f64.sqrt())));
        assert_eq!(pooled_moments(&[part(2.0, 1.0, 3.0), part(6.0, 1.0, 1.0)]).0, Some(3.0));
        assert_eq!(pooled_moments(&[part(2.0, 1.0, 1.0), ((None, None), 1.0)]), (None, None));
        assert_eq!(pooled_moments(&[((Some(2.0), None), 1.0)]), (Some(2.0), None));
    }
}
