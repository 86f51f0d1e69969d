//! Time of one inference of each application at its default batch, on one compute thread.

use std::process::ExitCode;
use std::time::Duration;

use criterion::Criterion;
use neuro_apps::app::InferenceApp;
use neuro_apps::error::Result;
use neuro_apps::process::ensure_compute_threads;
use neuro_apps::registry::Registry;

/// The allocator of `neuro-app`: what is timed here is what the service does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match ensure_compute_threads(1).and_then(|()| run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.exit_code()),
    }
}

fn run() -> Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .sample_size(20)
        .configure_from_args();
    let mut group = criterion.benchmark_group("infer");
    for app in Registry::built_in().apps() {
        let mut model = app.build(0, None)?;
        // Builds the input, which the timed closure then finds ready.
        model.infer(app.default_batch)?;
        group.bench_function(app.id, |bencher| bencher.iter(|| model.infer(app.default_batch)));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
