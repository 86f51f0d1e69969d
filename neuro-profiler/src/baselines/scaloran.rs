use super::curve_points::{PairCurves, fit_pairs, from_matrix, to_matrix};
use super::uncontended::{checked_times, times_alone};
use crate::Result;
use crate::curves::SigmoidParams;
use crate::profiler::{Load, LogTimes, Profiler, uncrossed};
use crate::server_state::{base_matrix, base_times};
use crate::training_set::TrainingSet;
use crate::weights::Weights;

/// Whose curves [`ScalOran`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The mean over the applications present.
    Average,
    /// The target's own alone ("cons", application-agnostic).
    Own,
}

/// ScalO-RAN: curves of self-contention at the number of instances of the whole server.
///
/// With n instances on the server in all, T_a is the mean over the applications b present of T_bb(n, λ_b), or T_aa(n, λ_a) alone;
/// λ_b is the mean rate over the instances of b. Below the time alone of the target nothing is predicted where the target's own
/// curve is asked.
///
/// # References
///
/// S. Maxenti, S. D'Oro, L. Bonati, M. Polese, A. Capone, T. Melodia, "ScalO-RAN: energy-aware network intelligence scaling in Open
/// RAN", INFOCOM, 2024, doi:10.1109/INFOCOM52122.2024.10621204.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalOran {
    reach: Reach,
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
    curves: Vec<PairCurves>,
}

impl ScalOran {
    /// Fits curves to the runs of a set in which an application is beside itself.
    ///
    /// # Errors
    ///
    /// [`Error::NoPairs`](crate::Error::NoPairs) without such runs, [`Error::UnmeasuredApp`](crate::Error::UnmeasuredApp).
    pub fn fit(set: &TrainingSet, train: &[usize], reach: Reach) -> Result<Self> {
        let curves = fit_pairs(set, |observed, neighbour| observed == neighbour)?;
        Ok(Self { reach, apps: set.apps.clone(), base_s: times_alone(set, train)?, curves })
    }

    /// Whose curves are asked.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Seconds of mean, p75 and p95 alone.
    pub fn base_s(&self, app: usize) -> [f64; 3] {
        self.base_s[app]
    }

    /// The curves of mean, p75 and p95 of an application beside itself; `None` of one without.
    pub fn curves(&self, app: usize) -> Option<&[SigmoidParams; 3]> {
        self.curves.iter().find(|pair| pair.observed == app).map(|pair| &pair.curves)
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights.insert("curves", to_matrix(&self.curves).into_dyn());
        weights
    }

    pub(crate) fn from_weights(reach: Reach, apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        let base_s = checked_times(base_times(&weights.take_matrix("base_s", apps.len(), 3)?))?;
        let curves = from_matrix(&weights.take_table("curves", 20)?, apps.len())?;
        Ok(Self { reach, apps, base_s, curves })
    }

    /// T_aa(n, λ), at least the time alone.
    fn own(&self, app: usize, instances: f64, rate: f64) -> [f64; 3] {
        let base = self.base_s[app];
        let curves = self.curves(app);
        let time = |k: usize| curves.map_or(base[k], |curves| curves[k].seconds(instances, rate).max(base[k]));
        [time(0), time(1), time(2)]
    }
}

impl Profiler for ScalOran {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let instances: f64 = server.iter().map(|load| load.instances).sum();
        let mut sums = vec![(0.0, 0.0); self.apps.len()];
        for load in server.iter().filter(|load| load.instances > 0.0) {
            sums[load.app].0 += load.instances;
            sums[load.app].1 += load.instances * load.rate;
        }
        let own: Vec<Option<[f64; 3]>> = sums
            .iter()
            .enumerate()
            .map(|(app, (count, load))| (*count > 0.0).then(|| self.own(app, instances, load / count)))
            .collect();
        let present: Vec<[f64; 3]> = own.iter().flatten().copied().collect();
        let mean = |k: usize| present.iter().map(|times| times[k]).sum::<f64>() / present.len() as f64;
        let of = |load: &Load| {
            let times = match (self.reach, own[load.app]) {
                (Reach::Average, Some(_)) => [mean(0), mean(1), mean(2)],
                (Reach::Own, Some(times)) => times,
                (_, None) => self.base_s[load.app],
            };
            uncrossed(times.map(f64::ln))
        };
        Ok(server.iter().map(of).collect())
    }
}
