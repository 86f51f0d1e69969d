//! The arrival schedule of a run, made whole before the run starts.

use std::collections::BTreeMap;

use neuro_data::{RunSpec, Tenant, derive_seed};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One arrival.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// Index of the tenant in the run's specification.
    pub tenant: usize,
    /// Replica of the tenant, from 0.
    pub replica: u32,
    /// Number of the arrival at its replica, from 0.
    pub seq: u64,
    /// When it is due, seconds from the start of the run's load.
    pub intended_s: f64,
}

/// The seed of one replica's arrivals.
pub fn arrival_seed(spec: &RunSpec, run_id: &str, tenant_id: &str, replica: u32) -> u64 {
    derive_seed(spec.seed, &["arrivals", run_id, tenant_id, &replica.to_string()])
}

/// The seeds of the arrivals of all replicas, keyed `tenant/replica`.
pub(crate) fn arrival_seeds(spec: &RunSpec, run_id: &str) -> BTreeMap<String, u64> {
    let seed =
        |tenant_id: &str, replica| (format!("{tenant_id}/{replica}"), arrival_seed(spec, run_id, tenant_id, replica));
    spec.tenants.iter().flat_map(|t| (0..t.instances).map(move |replica| seed(&t.id, replica))).collect()
}

/// The arrival times of one replica, one after another without end: a Poisson process.
#[derive(Debug, Clone)]
pub struct ArrivalTimes {
    rng: ChaCha8Rng,
    rate: f64,
    last_s: f64,
}

impl ArrivalTimes {
    /// Those of a replica of a run's tenant.
    pub fn new(spec: &RunSpec, run_id: &str, tenant: &Tenant, replica: u32) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(arrival_seed(spec, run_id, &tenant.id, replica));
        Self { rng, rate: tenant.rate, last_s: 0.0 }
    }

    /// The next one, seconds from the start of the run's load.
    pub fn next_s(&mut self) -> f64 {
        // An exponential gap by inversion; 1 − u lies in (0, 1], so the logarithm is finite.
        self.last_s -= (1.0 - self.rng.r#gen::<f64>()).ln() / self.rate;
        self.last_s
    }
}

/// All arrivals of a run, warm-up and window, in order of time.
///
/// Each replica has a Poisson process of the tenant's per-replica rate and a random stream of its own. That is the same as one
/// process of rate × instances whose arrivals choose a replica uniformly (thinning: J. F. C. Kingman, *Poisson Processes*,
/// Oxford, 1993, section 5.1), without a second stream, and no replica's arrivals move when another tenant is added.
///
/// # Example
/// ```
/// use neuro_data::{Phases, RunKind, RunSpec, Tenant};
///
/// let spec = RunSpec {
///     kind: RunKind::Baseline,
///     name: "demo".into(),
///     repeat: 0,
///     seed: 7,
///     threads: 1,
///     phases: Phases { warmup_s: 1.0, duration_s: 9.0, drain_s: 1.0, warmup_inferences: 1 },
///     tenants: vec![Tenant { id: "t".into(), app: "a".into(), instances: 2, rate: 50.0 }],
///     target: None,
/// };
/// let arrivals = neuro_k8s::schedule::arrivals(&spec, &spec.run_id());
/// assert!((900..1_100).contains(&arrivals.len()));
/// assert_eq!(arrivals, neuro_k8s::schedule::arrivals(&spec, &spec.run_id()));
/// ```
pub fn arrivals(spec: &RunSpec, run_id: &str) -> Vec<Arrival> {
    let end_s = spec.phases.end_s();
    let mut arrivals = Vec::new();
    for (tenant_index, tenant) in spec.tenants.iter().enumerate() {
        for replica in 0..tenant.instances {
            let mut times = ArrivalTimes::new(spec, run_id, tenant, replica);
            for seq in 0.. {
                let intended_s = times.next_s();
                if intended_s >= end_s {
                    break;
                }
                arrivals.push(Arrival { tenant: tenant_index, replica, seq, intended_s });
            }
        }
    }
    arrivals.sort_by(|a, b| a.intended_s.total_cmp(&b.intended_s));
    arrivals
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_data::{Phases, RunKind};

    fn spec(tenants: Vec<Tenant>) -> RunSpec {
        let phases = Phases { warmup_s: 100.0, duration_s: 900.0, drain_s: 1.0, warmup_inferences: 1 };
        RunSpec {
            kind: RunKind::Random,
            name: "s".into(),
            repeat: 0,
            seed: 3,
            threads: 1,
            phases,
            tenants,
            target: None,
        }
    }

    fn tenant(id: &str, instances: u32, rate: f64) -> Tenant {
        Tenant { id: id.into(), app: "a".into(), instances, rate }
    }

    #[test]
    fn gaps_are_exponential_and_replicas_share_evenly() {
        let arrivals = arrivals(&spec(vec![tenant("t", 4, 5.0)]), "run");
        // 20/s for 1,000 s: 20,000 ± 4 standard deviations of 141.
        assert!((19_435..20_565).contains(&arrivals.len()), "{}", arrivals.len());
        assert!(arrivals.is_sorted_by(|a, b| a.intended_s <= b.intended_s));
        for replica in 0..4 {
            let own: Vec<f64> = arrivals.iter().filter(|a| a.replica == replica).map(|a| a.intended_s).collect();
            assert!((4_717..5_283).contains(&own.len()), "{}", own.len());
            let gaps: Vec<f64> = own.windows(2).map(|w| w[1] - w[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            // Squared coefficient of variation of an exponential: 1.
            assert!((variance / mean.powi(2) - 1.0).abs() < 0.1);
            // The share of gaps over the mean: 1/e.
            let over = gaps.iter().filter(|g| **g > mean).count() as f64 / gaps.len() as f64;
            assert!((over - (-1.0f64).exp()).abs() < 0.03, "{over}");
        }
    }

    #[test]
    fn a_further_tenant_moves_nobody_s_arrivals() {
        let one = arrivals(&spec(vec![tenant("t", 2, 5.0)]), "run");
        let two = arrivals(&spec(vec![tenant("t", 2, 5.0), tenant("u", 3, 9.0)]), "run");
        let own: Vec<Arrival> = two.iter().filter(|a| a.tenant == 0).copied().collect();
        assert_eq!(one, own);
        assert_ne!(one, arrivals(&spec(vec![tenant("t", 2, 5.0)]), "another run"));
    }

    #[test]
    fn the_arrivals_of_a_seed_never_change() {
        // Golden values of this code: a change of the derivation, the generator or the inversion must not go unseen.
        let mut spec = spec(vec![tenant("t", 1, 2.0)]);
        spec.phases = Phases { warmup_s: 0.0, duration_s: 2.0, drain_s: 1.0, warmup_inferences: 0 };
        let times: Vec<f64> = arrivals(&spec, "golden").iter().take(3).map(|a| a.intended_s).collect();
        assert_eq!(times, [0.6420445810401417, 1.7769229335408205, 1.8736981224791254]);
    }
}
