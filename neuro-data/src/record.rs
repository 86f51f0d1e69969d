//! Records: what one request and one reading of a counter leave behind.

use serde::{Deserialize, Serialize};

/// How a scheduled request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestStatus {
    /// It was answered.
    Ok,
    /// It was sent and not answered by the drain deadline: its time is known only to be longer (right-censored).
    Censored,
    /// The service refused it or the connection broke.
    Failed,
    /// It was due and could not be sent, for want of a free descriptor.
    Dropped,
}

impl RequestStatus {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Censored => "censored",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Censored, Self::Failed, Self::Dropped].into_iter().find(|status| status.name() == name)
    }
}

/// One scheduled request. A run has one record for each arrival of its schedule, whatever became of it.
///
/// Instants are seconds from the start of the run's load; what is not known is `None`, never zero. The service's own instants
/// are there only when it runs on the driver's host, for clocks of two hosts are never subtracted; durations always are where
/// the service reports them.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    /// Run.
    pub run_id: String,
    /// Tenant within the run.
    pub tenant_id: String,
    /// Application.
    pub app: String,
    /// Replica of the tenant, from 0; `None` where the source pools replicas.
    pub replica: Option<u32>,
    /// Number of the arrival at its replica, from 0; at its tenant where the replica is not known.
    pub seq: u64,
    /// When the schedule wants it sent.
    pub intended_s: Option<f64>,
    /// When it was sent.
    pub sent_s: Option<f64>,
    /// When its inference started.
    pub start_s: Option<f64>,
    /// When its inference ended.
    pub end_s: Option<f64>,
    /// When the answer was complete at the client.
    pub client_end_s: Option<f64>,
    /// Time of the inference alone.
    pub service_s: Option<f64>,
    /// Time from its arrival at the replica to the start of its inference.
    pub queueing_s: Option<f64>,
    /// Time from `intended_s` to the complete answer: a late sender does not flatter the service (no coordinated omission).
    pub response_s: Option<f64>,
    /// Requests waiting or in service at the replica when it arrived.
    pub queue_len: Option<u32>,
    /// How it ended.
    pub status: RequestStatus,
    /// Whether it was due before the measured window.
    pub warmup: bool,
}

/// One reading of one counter of one replica: what was counted in the interval that ends at `time_s`.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterSample {
    /// Run.
    pub run_id: String,
    /// Tenant within the run.
    pub tenant_id: String,
    /// Replica of the tenant, from 0.
    pub replica: u32,
    /// End of the interval, seconds from the start of the run's load.
    pub time_s: f64,
    /// Event, by `perf`'s name: `cpu-clock` (ns), `cache-references`, `cache-misses`, `page-faults`.
    pub event: String,
    /// Count in the interval, raw where the two times are known; `None` where the machine does not count the event.
    pub count: Option<u64>,
    /// Time in the interval that the counter was enabled, ns.
    pub enabled_ns: Option<u64>,
    /// Time in the interval that it was on the hardware, ns; less than enabled when events were multiplexed.
    pub running_ns: Option<u64>,
}

impl CounterSample {
    /// The count for the whole of the enabled time: raw × enabled / running. `None` where unsupported or never on the
    /// hardware.
    pub fn scaled(&self) -> Option<f64> {
        scaled(self.count, self.enabled_ns, self.running_ns)
    }
}

/// [`CounterSample::scaled`] of a reading's columns.
pub(crate) fn scaled(count: Option<u64>, enabled_ns: Option<u64>, running_ns: Option<u64>) -> Option<f64> {
    let count = count? as f64;
    match (enabled_ns, running_ns) {
        (Some(enabled), Some(running)) if running < enabled => {
            (running > 0).then(|| count * enabled as f64 / running as f64)
        }
        _ => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplexed_counts_are_scaled_and_unsupported_ones_stay_unknown() {
        let sample = |count, enabled_ns, running_ns| CounterSample {
            run_id: String::new(),
            tenant_id: String::new(),
            replica: 0,
            time_s: 1.0,
            event: "cache-misses".into(),
            count,
            enabled_ns,
            running_ns,
        };
        assert_eq!(sample(Some(10), Some(100), Some(50)).scaled(), Some(20.0));
        assert_eq!(sample(Some(10), Some(100), Some(100)).scaled(), Some(10.0));
        assert_eq!(sample(Some(10), None, None).scaled(), Some(10.0));
        assert_eq!(sample(Some(0), Some(100), Some(0)).scaled(), None);
        assert_eq!(sample(None, None, None).scaled(), None);
    }

    #[test]
    fn status_names_round_trip() {
        for status in [RequestStatus::Ok, RequestStatus::Censored, RequestStatus::Failed, RequestStatus::Dropped] {
            assert_eq!(RequestStatus::from_name(status.name()), Some(status));
        }
        assert_eq!(RequestStatus::from_name("OK"), None);
    }
}
