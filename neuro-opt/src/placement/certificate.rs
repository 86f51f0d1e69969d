//! Proofs of bounds, and their check.
//!
//! # What is proved
//!
//! Of the prices π_r ≥ 0 and, for every class c of S_c servers of one kind and memory, a bound v_c on the profit Σ (p_r − π_r) of any
//! filling of one of them, Σ π_r + Σ S_c·max(0, v_c) bounds the revenue of every placement of whole requests (see
//! [`decomposed`](super::decomposed())). `exact` is one class of one server at prices of 0.
//!
//! A v_c is proved by a tree of regions: pieces of each request between two numbers, and a box of the server's state. The halves of a cut
//! cover it; a leaf holds no filling, or one that is looked at, or row duals that prove its bound by weak duality whatever they are.
//!
//! # What the check trusts
//!
//! The profiler and the bounds on its network (as the search does; tests hold them against brute force), nothing else: no linear program
//! is solved, no tree searched, nothing is taken from the plan. Limits are loosened by 1e-8 in the logarithm of a promise, so that
//! rounding cuts off nothing that the audit would accept.

use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::filling::{Branch, Budget, Filling, Interference, Judgement, Region, RowKey, SharedState, Solution, TreeNode, settle};
use crate::{Error, Method, Result};

/// A proof that no placement has more revenue than [`Certificate::bound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The bound.
    pub bound: f64,
    /// π of every request, in the order of the instance.
    pub prices: Vec<f64>,
    /// A proof for every class of servers.
    pub classes: Vec<ClassProof>,
}

/// A proof that no filling of a server of one class has more profit than [`ClassProof::bound`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassProof {
    /// A server of the class.
    pub server: String,
    /// v_c.
    pub bound: f64,
    /// The server's state is h = basis · y, row by row (d × d).
    pub basis: Vec<Vec<f64>>,
    /// y = inverse · h.
    pub inverse: Vec<Vec<f64>>,
    /// Regions, the first one all fillings.
    pub tree: Vec<ProofNode>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofNode {
    /// Where it is cut; a leaf is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Row duals: 0 is the memory, 1 + k the coordinate k, 1 + d + 2·i + w the w-th promise of the i-th request that the kind admits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duals: Vec<(usize, f64)>,
    /// Of a region whose duals do not prove the bound: what loses more than their bound less this is left out. At most v_c.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worth: Option<f64>,
    /// Whether the duals prove that the region holds no filling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}

/// A cut, and the positions of the two halves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Cut {
    /// At most so many pieces of an item, or more.
    #[serde(rename = "pieces")]
    Pieces(usize, u32, [usize; 2]),
    /// A coordinate of y at most so much, or at least.
    #[serde(rename = "state")]
    State(usize, f64, [usize; 2]),
}

impl ClassProof {
    /// What a search proved.
    pub(super) fn of(server: &str, interference: &SharedState<'_, '_>, solution: &Solution) -> Self {
        let rows = |matrix: &Array2<f64>| matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        let (basis, inverse) = interference.basis();
        Self {
            server: server.to_owned(),
            bound: solution.bound,
            basis: rows(basis),
            inverse: rows(inverse),
            tree: proof_of(&solution.tree, solution.bound, interference.dimension()),
        }
    }
}

/// A tree as a proof of `bound`, without what it does not take.
fn proof_of(tree: &[TreeNode], bound: f64, dimension: usize) -> Vec<ProofNode> {
    let mut proof = Vec::new();
    if !tree.is_empty() {
        take(tree, 0, bound, dimension, &mut proof);
    }
    proof
}

fn take(tree: &[TreeNode], place: usize, bound: f64, dimension: usize, proof: &mut Vec<ProofNode>) -> usize {
    let node = &tree[place];
    let code = |row: &RowKey| match row {
        RowKey::Memory => 0,
        RowKey::Coordinate(k) => 1 + k,
        RowKey::Promise { item, which } => 1 + dimension + 2 * item + which,
    };
    let duals = node.duals.iter().map(|(row, dual)| (code(row), *dual)).collect();
    let own = proof.len();
    proof.push(ProofNode { cut: None, duals, worth: None, empty: node.bound == f64::NEG_INFINITY });
    if node.bound <= bound {
        return own;
    }
    proof[own].worth = Some(node.threshold);
    if let Some((branch, halves)) = &node.branch {
        let halves = halves.map(|half| take(tree, half, bound, dimension, proof));
        proof[own].cut = Some(match branch {
            Branch::Pieces { item, pieces } => Cut::Pieces(*item, *pieces, halves),
            Branch::Coordinate { k, at } => Cut::State(*k, *at, halves),
        });
    }
    own
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
    if certificate.prices.len() != instance.requests.len() {
        return fail("prices".into(), "there is not one for every request");
    }
    if let Some(r) = certificate.prices.iter().position(|price| !(price.is_finite() && *price >= 0.0)) {
        return fail(format!("prices[{r}]"), "a price is a number of at least 0");
    }
    let mut is_covered = vec![false; instance.servers.len()];
    let mut bound: f64 = certificate.prices.iter().sum();
    for (c, class) in certificate.classes.iter().enumerate() {
        let place = |field: &str| format!("classes[{c}].{field}");
        let Some(server) = instance.servers.iter().position(|server| server.name == class.server) else {
            return fail(place("server"), "the instance has no such server");
        };
        let same = |s: &usize| {
            problem.kind_of[*s] == problem.kind_of[server]
                && instance.servers[*s].memory_gb == instance.servers[server].memory_gb
        };
        let members: Vec<usize> = (0..instance.servers.len()).filter(same).collect();
        if members.iter().any(|s| std::mem::replace(&mut is_covered[*s], true)) {
            return fail(place("server"), "its class was proved before");
        }
        if class.bound.is_nan() {
            return fail(place("bound"), "it is not a number");
        }
        ClassCheck::new(problem, class, server, &certificate.prices)?.run(&|node, problem| {
            Error::Certificate { place: format!("classes[{c}].tree[{node}]"), problem }
        })?;
        bound += members.len() as f64 * class.bound.max(0.0);
    }
    if is_covered.contains(&false) {
        return fail("classes".into(), "a server is in none");
    }
    if bound > certificate.bound + TOLERANCE * certificate.bound.abs().max(1.0) || certificate.bound.is_nan() {
        return fail("bound".into(), "prices and classes add up to more");
    }
    Ok(bound)
}

struct ClassCheck<'p, 'a, 'c> {
    proof: &'c ClassProof,
    interference: SharedState<'p, 'a>,
    filling: Filling,
    is_seen: Vec<bool>,
}

type Failure<'f> = &'f dyn Fn(usize, &'static str) -> Error;

impl<'p, 'a, 'c> ClassCheck<'p, 'a, 'c> {
    fn new(problem: &'p Problem<'a>, proof: &'c ClassProof, server: usize, prices: &[f64]) -> Result<Self> {
        let kind = problem.kind_of[server];
        let capacity_gb = problem.instance().servers[server].memory_gb;
        let requests = problem.admissible(kind);
        let basis = Some((matrix(&proof.basis)?, matrix(&proof.inverse)?));
        let interference =
            SharedState::new(problem, Method::Decomposed, kind, requests.clone(), capacity_gb, basis)?;
        let filling = problem.filling(&requests, prices, capacity_gb, &interference);
        Ok(Self { proof, interference, filling, is_seen: vec![false; proof.tree.len()] })
    }

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
        let (filling, interference) = (&self.filling, &self.interference);
        let allowed = self.proof.bound + TOLERANCE * self.proof.bound.abs().max(1.0);
        if !settle(filling, interference, &mut region, &mut judgement) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !interference.holds(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let (bound, weights) = self.dual_bound(node, &region, &judgement);
        if node.empty && bound == f64::NEG_INFINITY || bound <= allowed {
            return Ok(());
        }
        // What no filling of more than the bound can do is left out below.
        let worth = node.worth.unwrap_or(self.proof.bound);
        if worth.is_nan() || worth > allowed {
            return Err(failure(place, "it leaves out what may have more profit than the bound"));
        }
        region.budget = Some(Arc::new(Budget {
            ends: weights.iter().enumerate().map(|(i, w)| if *w >= 0.0 { region.least[i] } else { region.most[i] }).collect(),
            losses: weights.iter().map(|w| w.abs()).collect(),
            limit: bound - worth + 1e-9,
        }));
        if !region.propagate(filling) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !interference.holds(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let Some(cut) = &node.cut else {
            return Err(failure(place, "its duals do not prove the bound"));
        };
        let (branch, halves) = match *cut {
            Cut::Pieces(item, pieces, halves) if item < filling.items() => (Branch::Pieces { item, pieces }, halves),
            Cut::State(k, at, halves) if k < filling.dimension && at.is_finite() => (Branch::Coordinate { k, at }, halves),
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

    /// The bound that row duals prove on a region, and the weights of the items in it.
    ///
    /// For any duals λ: −Σ w_i x_i = Σ λ_r·row_r + Σ d_i x_i with d = −w − Σ λ_r·a_r, each term of which is at least its least.
    fn dual_bound(&self, node: &ProofNode, region: &Region, judgement: &Judgement) -> (f64, Vec<f64>) {
        let (filling, d) = (&self.filling, self.filling.dimension);
        let mut weights: Vec<f64> = if node.empty { vec![0.0; filling.items()] } else { filling.profits.iter().map(|w| -w).collect() };
        let mut sum = 0.0;
        let pieces = |item: usize| (f64::from(region.least[item]), f64::from(region.most[item]));
        for (code, dual) in &node.duals {
            // lower ≤ a·x ≤ upper; a missing lower one is the least that the pieces give.
            let (a, lower, upper): (Vec<f64>, Option<f64>, f64) = if *code == 0 {
                (filling.memory_gb.clone(), None, filling.capacity_gb + 1e-9)
            } else if *code <= d {
                let a = (0..filling.items()).map(|item| filling.contribution(item)[code - 1]).collect();
                (a, Some(region.low[code - 1] - 1e-10), region.high[code - 1] + 1e-10)
            } else {
                let (item, which) = ((code - 1 - d) / 2, (code - 1 - d) % 2);
                let Some(promise) = judgement.open.iter().find(|p| p.item == item && p.which == which) else { continue };
                let line = &judgement.lines[promise.line];
                let big = if region.least[item] > 0 { 0.0 } else { (line.highest - promise.limit).max(0.0) };
                let slope = |i: usize| crate::rounding::dot(&line.slope, filling.contribution(i));
                let mut a: Vec<f64> = (0..filling.items()).map(slope).collect();
                a[item] += big / f64::from(filling.most[item].max(1));
                (a, None, promise.limit + big - line.constant + 1e-10)
            };
            let least = || (0..filling.items()).map(|i| (a[i] * pieces(i).0).min(a[i] * pieces(i).1)).sum();
            sum += if *dual > 0.0 { dual * lower.unwrap_or_else(least) } else { dual * upper };
            weights.iter_mut().zip(&a).for_each(|(weight, a)| *weight -= dual * a);
        }
        for (item, weight) in weights.iter().enumerate() {
            let (least, most) = (f64::from(region.least[item]), f64::from(region.most[item]));
            sum += (weight * least).min(weight * most);
        }
        if node.empty {
            return (if sum > 0.0 { f64::NEG_INFINITY } else { f64::INFINITY }, weights);
        }
        (-sum, weights)
    }
}

/// Rows as a matrix.
fn matrix(rows: &[Vec<f64>]) -> Result<Array2<f64>> {
    let columns = rows.first().map_or(0, Vec::len);
    let flat: Vec<f64> = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), columns), flat)
        .map_err(|_| Error::Certificate { place: "basis".into(), problem: "it is no matrix" })
}
