//! Small dense linear programs, solved again and again: a dual simplex that keeps its tableau.

mod simplex;

pub use simplex::{LpStatus, Simplex};
