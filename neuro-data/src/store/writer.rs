//! Tables into Parquet files.

use std::fs::{self, File};
use std::io::BufWriter;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::Row;
use super::floats::{Floats, PageCompressor};
use super::name_runs::NameRuns;
use crate::files::{aside, sync_folder};
use crate::{Error, Result};

/// Most rows of a row group.
pub const GROUP_ROWS: usize = 262_144;

/// Bytes that go to a file at once.
const WRITTEN_AT_ONCE: usize = 1 << 18;

/// Writes one table to one Parquet file (zstd), aside until [`TableWriter::finish`] renames it into place.
///
/// Each [`TableWriter::write`] ends a row group, so a caller that writes run by run lets readers pass over whole runs by their
/// statistics. Dropped unfinished, it removes what it wrote.
pub struct TableWriter<R> {
    writer: Option<GroupWriter>,
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
        let file = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
        let properties = properties(&R::schema()).map_err(parquet_error("set up", path))?;
        let writer =
            ArrowWriter::try_new(file, R::schema(), Some(properties)).and_then(ArrowWriter::into_serialized_writer);
        let (file, columns) = writer.map_err(parquet_error("set up", path))?;
        let compressor = PageCompressor::new(ZSTD_LEVEL).map_err(Error::io("set up", path))?;
        let writer = GroupWriter { file, schema: R::schema(), columns, group: Vec::new(), rows: 0, compressor };
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
            Some(writer) => writer.append(batch).map_err(parquet_error("write", &self.path)),
            None => Ok(()),
        }
    }

    /// Ends the current row group.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end_group(&mut self) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.end_group().map_err(parquet_error("write", &self.path)),
            None => Ok(()),
        }
    }

    /// Puts a fact into the file's metadata.
    pub fn note(&mut self, key: &str, value: String) {
        if let Some(writer) = &mut self.writer {
            writer.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
    }

    /// Rows of the current row group so far.
    pub fn rows_in_group(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.rows)
    }

    /// Writes the footer, syncs and renames the file into place.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.end_group()?;
        if let Some(writer) = self.writer.take() {
            let file = writer.file.into_inner().map_err(parquet_error("finish", &self.path))?;
            let file = file.into_inner().map_err(|e| Error::io("write", &self.path)(e.into_error()))?;
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

/// Writes row groups, whose columns are held until a group ends.
struct GroupWriter {
    file: SerializedFileWriter<BufWriter<File>>,
    schema: SchemaRef,
    columns: ArrowRowGroupWriterFactory,
    /// The columns of the current group; none before its first row.
    group: Vec<Column>,
    /// Rows of the current group.
    rows: usize,
    compressor: PageCompressor,
}

/// A column of the current row group.
enum Column {
    Names(NameRuns),
    Floats(Floats),
    /// Any other, or those that are nested in one.
    Others(Vec<ArrowColumnWriter>),
}

impl GroupWriter {
    /// Appends rows, and ends the group as often as it is full.
    fn append(&mut self, batch: &RecordBatch) -> std::result::Result<(), ParquetError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let rows = (batch.num_rows() - start).min(GROUP_ROWS - self.rows);
            self.append_to_group(&batch.slice(start, rows))?;
            start += rows;
            if self.rows == GROUP_ROWS {
                self.end_group()?;
            }
        }
        Ok(())
    }

    fn append_to_group(&mut self, batch: &RecordBatch) -> std::result::Result<(), ParquetError> {
        if batch.num_columns() != self.schema.fields().len() {
            return Err(ParquetError::General("the columns are not as many as the table's".to_owned()));
        }
        if self.group.is_empty() {
            self.begin_group(batch)?;
        }
        for ((field, values), column) in self.schema.fields().iter().zip(batch.columns()).zip(&mut self.group) {
            match column {
                Column::Names(runs) => runs.extend(values)?,
                Column::Floats(floats) => floats.extend(values.as_primitive(), &mut self.compressor)?,
                Column::Others(writers) => {
                    for (writer, leaf) in writers.iter_mut().zip(compute_leaves(field, values)?) {
                        writer.write(&leaf)?;
                    }
                }
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Makes the columns of a group that starts with some rows.
    fn begin_group(&mut self, batch: &RecordBatch) -> std::result::Result<(), ParquetError> {
        let writers = self.columns.create_column_writers(self.file.flushed_row_groups().len())?;
        let schema = self.file.schema_descr();
        for (place, writer) in writers.into_iter().enumerate() {
            let field = schema.get_column_root_idx(place);
            if let Some(Column::Others(writers)) = self.group.get_mut(field) {
                writers.push(writer);
            } else if NameRuns::suit(batch.column(field)) {
                self.group.push(Column::Names(NameRuns::new(schema.column(place))));
            } else if batch.column(field).data_type() == &DataType::Float64 {
                self.group.push(Column::Floats(Floats::new(schema.column(place), &mut self.compressor)));
            } else {
                self.group.push(Column::Others(vec![writer]));
            }
        }
        Ok(())
    }

    fn end_group(&mut self) -> std::result::Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let mut group = self.file.next_row_group()?;
        for column in self.group.drain(..) {
            match column {
                Column::Names(runs) => runs.write(&mut group)?,
                Column::Floats(floats) => floats.write(&mut self.compressor, &mut group)?,
                Column::Others(writers) => {
                    for writer in writers {
                        writer.close()?.append_to_row_group(&mut group)?;
                    }
                }
            }
        }
        group.close()?;
        Ok(())
    }
}

/// The quickest way of zstd but for those that hardly try: 5 % larger than level 1 in two thirds of the time, as measured times are
/// noise for the most part.
const ZSTD_LEVEL: i32 = -1;

/// Texts that are no names: they are long, and none is like another.
const TEXTS: [&str; 2] = ["manifest", "reason"];

/// How columns are stored. Names repeat, so they get a dictionary; measured times never do, and a dictionary of them is work for
/// nothing: their bytes are stored by significance, since the first of them repeat and the last are noise, which makes a file a
/// fifth smaller and compression quicker; whole numbers are stored as differences, in as few bits as those need. What is stored
/// in bits is not compressed: that saves next to nothing, and a compressor for each column of each row group is dear. Nor are the
/// least and the greatest of measured times noted, by which nobody finds a row. Page indexes would outweigh small row groups.
fn properties(schema: &Schema) -> std::result::Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
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
        DataType::Utf8 => {
            let is_text = path.last().is_some_and(|name| TEXTS.contains(&name.as_str()));
            let column = ColumnPath::new(path);
            let builder = builder.set_column_dictionary_enabled(column.clone(), true);
            if is_text { builder } else { builder.set_column_compression(column, Compression::UNCOMPRESSED) }
        }
        DataType::UInt32 | DataType::UInt64 => {
            let column = ColumnPath::new(path);
            builder
                .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(column, Compression::UNCOMPRESSED)
        }
        DataType::Float64 => {
            // Those that are not nested are compressed by `Floats`; here the general writer would make a compressor that it never uses.
            let is_nested = path.len() > 1;
            let column = ColumnPath::new(path);
            let builder = if is_nested {
                builder
            } else {
                builder.set_column_compression(column.clone(), Compression::UNCOMPRESSED)
            };
            builder
                .set_column_encoding(column.clone(), Encoding::BYTE_STREAM_SPLIT)
                .set_column_statistics_enabled(column, EnabledStatistics::None)
        }
        DataType::Boolean => builder.set_column_compression(ColumnPath::new(path), Compression::UNCOMPRESSED),
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
