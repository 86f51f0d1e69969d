//! Run folders: where one run's records lie, whole or not at all.
//!
//! A campaign's output holds `runs/<run id>/` with `requests.parquet`, `counters.parquet` and `run.json`. A run is written to
//! `runs/<run id>.partial/`, the manifest last; then the folder is synced and renamed. A folder without a manifest is partial,
//! whatever its name, and is done again.
//!
//! A run whose requests were not kept ([`DataVerdict::Summarised`](crate::DataVerdict)) has `tenants.parquet` and
//! `quantiles.parquet` instead: its rows of the dataset's tables of those names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{remove_folder, replace_folder, write_atomic};
use crate::store::{QuantileRow, Row, TableWriter, TenantRow, read_table};
use crate::{CounterSample, DataVerdict, Error, Manifest, RUN_SCHEMA, RequestRecord, Result};

/// The file that makes a folder a finished run.
pub(crate) const MANIFEST: &str = "run.json";
const REQUESTS: &str = "requests.parquet";
const COUNTERS: &str = "counters.parquet";
const TENANTS: &str = "tenants.parquet";
const QUANTILES: &str = "quantiles.parquet";

/// A finished run on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFolder {
    path: PathBuf,
    manifest: Manifest,
}

impl RunFolder {
    /// Opens a run folder by reading its manifest.
    ///
    /// # Errors
    /// There is no manifest (the run is partial), or it is malformed or of another version.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(MANIFEST);
        let text = fs::read(&file).map_err(Error::io("read", &file))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| Error::malformed(&file, e))?;
        if manifest.schema != RUN_SCHEMA {
            let reason = format!("its layout is of version {}, and this is for {RUN_SCHEMA}", manifest.schema);
            return Err(Error::malformed(&file, reason));
        }
        Ok(Self { path: path.to_owned(), manifest })
    }

    /// What the run was and how it ended.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its requests, in the order of their schedule; none for a failed run.
    ///
    /// # Errors
    /// The file is missing, as where only summaries were kept, or malformed.
    pub fn requests(&self) -> Result<Vec<RequestRecord>> {
        read_table(&self.requests_file())
    }

    /// Its counter readings.
    ///
    /// # Errors
    /// The file is missing or malformed.
    pub fn counters(&self) -> Result<Vec<CounterSample>> {
        read_table(&self.counters_file())
    }

    /// What is known of each tenant, in the order of the specification, where summaries were kept instead of requests.
    ///
    /// # Errors
    /// A file is missing or malformed, or they are not of the run's tenants.
    pub fn summaries(&self) -> Result<Vec<(TenantRow, QuantileRow)>> {
        let tenants: Vec<TenantRow> = read_table(&self.path.join(TENANTS))?;
        let quantiles: Vec<QuantileRow> = read_table(&self.path.join(QUANTILES))?;
        let ids = self.manifest.spec.tenants.iter().map(|tenant| &tenant.id);
        if !ids.clone().eq(tenants.iter().map(|row| &row.tenant_id))
            || !ids.eq(quantiles.iter().map(|row| &row.tenant_id))
        {
            return Err(Error::malformed(&self.path, "its summaries are not of the tenants of its manifest"));
        }
        Ok(tenants.into_iter().zip(quantiles).collect())
    }

    /// The file of its requests.
    pub(crate) fn requests_file(&self) -> PathBuf {
        self.path.join(REQUESTS)
    }

    /// The file of its counter readings.
    pub(crate) fn counters_file(&self) -> PathBuf {
        self.path.join(COUNTERS)
    }

    /// Size of its tables, bytes.
    pub(crate) fn table_bytes(&self) -> u64 {
        let size = |file| self.path.join(file).metadata().map_or(0, |metadata| metadata.len());
        [REQUESTS, COUNTERS, TENANTS, QUANTILES].map(size).iter().sum()
    }

    /// Replaces the manifest, as after cleaning up.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn update(&mut self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        change(&mut self.manifest);
        write_manifest(&self.path, &self.manifest)
    }
}

/// A run that is being measured: a folder beside its final place, for logs and then for the records.
///
/// Dropped uncommitted it stays partial on disk, as a crash would leave it, and the next [`PartialRun::begin`] clears it.
#[derive(Debug)]
pub struct PartialRun {
    partial: PathBuf,
    path: PathBuf,
}

impl PartialRun {
    /// Makes the partial folder of a run under `<out>/runs/`, clearing what an earlier attempt left.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(out: &Path, run_id: &str) -> Result<Self> {
        let path = run_path(out, run_id);
        let partial = crate::files::aside(&path);
        remove_folder(&partial)?;
        fs::create_dir_all(&partial).map_err(Error::io("create", &partial))?;
        Ok(Self { partial, path })
    }

    /// The folder for what services print; it stays with a failed run only.
    pub fn logs(&self) -> PathBuf {
        self.partial.join("logs")
    }

    /// Writes the records and the manifest, syncs, and renames the folder into place.
    ///
    /// # Errors
    /// The folder cannot be written; the run stays partial.
    pub fn commit(
        self,
        manifest: Manifest,
        requests: &[RequestRecord],
        counters: &[CounterSample],
    ) -> Result<RunFolder> {
        self.write(REQUESTS, requests)?;
        self.write(COUNTERS, counters)?;
        self.finish(manifest)
    }

    /// Writes summaries of the tenants and the manifest (it will say [`DataVerdict::Summarised`]), syncs, and renames the
    /// folder into place.
    ///
    /// # Errors
    /// The folder cannot be written; the run stays partial.
    pub fn commit_summarised(
        self,
        mut manifest: Manifest,
        tenants: &[TenantRow],
        quantiles: &[QuantileRow],
    ) -> Result<RunFolder> {
        manifest.data = DataVerdict::Summarised;
        self.write(TENANTS, tenants)?;
        self.write(QUANTILES, quantiles)?;
        self.finish(manifest)
    }

    fn write<R: Row>(&self, file: &str, rows: &[R]) -> Result<()> {
        let mut table = TableWriter::create(&self.partial.join(file))?;
        table.write(rows)?;
        table.finish()
    }

    fn finish(self, manifest: Manifest) -> Result<RunFolder> {
        if manifest.status != crate::RunStatus::Failed {
            remove_folder(&self.logs())?;
        }
        write_manifest(&self.partial, &manifest)?;
        replace_folder(&self.partial, &self.path)?;
        Ok(RunFolder { path: self.path, manifest })
    }

    /// Removes the partial folder, as when a run is given up.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub fn discard(self) -> Result<()> {
        remove_folder(&self.partial)
    }
}

/// Where a finished run lies.
pub fn run_path(out: &Path, run_id: &str) -> PathBuf {
    out.join("runs").join(run_id)
}

/// The finished runs under `<out>/runs/`, in order of name; partial ones are passed over.
///
/// # Errors
/// The folder cannot be listed, or a manifest is malformed.
pub fn run_folders(out: &Path) -> Result<Vec<RunFolder>> {
    let runs = out.join("runs");
    let mut folders = Vec::new();
    for entry in fs::read_dir(&runs).map_err(Error::io("list", &runs))? {
        let path = entry.map_err(Error::io("list", &runs))?.path();
        let partial = path.extension().is_some_and(|extension| extension == "partial");
        if !partial && path.join(MANIFEST).is_file() {
            folders.push(RunFolder::open(&path)?);
        }
    }
    folders.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(folders)
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest).map_err(|e| Error::malformed(&path, e))?;
    write_atomic(&path, &text)
}
