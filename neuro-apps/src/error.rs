//! Everything that can go wrong in this crate.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No application of the registry has this id.
    #[error("unknown application `{id}`; known applications: {known}")]
    UnknownApp {
        /// The id asked for.
        id: String,
        /// The known ids, comma-separated.
        known: String,
    },

    /// A batch outside the range of an application.
    #[error("batch {batch} is outside the range of {app}: 1 to {max}")]
    Batch {
        /// The application.
        app: String,
        /// The batch asked for, in items.
        batch: u64,
        /// The largest batch allowed, in items.
        max: usize,
    },

    /// A body of a request that cannot be understood.
    #[error("{0}")]
    Request(String),

    /// A file of weights that cannot be read or does not fit the model.
    #[error("the checkpoint {} {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Input tensors that are not those of the application.
    #[error("{app} cannot infer on this input: {reason}")]
    Input {
        /// The application.
        app: String,
        /// What is wrong with the input.
        reason: String,
    },

    /// The number of compute threads is zero.
    #[error("the number of compute threads must be at least 1")]
    Threads,

    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },

    /// The replica has not finished its start-up.
    #[error("the application is still starting")]
    Starting,

    /// The queue of the replica is full.
    #[error("the queue is full: {limit} requests are waiting")]
    QueueFull {
        /// The largest number of waiting requests.
        limit: usize,
    },

    /// The application panicked during an inference.
    #[error("the inference panicked: {0}")]
    Panicked(String),

    /// The replica's inference thread has ended.
    #[error("the replica has stopped")]
    Stopped,

    /// A tensor operation failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),

    /// An operating-system call failed.
    #[error("{action} failed: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The exit code of a command that ends with this error: 2 for bad usage (unknown application, bad batch or thread
    /// count, an address that cannot be listened on, files that do not fit), 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::UnknownApp { .. }
            | Self::Batch { .. }
            | Self::Threads
            | Self::Bind { .. }
            | Self::Checkpoint { .. }
            | Self::Input { .. } => 2,
            _ => 1,
        }
    }
}
