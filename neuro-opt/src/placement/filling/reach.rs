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
/// doi:10.1287/opre.5.2.266). A few steps of bisection come near enough, and any μ is valid.
pub(crate) struct Reach<'a> {
    region: &'a Region,
    /// Contributions of all pieces that an item may still have, coordinate by coordinate, free items only.
    contributions: Vec<Vec<f64>>,
    /// Their memory, GB.
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
    /// Whether an item's end is its most pieces, and what it costs to leave it for the other end.
    at_most: Vec<bool>,
    losses: Vec<f64>,
    left: f64,
}

/// Steps of bisection for μ.
const STEPS: usize = 4;
/// A box is narrow if its side is at most so much of what pieces reach.
const NARROW: f64 = 0.5;

impl<'a> Reach<'a> {
    pub(crate) fn new(filling: &Filling, region: &'a Region) -> Self {
        let d = filling.dimension;
        let free: Vec<usize> = (0..filling.items()).filter(|item| region.is_free(*item)).collect();
        let count = |item: &usize| f64::from(region.most[*item] - region.least[*item]);
        let contributions: Vec<Vec<f64>> = (0..d)
            .map(|k| free.iter().map(|item| count(item) * filling.contributions[item * d + k]).collect())
            .collect();
        let memory_gb: Vec<f64> = free.iter().map(|item| count(item) * filling.memory_gb[*item]).collect();
        let least: Vec<f64> = region.least.iter().map(|x| f64::from(*x)).collect();
        let base = filling.coordinates(&least);
        let free_gb = filling.capacity_gb + MEMORY_TOLERANCE_GB - filling.used_gb(&region.least);
        let budget = region.budget.as_ref().map(|budget| {
            let end = |item: usize| budget.ends[item].clamp(region.least[item], region.most[item]);
            let is_between = |item: usize| end(item) > region.least[item] && end(item) < region.most[item];
            Moves {
                at_most: free.iter().map(|item| end(*item) == region.most[*item]).collect(),
                losses: free
                    .iter()
                    .map(|item| if is_between(*item) { 0.0 } else { count(item) * budget.losses[*item] })
                    .collect(),
                left: region.budget_left(budget),
            }
        });
        let mut reach = Self { region, contributions, memory_gb, free_gb, budget, base, narrow: vec![false; d] };
        for k in (0..d).filter(|k| region.boxed[*k]) {
            let high = knapsack(&reach.contributions[k], &reach.memory_gb, free_gb);
            let negated: Vec<f64> = reach.contributions[k].iter().map(|c| -c).collect();
            let low = -knapsack(&negated, &reach.memory_gb, free_gb);
            reach.narrow[k] = region.high[k] - region.low[k] <= NARROW * (high - low);
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
        let mut sums = vec![0.0; self.memory_gb.len()];
        let (mut sure, mut boxed) = (0.0, 0.0);
        for (k, s) in slope.iter().enumerate() {
            let side = s * if *s > 0.0 { self.region.high[k] } else { self.region.low[k] };
            boxed += side;
            if self.narrow[k] {
                sure += side;
            } else if *s != 0.0 {
                sure += s * self.base[k];
                sums.iter_mut().zip(&self.contributions[k]).for_each(|(sum, c)| *sum += s * c);
            }
        }
        let mut most = boxed.min(sure + knapsack(&sums, &self.memory_gb, self.free_gb));
        if let Some(Moves { at_most, losses, left }) = &self.budget {
            for (sum, _) in sums.iter_mut().zip(at_most).filter(|(_, at_most)| **at_most) {
                sure += *sum;
                *sum = -*sum;
            }
            most = most.min(sure + knapsack(&sums, losses, *left));
        }
        most
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

/// max Σ c_i n_i, 0 ≤ n_i ≤ 1, Σ w_i n_i ≤ limit, nearly and from above.
fn knapsack(c: &[f64], weights: &[f64], limit: f64) -> f64 {
    Arch::new().dispatch(Knapsack { c, weights, limit })
}

struct Knapsack<'a> {
    c: &'a [f64],
    weights: &'a [f64],
    limit: f64,
}

impl WithSimd for Knapsack<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let limit = self.limit;
        let (mut best, used) = self.value(0.0);
        if used <= limit {
            return best;
        }
        let mut low = 0.0;
        let mut high = self.highest();
        for _ in 0..STEPS {
            let mu = 0.5 * (low + high);
            let (sum, used) = self.value(mu);
            best = best.min(sum);
            if used > limit { low = mu } else { high = mu }
        }
        best
    }
}

/// Sums that are kept side by side, so that they fill a vector register.
const LANES: usize = 8;

impl Knapsack<'_> {
    /// The sum for a price, and the weight that it takes.
    #[inline(always)]
    fn value(&self, mu: f64) -> (f64, f64) {
        let (mut sums, mut used) = ([0.0; LANES], [0.0; LANES]);
        let mut take = |lane: usize, c: f64, w: f64| {
            let rest = c - mu * w;
            sums[lane] += if rest > 0.0 { rest } else { 0.0 };
            used[lane] += if rest > 0.0 { w } else { 0.0 };
        };
        let (c, c_left) = self.c.as_chunks::<LANES>();
        let (w, w_left) = self.weights.as_chunks::<LANES>();
        for (c, w) in c.iter().zip(w) {
            for lane in 0..LANES {
                take(lane, c[lane], w[lane]);
            }
        }
        for (lane, (c, w)) in c_left.iter().zip(w_left).enumerate() {
            take(lane, *c, *w);
        }
        (sums.iter().sum::<f64>() + mu * self.limit, used.iter().sum())
    }

    /// A price at which nothing is worth its weight, but for what weighs nothing.
    #[inline(always)]
    fn highest(&self) -> f64 {
        let ratios = self.c.iter().zip(self.weights).map(|(c, w)| if *w > 1e-9 { c / w } else { 0.0 });
        ratios.fold(0.0, f64::max)
    }
}
