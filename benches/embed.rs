//! Optimising over random ReLU networks: every size with every encoding and level of bounds, binaries and nodes beside time.
//!
//! `cargo bench --bench embed` first times the levels of bounds and the short searches by criterion, then solves each size with each
//! method once, under a limit, and prints a table: what ran into the limit says so by its termination and gap.
//! `NEURO_EMBED_LIMIT_S` sets the limit (3 by default), `NEURO_EMBED_SEED` the networks' seed (1).

use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use criterion::Criterion;
use ndarray::{Array1, Array2};
use neuro_opt::formulation::{Encoding, Milp};
use neuro_opt::solver::cbc::Cbc;
use neuro_opt::{Domain, Level, Limits, NetworkMethod, NetworkProblem, Search, Sense, Tightening, tighten};
use neuro_profiler::network::{Activation, Dense, Network};
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

const SIZES: [[usize; 2]; 4] = [[16, 16], [24, 24], [32, 32], [50, 25]];
/// As in `embed_compare.py`: the length of the context in the published profiler.
const INPUTS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let limit = Duration::from_secs_f64(setting("NEURO_EMBED_LIMIT_S", 3.0)?);
    let seed = setting("NEURO_EMBED_SEED", 1.0)? as u64;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10)
        .configure_from_args();
    for size in SIZES {
        let problem = problem(size, seed)?;
        let mut group = criterion.benchmark_group(format!("bounds/{}-{}", size[0], size[1]));
        for level in Level::ALL.into_iter().filter(|level| *level < Level::Mip) {
            let tightening = Tightening::up_to(level);
            let run = || tighten(&problem, &tightening, &Limits::default(), Instant::now());
            group.bench_function(level.id(), |b| b.iter(run));
        }
        group.finish();
    }
    let small = problem(SIZES[0], seed)?;
    let run = || Search::default().optimise(&small, &Limits::default(), &mut |_| ControlFlow::Continue(()));
    criterion.bench_function("optimise/16-16/search", |b| b.iter(run));
    criterion.final_summary();
    // A test run, a list or a filter wants none of it.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        table(limit, seed)?;
    }
    Ok(())
}

/// A figure from the environment.
fn setting(name: &str, default: f64) -> Result<f64, Box<dyn Error>> {
    match std::env::var(name) {
        Ok(text) => text.parse::<f64>().map_err(|error| format!("{name} is {text:?}: {error}").into()),
        Err(_) => Ok(default),
    }
}

/// Every size, encoding and level once.
#[allow(clippy::print_stdout)]
fn table(limit: Duration, seed: u64) -> Result<(), Box<dyn Error>> {
    println!("seed {seed}, {INPUTS} inputs, limit {limit:?}");
    println!(
        "{:6} {:20} {:10} {:>8} {:>8} {:>8} {:>9} {:>9}  end",
        "size", "method", "bounds", "binaries", "left", "nodes", "seconds", "gap"
    );
    for size in SIZES {
        let problem = problem(size, seed)?;
        let line = |name: &str, level: Level, method: &dyn NetworkMethod| -> Result<(), Box<dyn Error>> {
            let outcome = method.optimise(&problem, &Limits::of_time(limit), &mut |_| ControlFlow::Continue(()))?;
            let gap = outcome.outcome.gap().map_or("none".to_owned(), |gap| format!("{:.4} %", 100.0 * gap));
            println!(
                "{:6} {name:20} {:10} {:>8} {:>8} {:>8} {:>9.3} {gap:>9}  {}",
                format!("{}-{}", size[0], size[1]),
                level.id(),
                outcome.binaries_before(),
                outcome.binaries_after(),
                outcome.outcome.nodes,
                outcome.outcome.seconds,
                outcome.outcome.termination.id(),
            );
            Ok(())
        };
        for level in Level::ALL {
            let tightening = Tightening::up_to(level);
            line("search", level, &Search { tightening: tightening.clone(), ..Search::default() })?;
            for encoding in Encoding::ALL {
                let milp = Milp { encoding, tightening: tightening.clone(), ..Milp::new(&Cbc) };
                line(encoding.id(), level, &milp)?;
            }
        }
    }
    Ok(())
}

/// As in `embed_compare.py`: He weights, a box, one row, one output, maximised.
fn problem(size: [usize; 2], seed: u64) -> Result<NetworkProblem, Box<dyn Error>> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let widths = [INPUTS, size[0], size[1], 1];
    let layers = widths.windows(2).enumerate().map(|(index, pair)| {
        let scale = (2.0 / pair[0] as f64).sqrt();
        let weights = Array2::from_shape_fn((pair[1], pair[0]), |_| scale * random.sample::<f64, _>(StandardNormal));
        let bias = Array1::from_shape_fn(pair[1], |_| 0.1 * random.sample::<f64, _>(StandardNormal));
        Dense::new(weights, bias, if index < 2 { Activation::Relu } else { Activation::Identity })
    });
    let network = Network::new(layers.collect::<Result<_, _>>()?)?;
    let domain =
        Domain::new(vec![-1.0; INPUTS], vec![1.0; INPUTS])?.with_row(vec![1.0; INPUTS], INPUTS as f64 / 4.0)?;
    Ok(NetworkProblem::new(network, domain, vec![1.0], Sense::Maximise)?)
}
