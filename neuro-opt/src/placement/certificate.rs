//! Proofs of bounds, and their check.
//!
//! # What is proved
//!
//! Of the prices π_r ≥ 0 and, for every class c of S_c servers of one kind and memory, a bound v_c on the profit Σ (p_r − π_r) of any
//! filling of one of them, Σ π_r + Σ S_c·max(0, v_c) bounds the revenue of every placement of whole requests (see
//! [`decomposed`](super::decomposed())). `exact` is one class of one server at prices of 0.
//!
//! Placements may be parted: a request runs in a group of servers or it does not, and if it does, it may be said to run on one server of
//! the group, which becomes a group of its own. At first the groups are the classes. Each part has prices and bounds of its own then,
//! and the largest bound is proved.
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

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::filling::{
    Branch, Budget, Filling, Inequality, Interference, Judgement, Line, Reach, Region, RowKey, Solution, TreeNode,
    applicable, interference_of, settle,
};
use super::group::{Group, split};
use crate::{Error, Method, Result};

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
    /// The bound, and its proof.
    pub proof: GroupProof,
}

impl InequalityProof {
    /// What a search proved of one of a group's servers.
    pub(super) fn of(prices: &[f64], group: &Group, proof: GroupProof) -> Self {
        let held = (0..group.least.len()).filter(|item| group.least[*item] > 0).collect();
        let lacked = (0..group.most.len()).filter(|item| group.most[*item] == 0).collect();
        Self { prices: prices.to_vec(), held, lacked, proof }
    }

    /// The group for which it is proved.
    fn group(&self, class: usize, items: usize) -> Option<Group> {
        let mut group = Group::whole(class, 1, items);
        for item in &self.held {
            *group.least.get_mut(*item)? = 1;
        }
        for item in &self.lacked {
            *group.most.get_mut(*item)? = 0;
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

/// A request runs in a group of servers, or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branching {
    /// Position of the request in the instance.
    pub request: usize,
    /// Position of the group.
    pub group: usize,
    /// Positions of the parts where it does and where it does not.
    pub halves: [usize; 2],
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

/// Checks a certificate against a problem: the bound that it proves.
///
/// # Errors
///
/// [`Error::Certificate`], with where it fails and why; [`Error::UnsuitedProfiler`]; a profiler that cannot predict a server.
pub fn check_certificate(problem: &Problem<'_>, certificate: &Certificate) -> Result<f64> {
    let instance = problem.instance();
    let fail = |place: String, problem: &'static str| Err(Error::Certificate { place, problem });
    let mut is_covered = vec![false; instance.servers.len()];
    let mut classes = Vec::new();
    let mut groups = Vec::new();
    for (c, basis) in certificate.classes.iter().enumerate() {
        let place = format!("classes[{c}].server");
        let Some(server) = instance.servers.iter().position(|server| server.name == basis.server) else {
            return fail(place, "the instance has no such server");
        };
        let same = |s: &usize| {
            problem.kind_of[*s] == problem.kind_of[server]
                && instance.servers[*s].memory_gb == instance.servers[server].memory_gb
        };
        let members: Vec<usize> = (0..instance.servers.len()).filter(same).collect();
        if members.iter().any(|s| std::mem::replace(&mut is_covered[*s], true)) {
            return fail(place, "its class is there before");
        }
        let class = Class::new(problem, basis, server, c)?;
        groups.push(Group::whole(c, members.len(), class.requests.len()));
        classes.push(class);
    }
    if is_covered.contains(&false) {
        return fail("classes".into(), "a server is in none");
    }
    let mut is_seen = vec![false; certificate.parts.len()];
    let mut waiting = vec![(0, groups)];
    let mut bound = f64::NEG_INFINITY;
    while let Some((place, groups)) = waiting.pop() {
        let name = format!("parts[{place}]");
        let Some(part) = certificate.parts.get(place) else { return fail(name, "there is no such part") };
        if std::mem::replace(&mut is_seen[place], true) {
            return fail(name, "it is the half of two branchings");
        }
        let Some(Branching { request, group, halves }) = part.branching else {
            bound = bound.max(check_part(problem, &classes, part, &groups, &name)?);
            continue;
        };
        for (runs, half) in [true, false].into_iter().zip(halves) {
            let item_of = |class: usize| classes[class].requests.binary_search(&request).ok();
            match split(&groups, group, &item_of, runs) {
                Some(groups) => waiting.push((half, groups)),
                None => return fail(name, "it is parted where that is no question"),
            }
        }
    }
    if bound > certificate.bound + TOLERANCE * certificate.bound.abs().max(1.0) || certificate.bound.is_nan() {
        return fail("bound".into(), "a part may have more");
    }
    Ok(bound)
}

/// The bound that a part proves.
fn check_part(
    problem: &Problem<'_>,
    classes: &[Class<'_>],
    part: &PartProof,
    groups: &[Group],
    name: &str,
) -> Result<f64> {
    let fail =
        |place: String, problem: &'static str| Err(Error::Certificate { place: name.to_owned() + &place, problem });
    let requests = &problem.instance().requests;
    check_prices(&part.prices, requests.len(), name)?;
    if part.groups.len() != groups.len() {
        return fail(".groups".into(), "there is not one for every group");
    }
    let mut bound: f64 = part.prices.iter().sum();
    for (g, (group, proof)) in groups.iter().zip(&part.groups).enumerate() {
        let place = format!(".groups[{g}]");
        let class = &classes[group.class];
        let profits: Vec<f64> = class.requests.iter().map(|r| requests[*r].payment - part.prices[*r]).collect();
        let is_empty = proof.bound < 0.0 && group.is_forced() && profits.iter().all(|profit| *profit >= 0.0);
        class.check(group, profits, proof, &(name.to_owned() + &place))?;
        if is_empty {
            return Ok(f64::NEG_INFINITY);
        }
        bound += group.servers as f64 * if group.is_forced() { proof.bound } else { proof.bound.max(0.0) };
    }
    Ok(bound)
}

/// That there is a price of at least 0 for every request.
fn check_prices(prices: &[f64], requests: usize, name: &str) -> Result<()> {
    let fail = |place: String, problem: &'static str| Err(Error::Certificate { place, problem });
    if prices.len() != requests {
        return fail(format!("{name}.prices"), "there is not one for every request");
    }
    match prices.iter().position(|price| !(price.is_finite() && *price >= 0.0)) {
        Some(r) => fail(format!("{name}.prices[{r}]"), "a price is a number of at least 0"),
        None => Ok(()),
    }
}

/// Servers that are the same.
struct Class<'p> {
    /// The request of each item.
    requests: Vec<usize>,
    interference: Box<dyn Interference + 'p>,
    filling: Filling,
    /// What is proved of their fillings.
    inequalities: Vec<Arc<Inequality>>,
}

impl<'p> Class<'p> {
    fn new(problem: &'p Problem<'_>, basis: &ClassBasis, server: usize, place: usize) -> Result<Self> {
        let inequalities = &basis.inequalities;
        let kind = problem.kind_of[server];
        let capacity_gb = problem.instance().servers[server].memory_gb;
        let requests = problem.admissible(kind);
        let basis = Some((matrix(&basis.basis, place, "basis")?, matrix(&basis.inverse, place, "inverse")?));
        let interference = interference_of(problem, Method::Decomposed, kind, requests.clone(), capacity_gb, basis)?;
        let free = vec![0.0; problem.instance().requests.len()];
        let filling = problem.filling(&requests, &free, capacity_gb, &*interference);
        let mut class = Self { requests, interference, filling, inequalities: Vec::new() };
        for (position, inequality) in inequalities.iter().enumerate() {
            let name = format!("classes[{place}].inequalities[{position}]");
            check_prices(&inequality.prices, problem.instance().requests.len(), &name)?;
            let Some(group) = inequality.group(place, class.requests.len()) else {
                return Err(Error::Certificate { place: name, problem: "it names a request that does not exist" });
            };
            let payment = |r: &usize| problem.instance().requests[*r].payment - inequality.prices[*r];
            let profits: Vec<f64> = class.requests.iter().map(payment).collect();
            class.check(&group, profits.clone(), &inequality.proof, &format!("{name}.proof"))?;
            let limit = GroupProof::limit(inequality.proof.bound);
            let Group { least, most, .. } = group;
            class.inequalities.push(Arc::new(Inequality { position, profits, limit, least, most }));
        }
        Ok(class)
    }

    /// Checks a proof of a group at profits.
    fn check(&self, group: &Group, profits: Vec<f64>, proof: &GroupProof, name: &str) -> Result<()> {
        if proof.bound.is_nan() {
            return Err(Error::Certificate { place: format!("{name}.bound"), problem: "it is not a number" });
        }
        let known = applicable(&self.inequalities, &group.least, &group.most, usize::MAX);
        let filling = group.restrict(self.filling.with_profits(profits)).knowing(known);
        GroupCheck { proof, interference: &*self.interference, filling, is_seen: vec![false; proof.tree.len()] }
            .run(&|node, problem| Error::Certificate { place: format!("{name}.tree[{node}]"), problem })
    }
}

/// The check of a [`GroupProof`].
struct GroupCheck<'c> {
    proof: &'c GroupProof,
    interference: &'c dyn Interference,
    filling: Filling,
    is_seen: Vec<bool>,
}

type Failure<'f> = &'f dyn Fn(usize, &'static str) -> Error;

impl GroupCheck<'_> {
    fn run(mut self, failure: Failure<'_>) -> Result<()> {
        let mut waiting = vec![(0, Region::whole(&self.filling), Judgement::default())];
        while let Some((place, region, judgement)) = waiting.pop() {
            self.look(place, region, judgement, failure, &mut waiting)?;
        }
        Ok(())
    }

    fn look(
        &mut self,
        place: usize,
        mut region: Region,
        mut judgement: Judgement,
        failure: Failure<'_>,
        waiting: &mut Vec<(usize, Region, Judgement)>,
    ) -> Result<()> {
        let node = self.proof.tree.get(place).ok_or_else(|| failure(place, "there is no such region"))?;
        if std::mem::replace(&mut self.is_seen[place], true) {
            return Err(failure(place, "it is the half of two cuts"));
        }
        let (filling, interference) = (&self.filling, self.interference);
        let allowed = self.proof.bound + TOLERANCE * self.proof.bound.abs().max(1.0);
        if !settle(filling, interference, &mut region, &mut judgement) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !self.is_filling(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let (bound, weights) = self
            .dual_bound(node, &region, &judgement)
            .ok_or_else(|| failure(place, "its duals prove nothing: sums of them overflow"))?;
        if node.empty && bound == f64::NEG_INFINITY || bound <= allowed {
            return Ok(());
        }
        // What no filling of more than the bound can do is left out below.
        let worth = node.worth.unwrap_or(self.proof.bound);
        if worth.is_nan() || worth > allowed {
            return Err(failure(place, "it leaves out what may have more profit than the bound"));
        }
        region.budget = Some(Arc::new(Budget {
            ends: weights
                .iter()
                .enumerate()
                .map(|(i, w)| if *w >= 0.0 { region.least[i] } else { region.most[i] })
                .collect(),
            losses: weights.iter().map(|w| w.abs()).collect(),
            limit: bound - worth + 1e-9,
        }));
        if !region.propagate(filling) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !self.is_filling(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let Some(cut) = &node.cut else {
            return Err(failure(place, "its duals do not prove the bound"));
        };
        let (branch, halves) = match *cut {
            Cut::Pieces(item, pieces, halves) if item < filling.items() => (Branch::Pieces { item, pieces }, halves),
            Cut::Count(set, pieces, halves) if set < filling.alike.len() => (Branch::Count { set, pieces }, halves),
            Cut::State(k, at, halves) if k < filling.dimension && at.is_finite() => {
                (Branch::Coordinate { k, at }, halves)
            }
            _ => return Err(failure(place, "it is cut at what does not exist")),
        };
        for (upper, half) in [false, true].into_iter().zip(halves) {
            let mut region = region.clone();
            if region.cut(branch, upper) {
                waiting.push((half, region, judgement.clone()));
            }
        }
        Ok(())
    }

    /// Whether pieces fit and keep every promise.
    fn is_filling(&self, pieces: &[u32]) -> Result<bool> {
        Ok(self.filling.fits(pieces) && self.interference.holds(pieces)?)
    }

    /// The bound that row duals prove on a region, rounding included, and the weights of the items in it; `None` of duals that overflow.
    ///
    /// For any duals λ: −Σ w_i x_i = Σ λ_r·row_r + Σ d_i x_i with d = −w − Σ λ_r·a_r, each term of which is at least its least. What is
    /// computed is off by at most γ times the sizes of all terms (see [`crate::rounding`]).
    fn dual_bound(&self, node: &ProofNode, region: &Region, judgement: &Judgement) -> Option<(f64, Vec<f64>)> {
        let (filling, d) = (&self.filling, self.filling.dimension);
        let mut weights: Vec<f64> =
            if node.empty { vec![0.0; filling.items()] } else { filling.profits.iter().map(|w| -w).collect() };
        let mut sizes: Vec<f64> = weights.iter().map(|weight| weight.abs()).collect();
        let (mut sum, mut size) = (0.0, 0.0);
        let pieces = |item: usize| (f64::from(region.least[item]), f64::from(region.most[item]));
        // lower ≤ a·x ≤ upper; a missing lower one is the least that the pieces give. Where an a is itself a sum, its size is known.
        let mut rows: Vec<Row> = Vec::new();
        for (code, dual) in &node.duals {
            let (a, lower, upper): (Vec<f64>, Option<f64>, f64) = if *code == 0 {
                (filling.memory_gb.clone(), None, filling.capacity_gb + 1e-9)
            } else if *code <= d {
                let a = (0..filling.items()).map(|item| filling.contribution(item)[code - 1]).collect();
                (a, Some(region.low[code - 1] - 1e-10), region.high[code - 1] + 1e-10)
            } else if let Some(position) = code.checked_sub(first_inequality(size_of(filling))) {
                let Some(known) = filling.inequalities.iter().find(|known| known.position == position) else {
                    continue;
                };
                (known.profits.clone(), None, known.limit + 1e-10)
            } else {
                let set = code - 1 - d;
                let mut a = vec![0.0; filling.items()];
                filling.alike[set].iter().for_each(|item| a[*item] = 1.0);
                let (fewest, most) = region.counts[set];
                let all: u32 = filling.alike[set].iter().map(|item| region.most[*item]).sum();
                (a, Some(f64::from(fewest)), f64::from(most.min(all)))
            };
            rows.push(Row { size: a.clone(), a, lower, upper, dual: *dual });
        }
        rows.extend(node.promises.iter().filter_map(|promises| self.promises_row(promises, region, judgement)));
        for Row { a, size: a_size, lower, upper, dual } in &rows {
            let least = || (0..filling.items()).map(|i| (a[i] * pieces(i).0).min(a[i] * pieces(i).1)).sum();
            let side = if *dual > 0.0 { lower.unwrap_or_else(least) } else { *upper };
            sum += dual * side;
            size += (dual * side).abs();
            weights.iter_mut().zip(a).for_each(|(weight, a)| *weight -= dual * a);
            for (size, a) in sizes.iter_mut().zip(a_size) {
                *size += (dual * a).abs();
            }
        }
        for (item, (weight, weight_size)) in weights.iter().zip(&sizes).enumerate() {
            let (least, most) = pieces(item);
            sum += (weight * least).min(weight * most);
            // Twice: once in the weight, and once in the least value of a row that has no lower end.
            size += 2.0 * weight_size * most;
        }
        let error = crate::rounding::gamma(rows.len() + filling.items() + d) * size;
        let least = crate::rounding::down(sum, error);
        if !least.is_finite() {
            return None;
        }
        let bound = match node.empty {
            true if least > 0.0 => f64::NEG_INFINITY,
            true => f64::INFINITY,
            false => -least,
        };
        Some((bound, weights))
    }

    /// Promises of one prediction: with n_i = x_i / u_i and limits L_1 ≤ … ≤ L_m below M, the most that a line a·y + c below it can be,
    /// a·y + Σ (L_{k+1} − L_k)·n_k ≤ M − c where L_{m+1} is M: if k is the first with all its pieces, the sum is at least M − L_k. What has a
    /// piece for sure lowers M to its limit. `None` of promises that are not open here or of several predictions.
    fn promises_row(&self, promises: &PromisesDual, region: &Region, judgement: &Judgement) -> Option<Row> {
        let filling = &self.filling;
        let is_open = |code: &usize| judgement.open.iter().find(|p| 2 * p.item + p.which == *code);
        let mut open: Vec<_> = promises.of.iter().filter_map(is_open).collect();
        let first = *open.first()?;
        if open.iter().any(|promise| promise.line != first.line) {
            return None;
        }
        let line = match promises.at {
            None => judgement.lines[first.line].clone(),
            Some(place) => {
                let point = self.proof.points.get(place).filter(|point| point.len() == filling.dimension)?;
                let (slope, constant) = self.interference.tangent(judgement, first, point)?;
                let highest = constant + Reach::new(filling, region).most(&slope);
                Line { slope, constant, highest }
            }
        };
        open.sort_by(|p, q| p.limit.total_cmp(&q.limit));
        open.dedup_by_key(|promise| promise.item);
        let sure = open.iter().filter(|promise| region.least[promise.item] > 0).map(|promise| promise.limit);
        let most = sure.fold(line.highest, f64::min);
        open.retain(|promise| promise.limit < most);
        let mut a: Vec<f64> =
            (0..filling.items()).map(|i| crate::rounding::dot(&line.slope, filling.contribution(i))).collect();
        let size_of = |i: usize| line.slope.iter().zip(filling.contribution(i)).map(|(a, b)| (a * b).abs()).sum();
        let mut size: Vec<f64> = (0..filling.items()).map(size_of).collect();
        for (k, promise) in open.iter().enumerate() {
            let step = open.get(k + 1).map_or(most, |next| next.limit) - promise.limit;
            let step = step / f64::from(filling.most[promise.item].max(1));
            a[promise.item] += step;
            size[promise.item] += step;
        }
        Some(Row { a, size, lower: None, upper: most - line.constant + 1e-10, dual: promises.dual })
    }
}

/// lower ≤ a·x ≤ upper with its dual, and the sizes of the sums that the a are.
struct Row {
    a: Vec<f64>,
    size: Vec<f64>,
    lower: Option<f64>,
    upper: f64,
    dual: f64,
}

/// Rows as a matrix, of the class at a position.
fn matrix(rows: &[Vec<f64>], class: usize, name: &str) -> Result<Array2<f64>> {
    let fail = |problem| Error::Certificate { place: format!("classes[{class}].{name}"), problem };
    let columns = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != columns) {
        return Err(fail("its rows are of several lengths"));
    }
    Array2::from_shape_vec((rows.len(), columns), rows.concat()).map_err(|_| fail("it is no matrix"))
}
