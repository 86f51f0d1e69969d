//! Adam with warm-up, a cosine schedule and a bound on the gradient's norm.

use crate::simd::vectorised;

/// Decay of the mean of gradients, and of that of their squares.
const DECAYS: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Adam's state for a flat list of parameters.
///
/// # References
///
/// D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR, 2015, arXiv:1412.6980.
#[derive(Clone, Debug)]
pub(super) struct Adam {
    means: Vec<f32>,
    squares: Vec<f32>,
    steps: i32,
}

impl Adam {
    pub(super) fn new(parameters: usize) -> Self {
        Self { means: vec![0.0; parameters], squares: vec![0.0; parameters], steps: 0 }
    }

    /// One step against `gradient`, which is shortened to the norm `clip` if it is longer.
    pub(super) fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32, clip: f32) {
        self.steps += 1;
        let unbias = |decay: f32| 1.0 / (1.0 - f64::from(decay).powi(self.steps)) as f32;
        let (mean_scale, square_scale) = (rate * unbias(DECAYS.0), unbias(DECAYS.1));
        let (means, squares) = (&mut self.means[..], &mut self.squares[..]);
        vectorised(
            #[inline(always)]
            || {
                let shrink = (clip / norm(gradient)).min(1.0);
                for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(means).zip(squares) {
                    let g = g * shrink;
                    *m += (1.0 - DECAYS.0) * (g - *m);
                    *v += (1.0 - DECAYS.1) * (g * g - *v);
                    *p -= mean_scale * *m / ((square_scale * *v).sqrt() + EPSILON);
                }
            },
        );
    }
}

/// Euclidean norm, in a fixed order of summation whatever the processor.
#[inline(always)]
fn norm(gradient: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (chunks, rest) = gradient.as_chunks::<16>();
    for chunk in chunks {
        for l in 0..16 {
            sums[l] += chunk[l] * chunk[l];
        }
    }
    (sums.iter().sum::<f32>() + rest.iter().map(|g| g * g).sum::<f32>()).sqrt()
}

/// The learning rate of a step: rises linearly over the warm-up, then falls to nothing along half a cosine.
pub(super) fn cosine(peak: f64, step: usize, warm_up: usize, steps: usize) -> f64 {
    if step < warm_up {
        return peak * (step + 1) as f64 / warm_up as f64;
    }
    let done = (step - warm_up) as f64 / (steps - warm_up).max(1) as f64;
    0.5 * peak * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let mut adam = Adam::new(2);
        let mut p = [1.0, -1.0];
        adam.step(&mut p, &[0.5, 0.0], 0.1, 10.0);
        // m = 0.05 / 0.1 = 0.5 and v = 0.25, so the first step is the rate whatever the gradient.
        assert!((p[0] - 0.9).abs() < 1e-6 && p[1] == -1.0);
        adam.step(&mut p, &[-0.5, 0.0], 0.1, 10.0);
        // m = (0.9·0.05 − 0.05) / 0.19, v = 0.25.
        let mean: f32 = (0.9 * 0.05 - 0.05) / 0.19;
        assert!((p[0] - (0.9 - 0.1 * mean / 0.5)).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn long_gradients_are_shortened_together() {
        let (mut short, mut long) = ([0.0; 2], [0.0; 2]);
        let (mut a, mut b) = (Adam::new(2), Adam::new(2));
        for step in 1..5 {
            let s = step as f32;
            a.step(&mut short, &[0.6 * s.cos(), 0.8 * s.cos()], 0.1, 1.0);
            b.step(&mut long, &[6.0 * s.cos(), 8.0 * s.cos()], 0.1, s.cos().abs());
        }
        assert!(short.iter().zip(long).all(|(s, l)| (s - l).abs() < 1e-6), "{short:?} {long:?}");
    }

    #[test]
    fn the_rate_rises_and_falls() {
        assert!((cosine(1.0, 0, 10, 110) - 0.1).abs() < 1e-12);
        assert_eq!(cosine(1.0, 10, 10, 110), 1.0);
        assert!((cosine(1.0, 60, 10, 110) - 0.5).abs() < 1e-12);
        assert!(cosine(1.0, 110, 10, 110).abs() < 1e-12);
    }
}
