//! Events of the simulated server a second, and how the time of an event grows with the number of replicas.
//!
//! The offered load is the same for every number of replicas, so that a run has about as many events whatever their number.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use neuro_data::campaign::{CampaignParams, Filling, random};
use neuro_data::{Catalogue, Phases, RunKind, RunSpec, Tenant};
use neuro_k8s::Interrupt;
use neuro_k8s::sim::{SimParams, SimulatedRun, SimulatedServer, simulate};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests per second of all replicas together.
const RATE: f64 = 400.0;

fn main() -> neuro_data::Result<()> {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let params = SimParams::built_in();
    let server = params.server("edge-a")?;

    let mut group = criterion.benchmark_group("events");
    for replicas in [16, 64, 256, 1_024, 4_096] {
        let spec = spread(replicas);
        group.throughput(Throughput::Elements(run(&spec, server)?.map_or(0, |run| run.events)));
        group.bench_with_input(BenchmarkId::from_parameter(replicas), &spec, |bencher, spec| {
            bencher.iter(|| run(black_box(spec), server));
        });
    }
    group.finish();

    // A run of the study: 28 GB of random tenants for thirty minutes.
    let phases = Phases { warmup_s: 30.0, duration_s: 1_800.0, drain_s: 30.0, warmup_inferences: 3 };
    let campaign = CampaignParams { seed: 1, threads: 1, phases, observed_rate: None };
    let filling = Filling { memory_gb: 28.0, partly: 0.0 };
    let study: Vec<RunSpec> = random(&campaign, Catalogue::built_in().apps(), filling, 8).collect();
    let mut group = criterion.benchmark_group("run");
    group.throughput(Throughput::Elements(study.len() as u64));
    group.bench_function("random, 28 GB, 30 min", |bencher| {
        bencher.iter(|| study.iter().map(|spec| run(spec, server)).collect::<Vec<_>>());
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn run(spec: &RunSpec, server: SimulatedServer<'_>) -> neuro_data::Result<Option<SimulatedRun>> {
    simulate(spec, server, 1e6, &Interrupt::new())
}

/// Replicas of two services that hardly slow one another down, under one offered load: others would jam where many of them run at
/// once, and a jammed server has few events.
fn spread(replicas: u32) -> RunSpec {
    let tenant = |app: &str, instances: u32| Tenant {
        id: app.to_owned(),
        app: app.to_owned(),
        instances,
        rate: RATE / 2.0 / f64::from(instances),
    };
    RunSpec {
        kind: RunKind::Random,
        name: format!("{replicas}-replicas"),
        repeat: 0,
        seed: 1,
        threads: 1,
        phases: Phases { warmup_s: 0.0, duration_s: 300.0, drain_s: 10.0, warmup_inferences: 0 },
        tenants: ["kalman-gru", "tclf-rf"].map(|app| tenant(app, replicas / 2)).into(),
        target: None,
    }
}
