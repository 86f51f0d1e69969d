//! The noise floor: how far two runs of one configuration are apart. No accuracy below it means anything.

use std::collections::BTreeMap;

use crate::store::TenantRow;
use crate::summary::quantile;
use crate::{Manifest, RunStatus, Sla};

/// The A/A difference of one statistic of one application.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NoiseFloor {
    /// Application.
    pub app: String,
    /// Statistic of its service time.
    pub statistic: Sla,
    /// Pairs of runs of equal configuration that were compared.
    pub pairs: usize,
    /// Median over the pairs of |x − y| / ((x + y) / 2).
    pub median: f64,
    /// 90th percentile over the pairs.
    pub p90: f64,
}

/// Compares every pair of complete runs that differ in nothing but their repetition, tenant by tenant.
///
/// Rows of runs that are not in `manifests`, and unmeasured statistics, are passed over. The result is ordered by application
/// and statistic; an application without a repeated run has no row.
pub fn noise_floor<'a>(manifests: impl IntoIterator<Item = &'a Manifest>, tenants: &[TenantRow]) -> Vec<NoiseFloor> {
    let configuration: BTreeMap<&str, String> = manifests
        .into_iter()
        .filter(|m| m.status == RunStatus::Complete)
        .map(|m| (m.run_id.as_str(), m.spec.configuration()))
        .collect();
    noise_floor_of(&configuration, tenants)
}

/// [`noise_floor`] by what the repetitions of each complete run share.
pub(crate) fn noise_floor_of(configuration: &BTreeMap<&str, String>, tenants: &[TenantRow]) -> Vec<NoiseFloor> {
    let mut groups: BTreeMap<(&str, &str), Vec<&TenantRow>> = BTreeMap::new();
    for row in tenants {
        if let Some(configuration) = configuration.get(row.run_id.as_str()) {
            groups.entry((configuration, &row.tenant_id)).or_default().push(row);
        }
    }
    let mut differences: BTreeMap<(&str, Sla), Vec<f64>> = BTreeMap::new();
    for rows in groups.values() {
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[i + 1..] {
                for sla in Sla::ALL {
                    if let (Some(x), Some(y)) = (a.statistic(sla), b.statistic(sla)) {
                        differences.entry((&a.app, sla)).or_default().push(2.0 * (x - y).abs() / (x + y));
                    }
                }
            }
        }
    }
    differences
        .into_iter()
        .map(|((app, statistic), mut d)| NoiseFloor {
            app: app.to_owned(),
            statistic,
            pairs: d.len(),
            median: quantile(&mut d, 0.5),
            p90: quantile(&mut d, 0.9),
        })
        .collect()
}

impl TenantRow {
    /// The figure of one statistic, seconds.
    pub fn statistic(&self, sla: Sla) -> Option<f64> {
        match sla {
            Sla::Mean => self.mean_s,
            Sla::P75 => self.p75_s,
            Sla::P95 => self.p95_s,
        }
    }

    /// Whether nothing of the tenant was served, so that its times are longer than the run.
    pub fn is_starved(&self) -> bool {
        self.samples == 0 && self.unstable
    }

    /// The interval of one statistic, seconds.
    pub fn interval(&self, sla: Sla) -> Option<(f64, f64)> {
        match sla {
            Sla::Mean => self.mean_s_lo.zip(self.mean_s_hi),
            Sla::P75 => self.p75_s_lo.zip(self.p75_s_hi),
            Sla::P95 => self.p95_s_lo.zip(self.p95_s_hi),
        }
    }
}
