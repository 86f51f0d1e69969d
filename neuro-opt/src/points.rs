use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Domain;

/// Points of the domain's box, uniform, whole where they must be; rows are not looked at.
pub(crate) fn points(domain: &Domain, seed: u64) -> impl Iterator<Item = Vec<f64>> + '_ {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    std::iter::repeat_with(move || {
        let sides = domain.lower().iter().zip(domain.upper()).zip(domain.integer());
        sides
            .map(|((&lower, &upper), &integer)| {
                let x = lower + (upper - lower) * random.gen_range(0.0..=1.0);
                if integer { x.round() } else { x }
            })
            .collect()
    })
}
