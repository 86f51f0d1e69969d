//! What is gathered of one tenant, request by request, until it is a row of `tenants/` and one of `quantiles/`.

use crate::counter_rates::CounterRates;
use crate::order::Order;
use crate::store::{QUANTILES, QuantileRow, TenantRow};
use crate::summary::{Estimate, Outcomes};
use crate::{Phases, RequestStatus, Sla, Tenant};

/// A tenant of a run, of which requests and counters are taken note of one by one: 16 bytes a request.
///
/// # Example
/// ```
/// use neuro_data::{Phases, RequestStatus, Tally, Tenant};
///
/// let phases = Phases { warmup_s: 0.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 0 };
/// let tenant = Tenant { id: "t0".into(), app: "tclf-rf".into(), instances: 1, rate: 2.0 };
/// let mut tally = Tally::new(phases.warmup_s, phases.end_s());
/// for i in 0..20 {
///     tally.request(RequestStatus::Ok, false, Some(f64::from(i) / 2.0), Some(0.1));
/// }
/// let (row, quantiles) = tally.summarise("a-run", &tenant, &phases);
/// assert_eq!((row.completed, quantiles.samples), (20, 20));
/// assert!((row.mean_s.unwrap() - 0.1).abs() < 1e-12);
/// ```
#[derive(Debug)]
pub struct Tally {
    outcomes: Outcomes,
    counters: CounterRates,
    starved: bool,
}

impl Tally {
    /// Of a tenant whose counters are read between two instants, seconds.
    pub fn new(window_start_s: f64, window_end_s: f64) -> Self {
        let counters = CounterRates::new(window_start_s, window_end_s);
        Self { outcomes: Outcomes::default(), counters, starved: false }
    }

    /// Makes room for further requests.
    pub(crate) fn reserve(&mut self, requests: usize) {
        self.outcomes.reserve(requests);
    }

    /// Takes note of one request; `start_s` is when its inference started, or when it was sent where only that is known.
    pub fn request(&mut self, status: RequestStatus, warmup: bool, start_s: Option<f64>, service_s: Option<f64>) {
        self.outcomes.push(status, warmup, start_s, service_s);
    }

    /// Takes note of a reading of a replica's counter: `count` events since the one before, `None` where unknown. Readings of a
    /// replica and event come in order of time.
    pub fn counter(&mut self, replica: u32, event: &str, time_s: f64, count: Option<f64>) {
        self.counters.push(replica, event, time_s, count);
    }

    /// Says that it is known that none of its requests was served.
    pub fn set_starved(&mut self, starved: bool) {
        self.starved = starved;
    }

    /// The summary, and the service times behind it.
    pub fn summarise(self, run_id: &str, tenant: &Tenant, phases: &Phases) -> (TenantRow, QuantileRow) {
        let (summary, order) = self.outcomes.summarise(tenant, phases);
        let ends = |estimate: Option<Estimate>| {
            let interval = estimate.and_then(|e| e.interval);
            (estimate.map(|e| e.value), interval.map(|i| i.0), interval.map(|i| i.1))
        };
        let [mean, p75, p95] = Sla::ALL.map(|sla| ends(summary.of(sla)));
        let counter = |event| self.counters.of(event);
        let (cpu_clock, cache_references) = (counter("cpu-clock"), counter("cache-references"));
        let (cache_misses, page_faults) = (counter("cache-misses"), counter("page-faults"));
        let row = TenantRow {
            run_id: run_id.to_owned(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            instances: tenant.instances,
            rate: tenant.rate,
            completed: summary.completed,
            censored: summary.censored,
            failed: summary.failed,
            samples: summary.samples,
            unstable: summary.unstable || self.starved,
            mean_s: mean.0,
            mean_s_lo: mean.1,
            mean_s_hi: mean.2,
            p75_s: p75.0,
            p75_s_lo: p75.1,
            p75_s_hi: p75.2,
            p95_s: p95.0,
            p95_s_lo: p95.1,
            p95_s_hi: p95.2,
            cpu_clock_mean: cpu_clock.0,
            cpu_clock_std: cpu_clock.1,
            cache_references_mean: cache_references.0,
            cache_references_std: cache_references.1,
            cache_misses_mean: cache_misses.0,
            cache_misses_std: cache_misses.1,
            page_faults_mean: page_faults.0,
            page_faults_std: page_faults.1,
        };
        let quantiles = QuantileRow {
            run_id: run_id.to_owned(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            samples: summary.samples,
            service_s: at_even_ranks(order, QUANTILES),
        };
        (row, quantiles)
    }
}

/// At most `most` figures of a sample, at even ranks from the first to the last.
fn at_even_ranks(mut order: Order, most: usize) -> Vec<f64> {
    if order.len() <= most {
        return order.all();
    }
    (0..most).map(|i| order.quantile(i as f64 / (most - 1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_figures_are_kept_and_many_thinned_out_evenly() {
        assert_eq!(at_even_ranks(Order::of(&[5.0, 1.0, 2.0]), 3), [1.0, 2.0, 5.0]);
        let many: Vec<f64> = (0..=1000).rev().map(f64::from).collect();
        assert_eq!(at_even_ranks(Order::of(&many), 5), [0.0, 250.0, 500.0, 750.0, 1000.0]);
    }
}
