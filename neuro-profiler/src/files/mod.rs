//! Curves and baselines on disk, as JSON in the form of the NeuRO prototype.
//!
//! - `sig_params.json`: `{a: {b: {"alpha1", "beta1", "alpha2", "beta2", "alpha3", "beta3"}}}`, the curve of `a` beside `b`
//!   ([`read_sig_params`], [`write_sig_params`]).
//! - `baselines.json`: `{a: seconds}` ([`read_baselines`], [`write_baselines`]).
//!
//! Keys are sorted, so that equal content gives equal files. Readers name the file and the key of whatever they refuse, and
//! take a number that is not finite for an error; writers replace a file as a whole or leave it as it was
//! ([`neuro_data::files::write_atomic`]).

mod baselines;
pub(crate) mod json;
mod sig_params;

pub use baselines::{read_baselines, write_baselines};
pub use sig_params::{read_sig_params, write_sig_params};
