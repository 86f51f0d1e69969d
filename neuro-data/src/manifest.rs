//! The manifest of a run: what was asked for, where and with what it ran, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::RunSpec;

/// Version of the run folder's layout.
pub const RUN_SCHEMA: u32 = 1;

/// What a run's measurements are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// Measured as asked.
    Complete,
    /// Measured, but the load was not what was asked for: kept and marked, not trained on.
    Invalid,
    /// Not measured.
    Failed,
}

impl RunStatus {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Complete, Self::Invalid, Self::Failed].into_iter().find(|status| status.name() == name)
    }
}

/// Whether a run's data are whole; apart from what they are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataVerdict {
    /// Every scheduled request has its record and every replica was read.
    Whole,
    /// Every tenant is summarised; its requests were taken note of and not kept.
    Summarised,
    /// Something is missing, and what.
    Partial(String),
    /// There are none.
    None,
}

/// Whether the run cleaned up after itself; apart from its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanupVerdict {
    /// Results are safe on disk and cleaning up has not been seen to end.
    Pending,
    /// Nothing is left.
    Clean,
    /// Something is left, and what.
    Leftover(String),
}

/// The tool that made a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Commit it was built from, with `-dirty` where it had changes; empty where unknown.
    pub commit: String,
}

/// The host a run was measured on. What a host does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// CPU model.
    pub cpu: Option<String>,
    /// Logical CPUs.
    pub cpus: u32,
    /// CPUs this process may run on.
    pub cpus_allowed: Option<String>,
    /// Microcode version.
    pub microcode: Option<String>,
    /// Memory, GB.
    pub memory_gb: Option<f64>,
    /// Operating system and kernel.
    pub kernel: String,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Whether turbo frequencies are on.
    pub turbo: Option<bool>,
    /// Whether simultaneous multithreading is on.
    pub smt: Option<bool>,
    /// Control-group memberships and limits of the driver.
    pub cgroup: BTreeMap<String, String>,
}

/// One replica of a run, as deployed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaInfo {
    /// Tenant.
    pub tenant_id: String,
    /// Number within the tenant.
    pub replica: u32,
    /// Where it answered.
    pub endpoint: String,
    /// Command or image that it ran, with the image's digest where known.
    pub program: String,
    /// Process id on its host.
    pub pid: Option<u32>,
    /// Memory limit, GB, and what kept it: `cgroup v1`, `cgroup v2`, `rlimit`, `kubernetes` or `none`.
    pub memory_limit: (f64, String),
    /// Peak resident memory, GB.
    pub peak_memory_gb: Option<f64>,
    /// Seconds from its start until its readiness was seen; `None` where it never was.
    pub startup_s: Option<f64>,
}

/// What the load generator did, against what it was asked to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Scheduled arrivals over the load's length, requests per second, all tenants.
    pub requested_rate: f64,
    /// Sent in the load's length, requests per second.
    pub achieved_rate: f64,
    /// Median, 99th percentile and largest of sent − intended, seconds.
    pub send_lateness_s: Lateness,
    /// CPU time of the generator's thread, seconds.
    pub cpu_s: f64,
    /// `cpu_s` as a share of one core over the load.
    pub cpu_share: f64,
    /// Share of the host's CPU time that its hypervisor gave to others during the load: what made everybody late without
    /// anybody's fault. `None` where the system does not tell.
    #[serde(default)]
    pub steal_share: Option<f64>,
    /// Most requests in flight at once.
    pub in_flight_max: u64,
    /// Requests that could not be sent.
    pub dropped: u64,
    /// How the generator's thread is scheduled, such as `fifo 1`, `slice 0.1 ms` or `default`.
    pub scheduling: String,
}

/// How late requests were sent, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// The thresholds beyond which a run is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LoadGate {
    /// Highest 99th percentile of the send lateness, seconds.
    pub lateness_p99_s: f64,
    /// Lowest achieved / requested rate.
    pub achieved_ratio: f64,
}

impl Default for LoadGate {
    fn default() -> Self {
        Self { lateness_p99_s: 0.010, achieved_ratio: 0.98 }
    }
}

impl LoadGate {
    /// Why a load does not pass; `None` where it does.
    pub fn objection(&self, load: &LoadReport) -> Option<String> {
        // A hypervisor that gives the CPU to others is the usual reason on a shared machine.
        let stolen = load.steal_share.filter(|share| *share >= 0.01);
        let stolen = stolen.map_or(String::new(), |s| format!("; the hypervisor took {:.0} % of the CPU", 100.0 * s));
        if load.send_lateness_s.p99 > self.lateness_p99_s {
            let (p99, limit) = (1e3 * load.send_lateness_s.p99, 1e3 * self.lateness_p99_s);
            return Some(format!("p99 send lateness {p99:.2} ms is over {limit:.2} ms{stolen}"));
        }
        if load.achieved_rate < self.achieved_ratio * load.requested_rate {
            let (achieved, requested) = (load.achieved_rate, load.requested_rate);
            let ratio = self.achieved_ratio;
            return Some(format!("achieved {achieved:.1} of {requested:.1} requests/s, under {ratio} of it{stolen}"));
        }
        None
    }
}

/// `run.json`: written last, so that a folder with one is a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the layout, [`RUN_SCHEMA`].
    pub schema: u32,
    /// The run's id, [`RunSpec::run_id`].
    pub run_id: String,
    /// What was asked for.
    pub spec: RunSpec,
    /// Hash of `spec`.
    pub spec_hash: String,
    /// Seed of each replica's arrivals, keyed `tenant/replica`.
    pub seeds: BTreeMap<String, u64>,
    /// Name of the server the tenants shared.
    pub server: String,
    /// Kind of target: `local`, `kube` or `sim`.
    pub target: String,
    /// When the load started, seconds since the Unix epoch; 0 of a simulated run.
    pub started_at: f64,
    /// What made it.
    pub tool: Tool,
    /// Where it ran.
    pub host: Host,
    /// The replicas.
    pub replicas: Vec<ReplicaInfo>,
    /// What the target has to add, such as the Kubernetes version.
    #[serde(default)]
    pub target_facts: BTreeMap<String, String>,
    /// The load as it was.
    pub load: LoadReport,
    /// The thresholds it was held against.
    pub gate: LoadGate,
    /// What the measurements are worth.
    pub status: RunStatus,
    /// Why, where that is not `complete`.
    pub reason: Option<String>,
    /// Whether the data are whole.
    pub data: DataVerdict,
    /// Whether anything is left running.
    pub cleanup: CleanupVerdict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_objects_to_lateness_and_to_missing_load() {
        let gate = LoadGate { lateness_p99_s: 0.005, achieved_ratio: 0.98 };
        let load = |p99, achieved_rate| LoadReport {
            requested_rate: 100.0,
            achieved_rate,
            send_lateness_s: Lateness { p50: 0.0, p99, max: 1.0 },
            ..LoadReport::default()
        };
        assert_eq!(gate.objection(&load(0.005, 98.0)), None);
        assert!(gate.objection(&load(0.0051, 100.0)).unwrap().contains("5.10 ms"));
        assert!(gate.objection(&load(0.0, 97.9)).unwrap().contains("97.9"));
    }
}
