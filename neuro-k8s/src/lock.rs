//! Keeping two drivers off one thing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// An advisory lock on a file, held until it is dropped or its process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `path`, which guards `what`.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it; the file cannot be made.
    pub(crate) fn take(path: &Path, what: &str) -> Result<Self> {
        let io = |action| Error::io(action, path.display());
        // The file of another user can be locked though not written.
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .or_else(|_| File::open(path))
            .map_err(io("create the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: path.to_owned(), what: what.to_owned() });
            }
            Err(TryLockError::Error(e)) => return Err(io("lock")(e)),
        }
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = Lock::take(&path, "the thing").unwrap();
        let refused = Lock::take(&path, "the thing").unwrap_err();
        assert!(matches!(&refused, Error::Locked { .. }) && refused.to_string().contains("the thing"), "{refused}");
        drop(held);
        Lock::take(&path, "the thing").unwrap();
    }
}
