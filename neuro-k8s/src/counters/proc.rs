//! What `/proc` counts of a process without any right.

use std::fs;

/// The thread ids of a process.
pub(super) fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The total of an event since the process started: CPU time (ns, of its live threads) and page faults; `None` for others.
pub(super) fn total(pid: u32, event: &str) -> Option<u64> {
    match event {
        "cpu-clock" => {
            let own = |tid: u32| -> Option<u64> {
                let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
                text.split_whitespace().next()?.parse().ok()
            };
            let threads = threads(pid);
            (!threads.is_empty()).then(|| threads.into_iter().filter_map(own).sum())
        }
        "page-faults" => {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // Fields are counted after the command's name, which may hold anything but ends with the last parenthesis; the
            // state is field 3 of proc(5), minor faults 10, major faults 12.
            let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
            let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
            Some(field(10)? + field(12)?)
        }
        _ => None,
    }
}

/// Largest resident memory of a process so far, GB.
pub fn peak_memory_gb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0 / 1e9)
}
