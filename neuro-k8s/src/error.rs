//! What can go wrong when services are deployed, loaded and measured.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The vocabulary or its files.
    #[error(transparent)]
    Data(#[from] neuro_data::Error),
    /// A file, folder or socket.
    #[error("cannot {action} {what}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        what: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Another driver holds what this one needs.
    #[error("{path} is locked: another driver is using {what}; wait until it ends or stop it")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// What it guards.
        what: String,
    },
    /// A finished run of the same specification is of another target.
    #[error("{path} is a run on {found}, not on {wanted}; choose another output folder")]
    OtherTarget {
        /// The run's folder.
        path: PathBuf,
        /// What it ran on.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A replica could not be started or did not become ready.
    #[error("replica {replica} of tenant {tenant} ({app}) {reason}")]
    Replica {
        /// Tenant id.
        tenant: String,
        /// Replica number.
        replica: u32,
        /// Application id.
        app: String,
        /// What happened, with the end of what it printed.
        reason: String,
    },
    /// The disk is nearly full; nothing was lost.
    #[error("only {free_gb:.2} GB are free at {path}, {needed_gb:.2} GB are wanted; free some space and run again")]
    DiskFull {
        /// The output folder.
        path: PathBuf,
        /// Free space, GB.
        free_gb: f64,
        /// Space wanted, GB.
        needed_gb: f64,
    },
    /// Many runs failed in a row: something is wrong that another run will not mend.
    #[error("{count} runs in a row failed, the last with: {reason}")]
    RepeatedFailure {
        /// How many.
        count: u32,
        /// The last run's reason.
        reason: String,
    },
    /// A run was given up, and something of it is there still.
    #[error(
        "run {run_id} was given up and not all of it is gone: {left}; neuro destroy --run {run_id} removes the rest"
    )]
    NotCleaned {
        /// The run.
        run_id: String,
        /// What is left.
        left: String,
    },
    /// A cluster's API server refused or could not be asked.
    #[cfg(feature = "kube")]
    #[error("cannot {action}: {reason}")]
    Kube {
        /// What was tried.
        action: String,
        /// What the server said.
        reason: String,
        /// The client's error, where there is one; its words are in the reason.
        cause: Option<Box<kube::Error>>,
    },
    /// A namespace is not ours alone.
    #[cfg(feature = "kube")]
    #[error("namespace {namespace} holds {count} objects of others ({objects}); choose another, or adopt it knowingly")]
    Namespace {
        /// The namespace.
        namespace: String,
        /// How many.
        count: usize,
        /// The first few.
        objects: String,
    },
    /// Another driver works in the namespace.
    #[cfg(feature = "kube")]
    #[error("namespace {namespace} is in use by {holder}; wait until it ends or choose another")]
    NamespaceInUse {
        /// The namespace.
        namespace: String,
        /// Host, process and start of the other.
        holder: String,
    },
    /// It is not clear where replicas are to run.
    #[cfg(feature = "kube")]
    #[error("no node to measure: {reason}")]
    NodeChoice {
        /// Why.
        reason: String,
    },
    /// A node is in no state to be measured.
    #[cfg(feature = "kube")]
    #[error("node {node} is under pressure: {pressures}")]
    NodePressure {
        /// The node.
        node: String,
        /// Which ones.
        pressures: String,
    },
    /// What was deleted is not gone.
    #[cfg(feature = "kube")]
    #[error("namespace {namespace} still holds {objects}")]
    Leftover {
        /// The namespace.
        namespace: String,
        /// The objects.
        objects: String,
    },
    /// The cluster is not as it was when the difference was taken.
    #[cfg(feature = "kube")]
    #[error("the cluster has moved since the difference was taken ({expected} then, {found} now); take it again")]
    Moved {
        /// State at the difference.
        expected: String,
        /// State now.
        found: String,
    },
    /// The load generator could not be set up.
    #[error("the load generator failed: {0}")]
    Load(String),
    /// A replica does not answer before the load begins.
    #[error("cannot warm up: {0}")]
    WarmUp(String),
    /// An object cannot be written as JSON or YAML.
    #[cfg(feature = "kube")]
    #[error("cannot write {what} as text: {reason}")]
    Serialise {
        /// What was to be written.
        what: &'static str,
        /// Why it cannot.
        reason: String,
    },
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether what was given is to blame, rather than the machine or the cluster.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Data(error) => error.is_input(),
            #[cfg(feature = "kube")]
            Self::NodeChoice { .. } | Self::Namespace { .. } => true,
            _ => false,
        }
    }

    #[cfg(feature = "kube")]
    pub(crate) fn serialise<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Self {
        move |e| Self::Serialise { what, reason: e.to_string() }
    }

    pub(crate) fn io(action: &'static str, what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { action, what, source }
    }
}
