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
}
