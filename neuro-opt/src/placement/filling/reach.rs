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
    /// y of the pieces that are sure.
    base: Vec<f64>,
    /// Coordinates whose boxes say more than the pieces.
    narrow: Vec<bool>,
}

/// Steps of bisection for μ.
const STEPS: usize = 7;
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
        let mut reach = Self { region, contributions, memory_gb, free_gb, base, narrow: vec![false; d] };
        for k in (0..d).filter(|k| region.boxed[*k]) {
            let high = reach.knapsack(reach.contributions[k].clone());
            let low = -reach.knapsack(reach.contributions[k].iter().map(|c| -c).collect());
            reach.narrow[k] = region.high[k] - region.low[k] <= NARROW * (high - low);
        }
        reach
    }

    /// The region.
    pub(crate) fn region(&self) -> &Region {
        self.region
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
        boxed.min(sure + self.knapsack(sums))
    }

    /// The least.
    pub(crate) fn least(&self, slope: &[f64]) -> f64 {
        let negated: Vec<f64> = slope.iter().map(|s| -s).collect();
        -self.most(&negated)
    }

    /// max Σ c_i n_i, 0 ≤ n_i ≤ 1, within the memory.
    fn knapsack(&self, c: Vec<f64>) -> f64 {
        let value = |mu: f64| {
            let (mut sum, mut used) = (0.0, 0.0);
            for (c, m) in c.iter().zip(&self.memory_gb) {
                let rest = c - mu * m;
                sum += rest.max(0.0);
                used += if rest > 0.0 { *m } else { 0.0 };
            }
            (sum + mu * self.free_gb, used)
        };
        let (mut best, used) = value(0.0);
        if used <= self.free_gb {
            return best;
        }
        let mut low = 0.0;
        let mut high = c.iter().zip(&self.memory_gb).map(|(c, m)| c / m.max(1e-9)).fold(0.0, f64::max);
        for _ in 0..STEPS {
            let mu = 0.5 * (low + high);
            let (sum, used) = value(mu);
            best = best.min(sum);
            if used > self.free_gb { low = mu } else { high = mu }
        }
        best
    }
}
