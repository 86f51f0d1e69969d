//! Proofs of bounds, and their check.
//!
//! # What is proved
//!
//! Of the prices π_r ≥ 0 and, for every class c of S_c servers of one kind and memory, a bound v_c on the profit Σ (p_r − π_r) of any
//! filling of one of them, Σ π_r + Σ S_c·max(0, v_c) bounds the revenue of every placement of whole requests (see
//! [`decomposed`](super::decomposed())). `exact` is one class of one server at prices of 0.
//!
//! Placements may be parted by a [`Question`]: a server of a group holds a request or none does, or more than so many requests that are
//! alike. If so, it may be said which server it is, which becomes a group of its own. At first the groups are the classes. Each part has
//! prices and bounds of its own then, and the largest bound is proved.
//!
//! A v_c is proved by a tree of regions: pieces of each request between two numbers, and a box of the server's state. The halves of a cut
//! cover it; a leaf holds no filling, or one that is looked at, or row duals that prove its bound by weak duality whatever they are.
//! What is proved of a server at some prices is a row for all that is proved after it, at whatever prices: an [`InequalityProof`].
//!
//! # What the check trusts
//!
//! The profiler and the bounds on its network (as the search does; tests hold them against brute force), nothing else: no linear program
//! is solved, no tree searched, nothing is taken from the plan. Limits are loosened by 1e-8 in the logarithm of a promise, so that
//! rounding cuts off nothing that the audit would accept.

mod check;

use std::collections::HashMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::filling::{ANY, Branch, Filling, Interference, RowKey, Solution, TreeNode};
use super::group::Group;
pub use check::check_certificate;

/// A proof that no placement has more revenue than [`Certificate::bound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The bound.
    pub bound: f64,
    /// The classes of servers.
    pub classes: Vec<ClassBasis>,
    /// Parts of the placements, the first one all of them.
    pub parts: Vec<PartProof>,
}

/// Coordinates of the state of a class of servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassBasis {
    /// A server of the class.
    pub server: String,
    /// The server's state is h = basis · y, row by row (d × d). Nothing for the published network, whose y are the pieces themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<Vec<f64>>,
    /// y = inverse · h.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inverse: Vec<Vec<f64>>,
    /// What holds for every filling of a server, or for those that some parts admit; each may rest on those before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inequalities: Vec<InequalityProof>,
}

/// A proof that no filling of a server that holds some items and lacks others has more profit than [`GroupProof::bound`], at prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InequalityProof {
    /// π of every request, in the order of the instance.
    pub prices: Vec<f64>,
    /// Positions of the requests that such a filling holds, among those that the kind admits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<usize>,
    /// Of those that it lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacked: Vec<usize>,
    /// Sets of requests that are alike, and the fewest and the most that it holds of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<(usize, u32, u32)>,
    /// The bound, and its proof.
    pub proof: GroupProof,
}

impl InequalityProof {
    /// What a search proved of one of a group's servers.
    pub(super) fn of(prices: &[f64], group: &Group, proof: GroupProof) -> Self {
        let held = (0..group.least.len()).filter(|item| group.least[*item] > 0).collect();
        let lacked = (0..group.most.len()).filter(|item| group.most[*item] == 0).collect();
        let counts = group.counts.iter().enumerate().filter(|(_, count)| **count != ANY);
        let counts = counts.map(|(set, (fewest, most))| (set, *fewest, *most)).collect();
        Self { prices: prices.to_vec(), held, lacked, counts, proof }
    }

    /// The group for which it is proved.
    fn group(&self, class: usize, filling: &Filling) -> Option<Group> {
        let mut group = Group::whole(class, 1, filling);
        for item in &self.held {
            *group.least.get_mut(*item)? = 1;
        }
        for item in &self.lacked {
            *group.most.get_mut(*item)? = 0;
        }
        for (set, fewest, most) in &self.counts {
            *group.counts.get_mut(*set)? = (*fewest, *most);
        }
        Some(group)
    }
}

/// A part of the placements: parted in two, or with prices and a proof for each group of servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartProof {
    /// How it is parted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branching: Option<Branching>,
    /// π of every request, in the order of the instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<f64>,
    /// A proof for every group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupProof>,
}

/// How placements are parted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branching {
    /// What is asked.
    pub question: Question,
    /// Positions of the parts where the answer is yes and where it is no.
    pub halves: [usize; 2],
}

/// Whether a server of a group holds something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Question {
    /// Whether a request runs in the group; it runs on no other server then.
    #[serde(rename = "request")]
    Request {
        /// Position of the group.
        group: usize,
        /// Position of the request in the instance.
        request: usize,
    },
    /// Whether a server of the group holds more than so many requests of a set of those that are alike.
    #[serde(rename = "count")]
    Count {
        /// Position of the group.
        group: usize,
        /// The set, as in [`Cut::Count`].
        set: usize,
        /// So many.
        pieces: u32,
    },
}

/// A proof that no filling of a server of one group has more profit than [`GroupProof::bound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupProof {
    /// v_c; below 0 if there is no filling at all.
    pub bound: f64,
    /// Regions, the first one all fillings.
    pub tree: Vec<ProofNode>,
    /// Points y at which lines below predictions touch them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<Vec<f64>>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofNode {
    /// Where it is cut; a leaf is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Row duals: 0 is the memory, 1 + k the coordinate k, 1 + d + s the s-th of m sets of items that are alike, 1 + d + m + j the class's
    /// j-th inequality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duals: Vec<(usize, f64)>,
    /// Duals of rows of promises.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<PromisesDual>,
    /// Of a region whose duals do not prove the bound: what loses more than their bound less this is left out. At most v_c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worth: Option<f64>,
    /// Whether the duals prove that the region holds no filling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}

/// The dual of a row that says that a line below a prediction is at most the limits of those that it is promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromisesDual {
    /// 2·i + w is the w-th promise of the i-th request that the kind admits.
    pub of: Vec<usize>,
    /// Position of the point where the line touches the prediction; without one it is the line that the region's bounds give first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<usize>,
    /// The dual.
    pub dual: f64,
}

/// A cut, and the positions of the two halves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Cut {
    /// At most so many pieces of an item, or more.
    #[serde(rename = "pieces")]
    Pieces(usize, u32, [usize; 2]),
    /// At most so many pieces of a set of items that are alike, or more: sets of at least two requests of one application, or of one
    /// application and with as many instances, in the order of their items.
    #[serde(rename = "count")]
    Count(usize, u32, [usize; 2]),
    /// A coordinate of y at most so much, or at least.
    #[serde(rename = "state")]
    State(usize, f64, [usize; 2]),
}

impl Certificate {
    /// Of parts and the class of each of their groups, without the inequalities that nothing rests on. `sizes` are those of the classes.
    pub(super) fn of(
        bound: f64,
        mut classes: Vec<ClassBasis>,
        sizes: &[Size],
        parts: Vec<(PartProof, Vec<usize>)>,
    ) -> Self {
        let mut is_used: Vec<Vec<bool>> = classes.iter().map(|class| vec![false; class.inequalities.len()]).collect();
        let (of_groups, mut parts): (Vec<Vec<usize>>, Vec<PartProof>) =
            parts.into_iter().map(|(part, classes)| (classes, part)).unzip();
        let of_parts = || {
            of_groups.iter().enumerate().flat_map(|(part, of)| of.iter().enumerate().map(move |(g, c)| (part, g, *c)))
        };
        for (part, g, c) in of_parts() {
            parts[part].groups[g]
                .inequalities(sizes[c])
                .for_each(|j| is_used[c][*j - first_inequality(sizes[c])] = true);
        }
        let mut places = Vec::new();
        for (c, class) in classes.iter_mut().enumerate() {
            let first = first_inequality(sizes[c]);
            for position in (0..class.inequalities.len()).rev() {
                if is_used[c][position] {
                    let proof = &mut class.inequalities[position].proof;
                    proof.inequalities(sizes[c]).for_each(|j| is_used[c][*j - first] = true);
                }
            }
            let of: Vec<usize> =
                (0..is_used[c].len()).map(|j| is_used[c][..j].iter().filter(|used| **used).count()).collect();
            let mut used = is_used[c].iter();
            class.inequalities.retain(|_| used.next() == Some(&true));
            for inequality in &mut class.inequalities {
                inequality.proof.inequalities(sizes[c]).for_each(|j| *j = first + of[*j - first]);
            }
            places.push(of);
        }
        for (part, g, c) in of_parts() {
            let first = first_inequality(sizes[c]);
            parts[part].groups[g].inequalities(sizes[c]).for_each(|j| *j = first + places[c][*j - first]);
        }
        Self { bound, classes, parts }
    }
}

/// Dimension, and number of sets of items that are alike.
pub(super) fn size_of(filling: &Filling) -> Size {
    (filling.dimension, filling.alike.len())
}

/// What [`size_of`] gives.
pub(super) type Size = (usize, usize);

/// The number of the first inequality of a class of this size.
fn first_inequality((dimension, sets): Size) -> usize {
    1 + dimension + sets
}

impl ClassBasis {
    /// Of the class of a server.
    pub(super) fn of(server: &str, interference: &dyn Interference) -> Self {
        let rows = |matrix: &Array2<f64>| matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        let (basis, inverse) =
            interference.basis().map_or_else(Default::default, |basis| (rows(&basis.0), rows(&basis.1)));
        Self { server: server.to_owned(), basis, inverse, inequalities: Vec::new() }
    }
}

/// The bound of a group that can hold nothing.
const NOTHING: f64 = -1.0;

impl GroupProof {
    /// That nothing pays more than a price that is all it pays.
    pub(super) fn at_full_prices() -> Self {
        Self { bound: 0.0, tree: vec![ProofNode::leaf(Vec::new())], points: Vec::new() }
    }

    /// What a search proved of a filling.
    pub(super) fn of(solution: &Solution, filling: &Filling) -> Self {
        let bound = solution.bound.max(NOTHING);
        let mut proof = Self { bound, tree: Vec::new(), points: Vec::new() };
        if !solution.tree.is_empty() {
            Taking { tree: &solution.tree, filling, proof: &mut proof, points: HashMap::new() }.take(0);
        }
        proof
    }

    /// That an inequality of these profits, at this position, holds.
    pub(super) fn by_inequality(position: usize, limit: f64, filling: &Filling) -> Self {
        let duals = vec![(first_inequality(size_of(filling)) + position, -1.0)];
        Self { bound: limit, tree: vec![ProofNode::leaf(duals)], points: Vec::new() }
    }

    /// The limit of the inequality that it proves: whatever rounding leaves to a proof is in it.
    pub(super) fn limit(bound: f64) -> f64 {
        bound + 2.0 * TOLERANCE * bound.abs().max(1.0)
    }

    /// The positions of the inequalities that it rests on.
    fn inequalities(&mut self, size: Size) -> impl Iterator<Item = &mut usize> {
        let first = first_inequality(size);
        let duals = self.tree.iter_mut().flat_map(|node| &mut node.duals);
        duals.map(|(code, _)| code).filter(move |code| **code >= first)
    }
}

impl ProofNode {
    /// A region that is not cut.
    fn leaf(duals: Vec<(usize, f64)>) -> Self {
        Self { cut: None, duals, promises: Vec::new(), worth: None, empty: false }
    }
}

/// Makes a proof of a tree, without what it does not take.
struct Taking<'t> {
    tree: &'t [TreeNode],
    filling: &'t Filling,
    proof: &'t mut GroupProof,
    /// Positions of the points that are in the proof, by their bits.
    points: HashMap<Vec<u64>, usize>,
}

impl Taking<'_> {
    /// Takes a region and what is needed below it; its position in the proof.
    fn take(&mut self, place: usize) -> usize {
        let node = &self.tree[place];
        let mut own = ProofNode { empty: node.bound == f64::NEG_INFINITY, ..ProofNode::leaf(Vec::new()) };
        for (row, dual) in &node.duals {
            let code = match row {
                RowKey::Memory => 0,
                RowKey::Coordinate(k) => 1 + k,
                RowKey::Count(set) => 1 + self.filling.dimension + set,
                RowKey::Inequality(position) => first_inequality(size_of(self.filling)) + position,
                RowKey::Promises(promises) => {
                    let of = promises.of.iter().map(|(item, which)| 2 * item + which).collect();
                    let at = promises.at.as_ref().map(|point| self.point(point));
                    own.promises.push(PromisesDual { of, at, dual: *dual });
                    continue;
                }
            };
            own.duals.push((code, *dual));
        }
        let position = self.proof.tree.len();
        self.proof.tree.push(own);
        if node.bound <= self.proof.bound {
            return position;
        }
        self.proof.tree[position].worth = Some(node.threshold);
        if let Some((branch, halves)) = &node.branch {
            let halves = halves.map(|half| self.take(half));
            self.proof.tree[position].cut = Some(match branch {
                Branch::Pieces { item, pieces } => Cut::Pieces(*item, *pieces, halves),
                Branch::Count { set, pieces } => Cut::Count(*set, *pieces, halves),
                Branch::Coordinate { k, at } => Cut::State(*k, *at, halves),
            });
        }
        position
    }

    fn point(&mut self, point: &[f64]) -> usize {
        let points = &mut self.proof.points;
        *self.points.entry(point.iter().map(|y| y.to_bits()).collect()).or_insert_with(|| {
            points.push(point.to_vec());
            points.len() - 1
        })
    }
}

/// By how much a bound may be missed for rounding's sake, relative to the larger of 1 and the bound.
const TOLERANCE: f64 = 1e-7;
