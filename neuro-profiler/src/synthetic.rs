//! A server that obeys a formula, for tests.

use neuro_data::RunKind;
use neuro_data::campaign::{NEIGHBOUR, OBSERVED};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::profiler::Load;
use crate::training_set::{RunSample, TenantSample, TrainingSet};

/// Service time alone (s), and how strongly the application suffers from others.
const APPS: [(&str, f64, f64); 4] = [("a", 0.005, 1.0), ("b", 0.05, 0.6), ("c", 0.2, 1.5), ("d", 0.02, 0.3)];
/// What the server can do: seconds of work a second.
const CORES: f64 = 16.0;

/// Mean, p75 and p95 of every tenant's service time.
///
/// With the utilisation U = Σ n·λ·b / cores, capped at 3, a time is b·(1 + s·g(U)), g(U) = U² + 4·max(0, U − 0.9).
pub(crate) fn seconds(server: &[Load]) -> Vec<[f64; 3]> {
    let busy: f64 = server.iter().map(|load| load.instances * load.rate * APPS[load.app].1).sum();
    let u = (busy / CORES).min(3.0);
    let slowdown = u * u + 4.0 * (u - 0.9).max(0.0);
    let of = |load: &Load| {
        let (_, base, sensitivity) = APPS[load.app];
        let mean = base * (1.0 + sensitivity * slowdown);
        [mean, mean * (1.05 + 0.1 * slowdown), mean * (1.2 + 0.4 * slowdown)]
    };
    server.iter().map(of).collect()
}

pub(crate) fn server(rng: &mut ChaCha8Rng) -> Vec<Load> {
    (0..rng.gen_range(1..12))
        .map(|_| {
            let app = rng.gen_range(0..APPS.len());
            let instances: u32 = rng.gen_range(1..9);
            let busy = rng.gen_range(0.02..0.5);
            Load { app, instances: f64::from(instances), rate: busy / APPS[app].1 }
        })
        .collect()
}

/// Runs of random tenants, each time measured with an error of `noise` (standard deviation of the logarithm).
pub(crate) fn training_set(runs: usize, noise: f64, seed: u64) -> TrainingSet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sample = |i: usize| {
        let server = server(&mut rng);
        let times = seconds(&server);
        let tenants = server.iter().zip(times).enumerate().map(|(j, (load, seconds))| TenantSample {
            id: format!("t{j}"),
            load: *load,
            seconds: seconds.map(|s| {
                let error: f64 = (0..12).map(|_| rng.gen_range(-0.5..0.5)).sum();
                Some(s * (noise * error).exp())
            }),
            errors: [Some(noise); 3],
            longer_than_s: None,
            counters: [None; 3],
        });
        RunSample { run_id: format!("r{i:05}"), kind: RunKind::Random, tenants: tenants.collect() }
    };
    let runs = (0..runs).map(&mut sample).collect();
    TrainingSet::new(APPS.map(|(app, ..)| app.to_owned()).to_vec(), vec!["formula".to_owned()], runs)
}

/// The same, and runs of every pair at three numbers of instances and two rates.
pub(crate) fn with_pairs(runs: usize, seed: u64) -> TrainingSet {
    let mut set = training_set(runs, 0.0, seed);
    for observed in 0..APPS.len() {
        for neighbour in 0..APPS.len() {
            for (i, (instances, busy)) in
                [(2.0, 0.2), (8.0, 0.2), (16.0, 0.2), (2.0, 0.5), (8.0, 0.5), (16.0, 0.5)].iter().enumerate()
            {
                let load = |app: usize, instances: f64, busy: f64| Load { app, instances, rate: busy / APPS[app].1 };
                let server = [load(observed, 1.0, 0.3), load(neighbour, *instances, *busy)];
                let tenants = server.iter().zip(seconds(&server)).zip([OBSERVED, NEIGHBOUR]);
                let tenants = tenants.map(|((load, seconds), id)| TenantSample {
                    id: id.to_owned(),
                    load: *load,
                    seconds: seconds.map(Some),
                    errors: [None; 3],
                    longer_than_s: None,
                    counters: [None; 3],
                });
                let run_id = format!("pair-{observed}-{neighbour}-{i}");
                set.runs.push(RunSample { run_id, kind: RunKind::Pairwise, tenants: tenants.collect() });
            }
        }
    }
    set
}
