//! Statistics of a dataset: what it covers, how its targets are scaled, and how far two equal runs are apart.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::noise::{NoiseFloor, noise_floor_of};
use crate::store::{RunRow, TenantRow};
use crate::summary::quantile;
use crate::{Dataset, Manifest, Result, RunStatus, Sla};

/// The instances by which inputs are divided.
pub const INSTANCES_SCALE: f64 = 16.0;
/// The rate per instance by which inputs are divided, requests per second.
pub const RATE_SCALE: f64 = 10.0;

/// What a dataset covers. Only complete runs count.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// Runs by what they are worth.
    pub runs: BTreeMap<&'static str, u64>,
    /// Servers of complete runs.
    pub servers: Vec<String>,
    /// Applications in order of name.
    pub apps: Vec<AppStatistics>,
    /// By what inputs and targets are divided to train on.
    pub normalisation: Normalisation,
    /// A/A differences of runs of one configuration.
    pub noise_floor: Vec<NoiseFloor>,
}

/// What a dataset covers of one application.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppStatistics {
    /// Application.
    pub app: String,
    /// Tenants of it.
    pub tenants: u64,
    /// Those that starved: no service time is known.
    pub starved: u64,
    /// Those that were offered more than they can serve.
    pub unstable: u64,
    /// Service times behind the figures.
    pub samples: u64,
    /// Fewest and most instances.
    pub instances: (f64, f64),
    /// Lowest and highest rate per instance, requests per second.
    pub rate: (f64, f64),
    /// How mean, p75 and p95 of the service time are distributed over the tenants, seconds, in the order of [`Sla::ALL`];
    /// `None` where nothing was measured.
    pub service_s: [Option<Distribution>; 3],
}

/// Order statistics of some figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Distribution {
    /// The least.
    pub min: f64,
    /// First quartile.
    pub p25: f64,
    /// Median.
    pub p50: f64,
    /// Third quartile.
    pub p75: f64,
    /// 95th percentile.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

/// The divisors of the study's predictors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Normalisation {
    /// Of instances.
    pub instances: f64,
    /// Of rates per instance, requests per second.
    pub rate: f64,
    /// Of mean, p75 and p95 by application: the largest seen, seconds. Applications without a figure are not there.
    pub targets_s: BTreeMap<String, [f64; 3]>,
    /// Of the counters' means per replica and second, by event: the largest seen.
    pub counters: BTreeMap<&'static str, f64>,
}

impl Distribution {
    /// Of some figures; `None` of nothing.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        (!figures.is_empty()).then(|| {
            let [min, p25, p50, p75, p95, max] = [0.0, 0.25, 0.5, 0.75, 0.95, 1.0].map(|q| quantile(&mut figures, q));
            Self { min, p25, p50, p75, p95, max }
        })
    }
}

impl Statistics {
    /// Of a dataset.
    ///
    /// # Errors
    /// A table is missing or malformed.
    pub fn of(dataset: &Dataset) -> Result<Self> {
        let mut runs = BTreeMap::new();
        let mut configurations: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut servers = Vec::new();
        for run in dataset.scan::<RunRow>().rows()? {
            let run = run?;
            *runs.entry(run.status.name()).or_default() += 1;
            if run.status == RunStatus::Complete {
                let ours: Option<Manifest> = serde_json::from_str(&run.manifest).ok();
                configurations.insert(run.run_id, ours.map(|manifest| manifest.spec.configuration()));
                servers.push(run.server);
            }
        }
        servers.sort();
        servers.dedup();
        let mut tenants = dataset.read::<TenantRow>()?;
        tenants.retain(|tenant| configurations.contains_key(&tenant.run_id));
        let configurations = configurations_of(&configurations, &tenants);
        let mut by_app: BTreeMap<&str, Vec<&TenantRow>> = BTreeMap::new();
        for tenant in &tenants {
            by_app.entry(&tenant.app).or_default().push(tenant);
        }
        let apps: Vec<AppStatistics> = by_app.iter().map(|(app, tenants)| app_statistics(app, tenants)).collect();
        let normalisation = normalisation(&apps, &tenants);
        let noise_floor = noise_floor_of(&configurations, &tenants);
        Ok(Self { runs, servers, apps, normalisation, noise_floor })
    }
}

/// What repetitions of each run share: for ours what was asked for, for others their tenants.
fn configurations_of<'a>(
    known: &'a BTreeMap<String, Option<String>>,
    tenants: &[TenantRow],
) -> BTreeMap<&'a str, String> {
    let mut out: BTreeMap<&str, String> = BTreeMap::new();
    for (run, configuration) in known {
        out.insert(run, configuration.clone().unwrap_or_default());
    }
    for tenant in tenants {
        if let Some((run, None)) = known.get_key_value(&tenant.run_id) {
            let load = format!("{} {} {} {};", tenant.tenant_id, tenant.app, tenant.instances, tenant.rate);
            out.entry(run).or_default().push_str(&load);
        }
    }
    out
}

fn app_statistics(app: &str, tenants: &[&TenantRow]) -> AppStatistics {
    let count = |of: fn(&TenantRow) -> bool| tenants.iter().filter(|tenant| of(tenant)).count() as u64;
    let range = |of: fn(&TenantRow) -> f64| {
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        tenants.iter().map(|tenant| of(tenant)).fold(ends, |(low, high), x| (low.min(x), high.max(x)))
    };
    let service_s =
        Sla::ALL.map(|sla| Distribution::of(tenants.iter().filter_map(|tenant| tenant.statistic(sla)).collect()));
    AppStatistics {
        app: app.to_owned(),
        tenants: tenants.len() as u64,
        starved: count(|tenant| tenant.is_starved()),
        unstable: count(|tenant| tenant.unstable),
        samples: tenants.iter().map(|tenant| tenant.samples).sum(),
        instances: range(|tenant| f64::from(tenant.instances)),
        rate: range(|tenant| tenant.rate),
        service_s,
    }
}

fn normalisation(apps: &[AppStatistics], tenants: &[TenantRow]) -> Normalisation {
    let largest = |app: &AppStatistics| {
        let [mean, p75, p95] = app.service_s;
        Some((app.app.clone(), [mean?.max, p75?.max, p95?.max]))
    };
    let largest_counter = |event: &'static str, of: fn(&TenantRow) -> Option<f64>| {
        Some((event, tenants.iter().filter_map(of).reduce(f64::max)?))
    };
    let counters = [
        largest_counter("cpu-clock", |tenant| tenant.cpu_clock_mean),
        largest_counter("cache-references", |tenant| tenant.cache_references_mean),
        largest_counter("cache-misses", |tenant| tenant.cache_misses_mean),
        largest_counter("page-faults", |tenant| tenant.page_faults_mean),
    ];
    Normalisation {
        instances: INSTANCES_SCALE,
        rate: RATE_SCALE,
        targets_s: apps.iter().filter_map(largest).collect(),
        counters: counters.into_iter().flatten().collect(),
    }
}
