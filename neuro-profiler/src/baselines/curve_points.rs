//! Contention curves of each statistic, from the pairwise runs of a dataset.

use ndarray::{Array1, Array2, Axis};
use neuro_data::campaign::{NEIGHBOUR, OBSERVED};
use neuro_data::{RunKind, Sla};

use crate::curves::{ContentionPoint, MapOptions, SigmoidParams, fit_all};
use crate::profiler::sla_index;
use crate::training_set::TrainingSet;
use crate::{Error, Result};

/// Curves of mean, p75 and p95 of `observed` beside `neighbour`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PairCurves {
    pub(super) observed: usize,
    pub(super) neighbour: usize,
    pub(super) curves: [SigmoidParams; 3],
}

/// Fits them to every pair that was measured and passes `wanted`; fails where no pair has a curve.
pub(super) fn fit_pairs(set: &TrainingSet, wanted: impl Fn(usize, usize) -> bool) -> Result<Vec<PairCurves>> {
    let mut points: [Vec<ContentionPoint>; 3] = [const { Vec::new() }; 3];
    for run in set.runs.iter().filter(|run| run.kind == RunKind::Pairwise) {
        let tenant = |id: &str| run.tenants.iter().find(|tenant| tenant.id == id);
        let (Some(observed), Some(neighbour)) = (tenant(OBSERVED), tenant(NEIGHBOUR)) else { continue };
        if !wanted(observed.load.app, neighbour.load.app) {
            continue;
        }
        for sla in Sla::ALL {
            points[sla_index(sla)].extend(observed.seconds[sla_index(sla)].map(|seconds| ContentionPoint {
                app: set.apps[observed.load.app].clone(),
                neighbour: set.apps[neighbour.load.app].clone(),
                instances: neighbour.load.instances as u32,
                rate: neighbour.load.rate,
                seconds,
            }));
        }
    }
    if points[0].is_empty() {
        return Err(Error::NoPairs);
    }
    let mut sets = points.map(|points| fit_all(&points, &MapOptions::default()));
    let mut pairs = Vec::new();
    for (observed, app) in set.apps.iter().enumerate() {
        for (neighbour, other) in set.apps.iter().enumerate() {
            let fit = |k: usize| Some(sets[k].fits.get(app)?.get(other)?.params);
            if let (Some(mean), Some(p75), Some(p95)) = (fit(0), fit(1), fit(2)) {
                pairs.push(PairCurves { observed, neighbour, curves: [mean, p75, p95] });
            }
        }
    }
    match sets.iter_mut().find_map(|set| set.failures.pop_first()) {
        Some((_, reason)) if pairs.is_empty() => Err(reason),
        _ => Ok(pairs),
    }
}

/// Curves as rows of a table: positions of the pair, then six figures a statistic.
pub(super) fn to_matrix(pairs: &[PairCurves]) -> Array2<f64> {
    let row = |pair: &PairCurves| {
        let figures = pair.curves.iter().flat_map(|curve| curve.to_array());
        [pair.observed as f64, pair.neighbour as f64].into_iter().chain(figures).collect::<Array1<f64>>()
    };
    let mut matrix = Array2::zeros((pairs.len(), 20));
    for (mut to, pair) in matrix.axis_iter_mut(Axis(0)).zip(pairs) {
        to.assign(&row(pair));
    }
    matrix
}

/// And back.
pub(super) fn from_matrix(matrix: &Array2<f64>, apps: usize) -> Result<Vec<PairCurves>> {
    let pair = |row: ndarray::ArrayView1<'_, f64>| {
        let app = |k: usize| {
            let index = row[k] as usize;
            let problem = || format!("names the application {}, of {apps}", row[k]);
            let known = index < apps && row[k] == index as f64;
            known
                .then_some(index)
                .ok_or_else(|| Error::InvalidTensor { tensor: "curves".to_owned(), problem: problem() })
        };
        let curve = |k: usize| SigmoidParams::from_array(std::array::from_fn(|i| row[2 + 6 * k + i]));
        Ok(PairCurves { observed: app(0)?, neighbour: app(1)?, curves: [curve(0), curve(1), curve(2)] })
    };
    matrix.rows().into_iter().map(pair).collect()
}
