use neuro_data::RunKind;
use neuro_data::summary::quantile;

use crate::profiler::{Load, LogTimes, Profiler};
use crate::server_state::{base_matrix, base_times};
use crate::training_set::TrainingSet;
use crate::weights::Weights;
use crate::{Error, Result};

/// As if every tenant were alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncontended {
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
}

impl Uncontended {
    /// The median of each application's baseline runs; where there are none, its base time among `train`.
    ///
    /// # Errors
    ///
    /// [`Error::UnmeasuredApp`] for an application without a measurement.
    pub fn fit(set: &TrainingSet, train: &[usize]) -> Result<Self> {
        Ok(Self { apps: set.apps.clone(), base_s: times_alone(set, train)? })
    }

    /// Seconds of mean, p75 and p95 alone.
    pub fn base_s(&self, app: usize) -> [f64; 3] {
        self.base_s[app]
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights
    }

    pub(crate) fn from_weights(apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        let base_s = checked_times(base_times(&weights.take_matrix("base_s", apps.len(), 3)?))?;
        Ok(Self { apps, base_s })
    }
}

impl Profiler for Uncontended {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        Ok(server.iter().map(|load| self.base_s[load.app].map(f64::ln)).collect())
    }
}

/// Seconds alone of every application.
pub(super) fn times_alone(set: &TrainingSet, train: &[usize]) -> Result<Vec<[f64; 3]>> {
    let fallback = set.base_s(train);
    let alone = |app: usize| {
        let runs = set.runs.iter().filter(|run| run.kind == RunKind::Baseline);
        let samples: Vec<_> = runs.flat_map(|run| &run.tenants).filter(|tenant| tenant.load.app == app).collect();
        let median = |k: usize| {
            let mut seconds: Vec<f64> = samples.iter().filter_map(|tenant| tenant.seconds[k]).collect();
            quantile(&mut seconds, 0.5)
        };
        let measured = [median(0), median(1), median(2)];
        let measured = measured.iter().all(|s| s.is_finite()).then_some(measured);
        measured.or(fallback[app]).ok_or_else(|| Error::UnmeasuredApp { app: set.apps[app].clone() })
    };
    (0..set.apps.len()).map(alone).collect()
}

/// Refuses times that are none.
pub(super) fn checked_times(base_s: Vec<[f64; 3]>) -> Result<Vec<[f64; 3]>> {
    if base_s.iter().flatten().all(|s| *s > 0.0) {
        return Ok(base_s);
    }
    Err(Error::InvalidTensor { tensor: "base_s".to_owned(), problem: "holds a time that is not above 0".to_owned() })
}
