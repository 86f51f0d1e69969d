use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The shape of a curve whose knee or elbow is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElbowShape {
    /// Falls ever more slowly: the elbow is where falling stops to pay.
    ConvexDecreasing,
    /// Rises ever faster: the elbow is where the steep part begins.
    ConvexIncreasing,
    /// Falls ever faster: the knee is where the steep part begins.
    ConcaveDecreasing,
    /// Rises ever more slowly: the knee is where rising stops to pay.
    ConcaveIncreasing,
}

/// The knee or elbow of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elbow {
    /// Position among the points given, from 0; never the first or the last.
    pub index: usize,
    /// Its x.
    pub x: f64,
}

/// Finds the knee or elbow of a curve with the Kneedle algorithm, offline and without smoothing.
///
/// The points are scaled to the unit square and mirrored so that the curve rises concavely; D = y − x is then the distance
/// from the diagonal. Walking along the curve, a local maximum of D is the knee once D falls below that maximum less
/// `sensitivity` times the mean spacing of x, before D turns up again. The first such point is returned, and `None` if there is
/// none: the curve is nearly straight or flat, or `sensitivity` asks for more than it shows. For
/// [`ElbowShape::ConvexIncreasing`] and [`ElbowShape::ConcaveDecreasing`] the mirroring makes the walk go from right to left.
///
/// `points` are (x, y) in strictly ascending order of x; `sensitivity` (the paper's S) is at least 0, and 1 in most uses.
///
/// # Errors
///
/// [`Error::InvalidCurve`] for a point that is not finite or not to the right of the one before, [`Error::InvalidOption`] for
/// a sensitivity that is negative or not finite. Fewer than three points have no elbow, which is no error.
///
/// # References
///
/// V. Satopää, J. Albrecht, D. Irwin, B. Raghavan, "Finding a 'Kneedle' in a Haystack: Detecting Knee Points in System
/// Behavior", ICDCS Workshops, 2011, doi 10.1109/ICDCSW.2011.20.
///
/// # Example
///
/// ```
/// use neuro_profiler::{ElbowShape, find_elbow};
///
/// let hockey_stick = [(0.0, 0.0), (1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (4.0, 5.0)];
/// let elbow = find_elbow(&hockey_stick, ElbowShape::ConvexIncreasing, 1.0)?;
/// assert_eq!(elbow.map(|elbow| elbow.x), Some(3.0));
/// # Ok::<(), neuro_profiler::Error>(())
/// ```
pub fn find_elbow(points: &[(f64, f64)], shape: ElbowShape, sensitivity: f64) -> Result<Option<Elbow>> {
    check_curve(points)?;
    if !(sensitivity.is_finite() && sensitivity >= 0.0) {
        return Err(Error::InvalidOption {
            name: "sensitivity",
            value: sensitivity,
            required: "finite and at least 0",
        });
    }
    let Some(distance) = distance_from_diagonal(points, shape) else {
        return Ok(None);
    };
    let allowance = sensitivity / (points.len() - 1) as f64; // the mean spacing of n points on [0, 1] is 1 / (n − 1)

    let mut candidate: Option<(usize, f64)> = None;
    for i in 1..distance.len() {
        let rises_into = distance[i] > distance[i - 1];
        if rises_into {
            // D turned up again before it fell far enough: the last maximum was none.
            candidate = None;
        }
        if let Some((index, threshold)) = candidate {
            if distance[i] < threshold {
                let index = if shape.is_mirrored_in_x() { points.len() - 1 - index } else { index };
                return Ok(Some(Elbow { index, x: points[index].0 }));
            }
        } else if rises_into && i + 1 < distance.len() && distance[i] >= distance[i + 1] {
            candidate = Some((i, distance[i] - allowance));
        }
    }
    Ok(None)
}

impl ElbowShape {
    fn is_mirrored_in_x(self) -> bool {
        matches!(self, Self::ConvexIncreasing | Self::ConcaveDecreasing)
    }

    fn is_mirrored_in_y(self) -> bool {
        matches!(self, Self::ConvexIncreasing | Self::ConvexDecreasing)
    }
}

/// Refuses points that are not finite or not strictly ascending in x.
pub(super) fn check_curve(points: &[(f64, f64)]) -> Result<()> {
    for (index, &(x, y)) in points.iter().enumerate() {
        let ascends = index == 0 || points[index - 1].0 < x;
        if !(x.is_finite() && y.is_finite() && ascends) {
            return Err(Error::InvalidCurve { index, x, y });
        }
    }
    Ok(())
}

/// y − x of the points scaled to the unit square and mirrored to a concave rise; `None` if the curve has no extent.
fn distance_from_diagonal(points: &[(f64, f64)], shape: ElbowShape) -> Option<Vec<f64>> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let low = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
    let (width, height) = (last - first, high - low);
    if !(width > 0.0 && height > 0.0 && width.is_finite() && height.is_finite()) {
        return None;
    }
    let mut distance: Vec<f64> = points
        .iter()
        .map(|(x, y)| {
            let (x, y) = ((x - first) / width, (y - low) / height);
            let x = if shape.is_mirrored_in_x() { 1.0 - x } else { x };
            let y = if shape.is_mirrored_in_y() { 1.0 - y } else { y };
            y - x
        })
        .collect();
    if shape.is_mirrored_in_x() {
        distance.reverse();
    }
    Some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(f: impl Fn(f64) -> f64, xs: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
        xs.into_iter().map(|x| (x, f(x))).collect()
    }

    fn elbow_x(points: &[(f64, f64)], shape: ElbowShape, sensitivity: f64) -> Option<f64> {
        find_elbow(points, shape, sensitivity).unwrap().map(|elbow| elbow.x)
    }

    /// The paper's example, −1/x + 5 shifted off its pole: f(x) = 5 − 1/(x + 0.1) on ten points of [0, 1]. Scaled to the unit
    /// square, f has the slope 1/((x + 0.1)² · 9.0909) = 1 at x = √0.11 − 0.1 = 0.2317, and the nearest grid point is 2/9.
    #[test]
    fn the_papers_example() {
        let points = curve(|x| 5.0 - 1.0 / (x + 0.1), (0..10).map(|i| f64::from(i) / 9.0));
        assert_eq!(elbow_x(&points, ElbowShape::ConcaveIncreasing, 1.0), Some(2.0 / 9.0));
    }

    /// Mirroring the curve mirrors the knee: x → 1 − x, y → −y or both.
    #[test]
    fn four_shapes_agree() {
        let grid = || (0..10).map(|i| f64::from(i) / 9.0);
        let knee = |x: f64| 5.0 - 1.0 / (x + 0.1);
        let index = |points: &[(f64, f64)], shape| find_elbow(points, shape, 1.0).unwrap().unwrap().index;
        assert_eq!(index(&curve(knee, grid()), ElbowShape::ConcaveIncreasing), 2);
        assert_eq!(index(&curve(|x| -knee(x), grid()), ElbowShape::ConvexDecreasing), 2);
        assert_eq!(index(&curve(|x| knee(1.0 - x), grid()), ElbowShape::ConcaveDecreasing), 7);
        assert_eq!(index(&curve(|x| -knee(1.0 - x), grid()), ElbowShape::ConvexIncreasing), 7);
    }

    /// y = max(0, x − 8) on 4, 6, …, 14. Mirrored from the right: x' = 0, .2, .4, .6, .8, 1; y' = 0, 1/3, 2/3, 1, 1, 1; so
    /// D = 0, .133, .267, .4, .2, 0. The maximum .4 at x = 8 less S·0.2 must exceed the last D = 0: S < 2.
    #[test]
    fn hand_computed_elbow_and_its_sensitivity() {
        let points = curve(|x| (x - 8.0).max(0.0), [4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
        assert_eq!(elbow_x(&points, ElbowShape::ConvexIncreasing, 0.0), Some(8.0));
        assert_eq!(elbow_x(&points, ElbowShape::ConvexIncreasing, 1.5), Some(8.0));
        assert_eq!(elbow_x(&points, ElbowShape::ConvexIncreasing, 1.99), Some(8.0));
        assert_eq!(elbow_x(&points, ElbowShape::ConvexIncreasing, 2.01), None);
    }

    /// y = 0, .5, .6, .9, 1, 1 on 0..5: D = 0, .3, .2, .3, .2, 0. With S = 0.25 (allowance .05) the first maximum counts at
    /// once; with S = 1 (allowance .2) D turns up at .2 > .3 − .2, so the first is none and the second, at x = 3, is the knee.
    #[test]
    fn a_maximum_that_is_overtaken_does_not_count() {
        let points: Vec<_> =
            [0.0, 0.5, 0.6, 0.9, 1.0, 1.0].into_iter().enumerate().map(|(x, y)| (x as f64, y)).collect();
        assert_eq!(elbow_x(&points, ElbowShape::ConcaveIncreasing, 0.25), Some(1.0));
        assert_eq!(elbow_x(&points, ElbowShape::ConcaveIncreasing, 1.0), Some(3.0));
    }

    #[test]
    fn straight_flat_and_short_curves_have_none() {
        let straight = curve(|x| 2.0 * x, (0..8).map(f64::from));
        let flat = curve(|_| 1.0, (0..8).map(f64::from));
        for points in [&straight[..], &flat, &straight[..2], &straight[..1], &[]] {
            assert_eq!(elbow_x(points, ElbowShape::ConvexIncreasing, 1.0), None);
        }
    }

    #[test]
    fn units_do_not_matter() {
        let points = curve(|x| (0.4 * x).exp(), (0..12).map(f64::from));
        let scaled: Vec<_> = points.iter().map(|(x, y)| (3.0 + 1e3 * x, 1e-4 * y - 7.0)).collect();
        let index =
            |points: &[(f64, f64)]| find_elbow(points, ElbowShape::ConvexIncreasing, 1.0).unwrap().unwrap().index;
        assert_eq!(index(&points), index(&scaled));
    }

    #[test]
    fn bad_input_is_named() {
        let shape = ElbowShape::ConvexIncreasing;
        let unsorted = [(0.0, 0.0), (2.0, 1.0), (1.0, 2.0)];
        assert!(matches!(find_elbow(&unsorted, shape, 1.0), Err(Error::InvalidCurve { index: 2, .. })));
        let not_finite = [(0.0, 0.0), (1.0, f64::NAN)];
        assert!(matches!(find_elbow(&not_finite, shape, 1.0), Err(Error::InvalidCurve { index: 1, .. })));
        assert!(matches!(find_elbow(&[], shape, f64::NAN), Err(Error::InvalidOption { name: "sensitivity", .. })));
    }
}
