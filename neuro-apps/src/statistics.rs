//! What a replica remembers of the inferences it has done.

use std::collections::VecDeque;

use serde::Serialize;

/// The times of one completed request, in seconds on the [monotonic clock](crate::clock) of the host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Record {
    /// When the request was put into the queue.
    pub arrival_s: f64,
    /// When its inference began.
    pub start_s: f64,
    /// When its inference ended.
    pub end_s: f64,
    /// Requests waiting or in service when it arrived.
    pub queue_len: usize,
}

impl Record {
    /// Duration of the inference alone.
    pub fn service_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// Time from arrival to the start of the inference.
    pub fn queueing_s(&self) -> f64 {
        self.start_s - self.arrival_s
    }
}

/// Records since the last flush, in the order of completion, which for one first-come-first-served server is also the order of
/// arrival. All lists have the same length; times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceTimes {
    /// Identifies the replica: differs between any two processes.
    pub uid: String,
    /// Durations of the inferences.
    pub service_times: Vec<f64>,
    /// Arrivals, absolute.
    pub arrival_times: Vec<f64>,
    /// Ends of the inferences, absolute.
    pub departure_times: Vec<f64>,
    /// Gaps to the previous arrival of the list; null for the first, which has none.
    pub interarrival_times: Vec<Option<f64>>,
    /// Waiting times.
    pub queueing_times: Vec<f64>,
    /// Requests waiting or in service at each arrival.
    pub queue_lens: Vec<usize>,
    /// How many older records were dropped since the last flush because the limit was reached.
    pub dropped_records: u64,
}

/// The most recent records, up to a limit.
#[derive(Debug)]
pub(crate) struct RecordLog {
    records: VecDeque<Record>,
    limit: usize,
    dropped: u64,
}

impl RecordLog {
    /// An empty log of at most `limit` records.
    pub(crate) fn new(limit: usize) -> Self {
        Self { records: VecDeque::new(), limit, dropped: 0 }
    }

    /// Appends a record; the oldest is dropped when the log is full.
    pub(crate) fn push(&mut self, record: Record) {
        self.records.push_back(record);
        if self.records.len() > self.limit {
            self.records.pop_front();
            self.dropped += 1;
        }
    }

    /// Forgets everything and returns how many records there were.
    pub(crate) fn flush(&mut self) -> usize {
        self.dropped = 0;
        std::mem::take(&mut self.records).len()
    }

    /// A copy of the records and the number of dropped ones.
    pub(crate) fn snapshot(&self) -> (Vec<Record>, u64) {
        (self.records.iter().copied().collect(), self.dropped)
    }
}

/// The records as columns.
pub(crate) fn service_times(uid: &str, records: &[Record], dropped: u64) -> ServiceTimes {
    let gaps = records.windows(2).map(|pair| Some(pair[1].arrival_s - pair[0].arrival_s));
    ServiceTimes {
        uid: uid.to_owned(),
        service_times: records.iter().map(Record::service_s).collect(),
        arrival_times: records.iter().map(|record| record.arrival_s).collect(),
        departure_times: records.iter().map(|record| record.end_s).collect(),
        interarrival_times: records.first().map(|_| None).into_iter().chain(gaps).collect(),
        queueing_times: records.iter().map(Record::queueing_s).collect(),
        queue_lens: records.iter().map(|record| record.queue_len).collect(),
        dropped_records: dropped,
    }
}

/// Counts of durations below fixed bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    counts: [u64; Self::BOUNDS_S.len()],
    count: u64,
    sum_s: f64,
}

impl Histogram {
    /// The upper bounds of the buckets, inclusive, in seconds: 1, 2, 5 in each decade from 0.1 ms to 100 s.
    pub const BOUNDS_S: [f64; 19] =
        [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

    /// A histogram of nothing.
    pub(crate) fn new() -> Self {
        Self { counts: [0; Self::BOUNDS_S.len()], count: 0, sum_s: 0.0 }
    }

    /// Adds one duration.
    pub(crate) fn observe(&mut self, duration_s: f64) {
        let bucket = Self::BOUNDS_S.partition_point(|&bound| bound < duration_s);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum_s += duration_s;
    }

    /// Pairs of an upper bound in seconds and the number of durations at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let totals = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        Self::BOUNDS_S.into_iter().zip(totals)
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the durations in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(arrival_s: f64) -> Record {
        Record { arrival_s, start_s: arrival_s + 0.5, end_s: arrival_s + 2.5, queue_len: 1 }
    }

    #[test]
    fn columns_follow_from_the_records() {
        let times = service_times("u", &[record(1.0), record(4.0)], 7);
        assert_eq!(times.service_times, [2.0, 2.0]);
        assert_eq!(times.queueing_times, [0.5, 0.5]);
        assert_eq!(times.departure_times, [3.5, 6.5]);
        assert_eq!(times.interarrival_times, [None, Some(3.0)]);
        assert_eq!((times.queue_lens, times.dropped_records), (vec![1, 1], 7));
        assert!(service_times("u", &[], 0).interarrival_times.is_empty());
    }

    #[test]
    fn a_full_log_drops_the_oldest_and_a_flush_forgets_all() {
        let mut log = RecordLog::new(2);
        for arrival_s in [1.0, 2.0, 3.0] {
            log.push(record(arrival_s));
        }
        assert_eq!(log.snapshot(), (vec![record(2.0), record(3.0)], 1));
        assert_eq!(log.flush(), 2);
        assert_eq!(log.snapshot(), (vec![], 0));
    }

    #[test]
    fn bounds_are_inclusive_and_counts_cumulative() {
        let mut histogram = Histogram::new();
        for duration_s in [1e-4, 1.5e-4, 0.3, 1e6] {
            histogram.observe(duration_s);
        }
        let counts: Vec<_> = histogram.cumulative().collect();
        assert_eq!(counts[..2], [(1e-4, 1), (2e-4, 2)]);
        assert_eq!(counts[18], (100.0, 3));
        assert_eq!(histogram.count(), 4);
    }
}
