//! Quantiles of pooled samples.

use std::cmp::Ordering;

/// The service times of some tenants in one order, of which any subset's quantiles can be told.
///
/// A tenant of n samples is given by k ≤ n of them at even ranks, each with the weight n/k. With x_1 ≤ x_2 ≤ … the figures of a
/// subset, w_i their weights and c_i = w_1 + … + w_{i−1} + w_i/2 their mid-ranks, the q-quantile is interpolated linearly at the
/// rank c_1 + q·(c_last − c_1). Where all samples are given, all weights are 1 and this is definition 7 of the pooled samples.
pub(super) struct Pool {
    /// Figure, weight and tenant.
    figures: Vec<(f64, f64, usize)>,
}

impl Pool {
    /// Of tenants by their number of samples and their figures in order of size.
    pub(super) fn new<'a>(tenants: impl IntoIterator<Item = (u64, &'a [f64])>) -> Self {
        let mut figures = Vec::new();
        for (tenant, (samples, sorted)) in tenants.into_iter().enumerate() {
            let weight = samples as f64 / sorted.len() as f64;
            figures.extend(sorted.iter().map(|figure| (*figure, weight, tenant)));
        }
        // A stable sort merges what is in order already.
        figures.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal));
        Self { figures }
    }

    /// The `q`-quantiles, in ascending order of q, of the tenants whose bits are set; NaN of none.
    pub(super) fn quantiles<const N: usize>(&self, members: u128, quantiles: [f64; N]) -> [f64; N] {
        let mut out = [f64::NAN; N];
        let of_members = || self.figures.iter().filter(|(.., tenant)| members >> tenant & 1 == 1);
        let (Some(first), Some(last)) = (of_members().next(), of_members().next_back()) else { return out };
        let total: f64 = of_members().map(|(_, weight, _)| weight).sum();
        let lowest = first.1 / 2.0;
        let wanted = quantiles.map(|q| lowest + q * (total - last.1 / 2.0 - lowest));
        let (mut next, mut passed) = (0, 0.0);
        let mut below = (first.0, lowest);
        for (figure, weight, _) in of_members() {
            let rank = passed + weight / 2.0;
            while next < N && wanted[next] <= rank {
                let share = if rank > below.1 { (wanted[next] - below.1) / (rank - below.1) } else { 1.0 };
                out[next] = below.0 + share * (figure - below.0);
                next += 1;
            }
            if next == N {
                break;
            }
            below = (*figure, rank);
            passed += weight;
        }
        // What rounding left beyond the last rank.
        out[next..].fill(last.0);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::quantile;
    use proptest::prelude::*;

    fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
        samples.sort_by(f64::total_cmp);
        samples
    }

    proptest! {
        #[test]
        fn quantiles_of_a_subset_are_those_of_its_pooled_samples(
            tenants in prop::collection::vec(prop::collection::vec(0.0..10.0f64, 1..40), 1..6), mask in 1..64_u128,
        ) {
            let tenants: Vec<_> = tenants.into_iter().map(sorted).collect();
            let pool = Pool::new(tenants.iter().map(|t| (t.len() as u64, t.as_slice())));
            let mut together: Vec<f64> =
                tenants.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).flat_map(|(_, t)| t.clone()).collect();
            let [p75, p95] = pool.quantiles(mask, [0.75, 0.95]);
            if together.is_empty() {
                prop_assert!(p75.is_nan() && p95.is_nan());
            } else {
                prop_assert!((p75 - quantile(&mut together, 0.75)).abs() < 1e-9);
                prop_assert!((p95 - quantile(&mut together, 0.95)).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn thinned_samples_are_off_by_less_than_their_spacing_in_rank() {
        // 100,000 samples of x = u² at 1,024 ranks beside 500 of 1 + u: the pool's u-quantile is that of the first at
        // 0.75·100,500 / 100,000, within one spacing.
        let many: Vec<f64> = (0..1_024).map(|i| (f64::from(i) / 1_023.0).powi(2)).collect();
        let few: Vec<f64> = (0..500).map(|i| 1.0 + (f64::from(i) + 0.5) / 500.0).collect();
        let pool = Pool::new([(100_000, many.as_slice()), (500, few.as_slice())]);
        let [p75] = pool.quantiles(0b11, [0.75]);
        assert!((p75.sqrt() - 0.75 * 1.005).abs() < 1.0 / 1_023.0, "{p75}");
        assert!((pool.quantiles(0b01, [0.95])[0].sqrt() - 0.95).abs() < 1e-3);
    }
}
