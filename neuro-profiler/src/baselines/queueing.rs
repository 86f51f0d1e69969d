use ndarray::Array1;

use super::uncontended::{checked_times, times_alone};
use crate::profiler::{Load, LogTimes, Profiler, uncrossed};
use crate::server_state::{base_matrix, base_times};
use crate::training_set::TrainingSet;
use crate::weights::Weights;
use crate::{Error, Result};

/// A server of c cores that all inferences share.
///
/// With the work U = Σ_j n_j·λ_j·base_j / c offered to it, an inference is stretched by
///
/// s = min(1 + U^(√(2(c+1)) − 1) / (c·(1 − U)), max(1, N / c)),
///
/// the first being Sakasegawa's formula for the wait in M/M/c in units of service, the second what N replicas can do to one another
/// at most, each of which serves one request at a time; from U = 1 on it is the second alone. A time is base · s^γ, with an exponent
/// γ for each application and statistic, fitted as c is.
///
/// # References
///
/// H. Sakasegawa, "An approximation formula L_q ≈ α·ρ^β/(1 − ρ)", *Annals of the Institute of Statistical Mathematics* 29, 1977,
/// doi:10.1007/BF02532776.
#[derive(Clone, Debug, PartialEq)]
pub struct Queueing {
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
    cores: f64,
    exponents: Vec<[f64; 3]>,
}

/// Numbers of cores that are tried: from 1/2 to 128 in steps of 10 %.
const CORES: (f64, f64, usize) = (0.5, 1.1, 59);

impl Queueing {
    /// Fits c and the exponents to runs of a set: for each c the exponents of least squares, of all c the one with the least mean
    /// absolute error of the logarithm.
    ///
    /// # Errors
    ///
    /// [`Error::UnmeasuredApp`], [`Error::NoRuns`].
    pub fn fit(set: &TrainingSet, train: &[usize]) -> Result<Self> {
        let base_s = times_alone(set, train)?;
        let mut best: Option<(f64, Self)> = None;
        for step in 0..CORES.2 {
            let cores = CORES.0 * CORES.1.powi(step as i32);
            let mut sums = vec![[(0.0, 0.0); 3]; set.apps.len()];
            let mut points = Vec::new();
            for run in train {
                let run = &set.runs[*run];
                let stretch = stretch(&base_s, cores, &run.server()).ln();
                for tenant in &run.tenants {
                    for (k, seconds) in tenant.seconds.iter().enumerate() {
                        let Some(seconds) = seconds else { continue };
                        let log = (seconds / base_s[tenant.load.app][k]).ln();
                        let (products, squares) = &mut sums[tenant.load.app][k];
                        *products += log * stretch;
                        *squares += stretch * stretch;
                        points.push((tenant.load.app, k, stretch, log));
                    }
                }
            }
            let exponent = |(products, squares): (f64, f64)| if squares > 0.0 { products / squares } else { 1.0 };
            let exponents: Vec<[f64; 3]> = sums.iter().map(|sums| sums.map(exponent)).collect();
            let errors = points.iter().map(|(app, k, stretch, log)| (exponents[*app][*k] * stretch - log).abs());
            let error = errors.sum::<f64>() / points.len().max(1) as f64;
            if best.as_ref().is_none_or(|(least, _)| error < *least) && !points.is_empty() {
                best = Some((error, Self { apps: set.apps.clone(), base_s: base_s.clone(), cores, exponents }));
            }
        }
        best.map(|(_, model)| model).ok_or_else(|| Error::NoRuns { servers: set.servers.join(", ") })
    }

    /// c.
    pub fn cores(&self) -> f64 {
        self.cores
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights.insert("exponents", base_matrix(&self.exponents).into_dyn());
        weights.insert("cores", Array1::from(vec![self.cores]).into_dyn());
        weights
    }

    pub(crate) fn from_weights(apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        let base_s = checked_times(base_times(&weights.take_matrix("base_s", apps.len(), 3)?))?;
        let exponents = base_times(&weights.take_matrix("exponents", apps.len(), 3)?);
        let cores = weights.take_vector("cores", 1)?[0];
        if cores <= 0.0 {
            let problem = format!("is {cores}, but must be above 0");
            return Err(Error::InvalidTensor { tensor: "cores".to_owned(), problem });
        }
        Ok(Self { apps, base_s, cores, exponents })
    }
}

impl Profiler for Queueing {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let stretch = stretch(&self.base_s, self.cores, server).ln();
        let of = |load: &Load| {
            let (base, exponents) = (self.base_s[load.app], self.exponents[load.app]);
            uncrossed(std::array::from_fn(|k| base[k].ln() + exponents[k] * stretch))
        };
        Ok(server.iter().map(of).collect())
    }
}

/// s.
fn stretch(base_s: &[[f64; 3]], cores: f64, server: &[Load]) -> f64 {
    let replicas: f64 = server.iter().map(|load| load.instances).sum();
    let u = server.iter().map(|load| load.instances * load.rate * base_s[load.app][0]).sum::<f64>() / cores;
    let most = (replicas / cores).max(1.0);
    if u >= 1.0 {
        return most;
    }
    let wait = u.powf((2.0 * (cores + 1.0)).sqrt() - 1.0) / (cores * (1.0 - u));
    (1.0 + wait).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_is_m_m_1() {
        // c = 1: U^(2 − 1) / (1 − U), the wait of M/M/1 in units of service: U = 0.5 gives s = 2.
        let load = |instances, rate| Load { app: 0, instances, rate };
        let base = [[0.1; 3]];
        assert!((stretch(&base, 1.0, &[load(5.0, 1.0)]) - 2.0).abs() < 1e-12);
        // Two replicas on one core stretch each other to 2 at most; overload is that limit.
        assert_eq!(stretch(&base, 1.0, &[load(2.0, 4.9)]), 2.0);
        assert_eq!(stretch(&base, 1.0, &[load(4.0, 50.0)]), 4.0);
        assert_eq!(stretch(&base, 8.0, &[load(4.0, 50.0)]), 1.0);
    }
}
