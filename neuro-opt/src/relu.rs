use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What the bounds of its input say about one unit y = max(0, a) of a ReLU network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReluPhase {
    /// a ≤ 0 always: y = 0.
    Inactive,
    /// a ≥ 0 always: y = a.
    Active,
    /// a can have either sign: an exact encoding needs a binary variable.
    Split,
}

impl ReluPhase {
    /// The phase of a unit whose input a lies in [`lower`, `upper`]; either may be infinite. A unit whose input is always 0
    /// is inactive.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidBounds`] if a bound is NaN, `lower` exceeds `upper`, or both are the same infinity.
    pub fn of(lower: f64, upper: f64) -> Result<Self> {
        let holds_a_number = lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY;
        if !holds_a_number {
            return Err(Error::InvalidBounds { lower, upper });
        }
        Ok(if upper <= 0.0 {
            Self::Inactive
        } else if lower >= 0.0 {
            Self::Active
        } else {
            Self::Split
        })
    }
}

/// How many units of a network are in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseCounts {
    /// Units that are always 0.
    pub inactive: usize,
    /// Units that always pass their input on.
    pub active: usize,
    /// Units that can do either.
    pub split: usize,
}

impl PhaseCounts {
    /// Counts the phases of units by the bounds (lower, upper) of their inputs.
    ///
    /// # Errors
    ///
    /// That of [`ReluPhase::of`], for the first unit with invalid bounds.
    pub fn of(bounds: impl IntoIterator<Item = (f64, f64)>) -> Result<Self> {
        let mut counts = Self::default();
        for (lower, upper) in bounds {
            match ReluPhase::of(lower, upper)? {
                ReluPhase::Inactive => counts.inactive += 1,
                ReluPhase::Active => counts.active += 1,
                ReluPhase::Split => counts.split += 1,
            }
        }
        Ok(counts)
    }

    /// Binary variables that an exact encoding needs: one per split unit.
    pub fn binaries(&self) -> usize {
        self.split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_by_bounds() {
        let cases = [
            (-2.0, -1.0, ReluPhase::Inactive),
            (-2.0, 0.0, ReluPhase::Inactive),
            (0.0, 0.0, ReluPhase::Inactive),
            (0.0, 1.0, ReluPhase::Active),
            (0.5, f64::INFINITY, ReluPhase::Active),
            (f64::NEG_INFINITY, -0.5, ReluPhase::Inactive),
            (-1e-300, 1e-300, ReluPhase::Split),
            (f64::NEG_INFINITY, f64::INFINITY, ReluPhase::Split),
        ];
        for (lower, upper, phase) in cases {
            assert_eq!(ReluPhase::of(lower, upper).unwrap(), phase, "[{lower}, {upper}]");
        }
    }

    #[test]
    fn impossible_bounds_are_refused() {
        let infinity = f64::INFINITY;
        for (lower, upper) in
            [(f64::NAN, 1.0), (0.0, f64::NAN), (1.0, 0.0), (infinity, infinity), (-infinity, -infinity)]
        {
            assert!(matches!(ReluPhase::of(lower, upper), Err(Error::InvalidBounds { .. })), "[{lower}, {upper}]");
        }
    }

    /// The phase is right if it predicts max(0, a) for every a between the bounds.
    #[test]
    fn phases_agree_with_the_function() {
        let grid: Vec<f64> = (-4..=4).map(|k| 0.5 * f64::from(k)).collect();
        for &lower in &grid {
            for &upper in grid.iter().filter(|upper| lower <= **upper) {
                let inputs = grid.iter().filter(|a| lower <= **a && **a <= upper);
                let mut outputs = inputs.map(|a| (*a, a.max(0.0)));
                match ReluPhase::of(lower, upper).unwrap() {
                    ReluPhase::Inactive => assert!(outputs.all(|(_, y)| y == 0.0)),
                    ReluPhase::Active => assert!(outputs.all(|(a, y)| y == a)),
                    ReluPhase::Split => assert!(lower < 0.0 && upper > 0.0),
                }
            }
        }
    }

    #[test]
    fn counts_and_binaries() {
        let counts = PhaseCounts::of([(-1.0, 1.0), (-2.0, -1.0), (1.0, 2.0), (-0.1, 0.1)]).unwrap();
        assert_eq!(counts, PhaseCounts { inactive: 1, active: 1, split: 2 });
        assert_eq!(counts.binaries(), 2);
        assert!(PhaseCounts::of([(-1.0, 1.0), (1.0, -1.0)]).is_err());
    }
}
