//! A campaign: run after run, resumed where an earlier call stopped.

use std::path::Path;

use neuro_data::run_folder::{RunFolder, run_path};
use neuro_data::{CleanupVerdict, RunSpec, RunStatus};

use crate::driver::{DriverParams, drive_run};
use crate::lock::Lock;
use crate::observer::{Event, Observer};
use crate::target::Target;
use crate::{Error, Interrupt, Result};

/// Runs that may fail in a row before the campaign stops.
const MAX_FAILURES_IN_A_ROW: u32 = 5;

/// How a campaign went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CampaignReport {
    /// Runs that an earlier call had finished.
    pub finished_before: usize,
    /// Runs measured as asked.
    pub complete: usize,
    /// Runs measured under a load that was not as asked.
    pub invalid: usize,
    /// Runs that could not be measured.
    pub failed: usize,
    /// Runs not done, because somebody asked to stop.
    pub left: usize,
}

/// Does the runs in the order given, each into its folder under `params.out`.
///
/// # Guarantees
/// - A run that has its manifest is not done again, unless it failed; one without is done anew. What either left running is
///   ended first.
/// - An interrupt lets the current run end, a second one gives it up; both clean up, and the report says how many are left.
/// - Memory does not grow with the number of runs, and no run is started on a nearly full disk.
///
/// # Errors
/// A specification makes no sense; the output folder is in use by another driver, nearly full or cannot be written; five runs
/// in a row failed.
pub async fn drive_campaign<T: Target>(
    target: &mut T,
    runs: &[RunSpec],
    params: &DriverParams,
    interrupt: &Interrupt,
    observer: &mut dyn Observer,
) -> Result<CampaignReport> {
    for run in runs {
        run.validate()?;
    }
    let out = &params.out;
    std::fs::create_dir_all(out).map_err(Error::io("create", out.display()))?;
    let _lock = Lock::take(&out.join(".lock"), "this output folder")?;

    let mut unfinished = Vec::new();
    for run in runs {
        match finished(out, run, target.kind())? {
            None => unfinished.push(run),
            Some(folder) if folder.manifest().cleanup == CleanupVerdict::Clean => {}
            // Its driver was killed after the results were safe and before it had cleaned up.
            Some(mut folder) => {
                let processes = target.sweep(&run.run_id()).await?;
                folder.update(|manifest| manifest.cleanup = CleanupVerdict::Clean)?;
                if processes > 0 {
                    observer.on_event(&Event::Swept { run_id: &run.run_id(), processes });
                }
            }
        }
    }
    let mut report = CampaignReport { finished_before: runs.len() - unfinished.len(), ..CampaignReport::default() };
    observer.on_event(&Event::CampaignStarted {
        total: runs.len(),
        finished: report.finished_before,
        load_s: unfinished.iter().map(|run| run.phases.end_s()).sum(),
    });

    let mut failures_in_a_row = 0;
    for (done, spec) in unfinished.iter().enumerate() {
        report.left = unfinished.len() - done;
        if interrupt.stops_after_run() {
            return Ok(report);
        }
        require_space(out, params.min_free_gb)?;
        let run_id = spec.run_id();
        let processes = target.sweep(&run_id).await?;
        if processes > 0 {
            observer.on_event(&Event::Swept { run_id: &run_id, processes });
        }
        observer.on_event(&Event::RunStarted { spec });
        let Some(folder) = drive_run(target, spec, params, interrupt).await? else {
            observer.on_event(&Event::GivenUp { spec });
            return Ok(report);
        };
        let manifest = folder.manifest();
        observer.on_event(&Event::RunEnded { manifest });
        match manifest.status {
            RunStatus::Complete => report.complete += 1,
            RunStatus::Invalid => report.invalid += 1,
            RunStatus::Failed => report.failed += 1,
        }
        failures_in_a_row = if manifest.status == RunStatus::Failed { failures_in_a_row + 1 } else { 0 };
        if failures_in_a_row == MAX_FAILURES_IN_A_ROW {
            let reason = manifest.reason.clone().unwrap_or_default();
            return Err(Error::RepeatedFailure { count: failures_in_a_row, reason });
        }
    }
    report.left = 0;
    Ok(report)
}

/// A run that is on disk, measured: complete or invalid. A failed one is worth another attempt.
///
/// # Errors
/// It was measured on another target.
pub(crate) fn finished(out: &Path, spec: &RunSpec, target: &str) -> Result<Option<RunFolder>> {
    let run = RunFolder::open(&run_path(out, &spec.run_id())).ok();
    match run.filter(|run| run.manifest().status != RunStatus::Failed) {
        Some(run) if run.manifest().target != target => Err(Error::OtherTarget {
            path: run.path().to_owned(),
            found: run.manifest().target.clone(),
            wanted: target.to_owned(),
        }),
        found => Ok(found),
    }
}

pub(crate) fn require_space(out: &Path, needed_gb: f64) -> Result<()> {
    let space =
        rustix::fs::statvfs(out).map_err(|e| Error::io("measure the free space of", out.display())(e.into()))?;
    let free_gb = space.f_bavail as f64 * space.f_frsize as f64 / 1e9;
    if free_gb < needed_gb {
        return Err(Error::DiskFull { path: out.to_owned(), free_gb, needed_gb });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearly_full_disk_is_an_error_with_its_figures() {
        let folder = tempfile::tempdir().unwrap();
        require_space(folder.path(), 0.0).unwrap();
        let error = require_space(folder.path(), 1e9).unwrap_err();
        assert!(matches!(&error, Error::DiskFull { needed_gb, .. } if *needed_gb == 1e9), "{error}");
    }
}
