//! Campaigns: which runs an experiment consists of, as pure iterators, and the order they are done in.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::seed::derive_seed;
use crate::{Application, LoadClass, Phases, RunKind, RunSpec, Tenant};

/// Id of the tenant that a baseline or pairwise run is about.
pub const OBSERVED: &str = "observed";
/// Id of the tenant beside it in a pairwise run.
pub const NEIGHBOUR: &str = "neighbour";

/// What all runs of a campaign share.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignParams {
    /// Master seed.
    pub seed: u64,
    /// Compute threads of each replica.
    pub threads: u32,
    /// Phases of every run.
    pub phases: Phases,
    /// Arrival rate of the observed tenant's one replica in baseline and pairwise runs, requests per second. Where none is given it
    /// is the application's [light rate](Application::light_rate), and the window is prolonged to 20 arrivals if need be, so that
    /// a slow application is neither overloaded nor left without samples.
    pub observed_rate: Option<f64>,
}

/// Expected arrivals of the observed tenant in a window, at least, where its rate is left to its application.
const ARRIVALS: f64 = 20.0;

impl CampaignParams {
    fn run(&self, kind: RunKind, name: String, repeat: u32, tenants: Vec<Tenant>) -> RunSpec {
        RunSpec {
            kind,
            name,
            repeat,
            seed: self.seed,
            threads: self.threads,
            phases: self.phases,
            tenants,
            target: None,
        }
    }

    /// A run about one replica of `app`, beside `others`.
    fn observing(&self, app: &Application, kind: RunKind, name: String, repeat: u32, others: Vec<Tenant>) -> RunSpec {
        let rate = self.observed_rate.unwrap_or_else(|| app.light_rate());
        let observed = Tenant { id: OBSERVED.to_owned(), app: app.id.clone(), instances: 1, rate };
        let mut run = self.run(kind, name, repeat, [vec![observed], others].concat());
        // A window that is no length of time stays what it is, to be refused.
        if self.observed_rate.is_none() && run.phases.duration_s > 0.0 {
            run.phases.duration_s = run.phases.duration_s.max(ARRIVALS / rate);
        }
        run
    }
}

/// Each application alone with one replica, `repeats` times.
pub fn baseline<'a>(
    params: &'a CampaignParams,
    apps: &'a [Application],
    repeats: u32,
) -> impl Iterator<Item = RunSpec> + 'a {
    (0..repeats).flat_map(move |repeat| {
        apps.iter().map(move |app| params.observing(app, RunKind::Baseline, app.id.clone(), repeat, Vec::new()))
    })
}

/// Every ordered pair (a, b) of the applications, a pair with itself included: one replica of a, beside each number of
/// replicas of b at each rate (requests per second per replica), `repeats` times.
///
/// # Example
/// ```
/// use neuro_data::campaign::{CampaignParams, pairwise};
/// use neuro_data::{Catalogue, Phases};
///
/// let phases = Phases { warmup_s: 5.0, duration_s: 60.0, drain_s: 10.0, warmup_inferences: 3 };
/// let params = CampaignParams { seed: 1, threads: 1, phases, observed_rate: Some(5.0) };
/// // The grid of the NeuRO study, of its nine applications.
/// assert_eq!(pairwise(&params, Catalogue::built_in().apps(), &[4, 8, 16], &[1.0, 2.0, 3.0, 4.0], 1).count(), 972);
/// ```
pub fn pairwise<'a>(
    params: &'a CampaignParams,
    apps: &'a [Application],
    instances: &'a [u32],
    rates: &'a [f64],
    repeats: u32,
) -> impl Iterator<Item = RunSpec> + 'a {
    let pairs = move |repeat| apps.iter().flat_map(move |a| apps.iter().map(move |b| (repeat, a, b)));
    (0..repeats).flat_map(pairs).flat_map(move |(repeat, a, b)| {
        instances.iter().flat_map(move |&n| {
            rates.iter().map(move |&rate| {
                let neighbour = Tenant { id: NEIGHBOUR.to_owned(), app: b.id.clone(), instances: n, rate };
                let name = format!("{}_{}_n{n}_r{rate}", a.id, b.id);
                params.observing(a, RunKind::Pairwise, name, repeat, vec![neighbour])
            })
        })
    })
}

/// How far random runs fill their server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filling {
    /// Memory of the server for tenants, GB.
    pub memory_gb: f64,
    /// Share of the runs that fill only a part of it, 0 to 1; how much of it is uniform.
    pub partly: f64,
}

impl Filling {
    /// The memory that the run of a name fills, GB.
    fn of_run(self, seed: u64, name: &str) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(seed, &["campaign", "filling", name]));
        if rng.r#gen::<f64>() < self.partly { self.memory_gb * rng.r#gen::<f64>() } else { self.memory_gb }
    }
}

/// `runs` runs of random tenants that fill a server.
///
/// A draw takes an application uniformly; one of the low load class is skipped with probability 0.4. High class: U{20..100}
/// req/s and U{2..10} replicas per tenant; low class: U{1..5} req/s and U{1..3}; the rate per replica is the quotient. A run
/// is full when the next tenant does not fit what it is to fill; the first may be larger than that, but not than the server. A memory
/// that is not finite cannot be filled, and gives no run.
pub fn random<'a>(
    params: &'a CampaignParams,
    apps: &'a [Application],
    filling: Filling,
    runs: u32,
) -> impl Iterator<Item = RunSpec> + 'a {
    (0..runs).filter_map(move |i| {
        let name = format!("r{i:05}");
        let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(params.seed, &["campaign", "random", &name]));
        let to_fill_gb = filling.of_run(params.seed, &name);
        let mut used_gb = 0.0;
        let mut tenants = Vec::new();
        while let Some(app) = apps.choose(&mut rng) {
            let (rates, replicas) = match app.load {
                LoadClass::Low if rng.gen_bool(0.4) => continue,
                LoadClass::Low => (1..=5, 1..=3),
                LoadClass::High => (20..=100, 2..=10),
            };
            let (total, instances): (u32, u32) = (rng.gen_range(rates), rng.gen_range(replicas));
            used_gb += app.memory_gb * f64::from(instances);
            let limit_gb = if tenants.is_empty() { filling.memory_gb } else { to_fill_gb };
            if used_gb > limit_gb || !limit_gb.is_finite() {
                break;
            }
            let id = format!("t{}", tenants.len());
            tenants.push(Tenant { id, app: app.id.clone(), instances, rate: f64::from(total) / f64::from(instances) });
        }
        (!tenants.is_empty()).then(|| params.run(RunKind::Random, name, 0, tenants))
    })
}

/// Puts runs into the order they are done in: shuffled by seed, so that a drift of the machine does not look like an effect
/// of load, with the baselines spread evenly among them, so that the drift can be seen.
pub fn in_measuring_order(runs: impl IntoIterator<Item = RunSpec>, seed: u64) -> Vec<RunSpec> {
    let mut rng = ChaCha8Rng::seed_from_u64(derive_seed(seed, &["campaign", "order"]));
    let (mut baselines, mut others): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| run.kind == RunKind::Baseline);
    baselines.shuffle(&mut rng);
    baselines.sort_by_key(|run| run.repeat);
    others.shuffle(&mut rng);
    let (count, total) = (baselines.len(), baselines.len() + others.len());
    let (mut baselines, mut others) = (baselines.into_iter(), others.into_iter());
    let mut done = 0;
    (0..total)
        .filter_map(|i| {
            // Baseline k stands at position round(k·(total − 1)/(count − 1)): the first opens, the last closes.
            let due = count > 0 && done < count && i * (count.max(2) - 1) >= done * (total - 1);
            if due || others.len() == 0 {
                done += 1;
                baselines.next()
            } else {
                others.next()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;

    fn params() -> CampaignParams {
        let phases = Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 1 };
        CampaignParams { seed: 7, threads: 1, phases, observed_rate: Some(5.0) }
    }

    /// Called x, y and z; x is slow, z has no known speed.
    fn apps() -> Vec<Application> {
        let like = Catalogue::built_in().get("kalman-gru").unwrap().clone();
        let app = |id: &str, service_s| Application { id: id.to_owned(), service_s, ..like.clone() };
        vec![app("x", Some(0.5)), app("y", Some(0.03)), app("z", None)]
    }

    #[test]
    fn a_rate_that_is_left_out_suits_the_observed_application_and_the_window_suits_the_rate() {
        let params = CampaignParams { observed_rate: None, ..params() };
        let apps = apps();
        let loads = |runs: Vec<RunSpec>| -> Vec<(f64, f64)> {
            runs.iter().map(|run| (run.tenants[0].rate, run.phases.duration_s)).collect()
        };
        let expected = [(0.6, 20.0 / 0.6), (10.0, 10.0), (40.0, 10.0)];
        assert_eq!(loads(baseline(&params, &apps, 1).collect()), expected);
        // Ordered pairs: x observed three times, then y, then z; the neighbour's rate is the one asked for.
        let pairs: Vec<RunSpec> = pairwise(&params, &apps, &[2], &[7.0], 1).collect();
        assert!(pairs.iter().all(|run| run.tenants[1].rate == 7.0));
        assert_eq!(loads(pairs), expected.map(|load| [load; 3]).concat());
    }

    #[test]
    fn pairwise_has_every_ordered_pair_and_valid_distinct_runs() {
        let (params, apps) = (params(), apps());
        let runs: Vec<_> = pairwise(&params, &apps, &[1, 2, 4], &[10.0, 40.0], 2).collect();
        assert_eq!(runs.len(), 9 * 3 * 2 * 2);
        let ids: std::collections::BTreeSet<_> = runs.iter().map(RunSpec::run_id).collect();
        assert_eq!(ids.len(), runs.len());
        for run in &runs {
            run.validate().unwrap();
        }
        assert!(runs.iter().any(|r| r.tenants[0].app == "x" && r.tenants[1].app == "x"));
        assert!(runs.iter().any(|r| r.tenants[0].app == "y" && r.tenants[1].app == "x" && r.tenants[1].instances == 4));
    }

    #[test]
    fn the_order_is_a_permutation_that_depends_on_the_seed_and_spreads_the_baselines() {
        let (params, apps) = (params(), apps());
        let all = || baseline(&params, &apps, 2).chain(pairwise(&params, &apps, &[1, 2], &[1.0, 2.0], 1));
        let order = in_measuring_order(all(), 1);
        assert_eq!(order, in_measuring_order(all(), 1));
        assert_ne!(order, in_measuring_order(all(), 2));
        let ids = |runs: Vec<RunSpec>| runs.iter().map(RunSpec::run_id).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(ids(order.clone()), ids(all().collect()));
        let places: Vec<usize> =
            order.iter().enumerate().filter(|(_, r)| r.kind == RunKind::Baseline).map(|(i, _)| i).collect();
        assert_eq!(places.len(), 6);
        assert_eq!((places[0], places[5]), (0, order.len() - 1));
        for gap in places.windows(2) {
            assert!((8..=9).contains(&(gap[1] - gap[0])), "{places:?}");
        }
    }

    #[test]
    fn an_order_of_baselines_alone_or_of_none_is_complete() {
        let (params, apps) = (params(), apps());
        assert_eq!(in_measuring_order(baseline(&params, &apps, 1), 1).len(), 3);
        assert_eq!(in_measuring_order(baseline(&params, &apps[..1], 1), 1).len(), 1);
        assert_eq!(in_measuring_order(pairwise(&params, &apps, &[1], &[1.0], 1), 1).len(), 9);
        assert!(in_measuring_order([], 1).is_empty());
    }

    #[test]
    fn random_runs_fill_the_memory_within_the_load_ranges() {
        let params = params();
        let catalogue = Catalogue::built_in();
        let runs: Vec<_> = random(&params, catalogue.apps(), full(28.0), 200).collect();
        assert_eq!(runs, random(&params, catalogue.apps(), full(28.0), 200).collect::<Vec<_>>());
        assert_eq!(runs.len(), 200);
        let mut low = 0;
        let mut all = 0;
        for run in &runs {
            run.validate().unwrap();
            let used: f64 =
                run.tenants.iter().map(|t| catalogue.get(&t.app).unwrap().memory_gb * f64::from(t.instances)).sum();
            assert!(used <= 28.0 + 1e-9 && used > 28.0 - 10.0, "{used}");
            for tenant in &run.tenants {
                let total = tenant.rate * f64::from(tenant.instances);
                all += 1;
                match catalogue.get(&tenant.app).unwrap().load {
                    LoadClass::Low => {
                        low += 1;
                        assert!((1.0..=5.01).contains(&total) && tenant.instances <= 3);
                    }
                    LoadClass::High => assert!((19.9..=100.1).contains(&total) && (2..=10).contains(&tenant.instances)),
                }
            }
        }
        // 6 low applications of 9, each kept with probability 0.6: 3.6 / 6.6 = 55 % of the draws.
        let share = f64::from(low) / f64::from(all);
        assert!((0.48..0.65).contains(&share), "{share}");
    }

    fn full(memory_gb: f64) -> Filling {
        Filling { memory_gb, partly: 0.0 }
    }

    #[test]
    fn a_memory_without_end_gives_no_run() {
        let catalogue = Catalogue::built_in();
        for memory_gb in [f64::INFINITY, f64::NAN] {
            assert_eq!(random(&params(), catalogue.apps(), full(memory_gb), 3).count(), 0);
        }
    }

    #[test]
    fn partly_filled_servers_are_filled_to_a_uniform_share_and_the_others_as_ever() {
        let (params, catalogue) = (params(), Catalogue::built_in());
        let mixed: Vec<_> = random(&params, catalogue.apps(), Filling { memory_gb: 28.0, partly: 0.5 }, 400).collect();
        let all: Vec<_> = random(&params, catalogue.apps(), full(28.0), 400).collect();
        assert_eq!(mixed.len(), 400);
        let unchanged = mixed.iter().zip(&all).filter(|(mixed, full)| mixed == full).count();
        // Half of them, and of the others the few that are filled nearly to the top.
        assert!((170..270).contains(&unchanged), "{unchanged}");
        for (mixed, full) in mixed.iter().zip(&all) {
            assert_eq!(mixed.tenants[..], full.tenants[..mixed.tenants.len()], "a part of the full run");
        }
        assert!(mixed.iter().any(|run| run.tenants.len() == 1));
    }

    #[test]
    fn a_server_too_small_for_any_tenant_gives_no_run() {
        let catalogue = Catalogue::built_in();
        assert_eq!(random(&params(), catalogue.apps(), full(0.1), 5).count(), 0);
        assert_eq!(random(&params(), &[], full(28.0), 5).count(), 0);
    }
}
