//! What a replica tells of itself.

use std::time::Duration;

use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::counters::EVENTS;
use crate::health::exchange;
use crate::target::{CounterReading, Endpoint};

/// Path of a replica's counters.
const COUNTERS_PATH: &str = "/counters";
/// Path of its latest service times.
const SERVICE_TIMES_PATH: &str = "/service-times";

/// How long a replica may take to tell.
const DEADLINE: Duration = Duration::from_secs(2);

/// A replica's counters; empty of one that does not tell.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Counters {
    events: Vec<EventTotal>,
    memory: Memory,
}

#[derive(Debug, Deserialize)]
struct EventTotal {
    event: String,
    count: Option<u64>,
    #[serde(default)]
    enabled_ns: Option<u64>,
    #[serde(default)]
    running_ns: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    peak_bytes: Option<u64>,
}

impl Counters {
    pub(super) fn peak_memory_gb(&self) -> Option<f64> {
        self.memory.peak_bytes.map(|bytes| bytes as f64 / 1e9)
    }

    /// Every event, null where the replica does not count it.
    pub(super) fn readings(&self, endpoint: &Endpoint) -> Vec<CounterReading> {
        let reading = |event: &'static str| {
            let total = self.events.iter().find(|total| total.event == event);
            CounterReading {
                tenant: endpoint.tenant,
                replica: endpoint.replica,
                event,
                count: total.and_then(|total| total.count),
                enabled_ns: total.and_then(|total| total.enabled_ns),
                running_ns: total.and_then(|total| total.running_ns),
            }
        };
        EVENTS.map(reading).to_vec()
    }
}

async fn get<T: DeserializeOwned>(authority: &str, path: &str) -> Option<T> {
    let answer = tokio::time::timeout(DEADLINE, exchange(Method::GET, authority, path, String::new())).await.ok()?;
    let (status, body) = answer?;
    if status.is_success() { serde_json::from_slice(&body).ok() } else { None }
}

pub(super) async fn read(authority: &str) -> Counters {
    get(authority, COUNTERS_PATH).await.unwrap_or_default()
}

/// A replica's service times since it last forgot them, seconds; `None` of one that does not tell.
pub(crate) async fn read_service_times(authority: &str) -> Option<Vec<f64>> {
    #[derive(Deserialize)]
    struct ServiceTimes {
        service_times: Vec<f64>,
    }
    Some(get::<ServiceTimes>(authority, SERVICE_TIMES_PATH).await?.service_times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_its_reading_and_what_is_not_told_is_none() {
        let endpoint = Endpoint { tenant: 1, replica: 2, authority: String::new(), batch: 1 };
        let text = r#"{"events": [{"event": "cpu-clock", "count": 5, "enabled_ns": 7, "running_ns": 6},
            {"event": "cache-misses", "count": null}, {"event": "new", "count": 1}], "memory": {"peak_bytes": 2000000}}"#;
        let counters: Counters = serde_json::from_str(text).unwrap();
        let readings = counters.readings(&endpoint);
        assert_eq!(readings.iter().map(|r| r.event).collect::<Vec<_>>(), EVENTS);
        assert_eq!((readings[0].count, readings[0].enabled_ns, readings[0].running_ns), (Some(5), Some(7), Some(6)));
        assert!(readings[1..].iter().all(|reading| reading.count.is_none()));
        assert_eq!(counters.peak_memory_gb(), Some(0.002));
        assert_eq!(Counters::default().readings(&endpoint).len(), EVENTS.len());
    }
}
