//! Service demand: how long an inference takes alone.

use neuro_data::summary::quantile_of_sorted;
use neuro_data::{Error, Result};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// The distribution of an inference's time alone on a server of speed 1, seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "lowercase", deny_unknown_fields)]
pub enum Demand {
    /// Always the same.
    Constant {
        /// The time, seconds.
        mean_s: f64,
    },
    /// Exponential.
    Exponential {
        /// Its mean, seconds.
        mean_s: f64,
    },
    /// Lognormal.
    Lognormal {
        /// Its mean, seconds.
        mean_s: f64,
        /// Its coefficient of variation: standard deviation / mean.
        cv: f64,
    },
    /// Measured: the quantiles at even ranks from 0 to 1, straight lines between them.
    Quantiles {
        /// At least two, in order of size, seconds.
        values_s: Vec<f64>,
    },
}

impl Demand {
    /// The mean, seconds.
    pub fn mean_s(&self) -> f64 {
        match self {
            Self::Constant { mean_s } | Self::Exponential { mean_s } | Self::Lognormal { mean_s, .. } => *mean_s,
            Self::Quantiles { values_s } => {
                let pieces = values_s.len().saturating_sub(1).max(1) as f64;
                values_s.windows(2).map(|ends| (ends[0] + ends[1]) / 2.0).sum::<f64>() / pieces
            }
        }
    }

    /// Mean, p75 and p95, seconds.
    pub fn figures(&self) -> [f64; 3] {
        let mean_s = self.mean_s();
        match self {
            Self::Constant { .. } => [mean_s; 3],
            Self::Exponential { .. } => [mean_s, -0.25f64.ln() * mean_s, -0.05f64.ln() * mean_s],
            Self::Lognormal { cv, .. } => {
                // 75 % and 95 % points of the standard normal.
                const NORMAL: [f64; 2] = [0.674_489_750_196_081_7, 1.644_853_626_951_472_7];
                let variance = (cv * cv).ln_1p();
                let [p75, p95] = NORMAL.map(|z| mean_s * (z * variance.sqrt() - variance / 2.0).exp());
                [mean_s, p75, p95]
            }
            Self::Quantiles { values_s } => {
                [mean_s, quantile_of_sorted(values_s, 0.75), quantile_of_sorted(values_s, 0.95)]
            }
        }
    }

    /// The same shape with every time multiplied.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        match &mut scaled {
            Self::Constant { mean_s } | Self::Exponential { mean_s } | Self::Lognormal { mean_s, .. } => {
                *mean_s *= factor;
            }
            Self::Quantiles { values_s } => values_s.iter_mut().for_each(|value| *value *= factor),
        }
        scaled
    }

    pub(super) fn validate(&self, field: impl Fn(&str) -> String) -> Result<()> {
        let positive = |name: &str, value: f64| {
            let fine = value.is_finite() && value > 0.0;
            if fine { Ok(()) } else { Err(invalid(field(name), value, "a positive number of seconds")) }
        };
        match self {
            Self::Constant { mean_s } | Self::Exponential { mean_s } => positive("demand.mean_s", *mean_s),
            Self::Lognormal { mean_s, cv } => {
                positive("demand.mean_s", *mean_s)?;
                let fine = cv.is_finite() && *cv >= 0.0;
                if fine { Ok(()) } else { Err(invalid(field("demand.cv"), cv, "zero or more")) }
            }
            Self::Quantiles { values_s } => {
                if values_s.len() < 2 || !values_s.is_sorted() {
                    let text = format!("{} values", values_s.len());
                    return Err(invalid(field("demand.values_s"), text, "two values or more, in order of size"));
                }
                values_s.iter().try_for_each(|value| positive("demand.values_s", *value))
            }
        }
    }

    /// What draws from it.
    pub(super) fn sampler(&self) -> Sampler<'_> {
        match self {
            Self::Constant { mean_s } => Sampler::Constant(*mean_s),
            Self::Exponential { mean_s } => Sampler::Exponential(*mean_s),
            // The logarithm is normal with variance ln(1 + cv²) and mean ln(mean) − variance / 2.
            Self::Lognormal { mean_s, cv } => {
                let variance = (cv * cv).ln_1p();
                Sampler::Lognormal { location: mean_s.ln() - variance / 2.0, scale: variance.sqrt() }
            }
            Self::Quantiles { values_s } => Sampler::Quantiles(values_s),
        }
    }
}

pub(super) fn invalid(field: String, value: impl std::fmt::Display, expected: &'static str) -> Error {
    Error::Invalid { field, value: value.to_string(), expected }
}

/// A distribution, ready to draw from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sampler<'a> {
    Constant(f64),
    Exponential(f64),
    Lognormal { location: f64, scale: f64 },
    Quantiles(&'a [f64]),
}

impl Sampler<'_> {
    pub(super) fn draw(self, rng: &mut impl Rng) -> f64 {
        match self {
            Self::Constant(mean_s) => mean_s,
            // 1 − u lies in (0, 1], so the logarithm is finite.
            Self::Exponential(mean_s) => -(1.0 - rng.r#gen::<f64>()).ln() * mean_s,
            Self::Lognormal { location, scale } => (location + scale * rng.sample::<f64, _>(StandardNormal)).exp(),
            Self::Quantiles(values) => {
                let position = rng.r#gen::<f64>() * (values.len() - 1) as f64;
                let below = values[position as usize];
                below + position.fract() * (values[position as usize + 1] - below)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn draws_have_the_stated_mean_and_spread() {
        let quantiles = Demand::Quantiles { values_s: vec![1.0, 2.0, 6.0] };
        // Uniform on [1, 2] or on [2, 6], by halves: mean 2.75, variance (1/12 + 16/12)/2 + 1.25² = 2.270 8.
        for (demand, mean, cv) in [
            (Demand::Constant { mean_s: 2.0 }, 2.0, 0.0),
            (Demand::Exponential { mean_s: 3.0 }, 3.0, 1.0),
            (Demand::Lognormal { mean_s: 0.5, cv: 0.4 }, 0.5, 0.4),
            (quantiles, 2.75, 2.270_8f64.sqrt() / 2.75),
        ] {
            assert!((demand.mean_s() - mean).abs() < 1e-12, "{demand:?}");
            let (mut rng, sampler, n) = (ChaCha8Rng::seed_from_u64(1), demand.sampler(), 200_000);
            let draws: Vec<f64> = (0..n).map(|_| sampler.draw(&mut rng)).collect();
            let drawn = draws.iter().sum::<f64>() / n as f64;
            let variance = draws.iter().map(|x| (x - drawn).powi(2)).sum::<f64>() / n as f64;
            // Four standard errors of the mean.
            assert!((drawn / mean - 1.0).abs() <= 4.0 * cv / (n as f64).sqrt() + 1e-12, "{demand:?}: {drawn}");
            assert!((variance.sqrt() / drawn - cv).abs() < 0.02 * (1.0 + cv), "{demand:?}");
            let mut sorted = draws.clone();
            sorted.sort_by(f64::total_cmp);
            let [_, p75, p95] = demand.figures();
            for (q, figure) in [(0.75, p75), (0.95, p95)] {
                assert!((quantile_of_sorted(&sorted, q) / figure - 1.0).abs() < 0.02, "{demand:?}: {q}");
            }
            assert!((demand.scaled(2.0).mean_s() - 2.0 * mean).abs() < 1e-12);
        }
    }
}
