//! `perf_event` counters of a process.

use std::collections::BTreeMap;

use perf_event::events::{Event, Hardware, Software};
use perf_event::{Builder, Counter};

use super::Total;

/// One counter a thread and event; empty for events that this machine or user cannot count.
#[derive(Debug)]
pub(super) struct PerfCounters {
    counters: BTreeMap<&'static str, Vec<Counter>>,
}

impl PerfCounters {
    pub(super) fn attach(_pid: u32, threads: &[u32]) -> Self {
        let mut counters = BTreeMap::new();
        counters.insert("cpu-clock", open_all(threads, || Software::CPU_CLOCK));
        counters.insert("cache-references", open_all(threads, || Hardware::CACHE_REFERENCES));
        counters.insert("cache-misses", open_all(threads, || Hardware::CACHE_MISSES));
        counters.insert("page-faults", open_all(threads, || Software::PAGE_FAULTS));
        Self { counters }
    }

    /// The sum over threads; `None` where the event is not counted.
    pub(super) fn read(&mut self, event: &'static str) -> Option<Total> {
        let counters = self.counters.get_mut(event).filter(|counters| !counters.is_empty())?;
        let (mut count, mut enabled_ns, mut running_ns) = (0, 0, 0);
        for counter in counters {
            let reading = counter.read_count_and_time().ok()?;
            count += reading.count;
            enabled_ns += reading.time_enabled;
            running_ns += reading.time_running;
        }
        Some(Total { event, count: Some(count), enabled_ns: Some(enabled_ns), running_ns: Some(running_ns) })
    }
}

/// A counter on each thread, inherited by those it starts; none at all unless every thread could be opened.
fn open_all<E: Event>(threads: &[u32], event: impl Fn() -> E) -> Vec<Counter> {
    let open = |tid: u32, with_kernel: bool| -> std::io::Result<Counter> {
        let mut builder = Builder::new(event());
        builder.observe_pid(tid as i32).inherit(true);
        if with_kernel {
            builder.include_kernel();
        }
        let mut counter = builder.build()?;
        counter.enable()?;
        Ok(counter)
    };
    let all = |with_kernel| threads.iter().map(|tid| open(*tid, with_kernel)).collect::<Result<Vec<_>, _>>();
    // Kernel time needs a right that a plain user may lack.
    all(true).or_else(|_| all(false)).unwrap_or_default()
}
