//! One clock for the driver and the services of its host.

use rustix::time::{ClockId, clock_gettime};

/// Seconds on the host's monotonic clock, which all its processes share.
pub fn monotonic_s() -> f64 {
    seconds(ClockId::Monotonic)
}

/// CPU time of the calling thread, seconds.
pub(crate) fn thread_cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + 1e-9 * now.tv_nsec as f64
}

/// What identifies the monotonic clock of this host and boot; `None` where the system does not tell. A service that reports
/// the same identity reads the same clock, so that its instants may be compared with ours.
pub fn clock_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_runs_forward_with_instant() {
        let (clock, instant) = (super::monotonic_s(), std::time::Instant::now());
        std::thread::sleep(std::time::Duration::from_millis(20));
        let difference = (super::monotonic_s() - clock) - instant.elapsed().as_secs_f64();
        assert!(difference.abs() < 0.01, "{difference}");
    }
}
