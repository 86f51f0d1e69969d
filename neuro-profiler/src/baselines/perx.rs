use super::curve_points::{PairCurves, fit_pairs, from_matrix, to_matrix};
use super::uncontended::{checked_times, times_alone};
use crate::Result;
use crate::curves::SigmoidParams;
use crate::profiler::{Load, LogTimes, Profiler, context_of, uncrossed};
use crate::server_state::{base_matrix, base_times};
use crate::training_set::TrainingSet;
use crate::weights::Weights;

/// PERX: the time alone and what each other application adds by its own curve.
///
/// T_a = base_a + Σ_b max(0, T_ab(n_b, λ_b) − base_a) over the applications b beside a, with the sigmoids T_ab of
/// [`crate::SigmoidParams`], one a statistic; the baseline of the NeuRO study. A pair without a curve adds nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Perx {
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
    pairs: Vec<PairCurves>,
}

impl Perx {
    /// Fits curves to the pairwise runs of a set.
    ///
    /// # Errors
    ///
    /// [`Error::NoPairs`](crate::Error::NoPairs) without such runs, [`Error::UnmeasuredApp`](crate::Error::UnmeasuredApp).
    pub fn fit(set: &TrainingSet, train: &[usize]) -> Result<Self> {
        let pairs = fit_pairs(set, |_, _| true)?;
        Ok(Self { apps: set.apps.clone(), base_s: times_alone(set, train)?, pairs })
    }

    /// Seconds of mean, p75 and p95 alone.
    pub fn base_s(&self, app: usize) -> [f64; 3] {
        self.base_s[app]
    }

    /// The curves of mean, p75 and p95 of `observed` beside `neighbour`; `None` of a pair without.
    pub fn curves(&self, observed: usize, neighbour: usize) -> Option<&[SigmoidParams; 3]> {
        let is_it = |pair: &&PairCurves| pair.observed == observed && pair.neighbour == neighbour;
        self.pairs.iter().find(is_it).map(|pair| &pair.curves)
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights.insert("curves", to_matrix(&self.pairs).into_dyn());
        weights
    }

    pub(crate) fn from_weights(apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        let base_s = checked_times(base_times(&weights.take_matrix("base_s", apps.len(), 3)?))?;
        let pairs = from_matrix(&weights.take_table("curves", 20)?, apps.len())?;
        Ok(Self { apps, base_s, pairs })
    }

    fn times(&self, target: &Load, others: &[Load]) -> [f64; 3] {
        let base = self.base_s[target.app];
        let mut times = base;
        for other in others {
            let Some(curves) = self.curves(target.app, other.app) else { continue };
            for k in 0..3 {
                times[k] += (curves[k].seconds(other.instances, other.rate) - base[k]).max(0.0);
            }
        }
        times
    }
}

impl Profiler for Perx {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let of = |(i, target): (usize, &Load)| uncrossed(self.times(target, &context_of(server, i)).map(f64::ln));
        Ok(server.iter().enumerate().map(of).collect())
    }
}
