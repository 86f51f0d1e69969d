//! Times training steps and the compiled profiler; `train_torch.py` runs it in turn with PyTorch on batches of the same sizes.
//!
//! Prints one JSON object: microseconds a training step, nanoseconds an answer, each the median of rounds.

use std::hint::black_box;
use std::time::Instant;

use neuro_data::RunKind;
use neuro_profiler::server_state::CompiledHead;
use neuro_profiler::train::{
    ContextPoint, DeepSetsParams, DeepSetsTrainer, ServerStateParams, ServerStateTrainer, train_server_state,
};
use neuro_profiler::{Load, RunSample, TenantSample, TrainingSet};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The allocator of the `neuro` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const APPS: usize = 9;
/// Tenants of a run: a datapoint of the published network has eight others.
const TENANTS: usize = 9;
const RUNS: usize = 512;

fn main() -> neuro_profiler::Result<()> {
    let set = set();
    let runs: Vec<usize> = (0..RUNS).collect();

    let params = ServerStateParams::default();
    let mut trainer = ServerStateTrainer::new(&set, &runs, &params, None)?;
    let server_state = steps(2_000, |i| {
        let batch: Vec<usize> = (0..params.batch).map(|j| (i * params.batch + j) % RUNS).collect();
        black_box(trainer.step(&batch, 1e-3));
    });

    let points: Vec<ContextPoint> = set.runs.iter().flat_map(ContextPoint::of_run).collect();
    let paper = |size: usize, count: usize| -> neuro_profiler::Result<f64> {
        let params = DeepSetsParams::default();
        let mut trainer = DeepSetsTrainer::new(&set, &points, &params)?;
        Ok(steps(count, |i| {
            let batch: Vec<usize> = (0..size).map(|j| (i * size + j) % points.len()).collect();
            black_box(trainer.step(&batch, 1e-3, 0.1));
        }))
    };
    let (paper_16, paper_256) = (paper(16, 3_000)?, paper(256, 300)?);

    let params = ServerStateParams { steps: 200, ..params };
    let model = train_server_state(&set, &runs, &[], &params, None, &mut ())?.model;
    let head = CompiledHead::new(&model);
    let terms: Vec<_> = (0..64).map(|i| head.terms(&model.terms(i % APPS, 1.0 + i as f64 / 8.0))).collect();
    let mut server = head.empty();
    let change = 1e3
        * steps(200_000, |i| {
            server.add(&terms[i % 64], if i / 64 % 2 == 0 { 1.0 } else { -1.0 });
            black_box(server.outputs(&head));
        });
    let jacobian = 1e3
        * steps(100_000, |i| {
            server.add(&terms[i % 64], if i / 64 % 2 == 0 { 1.0 } else { -1.0 });
            black_box(server.jacobian(&head));
        });

    let object = serde_json::json!({
        "server_state_step_us": server_state,
        "paper_16_step_us": paper_16,
        "paper_256_step_us": paper_256,
        "server_after_change_ns": change,
        "server_jacobian_ns": jacobian,
    });
    #[expect(clippy::print_stdout, reason = "this is the program's result")]
    {
        println!("{object}");
    }
    Ok(())
}

/// Microseconds of one call: the median of five rounds of `count` calls, after one that is not counted.
fn steps(count: usize, mut step: impl FnMut(usize)) -> f64 {
    let mut round = || {
        let start = Instant::now();
        (0..count).for_each(&mut step);
        1e6 * start.elapsed().as_secs_f64() / count as f64
    };
    round();
    let mut rounds: Vec<f64> = (0..5).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[2]
}

/// Runs of random tenants with random times: what is learned does not matter here.
fn set() -> TrainingSet {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut tenant = |i: usize| TenantSample {
        id: format!("t{i}"),
        load: Load { app: i % APPS, instances: f64::from(rng.gen_range(1..9)), rate: rng.gen_range(0.5..40.0) },
        seconds: [Some(rng.gen_range(0.01..0.1)), Some(rng.gen_range(0.1..0.2)), Some(rng.gen_range(0.2..0.3))],
        errors: [None; 3],
        longer_than_s: None,
        counters: [Some(rng.gen_range(1.0..2.0)); 3],
    };
    let mut run = |i: usize| RunSample {
        run_id: format!("r{i:05}"),
        kind: RunKind::Random,
        tenants: (0..TENANTS).map(&mut tenant).collect(),
    };
    let apps = (0..APPS).map(|app| format!("app-{app}")).collect();
    TrainingSet::new(apps, vec!["random".to_owned()], (0..RUNS).map(&mut run).collect())
}
