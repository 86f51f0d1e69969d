//! Linear bounds on activations: σ(a) ≥ slope·a + intercept, or ≤, for all a of an interval.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use neuro_profiler::network::Activation;

/// The line slope·a + intercept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Its slope.
    pub slope: f64,
    /// Its value at 0.
    pub intercept: f64,
}

impl Line {
    /// 0.
    pub const ZERO: Self = Self { slope: 0.0, intercept: 0.0 };
    /// a.
    pub const IDENTITY: Self = Self { slope: 1.0, intercept: 0.0 };
}

/// A line below `activation` on [`lower`, `upper`], both finite.
///
/// ReLU: 0 or a, whichever leaves the smaller area (Zhang, Weng, Chen, Hsieh, Daniel, Efficient Neural Network Robustness
/// Certification with General Activation Functions, NeurIPS 2018, arXiv:1811.00866). GELU: of several slopes the line that is the
/// highest in the middle.
pub fn lower_line(activation: Activation, lower: f64, upper: f64) -> Line {
    match activation {
        Activation::Identity => Line::IDENTITY,
        Activation::Relu if upper <= 0.0 => Line::ZERO,
        Activation::Relu if lower >= 0.0 => Line::IDENTITY,
        Activation::Relu => {
            if upper > -lower {
                Line::IDENTITY
            } else {
                Line::ZERO
            }
        }
        Activation::Gelu => gelu_line(lower, upper, false),
    }
}

/// A line above `activation` on [`lower`, `upper`], both finite.
///
/// ReLU: the chord u·(a − l)/(u − l).
pub fn upper_line(activation: Activation, lower: f64, upper: f64) -> Line {
    match activation {
        Activation::Identity => Line::IDENTITY,
        Activation::Relu if upper <= 0.0 => Line::ZERO,
        Activation::Relu if lower >= 0.0 => Line::IDENTITY,
        Activation::Relu => {
            let slope = upper / (upper - lower);
            // Whatever the slope was rounded to, the line is above 0 at l and above u at u.
            let intercept = (-slope * lower).max(upper - slope * upper);
            Line { slope, intercept: intercept + 4.0 * f64::EPSILON * (intercept.abs() + upper) }
        }
        Activation::Gelu => gelu_line(lower, upper, true),
    }
}

fn gelu(x: f64) -> f64 {
    Activation::Gelu.at(x)
}

/// Φ(x) + x·φ(x).
fn gelu_slope(x: f64) -> f64 {
    0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2)) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// What may be missing in a computed value of the function near `x`: libm's erf is good to an ulp.
fn gelu_error(x: f64) -> f64 {
    1e-14 * (1.0 + x.abs())
}

/// The largest (`above`) or smallest value of gelu(x) − slope·x on [lower, upper], rounded outwards.
///
/// The derivative falls up to −√2, rises up to √2 and falls again, so that on each of the three parts it passes `slope` at most
/// once; found by bisection to the last bit but a few, where the value is off by the square of that.
fn gelu_extreme(slope: f64, lower: f64, upper: f64, above: bool) -> f64 {
    let mut best = if above { f64::NEG_INFINITY } else { f64::INFINITY };
    let mut take = |x: f64| {
        let (value, error) = (gelu(x) - slope * x, gelu_error(x) + 2.0 * f64::EPSILON * (slope * x).abs());
        best = if above { best.max(value + error) } else { best.min(value - error) };
    };
    take(lower);
    take(upper);
    for (from, to) in [(f64::NEG_INFINITY, -SQRT_2), (-SQRT_2, SQRT_2), (SQRT_2, f64::INFINITY)] {
        let (mut a, mut b) = (from.max(lower), to.min(upper));
        if a >= b || (gelu_slope(a) - slope) * (gelu_slope(b) - slope) > 0.0 {
            continue;
        }
        let rising = gelu_slope(a) < slope;
        for _ in 0..60 {
            let middle = 0.5 * (a + b);
            if (gelu_slope(middle) < slope) == rising { a = middle } else { b = middle }
        }
        take(0.5 * (a + b));
    }
    best
}

/// The image of an interval, rounded outwards.
pub(super) fn gelu_image(lower: f64, upper: f64) -> (f64, f64) {
    (gelu_extreme(0.0, lower, upper, false), gelu_extreme(0.0, lower, upper, true))
}

fn gelu_line(lower: f64, upper: f64, above: bool) -> Line {
    let middle = 0.5 * (lower + upper);
    let chord = (gelu(upper) - gelu(lower)) / (upper - lower);
    let slopes = [chord, gelu_slope(middle), gelu_slope(lower), gelu_slope(upper), 0.0, 1.0];
    let lines = slopes.into_iter().filter(|slope| slope.is_finite());
    let lines = lines.map(|slope| Line { slope, intercept: gelu_extreme(slope, lower, upper, above) });
    let height = |line: &Line| {
        let height = line.slope * middle + line.intercept;
        if above { height } else { -height }
    };
    let best = lines.min_by(|a, b| height(a).total_cmp(&height(b)));
    best.unwrap_or(Line { slope: 0.0, intercept: gelu_extreme(0.0, lower, upper, above) })
}
