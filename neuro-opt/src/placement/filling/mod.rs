//! One server to fill: which requests, for the most profit.
//!
//! # The problem
//!
//! Items i with profit w_i, memory m_i and contribution g_i ∈ R^d a piece, x_i ∈ {l_i, …, u_i} pieces of each, l_i being 0 but where a
//! branching says that an item is there:
//!
//! maximise Σ w_i x_i subject to Σ m_i x_i ≤ C and, wherever x_i > 0, the promises of i hold at the *coordinates* y = Σ g_i x_i.
//!
//! A whole request is one piece; where requests may be split, an instance is a piece. Placing on one server is this problem with
//! payments as profits, pricing in a decomposition is it with reduced ones.
//!
//! # How it is solved
//!
//! By branch and bound on boxes of y and on x together ([`Tree`]). On a box an [`Interference`] says of each item whether its promises
//! hold, fail or are open, and gives a line a·y + c below each open prediction; the relaxation is a linear program of memory, box and
//! those lines.

mod inequality;
mod interference;
mod reach;
mod region;
mod relaxation;
mod shared_state;
mod tenant_networks;
mod tree;

use std::sync::Arc;

use neuro_profiler::Model;

use crate::placement::Problem;
use crate::placement::occupancy::MEMORY_TOLERANCE_GB;
use crate::{Method, Result};

pub(crate) use inequality::{Inequality, applicable};
pub(crate) use interference::{Interference, Judgement, Line, Promise, Verdict};
pub(crate) use reach::Reach;
pub(crate) use region::{Branch, Budget, Region};
pub(crate) use relaxation::RowKey;
pub(crate) use shared_state::Basis;
use shared_state::SharedState;
use tenant_networks::TenantNetworks;
pub(crate) use tree::{Solution, Tree, TreeNode, TreeParams, settle};

/// How the requests `requests`, each of them a piece, slow one another down on a server of a kind with so much memory.
///
/// `basis` is that of a certificate, if it has one; by default one is made where the profiler has a state.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`](crate::Error::UnsuitedProfiler) for a profiler without bounds,
/// [`Error::Certificate`](crate::Error::Certificate) for a basis that is none.
pub(crate) fn interference_of<'p>(
    problem: &'p Problem<'_>,
    method: Method,
    kind: usize,
    requests: Vec<usize>,
    capacity_gb: f64,
    basis: Option<Basis>,
) -> Result<Box<dyn Interference + 'p>> {
    Ok(match problem.kinds[kind].bundle.model() {
        Model::Paper(_) => Box::new(TenantNetworks::new(problem, method, kind, requests, capacity_gb)?),
        _ => Box::new(SharedState::new(problem, method, kind, requests, capacity_gb, basis)?),
    })
}

/// What to fill one server with.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    /// Profit of a piece.
    pub(crate) profits: Vec<f64>,
    /// Memory of a piece, GB.
    pub(crate) memory_gb: Vec<f64>,
    /// Fewest pieces of each item: what must be there.
    pub(crate) least: Vec<u32>,
    /// Most pieces of each item.
    pub(crate) most: Vec<u32>,
    /// Memory that is there, GB.
    pub(crate) capacity_gb: f64,
    /// d.
    pub(crate) dimension: usize,
    /// What a piece adds to y, items × d.
    pub(crate) contributions: Vec<f64>,
    /// By coordinate the items that raise it and those that lower it, most per GB first.
    orders: Vec<[Vec<u32>; 2]>,
    /// Items of one application, and those of them with as many instances: items that can stand for one another, nearly.
    pub(crate) alike: Arc<[Vec<usize>]>,
    /// Fewest and most pieces of each of these sets.
    pub(crate) counts: Vec<(u32, u32)>,
    /// What is known of all fillings besides.
    pub(crate) inequalities: Vec<Arc<Inequality>>,
}

/// By how much a figure of y may be off, in units of the largest it can be: boxes are wider by that.
pub(crate) const COORDINATE_SLACK: f64 = 1e-10;

/// Any number of pieces.
pub(crate) const ANY: (u32, u32) = (0, u32::MAX);

/// By how many pieces sets have too few or too many.
pub(crate) fn excess(sets: &[Vec<usize>], counts: &[(u32, u32)], pieces: &[u32]) -> u32 {
    let restricted = sets.iter().zip(counts).filter(|(_, count)| **count != ANY);
    let of = |(set, (least, most)): (&Vec<usize>, &(u32, u32))| {
        let count: u32 = set.iter().map(|item| pieces[*item]).sum();
        least.saturating_sub(count) + count.saturating_sub(*most)
    };
    restricted.map(of).sum()
}

impl Filling {
    pub(crate) fn new(
        profits: Vec<f64>,
        memory_gb: Vec<f64>,
        most: Vec<u32>,
        capacity_gb: f64,
        interference: &dyn Interference,
    ) -> Self {
        let dimension = interference.dimension();
        let contributions: Vec<f64> =
            (0..profits.len()).flat_map(|item| interference.contribution(item).iter().copied()).collect();
        let per_gb = |item: usize, k: usize| contributions[item * dimension + k] / memory_gb[item].max(1e-9);
        let orders = (0..dimension).map(|k| {
            let mut raising: Vec<u32> =
                (0..profits.len() as u32).filter(|i| contributions[*i as usize * dimension + k] > 0.0).collect();
            raising.sort_by(|a, b| per_gb(*b as usize, k).total_cmp(&per_gb(*a as usize, k)));
            let mut lowering: Vec<u32> =
                (0..profits.len() as u32).filter(|i| contributions[*i as usize * dimension + k] < 0.0).collect();
            lowering.sort_by(|a, b| per_gb(*a as usize, k).total_cmp(&per_gb(*b as usize, k)));
            [raising, lowering]
        });
        let orders = orders.collect();
        let least = vec![0; profits.len()];
        Self {
            profits,
            memory_gb,
            least,
            most,
            capacity_gb,
            dimension,
            contributions,
            orders,
            alike: [].into(),
            counts: Vec::new(),
            inequalities: Vec::new(),
        }
    }

    /// With sets of items that are alike, from the application and the instances of each.
    pub(crate) fn alike(self, kinds: &[(&str, u32)]) -> Self {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (item, (app, instances)) in kinds.iter().enumerate() {
            let is_first = |same: &dyn Fn(&(&str, u32)) -> bool| !kinds[..item].iter().any(same);
            let all = |same: &dyn Fn(&(&str, u32)) -> bool| (item..kinds.len()).filter(|i| same(&kinds[*i])).collect();
            if is_first(&|(other, _)| other == app) {
                sets.push(all(&|(other, _)| other == app));
            }
            if is_first(&|other| *other == (*app, *instances)) {
                sets.push(all(&|other| *other == (*app, *instances)));
            }
        }
        sets.retain(|set| set.len() > 1);
        sets.sort();
        sets.dedup();
        Self { counts: vec![ANY; sets.len()], alike: sets.into(), ..self }
    }

    /// Number of items.
    pub(crate) fn items(&self) -> usize {
        self.profits.len()
    }

    /// What a piece of an item adds to y.
    pub(crate) fn contribution(&self, item: usize) -> &[f64] {
        &self.contributions[item * self.dimension..(item + 1) * self.dimension]
    }

    /// y of these pieces.
    pub(crate) fn coordinates(&self, pieces: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.dimension];
        for (item, pieces) in pieces.iter().enumerate().filter(|(_, pieces)| **pieces != 0.0) {
            y.iter_mut().zip(self.contribution(item)).for_each(|(y, c)| *y += pieces * c);
        }
        y
    }

    /// Whether there are neither too few nor too many of an item or a set of items.
    pub(crate) fn admits(&self, pieces: &[u32]) -> bool {
        pieces.iter().zip(self.least.iter().zip(&self.most)).all(|(x, (least, most))| least <= x && x <= most)
            && excess(&self.alike, &self.counts, pieces) == 0
    }

    /// Profit of these pieces.
    pub(crate) fn profit(&self, pieces: &[u32]) -> f64 {
        pieces.iter().zip(&self.profits).map(|(x, w)| f64::from(*x) * w).sum()
    }

    /// Memory of these pieces, GB.
    pub(crate) fn used_gb(&self, pieces: &[u32]) -> f64 {
        pieces.iter().zip(&self.memory_gb).map(|(x, m)| f64::from(*x) * m).sum()
    }

    /// Whether the memory holds these pieces.
    pub(crate) fn fits(&self, pieces: &[u32]) -> bool {
        self.used_gb(pieces) <= self.capacity_gb + MEMORY_TOLERANCE_GB
    }

    /// Other bounds on pieces, of items and of sets of them that are alike.
    pub(crate) fn within(self, least: &[u32], most: &[u32], counts: &[(u32, u32)]) -> Self {
        Self { least: least.to_vec(), most: most.to_vec(), counts: counts.to_vec(), ..self }
    }

    /// With what is known of all its fillings.
    pub(crate) fn knowing(self, inequalities: Vec<Arc<Inequality>>) -> Self {
        Self { inequalities, ..self }
    }

    /// Other profits.
    pub(crate) fn with_profits(&self, profits: Vec<f64>) -> Self {
        Self { profits, ..self.clone() }
    }
}
