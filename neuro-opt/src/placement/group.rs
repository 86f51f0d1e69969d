use super::filling::Filling;

/// Servers of one class that a search treats alike: what each of them holds lies between two bounds.
///
/// Branching says of a request whether it runs in a group. If it does, it runs on one server of the group, and since they are alike it
/// may be said which: that one becomes a group of its own. So no two parts of a search differ by the names of servers alone.
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
}

impl Group {
    /// All servers of a class of so many items.
    pub(super) fn whole(class: usize, servers: usize, items: usize) -> Self {
        Self { class, servers, least: vec![0; items], most: vec![1; items] }
    }

    /// Whether one of its servers may hold these pieces.
    pub(super) fn admits(&self, pieces: &[u32]) -> bool {
        pieces.iter().zip(self.least.iter().zip(&self.most)).all(|(x, (least, most))| least <= x && x <= most)
    }

    /// Whether it must hold something.
    pub(super) fn is_forced(&self) -> bool {
        self.least.iter().any(|least| *least > 0)
    }

    /// Whether it is open if an item runs here.
    pub(super) fn is_free(&self, item: usize) -> bool {
        self.least[item] < self.most[item]
    }

    /// The problem of filling one of its servers.
    pub(super) fn restrict(&self, filling: Filling) -> Filling {
        filling.within(&self.least, &self.most)
    }
}

/// The groups where request `request` runs in group `at`, or where it does not. `item_of` gives its item in a class, if that admits it.
///
/// `None` if it does not fit to what is fixed already.
pub(super) fn split(
    groups: &[Group],
    at: usize,
    item_of: &dyn Fn(usize) -> Option<usize>,
    runs: bool,
) -> Option<Vec<Group>> {
    let item = item_of(groups.get(at)?.class)?;
    if !groups[at].is_free(item) {
        return None;
    }
    let mut halves = groups.to_vec();
    if !runs {
        halves[at].most[item] = 0;
        return Some(halves);
    }
    for group in &mut halves {
        if let Some(item) = item_of(group.class) {
            if group.least[item] > 0 {
                return None;
            }
            group.most[item] = 0;
        }
    }
    let mut with = Group { servers: 1, ..groups[at].clone() };
    with.least[item] = 1;
    halves[at].servers -= 1;
    let without = std::mem::replace(&mut halves[at], with);
    if without.servers > 0 {
        halves.push(without);
    }
    Some(halves)
}
