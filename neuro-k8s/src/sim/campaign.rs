//! A campaign on a simulated server: as many runs at once as there are workers, each into its run folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use neuro_data::run_folder::PartialRun;
use neuro_data::{Manifest, RunSpec, Tool};

use super::engine::simulate;
use super::folder::{self, Keep, PARAMETERS};
use super::parameters::SimulatedServer;
use crate::campaign_driver::{CampaignReport, finished, require_space};
use crate::lock::Lock;
use crate::observer::{Event, Observer};
use crate::{Error, Interrupt, Result};

/// How a simulated campaign is done.
#[derive(Debug, Clone)]
pub struct SimCampaignParams {
    /// Folder that run folders are written under.
    pub out: PathBuf,
    /// What makes the runs, for their manifests.
    pub tool: Tool,
    /// What is kept of each run; summaries by default.
    pub keep: Keep,
    /// Runs at once, at least 1; by default two for each core, so that a core simulates while another's run is synced to disk.
    pub jobs: usize,
    /// Simulated time between readings of the counters, seconds; 10 by default.
    pub counter_interval_s: f64,
    /// Free disk space below which no run is started, GB; 0.5 by default.
    pub min_free_gb: f64,
}

impl SimCampaignParams {
    /// Everything at its default for an output folder.
    pub fn new(out: impl Into<PathBuf>, tool: Tool) -> Self {
        Self {
            out: out.into(),
            tool,
            keep: Keep::default(),
            jobs: 2 * thread::available_parallelism().map_or(1, usize::from),
            counter_interval_s: 10.0,
            min_free_gb: 0.5,
        }
    }
}

/// Simulates the runs, each into its folder under `params.out`.
///
/// # Guarantees
/// - What a run's folder holds depends on its specification and on the server's parameters alone, to the byte, and not on the
///   workers.
/// - A run that has its manifest is not done again. One that was done on another target or with other parameters is an error,
///   for the two would be taken for one.
/// - An interrupt lets the current runs end, a second one gives them up; the report says how many are left.
/// - Memory holds one run's requests a worker, 32 bytes each, whatever the number of runs.
///
/// # Errors
/// A specification makes no sense, is of another target or names an application without parameters; the output folder is in use by another driver,
/// nearly full, of another target, or cannot be written.
pub fn simulate_campaign(
    server: SimulatedServer<'_>,
    runs: &[RunSpec],
    params: &SimCampaignParams,
    interrupt: &Interrupt,
    observer: &mut dyn Observer,
) -> Result<CampaignReport> {
    for run in runs {
        run.validate()?;
        if let Some(target) = run.target.as_ref().filter(|target| **target != server.target()) {
            let (field, value) = ("target".to_owned(), target.clone());
            return Err(
                neuro_data::Error::Invalid { field, value, expected: "the simulated server's own, or none" }.into()
            );
        }
        for tenant in &run.tenants {
            server.service(&tenant.app)?;
        }
    }
    let out = &params.out;
    std::fs::create_dir_all(out).map_err(Error::io("create", out.display()))?;
    let _lock = Lock::take(&out.join(".lock"), "this output folder")?;

    let mut unfinished = Vec::new();
    for run in runs {
        if !is_simulated(out, run, server)? {
            unfinished.push(run);
        }
    }
    let mut report = CampaignReport { finished_before: runs.len() - unfinished.len(), ..CampaignReport::default() };
    observer.on_event(&Event::CampaignStarted { total: runs.len(), finished: report.finished_before, load_s: 0.0 });

    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let mut failure = None;
    thread::scope(|scope| {
        for _ in 0..params.jobs.clamp(1, unfinished.len().max(1)) {
            let (sender, unfinished, next, stopped) = (sender.clone(), &unfinished, &next, &stopped);
            scope.spawn(move || {
                while !stopped.load(Ordering::Relaxed)
                    && !interrupt.stops_after_run()
                    && let Some(spec) = unfinished.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = simulate_run(server, spec, params, interrupt);
                    if outcome.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    let _ = sender.send((*spec, outcome));
                }
            });
        }
        drop(sender);
        for (spec, outcome) in &receiver {
            match outcome {
                Ok(Some(manifest)) => {
                    report.complete += 1;
                    observer.on_event(&Event::RunEnded { manifest: &manifest });
                }
                Ok(None) => observer.on_event(&Event::GivenUp { spec }),
                Err(error) => failure = failure.take().or(Some(error)),
            }
        }
    });
    report.left = unfinished.len() - report.complete;
    failure.map_or(Ok(report), Err)
}

/// Simulates one run into its folder; `None` when it was given up on request, which leaves nothing behind.
fn simulate_run(
    server: SimulatedServer<'_>,
    spec: &RunSpec,
    params: &SimCampaignParams,
    interrupt: &Interrupt,
) -> Result<Option<Manifest>> {
    require_space(&params.out, params.min_free_gb)?;
    let Some(run) = simulate(spec, server, params.counter_interval_s, interrupt)? else { return Ok(None) };
    let partial = PartialRun::begin(&params.out, &spec.run_id())?;
    let folder = folder::write(partial, spec, server, &params.tool, &run, params.keep)?;
    Ok(Some(folder.manifest().clone()))
}

/// Whether a run is on disk and of this server.
fn is_simulated(out: &Path, spec: &RunSpec, server: SimulatedServer<'_>) -> Result<bool> {
    let Some(run) = finished(out, spec, super::TARGET)? else { return Ok(false) };
    let manifest = run.manifest();
    if manifest.target_facts.get(PARAMETERS) == Some(&server.fingerprint()) {
        return Ok(true);
    }
    let (found, wanted) = (format!("{} of other parameters", manifest.server), server.kind().name.clone());
    Err(Error::OtherTarget { path: run.path().to_owned(), found, wanted })
}
