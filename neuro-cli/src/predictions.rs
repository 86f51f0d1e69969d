//! Every prediction of an evaluation beside what was measured.

use neuro_data::Sla;
use neuro_profiler::TrainingSet;
use neuro_profiler::evaluation::Judged;
use serde::{Deserialize, Serialize};

/// Columns of equal length, one entry a prediction: `predictions.json`, which `pandas.read_json` takes as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Profiler.
    pub profiler: Vec<String>,
    /// Application.
    pub app: Vec<String>,
    /// Statistic of the service time.
    pub sla: Vec<Sla>,
    /// Predicted, seconds.
    pub predicted_s: Vec<f32>,
    /// Predicted with its margin, seconds.
    pub promised_s: Vec<f32>,
    /// Measured, seconds.
    pub measured_s: Vec<f32>,
    /// Work that the run offered, relative to what its server can do.
    pub utilisation: Vec<f32>,
    /// Other tenants on the server.
    pub neighbours: Vec<usize>,
}

impl Predictions {
    /// Of some profilers, by their names, in their order.
    pub fn of(profilers: &[String], set: &TrainingSet, judged: &[Vec<Judged>]) -> Self {
        let mut all = Self::default();
        for (profiler, judged) in profilers.iter().zip(judged) {
            for j in judged {
                all.profiler.push(profiler.clone());
                all.app.push(set.apps.get(j.app).cloned().unwrap_or_default());
                all.sla.push(j.sla);
                all.predicted_s.push(j.predicted_s as f32);
                all.promised_s.push(j.promised_s as f32);
                all.measured_s.push(j.measured_s as f32);
                all.utilisation.push(j.utilisation as f32);
                all.neighbours.push(j.neighbours);
            }
        }
        all
    }

    /// (predicted − measured) / measured of one profiler and statistic.
    pub fn relative_errors(&self, profiler: &str, sla: Sla) -> Vec<f64> {
        let columns = self.profiler.iter().zip(&self.sla).zip(self.predicted_s.iter().zip(&self.measured_s));
        let of = columns.filter(|((name, statistic), _)| *name == profiler && **statistic == sla);
        of.map(|(_, (predicted, measured))| f64::from(*predicted) / f64::from(*measured) - 1.0).collect()
    }
}
