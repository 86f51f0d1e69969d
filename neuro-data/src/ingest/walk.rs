//! Where runs lie in a tree of folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Problems};
use super::prototype::{self, REQUESTS_FILE};
use crate::run_folder::{MANIFEST, RunFolder};
use crate::{Catalogue, Error, Result};

/// A run that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) run_id: String,
    pub(super) layout: Layout,
    pub(super) path: PathBuf,
    /// The server it was measured on, where it tells.
    pub(super) server: Option<String>,
    /// Size of its files.
    pub(super) bytes: u64,
}

/// Who recorded a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// We: `run.json` and Parquet tables.
    Neuro,
    /// The prototype: `tenant_requests.json` and text files.
    Prototype,
}

/// The runs under some folders, in order of folder and name. Runs that cannot be read, and all but the first of one id, become
/// problems. Links to folders are not followed, and unfinished runs (`*.partial`) and hidden folders are passed over.
pub(super) fn find(roots: &[PathBuf], catalogue: &Catalogue, problems: &mut Problems) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = Vec::new();
    for root in roots {
        visit(root, catalogue, problems, &mut found)?;
    }
    let mut first: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut unique = Vec::with_capacity(found.len());
    for run in found {
        match first.get(&run.run_id) {
            // One folder may lie under two of the roots.
            Some(path) if *path == run.path => {}
            Some(path) => {
                let reason = format!("it is the run {} that {} is too; it is left out", run.run_id, path.display());
                problems.add(Problem::of_file(&run.path, reason))?;
            }
            None => {
                first.insert(run.run_id.clone(), run.path.clone());
                unique.push(run);
            }
        }
    }
    Ok(unique)
}

fn visit(folder: &Path, catalogue: &Catalogue, problems: &mut Problems, found: &mut Vec<Found>) -> Result<()> {
    let (layout, run) = if folder.join(MANIFEST).is_file() {
        let run =
            RunFolder::open(folder).map(|run| (run.manifest().run_id.clone(), Some(run.manifest().server.clone())));
        (Layout::Neuro, run)
    } else if folder.join(REQUESTS_FILE).is_file() {
        (Layout::Prototype, prototype::PrototypeRun::open(folder, catalogue).map(|run| (run.id(), None)))
    } else {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
            let entry = entry.map_err(Error::io("list", folder))?;
            let name = entry.file_name();
            let passed_over = name.to_string_lossy().starts_with('.') || name.to_string_lossy().ends_with(".partial");
            if !passed_over && entry.file_type().map_err(Error::io("list", folder))?.is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort();
        return folders.iter().try_for_each(|folder| visit(folder, catalogue, problems, found));
    };
    match run {
        Ok((run_id, server)) => {
            let bytes = bytes_of(folder)?;
            found.push(Found { run_id, layout, path: folder.to_owned(), server, bytes });
        }
        Err(Error::Problem(problem)) => problems.add(problem)?,
        Err(error) => problems.add(Problem::of_file(folder, format!("{error}; the run is left out")))?,
    }
    Ok(())
}

/// Size of the files of a run, metric folders included.
fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let kind = entry.metadata().map_err(Error::io("read", entry.path()))?;
        bytes += if kind.is_dir() { bytes_of(&entry.path())? } else { kind.len() };
    }
    Ok(bytes)
}
