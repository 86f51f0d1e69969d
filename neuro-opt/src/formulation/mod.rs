//! Networks as constraints of a model.
//!
//! For a unit y = max(0, a) with l ≤ a ≤ u, l < 0 < u, and a binary z that is 1 where the unit is active:
//!
//! | encoding | rows | beside y |
//! |---|---|---|
//! | big-M ([`big_m`]) | y ≥ a, y ≤ a − l·(1 − z), y ≤ u·z, y ≥ 0 | one binary |
//! | SOS1 ([`sos`]) | y − s = a, y ≥ 0, s ≥ 0, at most one of y and s is not 0 | one continuous |
//! | epigraph ([`epigraph`]) | y ≥ a, y ≥ 0, where more than max(0, a) helps nobody | nothing |
//! | table ([`table`]) | for a subnetwork of one bounded integer | one binary a value |
//!
//! Units that bounds settle cost nothing: they are 0, or a itself. a is substituted, or a variable of its own
//! ([`Encoding::BigMPreactivation`]): CBC needs fewer nodes with the latter.

pub mod big_m;
pub mod cut;
mod embedding;
pub mod epigraph;
mod milp;
pub mod sos;
pub mod table;

pub use embedding::{Embedded, Embedding, Encoding, Role};
pub use milp::{Cuts, Milp};
