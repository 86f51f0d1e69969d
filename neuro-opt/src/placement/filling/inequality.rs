use std::sync::Arc;

use super::Filling;

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
    /// Of sets of items that are alike.
    pub(crate) counts: Vec<(u32, u32)>,
}

impl Inequality {
    /// Whether it holds for all that a problem may be filled with.
    fn holds_for(&self, filling: &Filling) -> bool {
        let inside = |(own, other): (&u32, &u32)| own <= other;
        let counted = |((least, most), own): (&(u32, u32), &(u32, u32))| own.0 <= *least && *most <= own.1;
        self.least.iter().zip(&filling.least).all(inside)
            && filling.most.iter().zip(&self.most).all(inside)
            && filling.counts.iter().zip(&self.counts).all(counted)
    }

    /// c·x.
    pub(crate) fn value(&self, pieces: &[f64]) -> f64 {
        crate::rounding::dot(&self.profits, pieces)
    }
}

/// Those of a class that hold for all that a problem may be filled with, the last `count` of them.
pub(crate) fn applicable(inequalities: &[Arc<Inequality>], filling: &Filling, count: usize) -> Vec<Arc<Inequality>> {
    inequalities.iter().rev().filter(|inequality| inequality.holds_for(filling)).take(count).cloned().collect()
}
