use serde::{Deserialize, Serialize};

/// The six numbers of a PERX contention curve.
///
/// With n instances of the neighbour, each receiving λ requests per second, the mean service time in seconds is
///
/// T(n, λ) = θ₁ / (1 + exp(−θ₂ (λ − θ₃))), θᵢ = αᵢ + βᵢ n.
///
/// θ₁ is the saturated service time (s), θ₂ the steepness (s, the inverse of a rate), θ₃ the rate at half of the rise
/// (requests per second); each β is the change of its θ per instance. The form is that of the PERX baseline in the NeuRO
/// prototype (Javeed, Fodor, Dán, INFOCOM 2026).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SigmoidParams {
    /// Saturated service time with no instance (s).
    pub alpha1: f64,
    /// Change of the saturated service time per instance (s).
    pub beta1: f64,
    /// Steepness with no instance (s).
    pub alpha2: f64,
    /// Change of the steepness per instance (s).
    pub beta2: f64,
    /// Rate at half of the rise with no instance (requests per second).
    pub alpha3: f64,
    /// Change of that rate per instance (requests per second).
    pub beta3: f64,
}

impl SigmoidParams {
    /// The names of the numbers in files, in the order of [`SigmoidParams::to_array`].
    pub const NAMES: [&'static str; 6] = ["alpha1", "beta1", "alpha2", "beta2", "alpha3", "beta3"];

    /// The numbers in the order of [`SigmoidParams::NAMES`].
    pub fn to_array(self) -> [f64; 6] {
        [self.alpha1, self.beta1, self.alpha2, self.beta2, self.alpha3, self.beta3]
    }

    /// The curve with these numbers, in the order of [`SigmoidParams::NAMES`].
    pub fn from_array([alpha1, beta1, alpha2, beta2, alpha3, beta3]: [f64; 6]) -> Self {
        Self { alpha1, beta1, alpha2, beta2, alpha3, beta3 }
    }

    /// Whether all six numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.to_array().iter().all(|number| number.is_finite())
    }

    /// T(n, λ): the mean service time in seconds beside `instances` that receive `rate` requests per second each.
    ///
    /// Never overflows; far from the measurements it may be anything between 0 and θ₁, or below 0 where θ₁ is. Instances
    /// are real numbers here, so that a curve can be relaxed.
    pub fn seconds(&self, instances: f64, rate: f64) -> f64 {
        self.seconds_and_gradient(instances, rate).0
    }

    /// T(n, λ) and its derivatives by the six numbers, in the order of [`SigmoidParams::NAMES`].
    ///
    /// With s = 1 / (1 + exp(−θ₂ (λ − θ₃))): ∂T/∂θ₁ = s, ∂T/∂θ₂ = θ₁ s (1 − s) (λ − θ₃), ∂T/∂θ₃ = −θ₁ s (1 − s) θ₂, and
    /// ∂θᵢ/∂αᵢ = 1, ∂θᵢ/∂βᵢ = n.
    pub fn seconds_and_gradient(&self, instances: f64, rate: f64) -> (f64, [f64; 6]) {
        let n = instances;
        let theta1 = self.alpha1 + self.beta1 * n;
        let theta2 = self.alpha2 + self.beta2 * n;
        let theta3 = self.alpha3 + self.beta3 * n;
        let distance = rate - theta3;
        let (s, complement) = logistic(theta2 * distance);
        let slope = theta1 * s * complement;
        let by_theta = [s, slope * distance, -slope * theta2];
        let [d1, d2, d3] = by_theta;
        (theta1 * s, [d1, d1 * n, d2, d2 * n, d3, d3 * n])
    }
}

/// 1 / (1 + e⁻ᶻ) and its complement 1 / (1 + eᶻ), each without overflow or cancellation.
fn logistic(z: f64) -> (f64, f64) {
    let small = (-z.abs()).exp();
    let (near, far) = (1.0 / (1.0 + small), small / (1.0 + small));
    if z < 0.0 { (far, near) } else { (near, far) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let curve = SigmoidParams { alpha1: 1.0, beta1: 0.5, alpha2: 2.0, beta2: 0.0, alpha3: 3.0, beta3: -0.5 };
        // n = 2: θ = (2, 2, 2). At λ = θ₃ half of θ₁; at λ = 2 + ln(3)/2 three quarters of it.
        assert!((curve.seconds(2.0, 2.0) - 1.0).abs() < 1e-15);
        assert!((curve.seconds(2.0, 2.0 + 3f64.ln() / 2.0) - 1.5).abs() < 1e-15);
    }

    #[test]
    fn extremes_stay_finite() {
        let curve = SigmoidParams { alpha1: 1.0, alpha2: 1e6, alpha3: 1.0, ..SigmoidParams::default() };
        for (rate, expected) in [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (1e12, 1.0)] {
            let (seconds, gradient) = curve.seconds_and_gradient(4.0, rate);
            assert_eq!(seconds, expected, "rate {rate}");
            assert!(gradient.iter().all(|slope| slope.is_finite()), "rate {rate}: {gradient:?}");
        }
        // Deep in the tail the value is tiny, not zero: 1 / (1 + e⁷⁰⁰).
        assert!(logistic(-700.0).0 > 0.0);
        assert!(logistic(700.0).1 > 0.0);
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let base = [0.8, 0.05, 0.6, -0.03, 2.0, 0.1];
        let at = |numbers: [f64; 6]| SigmoidParams::from_array(numbers).seconds(4.0, 3.0);
        let (_, gradient) = SigmoidParams::from_array(base).seconds_and_gradient(4.0, 3.0);
        for k in 0..6 {
            let (mut up, mut down) = (base, base);
            up[k] += 1e-6;
            down[k] -= 1e-6;
            let numeric = (at(up) - at(down)) / 2e-6;
            assert!((numeric - gradient[k]).abs() < 1e-8, "{}: {numeric} ≠ {}", SigmoidParams::NAMES[k], gradient[k]);
        }
    }
}
