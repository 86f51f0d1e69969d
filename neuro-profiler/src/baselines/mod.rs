//! Predictors to compare with: curves, a queueing formula, trees, and none of it.

mod curve_points;
mod perx;
mod queueing;
mod scaloran;
mod trees;
mod uncontended;

pub use perx::Perx;
pub use queueing::Queueing;
pub use scaloran::{Reach, ScalOran};
pub use trees::{TreeEnsemble, TreesShape};
pub use uncontended::Uncontended;
