//! The tests of the embedding library, one binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod bounds;
#[cfg(feature = "cbc")]
mod cbc_traps;
#[cfg(any(feature = "cbc", feature = "highs"))]
mod conformance;
mod encodings;
mod errors;
mod explain;
mod files;
mod methods;
mod network;
mod placement;
mod proofs;
#[cfg(feature = "cbc")]
mod rivals;
mod simplex;
