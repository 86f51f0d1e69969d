//! Tables from Parquet files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::Row;
use super::writer::parquet_error;
use crate::{Error, Result};

/// All rows of one Parquet file.
///
/// # Errors
/// The file is missing, not Parquet, lacks a column or holds a value that the column cannot.
pub fn read_table<R: Row>(path: &Path) -> Result<Vec<R>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .map_err(parquet_error("read", path))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| parquet_error("read", path)(e.into()))?;
        rows.extend(R::from_batch(&batch).map_err(|reason| Error::malformed(path, reason))?);
    }
    Ok(rows)
}

/// The columns of a Parquet file.
pub(crate) fn read_schema(path: &Path) -> Result<SchemaRef> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(parquet_error("read", path))?;
    Ok(std::sync::Arc::clone(builder.schema()))
}

/// The Parquet files of the table `R` in a dataset, in order of name.
///
/// # Errors
/// The dataset has no such table.
pub fn table_files<R: Row>(dataset: &Path) -> Result<Vec<PathBuf>> {
    files_of(&dataset.join(R::TABLE))
}

/// The Parquet files in a folder and its partitions, in order of name.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        } else if partition_of(&path).is_some() {
            files.extend(files_of(&path)?);
        }
    }
    files.sort();
    Ok(files)
}

/// Name of the folder of a server's part of a table, as Hive names partitions: what is no letter, figure, `.`, `-` or `_` is
/// escaped.
pub(crate) fn partition(server: &str) -> String {
    use std::fmt::Write;
    let mut name = String::from(PARTITION);
    for byte in server.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => name.push(char::from(byte)),
            _ => _ = write!(name, "%{byte:02X}"),
        }
    }
    name
}

/// The name of the partition's folder, `server=…`, that a path ends with.
pub(crate) fn partition_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| name.starts_with(PARTITION))
}

const PARTITION: &str = "server=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_server_names_a_folder() {
        assert_eq!(partition("edge-1"), "server=edge-1");
        assert_eq!(partition("../a b"), "server=..%2Fa%20b");
        assert_eq!(partition_of(Path::new("x/server=edge-1")), Some("server=edge-1"));
        assert_eq!(partition_of(Path::new("server=edge-1/part-00000.parquet")), None);
    }
}
