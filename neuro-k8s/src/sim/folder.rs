//! A simulated run into its run folder: every request, or a summary of each tenant.

use std::collections::{BTreeMap, HashMap};

use neuro_data::run_folder::{PartialRun, RunFolder};
use neuro_data::{
    CleanupVerdict, CounterSample, DataVerdict, Host, LoadGate, LoadReport, Manifest, RUN_SCHEMA, RequestRecord,
    RequestStatus, RunSpec, RunStatus, Tally, Tool,
};

use super::engine::{Inference, SimulatedRun};
use super::parameters::SimulatedServer;
use crate::Result;
use crate::schedule::arrival_seeds;

/// What is kept of a simulated run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// A summary of each tenant, gathered on the fly: some 100 kB a run.
    #[default]
    Summaries,
    /// Every request and counter reading, as of a measured run.
    Records,
}

/// The fact of a manifest that tells the parameters a run was simulated with.
pub(super) const PARAMETERS: &str = "parameters";

/// Bytes of memory traffic that count as one cache miss: a line.
const CACHE_LINE_BYTES: f64 = 64.0;

/// Writes a simulated run into its folder.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn write(
    partial: PartialRun,
    spec: &RunSpec,
    server: SimulatedServer<'_>,
    tool: &Tool,
    run: &SimulatedRun,
    keep: Keep,
) -> Result<RunFolder> {
    let run_id = spec.run_id();
    let manifest = manifest(spec, &run_id, server, tool, run);
    let folder = match keep {
        Keep::Records => partial.commit(manifest, &records(spec, &run_id, run), &counters(spec, &run_id, run))?,
        Keep::Summaries => {
            let (tenants, quantiles): (Vec<_>, Vec<_>) = summaries(spec, &run_id, run).into_iter().unzip();
            partial.commit_summarised(manifest, &tenants, &quantiles)?
        }
    };
    Ok(folder)
}

fn manifest(spec: &RunSpec, run_id: &str, server: SimulatedServer<'_>, tool: &Tool, run: &SimulatedRun) -> Manifest {
    let kind = server.kind();
    let host = Host {
        name: kind.name.clone(),
        cpu: Some(format!("simulated, speed {}, {} GB/s", kind.speed, kind.bandwidth_gbs)),
        cpus: kind.cores.ceil() as u32,
        kernel: "simulated".to_owned(),
        ..Host::default()
    };
    let rate = run.tenants.iter().map(Vec::len).sum::<usize>() as f64 / spec.phases.end_s();
    Manifest {
        schema: RUN_SCHEMA,
        run_id: run_id.to_owned(),
        spec: spec.clone(),
        spec_hash: spec.hash(),
        seeds: arrival_seeds(spec, run_id),
        server: kind.name.clone(),
        target: super::TARGET.to_owned(),
        started_at: 0.0,
        tool: tool.clone(),
        host,
        replicas: Vec::new(),
        target_facts: BTreeMap::from([(PARAMETERS.to_owned(), server.fingerprint())]),
        load: LoadReport {
            requested_rate: rate,
            achieved_rate: rate,
            scheduling: "simulated".to_owned(),
            ..LoadReport::default()
        },
        gate: LoadGate::default(),
        status: RunStatus::Complete,
        reason: None,
        data: DataVerdict::Whole,
        cleanup: CleanupVerdict::Clean,
    }
}

fn status(inference: &Inference) -> RequestStatus {
    if inference.end_s.is_finite() { RequestStatus::Ok } else { RequestStatus::Censored }
}

/// The rows of `tenants/` and `quantiles/`.
pub(super) fn summaries(
    spec: &RunSpec,
    run_id: &str,
    run: &SimulatedRun,
) -> Vec<(neuro_data::store::TenantRow, neuro_data::store::QuantileRow)> {
    let phases = &spec.phases;
    let mut tallies: Vec<Tally> = spec.tenants.iter().map(|_| Tally::new(phases.warmup_s, phases.end_s())).collect();
    for (tally, inferences) in tallies.iter_mut().zip(&run.tenants) {
        for inference in inferences {
            let warmup = inference.arrival_s < phases.warmup_s;
            let service_s = inference.end_s - inference.start_s;
            tally.request(status(inference), warmup, Some(inference.start_s), Some(service_s));
        }
    }
    for sample in counter_deltas(run) {
        let [cpu, misses] = sample.counts();
        let tally = &mut tallies[sample.tenant];
        tally.counter(sample.replica, "cpu-clock", sample.time_s, Some(cpu as f64));
        tally.counter(sample.replica, "cache-misses", sample.time_s, Some(misses as f64));
    }
    tallies.into_iter().zip(&spec.tenants).map(|(tally, tenant)| tally.summarise(run_id, tenant, phases)).collect()
}

/// One record for each arrival, in the order of the schedule.
pub(super) fn records(spec: &RunSpec, run_id: &str, run: &SimulatedRun) -> Vec<RequestRecord> {
    let known = |instant_s: f64| instant_s.is_finite().then_some(instant_s);
    let mut records = Vec::with_capacity(run.tenants.iter().map(Vec::len).sum());
    for (tenant, inferences) in spec.tenants.iter().zip(&run.tenants) {
        let queue_lens = queue_lengths(inferences);
        for (inference, queue_len) in inferences.iter().zip(queue_lens) {
            let Inference { arrival_s, start_s, end_s, .. } = *inference;
            let status = status(inference);
            // A driver learns of a start when it has the answer.
            let start_s = known(start_s).filter(|_| status == RequestStatus::Ok);
            records.push(RequestRecord {
                run_id: run_id.to_owned(),
                tenant_id: tenant.id.clone(),
                app: tenant.app.clone(),
                replica: Some(inference.replica),
                seq: u64::from(inference.seq),
                intended_s: Some(arrival_s),
                sent_s: Some(arrival_s),
                start_s,
                end_s: known(end_s),
                client_end_s: known(end_s),
                service_s: start_s.map(|start_s| end_s - start_s),
                queueing_s: start_s.map(|start_s| start_s - arrival_s),
                response_s: known(end_s - arrival_s),
                queue_len: start_s.map(|_| queue_len),
                status,
                warmup: arrival_s < spec.phases.warmup_s,
            });
        }
    }
    records.sort_by(|a, b| a.intended_s.unwrap_or_default().total_cmp(&b.intended_s.unwrap_or_default()));
    records
}

/// Requests waiting or in service at the replica when each arrived. The inferences of a replica are in the order of arrival,
/// and first come, first served.
fn queue_lengths(inferences: &[Inference]) -> Vec<u32> {
    /// The ends of a replica's requests so far, and how many of them were over at its last arrival.
    #[derive(Default)]
    struct Past {
        ends: Vec<f64>,
        over: usize,
    }
    let mut replicas: HashMap<u32, Past> = HashMap::new();
    inferences
        .iter()
        .map(|inference| {
            let past = replicas.entry(inference.replica).or_default();
            while past.ends.get(past.over).is_some_and(|end| *end <= inference.arrival_s) {
                past.over += 1;
            }
            let queue_len = past.ends.len() - past.over;
            past.ends.push(inference.end_s);
            queue_len as u32
        })
        .collect()
}

fn counters(spec: &RunSpec, run_id: &str, run: &SimulatedRun) -> Vec<CounterSample> {
    counter_deltas(run)
        .flat_map(|sample| {
            ["cpu-clock", "cache-misses"].into_iter().zip(sample.counts()).map(move |(event, count)| CounterSample {
                run_id: run_id.to_owned(),
                tenant_id: spec.tenants[sample.tenant].id.clone(),
                replica: sample.replica,
                time_s: sample.time_s,
                event: event.to_owned(),
                count: Some(count),
                enabled_ns: None,
                running_ns: None,
            })
        })
        .collect()
}

/// What a replica's counters moved on by between two readings.
struct CounterDelta {
    tenant: usize,
    replica: u32,
    time_s: f64,
    cpu_s: f64,
    traffic_gb: f64,
}

impl CounterDelta {
    /// CPU time, ns, and cache misses.
    fn counts(&self) -> [u64; 2] {
        [(self.cpu_s * 1e9).round() as u64, (self.traffic_gb * 1e9 / CACHE_LINE_BYTES).round() as u64]
    }
}

fn counter_deltas(run: &SimulatedRun) -> impl Iterator<Item = CounterDelta> + '_ {
    // Every reading is of the same replicas in the same order.
    let first_s = run.counters.first().map(|reading| reading.time_s);
    let replicas = run.counters.iter().take_while(|reading| Some(reading.time_s) == first_s).count();
    let later = run.counters.get(replicas..).unwrap_or_default();
    later.iter().zip(&run.counters).map(|(now, before)| CounterDelta {
        tenant: now.tenant,
        replica: now.replica,
        time_s: now.time_s,
        cpu_s: now.cpu_s - before.cpu_s,
        traffic_gb: now.traffic_gb - before.traffic_gb,
    })
}
