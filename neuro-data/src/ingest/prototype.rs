//! The prototype's raw layout of one run: `tenant_requests.json`, `tenant-<id>.csv` and `proc_metrics/`.
//!
//! What the prototype did not record stays null: when requests were scheduled and sent, and, where a tenant has several
//! replicas, which of them served a request. Times are counted from the run's first arrival, the window ends with its last.
//! Readings of counters are counted from when perf started; how that lies to the first arrival nobody recorded, so all of them
//! stand behind a tenant's rates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::part::Part;
use super::problem::{Problem, Problems};
use super::prototype_csv::{self, PrototypeRequest};
use super::prototype_perf;
use super::prototype_requests::{self, PrototypeTenant, TenantRequests};
use crate::seed::short_hash;
use crate::store::{Instant, Row, RunRow};
use crate::{
    Catalogue, CounterSample, Error, Phases, RequestRecord, RequestStatus, Result, RunKind, RunStatus, Tally, Tenant,
};
use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, RecordBatch, StringArray, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::datatypes::{Field, Schema};

/// The file that makes a folder a run of the prototype.
pub(super) const REQUESTS_FILE: &str = "tenant_requests.json";
const METRICS_FOLDER: &str = "proc_metrics";

/// Rows that are in memory at once as columns.
const BATCH_ROWS: usize = 32_768;
/// Bytes at the start of each tenant's file that tell runs of equal tenants apart.
const HEAD_BYTES: u64 = 4_096;
/// Arrivals beyond this, seconds, are on the clock of the Unix epoch.
const EPOCH_CLOCK_S: f64 = 1e9;

/// A run of the prototype, of which the tenants are read.
#[derive(Debug)]
pub(super) struct PrototypeRun {
    pub(super) run_id: String,
    path: PathBuf,
    kind: RunKind,
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
        let plain: Vec<Tenant> = tenants.iter().map(|known| known.tenant.clone()).collect();
        let (kind, name) = kind_and_name(path, &plain);
        let mut content = json.clone().into_bytes();
        for tenant in &plain {
            content.extend(head(&path.join(tenant_file(&tenant.id))));
        }
        let run_id = format!("{}_{name}_{}", kind.name(), short_hash(&content, 4));
        Ok(Self { run_id, path: path.to_owned(), kind, tenants, json })
    }

    /// Appends the run. Its files may miss what they like: what is there is kept.
    pub(super) fn append(&self, server: &str, part: &mut Part, problems: &mut Problems) -> Result<()> {
        let before = problems.total();
        let first_problem = problems.kept().len();
        let span = self.arrivals()?;
        let (first_s, last_s) = span.unwrap_or((0.0, 0.0));
        let phases = Phases { warmup_s: 0.0, duration_s: last_s - first_s, drain_s: 0.0, warmup_inferences: 0 };
        let (mut requests, mut measured) = (0, false);
        for known in &self.tenants {
            let mut tally = Tally::new(f64::NEG_INFINITY, f64::INFINITY);
            if let Some(rows) = self.append_requests(known, (first_s, last_s), &mut tally, part, problems)? {
                requests += rows;
                measured = true;
            }
            self.append_counters(known, &mut tally, part, problems)?;
            part.tenant(tally.summarise(&self.run_id, &known.tenant, &phases, 0));
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
        let duration_s = span.map(|(first, last)| last - first);
        part.end_of_run(RunRow {
            run_id: self.run_id.clone(),
            kind: self.kind,
            server: server.to_owned(),
            target: "prototype".to_owned(),
            seed: None,
            started_at: span.filter(|(first, _)| *first > EPOCH_CLOCK_S).map(|(first, _)| Instant(first)),
            duration_s,
            status: if measured { RunStatus::Complete } else { RunStatus::Failed },
            reason: if measured { incomplete } else { unmeasured() },
            send_lateness_p99_s: None,
            requested_rate: self.tenants.iter().map(|t| t.tenant.rate * f64::from(t.tenant.instances)).sum(),
            achieved_rate: duration_s.filter(|seconds| *seconds > 0.0).map(|seconds| requests as f64 / seconds),
            manifest: self.json.clone(),
        })
    }

    /// The first and the last arrival at any tenant, on the replicas' clock.
    fn arrivals(&self) -> Result<Option<(f64, f64)>> {
        let mut span: Option<(f64, f64)> = None;
        for known in &self.tenants {
            let path = self.path.join(tenant_file(&known.tenant.id));
            let Some(file) = open(&path)? else { continue };
            if let Some((first, last)) = prototype_csv::arrivals(file, &path)? {
                span = Some(span.map_or((first, last), |(low, high)| (low.min(first), high.max(last))));
            }
        }
        Ok(span)
    }

    /// Appends the requests of a tenant; `None` where it has no file.
    fn append_requests(
        &self,
        known: &PrototypeTenant,
        span_s: (f64, f64),
        tally: &mut Tally,
        part: &mut Part,
        problems: &mut Problems,
    ) -> Result<Option<u64>> {
        let path = self.path.join(tenant_file(&known.tenant.id));
        let Some(file) = open(&path)? else {
            problems.add(Problem::of_file(&path, "the file is missing; the tenant is not measured"))?;
            return Ok(None);
        };
        let mut columns = RequestColumns::new(&self.run_id, &known.tenant, span_s);
        let mut written = Ok(());
        let (mut served, problems_before) = (0_u64, problems.total());
        let read = prototype_csv::read(file, &path, problems, |request| {
            served += u64::from(request.service_s.is_some());
            columns.push(request, tally);
            if columns.len() == BATCH_ROWS && written.is_ok() {
                written = columns.take().and_then(|batch| part.requests(&batch));
            }
        })?;
        written?;
        part.requests(&columns.take()?)?;
        part.end_of_tenant()?;
        let Some(rows) = read else { return Ok(None) };
        tally.set_starved(served == 0 && problems.total() == problems_before);
        Ok(Some(rows))
    }

    /// Appends the readings of a tenant's replicas.
    fn append_counters(
        &self,
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
            let mut columns = CounterColumns::new(&self.run_id, id, replica);
            let mut written = Ok(());
            prototype_perf::read(file, path, problems, |reading| {
                let count = reading.count.map(|count| count as f64);
                tally.counter(replica, reading.event, reading.time_s, count);
                columns.push(reading);
                if columns.time_s.len() == BATCH_ROWS && written.is_ok() {
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
    let mut bytes = Vec::new();
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

/// Which experiment a run belongs to, by its place and its tenants: `<a>_<b>/<instances>/<rate>` is pairwise, one tenant of one
/// replica is a baseline, all else is random. The name is of the tenants, or of the folder where there are many.
fn kind_and_name(path: &Path, tenants: &[Tenant]) -> (RunKind, String) {
    let mut parts = path.components().rev().map(|part| part.as_os_str().to_string_lossy());
    let [rate, instances, pair] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let folder: String = rate
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(60)
        .collect();
    match tenants {
        [a, b] if pair == format!("{}_{}", a.app, b.app) || pair == format!("{}_{}", b.app, a.app) => {
            (RunKind::Pairwise, format!("{pair}_n{instances}_r{folder}"))
        }
        [alone] if alone.instances == 1 => (RunKind::Baseline, alone.app.clone()),
        _ => (RunKind::Random, folder),
    }
}

/// Requests of one tenant as columns.
struct RequestColumns<'a> {
    run_id: &'a str,
    tenant: &'a Tenant,
    /// The run's first and last arrival on the replicas' clock.
    origin_s: f64,
    last_s: f64,
    seq: Vec<u64>,
    start_s: Vec<Option<f64>>,
    end_s: Vec<Option<f64>>,
    service_s: Vec<Option<f64>>,
    queueing_s: Vec<Option<f64>>,
    queue_len: Vec<Option<u32>>,
    /// 0 answered, 1 censored.
    status: Vec<i8>,
}

impl<'a> RequestColumns<'a> {
    fn new(run_id: &'a str, tenant: &'a Tenant, (origin_s, last_s): (f64, f64)) -> Self {
        Self {
            run_id,
            tenant,
            origin_s,
            last_s,
            seq: Vec::new(),
            start_s: Vec::new(),
            end_s: Vec::new(),
            service_s: Vec::new(),
            queueing_s: Vec::new(),
            queue_len: Vec::new(),
            status: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.seq.len()
    }

    /// Adds a request: one with a service time was answered, one without was not by the end of the run.
    fn push(&mut self, request: PrototypeRequest, tally: &mut Tally) {
        let status = if request.service_s.is_some() { RequestStatus::Ok } else { RequestStatus::Censored };
        let start = request.arrival_s.zip(request.queueing_s).map(|(arrival, queueing)| arrival + queueing);
        let sample_start = match start.or(request.arrival_s) {
            Some(start) if start > self.last_s => f64::INFINITY,
            // The last arrival belongs to the window that ends with it.
            Some(start) => (start - self.origin_s).min((self.last_s - self.origin_s).next_down()),
            None => f64::NEG_INFINITY,
        };
        tally.request(status, false, Some(sample_start), request.service_s);
        self.seq.push(request.seq);
        self.start_s.push(start.map(|start| start - self.origin_s));
        self.end_s.push(request.departure_s.map(|departure| departure - self.origin_s));
        self.service_s.push(request.service_s);
        self.queueing_s.push(request.queueing_s);
        self.queue_len.push(request.queue_len);
        self.status.push(i8::from(status == RequestStatus::Censored));
    }

    /// The columns so far as a batch; they are empty then.
    fn take(&mut self) -> Result<RecordBatch> {
        let rows = self.len();
        let numbers = |column: &mut Vec<Option<f64>>| -> ArrayRef {
            let array = column.iter().copied().collect::<Float64Array>();
            column.clear();
            Arc::new(array)
        };
        // With one replica there is no doubt which it was.
        let replica = (self.tenant.instances == 1).then_some(0_u32);
        let status = std::mem::take(&mut self.status);
        let names =
            StringArray::from_iter_values([RequestStatus::Ok, RequestStatus::Censored].map(RequestStatus::name));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("run_id", constant(self.run_id, rows)?),
            ("tenant_id", constant(&self.tenant.id, rows)?),
            ("app", constant(&self.tenant.app, rows)?),
            ("replica", Arc::new(UInt32Array::from(vec![replica; rows]))),
            ("seq", Arc::new(UInt64Array::from(std::mem::take(&mut self.seq)))),
            ("start_s", numbers(&mut self.start_s)),
            ("end_s", numbers(&mut self.end_s)),
            ("service_s", numbers(&mut self.service_s)),
            ("queueing_s", numbers(&mut self.queueing_s)),
            ("queue_len", Arc::new(self.queue_len.drain(..).collect::<UInt32Array>())),
            ("status", dictionary(status, names)?),
            ("warmup", Arc::new(BooleanArray::from(vec![false; rows]))),
        ];
        batch_of::<RequestRecord>(columns, rows)
    }
}

/// Readings of one replica as columns.
struct CounterColumns<'a> {
    run_id: &'a str,
    tenant_id: &'a str,
    replica: u32,
    time_s: Vec<f64>,
    events: Vec<String>,
    event: Vec<i8>,
    count: Vec<Option<u64>>,
}

impl<'a> CounterColumns<'a> {
    fn new(run_id: &'a str, tenant_id: &'a str, replica: u32) -> Self {
        let (time_s, events, event, count) = Default::default();
        Self { run_id, tenant_id, replica, time_s, events, event, count }
    }

    fn push(&mut self, reading: prototype_perf::PerfReading<'_>) {
        let known = self.events.iter().position(|event| event == reading.event);
        let place = known.unwrap_or_else(|| {
            self.events.push(reading.event.to_owned());
            self.events.len() - 1
        });
        // perf opens a handful of events; a file with over a hundred is damaged, and its further ones are passed over.
        let Ok(place) = i8::try_from(place) else { return };
        self.time_s.push(reading.time_s);
        self.event.push(place);
        self.count.push(reading.count);
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let rows = self.time_s.len();
        let names = StringArray::from_iter_values(&self.events);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("run_id", constant(self.run_id, rows)?),
            ("tenant_id", constant(self.tenant_id, rows)?),
            ("replica", Arc::new(UInt32Array::from(vec![self.replica; rows]))),
            ("time_s", Arc::new(Float64Array::from(std::mem::take(&mut self.time_s)))),
            ("event", dictionary(std::mem::take(&mut self.event), names)?),
            ("count", Arc::new(self.count.drain(..).collect::<UInt64Array>())),
        ];
        batch_of::<CounterSample>(columns, rows)
    }
}

/// A column of one value.
fn constant(value: &str, rows: usize) -> Result<ArrayRef> {
    dictionary(vec![0; rows], StringArray::from_iter_values([value]))
}

/// A column of names by their places.
fn dictionary(places: Vec<i8>, names: StringArray) -> Result<ArrayRef> {
    let column = DictionaryArray::try_new(Int8Array::from(places), Arc::new(names));
    Ok(Arc::new(column.map_err(|e| Error::invalid("column", e, "names by their places"))?))
}

/// A batch of the columns of a table, null where there is none. Names may be dictionaries: they are stored as names.
fn batch_of<R: Row>(columns: Vec<(&str, ArrayRef)>, rows: usize) -> Result<RecordBatch> {
    let schema = R::schema();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for field in schema.fields() {
        let column = columns.iter().find(|(name, _)| name == field.name()).map(|(_, column)| Arc::clone(column));
        let column = column.unwrap_or_else(|| new_null_array(field.data_type(), rows));
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        arrays.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Error::invalid("columns", e, R::TABLE))
}
