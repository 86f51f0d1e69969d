//! The mixed-integer solvers, each behind a feature of its own.

#[cfg(feature = "cbc")]
pub mod cbc;
