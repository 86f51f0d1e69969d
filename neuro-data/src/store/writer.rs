//! Tables into Parquet files.

use std::fs::{self, File};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::Row;
use crate::files::{aside, sync_folder};
use crate::{Error, Result};

/// Most rows of a row group.
pub const GROUP_ROWS: usize = 262_144;

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
        let properties = properties(&R::schema()).map_err(parquet_error("set up", path))?;
        let writer =
            ArrowWriter::try_new(file, R::schema(), Some(properties)).map_err(parquet_error("set up", path))?;
        Ok(Self { writer: Some(writer), aside, path: path.to_owned(), rows: PhantomData })
    }

    /// Appends rows as a row group of their own.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        let batch = R::to_batch(rows).map_err(|e| parquet_error("write", &self.path)(e.into()))?;
        self.append(&batch)?;
        self.end_group()
    }

    /// Appends columns of the table's schema to the current row group, which ends by itself at [`GROUP_ROWS`].
    ///
    /// # Errors
    /// The columns are others, or the file cannot be written.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        match self.writer.as_mut().filter(|_| batch.num_rows() > 0) {
            Some(writer) => writer.write(batch).map_err(parquet_error("write", &self.path)),
            None => Ok(()),
        }
    }

    /// Ends the current row group.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end_group(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.flush().map_err(parquet_error("write", &self.path)),
            None => Ok(()),
        }
    }

    /// Puts a fact into the file's metadata.
    pub fn note(&mut self, key: &str, value: String) {
        if let Some(writer) = &mut self.writer {
            writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
    }

    /// Rows of the current row group so far.
    pub fn rows_in_group(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::in_progress_rows)
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

/// How columns are stored. Names repeat, so they get a dictionary; measured times never do, and a dictionary of them is work for
/// nothing: their bytes are stored by significance, since the first of them repeat and the last are noise, which makes a file a
/// fifth smaller and compression quicker; numbers that count up are stored as differences. Page indexes would outweigh small row groups.
fn properties(schema: &Schema) -> std::result::Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by(format!("neuro-data {}", env!("CARGO_PKG_VERSION")))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false);
    for field in schema.fields() {
        builder = column_properties(builder, field.data_type(), vec![field.name().clone()]);
    }
    Ok(builder.build())
}

/// The properties of a column and of those nested in it.
fn column_properties(
    builder: WriterPropertiesBuilder,
    data_type: &DataType,
    path: Vec<String>,
) -> WriterPropertiesBuilder {
    let below = |names: &[&str]| path.iter().cloned().chain(names.iter().map(|&name| name.to_owned())).collect();
    match data_type {
        DataType::Utf8 | DataType::UInt32 => builder.set_column_dictionary_enabled(ColumnPath::new(path), true),
        DataType::UInt64 => builder.set_column_encoding(ColumnPath::new(path), Encoding::DELTA_BINARY_PACKED),
        DataType::Float64 => builder.set_column_encoding(ColumnPath::new(path), Encoding::BYTE_STREAM_SPLIT),
        DataType::List(item) => column_properties(builder, item.data_type(), below(&["list", item.name().as_str()])),
        DataType::Struct(fields) => fields.iter().fold(builder, |builder, field| {
            column_properties(builder, field.data_type(), below(&[field.name().as_str()]))
        }),
        _ => builder,
    }
}

pub(super) fn parquet_error(action: &'static str, path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_owned();
    move |source| Error::Parquet { action, path, source }
}
