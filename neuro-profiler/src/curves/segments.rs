use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::SigmoidParams;
use super::elbow::{ElbowShape, check_curve, find_elbow};
use crate::{Error, Result};

/// The instance counts at which a contention curve is sampled.
pub const DEFAULT_INSTANCES: [f64; 6] = [4.0, 6.0, 8.0, 10.0, 12.0, 14.0];

/// The instance count to which the second line reaches.
pub const DEFAULT_END: f64 = 16.0;

/// The sensitivity S of the elbow search.
pub const DEFAULT_SENSITIVITY: f64 = 1.5;

/// A least-squares line: seconds = slope · n + intercept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedLine {
    /// Seconds per instance.
    pub slope: f64,
    /// Seconds at no instance.
    pub intercept: f64,
}

impl FittedLine {
    /// The seconds at `n` instances.
    pub fn at(&self, n: f64) -> f64 {
        self.slope * n + self.intercept
    }

    /// The line with the least squared error through (n, seconds).
    fn through(points: &[(f64, f64)]) -> Result<Self> {
        let records = Array2::from_shape_fn((points.len(), 1), |(row, _)| points[row].0);
        let targets: Array1<f64> = points.iter().map(|point| point.1).collect();
        let line = LinearRegression::new()
            .fit(&Dataset::new(records, targets))
            .map_err(|error| Error::Line(Box::new(error)))?;
        let slope = line.params().first().copied().unwrap_or(f64::NAN);
        Ok(Self { slope, intercept: line.intercept() })
    }

    fn squared_error(&self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|(n, seconds)| (seconds - self.at(*n)).powi(2)).sum()
    }
}

/// How the point that separates the two lines was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// The curve has an elbow by Kneedle.
    Elbow,
    /// It has none: the split with the least squared error of both lines together, the leftmost where several are equal.
    LeastSquares,
}

/// A contention curve at one rate as two straight segments in the number of instances n.
///
/// Least-squares lines are fitted on either side of the elbow, which belongs to both; the segments join (first n, left line),
/// (elbow, mean of the two lines) and (end, right line). The lines need not meet at the elbow, the segments do. A curve that
/// rises gives lines that rise, but the value at the elbow is not forced between its neighbours; compare the three points
/// where that matters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoSegments {
    /// (n, seconds) at the first n.
    pub start: (f64, f64),
    /// (n, seconds) where the segments meet.
    pub elbow: (f64, f64),
    /// (n, seconds) at the end, where the second line is extended beyond the last n sampled.
    pub end: (f64, f64),
    /// The line up to the elbow.
    pub left: FittedLine,
    /// The line from the elbow on.
    pub right: FittedLine,
    /// How the elbow was chosen.
    pub split: Split,
}

impl TwoSegments {
    /// The sigmoid at `rate` requests per second per instance, sampled at [`DEFAULT_INSTANCES`], reaching to
    /// [`DEFAULT_END`], with [`DEFAULT_SENSITIVITY`]: the choices of the NeuRO prototype.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCurve`] if the curve is not finite at that rate.
    pub fn of_sigmoid(params: &SigmoidParams, rate: f64) -> Result<Self> {
        Self::fit(&DEFAULT_INSTANCES.map(|n| (n, params.seconds(n, rate))), DEFAULT_END, DEFAULT_SENSITIVITY)
    }

    /// Two segments through the points (n, seconds) of a convex increasing curve, in ascending order of n and at least three,
    /// reaching to `end` (at least the last n), with the sensitivity of [`find_elbow`].
    ///
    /// # Errors
    ///
    /// [`Error::CurveTooShort`], [`Error::InvalidCurve`], [`Error::InvalidOption`] for `end` or `sensitivity`,
    /// [`Error::Line`] if the regression fails.
    pub fn fit(points: &[(f64, f64)], end: f64, sensitivity: f64) -> Result<Self> {
        if points.len() < 3 {
            return Err(Error::CurveTooShort { found: points.len(), needed: 3 });
        }
        check_curve(points)?;
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        if !(end.is_finite() && end >= last) {
            return Err(Error::InvalidOption { name: "end", value: end, required: "finite and at least the last n" });
        }
        let (split, index) = match find_elbow(points, ElbowShape::ConvexIncreasing, sensitivity)? {
            Some(elbow) => (Split::Elbow, elbow.index),
            None => (Split::LeastSquares, best_split(points)?),
        };
        let (left, right) = lines_around(points, index)?;
        let n = points[index].0;
        Ok(Self {
            start: (first, left.at(first)),
            elbow: (n, 0.5 * (left.at(n) + right.at(n))),
            end: (end, right.at(end)),
            left,
            right,
            split,
        })
    }

    /// The seconds at `n` instances on the two segments, each extended beyond its end.
    pub fn at(&self, n: f64) -> f64 {
        let (from, to) = if n < self.elbow.0 { (self.start, self.elbow) } else { (self.elbow, self.end) };
        from.1 + (n - from.0) / (to.0 - from.0) * (to.1 - from.1)
    }
}

/// The lines up to and from the point at `index`, which lies inside.
fn lines_around(points: &[(f64, f64)], index: usize) -> Result<(FittedLine, FittedLine)> {
    Ok((FittedLine::through(&points[..=index])?, FittedLine::through(&points[index..])?))
}

/// The inner point that leaves the least squared error; the leftmost of equals, up to rounding.
fn best_split(points: &[(f64, f64)]) -> Result<usize> {
    let size = points.iter().map(|point| point.1.powi(2)).sum::<f64>();
    let mut best = (f64::INFINITY, 1);
    for index in 1..points.len() - 1 {
        let (left, right) = lines_around(points, index)?;
        let error = left.squared_error(&points[..=index]) + right.squared_error(&points[index..]);
        if error < best.0 - 1e-20 * size {
            best = (error, index);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: (f64, f64), b: (f64, f64)) {
        assert!((a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-9, "{a:?} ≠ {b:?}");
    }

    /// Flat at 1 s up to 10 instances, then 0.5 s more per instance: the lines are exact on both sides.
    #[test]
    fn exact_hockey_stick() {
        let points = DEFAULT_INSTANCES.map(|n| (n, 1.0 + 0.5 * (n - 10.0).max(0.0)));
        let lines = TwoSegments::fit(&points, DEFAULT_END, DEFAULT_SENSITIVITY).unwrap();
        assert_eq!(lines.split, Split::Elbow);
        close(lines.start, (4.0, 1.0));
        close(lines.elbow, (10.0, 1.0));
        close(lines.end, (16.0, 4.0));
        close((lines.left.slope, lines.left.intercept), (0.0, 1.0));
        close((lines.right.slope, lines.right.intercept), (0.5, -4.0));
        close((7.0, lines.at(7.0)), (7.0, 1.0));
        close((13.0, lines.at(13.0)), (13.0, 2.5));
        close((20.0, lines.at(20.0)), (20.0, 6.0));
    }

    /// (0, 0), (1, 0), (2, 2) | (2, 2), (3, 20): the left least-squares line is n − 1/3 and 5/3 at the elbow, the right one
    /// 18 n − 34 and 2 there, so the segments meet at (2, 11/6).
    #[test]
    fn lines_that_do_not_meet_are_joined_half_way() {
        let points = [(0.0, 0.0), (1.0, 0.0), (2.0, 2.0), (3.0, 20.0)];
        let lines = TwoSegments::fit(&points, 4.0, 0.5).unwrap();
        assert_eq!(lines.split, Split::Elbow);
        close((lines.left.slope, lines.left.intercept), (1.0, -1.0 / 3.0));
        close((lines.right.slope, lines.right.intercept), (18.0, -34.0));
        close(lines.start, (0.0, -1.0 / 3.0));
        close(lines.elbow, (2.0, 11.0 / 6.0));
        close(lines.end, (4.0, 38.0));
    }

    /// A gentle bend has no elbow at S = 1.5, but its split is still the exact one; so it is where the curve flattens out.
    #[test]
    fn without_an_elbow_the_squared_error_decides() {
        for (slope_before, slope_after, bend) in [(1.0, 1.5, 12.0), (2.0, 0.5, 6.0)] {
            let bent = |n: f64| 2.0 + slope_before * (n.min(bend) - 4.0) + slope_after * (n - bend).max(0.0);
            let lines =
                TwoSegments::fit(&DEFAULT_INSTANCES.map(|n| (n, bent(n))), DEFAULT_END, DEFAULT_SENSITIVITY).unwrap();
            assert_eq!(lines.split, Split::LeastSquares);
            close(lines.elbow, (bend, bent(bend)));
            close(lines.end, (16.0, bent(16.0)));
        }
    }

    #[test]
    fn a_straight_or_flat_curve_stays_so() {
        for slope in [0.0, 3e-4] {
            let points = DEFAULT_INSTANCES.map(|n| (n, 5e-3 + slope * n));
            let lines = TwoSegments::fit(&points, DEFAULT_END, DEFAULT_SENSITIVITY).unwrap();
            assert_eq!(lines.split, Split::LeastSquares);
            for n in [4.0, 9.0, 16.0] {
                assert!((lines.at(n) - 5e-3 - slope * n).abs() < 1e-12, "{slope} {n}: {lines:?}");
            }
        }
    }

    #[test]
    fn a_rising_sigmoid_gives_rising_lines() {
        let params = SigmoidParams { alpha1: 1.0, beta1: 0.4, alpha2: 1.0, beta2: 0.0, alpha3: 6.0, beta3: -0.35 };
        let lines = TwoSegments::of_sigmoid(&params, 2.0).unwrap();
        assert!(lines.left.slope >= 0.0 && lines.right.slope >= lines.left.slope, "{lines:?}");
        for n in DEFAULT_INSTANCES {
            let exact = params.seconds(n, 2.0);
            assert!((lines.at(n) - exact).abs() < 0.3, "{n}: {} ≠ {exact}", lines.at(n));
        }
    }

    #[test]
    fn bad_input_is_named() {
        let fit = |points: &[(f64, f64)], end| TwoSegments::fit(points, end, 1.5);
        assert!(matches!(fit(&[(1.0, 1.0), (2.0, 2.0)], 4.0), Err(Error::CurveTooShort { found: 2, needed: 3 })));
        let points = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)];
        assert!(matches!(fit(&points, 2.0), Err(Error::InvalidOption { name: "end", .. })));
        let unbounded = SigmoidParams { alpha1: f64::INFINITY, ..SigmoidParams::default() };
        assert!(matches!(TwoSegments::of_sigmoid(&unbounded, 1.0), Err(Error::InvalidCurve { index: 0, .. })));
    }
}
