//! Counters of a process: `perf_event` where the system allows it, `/proc` for what it does not.

#[cfg(all(feature = "local", target_os = "linux"))]
mod perf;
mod proc;

pub use proc::peak_memory_gb;

/// The events that are recorded, by `perf`'s names: CPU time in ns, cache references and misses, page faults.
pub const EVENTS: [&str; 4] = ["cpu-clock", "cache-references", "cache-misses", "page-faults"];

/// Totals of one event since the counters were attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Event, one of [`EVENTS`].
    pub event: &'static str,
    /// Raw count; `None` where nothing here counts the event.
    pub count: Option<u64>,
    /// Time enabled, ns, summed over threads; `None` where the source does not tell.
    pub enabled_ns: Option<u64>,
    /// Time on the hardware, ns, summed over threads.
    pub running_ns: Option<u64>,
}

/// The counters of one process and its threads.
#[derive(Debug)]
pub struct ProcessCounters {
    pid: u32,
    #[cfg(all(feature = "local", target_os = "linux"))]
    perf: perf::PerfCounters,
}

impl ProcessCounters {
    /// Attaches to every thread of a process; threads that they start later are counted too. What the system does not let
    /// us count stays `None`, without an error.
    pub fn attach(pid: u32) -> Self {
        Self {
            pid,
            #[cfg(all(feature = "local", target_os = "linux"))]
            perf: perf::PerfCounters::attach(pid, &proc::threads(pid)),
        }
    }

    /// The totals of all [`EVENTS`] as they are now.
    pub fn read(&mut self) -> [Total; EVENTS.len()] {
        EVENTS.map(|event| {
            #[cfg(all(feature = "local", target_os = "linux"))]
            if let Some(total) = self.perf.read(event) {
                return total;
            }
            Total { event, count: proc::total(self.pid, event), enabled_ns: None, running_ns: None }
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_and_what_is_not_supported_is_none() {
        let mut counters = ProcessCounters::attach(std::process::id());
        let before = counters.read();
        let started = std::time::Instant::now();
        let mut sum = 0u64;
        while started.elapsed().as_millis() < 50 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
        }
        let after = counters.read();
        let spent = after[0].count.unwrap() - before[0].count.unwrap();
        assert!(spent > 5_000_000, "{spent} ns of CPU in 50 ms of work");
        for (event, (a, b)) in EVENTS.iter().zip(after.iter().zip(&before)) {
            assert_eq!(a.event, *event);
            assert_eq!(a.count.is_some(), b.count.is_some());
            if let (Some(a), Some(b)) = (a.count, b.count) {
                assert!(a >= b);
            }
        }
        assert!(after[3].count.is_some(), "page faults are counted by /proc at least");
    }

    #[test]
    fn a_process_that_is_gone_counts_nothing() {
        let mut counters = ProcessCounters::attach(u32::MAX / 4);
        assert!(counters.read().iter().all(|total| total.count.is_none()));
        assert_eq!(peak_memory_gb(u32::MAX / 4), None);
    }
}
