//! The tables of a dataset.

use super::row::{Instant, row};
use crate::{CounterSample, RequestRecord, RequestStatus, RunKind, RunStatus};

/// Version of the tables' columns, in the schema metadata as `neuro.schema`.
pub const DATASET_SCHEMA: u32 = 1;

row!(RequestRecord, "requests", {
    run_id: String, "", "run";
    tenant_id: String, "", "tenant within the run";
    app: String, "", "application";
    replica: Option<u32>, "", "replica of the tenant, from 0; null where the source pools replicas";
    seq: u64, "", "number of the arrival at its replica, from 0; at its tenant where the replica is null";
    intended_s: Option<f64>, "s", "when the schedule wants it sent, from run start";
    sent_s: Option<f64>, "s", "when it was sent, from run start";
    start_s: Option<f64>, "s", "when its inference started, from run start; null when on another host's clock";
    end_s: Option<f64>, "s", "when its inference ended, from run start; null when on another host's clock";
    client_end_s: Option<f64>, "s", "when the answer was complete at the client, from run start";
    service_s: Option<f64>, "s", "time of the inference alone";
    queueing_s: Option<f64>, "s", "time from arrival at the replica to the start of the inference";
    response_s: Option<f64>, "s", "time from intended_s to the complete answer";
    queue_len: Option<u32>, "", "requests waiting or in service at the replica on arrival";
    status: RequestStatus, "", "ok | censored | failed | dropped";
    warmup: bool, "", "due before the measured window";
});

row!(CounterSample, "counters", {
    run_id: String, "", "run";
    tenant_id: String, "", "tenant within the run";
    replica: u32, "", "replica of the tenant, from 0";
    time_s: f64, "s", "end of the interval, from run start";
    event: String, "", "event, by perf's name; cpu-clock counts ns";
    count: Option<u64>, "", "count in the interval, raw where the two times are known; null where unsupported";
    enabled_ns: Option<u64>, "ns", "time the counter was enabled in the interval";
    running_ns: Option<u64>, "ns", "time it was on the hardware in the interval";
});

/// One run: a row of `runs/`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Run.
    pub run_id: String,
    /// Kind of experiment.
    pub kind: RunKind,
    /// Server the tenants shared.
    pub server: String,
    /// Kind of target.
    pub target: String,
    /// Master seed; `None` of a run that is not ours.
    pub seed: Option<u64>,
    /// Start of the load.
    pub started_at: Option<Instant>,
    /// Length of the measured window.
    pub duration_s: Option<f64>,
    /// What the measurements are worth.
    pub status: RunStatus,
    /// Why, where that is not `complete`; or what is missing.
    pub reason: Option<String>,
    /// 99th percentile of sent − intended.
    pub send_lateness_p99_s: Option<f64>,
    /// Scheduled arrivals, requests per second.
    pub requested_rate: f64,
    /// Sent, requests per second.
    pub achieved_rate: Option<f64>,
    /// The whole manifest, JSON; of a run of the prototype its `tenant_requests.json`.
    pub manifest: String,
}

row!(RunRow, "runs", {
    run_id: String, "", "run";
    kind: RunKind, "", "baseline | pairwise | random | replay";
    server: String, "", "server the tenants shared";
    target: String, "", "local | kube | sim | prototype";
    seed: Option<u64>, "", "master seed; null of a run that is not ours";
    started_at: Option<Instant>, "", "start of the load";
    duration_s: Option<f64>, "s", "length of the measured window";
    status: RunStatus, "", "complete | invalid | failed";
    reason: Option<String>, "", "why, where the status is not complete; or what is missing";
    send_lateness_p99_s: Option<f64>, "s", "99th percentile of sent - intended";
    requested_rate: f64, "1/s", "scheduled arrivals, all tenants";
    achieved_rate: Option<f64>, "1/s", "sent, all tenants";
    manifest: String, "", "the run's manifest, JSON; of a run of the prototype its tenant_requests.json";
});

/// One tenant of one run, summarised: a row of `tenants/`. See [`crate::summary`] for what its figures mean.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the columns are described once, in the schema below")]
pub struct TenantRow {
    pub run_id: String,
    pub tenant_id: String,
    pub app: String,
    pub instances: u32,
    pub rate: f64,
    pub completed: u64,
    pub censored: u64,
    pub failed: u64,
    pub samples: u64,
    pub unstable: bool,
    pub mean_s: Option<f64>,
    pub mean_s_lo: Option<f64>,
    pub mean_s_hi: Option<f64>,
    pub p75_s: Option<f64>,
    pub p75_s_lo: Option<f64>,
    pub p75_s_hi: Option<f64>,
    pub p95_s: Option<f64>,
    pub p95_s_lo: Option<f64>,
    pub p95_s_hi: Option<f64>,
    pub cpu_clock_mean: Option<f64>,
    pub cpu_clock_std: Option<f64>,
    pub cache_references_mean: Option<f64>,
    pub cache_references_std: Option<f64>,
    pub cache_misses_mean: Option<f64>,
    pub cache_misses_std: Option<f64>,
    pub page_faults_mean: Option<f64>,
    pub page_faults_std: Option<f64>,
}

row!(TenantRow, "tenants", {
    run_id: String, "", "run";
    tenant_id: String, "", "tenant within the run";
    app: String, "", "application";
    instances: u32, "", "replicas";
    rate: f64, "1/s", "arrival rate per replica";
    completed: u64, "", "requests of the window that were answered";
    censored: u64, "", "requests of the window not answered by the drain deadline";
    failed: u64, "", "requests of the window that failed or were dropped";
    samples: u64, "", "service times behind mean, p75 and p95: inferences started inside the window";
    unstable: bool, "", "offered at least as much as it can serve";
    mean_s: Option<f64>, "s", "mean service time; null where nothing was measured";
    mean_s_lo: Option<f64>, "s", "lower end of its 95 % interval";
    mean_s_hi: Option<f64>, "s", "upper end";
    p75_s: Option<f64>, "s", "75th percentile of the pooled service times";
    p75_s_lo: Option<f64>, "s", "lower end of its 95 % interval";
    p75_s_hi: Option<f64>, "s", "upper end";
    p95_s: Option<f64>, "s", "95th percentile of the pooled service times";
    p95_s_lo: Option<f64>, "s", "lower end of its 95 % interval";
    p95_s_hi: Option<f64>, "s", "upper end";
    cpu_clock_mean: Option<f64>, "ns/s", "CPU time per replica and second, mean over readings";
    cpu_clock_std: Option<f64>, "ns/s", "its standard deviation";
    cache_references_mean: Option<f64>, "1/s", "cache references per replica and second";
    cache_references_std: Option<f64>, "1/s", "its standard deviation";
    cache_misses_mean: Option<f64>, "1/s", "cache misses per replica and second";
    cache_misses_std: Option<f64>, "1/s", "its standard deviation";
    page_faults_mean: Option<f64>, "1/s", "page faults per replica and second";
    page_faults_std: Option<f64>, "1/s", "its standard deviation";
});

/// The service times of one tenant in order of size, so that tenants can be pooled without their requests: a row of
/// `quantiles/`.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileRow {
    /// Run.
    pub run_id: String,
    /// Tenant within the run.
    pub tenant_id: String,
    /// Application.
    pub app: String,
    /// Service times behind the list.
    pub samples: u64,
    /// All of them up to [`QUANTILES`]; else that many at even ranks, the smallest and the largest among them.
    pub service_s: Vec<f64>,
}

/// Most figures in [`QuantileRow::service_s`]: a rank between two of them is off by less than 0.05 % of the samples.
pub const QUANTILES: usize = 1_024;

row!(QuantileRow, "quantiles", {
    run_id: String, "", "run";
    tenant_id: String, "", "tenant within the run";
    app: String, "", "application";
    samples: u64, "", "service times behind the list";
    service_s: Vec<f64>, "s", "service times in order of size: all up to 1,024, else 1,024 at even ranks";
});
