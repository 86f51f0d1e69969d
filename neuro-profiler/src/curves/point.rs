use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One measurement: the service time of an application beside instances of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentionPoint {
    /// The application measured.
    pub app: String,
    /// The application beside it.
    pub neighbour: String,
    /// Instances of the neighbour, at least 1.
    pub instances: u32,
    /// Requests per second to each instance of the neighbour, at least 0.
    pub rate: f64,
    /// Mean service time of `app` in seconds, above 0.
    pub seconds: f64,
}

impl ContentionPoint {
    /// Refuses a point that no measurement can give.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPoint`] with the offending field: no instances, a rate that is negative or not finite, or a time that
    /// is not positive and finite.
    pub fn check(&self) -> Result<()> {
        let invalid = |field, value, required| {
            Err(Error::InvalidPoint {
                app: self.app.clone(),
                neighbour: self.neighbour.clone(),
                field,
                value,
                required,
            })
        };
        if self.instances == 0 {
            return invalid("instances", 0.0, "at least 1");
        }
        if !(self.rate.is_finite() && self.rate >= 0.0) {
            return invalid("rate", self.rate, "finite and at least 0 requests per second");
        }
        if !(self.seconds.is_finite() && self.seconds > 0.0) {
            return invalid("seconds", self.seconds, "finite and above 0");
        }
        Ok(())
    }

    pub(super) fn pair(&self) -> String {
        format!("{} beside {}", self.app, self.neighbour)
    }
}
