//! Order statistics of a sample, of which few are asked for.

/// Fewest figures that are cut into buckets.
const CUT: usize = 256;

/// A sample that is put in order as far as is asked for.
///
/// The figures lie in buckets by how far they are from the least one, about four in each were they spread evenly; a bucket is put
/// in order when one of its ranks is asked for. A thousand ranks of a hundred thousand are in few of them.
#[derive(Debug)]
pub(crate) struct Order {
    /// Bucket by bucket.
    keys: Vec<i64>,
    /// Where each bucket ends, and whether it is in order.
    buckets: Vec<(usize, bool)>,
}

impl Order {
    pub(crate) fn of(samples: &[f64]) -> Self {
        let keys = samples.iter().map(|x| key(*x));
        let (least, greatest) =
            keys.clone().fold((i64::MAX, i64::MIN), |(low, high), key| (low.min(key), high.max(key)));
        if samples.len() < CUT {
            return Self { keys: keys.collect(), buckets: vec![(samples.len(), false)] };
        }
        let bits = (samples.len() / 4).ilog2();
        let shift = (u64::BITS - least.abs_diff(greatest).leading_zeros()).saturating_sub(bits);
        let bucket = |key: i64| (key.abs_diff(least) >> shift) as usize;
        let mut starts = vec![0; 1 << bits];
        keys.clone().for_each(|key| starts[bucket(key)] += 1);
        let mut start = 0;
        for count in &mut starts {
            start += std::mem::replace(count, start);
        }
        let mut ends = starts;
        let mut placed = vec![0; samples.len()];
        for key in keys {
            let end = &mut ends[bucket(key)];
            placed[*end] = key;
            *end += 1;
        }
        Self { keys: placed, buckets: ends.into_iter().map(|end| (end, false)).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The figure of a rank from 0; NaN where there is none.
    pub(crate) fn at(&mut self, rank: usize) -> f64 {
        let bucket = self.buckets.partition_point(|(end, _)| *end <= rank);
        let start = bucket.checked_sub(1).map_or(0, |before| self.buckets[before].0);
        if let Some((end, in_order)) = self.buckets.get_mut(bucket).filter(|(_, in_order)| !in_order) {
            self.keys[start..*end].sort_unstable();
            *in_order = true;
        }
        self.keys.get(rank).map_or(f64::NAN, |key| of_key(*key))
    }

    /// The `q`-quantile (definition 7); NaN of nothing.
    pub(crate) fn quantile(&mut self, q: f64) -> f64 {
        let position = q.clamp(0.0, 1.0) * self.len().saturating_sub(1) as f64;
        let below = self.at(position as usize);
        let share = position.fract();
        if share > 0.0 { below + share * (self.at(position as usize + 1) - below) } else { below }
    }

    /// All figures in order.
    pub(crate) fn all(&mut self) -> Vec<f64> {
        let mut start = 0;
        for (end, in_order) in &mut self.buckets {
            if !*in_order {
                self.keys[start..*end].sort_unstable();
                *in_order = true;
            }
            start = *end;
        }
        self.keys.iter().map(|key| of_key(*key)).collect()
    }
}

/// A number that is in the order of [`f64::total_cmp`]: integers sort faster than floats.
fn key(x: f64) -> i64 {
    let bits = x.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// The float of a [`key`].
fn of_key(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_figures() {
        let mut order = Order::of(&[]);
        assert_eq!((order.len(), order.all()), (0, vec![]));
        assert!(order.at(0).is_nan() && order.quantile(0.5).is_nan());
    }

    proptest! {
        #[test]
        fn ranks_and_all_are_those_of_a_sort(
            samples in prop_oneof![
                prop::collection::vec(prop::num::f64::ANY, 0..2_000),
                prop::collection::vec(-1e3..1e3f64, 0..2_000),
                prop::collection::vec(prop_oneof![Just(0.0), Just(-0.0), 0.5..0.6f64], 0..2_000),
            ],
            ranks in prop::collection::vec(0..2_100_usize, 0..20),
        ) {
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            let mut order = Order::of(&samples);
            for rank in ranks {
                let expected = sorted.get(rank).copied();
                prop_assert_eq!(order.at(rank).to_bits(), expected.unwrap_or(f64::NAN).to_bits());
            }
            let bits = |figures: Vec<f64>| figures.into_iter().map(f64::to_bits).collect::<Vec<_>>();
            prop_assert_eq!(bits(order.all()), bits(sorted));
        }
    }
}
