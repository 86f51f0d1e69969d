//! Finding and ending what a killed driver left of a run.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::spawner::RUN_VARIABLE;

/// Processes of this host that carry the run's id in their environment.
pub(super) fn processes_of(run_id: &str) -> Vec<Pid> {
    let wanted = format!("{RUN_VARIABLE}={run_id}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// Kills them and waits until they are gone; returns how many there were and how many still are.
pub(super) fn end_processes_of(run_id: &str) -> (usize, usize) {
    let found = processes_of(run_id);
    for pid in &found {
        let _ = kill_process(*pid, Signal::KILL);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let alive = found.iter().filter(|pid| test_kill_process(**pid).is_ok() && !is_zombie(**pid)).count();
        if alive == 0 || Instant::now() > deadline {
            return (found.len(), alive);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process has ended and only waits for its parent to notice.
fn is_zombie(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}
