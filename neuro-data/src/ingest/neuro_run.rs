//! Our own run folders.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, UInt32Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::part::Part;
use super::problem::{Problem, Problems};
use crate::run_folder::RunFolder;
use crate::store::{Instant, Row, RunRow};
use crate::{CounterSample, DataVerdict, Error, Manifest, RequestRecord, RequestStatus, Result, RunStatus, Tally};

/// Rows of a run folder's tables that are in memory at once.
const BATCH_ROWS: usize = 65_536;

/// Appends a run folder. What can be read of damaged tables is kept, and the run marked invalid.
pub(super) fn append(run: &RunFolder, part: &mut Part, problems: &mut Problems) -> Result<()> {
    let manifest = run.manifest();
    let mut row = run_row(run)?;
    if manifest.data == DataVerdict::Summarised {
        match run.summaries() {
            Ok(summaries) => summaries.into_iter().for_each(|summary| part.tenant(summary)),
            Err(damage) => mark_damaged(run, &mut row, &damage, problems)?,
        }
    } else if manifest.status != RunStatus::Failed {
        let spec = &manifest.spec;
        let (start_s, end_s) = (spec.phases.warmup_s, spec.phases.end_s());
        let mut tallies: Vec<Tally> = spec.tenants.iter().map(|_| Tally::new(start_s, end_s)).collect();
        let outcome = append_requests(run, &mut tallies, part).and_then(|()| append_counters(run, &mut tallies, part));
        if let Err(damage) = outcome {
            mark_damaged(run, &mut row, &damage, problems)?;
        }
        for (tenant, tally) in spec.tenants.iter().zip(tallies) {
            part.tenant(tally.summarise(&manifest.run_id, tenant, &spec.phases));
        }
    }
    part.end_of_run(row)
}

fn mark_damaged(run: &RunFolder, row: &mut RunRow, damage: &Error, problems: &mut Problems) -> Result<()> {
    problems.add(Problem::of_file(run.path(), format!("{damage}; the run is marked invalid")))?;
    row.status = RunStatus::Invalid;
    row.reason = Some(format!("its tables are damaged: {}", root_cause(damage)));
    Ok(())
}

fn append_requests(run: &RunFolder, tallies: &mut [Tally], part: &mut Part) -> Result<()> {
    let path = run.requests_file();
    each_batch::<RequestRecord>(&path, |batch| {
        let tenants = ids(batch, "tenant_id");
        let statuses = ids(batch, "status");
        let warmups = batch.column_by_name("warmup").and_then(|c| c.as_boolean_opt());
        let (start_s, sent_s) = (seconds(batch, "start_s"), seconds(batch, "sent_s"));
        let service_s = seconds(batch, "service_s");
        let (Some(tenants), Some(statuses), Some(warmups)) = (tenants, statuses, warmups) else { return Ok(()) };
        let mut places = Places::new(run.manifest());
        for i in 0..batch.num_rows() {
            let known = |column: Option<&arrow::array::Float64Array>| {
                column.filter(|column| column.is_valid(i)).map(|column| column.value(i))
            };
            let status = statuses.value(i);
            let status = RequestStatus::from_name(status)
                .ok_or_else(|| Error::malformed(&path, format!("unknown status {status:?}")))?;
            let tally = places.of(tenants.value(i)).and_then(|place| tallies.get_mut(place));
            let tally = tally.ok_or_else(|| unknown_tenant(&path, tenants.value(i)))?;
            // Where the service's clock is another host's, the start is known to be after the sending.
            let start = known(start_s).or_else(|| known(sent_s));
            tally.request(status, warmups.value(i), start, known(service_s));
        }
        part.requests(batch)
    })
}

fn append_counters(run: &RunFolder, tallies: &mut [Tally], part: &mut Part) -> Result<()> {
    let path = run.counters_file();
    each_batch::<CounterSample>(&path, |batch| {
        let (tenants, events) = (ids(batch, "tenant_id"), ids(batch, "event"));
        let replicas = batch.column_by_name("replica").and_then(|c| c.as_primitive_opt::<UInt32Type>());
        let number = |name| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<UInt64Type>());
        let counts = [number("count"), number("enabled_ns"), number("running_ns")];
        let (Some(tenants), Some(events), Some(replicas)) = (tenants, events, replicas) else { return Ok(()) };
        let Some(times) = seconds(batch, "time_s") else { return Ok(()) };
        let mut places = Places::new(run.manifest());
        for i in 0..batch.num_rows() {
            let [count, enabled_ns, running_ns] =
                counts.map(|column| column.filter(|column| column.is_valid(i)).map(|column| column.value(i)));
            let tally = places.of(tenants.value(i)).and_then(|place| tallies.get_mut(place));
            let tally = tally.ok_or_else(|| unknown_tenant(&path, tenants.value(i)))?;
            let scaled = crate::record::scaled(count, enabled_ns, running_ns);
            tally.counter(replicas.value(i), events.value(i), times.value(i), scaled);
        }
        part.counters(batch)
    })
}

/// Hands on a table in batches that have its present columns.
fn each_batch<R: Row>(path: &Path, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let parquet = |source| Error::Parquet { action: "read", path: path.to_owned(), source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet)?;
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(parquet)? {
        let batch = batch.map_err(|e| parquet(e.into()))?;
        let schema = R::schema();
        let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
            let column = batch.column_by_name(field.name());
            column.cloned().ok_or_else(|| Error::malformed(path, format!("no column {:?}", field.name())))
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        take(&RecordBatch::try_new(schema, columns).map_err(|e| Error::malformed(path, e))?)?;
    }
    Ok(())
}

fn ids<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a arrow::array::StringArray> {
    batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>())
}

fn seconds<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a arrow::array::Float64Array> {
    batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>())
}

fn unknown_tenant(path: &Path, id: &str) -> Error {
    Error::malformed(path, format!("its manifest knows no tenant {id:?}"))
}

/// Finds tenants by id; neighbouring rows are mostly of one.
struct Places<'a> {
    manifest: &'a Manifest,
    last: usize,
}

impl<'a> Places<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        Self { manifest, last: 0 }
    }

    fn of(&mut self, id: &str) -> Option<usize> {
        let tenants = &self.manifest.spec.tenants;
        if tenants.get(self.last).is_none_or(|tenant| tenant.id != id) {
            self.last = tenants.iter().position(|tenant| tenant.id == id)?;
        }
        Some(self.last)
    }
}

fn run_row(run: &RunFolder) -> Result<RunRow> {
    let manifest = run.manifest();
    let text = serde_json::to_string(manifest).map_err(|e| Error::malformed(run.path(), e))?;
    Ok(RunRow {
        run_id: manifest.run_id.clone(),
        kind: manifest.spec.kind,
        server: manifest.server.clone(),
        target: manifest.target.clone(),
        seed: Some(manifest.spec.seed),
        // A simulated run has no date.
        started_at: (manifest.started_at > 0.0).then_some(Instant(manifest.started_at)),
        duration_s: Some(manifest.spec.phases.duration_s),
        status: manifest.status,
        reason: manifest.reason.clone(),
        send_lateness_p99_s: Some(manifest.load.send_lateness_s.p99),
        requested_rate: manifest.load.requested_rate,
        achieved_rate: Some(manifest.load.achieved_rate),
        manifest: text,
    })
}

/// The reason of a failure without the machine's paths.
fn root_cause(error: &Error) -> String {
    match error {
        Error::Io { source, .. } => source.to_string(),
        Error::Parquet { source, .. } => source.to_string(),
        Error::Malformed { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}
