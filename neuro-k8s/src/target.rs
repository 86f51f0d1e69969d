//! Targets: where the tenants of a run are deployed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use neuro_data::{CleanupVerdict, Host, ReplicaInfo, RunSpec};

use crate::Result;

/// Where one replica answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Index of the tenant in the run's specification.
    pub tenant: usize,
    /// Replica of the tenant, from 0.
    pub replica: u32,
    /// Host and port, such as `127.0.0.1:31000`.
    pub authority: String,
    /// Items per inference that it is asked for.
    pub batch: u32,
}

/// A counter of a replica as it stands: totals since some instant before the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterReading {
    /// Index of the tenant in the run's specification.
    pub tenant: usize,
    /// Replica of the tenant, from 0.
    pub replica: u32,
    /// Event, by `perf`'s name.
    pub event: &'static str,
    /// Raw count; `None` where unsupported.
    pub count: Option<u64>,
    /// Time enabled, ns.
    pub enabled_ns: Option<u64>,
    /// Time on the hardware, ns.
    pub running_ns: Option<u64>,
}

/// A place where tenants are deployed, watched and removed.
///
/// # Expected flow
/// [`sweep`](Target::sweep) → [`deploy`](Target::deploy) → [`await_ready`](Target::await_ready) → load, with
/// [`read_counters`](Target::read_counters) now and then → [`replicas`](Target::replicas) →
/// [`tear_down`](Target::tear_down), which is called however the run ended.
#[expect(async_fn_in_trait, reason = "a target is driven by one task, so its futures need not be Send")]
pub trait Target {
    /// Kind of target: `local`, `kube` or `sim`.
    fn kind(&self) -> &'static str;

    /// Name of the server that the tenants share.
    fn server(&self) -> &str;

    /// What the server is.
    fn host(&self) -> Host;

    /// Further facts for the manifest, such as limits and versions.
    fn facts(&self) -> BTreeMap<String, String>;

    /// Removes what an earlier attempt at the run left; returns how many things that were.
    ///
    /// # Errors
    /// Something is left and cannot be removed.
    async fn sweep(&mut self, run_id: &str) -> Result<usize>;

    /// Starts every replica of every tenant. `logs` is a folder for what they print.
    ///
    /// # Errors
    /// A replica cannot be started; those that were are torn down by [`Target::tear_down`].
    async fn deploy(&mut self, run_id: &str, spec: &RunSpec, logs: &Path) -> Result<()>;

    /// Waits until every replica says that it is ready; returns where each answers.
    ///
    /// # Errors
    /// A replica ended, or is not ready within `deadline`.
    async fn await_ready(&mut self, deadline: Duration) -> Result<Vec<Endpoint>>;

    /// Reads the counters of every replica.
    async fn read_counters(&mut self) -> Vec<CounterReading>;

    /// The replicas as they are now, with their peak memory.
    fn replicas(&mut self) -> Vec<ReplicaInfo>;

    /// The replicas that have ended although nobody asked them to, each with its reason.
    async fn casualties(&mut self) -> Vec<String>;

    /// Ends every replica and waits until it is gone.
    async fn tear_down(&mut self) -> CleanupVerdict;
}
