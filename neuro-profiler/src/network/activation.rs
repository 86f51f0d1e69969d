use serde::{Deserialize, Serialize};

/// What a layer applies to each of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x.
    Identity,
    /// max(0, x).
    Relu,
    /// x·Φ(x) with Φ the distribution function of the standard normal (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016,
    /// arXiv:1606.08415), exact, not its tanh approximation.
    Gelu,
}

impl Activation {
    /// The value at `x`.
    pub fn at(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        }
    }

    /// The derivative at `x`; of ReLU 0 at 0.
    pub fn slope(self, x: f64) -> f64 {
        match self {
            Self::Identity => 1.0,
            Self::Relu => f64::from(u8::from(x > 0.0)),
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)) + x * density
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!([-2.0, 0.0, 3.0].map(|x| Activation::Identity.at(x)), [-2.0, 0.0, 3.0]);
        assert_eq!([-2.0, 0.0, 3.0].map(|x| Activation::Relu.at(x)), [0.0, 0.0, 3.0]);
        // Φ(1) = 0.841344746068543, Φ(−1) = 0.158655253931457.
        assert!((Activation::Gelu.at(1.0) - 0.841_344_746_068_543).abs() < 1e-15);
        assert!((Activation::Gelu.at(-1.0) + 0.158_655_253_931_457).abs() < 1e-15);
        assert_eq!(Activation::Gelu.at(0.0), 0.0);
    }

    #[test]
    fn slopes_are_those_of_differences() {
        for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            for x in [-3.0, -0.7, 0.2, 1.5] {
                let difference = (activation.at(x + 1e-6) - activation.at(x - 1e-6)) / 2e-6;
                assert!((activation.slope(x) - difference).abs() < 1e-8, "{activation:?} at {x}");
            }
        }
    }
}
