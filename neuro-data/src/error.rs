//! What can go wrong with the vocabulary and its files.

use std::path::PathBuf;

/// An error of this crate. Offending values are fields, so that a caller can show or match them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, such as "read".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{path} is malformed: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is outside of what it may be.
    #[error("{field} is {value}; expected: {expected}")]
    Invalid {
        /// The name of the value, with its place, such as `requests[3].rate`.
        field: String,
        /// The value as given.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// An application that the catalogue does not hold.
    #[error("unknown application {id:?}; known: {known}")]
    UnknownApp {
        /// The id asked for.
        id: String,
        /// The ids there are, comma-separated.
        known: String,
    },
    /// A raw file has a fault, and faults were not to be tolerated.
    #[error(transparent)]
    Problem(crate::ingest::Problem),
    /// An observer ended it.
    #[error("interrupted")]
    Interrupted,
    /// Arrow or Parquet refused.
    #[cfg(feature = "parquet")]
    #[error("cannot {action} {path}: {source}")]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The library's reason.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether what was given is to blame, rather than the machine.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Invalid { .. } | Self::UnknownApp { .. } | Self::Malformed { .. } | Self::Problem(_))
    }

    /// Wraps an I/O error with what was tried and where; for `map_err`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn malformed(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { path: path.into(), reason: reason.to_string() }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: impl std::fmt::Display, expected: &'static str) -> Self {
        Self::Invalid { field: field.into(), value: value.to_string(), expected }
    }
}
