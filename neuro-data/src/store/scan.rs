//! Tables row by row: the columns of the row type alone, and only the row groups that can hold what is wanted.

use std::collections::BTreeSet;
use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use super::Row;
use super::reader::{files_of, partition, partition_of};
use super::writer::parquet_error;
use crate::{Error, Result};

/// Rows that are in memory at once.
const BATCH_ROWS: usize = 8_192;

/// What to read of a table. Everything, unless it is narrowed.
///
/// Row groups whose statistics exclude what is wanted are not read: those of other runs always, those of other applications
/// where the rows are in order of application or tenant. Of the others, rows that are not wanted are passed over.
#[derive(Debug, Clone)]
pub struct Scan<R> {
    dataset: PathBuf,
    folder: &'static str,
    runs: Option<BTreeSet<String>>,
    apps: Option<BTreeSet<String>>,
    servers: Option<BTreeSet<String>>,
    row: PhantomData<R>,
}

/// The server of a run.
struct RunServer {
    run_id: String,
    server: String,
}

super::row!(RunServer, "runs", {
    run_id: String, "", "run";
    server: String, "", "server";
});

impl<R: Row> Scan<R> {
    pub(crate) fn new(dataset: &Path, folder: &'static str) -> Self {
        Self { dataset: dataset.to_owned(), folder, runs: None, apps: None, servers: None, row: PhantomData }
    }

    /// Only rows of these runs.
    pub fn of_runs<S: Into<String>>(mut self, runs: impl IntoIterator<Item = S>) -> Self {
        self.runs = Some(runs.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows of these applications.
    pub fn of_apps<S: Into<String>>(mut self, apps: impl IntoIterator<Item = S>) -> Self {
        self.apps = Some(apps.into_iter().map(Into::into).collect());
        self
    }

    /// Only rows of runs on these servers.
    pub fn of_servers<S: Into<String>>(mut self, servers: impl IntoIterator<Item = S>) -> Self {
        self.servers = Some(servers.into_iter().map(Into::into).collect());
        self
    }

    /// Starts to read. Rows come in the order of the table.
    ///
    /// # Errors
    /// There is no such table, or a file of it cannot be read.
    pub fn rows(self) -> Result<Rows<R>> {
        let mut runs = self.runs;
        if let Some(servers) = &self.servers {
            let of_servers = Scan::<RunServer>::new(&self.dataset, RunServer::TABLE).rows()?;
            let of_servers = of_servers.filter(|run| run.as_ref().is_ok_and(|run| servers.contains(&run.server)));
            let of_servers = of_servers.map(|run| Ok(run?.run_id)).collect::<Result<BTreeSet<String>>>()?;
            runs = Some(match runs {
                Some(runs) => runs.intersection(&of_servers).cloned().collect(),
                None => of_servers,
            });
        }
        let mut files = files_of(&self.dataset.join(self.folder))?;
        if let Some(servers) = &self.servers {
            let partitions: Vec<String> = servers.iter().map(|server| partition(server)).collect();
            files.retain(|file| match file.parent().and_then(partition_of) {
                Some(name) => partitions.iter().any(|partition| partition == name),
                None => true,
            });
        }
        let wanted = [("run_id", runs), ("app", self.apps)];
        let wanted = wanted.into_iter().filter_map(|(column, names)| Some((column, names?))).collect();
        Ok(Rows { files: files.into_iter(), wanted, reader: None, rows: Vec::new().into_iter(), groups: (0, 0) })
    }
}

/// The rows of a [`Scan`].
pub struct Rows<R> {
    files: std::vec::IntoIter<PathBuf>,
    /// Columns of which only some names are wanted.
    wanted: Vec<(&'static str, BTreeSet<String>)>,
    reader: Option<(PathBuf, ParquetRecordBatchReader)>,
    rows: std::vec::IntoIter<R>,
    groups: (usize, usize),
}

impl<R: Row> Rows<R> {
    /// Row groups of the files opened so far: how many are read and how many are passed over.
    pub fn row_groups(&self) -> (usize, usize) {
        self.groups
    }

    /// Opens the next file; `None` behind the last.
    fn open_next(&mut self) -> Result<Option<()>> {
        let Some(path) = self.files.next() else { return Ok(None) };
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let metadata = ArrowReaderMetadata::load(&file, Default::default()).map_err(parquet_error("read", &path))?;
        let schema = metadata.schema();
        let roots =
            |names: &[&str]| names.iter().map(|name| schema.index_of(name)).collect::<std::result::Result<Vec<_>, _>>();
        let lacking = |e: ArrowError| Error::malformed(&path, e);
        let row = R::schema();
        let names: Vec<&str> = row.fields().iter().map(|field| field.name().as_str()).collect();
        let parquet_schema = metadata.parquet_schema();
        let columns = ProjectionMask::roots(parquet_schema, roots(&names).map_err(&lacking)?);
        let groups = metadata.metadata().row_groups();
        let kept: Vec<usize> = (0..groups.len()).filter(|i| self.may_hold(&groups[*i])).collect();
        self.groups.0 += kept.len();
        self.groups.1 += groups.len() - kept.len();

        let mut predicates: Vec<Box<dyn parquet::arrow::arrow_reader::ArrowPredicate>> = Vec::new();
        for (column, names) in &self.wanted {
            let mask = ProjectionMask::roots(parquet_schema, roots(&[column]).map_err(&lacking)?);
            let names = names.clone();
            predicates.push(Box::new(ArrowPredicateFn::new(mask, move |batch| is_among(&batch, &names))));
        }
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_projection(columns)
            .with_row_groups(kept)
            .with_batch_size(BATCH_ROWS);
        if !predicates.is_empty() {
            builder = builder.with_row_filter(RowFilter::new(predicates));
        }
        self.reader = Some((path.clone(), builder.build().map_err(parquet_error("read", &path))?));
        Ok(Some(()))
    }

    /// Whether a row group's statistics admit a row that is wanted.
    fn may_hold(&self, group: &RowGroupMetaData) -> bool {
        self.wanted.iter().all(|(name, names)| {
            let column = group.columns().iter().find(|column| column.column_path().string() == *name);
            match column.and_then(|column| column.statistics()) {
                Some(Statistics::ByteArray(values)) => match (values.min_opt(), values.max_opt()) {
                    (Some(least), Some(most)) => {
                        let within = |name: &String| (least.data()..=most.data()).contains(&name.as_bytes());
                        names.iter().any(within)
                    }
                    _ => true,
                },
                _ => true,
            }
        })
    }

    fn try_next(&mut self) -> Result<Option<R>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            match self.reader.as_mut().and_then(|(path, reader)| Some((path, reader.next()?))) {
                Some((path, batch)) => {
                    let batch = batch.map_err(|e| parquet_error("read", path)(e.into()))?;
                    let rows = R::from_batch(&batch).map_err(|reason| Error::malformed(&*path, reason))?;
                    self.rows = rows.into_iter();
                }
                None => {
                    if self.open_next()?.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

impl<R: Row> Iterator for Rows<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.try_next();
        if next.is_err() {
            // A fault ends it.
            self.files = Vec::new().into_iter();
            self.reader = None;
        }
        next.transpose()
    }
}

/// Which rows of a batch of one column of names hold one of `names`.
fn is_among(batch: &RecordBatch, names: &BTreeSet<String>) -> std::result::Result<BooleanArray, ArrowError> {
    let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| ArrowError::SchemaError("a column of names is not one".to_owned()))?;
    // Neighbouring rows mostly have one name.
    let mut last: Option<(&str, bool)> = None;
    let among = (0..column.len()).map(|i| {
        let name = column.value(i);
        let known = last.filter(|(known, _)| *known == name).map_or_else(|| names.contains(name), |(_, among)| among);
        last = Some((name, known));
        known
    });
    Ok(among.collect::<Vec<bool>>().into())
}
