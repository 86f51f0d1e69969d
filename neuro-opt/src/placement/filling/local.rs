//! Ruin and recreate on one server, for profits of any kind.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Filling, Interference};

/// Improves a filling that the bounds on pieces admit for so many iterations; what comes back is one too, has at least its profit and
/// nearly holds if it did.
pub(crate) fn improve(
    filling: &Filling,
    interference: &dyn Interference,
    start: &[u32],
    iterations: u64,
    rng: &mut ChaCha8Rng,
) -> Vec<u32> {
    let mut best = start.to_vec();
    let mut best_profit = filling.profit(&best);
    let useful: Vec<usize> =
        (0..filling.items()).filter(|i| filling.profits[*i] > 0.0 && filling.most[*i] > 0).collect();
    if useful.is_empty() {
        return best;
    }
    let mut current = best.clone();
    for _ in 0..iterations {
        let mut next = current.clone();
        let held: Vec<usize> = (0..filling.items()).filter(|item| next[*item] > filling.least[*item]).collect();
        for _ in 0..rng.gen_range(1..=3).min(held.len()) {
            let item = held[rng.gen_range(0..held.len())];
            next[item] = filling.least[item];
        }
        let as_figures: Vec<f64> = next.iter().map(|x| f64::from(*x)).collect();
        let mut y = filling.coordinates(&as_figures);
        if !interference.nearly_holds(&next, &y) {
            continue;
        }
        let mut used_gb = filling.used_gb(&next);
        let by_memory = rng.gen_bool(0.5);
        let mut order: Vec<(f64, usize)> = useful
            .iter()
            .map(|item| {
                let size = if by_memory { filling.memory_gb[*item] } else { 1.0 };
                ((0.5 + rng.r#gen::<f64>()) * filling.profits[*item] / size, *item)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, item) in order {
            let wanted = filling.most[item] - next[item];
            let gb = f64::from(wanted) * filling.memory_gb[item];
            if wanted == 0 || used_gb + gb > filling.capacity_gb + 1e-9 {
                continue;
            }
            let before = next[item];
            next[item] += wanted;
            y.iter_mut().zip(filling.contribution(item)).for_each(|(y, c)| *y += f64::from(wanted) * c);
            if interference.nearly_holds(&next, &y) {
                used_gb += gb;
            } else {
                next[item] = before;
                y.iter_mut().zip(filling.contribution(item)).for_each(|(y, c)| *y -= f64::from(wanted) * c);
            }
        }
        let profit = filling.profit(&next);
        if profit >= filling.profit(&current) - 0.01 * best_profit.abs() {
            current = next;
        }
        if profit > best_profit {
            best_profit = profit;
            best.clone_from(&current);
        }
    }
    best
}
