//! Who decides and who predicts: the operator is handed both.

use std::time::Duration;

use neuro_data::instance::Instance;
use neuro_data::plan::Plan;

/// Why there is no plan or no prediction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The profiler was not trained on such a load, so that nothing it says may be relied on.
    #[error("the profiler is out of its range: {0}")]
    OutsideRange(String),
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

/// Decides which requests are served, and where.
pub trait Planner: Send + Sync {
    /// A plan for an instance, within a time of the wall clock.
    ///
    /// # Errors
    /// The instance cannot be decided.
    fn plan(&self, instance: &Instance, limit: Duration) -> Result<Plan, PlanError>;
}

/// Predicts what a plan promises.
pub trait Profiler: Send + Sync {
    /// Whether an application on a kind of server is one that it can speak of at all.
    fn knows(&self, kind: &str, app: &str) -> bool;

    /// What each request of a plan gets on each of its servers.
    ///
    /// # Errors
    /// The plan does not fit the instance, or is out of the profiler's range.
    fn predict(&self, instance: &Instance, plan: &Plan) -> Result<Vec<Prediction>, PlanError>;
}

/// What a request gets on a server.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Request id.
    pub request: String,
    /// Server.
    pub server: String,
    /// The promised statistic as predicted, seconds.
    pub predicted_s: f64,
    /// By what it may be promised: the prediction with its margin, seconds.
    pub promise_s: f64,
}
