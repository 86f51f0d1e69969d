//! One run: deploy, await readiness, warm up, load, drain, record, tear down.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use neuro_data::run_folder::{PartialRun, RunFolder};
use neuro_data::{
    CleanupVerdict, CounterSample, DataVerdict, LoadGate, LoadReport, Manifest, RUN_SCHEMA, RequestRecord,
    RequestStatus, RunSpec, RunStatus, Tool,
};

use crate::clock::monotonic_s;
use crate::health::warm_up;
use crate::load::{Load, LoadOutcome, Sent};
use crate::pacer::Pacer;
use crate::schedule::{Arrival, arrival_seeds, arrivals};
use crate::target::{CounterReading, Target};
use crate::{Error, Interrupt, Result};

/// What is the same for all runs of a driver.
#[derive(Debug, Clone)]
pub struct DriverParams {
    /// Folder that run folders are written under.
    pub out: PathBuf,
    /// What makes the measurements, for the manifest.
    pub tool: Tool,
    /// Beyond these thresholds a run is invalid.
    pub gate: LoadGate,
    /// How long replicas may take to be ready, and then to warm up.
    pub ready_deadline: Duration,
    /// Time between readings of the counters, seconds.
    pub counter_interval_s: f64,
    /// Free disk space below which no run is started, GB.
    pub min_free_gb: f64,
}

impl DriverParams {
    /// Everything at its default for an output folder.
    pub fn new(out: impl Into<PathBuf>, tool: Tool) -> Self {
        Self {
            out: out.into(),
            tool,
            gate: LoadGate::default(),
            ready_deadline: Duration::from_secs(60),
            counter_interval_s: 1.0,
            min_free_gb: 0.5,
        }
    }
}

/// Share of the requests that may fail before a run is invalid.
const MAX_FAILED_SHARE: f64 = 0.01;

/// How far ahead of now the load's start is put, seconds, so that its first arrival is not late.
const LEAD_S: f64 = 0.03;

/// Does one run; `None` when it was given up on request, which leaves nothing behind.
///
/// A run that cannot be measured is a finished run of status `failed`, with its reason, not an error.
///
/// # Errors
/// The run's folder cannot be written, or its specification makes no sense; it was given up and not all of it could be removed.
pub async fn drive_run<T: Target>(
    target: &mut T,
    spec: &RunSpec,
    params: &DriverParams,
    interrupt: &Interrupt,
) -> Result<Option<RunFolder>> {
    spec.validate()?;
    let run_id = spec.run_id();
    let partial = PartialRun::begin(&params.out, &run_id)?;
    let measured = tokio::select! {
        measured = measure(target, spec, &run_id, &partial, params, interrupt) => measured,
        () = interrupt.stopped_now() => Ok(None),
    };
    let run = match measured {
        Ok(Some(run)) => run,
        Ok(None) => {
            let cleanup = target.tear_down().await;
            partial.discard()?;
            return match cleanup {
                CleanupVerdict::Leftover(left) => Err(Error::NotCleaned { run_id, left }),
                _ => Ok(None),
            };
        }
        Err(Error::Data(error)) => {
            target.tear_down().await;
            return Err(error.into());
        }
        Err(error) => Measured::failed(error.to_string()),
    };
    let manifest = manifest(target, spec, &run_id, params, &run);
    let mut folder = partial.commit(manifest, &run.requests, &run.counters)?;
    // The results are safe; only now is anything removed.
    let cleanup = target.tear_down().await;
    folder.update(|manifest| manifest.cleanup = cleanup)?;
    Ok(Some(folder))
}

/// What a run yields.
struct Measured {
    started_at: f64,
    requests: Vec<RequestRecord>,
    counters: Vec<CounterSample>,
    load: LoadReport,
    status: RunStatus,
    reason: Option<String>,
    data: DataVerdict,
}

impl Measured {
    fn failed(reason: String) -> Self {
        Self {
            started_at: unix_s(),
            requests: Vec::new(),
            counters: Vec::new(),
            load: LoadReport::default(),
            status: RunStatus::Failed,
            reason: Some(reason),
            data: DataVerdict::None,
        }
    }
}

fn unix_s() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64())
}

async fn measure<T: Target>(
    target: &mut T,
    spec: &RunSpec,
    run_id: &str,
    partial: &PartialRun,
    params: &DriverParams,
    interrupt: &Interrupt,
) -> Result<Option<Measured>> {
    let schedule = arrivals(spec, run_id);
    target.deploy(run_id, spec, &partial.logs()).await?;
    let endpoints = target.await_ready(params.ready_deadline).await?;
    warm_up(&endpoints, spec.phases.warmup_inferences, params.ready_deadline).await?;

    let started_at = unix_s() + LEAD_S;
    let start_s = monotonic_s() + LEAD_S;
    let load = Load::start(schedule.clone(), &endpoints, spec.phases, start_s, interrupt)?;
    let (counters, outcome) = tokio::join!(sample_counters(target, spec, run_id, params, start_s), load.outcome());
    let (counters, Some(outcome)) = (counters?, outcome?) else { return Ok(None) };

    let casualties = target.casualties().await;
    let requests = records(spec, run_id, &schedule, &outcome.sent);
    let (status, reason) = verdict(&outcome, &casualties, &params.gate);
    let data = if casualties.is_empty() { DataVerdict::Whole } else { DataVerdict::Partial(casualties.join("; ")) };
    Ok(Some(Measured { started_at, requests, counters, load: outcome.report, status, reason, data }))
}

/// What a run's measurements are worth, and why.
fn verdict(outcome: &LoadOutcome, casualties: &[String], gate: &LoadGate) -> (RunStatus, Option<String>) {
    let lost =
        outcome.sent.iter().filter(|s| matches!(s.status, RequestStatus::Failed | RequestStatus::Dropped)).count();
    if !casualties.is_empty() {
        (RunStatus::Failed, Some(casualties.join("; ")))
    } else if lost as f64 > MAX_FAILED_SHARE * outcome.sent.len() as f64 {
        (RunStatus::Invalid, Some(format!("{lost} of {} requests failed or were dropped", outcome.sent.len())))
    } else if let Some(objection) = gate.objection(&outcome.report) {
        (RunStatus::Invalid, Some(objection))
    } else {
        (RunStatus::Complete, None)
    }
}

/// Reads the counters when the load starts, when the window opens and then at every interval to its end.
async fn sample_counters<T: Target>(
    target: &mut T,
    spec: &RunSpec,
    run_id: &str,
    params: &DriverParams,
    start_s: f64,
) -> Result<Vec<CounterSample>> {
    let phases = &spec.phases;
    let mut pacer = Pacer::new().map_err(Error::io("set up", "the pacer of the counters"))?;
    let intervals = (phases.duration_s / params.counter_interval_s.max(0.01)).round().max(1.0) as u32;
    let in_window = (0..=intervals).map(|k| phases.warmup_s + phases.duration_s * f64::from(k) / f64::from(intervals));
    let mut samples = Vec::new();
    let mut last: BTreeMap<(usize, u32, &str), CounterReading> = BTreeMap::new();
    for due_s in std::iter::once(0.0).chain(in_window.filter(|due_s| *due_s > 0.0)) {
        pacer.sleep_until(start_s + due_s).await.map_err(Error::io("set", "the pacer of the counters"))?;
        let time_s = monotonic_s() - start_s;
        for now in target.read_counters().await {
            let since = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
            let key = (now.tenant, now.replica, now.event);
            if let Some(before) = last.get(&key) {
                samples.push(CounterSample {
                    run_id: run_id.to_owned(),
                    tenant_id: spec.tenants[now.tenant].id.clone(),
                    replica: now.replica,
                    time_s,
                    event: now.event.to_owned(),
                    count: since(now.count, before.count),
                    enabled_ns: since(now.enabled_ns, before.enabled_ns),
                    running_ns: since(now.running_ns, before.running_ns),
                });
            }
            last.insert(key, now);
        }
    }
    Ok(samples)
}

/// One record for each arrival of the schedule.
fn records(spec: &RunSpec, run_id: &str, schedule: &[Arrival], sent: &[Sent]) -> Vec<RequestRecord> {
    let record = |(arrival, sent): (&Arrival, &Sent)| {
        let tenant = &spec.tenants[arrival.tenant];
        RequestRecord {
            run_id: run_id.to_owned(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            replica: Some(arrival.replica),
            seq: arrival.seq,
            intended_s: Some(arrival.intended_s),
            sent_s: sent.sent_s,
            start_s: sent.reply.start_s,
            end_s: sent.reply.end_s,
            client_end_s: sent.client_end_s,
            service_s: sent.reply.service_s,
            queueing_s: sent.reply.queueing_s,
            response_s: sent
                .client_end_s
                .filter(|_| sent.status == RequestStatus::Ok)
                .map(|end| end - arrival.intended_s),
            queue_len: sent.reply.queue_len,
            status: sent.status,
            warmup: arrival.intended_s < spec.phases.warmup_s,
        }
    };
    schedule.iter().zip(sent).map(record).collect()
}

fn manifest<T: Target>(
    target: &mut T,
    spec: &RunSpec,
    run_id: &str,
    params: &DriverParams,
    run: &Measured,
) -> Manifest {
    Manifest {
        schema: RUN_SCHEMA,
        run_id: run_id.to_owned(),
        spec: spec.clone(),
        spec_hash: spec.hash(),
        seeds: arrival_seeds(spec, run_id),
        server: target.server().to_owned(),
        target: target.kind().to_owned(),
        started_at: run.started_at,
        tool: params.tool.clone(),
        host: target.host(),
        replicas: target.replicas(),
        target_facts: target.facts(),
        load: run.load.clone(),
        gate: params.gate,
        status: run.status,
        reason: run.reason.clone(),
        data: run.data.clone(),
        cleanup: CleanupVerdict::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_names_casualties_before_lost_requests_before_the_gate() {
        let sent = |status| Sent { sent_s: Some(0.0), client_end_s: None, reply: Default::default(), status };
        let outcome = |lost: usize, p99| {
            let mut report = LoadReport { requested_rate: 10.0, achieved_rate: 10.0, ..LoadReport::default() };
            report.send_lateness_s.p99 = p99;
            let mut all = vec![sent(RequestStatus::Ok); 200 - lost];
            all.extend(vec![sent(RequestStatus::Failed); lost]);
            LoadOutcome { sent: all, report }
        };
        let gate = LoadGate::default();
        assert_eq!(verdict(&outcome(2, 0.0), &[], &gate), (RunStatus::Complete, None));
        let (status, reason) = verdict(&outcome(3, 1.0), &[], &gate);
        assert!(status == RunStatus::Invalid && reason.unwrap().contains("3 of 200"));
        let (status, reason) = verdict(&outcome(0, 1.0), &[], &gate);
        assert!(status == RunStatus::Invalid && reason.unwrap().contains("lateness"));
        let (status, reason) = verdict(&outcome(3, 1.0), &["replica 0 ended".to_owned()], &gate);
        assert_eq!((status, reason.as_deref()), (RunStatus::Failed, Some("replica 0 ended")));
    }
}
