//! Sigmoid and hyperbolic tangent that the compiler can vectorise.
//!
//! The standard library's `exp` and `tanh` are scalar calls; a recurrent network over hundreds of steps would spend more time
//! in them than in its matrix products.

/// e^x for x in [−87, 87] (clamped), relative error below 3e-7.
///
/// x = k·ln 2 + r with |r| ≤ ln 2 / 2: the polynomial is the Taylor series of e^r to degree 7, and 2^k is written into the
/// exponent. Adding and taking away 1.5·2²³ rounds to the nearest whole number without a call.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2_HIGH - k * LN_2_LOW;
    let p = 1.0 / 5_040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    // The low bits of `shifted` hold k; moved up 23 places they are k in the exponent, and the bits of ROUND fall off.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    p * scale
}

/// The logistic function 1 / (1 + e^−x), absolute error below 3e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, as 2·sigmoid(2x) − 1; absolute error below 5e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_within_the_stated_bounds() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 5e-4;
            let exact = f64::from(x);
            assert!((f64::from(sigmoid(x)) - 1.0 / (1.0 + (-exact).exp())).abs() < 3e-7, "{x}");
            assert!((f64::from(tanh(x)) - exact.tanh()).abs() < 5e-7, "{x}");
            if exact.abs() < 87.0 {
                assert!((f64::from(exp(x)) / exact.exp() - 1.0).abs() < 3e-7, "{x}");
            }
        }
    }
}
