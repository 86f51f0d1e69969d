//! The prototype's raw layout of one run: `tenant_requests.json`, `tenant-<id>.csv` and `proc_metrics/`.
//!
//! What the prototype did not record stays null: when requests were scheduled and sent, and, where a tenant has several
//! replicas, which of them served a request. Times are counted from the run's first arrival, the window ends with its last.
//! Readings of counters are counted from when perf started; how that lies to the first arrival nobody recorded, so all of them
//! stand behind a tenant's rates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::part::Part;
use super::pipeline::IngestParams;
use super::problem::{Problem, Problems};
use super::prototype_batch::{BATCH_ROWS, CounterReadings, PrototypeRequests, Span};
use super::prototype_csv;
use super::prototype_perf;
use super::prototype_requests::{self, PrototypeTenant, TenantRequests};
use crate::seed::short_hash;
use crate::store::{Instant, RunRow};
use crate::{Catalogue, Error, Phases, Result, RunKind, RunStatus, Tally};

/// The file that makes a folder a run of the prototype.
pub(super) const REQUESTS_FILE: &str = "tenant_requests.json";
const METRICS_FOLDER: &str = "proc_metrics";

/// Bytes at the start of each tenant's file that tell runs of equal tenants apart.
const HEAD_BYTES: u64 = 4_096;
/// Arrivals beyond this, seconds, are on the clock of the Unix epoch.
const EPOCH_CLOCK_S: f64 = 1e9;

/// What is known of a tenant once its requests are read.
#[derive(Clone, Copy)]
struct ReadTenant {
    rows: u64,
    /// Whether none was served, and nothing is wrong with the file.
    starved: bool,
}

/// A run of the prototype, of which the tenants are read.
#[derive(Debug)]
pub(super) struct PrototypeRun {
    path: PathBuf,
    tenants: Vec<PrototypeTenant>,
    /// `tenant_requests.json`.
    json: String,
}

impl PrototypeRun {
    /// Reads the tenants of a run.
    ///
    /// # Errors
    /// What [`prototype_requests::read`] says, or the file cannot be read.
    pub(super) fn open(path: &Path, catalogue: &Catalogue) -> Result<Self> {
        let file = path.join(REQUESTS_FILE);
        let text = fs::read(&file).map_err(Error::io("read", &file))?;
        let TenantRequests { tenants, json } = prototype_requests::read(&text, &file, catalogue)?;
        Ok(Self { path: path.to_owned(), tenants, json })
    }

    /// The run's id: what experiment it is, of which tenants, and a hash of how its files start.
    pub(super) fn id(&self) -> String {
        let (kind, name) = self.kind_and_name();
        let mut content = self.json.clone().into_bytes();
        for known in &self.tenants {
            content.extend(head(&self.path.join(tenant_file(&known.tenant.id))));
        }
        format!("{}_{name}_{}", kind.name(), short_hash(&content, 4))
    }

    /// Appends the run under its id. Its files may miss what they like: what is there is kept. Batches are taken from `spare` and put
    /// back there, as memory that is new to a process is dear.
    pub(super) fn append(
        &self,
        run_id: &str,
        params: &IngestParams,
        part: &mut Part,
        spare: &mut Vec<PrototypeRequests>,
        problems: &mut Problems,
    ) -> Result<()> {
        let before = problems.total();
        let first_problem = problems.kept().len();
        let is_large = self.csv_bytes() > params.held_bytes;
        let mut span = Span::default();
        let mut held = Vec::new();
        for known in &self.tenants {
            let mut batches = Vec::new();
            let mut unwanted = Problems::new(false);
            let problems = if is_large { &mut unwanted } else { &mut *problems };
            let read = self.read_requests(known, problems, spare, &mut |batch, spare| {
                span.extend(&batch);
                if is_large {
                    spare.push(batch)
                } else {
                    batches.push(batch)
                }
                Ok(())
            })?;
            held.push((read, batches));
        }
        let phases = Phases { warmup_s: 0.0, duration_s: span.duration_s(), drain_s: 0.0, warmup_inferences: 0 };
        let (mut requests, mut measured) = (0, false);
        for (known, (mut read, batches)) in self.tenants.iter().zip(held) {
            let mut tally = Tally::new(f64::NEG_INFINITY, f64::INFINITY);
            tally.reserve(batches.iter().map(PrototypeRequests::len).sum());
            let mut append = |batch: PrototypeRequests, spare: &mut Vec<PrototypeRequests>| {
                batch.tally(span, &mut tally);
                part.requests(&batch.columns(run_id, &known.tenant, span)?)?;
                spare.push(batch);
                Ok(())
            };
            if is_large {
                read = self.read_requests(known, problems, spare, &mut append)?;
            } else {
                batches.into_iter().try_for_each(|batch| append(batch, spare))?;
            }
            part.end_of_tenant()?;
            if let Some(read) = read {
                requests += read.rows;
                measured = true;
                tally.set_starved(read.starved);
            }
            self.append_counters(run_id, known, &mut tally, part, problems)?;
            part.tenant(tally.summarise(run_id, &known.tenant, &phases));
        }
        self.report_strangers(problems)?;

        let count = problems.total() - before;
        let first = problems.kept().get(first_problem).map(|problem| {
            let path = problem.path.strip_prefix(&self.path).unwrap_or(&problem.path).to_owned();
            Problem { path, ..problem.clone() }
        });
        let incomplete = (count > 0).then(|| {
            let first = first.map_or(String::new(), |problem| format!(", the first: {problem}"));
            format!("{count} problems in its files{first}")
        });
        let unmeasured = || Some("no tenant was measured".to_owned());
        let span = (span.first_s <= span.last_s).then_some(span);
        let duration_s = span.map(Span::duration_s);
        part.end_of_run(RunRow {
            run_id: run_id.to_owned(),
            kind: self.kind_and_name().0,
            server: params.server.clone(),
            target: "prototype".to_owned(),
            seed: None,
            started_at: span.filter(|span| span.first_s > EPOCH_CLOCK_S).map(|span| Instant(span.first_s)),
            duration_s,
            status: if measured { RunStatus::Complete } else { RunStatus::Failed },
            reason: if measured { incomplete } else { unmeasured() },
            send_lateness_p99_s: None,
            requested_rate: self.tenants.iter().map(|t| t.tenant.rate * f64::from(t.tenant.instances)).sum(),
            achieved_rate: duration_s.filter(|seconds| *seconds > 0.0).map(|seconds| requests as f64 / seconds),
            manifest: self.json.clone(),
        })
    }

    /// Which experiment the run belongs to, by its place and its tenants: `<a>_<b>/<instances>/<rate>` is pairwise, one tenant of
    /// one replica is a baseline, all else is random. The name is of the tenants, or of the folder where there are many.
    fn kind_and_name(&self) -> (RunKind, String) {
        let mut parts = self.path.components().rev().map(|part| part.as_os_str().to_string_lossy());
        let [rate, instances, pair] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let folder: String = rate
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .take(60)
            .collect();
        match self.tenants.iter().map(|known| &known.tenant).collect::<Vec<_>>()[..] {
            [a, b] if pair == format!("{}_{}", a.app, b.app) || pair == format!("{}_{}", b.app, a.app) => {
                (RunKind::Pairwise, format!("{pair}_n{instances}_r{folder}"))
            }
            [alone] if alone.instances == 1 => (RunKind::Baseline, alone.app.clone()),
            _ => (RunKind::Random, folder),
        }
    }

    /// Size of the tenants' files of requests.
    fn csv_bytes(&self) -> u64 {
        let files = self.tenants.iter().map(|known| self.path.join(tenant_file(&known.tenant.id)));
        files.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    /// Reads the requests of a tenant, batch by batch; `None` where it has no file or its file says nothing of it.
    fn read_requests(
        &self,
        known: &PrototypeTenant,
        problems: &mut Problems,
        spare: &mut Vec<PrototypeRequests>,
        take: &mut dyn FnMut(PrototypeRequests, &mut Vec<PrototypeRequests>) -> Result<()>,
    ) -> Result<Option<ReadTenant>> {
        let path = self.path.join(tenant_file(&known.tenant.id));
        let Some(file) = open(&path)? else {
            problems.add(Problem::of_file(&path, "the file is missing; the tenant is not measured"))?;
            return Ok(None);
        };
        let empty = |spare: &mut Vec<PrototypeRequests>| {
            let mut batch = spare.pop().unwrap_or_default();
            batch.clear();
            batch
        };
        let mut batch = empty(spare);
        let mut taken = Ok(());
        let (mut served, problems_before) = (false, problems.total());
        let rows = prototype_csv::read(file, &path, problems, |request| {
            served |= request.service_s.is_some();
            batch.push(request);
            if batch.len() == BATCH_ROWS && taken.is_ok() {
                taken = take(std::mem::replace(&mut batch, empty(spare)), spare);
            }
        })?;
        taken?;
        take(batch, spare)?;
        let starved = !served && problems.total() == problems_before;
        Ok(rows.map(|rows| ReadTenant { rows, starved }))
    }

    /// Appends the readings of a tenant's replicas.
    fn append_counters(
        &self,
        run_id: &str,
        known: &PrototypeTenant,
        tally: &mut Tally,
        part: &mut Part,
        problems: &mut Problems,
    ) -> Result<()> {
        let metrics = self.path.join(METRICS_FOLDER);
        let id = &known.tenant.id;
        let names = [format!("tenant_{id}"), id.clone()];
        let Some(folder) = names.iter().map(|name| metrics.join(name)).find(|folder| folder.is_dir()) else {
            let missing = metrics.join(&names[0]);
            return problems.add(Problem::of_file(&missing, "the folder is missing; the tenant has no counters"));
        };
        let files = raw_files(&folder)?;
        if files.is_empty() {
            return problems.add(Problem::of_file(&folder, "it holds no *.raw file; the tenant has no counters"));
        }
        for (place, (pid, path)) in files.iter().enumerate() {
            let replica = pid.and_then(|pid| known.pids.iter().position(|known| *known == pid)).unwrap_or(place) as u32;
            let Some(file) = open(path)? else { continue };
            let mut columns = CounterReadings::new(run_id, id, replica);
            let mut written = Ok(());
            prototype_perf::read(file, path, problems, |reading| {
                let count = reading.count.map(|count| count as f64);
                tally.counter(replica, reading.event, reading.time_s, count);
                columns.push(reading);
                if columns.len() == BATCH_ROWS && written.is_ok() {
                    written = columns.take().and_then(|batch| part.counters(&batch));
                }
            })?;
            written?;
            part.counters(&columns.take()?)?;
        }
        Ok(())
    }

    /// Reports files of tenants that nobody asked for.
    fn report_strangers(&self, problems: &mut Problems) -> Result<()> {
        for path in listed(&self.path)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let id = name.strip_prefix("tenant-").and_then(|rest| rest.strip_suffix(".csv"));
            if id.is_some_and(|id| self.tenants.iter().all(|known| known.tenant.id != id)) {
                problems.add(Problem::of_file(&path, format!("{REQUESTS_FILE} has no such tenant; it is left out")))?;
            }
        }
        Ok(())
    }
}

fn tenant_file(id: &str) -> String {
    format!("tenant-{id}.csv")
}

/// A file for reading; `None` where there is none.
fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("open", path)(e)),
    }
}

/// The start of a file, nothing where it cannot be read.
fn head(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::with_capacity(HEAD_BYTES as usize);
    if let Ok(file) = File::open(path) {
        let _ = file.take(HEAD_BYTES).read_to_end(&mut bytes);
    }
    bytes
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        paths.push(entry.map_err(Error::io("list", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The texts of perf in a folder with the process ids in their names, in order of id.
fn raw_files(folder: &Path) -> Result<Vec<(Option<u64>, PathBuf)>> {
    let mut files: Vec<_> = listed(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "raw"))
        .map(|path| (path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()), path))
        .collect();
    files.sort();
    Ok(files)
}
