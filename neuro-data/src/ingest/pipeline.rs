//! From folders to a dataset: who is new, which parts, which workers.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::datapoint::DatapointSet;
use crate::files::{self, aside};
use crate::run_folder::RunFolder;
use crate::store::{Row, RunRow, files_of, partition, partition_of, row, table_files};
use crate::{Catalogue, Dataset, Error, RequestRecord, Result};

use super::neuro_run;
use super::part::{Part, TABLES, create_tables, number_of};
use super::problem::Problems;
use super::prototype::PrototypeRun;
use super::prototype_batch::PrototypeRequests;
use super::walk::{self, Found, Layout};

/// Raw bytes after which a part ends.
const PART_BYTES: u64 = 64 << 20;
/// Runs after which a part ends.
const PART_RUNS: usize = 64;

/// How to ingest.
#[derive(Debug, Clone)]
pub struct IngestParams {
    /// Workers, at least 1; the default is the number of cores.
    pub jobs: usize,
    /// Whether the first problem is an error; off by default.
    pub strict: bool,
    /// Whether the dataset is built anew of these runs alone; off by default.
    pub replace: bool,
    /// Name of the server that runs of the prototype were measured on; they do not tell.
    pub server: String,
    /// Applications that runs of the prototype may hold; the built-in ones by default.
    pub catalogue: Catalogue,
    /// Raw bytes from which on the tables `requests/` and `counters/` of a new dataset are partitioned, `server=<name>/`; 1 GB by
    /// default. A dataset that is added to stays as it is.
    pub partition_bytes: u64,
    /// Bytes of requests up to which a run of the prototype is held in memory, at about half its size, by each worker; 128 MB by
    /// default. When such a run starts is known at its end, so a larger one is read twice.
    pub held_bytes: u64,
}

impl Default for IngestParams {
    fn default() -> Self {
        Self {
            jobs: thread::available_parallelism().map_or(1, usize::from),
            strict: false,
            replace: false,
            server: "prototype".to_owned(),
            catalogue: Catalogue::built_in(),
            partition_bytes: 1_000_000_000,
            held_bytes: 128_000_000,
        }
    }
}

/// How far an ingestion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestProgress {
    /// Runs to ingest.
    pub runs: usize,
    /// Runs that are done.
    pub runs_done: usize,
    /// Raw bytes to read.
    pub bytes: u64,
    /// Raw bytes of the runs that are done.
    pub bytes_done: u64,
}

/// What an ingestion did.
#[derive(Debug, Clone, Default)]
pub struct IngestReport {
    /// Runs that were added.
    pub added: usize,
    /// Runs that the dataset held already.
    pub known: usize,
    /// What could not be used.
    pub problems: Problems,
    /// Whether the dataset's datapoints were of the old runs and are gone.
    pub datapoints_removed: bool,
}

/// Adds the runs under `raw` to the dataset at `dataset`, which is made where there is none.
///
/// `observer` is told of the progress now and then; when it breaks off, the dataset stays as it was.
///
/// # Errors
/// There is no run under `raw`; a folder cannot be read or the dataset not written; the dataset is of another version;
/// [`Error::Problem`] when strict; [`Error::Interrupted`] when the observer breaks off.
///
/// # Example
/// ```
/// use std::ops::ControlFlow;
/// use neuro_data::ingest::{IngestParams, ingest};
/// use neuro_data::store::TenantRow;
/// use neuro_data::Dataset;
///
/// let folder = tempfile::tempdir()?;
/// let run = folder.path().join("raw/0");
/// std::fs::create_dir_all(&run)?;
/// std::fs::write(run.join("tenant_requests.json"), r#"{"tenant_requests": [
///     {"id": 0, "application": "tclf-rf", "arrival_rate": 5.0, "num_instances": 1}]}"#)?;
/// std::fs::write(run.join("tenant-0.csv"), ",service_times,arrival_times\n0,0.25,10.0\n1,0.75,10.5\n")?;
///
/// let (raw, out) = ([folder.path().join("raw")], folder.path().join("dataset"));
/// let report = ingest(&raw, &out, &IngestParams::default(), &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!((report.added, report.problems.total()), (1, 1), "the folder of metrics is missing");
/// assert_eq!(Dataset::open(&out)?.read::<TenantRow>()?[0].mean_s, Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ingest(
    raw: &[PathBuf],
    dataset: &Path,
    params: &IngestParams,
    observer: &mut dyn FnMut(IngestProgress) -> ControlFlow<()>,
) -> Result<IngestReport> {
    let mut problems = Problems::new(params.strict);
    let found = walk::find(raw, &params.catalogue, &mut problems)?;
    if found.is_empty() && problems.total() == 0 {
        let roots: Vec<String> = raw.iter().map(|root| root.display().to_string()).collect();
        return Err(Error::invalid("raw", roots.join(", "), "folders with run.json or tenant_requests.json in them"));
    }
    add(found, problems, dataset, params, observer)
}

/// Adds runs to a dataset.
fn add(
    found: Vec<Found>,
    mut problems: Problems,
    path: &Path,
    params: &IngestParams,
    observer: &mut dyn FnMut(IngestProgress) -> ControlFlow<()>,
) -> Result<IngestReport> {
    let old = match there(path)? {
        There::Nothing => None,
        There::Dataset(_) if params.replace => None,
        There::Dataset(dataset) => Some(Old::read(&dataset)?),
    };
    let all = found.len();
    let new: Vec<Found> = match &old {
        Some(old) => found.into_iter().filter(|run| !old.run_ids.contains(&run.run_id)).collect(),
        None => found,
    };
    let known = all - new.len();
    if new.is_empty() && !params.replace {
        return Ok(IngestReport { known, problems, ..IngestReport::default() });
    }

    let building = aside(path);
    files::remove_folder(&building)?;
    create_tables(&building)?;
    let destination = match &old {
        Some(old) => {
            link_tables(path, &building)?;
            Destination { dataset: &building, first_number: old.next_number, partitioned: old.partitioned }
        }
        None => {
            let bytes: u64 = new.iter().map(|run| run.bytes).sum();
            Destination { dataset: &building, first_number: 0, partitioned: bytes >= params.partition_bytes }
        }
    };
    let added = write_parts(&new, &destination, params, &mut problems, observer);
    let added = added.inspect_err(|_| {
        let _ = files::remove_folder(&building);
    })?;
    let datapoints_removed = DatapointSet::ALL.iter().any(|set| path.join(set.folder()).exists());
    files::replace_folder(&building, path)?;
    Ok(IngestReport { added, known, problems, datapoints_removed })
}

/// What is where a dataset is to be.
enum There {
    Nothing,
    Dataset(Dataset),
}

/// Looks where a dataset is to be. A folder of other things is not taken for one, for it would be removed.
fn there(path: &Path) -> Result<There> {
    let is_empty = match fs::read_dir(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
        Err(e) => return Err(Error::io("list", path)(e)),
        Ok(mut entries) => entries.next().is_none(),
    };
    if is_empty {
        Ok(There::Nothing)
    } else if path.join(RunRow::TABLE).is_dir() {
        Dataset::open(path).map(There::Dataset)
    } else {
        Err(Error::invalid("the dataset's folder", path.display(), "a dataset, an empty folder or none at all"))
    }
}

/// The id of a run in a dataset.
struct KnownRun {
    run_id: String,
}

row!(KnownRun, "runs", {
    run_id: String, "", "run";
});

/// The dataset that is added to.
struct Old {
    run_ids: BTreeSet<String>,
    next_number: usize,
    partitioned: bool,
}

impl Old {
    fn read(dataset: &Dataset) -> Result<Self> {
        dataset.check_schema()?;
        let run_ids = dataset.scan::<KnownRun>().rows()?.map(|run| Ok(run?.run_id)).collect::<Result<_>>()?;
        let numbers = table_files::<RunRow>(dataset.path())?;
        let next_number = numbers.iter().filter_map(|file| number_of(file)).max().map_or(0, |last| last + 1);
        let requests = table_files::<RequestRecord>(dataset.path())?;
        let partitioned = requests.iter().any(|file| file.parent().and_then(partition_of).is_some());
        Ok(Self { run_ids, next_number, partitioned })
    }
}

/// Links the files of a dataset's tables into another folder, or copies them where links are not to be had.
fn link_tables(path: &Path, building: &Path) -> Result<()> {
    for table in TABLES {
        for file in files_of(&path.join(table))? {
            let link = building.join(file.strip_prefix(path).unwrap_or(&file));
            if let Some(folder) = link.parent() {
                fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            }
            if fs::hard_link(&file, &link).is_err() {
                fs::copy(&file, &link).map_err(Error::io("copy", &file))?;
            }
        }
    }
    Ok(())
}

/// Where parts go.
struct Destination<'a> {
    dataset: &'a Path,
    /// Number of the first part.
    first_number: usize,
    /// Whether the large tables are partitioned by server.
    partitioned: bool,
}

/// Writes the runs into parts of a dataset; returns how many runs.
fn write_parts(
    runs: &[Found],
    destination: &Destination<'_>,
    params: &IngestParams,
    problems: &mut Problems,
    observer: &mut dyn FnMut(IngestProgress) -> ControlFlow<()>,
) -> Result<usize> {
    let parts = cut(runs, destination.partitioned);
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let bytes = runs.iter().map(|run| run.bytes).sum();
    let mut progress = IngestProgress { runs: runs.len(), runs_done: 0, bytes, bytes_done: 0 };
    let mut outcomes: Vec<Option<Result<Outcome>>> = parts.iter().map(|_| None).collect();
    let mut interrupted = observer(progress).is_break();
    thread::scope(|scope| {
        for _ in 0..params.jobs.clamp(1, parts.len()) {
            let (sender, parts, next, stopped) = (sender.clone(), &parts, &next, &stopped);
            scope.spawn(move || {
                let mut spare = Vec::new();
                while !stopped.load(Ordering::Relaxed)
                    && let index = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(runs) = parts.get(index)
                {
                    let on_run = |run: &Found| {
                        let _ = sender.send(Event::Run(run.bytes));
                        !stopped.load(Ordering::Relaxed)
                    };
                    let outcome = write_part(runs, destination, index, params, &mut spare, on_run);
                    if outcome.is_err() {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    let _ = sender.send(Event::Part(index, outcome));
                }
            });
        }
        drop(sender);
        for event in &receiver {
            match event {
                Event::Run(bytes) => {
                    progress.runs_done += 1;
                    progress.bytes_done += bytes;
                    interrupted = interrupted || observer(progress).is_break();
                }
                Event::Part(index, outcome) => outcomes[index] = Some(outcome),
            }
            if interrupted {
                stopped.store(true, Ordering::Relaxed);
            }
        }
    });
    if interrupted {
        return Err(Error::Interrupted);
    }
    let mut added = 0;
    for outcome in outcomes.into_iter().flatten() {
        let outcome = outcome?;
        added += outcome.added;
        problems.extend(outcome.problems);
    }
    Ok(added)
}

/// What a worker says.
enum Event {
    /// A run of so many raw bytes is done.
    Run(u64),
    /// A part is done.
    Part(usize, Result<Outcome>),
}

struct Outcome {
    added: usize,
    problems: Problems,
}

/// Writes one part, the `index`-th; `spare` is what batches are made of; `on_run` says after each run whether to go on.
fn write_part(
    runs: &[Found],
    destination: &Destination<'_>,
    index: usize,
    params: &IngestParams,
    spare: &mut Vec<PrototypeRequests>,
    on_run: impl Fn(&Found) -> bool,
) -> Result<Outcome> {
    let mut problems = Problems::new(params.strict);
    let server = |run: &Found| run.server.clone().unwrap_or_else(|| params.server.clone());
    let partition = runs.first().filter(|_| destination.partitioned).map(|run| partition(&server(run)));
    let number = destination.first_number + index;
    let mut part = Part::create(destination.dataset, number, partition.as_deref())?;
    let mut added = 0;
    for run in runs {
        match run.layout {
            Layout::Neuro => neuro_run::append(&RunFolder::open(&run.path)?, &mut part, &mut problems)?,
            Layout::Prototype => {
                let opened = PrototypeRun::open(&run.path, &params.catalogue)?;
                opened.append(&run.run_id, params, &mut part, spare, &mut problems)?;
            }
        }
        added += 1;
        if !on_run(run) {
            return Err(Error::Interrupted);
        }
    }
    part.finish()?;
    Ok(Outcome { added, problems })
}

/// Cuts runs into parts, of one server each where `by_server`. No runs are one empty part, so that a dataset of none has its tables.
fn cut(runs: &[Found], by_server: bool) -> Vec<&[Found]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, run) in runs.iter().enumerate() {
        bytes += run.bytes;
        let is_last = runs.get(i + 1).is_none_or(|next| by_server && next.server != run.server);
        if is_last || bytes >= PART_BYTES || i + 1 - start == PART_RUNS {
            parts.push(&runs[start..=i]);
            (start, bytes) = (i + 1, 0);
        }
    }
    if parts.is_empty() {
        parts.push(runs);
    }
    parts
}

/// Builds a dataset of run folders in place of what is there: [`Dataset::build`].
pub(crate) fn build(path: &Path, runs: &[RunFolder]) -> Result<()> {
    let found = runs.iter().map(|run| Found {
        run_id: run.manifest().run_id.clone(),
        layout: Layout::Neuro,
        path: run.path().to_owned(),
        server: Some(run.manifest().server.clone()),
        bytes: run.table_bytes(),
    });
    let params = IngestParams { strict: true, replace: true, ..IngestParams::default() };
    add(found.collect(), Problems::new(true), path, &params, &mut |_| ControlFlow::Continue(()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_by_size_by_number_of_runs_and_by_server() {
        let on = |server: &str, bytes| Found {
            run_id: String::new(),
            layout: Layout::Neuro,
            path: PathBuf::new(),
            server: Some(server.to_owned()),
            bytes,
        };
        let run = |bytes| on("edge-1", bytes);
        let sizes = |runs: &[Found]| cut(runs, true).iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0]);
        let large: Vec<_> = [1, PART_BYTES, 5, PART_BYTES - 5, 7].map(run).into();
        assert_eq!(sizes(&large), [2, 2, 1]);
        let small: Vec<_> = (0..PART_RUNS + 1).map(|_| run(0)).collect();
        assert_eq!(sizes(&small), [PART_RUNS, 1]);
        let two_servers = [on("a", 0), on("a", 0), on("b", 0)];
        assert_eq!(sizes(&two_servers), [2, 1]);
        assert_eq!(cut(&two_servers, false).len(), 1);
    }
}
