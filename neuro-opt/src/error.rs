/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
///
/// A time limit or an infeasible problem is no error but a [`Termination`](crate::Termination).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name of no method.
    #[error("unknown method {name:?}; known: {known}")]
    UnknownMethod {
        /// The name given.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },

    /// Bounds between which no value lies.
    #[error("no value lies between the bounds {lower} and {upper}")]
    InvalidBounds {
        /// The lower bound.
        lower: f64,
        /// The upper bound.
        upper: f64,
    },

    /// An objective better than a bound that was proved: one of the two is wrong.
    #[error("the objective {objective} is better than the proved bound {bound}")]
    BoundContradicted {
        /// The objective of the solution held.
        objective: f64,
        /// The bound.
        bound: f64,
    },

    /// An outcome whose parts cannot all be true.
    #[error("contradictory outcome: {0}")]
    Contradiction(&'static str),
}
