//! Requests and readings of the prototype as columns, some thousands at a time.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int32Array, RecordBatch, RunArray, StringArray,
    UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{Field, Schema};

use super::prototype_csv::PrototypeRequest;
use super::prototype_perf::PerfReading;
use crate::store::Row;
use crate::{CounterSample, Error, RequestRecord, RequestStatus, Result, Tally, Tenant};

/// Rows that a batch holds.
pub(super) const BATCH_ROWS: usize = 8_192;

/// From a run's first arrival to its last, seconds on its replicas' clock; the first is after the last where there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first_s: f64,
    pub(super) last_s: f64,
}

impl Default for Span {
    fn default() -> Self {
        Self { first_s: f64::INFINITY, last_s: f64::NEG_INFINITY }
    }
}

impl Span {
    /// Takes the arrivals of a batch in.
    pub(super) fn extend(&mut self, requests: &PrototypeRequests) {
        // A minimum or maximum with NaN is the other figure.
        for arrival in &requests.arrival_s {
            (self.first_s, self.last_s) = (self.first_s.min(*arrival), self.last_s.max(*arrival));
        }
    }

    /// Its length; 0 without an arrival.
    pub(super) fn duration_s(self) -> f64 {
        (self.last_s - self.first_s).max(0.0)
    }
}

/// Requests of one tenant, a batch at most. NaN, and the largest length of a queue, stand for what is not known.
#[derive(Debug)]
pub(super) struct PrototypeRequests {
    /// Runs of numbers that follow one another.
    seq: Vec<Range<u64>>,
    service_s: Vec<f64>,
    arrival_s: Vec<f64>,
    departure_s: Vec<f64>,
    queueing_s: Vec<f64>,
    queue_len: Vec<u32>,
}

impl Default for PrototypeRequests {
    fn default() -> Self {
        let seconds = || Vec::with_capacity(BATCH_ROWS);
        Self {
            seq: Vec::new(),
            service_s: seconds(),
            arrival_s: seconds(),
            departure_s: seconds(),
            queueing_s: seconds(),
            queue_len: Vec::with_capacity(BATCH_ROWS),
        }
    }
}

impl PrototypeRequests {
    pub(super) fn len(&self) -> usize {
        self.service_s.len()
    }

    /// Forgets the requests, but keeps the room for others.
    pub(super) fn clear(&mut self) {
        self.seq.clear();
        self.queue_len.clear();
        for column in [&mut self.service_s, &mut self.arrival_s, &mut self.departure_s, &mut self.queueing_s] {
            column.clear();
        }
    }

    #[inline]
    pub(super) fn push(&mut self, request: PrototypeRequest) {
        match self.seq.last_mut().filter(|run| run.end == request.seq) {
            Some(run) => run.end += 1,
            None => self.seq.push(request.seq..request.seq + 1),
        }
        self.service_s.push(request.service_s.unwrap_or(f64::NAN));
        self.arrival_s.push(request.arrival_s.unwrap_or(f64::NAN));
        self.departure_s.push(request.departure_s.unwrap_or(f64::NAN));
        self.queueing_s.push(request.queueing_s.unwrap_or(f64::NAN));
        self.queue_len.push(request.queue_len.unwrap_or(u32::MAX));
    }

    /// Counts what became of the requests: one with a service time was answered, one without was not by the end of the run.
    pub(super) fn tally(&self, span: Span, tally: &mut Tally) {
        // The last arrival belongs to the window that ends with it.
        let latest = span.duration_s().next_down();
        for ((&service, &arrival), &queueing) in self.service_s.iter().zip(&self.arrival_s).zip(&self.queueing_s) {
            let start = if queueing.is_nan() { arrival } else { arrival + queueing };
            let sample_start = if start.is_nan() {
                f64::NEG_INFINITY
            } else if start > span.last_s {
                f64::INFINITY
            } else {
                (start - span.first_s).min(latest)
            };
            let served = (!service.is_nan()).then_some(service);
            tally.request(status_of(service), false, Some(sample_start), served);
        }
    }

    /// The rows of a tenant of a run in its table.
    pub(super) fn columns(&self, run_id: &str, tenant: &Tenant, span: Span) -> Result<RecordBatch> {
        let rows = self.len();
        let since_first = |seconds: f64| seconds - span.first_s;
        let starts =
            self.arrival_s.iter().zip(&self.queueing_s).map(|(arrival, wait)| since_first(arrival + wait)).collect();
        let ends = self.departure_s.iter().map(|seconds| since_first(*seconds)).collect();
        let lengths = known_values(&self.queue_len, |length| *length < u32::MAX);
        // With one replica there is no doubt which it was.
        let replica: ArrayRef = match tenant.instances {
            1 => Arc::new(UInt32Array::from_value(0, rows)),
            _ => Arc::new(UInt32Array::new_null(rows)),
        };
        let statuses = self.service_s.chunk_by(|a, b| status_of(*a) == status_of(*b));
        let statuses = statuses.map(|run| (status_of(run[0]).name(), run.len()));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("run_id", runs([(run_id, rows)])?),
            ("tenant_id", runs([(tenant.id.as_str(), rows)])?),
            ("app", runs([(tenant.app.as_str(), rows)])?),
            ("replica", replica),
            ("seq", Arc::new(self.seq.iter().cloned().flatten().collect::<UInt64Array>())),
            ("start_s", known(starts)),
            ("end_s", known(ends)),
            ("queue_len", Arc::new(UInt32Array::new(self.queue_len.clone().into(), lengths))),
            ("status", runs(statuses)?),
            ("warmup", Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), None))),
            ("service_s", known(self.service_s.clone())),
            ("queueing_s", known(self.queueing_s.clone())),
        ];
        batch_of::<RequestRecord>(columns, rows)
    }
}

/// One with a service time was answered.
fn status_of(service_s: f64) -> RequestStatus {
    if service_s.is_nan() { RequestStatus::Censored } else { RequestStatus::Ok }
}

/// A column in which NaN is null.
fn known(values: Vec<f64>) -> ArrayRef {
    let nulls = known_values(&values, |x| !x.is_nan());
    Arc::new(Float64Array::new(values.into(), nulls))
}

/// Which values are known; `None` where all are.
fn known_values<T>(values: &[T], is_known: impl Fn(&T) -> bool) -> Option<NullBuffer> {
    (!values.iter().all(&is_known)).then(|| values.iter().map(is_known).collect())
}

/// Readings of one replica as columns.
pub(super) struct CounterReadings<'a> {
    run_id: &'a str,
    tenant_id: &'a str,
    replica: u32,
    time_s: Vec<f64>,
    events: Vec<String>,
    event: Vec<i8>,
    count: Vec<Option<u64>>,
}

impl<'a> CounterReadings<'a> {
    pub(super) fn new(run_id: &'a str, tenant_id: &'a str, replica: u32) -> Self {
        let (time_s, events, event, count) = Default::default();
        Self { run_id, tenant_id, replica, time_s, events, event, count }
    }

    pub(super) fn len(&self) -> usize {
        self.time_s.len()
    }

    pub(super) fn push(&mut self, reading: PerfReading<'_>) {
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

    /// The columns so far; they are empty then.
    pub(super) fn take(&mut self) -> Result<RecordBatch> {
        let rows = self.len();
        let names = StringArray::from_iter_values(&self.events);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("run_id", runs([(self.run_id, rows)])?),
            ("tenant_id", runs([(self.tenant_id, rows)])?),
            ("replica", Arc::new(UInt32Array::from(vec![self.replica; rows]))),
            ("time_s", Arc::new(Float64Array::from(std::mem::take(&mut self.time_s)))),
            ("event", dictionary(std::mem::take(&mut self.event), names)?),
            ("count", Arc::new(self.count.drain(..).collect::<UInt64Array>())),
        ];
        batch_of::<CounterSample>(columns, rows)
    }
}

/// A column of names that each stand for some rows.
fn runs<'a>(runs: impl IntoIterator<Item = (&'a str, usize)>) -> Result<ArrayRef> {
    let (mut names, mut ends, mut end) = (Vec::new(), Vec::new(), 0);
    for (name, rows) in runs.into_iter().filter(|(_, rows)| *rows > 0) {
        end += rows as i32;
        names.push(name);
        ends.push(end);
    }
    let column = RunArray::try_new(&Int32Array::from(ends), &StringArray::from(names));
    Ok(Arc::new(column.map_err(|e| Error::invalid("column", e, "runs of names"))?))
}

/// A column of names by their places.
fn dictionary(places: Vec<i8>, names: StringArray) -> Result<ArrayRef> {
    let column = DictionaryArray::try_new(Int8Array::from(places), Arc::new(names));
    Ok(Arc::new(column.map_err(|e| Error::invalid("column", e, "names by their places"))?))
}

/// A batch of the columns of a table, null where there is none. Names may be runs or dictionaries: they are stored as names.
fn batch_of<R: Row>(columns: Vec<(&str, ArrayRef)>, rows: usize) -> Result<RecordBatch> {
    let schema = R::schema();
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    let mut unknown = HashMap::new();
    for field in schema.fields() {
        let column = columns.iter().find(|(name, _)| name == field.name()).map(|(_, column)| Arc::clone(column));
        let column = column.unwrap_or_else(|| {
            let nulls = unknown.entry(field.data_type()).or_insert_with(|| new_null_array(field.data_type(), rows));
            Arc::clone(nulls)
        });
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        arrays.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Error::invalid("columns", e, R::TABLE))
}
