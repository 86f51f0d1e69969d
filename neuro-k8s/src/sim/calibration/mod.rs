//! Calibration: the simulated server that behaves like a measured one.
//!
//! - *Demand* is what the baseline runs say: the pooled service times of each application alone, as quantiles.
//! - *Parallelism*, *pressure* and *sensitivity* are fitted to the pairwise runs. Each run is simulated with its own phases and
//!   arrivals, and with three further draws of arrivals, and the logarithm of simulated / measured is taken of mean, p75 and
//!   p95 of each tenant. The loss is Huber's of these, weighted by n/(n + 20) for n samples and by ½ for p95, so that a run that
//!   was disturbed does not bend the fit, and a weak pull of the logarithms towards their start, because of a product of
//!   pressure and sensitivity little more than the product can be told.
//! - An application's three numbers change hardly any run but its own, so they are fitted application by application, round and
//!   round, by the method of Nelder and Mead: a simulation is no smooth function.
//!
//! The memory bandwidth is [`BANDWIDTH_GBS`] by definition: pressures are in proportion to it. They go with the cores
//! (`waiting_pressure` is 0): only what runs moves data. A parallelism below the compute
//! threads of a replica says that the system's scheduler serves the application before others, as it does with short inferences.
//!
//! Random runs are held out and judge the result.
//!
//! ## References
//! - P. J. Huber, "Robust estimation of a location parameter", *Annals of Mathematical Statistics* 35(1), 1964,
//!   doi:10.1214/aoms/1177703732.
//! - J. A. Nelder, R. Mead, "A simplex method for function minimization", *The Computer Journal* 7(4), 1965,
//!   doi:10.1093/comjnl/7.4.308.

mod accuracy;
mod fit;
mod measured;
mod simulated;

use std::ops::ControlFlow;

use neuro_data::{Dataset, Error, Result};

use super::demand::invalid;
use super::parameters::{ServerKind, Service, SimParams};
pub use accuracy::Accuracy;
use fit::Fit;
use measured::Measured;

/// Memory bandwidth of a calibrated server, GB/s.
pub const BANDWIDTH_GBS: f64 = 10.0;

/// How to calibrate.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationParams {
    /// Name of the kind of server that is made; `calibrated` by default.
    pub kind: String,
    /// Its cores; those that the runs tell of by default.
    pub cores: Option<f64>,
    /// Seed of the further draws of arrivals; 1 by default.
    pub seed: u64,
    /// Rounds over the applications, at least 1; 4 by default.
    pub rounds: u32,
}

impl Default for CalibrationParams {
    fn default() -> Self {
        Self { kind: "calibrated".to_owned(), cores: None, seed: 1, rounds: 4 }
    }
}

/// A calibrated server and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The kind of server and the services.
    pub params: SimParams,
    /// Loss at the start and after the fit.
    pub loss: (f64, f64),
    /// Pairwise runs that it was fitted to.
    pub fitted_runs: usize,
    /// How far simulated are from measured ones there.
    pub fitted: Vec<Accuracy>,
    /// Random runs that were held out.
    pub held_out_runs: usize,
    /// How far simulated are from measured ones there.
    pub held_out: Vec<Accuracy>,
}

/// How far a calibration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationProgress {
    /// Fits of one application's numbers in all.
    pub steps: usize,
    /// Fits that are done.
    pub done: usize,
}

/// Fits a simulated server to the baseline and pairwise runs of a dataset and judges it by the random ones.
///
/// `observer` is told of the progress; when it breaks off, so does the calibration.
///
/// # Errors
/// The dataset cannot be read, is of several servers or not of ours, or lacks baseline, pairwise or random runs, or a baseline
/// of an application; [`Error::Interrupted`] when the observer breaks off.
pub fn calibrate(
    dataset: &Dataset,
    params: &CalibrationParams,
    observer: &mut dyn FnMut(CalibrationProgress) -> ControlFlow<()>,
) -> Result<Calibration> {
    let measured = Measured::read(dataset)?;
    let kind = ServerKind {
        name: params.kind.clone(),
        cores: params.cores.unwrap_or(measured.cores),
        speed: 1.0,
        bandwidth_gbs: BANDWIDTH_GBS,
        waiting_pressure: 0.0,
    };
    let services = services(&measured)?;
    let start = SimParams { kinds: vec![kind], services };
    start.validate()?;

    let steps = start.services.len() * params.rounds.max(1) as usize;
    let mut fit = Fit::new(start, &measured.pairwise, params.seed);
    let before = fit.loss()?;
    for done in 0..steps {
        if observer(CalibrationProgress { steps, done }).is_break() {
            return Err(Error::Interrupted);
        }
        fit.improve(done % fit.services())?;
    }
    let after = fit.loss()?;
    let fitted_params = fit.into_params();
    let server = fitted_params.server(&params.kind)?;
    let of = |runs| accuracy::accuracy(runs, server, params.seed, &measured.noise);
    let (fitted, held_out) = (of(&measured.pairwise)?, of(&measured.random)?);
    Ok(Calibration {
        loss: (before, after),
        fitted_runs: measured.pairwise.len(),
        fitted,
        held_out_runs: measured.random.len(),
        held_out,
        params: fitted_params,
    })
}

/// The services of the measured runs, where the fit starts.
fn services(measured: &Measured) -> Result<Vec<Service>> {
    let mut services: Vec<Service> = Vec::new();
    for tenant in measured.pairwise.iter().chain(&measured.random).flat_map(|run| &run.spec.tenants) {
        if services.iter().any(|service| service.id == tenant.app) {
            continue;
        }
        let demand = measured.demands.get(&tenant.app).cloned().ok_or_else(|| {
            invalid(
                "the dataset's baseline runs".to_owned(),
                format!("none of {}", tenant.app),
                "one of each application",
            )
        })?;
        services.push(Service { pressure_gbs: 1.0, sensitivity: 5.0, ..Service::new(&tenant.app, demand) });
    }
    services.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(services)
}
