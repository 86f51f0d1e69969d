//! Memory limits of a process: a control group where one can be made, else a resource limit.

use std::fs;
use std::path::{Path, PathBuf};

/// Where memory control groups can be made for our children, if anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MemoryControl {
    /// Below this folder of a version 2 hierarchy (`memory.max`).
    V2(PathBuf),
    /// Below this folder of the version 1 memory hierarchy (`memory.limit_in_bytes`).
    V1(PathBuf),
    /// Nowhere: `RLIMIT_DATA` of the process is what is left.
    Rlimit,
}

/// The limit of one process.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    /// What keeps the limit: `cgroup v1`, `cgroup v2`, `rlimit` or `none`.
    pub(super) kept_by: &'static str,
    /// Bytes for `RLIMIT_DATA`, where that is what keeps it.
    pub(super) rlimit_bytes: Option<u64>,
    group: Option<PathBuf>,
}

/// Prefix of our control groups' names; the driver's process id follows.
const PREFIX: &str = "neuro-";

/// The name of a control group of this driver.
pub(super) fn group_name(of: &str) -> String {
    format!("{PREFIX}{}-{of}", std::process::id())
}

/// Whether a control group was made by a driver that is gone.
fn is_stale(name: &str) -> bool {
    let driver = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    driver.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

impl MemoryControl {
    /// Looks where groups can be made, by making one and setting a limit.
    pub(super) fn detect() -> Self {
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        candidates(&memberships, &mounts).into_iter().find(Self::works).unwrap_or(Self::Rlimit)
    }

    fn works(&self) -> bool {
        let name = group_name("probe");
        let limit = self.limit(&name, 1 << 30);
        limit.group.is_some()
    }

    /// A limit of `bytes` under a name that no other process of ours has.
    pub(super) fn limit(&self, name: &str, bytes: u64) -> MemoryLimit {
        let (base, file, kept_by) = match self {
            Self::V2(base) => (base, "memory.max", "cgroup v2"),
            Self::V1(base) => (base, "memory.limit_in_bytes", "cgroup v1"),
            Self::Rlimit if cfg!(target_os = "linux") => {
                return MemoryLimit { kept_by: "rlimit", rlimit_bytes: Some(bytes), group: None };
            }
            Self::Rlimit => return MemoryLimit::none(),
        };
        let group = base.join(name);
        let made = fs::create_dir(&group).is_ok() && {
            // Not there until the parent hands the controller down; harmless where it already does.
            if !group.join(file).exists() {
                let _ = fs::write(base.join("cgroup.subtree_control"), "+memory");
            }
            group.join(file).exists() && fs::write(group.join(file), bytes.to_string()).is_ok()
        };
        if made {
            MemoryLimit { kept_by, rlimit_bytes: None, group: Some(group) }
        } else {
            let _ = fs::remove_dir(&group);
            Self::Rlimit.limit(name, bytes)
        }
    }

    /// Removes what killed drivers left: groups of ours that hold no process.
    pub(super) fn remove_stale(&self) -> usize {
        let (Self::V1(base) | Self::V2(base)) = self else { return 0 };
        let Ok(entries) = fs::read_dir(base) else { return 0 };
        entries
            .filter_map(Result::ok)
            .filter(|entry| is_stale(&entry.file_name().to_string_lossy()))
            .filter(|entry| fs::remove_dir(entry.path()).is_ok())
            .count()
    }
}

impl MemoryLimit {
    /// No limit.
    pub(super) fn none() -> Self {
        Self { kept_by: "none", rlimit_bytes: None, group: None }
    }

    /// Puts a process under the limit.
    pub(super) fn adopt(&mut self, pid: u32) {
        if let Some(group) = &self.group
            && fs::write(group.join("cgroup.procs"), pid.to_string()).is_err()
        {
            self.kept_by = "none";
        }
    }

    /// How often the system killed for want of memory under this limit.
    pub(super) fn kills(&self) -> u64 {
        let Some(group) = &self.group else { return 0 };
        ["memory.events", "memory.oom_control"]
            .iter()
            .filter_map(|file| fs::read_to_string(group.join(file)).ok())
            .flat_map(|text| text.lines().filter_map(|l| l.strip_prefix("oom_kill ")?.parse::<u64>().ok()).next())
            .sum()
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some(group) = &self.group {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The groups this process is in, where its memory may be limited, by what the system says of its hierarchies.
fn candidates(memberships: &str, mounts: &str) -> Vec<MemoryControl> {
    let mount = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let mut parts = line.split(' ');
            let (_, path, found, options) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            let fits = found == kind && option.is_none_or(|o| options.split(',').any(|have| have == o));
            fits.then(|| PathBuf::from(path))
        })
    };
    let below = |mount: PathBuf, path: &str| mount.join(Path::new(path.trim_start_matches('/')));
    let mut found = Vec::new();
    for line in memberships.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            found.extend(mount("cgroup2", None).map(|m| MemoryControl::V2(below(m, path))));
        } else if controllers.split(',').any(|c| c == "memory") {
            found.extend(mount("cgroup", Some("memory")).map(|m| MemoryControl::V1(below(m, path))));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_2_and_hybrid_hierarchies_are_understood() {
        let v1 =
            "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n";
        let unified = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let hybrid = candidates("4:memory:/a/b\n1:cpu:/\n0::/c\n", &format!("{v1}{unified}"));
        let expected = [
            MemoryControl::V1("/sys/fs/cgroup/memory/a/b".into()),
            MemoryControl::V2("/sys/fs/cgroup/unified/c".into()),
        ];
        assert_eq!(hybrid, expected);
        let v2 = candidates("0::/user.slice\n", "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n");
        assert_eq!(v2, [MemoryControl::V2("/sys/fs/cgroup/user.slice".into())]);
        assert_eq!(candidates("4:memory:/\n", unified), []);
        assert_eq!(candidates("", ""), []);
    }

    #[test]
    fn only_the_groups_of_drivers_that_are_gone_are_stale() {
        assert!(!is_stale(&group_name("t-0")));
        assert!(is_stale(&format!("{PREFIX}{}-t-0", u32::MAX / 4)));
        assert!(!is_stale("neuro-x") && !is_stale("another"));
    }

    #[test]
    fn where_no_group_can_be_made_a_resource_limit_is_left() {
        let nowhere = MemoryControl::V2("/nonexistent/group".into());
        let limit = nowhere.limit("neuro-x", 1_000_000);
        if cfg!(target_os = "linux") {
            assert_eq!((limit.kept_by, limit.rlimit_bytes), ("rlimit", Some(1_000_000)));
        }
        assert!(!nowhere.works());
    }
}
