//! The clock that all times of a replica come from.

use rustix::time::{ClockId, clock_gettime};

/// Seconds on the host's monotonic clock (`CLOCK_MONOTONIC`). Every process of one host reads the same clock, so a load
/// generator on the host may compare these times with its own.
pub fn monotonic_s() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Identifies the clock: the host's boot id, or an empty string where the system has none. Times are comparable where the ids
/// are equal and not empty.
pub fn clock_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}
