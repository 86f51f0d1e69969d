use super::{Basis, Reach};
use crate::Result;

/// Whether an item's promises hold on a region, if it has a piece there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They hold everywhere.
    Always,
    /// One fails everywhere: the item has no piece there.
    Never,
    /// Neither is known.
    Open,
}

/// slope·y + constant.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) slope: Vec<f64>,
    pub(crate) constant: f64,
    /// The largest value on the region.
    pub(crate) highest: f64,
}

/// An open promise: line ≤ limit wherever the item has a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) item: usize,
    /// Which of the item's promises.
    pub(crate) which: usize,
    /// Position of the line.
    pub(crate) line: usize,
    pub(crate) limit: f64,
}

/// What is known of all items on a region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) lines: Vec<Line>,
    /// In the order of items and of their promises.
    pub(crate) open: Vec<Promise>,
    /// Of all hidden units whether they are on or off everywhere; `None` is neither.
    pub(crate) phases: Vec<Option<bool>>,
    /// Of all hidden units the least and the most of what comes in.
    pub(crate) ranges: Vec<(f64, f64)>,
    /// By how much bounds and predictions may differ for each unit of a box's side (d): where to branch.
    pub(crate) looseness: Vec<f64>,
}

impl Judgement {
    /// The promise of an item, by which of its promises it is, if that is open.
    pub(crate) fn promise(&self, of: (usize, usize)) -> Option<&Promise> {
        let place = self.open.binary_search_by(|promise| (promise.item, promise.which).cmp(&of));
        place.ok().map(|place| &self.open[place])
    }
}

/// How tenants slow one another down on one kind of server, as far as filling one needs to know it.
///
/// Verdicts and lines are bounds: they are valid with limits loosened by [`LOOSE`], so that what the prediction's rounding may admit
/// is never cut off. What is admitted in the end is asked of the profiler itself.
pub(crate) trait Interference: Sync {
    /// d.
    fn dimension(&self) -> usize;

    /// The rotation of y, if there is one: a proof has to name it.
    fn basis(&self) -> Option<&Basis> {
        None
    }

    /// What a piece of an item adds to y (d).
    fn contribution(&self, item: usize) -> &[f64];

    /// Verdicts, and lines for what is open. What `judgement` holds at first is of a region that this one lies in, or nothing.
    fn judge(&self, reach: &Reach<'_>, judgement: &mut Judgement);

    /// Another line below a prediction that has one already: near `y` as high as can be. None where there is but one.
    fn tangent(&self, _judgement: &Judgement, _promise: &Promise, _y: &[f64]) -> Option<(Vec<f64>, f64)> {
        None
    }

    /// Of each item by how much its worst promise fails at `pieces`, fractions taken as they are, in units of its logarithm; 0 where it
    /// holds: a guide, not a proof.
    fn excess(&self, pieces: &[f64], y: &[f64], excess: &mut Vec<f64>);

    /// Whether every promise holds at these pieces, as the profiler itself has it.
    ///
    /// # Errors
    ///
    /// The profiler cannot predict them.
    fn holds(&self, pieces: &[u32]) -> Result<bool>;

    /// The same, nearly, and fast: what it accepts must still be asked of [`Interference::holds`].
    fn nearly_holds(&self, pieces: &[u32], y: &[f64]) -> bool;
}

/// By how much the logarithm of a promise is loosened where something is proved.
pub(crate) const LOOSE: f64 = 1e-8;
