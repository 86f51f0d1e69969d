use crate::Domain;

/// A set of inputs, as far as bounds need to know it.
pub trait InputSet {
    /// Lower bound of each input.
    fn lower(&self) -> &[f64];

    /// Upper bound of each input.
    fn upper(&self) -> &[f64];

    /// An upper bound on g·x over the set, rounded up. `g` has one figure an input.
    fn maximum(&self, g: &[f64]) -> f64;
}

impl InputSet for Domain {
    fn lower(&self) -> &[f64] {
        self.lower()
    }

    fn upper(&self) -> &[f64] {
        self.upper()
    }

    fn maximum(&self, g: &[f64]) -> f64 {
        self.maximum(g)
    }
}
