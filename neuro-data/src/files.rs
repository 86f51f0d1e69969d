//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::{Error, Result};

/// Writes a file aside, syncs it and renames it into place: a reader sees the old content or the new, never a part.
///
/// # Errors
/// The folder cannot be written.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let aside = aside(path);
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&aside);
        Error::Io { action: "write", path: path.to_owned(), source }
    })?;
    sync_folder(path.parent());
    Ok(())
}

/// The name beside `path` that an unfinished file or folder has.
pub fn aside(path: &Path) -> std::path::PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Makes renames in a folder durable, where the system can.
pub(crate) fn sync_folder(folder: Option<&Path>) {
    let folder = folder.filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Puts a folder where another is, which is removed: a reader sees the old one or the new, and where the file system can exchange
/// names, one of them at every instant.
///
/// # Errors
/// The folder cannot be renamed, or what was there cannot be removed.
pub fn replace_folder(new: &Path, path: &Path) -> Result<()> {
    put_in_place(new, path).map_err(Error::io("put in place", path))?;
    sync_folder(path.parent());
    remove_folder(new)
}

/// Puts a folder where another is, which is then where the first was. In one step, so that there is a whole one at every
/// instant; where the file system cannot exchange names (some network ones), the old one goes first.
fn put_in_place(new: &Path, path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return fs::rename(new, path);
    }
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::remove_dir_all(path)?;
            fs::rename(new, path)
        }
        exchanged => Ok(exchanged?),
    }
}

/// Removes a folder, if there is one.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("no/x.json");
        assert!(write_atomic(&missing, b"").unwrap_err().to_string().contains("x.json"));
    }
}
