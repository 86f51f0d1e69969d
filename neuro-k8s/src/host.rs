//! Facts about this host for the manifest. What the system does not tell stays `None`.

use std::collections::BTreeMap;
use std::fs;

use neuro_data::Host;

fn text(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of `key` in a file of `key: value` lines, first occurrence.
fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// What this host is.
pub fn describe() -> Host {
    let system = rustix::system::uname();
    let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let flag = |path: &str, on: &str| text(path).map(|value| value == on);
    let memory_kb = field("/proc/meminfo", "MemTotal").and_then(|v| v.split(' ').next()?.parse::<f64>().ok());
    Host {
        name: part(system.nodename()),
        cpu: field("/proc/cpuinfo", "model name"),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        cpus_allowed: field("/proc/self/status", "Cpus_allowed_list"),
        microcode: field("/proc/cpuinfo", "microcode"),
        memory_gb: memory_kb.map(|kb| kb * 1024.0 / 1e9),
        kernel: format!("{} {}", part(system.sysname()), part(system.release())),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        turbo: flag("/sys/devices/system/cpu/intel_pstate/no_turbo", "0")
            .or_else(|| flag("/sys/devices/system/cpu/cpufreq/boost", "1")),
        smt: flag("/sys/devices/system/cpu/smt/active", "1"),
        cgroup: cgroup(),
    }
}

/// CPU time of the host since its start: stolen by the hypervisor, and all, in clock ticks.
pub(crate) fn stolen_ticks() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    // user nice system idle iowait irq softirq steal, of proc(5); guest time is within user time.
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).take(8).collect();
    Some((*ticks.get(7)?, ticks.iter().sum()))
}

/// Control-group memberships by hierarchy, and the CPU and memory limits found in them (versions 1 and 2).
fn cgroup() -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for line in fs::read_to_string("/proc/self/cgroup").unwrap_or_default().lines() {
        let mut parts = line.splitn(3, ':');
        if let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) {
            let (name, mounts) = match controllers {
                "" => ("v2", vec!["/sys/fs/cgroup".to_owned(), "/sys/fs/cgroup/unified".to_owned()]),
                _ => (controllers, vec![format!("/sys/fs/cgroup/{controllers}")]),
            };
            facts.insert(name.to_owned(), path.to_owned());
            for limit in ["cpu.max", "memory.max", "cpu.cfs_quota_us", "memory.limit_in_bytes"] {
                let found = mounts.iter().find_map(|mount| text(&format!("{mount}{path}/{limit}")));
                if let Some(value) = found {
                    facts.insert(limit.to_owned(), value);
                }
            }
        }
    }
    facts
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_has_a_name_a_kernel_and_cpus() {
        let host = super::describe();
        assert!(!host.name.is_empty() && !host.kernel.is_empty() && host.cpus >= 1, "{host:?}");
    }
}
