//! How the load generator's thread is scheduled beside services that may take every core.

/// Placeholder until measured.
pub(crate) fn prefer_this_thread() -> String {
    "default".to_owned()
}
