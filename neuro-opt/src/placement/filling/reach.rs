use pulp::{Arch, Simd, WithSimd};

use super::{Filling, Region};
use crate::placement::occupancy::MEMORY_TOLERANCE_GB;

/// How far linear functions of y reach on a region.
///
/// For s·y = Σ s_k y_k a coordinate that is boxed narrowly is bounded by its box, and what is left is a sum over pieces that the memory
/// bounds too: for every μ ≥ 0
///
/// Σ c_i x_i ≤ μ·C + Σ max(0, c_i − μ m_i)·u_i,
///
/// and the best μ gives the fractional knapsack's value (Dantzig, Discrete-variable extremum problems, Operations Research 5(2), 1957,
/// doi:10.1287/opre.5.2.266). A few cutting planes of the convex sum come near enough, and any μ is valid.
pub(crate) struct Reach<'a> {
    region: &'a Region,
    /// Free items, filled up with items that are nothing to a whole number of vectors.
    width: usize,
    /// Contributions of all pieces that an item may still have (d × width).
    contributions: Vec<f64>,
    /// Their memory, GB (width).
    memory_gb: Vec<f64>,
    free_gb: f64,
    /// What a relaxation's budget says of them, if there is one.
    budget: Option<Moves>,
    /// y of the pieces that are sure.
    base: Vec<f64>,
    /// Coordinates whose boxes say more than the pieces.
    narrow: Vec<bool>,
}

/// Free items under a budget.
struct Moves {
    /// 1 where an item's end is its most pieces, otherwise 0, and what it costs to leave it for the other end (width).
    at_most: Vec<f64>,
    losses: Vec<f64>,
    left: f64,
}

/// Cutting planes for μ.
const STEPS: usize = 3;
/// A box is narrow if its side is at most so much of what pieces reach.
const NARROW: f64 = 0.5;
/// Figures in the widest vector.
const LANES: usize = 8;

impl<'a> Reach<'a> {
    pub(crate) fn new(filling: &Filling, region: &'a Region) -> Self {
        let d = filling.dimension;
        let free: Vec<usize> = (0..filling.items()).filter(|item| region.is_free(*item)).collect();
        let width = free.len().next_multiple_of(LANES);
        let padded = |of: &dyn Fn(usize) -> f64| {
            let mut figures: Vec<f64> = free.iter().map(|item| of(*item)).collect();
            figures.resize(width, 0.0);
            figures
        };
        let count = |item: usize| f64::from(region.most[item] - region.least[item]);
        let mut contributions = vec![0.0; d * width];
        for (column, item) in free.iter().enumerate() {
            let count = count(*item);
            for (k, c) in filling.contribution(*item).iter().enumerate() {
                contributions[k * width + column] = count * c;
            }
        }
        let memory_gb = padded(&|item| count(item) * filling.memory_gb[item]);
        let least: Vec<f64> = region.least.iter().map(|x| f64::from(*x)).collect();
        let base = filling.coordinates(&least);
        let free_gb = filling.capacity_gb + MEMORY_TOLERANCE_GB - filling.used_gb(&region.least);
        let budget = region.budget.as_ref().map(|budget| {
            let end = |item: usize| budget.ends[item].clamp(region.least[item], region.most[item]);
            let is_between = |item: usize| end(item) > region.least[item] && end(item) < region.most[item];
            Moves {
                at_most: padded(&|item| if end(item) == region.most[item] { 1.0 } else { 0.0 }),
                losses: padded(&|item| if is_between(item) { 0.0 } else { count(item) * budget.losses[item] }),
                left: region.budget_left(budget),
            }
        });
        let narrow = vec![false; d];
        let mut reach = Self { region, width, contributions, memory_gb, free_gb, budget, base, narrow };
        for k in (0..d).filter(|k| region.boxed[*k]) {
            let along = |s: f64| Arch::new().dispatch(ByMemory { reach: &reach, slopes: &[(k, s)] });
            let reached = along(1.0) + along(-1.0);
            reach.narrow[k] = region.high[k] - region.low[k] <= NARROW * reached;
        }
        reach
    }

    /// The region.
    pub(crate) fn region(&self) -> &Region {
        self.region
    }

    /// The least and the most of slope·y on the box alone.
    pub(crate) fn on_box(&self, slope: &[f64]) -> (f64, f64) {
        let (mut least, mut most) = (0.0, 0.0);
        for (s, (low, high)) in slope.iter().zip(self.region.low.iter().zip(&self.region.high)) {
            let (a, b) = (s * low, s * high);
            least += a.min(b);
            most += a.max(b);
        }
        (least, most)
    }

    /// The most that slope·y can be.
    pub(crate) fn most(&self, slope: &[f64]) -> f64 {
        let (mut sure, mut boxed) = (0.0, 0.0);
        let mut slopes = Vec::with_capacity(slope.len());
        for (k, s) in slope.iter().enumerate() {
            let side = s * if *s > 0.0 { self.region.high[k] } else { self.region.low[k] };
            boxed += side;
            if self.narrow[k] {
                sure += side;
            } else if *s != 0.0 {
                sure += s * self.base[k];
                slopes.push((k, *s));
            }
        }
        boxed.min(sure + Arch::new().dispatch(ByPieces { reach: self, slopes: &slopes }))
    }

    /// The least and the most of each coordinate.
    pub(crate) fn sides(&self) -> (Vec<f64>, Vec<f64>) {
        let d = self.narrow.len();
        let unit = |k: usize| (0..d).map(|j| if j == k { 1.0 } else { 0.0 }).collect::<Vec<_>>();
        (0..d).map(|k| (self.least(&unit(k)), self.most(&unit(k)))).unzip()
    }

    /// The least.
    pub(crate) fn least(&self, slope: &[f64]) -> f64 {
        let negated: Vec<f64> = slope.iter().map(|s| -s).collect();
        -self.most(&negated)
    }
}

/// The most that Σ s_k y_k can be beyond what is sure, by coordinate and slope: of all pieces that the memory allows, or of those that
/// the budget allows if that is less.
struct ByPieces<'a> {
    reach: &'a Reach<'a>,
    slopes: &'a [(usize, f64)],
}

/// The same by the memory alone.
struct ByMemory<'a> {
    reach: &'a Reach<'a>,
    slopes: &'a [(usize, f64)],
}

impl WithSimd for ByMemory<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut sums = Vec::new();
        self.reach.weigh(simd, self.slopes, &mut sums);
        knapsack(simd, &sums, S::as_simd_f64s(&self.reach.memory_gb).0, self.reach.free_gb)
    }
}

impl WithSimd for ByPieces<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut sums = Vec::new();
        self.reach.weigh(simd, self.slopes, &mut sums);
        let by_memory = knapsack(simd, &sums, S::as_simd_f64s(&self.reach.memory_gb).0, self.reach.free_gb);
        let Some(Moves { at_most, losses, left }) = &self.reach.budget else { return by_memory };
        // From the ends, at which some items have all their pieces.
        let mut sure = simd.splat_f64s(0.0);
        for (sum, at_most) in sums.iter_mut().zip(S::as_simd_f64s(at_most).0) {
            let ends = simd.mul_f64s(*sum, *at_most);
            sure = simd.add_f64s(sure, ends);
            *sum = simd.sub_f64s(*sum, simd.add_f64s(ends, ends));
        }
        by_memory.min(simd.reduce_sum_f64s(sure) + knapsack(simd, &sums, S::as_simd_f64s(losses).0, *left))
    }
}

impl Reach<'_> {
    /// Σ s_k times what each free item adds to y_k.
    #[inline(always)]
    fn weigh<S: Simd>(&self, simd: S, slopes: &[(usize, f64)], sums: &mut Vec<S::f64s>) {
        sums.resize(self.memory_gb.len() / S::F64_LANES, simd.splat_f64s(0.0));
        for (k, s) in slopes {
            let (column, s) = (&self.contributions[k * self.width..(k + 1) * self.width], simd.splat_f64s(*s));
            for (sum, c) in sums.iter_mut().zip(S::as_simd_f64s(column).0) {
                *sum = simd.mul_add_e_f64s(s, *c, *sum);
            }
        }
    }
}

/// max Σ c_i n_i, 0 ≤ n_i ≤ 1, Σ w_i n_i ≤ limit, nearly and from above: the least of μ·limit + Σ max(0, c_i − μ w_i) over some μ ≥ 0, the
/// next one where the tangents left and right of the minimum cross (J. E. Kelley, "The cutting-plane method for solving convex programs",
/// Journal of the SIAM 8(4), 1960, doi:10.1137/0108053).
#[inline(always)]
fn knapsack<S: Simd>(simd: S, c: &[S::f64s], weights: &[S::f64s], limit: f64) -> f64 {
    let (mut best, used) = priced(simd, c, weights, limit, 0.0);
    if used <= limit {
        return best;
    }
    // Tangents as values at 0 and slopes; beyond all prices nothing is taken.
    let (mut left, mut right) = ((best, limit - used), (0.0, limit));
    for _ in 0..STEPS {
        let mu = ((left.0 - right.0) / (right.1 - left.1)).max(0.0);
        let (sum, used) = priced(simd, c, weights, limit, mu);
        best = best.min(sum);
        let slope = limit - used;
        let tangent = (sum - slope * mu, slope);
        if slope < 0.0 { left = tangent } else { right = tangent }
    }
    best
}

/// The sum for a price, and the weight that it takes.
#[inline(always)]
fn priced<S: Simd>(simd: S, c: &[S::f64s], weights: &[S::f64s], limit: f64, mu: f64) -> (f64, f64) {
    let zero = simd.splat_f64s(0.0);
    let (price, mut sum, mut used) = (simd.splat_f64s(-mu), zero, zero);
    for (c, w) in c.iter().zip(weights) {
        let rest = simd.mul_add_e_f64s(price, *w, *c);
        sum = simd.add_f64s(sum, simd.max_f64s(rest, zero));
        used = simd.add_f64s(used, simd.select_f64s(simd.less_than_f64s(zero, rest), *w, zero));
    }
    (simd.reduce_sum_f64s(sum) + mu * limit, simd.reduce_sum_f64s(used))
}
