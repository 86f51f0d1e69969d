//! Contention curves: the service time of one application as a function of the load of another beside it.
//!
//! [`fit_sigmoid`] fits the PERX sigmoid to the points of one ordered pair of applications, [`fit_all`] to many pairs;
//! [`find_elbow`] and [`TwoSegments`] turn a curve into the two straight lines that placement programs use.

mod batch;
mod elbow;
mod levenberg_marquardt;
mod map_fit;
mod point;
mod posterior;
mod segments;
mod sigmoid;

pub use batch::{CurveSet, fit_all};
pub use elbow::{Elbow, ElbowShape, find_elbow};
pub use map_fit::{MIN_POINTS, MapOptions, SigmoidFit, fit_sigmoid};
pub use point::ContentionPoint;
pub use segments::{DEFAULT_END, DEFAULT_INSTANCES, DEFAULT_SENSITIVITY, FittedLine, Split, TwoSegments};
pub use sigmoid::SigmoidParams;
