//! Optimising over random ReLU networks: every size, encoding and level of bounds; binaries and nodes beside time.

use std::ops::ControlFlow;
use std::time::Duration;

use criterion::Criterion;
use ndarray::{Array1, Array2};
use neuro_opt::formulation::{Encoding, Milp};
use neuro_opt::solver::cbc::Cbc;
use neuro_opt::{Domain, Level, Limits, NetworkMethod, NetworkProblem, Search, Sense, Tightening, tighten};
use neuro_profiler::network::{Activation, Dense, Network};
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;

const SIZES: [[usize; 2]; 4] = [[16, 16], [24, 24], [32, 32], [50, 25]];
const INPUTS: usize = 5;
/// Limit of one solve, so that a round ends.
const LIMIT: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(2))
        .sample_size(10)
        .configure_from_args();
    for size in SIZES {
        let problem = problem(size, 1)?;
        let name = format!("{}-{}", size[0], size[1]);
        let mut group = criterion.benchmark_group(format!("bounds/{name}"));
        for level in Level::ALL {
            let tightening = Tightening::up_to(level);
            let run = || tighten(&problem, &tightening, &Limits::default(), std::time::Instant::now());
            let binaries = run()?.and_then(|tightened| tightened.levels.last().map(|level| level.phases.split));
            group.bench_function(format!("{} ({} binaries)", level.id(), binaries.unwrap_or(0)), |b| b.iter(run));
        }
        group.finish();
        let mut group = criterion.benchmark_group(format!("optimise/{name}"));
        let search = Search::default();
        time(&mut group, "search", &search, &problem)?;
        // CBC's solves of the larger networks take minutes.
        if size[0] > 16 {
            continue;
        }
        for encoding in Encoding::ALL {
            for level in [Level::Interval, Level::Rows, Level::LpCutoff] {
                let milp = Milp { encoding, tightening: Tightening::up_to(level), ..Milp::new(&Cbc) };
                time(&mut group, &format!("cbc {} {}", encoding.id(), level.id()), &milp, &problem)?;
            }
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn time(
    group: &mut Group<'_>,
    name: &str,
    method: &dyn NetworkMethod,
    problem: &NetworkProblem,
) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::of_time(LIMIT);
    let run = || method.optimise(problem, &limits, &mut |_| ControlFlow::Continue(()));
    let outcome = run()?;
    let (binaries, nodes) = (outcome.binaries_after(), outcome.outcome.nodes);
    group.bench_function(
        format!("{name} ({binaries} binaries, {nodes} nodes, {:?})", outcome.outcome.termination),
        |b| {
            b.iter(run);
        },
    );
    Ok(())
}

/// As in `embed_compare.py`: He weights, a box, one row, one output, maximised.
fn problem(size: [usize; 2], seed: u64) -> Result<NetworkProblem, Box<dyn std::error::Error>> {
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
