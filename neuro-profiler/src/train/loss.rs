//! Losses on logarithms of service times, and what is known of a target.

/// What a tenant's measurement says about one statistic: the logarithm of the time relative to the base time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// It is this.
    Known(f32),
    /// It is above this: the tenant starved.
    Above(f32),
    /// Nothing.
    Unknown,
}

impl Target {
    /// prediction − target; of a censored target only the part below it. `None` where nothing is to be learned.
    #[inline(always)]
    pub(super) fn error(self, prediction: f32) -> Option<f32> {
        match self {
            Self::Known(target) => Some(prediction - target),
            Self::Above(bound) => Some((prediction - bound).min(0.0)),
            Self::Unknown => None,
        }
    }
}

/// Huber's loss of an error e and its slope: e²/2 within δ, δ·(|e| − δ/2) beyond.
///
/// # References
///
/// P. J. Huber, "Robust estimation of a location parameter", *Annals of Mathematical Statistics* 35(1), 1964,
/// doi:10.1214/aoms/1177703732.
#[inline(always)]
pub(super) fn huber(error: f32, delta: f32) -> (f32, f32) {
    let size = error.abs();
    if size <= delta { (0.5 * error * error, error) } else { (delta * (size - 0.5 * delta), delta * error.signum()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadratic_within_and_linear_beyond() {
        assert_eq!(huber(0.5, 1.0), (0.125, 0.5));
        assert_eq!(huber(-3.0, 1.0), (2.5, -1.0));
        assert_eq!(huber(1.0, 1.0), (0.5, 1.0));
    }

    #[test]
    fn a_censored_target_only_pushes_up() {
        assert_eq!(Target::Above(2.0).error(1.5), Some(-0.5));
        assert_eq!(Target::Above(2.0).error(2.5), Some(0.0));
        assert_eq!(Target::Known(2.0).error(2.5), Some(0.5));
        assert_eq!(Target::Unknown.error(1.0), None);
    }
}
