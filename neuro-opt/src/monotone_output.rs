use serde::{Deserialize, Serialize};

use crate::model::{Constraint, Linear};
use crate::{Error, Result};

/// A strictly increasing function that an output y of a network goes through last.
///
/// It is never a constraint of a model: g(y) ≤ t is the bound y ≤ g⁻¹(t), and what is best for y is best for g(y). A latency that a
/// network predicts as ln T is limited to D seconds by y ≤ ln D, without an exponential.
///
/// ```
/// use neuro_opt::MonotoneOutput;
/// use neuro_opt::model::Model;
///
/// let seconds = MonotoneOutput::Exp { scale: 0.02 };
/// let bound = seconds.fold(0.1)?;
/// assert!((bound - 5.0_f64.ln()).abs() < 1e-12 && seconds.at(bound) <= 0.1);
/// let mut model = Model::new();
/// let y = model.continuous("y", -5.0, 5.0)?;
/// model.add(seconds.at_most(y.into(), 0.1)?)?;
/// assert!(model.is_feasible(&[1.6], 0.0) && !model.is_feasible(&[1.7], 0.0));
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MonotoneOutput {
    /// y.
    #[default]
    Identity,
    /// scale·eʸ, as of a network of logarithms.
    Exp {
        /// Above 0.
        scale: f64,
    },
    /// 1/(1 + e⁻ʸ), as of a classifier.
    Logistic,
}

impl MonotoneOutput {
    /// g(y).
    pub fn at(self, y: f64) -> f64 {
        match self {
            Self::Identity => y,
            Self::Exp { scale } => scale * y.exp(),
            Self::Logistic => 1.0 / (1.0 + (-y).exp()),
        }
    }

    /// g⁻¹(t): a y with g(y) ≤ t such that, up to rounding, no larger one has. −∞ where every g(y) is above t, ∞ where none is.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`] for a `t` that is NaN, or a scale that is not above 0 and finite.
    pub fn fold(self, t: f64) -> Result<f64> {
        if t.is_nan() {
            return Err(Error::InvalidOption { name: "threshold", value: t, required: "a number" });
        }
        let y = match self {
            Self::Identity => t,
            Self::Exp { scale } if !(scale > 0.0 && scale.is_finite()) => {
                return Err(Error::InvalidOption { name: "scale", value: scale, required: "above 0 and finite" });
            }
            Self::Exp { .. } | Self::Logistic if t <= 0.0 => return Ok(f64::NEG_INFINITY),
            Self::Exp { scale } => (t / scale).ln(),
            Self::Logistic if t >= 1.0 => return Ok(f64::INFINITY),
            Self::Logistic => (t / (1.0 - t)).ln(),
        };
        // Rounding may have put it a few steps too far up.
        let mut y = y;
        let mut step = f64::EPSILON * y.abs().max(f64::EPSILON);
        while y.is_finite() && self.at(y) > t {
            y -= step;
            step *= 2.0;
        }
        Ok(y)
    }

    /// The constraint g(y) ≤ t on an output of an embedded network.
    ///
    /// # Errors
    ///
    /// Those of [`MonotoneOutput::fold`], and [`Error::InvalidBounds`] where no y meets it.
    pub fn at_most(self, y: Linear, t: f64) -> Result<Constraint> {
        let upper = self.fold(t)?;
        if upper == f64::NEG_INFINITY {
            return Err(Error::InvalidBounds { lower: f64::NEG_INFINITY, upper });
        }
        Ok(y.at_most(upper))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTPUTS: [MonotoneOutput; 4] = [
        MonotoneOutput::Identity,
        MonotoneOutput::Exp { scale: 1.0 },
        MonotoneOutput::Exp { scale: 0.013 },
        MonotoneOutput::Logistic,
    ];

    proptest! {
        /// The folded bound keeps the limit, and a little more breaks it.
        #[test]
        fn the_folded_bound_is_the_limit(y in -20.0..20.0_f64) {
            for output in OUTPUTS {
                let t = output.at(y);
                let bound = output.fold(t).unwrap();
                prop_assert!(output.at(bound) <= t, "{output:?} {t}");
                // Near 1 the logistic function has few figures left.
                let more = if output == MonotoneOutput::Logistic { 1e-6 } else { 1e-9 };
                prop_assert!(output.at(bound + more) > t || t > 1.0 - 1e-7, "{output:?} {t}");
            }
        }
    }

    #[test]
    fn limits_beyond_the_range() {
        for output in &OUTPUTS[1..] {
            assert_eq!(output.fold(0.0).unwrap(), f64::NEG_INFINITY);
            assert!(matches!(output.at_most(Linear::default(), -1.0), Err(Error::InvalidBounds { .. })));
        }
        assert_eq!(MonotoneOutput::Logistic.fold(1.0).unwrap(), f64::INFINITY);
        assert!(matches!(MonotoneOutput::Identity.fold(f64::NAN), Err(Error::InvalidOption { name: "threshold", .. })));
        let wrong = MonotoneOutput::Exp { scale: -1.0 };
        assert!(matches!(wrong.fold(1.0), Err(Error::InvalidOption { name: "scale", .. })));
    }
}
