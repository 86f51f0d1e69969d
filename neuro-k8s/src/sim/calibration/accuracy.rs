//! How far simulated runs are from measured ones.

use neuro_data::summary::quantile;
use neuro_data::{NoiseFloor, Result, Sla};
use serde::Serialize;

use super::super::parameters::SimulatedServer;
use super::measured::MeasuredRun;
use super::simulated;

/// How far one statistic of one application is off over the tenants of some runs. Errors are relative: simulated / measured − 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// Application.
    pub app: String,
    /// Statistic of its service time.
    pub statistic: Sla,
    /// Tenants that were compared.
    pub tenants: usize,
    /// Median of the absolute error.
    pub median: f64,
    /// 90th percentile of the absolute error.
    pub p90: f64,
    /// Median of the signed error; positive where the simulation is slower.
    pub signed_median: f64,
    /// Median of the absolute error of taking every tenant for alone on the server.
    pub uncontended_median: f64,
    /// Median difference of two measurements of one configuration; `None` where none was repeated.
    pub noise_floor: Option<f64>,
    /// Pairs of measurements behind the noise floor.
    pub noise_pairs: usize,
}

/// Compares runs with their simulations, in order of application and statistic.
pub(super) fn accuracy(
    runs: &[MeasuredRun],
    server: SimulatedServer<'_>,
    seed: u64,
    noise: &[NoiseFloor],
) -> Result<Vec<Accuracy>> {
    let simulated = simulated::service_times(&runs.iter().collect::<Vec<_>>(), server, seed)?;
    let mut apps: Vec<&str> = runs.iter().flat_map(|run| &run.spec.tenants).map(|tenant| tenant.app.as_str()).collect();
    apps.sort_unstable();
    apps.dedup();
    let mut rows = Vec::new();
    for app in apps {
        let alone_s = server.service(app)?.demand.figures();
        for statistic in Sla::ALL {
            let s = statistic as usize;
            let (mut errors, mut uncontended) = (Vec::new(), Vec::new());
            for (run, simulated) in runs.iter().zip(&simulated) {
                for ((tenant, measured), simulated) in run.spec.tenants.iter().zip(&run.tenants).zip(simulated) {
                    if let (true, Some(measured), Some(simulated)) = (tenant.app == app, measured, simulated) {
                        errors.push(simulated[s] / measured.service_s[s] - 1.0);
                        uncontended.push((alone_s[s] / measured.service_s[s] - 1.0).abs());
                    }
                }
            }
            if errors.is_empty() {
                continue;
            }
            let mut absolute: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
            let floor = noise.iter().find(|floor| floor.app == app && floor.statistic == statistic);
            rows.push(Accuracy {
                app: app.to_owned(),
                statistic,
                tenants: errors.len(),
                median: quantile(&mut absolute, 0.5),
                p90: quantile(&mut absolute, 0.9),
                signed_median: quantile(&mut errors, 0.5),
                uncontended_median: quantile(&mut uncontended, 0.5),
                noise_floor: floor.map(|floor| floor.median),
                noise_pairs: floor.map_or(0, |floor| floor.pairs),
            });
        }
    }
    Ok(rows)
}
