//! The fit of an application's parallelism, pressure and sensitivity.

use argmin::core::{CostFunction, Executor, State};
use argmin::solver::neldermead::NelderMead;
use neuro_data::{Error, Result};

use super::super::parameters::{Service, SimParams};
use super::measured::MeasuredRun;
use super::simulated;

/// Beyond this residual, in logarithms, Huber's loss is linear.
const HUBER: f64 = 0.1;
/// Weight of the squared distance of a logarithm from its start.
const PULL: f64 = 0.01;
/// Residual of a tenant of which nothing was served in the simulation.
const UNSERVED: f64 = 3.0;
/// Size of the first simplex, in logarithms.
const FIRST_STEP: f64 = 0.7;
/// Steps of one fit of one application.
const STEPS: u64 = 40;
/// What the three numbers may be.
const RANGES: [(f64, f64); 3] = [(0.02, 64.0), (0.01, 10.0), (0.001, 1_000.0)];

/// The parameters as they are fitted.
pub(super) struct Fit<'a> {
    params: SimParams,
    start: Vec<[f64; 3]>,
    runs: &'a [MeasuredRun],
    seed: u64,
}

/// The logarithms of a service's three numbers.
fn logarithms(service: &Service) -> [f64; 3] {
    [service.parallelism, service.pressure_gbs, service.sensitivity].map(f64::ln)
}

impl<'a> Fit<'a> {
    pub(super) fn new(params: SimParams, runs: &'a [MeasuredRun], seed: u64) -> Self {
        let start = params.services.iter().map(logarithms).collect();
        Self { params, start, runs, seed }
    }

    pub(super) fn services(&self) -> usize {
        self.params.services.len()
    }

    pub(super) fn into_params(self) -> SimParams {
        self.params
    }

    /// The loss of all runs.
    pub(super) fn loss(&self) -> Result<f64> {
        self.loss_of(&self.params, &self.runs.iter().collect::<Vec<_>>())
    }

    /// Fits the numbers of one application to the runs that it has a part in.
    pub(super) fn improve(&mut self, index: usize) -> Result<()> {
        let app = &self.params.services[index].id;
        let has_part = |run: &&MeasuredRun| run.spec.tenants.iter().any(|tenant| tenant.app == *app);
        let runs: Vec<&MeasuredRun> = self.runs.iter().filter(has_part).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let present = logarithms(&self.params.services[index]).to_vec();
        let corner = |i: usize| {
            let mut corner = present.clone();
            // Towards less parallelism, for it mostly starts at the most that it can be.
            corner[i] += if i == 0 { -FIRST_STEP } else { FIRST_STEP };
            corner
        };
        let simplex = std::iter::once(present.clone()).chain((0..3).map(corner)).collect();
        let failed = |error: argmin::core::Error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::Malformed { path: "calibration".into(), reason: error.to_string() },
        };
        let solver = NelderMead::new(simplex).with_sd_tolerance(1e-5).map_err(failed)?;
        let cost = Cost { fit: self, index, runs };
        let result = Executor::new(cost, solver).configure(|state| state.max_iters(STEPS)).run().map_err(failed)?;
        if let Some(best) = result.state().get_best_param() {
            self.params.services[index] = self.with(index, best).services.swap_remove(index);
        }
        Ok(())
    }

    /// The parameters with one service's numbers replaced, within their ranges.
    fn with(&self, index: usize, logarithms: &[f64]) -> SimParams {
        let mut params = self.params.clone();
        let threads = self.runs.iter().map(|run| run.spec.threads).max().unwrap_or(1);
        let within = |i: usize| logarithms[i].exp().clamp(RANGES[i].0, RANGES[i].1);
        let service = &mut params.services[index];
        service.parallelism = within(0).min(f64::from(threads));
        service.pressure_gbs = within(1);
        service.sensitivity = within(2);
        params
    }

    fn loss_of(&self, params: &SimParams, runs: &[&MeasuredRun]) -> Result<f64> {
        let server = params.server(&params.kinds[0].name)?;
        let simulated = simulated::service_times(runs, server, self.seed)?;
        let mut loss = 0.0;
        for (run, simulated) in runs.iter().zip(&simulated) {
            for (measured, simulated) in run.tenants.iter().zip(simulated) {
                let Some(measured) = measured else { continue };
                let weight = measured.samples as f64 / (measured.samples as f64 + 20.0);
                for (s, of_statistic) in [1.0, 1.0, 0.5].into_iter().enumerate() {
                    let residual = simulated.map_or(UNSERVED, |figures| (figures[s] / measured.service_s[s]).ln());
                    loss += weight * of_statistic * huber(residual);
                }
            }
        }
        let distances = params.services.iter().zip(&self.start).flat_map(|(service, start)| {
            logarithms(service).into_iter().zip(*start).map(|(now, start)| (now - start).powi(2))
        });
        Ok(loss + PULL * distances.sum::<f64>())
    }
}

fn huber(residual: f64) -> f64 {
    let size = residual.abs();
    if size <= HUBER { size * size / 2.0 } else { HUBER * (size - HUBER / 2.0) }
}

/// The loss as a function of one application's numbers.
struct Cost<'a> {
    fit: &'a Fit<'a>,
    index: usize,
    runs: Vec<&'a MeasuredRun>,
}

impl CostFunction for Cost<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, logarithms: &Self::Param) -> std::result::Result<f64, argmin::core::Error> {
        Ok(self.fit.loss_of(&self.fit.with(self.index, logarithms), &self.runs)?)
    }
}

#[cfg(test)]
mod tests {
    use super::huber;

    #[test]
    fn the_loss_is_quadratic_then_linear() {
        assert!((huber(0.05) - 0.00125).abs() < 1e-15);
        assert!((huber(-0.1) - 0.005).abs() < 1e-15);
        assert!((huber(1.1) - huber(0.6) - 0.05).abs() < 1e-15);
    }
}
