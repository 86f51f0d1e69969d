use std::collections::BTreeMap;

use super::{ContentionPoint, MapOptions, SigmoidFit, fit_sigmoid};
use crate::Error;

/// The curves of many pairs, with the pairs that failed beside the good ones.
#[derive(Debug, Default)]
pub struct CurveSet {
    /// The curves: application measured → application beside it → fit.
    pub fits: BTreeMap<String, BTreeMap<String, SigmoidFit>>,
    /// The pairs (application measured, application beside it) without a curve, and why.
    pub failures: BTreeMap<(String, String), Error>,
}

/// Fits one curve per ordered pair of applications among the points, in any order.
///
/// A pair that cannot be fitted is reported in [`CurveSet::failures`] and does not touch the others. The result of a pair
/// depends on the points of that pair and the options alone.
pub fn fit_all(points: &[ContentionPoint], options: &MapOptions) -> CurveSet {
    let mut by_pair: BTreeMap<(&str, &str), Vec<ContentionPoint>> = BTreeMap::new();
    for point in points {
        by_pair.entry((&point.app, &point.neighbour)).or_default().push(point.clone());
    }
    let mut curves = CurveSet::default();
    for ((app, neighbour), points) in by_pair {
        match fit_sigmoid(&points, options) {
            Ok(fit) => {
                curves.fits.entry(app.to_owned()).or_default().insert(neighbour.to_owned(), fit);
            }
            Err(error) => {
                curves.failures.insert((app.to_owned(), neighbour.to_owned()), error);
            }
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(app: &str, neighbour: &str) -> Vec<ContentionPoint> {
        let mut points = Vec::new();
        for instances in [1, 2, 4] {
            for rate in [1.0, 4.0] {
                points.push(ContentionPoint {
                    app: app.into(),
                    neighbour: neighbour.into(),
                    instances,
                    rate,
                    seconds: 0.01 * (1.0 + 0.02 * f64::from(instances) * rate),
                });
            }
        }
        points
    }

    #[test]
    fn one_bad_pair_leaves_the_others_alone() {
        let mut all = points("a", "b");
        all.extend(points("b", "a"));
        all.extend(points("c", "a").into_iter().take(2));
        all[8].seconds = f64::NAN;
        let curves = fit_all(&all, &MapOptions::default());
        assert_eq!(curves.fits["a"]["b"], fit_sigmoid(&points("a", "b"), &MapOptions::default()).unwrap());
        assert_eq!(curves.fits.len(), 1);
        assert!(matches!(curves.failures[&("b".into(), "a".into())], Error::InvalidPoint { .. }));
        assert!(matches!(curves.failures[&("c".into(), "a".into())], Error::TooFewPoints { found: 2, .. }));
    }

    #[test]
    fn nothing_in_nothing_out() {
        let curves = fit_all(&[], &MapOptions::default());
        assert!(curves.fits.is_empty() && curves.failures.is_empty());
    }
}
