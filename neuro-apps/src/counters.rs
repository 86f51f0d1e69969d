//! What this process has cost so far, by its own account: `perf_event` where the system allows it, what any process may know of
//! itself where it does not, and its control group's memory. No right on the host is needed.

#[cfg(target_os = "linux")]
use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

/// Totals of one event since the process began to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EventTotal {
    /// The event, by `perf`'s name.
    pub event: &'static str,
    /// How many; null where nothing here counts it.
    pub count: Option<u64>,
    /// Time enabled, ns, summed over threads; null where the source does not tell.
    pub enabled_ns: Option<u64>,
    /// Time on the hardware, ns, summed over threads.
    pub running_ns: Option<u64>,
}

/// Memory in bytes; null where the system does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Most that the process used at once.
    pub peak_bytes: Option<u64>,
    /// Limit of its control group.
    pub limit_bytes: Option<u64>,
}

/// The events counted: CPU time in ns, cache references and misses, page faults.
const EVENTS: [&str; 4] = ["cpu-clock", "cache-references", "cache-misses", "page-faults"];

/// The counters of this process and every thread that it starts after they were set up.
#[derive(Debug)]
pub struct Counters {
    #[cfg(target_os = "linux")]
    perf: BTreeMap<&'static str, perf_event::Counter>,
}

impl Counters {
    /// Begins to count. What the system does not let us count stays null, without an error. Called before any thread is started,
    /// it covers all of them.
    pub fn start() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            perf: perf::start(),
        }
    }

    /// The totals of all events as they are now.
    pub fn read(&mut self) -> [EventTotal; EVENTS.len()] {
        EVENTS.map(|event| {
            #[cfg(target_os = "linux")]
            if let Some(reading) = self.perf.get_mut(event).and_then(|counter| counter.read_count_and_time().ok()) {
                let (enabled_ns, running_ns) = (Some(reading.time_enabled), Some(reading.time_running));
                return EventTotal { event, count: Some(reading.count), enabled_ns, running_ns };
            }
            EventTotal { event, count: known(event), enabled_ns: None, running_ns: None }
        })
    }
}

#[cfg(target_os = "linux")]
mod perf {
    use std::collections::BTreeMap;

    use perf_event::events::{Event, Hardware, Software};
    use perf_event::{Builder, Counter};

    pub(super) fn start() -> BTreeMap<&'static str, Counter> {
        let mut counters = BTreeMap::new();
        counters.extend(open(Software::CPU_CLOCK).map(|counter| ("cpu-clock", counter)));
        counters.extend(open(Hardware::CACHE_REFERENCES).map(|counter| ("cache-references", counter)));
        counters.extend(open(Hardware::CACHE_MISSES).map(|counter| ("cache-misses", counter)));
        counters.extend(open(Software::PAGE_FAULTS).map(|counter| ("page-faults", counter)));
        counters
    }

    fn open<E: Event + Clone>(event: E) -> Option<Counter> {
        let open = |with_kernel: bool| {
            let mut builder = Builder::new(event.clone());
            builder.observe_self().inherit(true);
            if with_kernel {
                builder.include_kernel();
            }
            let mut counter = builder.build().ok()?;
            counter.enable().ok()?;
            Some(counter)
        };
        // Kernel time needs a right that a plain user may lack.
        open(true).or_else(|| open(false))
    }
}

/// What a process knows of an event without `perf_event`.
fn known(event: &str) -> Option<u64> {
    match event {
        "cpu-clock" => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            Some(u64::try_from(now.tv_sec).ok()? * 1_000_000_000 + u64::try_from(now.tv_nsec).ok()?)
        }
        "page-faults" => {
            let text = fs::read_to_string("/proc/self/stat").ok()?;
            // Fields are counted after the command's name, which may hold anything but ends with the last parenthesis; the state
            // is field 3 of proc(5), minor faults 10, major faults 12.
            let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
            let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
            Some(field(10)? + field(12)?)
        }
        _ => None,
    }
}

/// The memory of this process: what its control group (versions 1 and 2) tells where it holds nobody else, as in a container, and
/// what the process knows of itself elsewhere. The limit is the group's.
pub fn memory() -> Memory {
    memory_in(&folders(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default()))
}

fn memory_in(folders: &[String]) -> Memory {
    let read = |folder: &String, name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
    let figure = |folder: &String, names: [&str; 2]| {
        names.into_iter().find_map(|name| read(folder, name)?.trim().parse::<u64>().ok())
    };
    let is_alone = |folder: &&String| read(folder, "cgroup.procs").is_some_and(|pids| pids.lines().count() == 1);
    let peak = |folder| figure(folder, ["memory.peak", "memory.max_usage_in_bytes"]);
    let limit = |folder| figure(folder, ["memory.max", "memory.limit_in_bytes"]);
    Memory {
        peak_bytes: folders.iter().filter(is_alone).find_map(peak).or_else(own_peak),
        // Version 1 says a number close to 2^63 where there is no limit, version 2 a word.
        limit_bytes: folders.iter().find_map(limit).filter(|limit| *limit < 1 << 62),
    }
}

/// Where the control group of a process may be, from its memberships: `hierarchy:controllers:path`. In a container with a
/// namespace of its own the path is `/`.
fn folders(groups: &str) -> Vec<String> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_end_matches('/');
        if controllers.is_empty() {
            folders.extend([format!("/sys/fs/cgroup{path}"), format!("/sys/fs/cgroup/unified{path}")]);
        } else if controllers.split(',').any(|controller| controller == "memory") {
            // A container sees its own group as the root of the hierarchy, whatever the host calls it.
            folders.extend([format!("/sys/fs/cgroup/memory{path}"), "/sys/fs/cgroup/memory".to_owned()]);
        }
    }
    folders
}

fn own_peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_with_work_on_other_threads_too() {
        let mut counters = Counters::start();
        let before = counters.read();
        std::thread::spawn(|| {
            let start = std::time::Instant::now();
            let mut sum = 0_u64;
            while start.elapsed().as_millis() < 30 {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
            }
        })
        .join()
        .unwrap();
        let after = counters.read();
        assert_eq!(after.map(|total| total.event), EVENTS);
        let spent = after[0].count.unwrap() - before[0].count.unwrap();
        assert!(spent > 3_000_000, "{spent} ns of CPU in 30 ms of work");
        for (after, before) in after.iter().zip(before) {
            assert_eq!(after.count.is_some(), before.count.is_some());
            assert!(after.count >= before.count);
        }
    }

    #[test]
    fn groups_of_both_versions_are_found() {
        assert_eq!(folders("0::/\n"), ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]);
        assert_eq!(
            folders("4:cpu,memory:/a/b\n1:cpu:/\nnonsense\n"),
            ["/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory"]
        );
        if cfg!(target_os = "linux") {
            assert!(memory().peak_bytes.is_some_and(|bytes| bytes > 100_000));
        }
    }

    #[test]
    fn a_group_shared_with_others_tells_nothing_of_this_process() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(group.path().join(name), text).unwrap();
        write("memory.peak", "7\n");
        write("memory.max", "max\n");
        let memory = || memory_in(&[group.path().display().to_string()]);
        let is_own =
            |memory: Memory| memory.peak_bytes != Some(7) && memory.peak_bytes.is_some() == own_peak().is_some();
        assert!(is_own(memory()), "nobody says who is in it");
        write("cgroup.procs", "1\n");
        assert_eq!(memory(), Memory { peak_bytes: Some(7), limit_bytes: None });
        write("cgroup.procs", "1\n25\n");
        write("memory.max", "900\n");
        assert!(is_own(memory()));
        assert_eq!(memory().limit_bytes, Some(900));
    }
}
