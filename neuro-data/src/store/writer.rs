//! Tables into Parquet files.

use std::fs::{self, File};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::Row;
use crate::files::{aside, sync_folder};
use crate::{Error, Result};

/// Writes one table to one Parquet file (zstd), aside until [`TableWriter::finish`] renames it into place.
///
/// Each [`TableWriter::write`] ends a row group, so a caller that writes run by run lets readers pass over whole runs by their
/// statistics. Dropped unfinished, it removes what it wrote.
pub struct TableWriter<R> {
    writer: Option<ArrowWriter<File>>,
    aside: PathBuf,
    path: PathBuf,
    rows: PhantomData<R>,
}

impl<R: Row> TableWriter<R> {
    /// Opens the file beside `path`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let aside = aside(path);
        let file = File::create(&aside).map_err(Error::io("create", &aside))?;
        let level = ZstdLevel::try_new(3).map_err(parquet_error("set up", path))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by(format!("neuro-data {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer =
            ArrowWriter::try_new(file, R::schema(), Some(properties)).map_err(parquet_error("set up", path))?;
        Ok(Self { writer: Some(writer), aside, path: path.to_owned(), rows: PhantomData })
    }

    /// Appends rows as a row group of their own.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        if let Some(writer) = self.writer.as_mut().filter(|_| !rows.is_empty()) {
            let batch = R::to_batch(rows).map_err(|e| parquet_error("write", &self.path)(e.into()))?;
            writer.write(&batch).and_then(|()| writer.flush()).map_err(parquet_error("write", &self.path))?;
        }
        Ok(())
    }

    /// Writes the footer, syncs and renames the file into place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            let file = writer.into_inner().map_err(parquet_error("finish", &self.path))?;
            file.sync_all().map_err(Error::io("sync", &self.path))?;
            fs::rename(&self.aside, &self.path).map_err(Error::io("rename", &self.path))?;
            sync_folder(self.path.parent());
        }
        Ok(())
    }
}

impl<R> Drop for TableWriter<R> {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            let _ = fs::remove_file(&self.aside);
        }
    }
}

pub(super) fn parquet_error(action: &'static str, path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_owned();
    move |source| Error::Parquet { action, path, source }
}
