//! A dataset: runs gathered into tables that any tool can query.
//!
//! `requests/`, `counters/`, `runs/`, `tenants/` and `quantiles/` hold Parquet files, one a part of the runs, the first two of a
//! large dataset in folders by server (`server=<name>/`, as Hive partitions); a row group never
//! holds two runs, so readers can pass over runs. [`crate::ingest`] fills them; `datapoints/` and `datapoints-reference/` are
//! made of them by [`crate::datapoint`].

use std::path::{Path, PathBuf};

use crate::datapoint::DatapointSet;
use crate::run_folder::RunFolder;
use crate::store::{QuantileRow, Row, RunRow, Scan, TenantRow, read_schema, read_table, table_files};
use crate::{CounterSample, Error, RequestRecord, Result, ingest};

/// The table of training data.
pub(crate) const DATAPOINTS: &str = "datapoints";

/// A dataset on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    path: PathBuf,
}

impl Dataset {
    /// Names an existing dataset.
    ///
    /// # Errors
    /// There is no `runs/` table in the folder.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.join(RunRow::TABLE).is_dir() || table_files::<RunRow>(path)?.is_empty() {
            return Err(Error::malformed(path, "it is no dataset: runs/ holds no Parquet file"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Builds a dataset of run folders in place of what `path` holds. A crash leaves the old one whole.
    ///
    /// # Errors
    /// A run folder is malformed, or the dataset's folder cannot be written.
    pub fn build(path: &Path, runs: &[RunFolder]) -> Result<Self> {
        ingest::build(path, runs)?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All rows of the table `R`; [`Dataset::scan`] reads tables that are larger than memory.
    ///
    /// # Errors
    /// A file is missing or malformed.
    pub fn read<R: Row>(&self) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        for file in table_files::<R>(&self.path)? {
            rows.extend(read_table::<R>(&file)?);
        }
        Ok(rows)
    }

    /// A reader of the table `R`, row by row.
    pub fn scan<R: Row>(&self) -> Scan<R> {
        Scan::new(&self.path, R::TABLE)
    }

    /// A reader of a set of datapoints, or of some of their columns, row by row.
    ///
    /// # Example
    /// ```
    /// use neuro_data::datapoint::{Datapoint, DatapointSet};
    ///
    /// fn labelled(dataset: &neuro_data::Dataset) -> neuro_data::Result<Vec<Datapoint>> {
    ///     let points = dataset.datapoints::<Datapoint>(DatapointSet::Ours).of_apps(["tclf-rf"]).of_servers(["edge"]).rows()?;
    ///     points.filter(|point| point.as_ref().is_ok_and(|point| !point.censored)).collect()
    /// }
    /// ```
    pub fn datapoints<R: Row>(&self, set: DatapointSet) -> Scan<R> {
        Scan::new(&self.path, set.folder())
    }

    /// Checks that the tables are of this version, so that rows of it may stand beside theirs.
    pub(crate) fn check_schema(&self) -> Result<()> {
        fn check<R: Row>(path: &Path) -> Result<()> {
            match table_files::<R>(path)?.first() {
                Some(file) if read_schema(file)?.fields() != R::schema().fields() => {
                    Err(Error::malformed(file, "its columns are those of another version: build the dataset anew"))
                }
                _ => Ok(()),
            }
        }
        check::<RequestRecord>(&self.path)?;
        check::<CounterSample>(&self.path)?;
        check::<RunRow>(&self.path)?;
        check::<TenantRow>(&self.path)?;
        check::<QuantileRow>(&self.path)
    }
}
