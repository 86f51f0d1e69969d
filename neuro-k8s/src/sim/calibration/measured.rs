//! What a dataset says that a simulated server is fitted to and judged by.

use std::collections::{BTreeMap, BTreeSet};

use neuro_data::store::{QuantileRow, RunRow, TenantRow};
use neuro_data::summary::quantile_of_sorted;
use neuro_data::{Dataset, Error, Manifest, NoiseFloor, Result, RunKind, RunSpec, RunStatus, Sla, noise_floor};

use super::super::demand::{Demand, invalid};

/// Fewest service times behind a figure that is compared.
const MIN_SAMPLES: u64 = 10;
/// Quantiles that stand for the demand of an application.
const RANKS: usize = 65;

/// A measured run.
#[derive(Debug, Clone)]
pub(super) struct MeasuredRun {
    pub(super) spec: RunSpec,
    /// What was measured of each tenant; `None` of few samples.
    pub(super) tenants: Vec<Option<MeasuredTenant>>,
}

/// What was measured of a tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct MeasuredTenant {
    /// Mean, p75 and p95 of the service time, seconds.
    pub(super) service_s: [f64; 3],
    /// Service times behind them.
    pub(super) samples: u64,
}

/// The complete runs of a dataset.
#[derive(Debug)]
pub(super) struct Measured {
    /// Cores of the server.
    pub(super) cores: f64,
    /// The times alone of each application.
    pub(super) demands: BTreeMap<String, Demand>,
    pub(super) pairwise: Vec<MeasuredRun>,
    pub(super) random: Vec<MeasuredRun>,
    /// A/A differences of repeated random runs; of all runs where no random run was repeated.
    pub(super) noise: Vec<NoiseFloor>,
}

impl Measured {
    /// # Errors
    /// The dataset cannot be read, is of several servers or not of ours, or lacks baseline, pairwise or random runs.
    pub(super) fn read(dataset: &Dataset) -> Result<Self> {
        let rows: Vec<RunRow> = dataset.read()?;
        let servers: BTreeSet<&str> = rows.iter().map(|run| run.server.as_str()).collect();
        if servers.len() > 1 {
            let names = servers.into_iter().collect::<Vec<_>>().join(", ");
            return Err(invalid("the dataset's servers".to_owned(), names, "one server, whose runs are alike"));
        }
        let tenants: Vec<TenantRow> = dataset.read()?;
        let quantiles: Vec<QuantileRow> = dataset.read()?;
        let mut manifests = Vec::new();
        for run in rows.iter().filter(|run| run.status == RunStatus::Complete) {
            let manifest: Manifest = serde_json::from_str(&run.manifest).map_err(|e| Error::Malformed {
                path: dataset.path().to_owned(),
                reason: format!("run {} has no manifest of ours: {e}", run.run_id),
            })?;
            manifests.push(manifest);
        }
        let of_kind = |kind| manifests.iter().filter(move |manifest| manifest.spec.kind == kind);
        let measured = |kind| -> Result<Vec<MeasuredRun>> {
            let runs: Vec<_> = of_kind(kind).map(|manifest| measured_run(manifest, &tenants)).collect();
            if runs.is_empty() {
                return Err(invalid(format!("the dataset's complete {} runs", kind.name()), 0, "at least one"));
            }
            Ok(runs)
        };
        let (_, pairwise, random) =
            (measured(RunKind::Baseline)?, measured(RunKind::Pairwise)?, measured(RunKind::Random)?);
        let noise = Some(noise_floor(of_kind(RunKind::Random), &tenants)).filter(|noise| !noise.is_empty());
        Ok(Self {
            cores: manifests.iter().map(|manifest| f64::from(manifest.host.cpus)).fold(0.0, f64::max),
            demands: demands(of_kind(RunKind::Baseline), &quantiles),
            pairwise,
            random,
            noise: noise.unwrap_or_else(|| noise_floor(&manifests, &tenants)),
        })
    }
}

fn measured_run(manifest: &Manifest, tenants: &[TenantRow]) -> MeasuredRun {
    let of_tenant = |id: &str| {
        let row = tenants.iter().find(|row| row.run_id == manifest.run_id && row.tenant_id == id)?;
        let [mean, p75, p95] = Sla::ALL.map(|sla| row.statistic(sla).filter(|figure| *figure > 0.0));
        let service_s = [mean?, p75?, p95?];
        (row.samples >= MIN_SAMPLES).then_some(MeasuredTenant { service_s, samples: row.samples })
    };
    let tenants = manifest.spec.tenants.iter().map(|tenant| of_tenant(&tenant.id)).collect();
    MeasuredRun { spec: manifest.spec.clone(), tenants }
}

/// The service times of each application alone, pooled over its baseline runs.
fn demands<'a>(baselines: impl Iterator<Item = &'a Manifest>, quantiles: &[QuantileRow]) -> BTreeMap<String, Demand> {
    let mut pooled: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for manifest in baselines {
        for row in quantiles.iter().filter(|row| row.run_id == manifest.run_id) {
            let positive = row.service_s.iter().filter(|service_s| **service_s > 0.0);
            pooled.entry(row.app.clone()).or_default().extend(positive);
        }
    }
    pooled.retain(|_, times| times.len() >= MIN_SAMPLES as usize);
    pooled.into_iter().map(|(app, times)| (app, empirical(times))).collect()
}

/// Quantiles of some times at even ranks, of the same mean.
fn empirical(mut times: Vec<f64>) -> Demand {
    times.sort_by(f64::total_cmp);
    let rank = |i: usize| quantile_of_sorted(&times, i as f64 / (RANKS - 1) as f64);
    let demand = Demand::Quantiles { values_s: (0..RANKS).map(rank).collect() };
    let mean_s = times.iter().sum::<f64>() / times.len() as f64;
    demand.scaled(mean_s / demand.mean_s())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empirical_demand_has_the_mean_of_its_times() {
        let times: Vec<f64> = (1..=200).map(|i| 0.01 * f64::from(i).powi(2)).collect();
        let mean = times.iter().sum::<f64>() / 200.0;
        let demand = empirical(times);
        assert!((demand.mean_s() / mean - 1.0).abs() < 1e-12);
        assert!(matches!(&demand, Demand::Quantiles { values_s } if values_s.len() == RANKS && values_s.is_sorted()));
    }
}
