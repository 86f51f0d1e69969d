use std::sync::Arc;

/// What was proved of a server at other profits: Σ c_i x_i ≤ limit for every filling between these pieces.
///
/// A bound at some prices is a row at all others, so a search begins with what those before it have found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inequality {
    /// Its position among those of its class.
    pub(crate) position: usize,
    /// c.
    pub(crate) profits: Vec<f64>,
    pub(crate) limit: f64,
    /// Fewest and most pieces of the fillings that it holds for.
    pub(crate) least: Vec<u32>,
    pub(crate) most: Vec<u32>,
}

impl Inequality {
    /// Whether it holds for all fillings between these pieces.
    pub(crate) fn holds_within(&self, least: &[u32], most: &[u32]) -> bool {
        let inside = |(own, other): (&u32, &u32)| own <= other;
        self.least.iter().zip(least).all(inside) && most.iter().zip(&self.most).all(inside)
    }

    /// c·x.
    pub(crate) fn value(&self, pieces: &[f64]) -> f64 {
        crate::rounding::dot(&self.profits, pieces)
    }
}

/// Those of a class that hold between these pieces, the last `count` of them.
pub(crate) fn applicable(
    inequalities: &[Arc<Inequality>],
    least: &[u32],
    most: &[u32],
    count: usize,
) -> Vec<Arc<Inequality>> {
    let holding = inequalities.iter().rev().filter(|inequality| inequality.holds_within(least, most));
    holding.take(count).cloned().collect()
}
