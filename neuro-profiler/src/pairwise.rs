//! What a pairwise campaign says: how much slower each application is beside each other.

use std::collections::{BTreeMap, BTreeSet};

use neuro_data::campaign::{NEIGHBOUR, OBSERVED};
use neuro_data::store::TenantRow;
use neuro_data::{Manifest, RunKind, RunStatus};

use crate::curves::ContentionPoint;

/// A mean service time from the pooled samples of all repetitions of a configuration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanTime {
    /// Mean, seconds.
    pub mean_s: f64,
    /// Its 95 % interval, seconds; `None` where a repetition had too few samples for one.
    pub interval_s: Option<(f64, f64)>,
    /// Service times behind it.
    pub samples: u64,
    /// Whether the tenant was offered at least as much as it could serve in any repetition.
    pub unstable: bool,
    /// Requests that nobody saw end.
    pub censored: u64,
}

/// One application beside one load of another.
#[derive(Debug, Clone, PartialEq)]
pub struct PairMeasurement {
    /// The application that was observed.
    pub app: String,
    /// The one beside it.
    pub neighbour: String,
    /// Replicas of the neighbour.
    pub instances: u32,
    /// Arrival rate per replica of the neighbour, requests per second.
    pub rate: f64,
    /// Service time of the observed one; `None` where nothing was measured (it starved).
    pub time: Option<MeanTime>,
}

/// The ratio of two service times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowdown {
    /// Contended / alone.
    pub ratio: f64,
    /// Its 95 % interval; `None` where either time has none.
    pub interval: Option<(f64, f64)>,
}

/// A pairwise campaign with its baselines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PairwiseStudy {
    /// Service time of each application alone.
    pub baselines: BTreeMap<String, MeanTime>,
    /// Every configuration that was measured, ordered by application, neighbour, replicas and rate.
    pub pairs: Vec<PairMeasurement>,
}

impl PairwiseStudy {
    /// Gathers the complete baseline and pairwise runs among `manifests`; `tenants` may hold rows of other runs too.
    pub fn gather<'a>(manifests: impl IntoIterator<Item = &'a Manifest>, tenants: &[TenantRow]) -> Self {
        let mut observed: BTreeMap<&str, &TenantRow> = BTreeMap::new();
        for row in tenants.iter().filter(|row| row.tenant_id == OBSERVED) {
            observed.insert(&row.run_id, row);
        }
        let mut alone: BTreeMap<String, Vec<&TenantRow>> = BTreeMap::new();
        let mut beside: BTreeMap<(String, String, u32, u64), Vec<&TenantRow>> = BTreeMap::new();
        for manifest in manifests.into_iter().filter(|m| m.status == RunStatus::Complete) {
            let Some(row) = observed.get(manifest.run_id.as_str()) else { continue };
            let neighbour = manifest.spec.tenants.iter().find(|tenant| tenant.id == NEIGHBOUR);
            match (manifest.spec.kind, neighbour) {
                (RunKind::Baseline, _) => alone.entry(row.app.clone()).or_default().push(row),
                (RunKind::Pairwise, Some(n)) => {
                    // Rates are positive, so their bits are in their order.
                    let key = (row.app.clone(), n.app.clone(), n.instances, n.rate.to_bits());
                    beside.entry(key).or_default().push(row);
                }
                _ => {}
            }
        }
        let baselines = alone.into_iter().filter_map(|(app, rows)| Some((app, pool(&rows)?))).collect();
        let pair = |((app, neighbour, instances, rate), rows): ((String, String, u32, u64), Vec<&TenantRow>)| {
            PairMeasurement { app, neighbour, instances, rate: f64::from_bits(rate), time: pool(&rows) }
        };
        Self { baselines, pairs: beside.into_iter().map(pair).collect() }
    }

    /// The points that contention curves are fitted to; what was not measured is not among them.
    pub fn points(&self) -> Vec<ContentionPoint> {
        let point = |pair: &PairMeasurement| {
            Some(ContentionPoint {
                app: pair.app.clone(),
                neighbour: pair.neighbour.clone(),
                instances: pair.instances,
                rate: pair.rate,
                seconds: pair.time?.mean_s,
            })
        };
        self.pairs.iter().filter_map(point).collect()
    }

    /// How much slower the observed application is than alone; `None` where either was not measured.
    pub fn slowdown(&self, pair: &PairMeasurement) -> Option<Slowdown> {
        Some(Slowdown::of(pair.time?, *self.baselines.get(&pair.app)?))
    }

    /// Every application of the campaign, in order of name.
    pub fn apps(&self) -> Vec<String> {
        let beside = self.pairs.iter().flat_map(|pair| [&pair.app, &pair.neighbour]);
        let all: BTreeSet<&String> = self.baselines.keys().chain(beside).collect();
        all.into_iter().cloned().collect()
    }

    /// The heaviest load of a neighbour: the (instances, rate) of the highest product, the more instances where equal.
    pub fn heaviest_load(&self) -> Option<(u32, f64)> {
        let product = |pair: &&PairMeasurement| f64::from(pair.instances) * pair.rate;
        let heavier = |a: &&PairMeasurement, b: &&PairMeasurement| {
            product(a).total_cmp(&product(b)).then(a.instances.cmp(&b.instances))
        };
        self.pairs.iter().max_by(heavier).map(|pair| (pair.instances, pair.rate))
    }

    /// The measurement of `app` beside one load of `neighbour`; `None` where no run of it is complete.
    pub fn beside(&self, app: &str, neighbour: &str, (instances, rate): (u32, f64)) -> Option<&PairMeasurement> {
        let is_it = |pair: &&PairMeasurement| {
            pair.app == app && pair.neighbour == neighbour && pair.instances == instances && pair.rate == rate
        };
        self.pairs.iter().find(is_it)
    }
}

impl Slowdown {
    /// The ratio of two independently measured times. Its interval adds their relative half-widths in quadrature on the
    /// logarithm (the delta method), each side for itself.
    pub fn of(contended: MeanTime, alone: MeanTime) -> Self {
        let ratio = contended.mean_s / alone.mean_s;
        let interval = contended.interval_s.zip(alone.interval_s).map(|(above, below)| {
            let down = (contended.mean_s / above.0).ln().hypot((below.1 / alone.mean_s).ln());
            let up = (above.1 / contended.mean_s).ln().hypot((alone.mean_s / below.0).ln());
            (ratio * (-down).exp(), ratio * up.exp())
        });
        Self { ratio, interval }
    }
}

/// The mean over the pooled samples of repetitions: means weighted by samples, half-widths in quadrature.
fn pool(rows: &[&TenantRow]) -> Option<MeanTime> {
    let measured: Vec<(&TenantRow, f64, f64)> =
        rows.iter().filter_map(|row| Some((*row, row.mean_s?, row.samples as f64))).collect();
    let total: f64 = measured.iter().map(|(_, _, n)| n).sum();
    if total <= 0.0 {
        return None;
    }
    let mean_s = measured.iter().map(|(_, mean, n)| mean * n / total).sum::<f64>();
    let side = |half_width: fn(f64, (f64, f64)) -> f64| {
        let parts = measured.iter().map(|(row, mean, n)| {
            let interval = row.mean_s_lo.zip(row.mean_s_hi)?;
            Some((half_width(*mean, interval) * n / total).powi(2))
        });
        parts.sum::<Option<f64>>().map(f64::sqrt)
    };
    let (down, up) = (side(|mean, (lo, _)| mean - lo), side(|mean, (_, hi)| hi - mean));
    Some(MeanTime {
        mean_s,
        interval_s: down.zip(up).map(|(down, up)| (mean_s - down, mean_s + up)),
        samples: total as u64,
        unstable: rows.iter().any(|row| row.unstable),
        censored: rows.iter().map(|row| row.censored).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mean_s: f64, lo: f64, hi: f64, samples: u64) -> TenantRow {
        TenantRow {
            run_id: String::new(),
            tenant_id: OBSERVED.into(),
            app: "a".into(),
            instances: 1,
            rate: 5.0,
            completed: samples,
            censored: 1,
            failed: 0,
            samples,
            unstable: false,
            mean_s: Some(mean_s),
            mean_s_lo: Some(lo),
            mean_s_hi: Some(hi),
            p75_s: None,
            p75_s_lo: None,
            p75_s_hi: None,
            p95_s: None,
            p95_s_lo: None,
            p95_s_hi: None,
            cpu_clock_mean: None,
            cpu_clock_std: None,
            cache_references_mean: None,
            cache_references_std: None,
            cache_misses_mean: None,
            cache_misses_std: None,
            page_faults_mean: None,
            page_faults_std: None,
        }
    }

    #[test]
    fn repetitions_are_pooled_by_their_samples() {
        let (a, b) = (row(1.0, 0.7, 1.3, 30), row(2.0, 1.6, 2.8, 10));
        let pooled = pool(&[&a, &b]).unwrap();
        assert_eq!((pooled.samples, pooled.censored), (40, 2));
        assert!((pooled.mean_s - 1.25).abs() < 1e-12);
        // down: hypot(0.3 * 3/4, 0.4 / 4); up: hypot(0.3 * 3/4, 0.8 / 4)
        let (lo, hi) = pooled.interval_s.unwrap();
        assert!((lo - (1.25 - 0.225f64.hypot(0.1))).abs() < 1e-12);
        assert!((hi - (1.25 + 0.225f64.hypot(0.2))).abs() < 1e-12);
    }

    #[test]
    fn what_was_not_measured_has_no_time_and_no_interval_is_made_up() {
        let starved = TenantRow { mean_s: None, samples: 0, unstable: true, ..row(0.0, 0.0, 0.0, 0) };
        assert_eq!(pool(&[&starved]), None);
        let short = TenantRow { mean_s_lo: None, mean_s_hi: None, ..row(1.0, 0.0, 0.0, 5) };
        assert_eq!(pool(&[&short, &row(1.0, 0.9, 1.1, 50)]).unwrap().interval_s, None);
    }

    #[test]
    fn slowdowns_are_compared_at_one_load() {
        let pair = |app: &str, instances, rate| PairMeasurement {
            app: app.into(),
            neighbour: "n".into(),
            instances,
            rate,
            time: None,
        };
        let pairs = vec![pair("a", 1, 60.0), pair("a", 4, 20.0), pair("b", 2, 40.0), pair("b", 2, 20.0)];
        let study = PairwiseStudy { pairs, ..PairwiseStudy::default() };
        // 4 x 20 and 2 x 40 are equally heavy; b was not measured at the first, and no lighter load stands in for it.
        assert_eq!(study.heaviest_load(), Some((4, 20.0)));
        assert!(study.beside("a", "n", (4, 20.0)).is_some());
        assert!(study.beside("b", "n", (4, 20.0)).is_none());
        assert_eq!(study.apps(), ["a", "b", "n"]);
        assert_eq!(PairwiseStudy::default().heaviest_load(), None);
    }

    #[test]
    fn the_slowdown_s_interval_covers_both_uncertainties() {
        let time =
            |mean_s, lo, hi| MeanTime { mean_s, interval_s: Some((lo, hi)), samples: 9, unstable: false, censored: 0 };
        let exact = time(2.0, 2.0, 2.0);
        let one = Slowdown::of(time(4.0, 3.0, 6.0), exact);
        assert_eq!(one.ratio, 2.0);
        let (lo, hi) = one.interval.unwrap();
        assert!((lo - 1.5).abs() < 1e-12 && (hi - 3.0).abs() < 1e-12);
        // An uncertain baseline alone: its upper end makes the ratio's lower one.
        let (lo, hi) = Slowdown::of(exact, time(1.0, 0.5, 4.0)).interval.unwrap();
        assert!((lo - 0.5).abs() < 1e-12 && (hi - 4.0).abs() < 1e-12);
    }
}
