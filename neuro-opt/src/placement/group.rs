use std::sync::Arc;

use super::certificate::Question;
use super::filling::{ANY, Filling, excess};

/// Servers of one class that a search treats alike: what each of them holds lies between two bounds.
///
/// Branching asks whether a server of a group holds something. If so, it is one of them, and since they are alike it may be said which:
/// that one becomes a group of its own. So no two parts of a search differ by the names of servers alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// Position of the class.
    pub(super) class: usize,
    /// How many servers.
    pub(super) servers: usize,
    /// Fewest pieces of each item of the class; some only on one server.
    pub(super) least: Vec<u32>,
    /// Most pieces.
    pub(super) most: Vec<u32>,
    /// Fewest and most pieces of each set of items that are alike; what a fewest asks for, only on one server.
    pub(super) counts: Vec<(u32, u32)>,
    /// These sets.
    sets: Arc<[Vec<usize>]>,
}

impl Group {
    /// All servers of a class.
    pub(super) fn whole(class: usize, servers: usize, filling: &Filling) -> Self {
        let (least, most, counts) = (filling.least.clone(), filling.most.clone(), filling.counts.clone());
        Self { class, servers, least, most, counts, sets: Arc::clone(&filling.alike) }
    }

    /// Whether one of its servers may hold these pieces.
    pub(super) fn admits(&self, pieces: &[u32]) -> bool {
        let bounds = self.least.iter().zip(&self.most);
        pieces.iter().zip(bounds).all(|(x, (least, most))| least <= x && x <= most)
            && excess(&self.sets, &self.counts, pieces) == 0
    }

    /// The sets of which not any number may be there, with their fewest and most.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&[usize], (u32, u32))> {
        let counts = self.sets.iter().zip(&self.counts);
        counts.filter(|(_, count)| **count != ANY).map(|(set, count)| (&set[..], *count))
    }

    /// Whether it must hold something.
    pub(super) fn is_forced(&self) -> bool {
        self.least.iter().any(|least| *least > 0) || self.counts.iter().any(|(fewest, _)| *fewest > 0)
    }

    /// Whether it is open if an item runs here.
    pub(super) fn is_free(&self, item: usize) -> bool {
        self.least[item] < self.most[item]
    }

    /// The problem of filling one of its servers.
    pub(super) fn restrict(&self, filling: Filling) -> Filling {
        filling.within(&self.least, &self.most, &self.counts)
    }
}

/// The groups where the answer to a question is yes, or where it is no. `item_of` gives the item of a request in a class, if that admits
/// it.
///
/// `None` if it is no question any more.
pub(super) fn split(
    groups: &[Group],
    question: &Question,
    item_of: &dyn Fn(usize, usize) -> Option<usize>,
    yes: bool,
) -> Option<Vec<Group>> {
    let mut halves = groups.to_vec();
    let (at, with) = match *question {
        Question::Request { group: at, request } => {
            let item = item_of(groups.get(at)?.class, request)?;
            if !groups[at].is_free(item) {
                return None;
            }
            if !yes {
                halves[at].most[item] = 0;
                return Some(halves);
            }
            for group in &mut halves {
                if let Some(item) = item_of(group.class, request) {
                    if group.least[item] > 0 {
                        return None;
                    }
                    group.most[item] = 0;
                }
            }
            let mut with = Group { servers: 1, ..groups[at].clone() };
            with.least[item] = 1;
            (at, with)
        }
        Question::Count { group: at, set, pieces } => {
            let (fewest, most) = *groups.get(at)?.counts.get(set)?;
            if pieces < fewest || pieces >= most {
                return None;
            }
            if !yes {
                halves[at].counts[set] = (fewest, pieces);
                return Some(halves);
            }
            let mut with = Group { servers: 1, ..groups[at].clone() };
            with.counts[set] = (pieces + 1, most);
            (at, with)
        }
    };
    halves[at].servers -= 1;
    let without = std::mem::replace(&mut halves[at], with);
    if without.servers > 0 {
        halves.push(without);
    }
    Some(halves)
}
