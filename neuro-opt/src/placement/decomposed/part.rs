use std::cmp::Ordering;

use crate::placement::certificate::{Branching, GroupProof, PartProof, Question};
use crate::placement::group::Group;

/// A part of the placements.
pub(super) struct Part {
    pub(super) groups: Vec<Group>,
    /// No placement of it has more revenue.
    pub(super) bound: f64,
    /// Prices of its best bound of its own.
    pub(super) prices: Option<Vec<f64>>,
    /// Position of its record.
    pub(super) record: usize,
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By bound; of equals the younger.
impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound.total_cmp(&other.bound).then(self.record.cmp(&other.record))
    }
}

/// What is kept of every part, for the proof.
#[derive(Default)]
pub(super) struct Records(Vec<Record>);

struct Record {
    /// What its own prices prove.
    bound: f64,
    prices: Vec<f64>,
    groups: Vec<GroupProof>,
    /// The class of each group.
    classes: Vec<usize>,
    /// The question, and the records of the halves.
    branching: Option<(Question, [usize; 2])>,
}

impl Records {
    /// A new part; its position.
    pub(super) fn enter(&mut self) -> usize {
        self.0.push(Record {
            bound: f64::INFINITY,
            prices: Vec::new(),
            groups: Vec::new(),
            classes: Vec::new(),
            branching: None,
        });
        self.0.len() - 1
    }

    /// A part has another bound, which is kept if it is better.
    pub(super) fn prove(&mut self, record: usize, bound: f64, prices: Vec<f64>, groups: Vec<(usize, GroupProof)>) {
        let record = &mut self.0[record];
        if bound < record.bound {
            (record.bound, record.prices) = (bound, prices);
            (record.classes, record.groups) = groups.into_iter().unzip();
        }
    }

    /// A part was parted.
    pub(super) fn branch(&mut self, record: usize, question: Question, halves: [usize; 2]) {
        self.0[record].branching = Some((question, halves));
    }

    /// What proves `bound`, and the class of each group, if everything was kept.
    pub(super) fn proof(&self, bound: f64) -> Option<Vec<(PartProof, Vec<usize>)>> {
        let mut parts = Vec::new();
        self.take(0, bound + 1e-9 * bound.abs(), &mut parts)?;
        Some(parts)
    }

    fn take(&self, place: usize, bound: f64, parts: &mut Vec<(PartProof, Vec<usize>)>) -> Option<usize> {
        let record = self.0.get(place)?;
        let own = parts.len();
        if record.bound <= bound {
            let (prices, groups) = (record.prices.clone(), record.groups.clone());
            parts.push((PartProof { branching: None, prices, groups }, record.classes.clone()));
            return Some(own);
        }
        let (question, [yes, no]) = record.branching.clone()?;
        parts.push((PartProof { branching: None, prices: Vec::new(), groups: Vec::new() }, Vec::new()));
        let halves = [self.take(yes, bound, parts)?, self.take(no, bound, parts)?];
        parts[own].0.branching = Some(Branching { question, halves });
        Some(own)
    }
}
