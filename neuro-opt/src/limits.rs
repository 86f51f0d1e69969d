use std::ops::ControlFlow;
use std::time::Duration;

use crate::{Error, Result};

/// When to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Wall-clock time; by default none.
    pub time: Option<Duration>,
    /// Nodes; by default none.
    pub nodes: Option<u64>,
    /// Distance of objective and bound, relative to the larger of 1 and the objective, at which the objective counts as optimal.
    /// At least 0; 1e-7 by default.
    pub gap: f64,
    /// A value to beat: the method stops as soon as it holds a solution that is better, or has proved that there is none. None by
    /// default.
    pub target: Option<f64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: None, nodes: None, gap: 1e-7, target: None }
    }
}

impl Limits {
    /// Limits of time only.
    pub fn of_time(time: Duration) -> Self {
        Self { time: Some(time), ..Self::default() }
    }

    /// Refuses figures that are none.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for a gap that is negative or NaN, or a target that is NaN.
    pub fn check(&self) -> Result<()> {
        if self.gap.is_nan() || self.gap < 0.0 {
            return Err(Error::InvalidOption { name: "gap", value: self.gap, required: "at least 0" });
        }
        match self.target {
            Some(target) if target.is_nan() => {
                Err(Error::InvalidOption { name: "target", value: target, required: "a number" })
            }
            _ => Ok(()),
        }
    }
}

/// How far a method is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Objective of the best solution held.
    pub objective: Option<f64>,
    /// Proved bound; infinite before there is one.
    pub bound: f64,
    /// Nodes so far.
    pub nodes: u64,
    /// Nodes that wait.
    pub open: usize,
    /// Wall-clock time so far (s).
    pub seconds: f64,
}

/// What a method tells its progress to, now and then; [`ControlFlow::Break`] stops it.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;
