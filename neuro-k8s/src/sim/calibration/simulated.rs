//! Measured runs done again on a simulated server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use neuro_data::summary::quantile_of_sorted;
use neuro_data::{Result, RunSpec};

use super::super::engine::simulate;
use super::super::parameters::SimulatedServer;
use super::measured::MeasuredRun;
use crate::Interrupt;

/// Simulations of a run that are pooled: the first with the run's own arrivals, the others with further ones.
const REPLICATIONS: u64 = 4;

/// Mean, p75 and p95 of the simulated service time of each tenant of each run, seconds; `None` where none started.
pub(super) fn service_times(
    runs: &[&MeasuredRun],
    server: SimulatedServer<'_>,
    seed: u64,
) -> Result<Vec<Vec<Option<[f64; 3]>>>> {
    in_parallel(runs, |run| of_run(&run.spec, server, seed)).into_iter().collect()
}

fn of_run(spec: &RunSpec, server: SimulatedServer<'_>, seed: u64) -> Result<Vec<Option<[f64; 3]>>> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); spec.tenants.len()];
    let window_s = spec.phases.warmup_s..spec.phases.end_s();
    for replication in 0..REPLICATIONS {
        let further = spec.seed.wrapping_add(seed.wrapping_mul(replication));
        let spec = RunSpec { seed: further, ..spec.clone() };
        // One reading of the counters: they are not looked at.
        let Some(run) = simulate(&spec, server, f64::INFINITY, &Interrupt::new())? else { continue };
        for (times, inferences) in times.iter_mut().zip(&run.tenants) {
            let in_window = inferences.iter().filter(|i| window_s.contains(&i.start_s) && i.end_s.is_finite());
            times.extend(in_window.map(|i| i.end_s - i.start_s));
        }
    }
    let figures = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        (!times.is_empty()).then(|| [mean, quantile_of_sorted(&times, 0.75), quantile_of_sorted(&times, 0.95)])
    };
    Ok(times.into_iter().map(figures).collect())
}

/// Applies a function to every item, on every core; the results are in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], apply: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            done.push((index, apply(item)));
        }
        done
    };
    let mut all = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        assert_eq!(super::in_parallel(&items, |x| x * x), items.iter().map(|x| x * x).collect::<Vec<_>>());
        assert!(super::in_parallel(&[] as &[u64], |x| x * x).is_empty());
    }
}
