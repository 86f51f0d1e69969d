//! A column of names that each repeat for many rows, as a chunk of Parquet.
//!
//! The general writer looks every row's name up. Where the runs of equal names are given they are what Parquet's dictionary encoding
//! stores (RLE, Parquet's `Encodings.md`), so that a row costs nothing.

use std::io;

use arrow::array::{Array, AsArray, RunArray, StringArray};
use arrow::buffer::RunEndBuffer;
use arrow::datatypes::Int32Type;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, append_run};

/// Names of the rows of a row group: which there are, and the runs of equal ones.
pub(super) struct NameRuns {
    column: ColumnDescPtr,
    names: Vec<String>,
    /// Place of a name and for how many rows it stands.
    runs: Vec<(usize, usize)>,
}

impl NameRuns {
    pub(super) fn new(column: ColumnDescPtr) -> Self {
        Self { column, names: Vec::new(), runs: Vec::new() }
    }

    /// Whether a column is given by its runs.
    pub(super) fn suit(column: &dyn Array) -> bool {
        runs_of_names(column).is_some()
    }

    /// Takes the names of further rows.
    pub(super) fn extend(&mut self, column: &dyn Array) -> Result<()> {
        let (ends, names) = runs_of_names(column)
            .ok_or_else(|| ParquetError::General("runs of names are wanted, none of them null".to_owned()))?;
        let mut start = 0;
        for (end, place) in ends.sliced_values().zip(ends.get_start_physical_index()..) {
            let (name, end) = (names.value(place), end as usize);
            let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            });
            match self.runs.last_mut().filter(|(last, _)| *last == place) {
                Some((_, rows)) => *rows += end - start,
                None => self.runs.push((place, end - start)),
            }
            start = end;
        }
        Ok(())
    }

    /// Writes them as the next column of a row group: a page of the names and one of the runs, so small that nothing is compressed.
    pub(super) fn write<W: io::Write + Send>(self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        let rows = self.runs.iter().map(|(_, rows)| rows).sum();
        let mut chunk = Chunk::of_buffer(Vec::new());
        chunk.add_dictionary(self.dictionary().into(), self.names.len())?;
        let places = self.places();
        let bytes = places.len();
        chunk.add_rows(places.into(), bytes, rows, Encoding::RLE_DICTIONARY)?;
        let end = |name: Option<&String>| name.map(|name| ByteArray::from(name.as_str()));
        let statistics =
            Statistics::byte_array(end(self.names.iter().min()), end(self.names.iter().max()), None, Some(0), false);
        chunk.write(self.column, Compression::UNCOMPRESSED, Some(statistics), group)?;
        Ok(())
    }

    /// The names, each behind its length.
    fn dictionary(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in &self.names {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes
    }

    /// The bits of a place, then each run.
    fn places(&self) -> Vec<u8> {
        let bits = usize::BITS - self.names.len().saturating_sub(1).leading_zeros();
        let mut bytes = vec![bits as u8];
        for (place, rows) in &self.runs {
            append_run(&mut bytes, *rows, *place, bits.div_ceil(8) as usize);
        }
        bytes
    }
}

/// Where the runs of a column end and which names they are of, if it is given by them and has no nulls.
fn runs_of_names(column: &dyn Array) -> Option<(&RunEndBuffer<i32>, &StringArray)> {
    let runs = column.as_any().downcast_ref::<RunArray<Int32Type>>()?;
    let names = runs.values().as_string_opt::<i32>().filter(|names| names.null_count() == 0)?;
    Some((runs.run_ends(), names))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{Int32Array, RecordBatch};
    use arrow::datatypes::{Field, Schema};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::store::{GROUP_ROWS, TableWriter, read_table, row};

    struct Named {
        app: String,
    }

    row!(Named, "requests", {
        app: String, "", "application";
    });

    fn batch(runs: &[(usize, usize)], names: &[String]) -> RecordBatch {
        let ends = runs.iter().scan(0, |end, (_, rows)| {
            *end += *rows as i32;
            Some(*end)
        });
        let values = StringArray::from_iter_values(runs.iter().map(|(place, _)| &names[*place]));
        let column = RunArray::try_new(&ends.collect::<Int32Array>(), &values).unwrap();
        let schema = Schema::new(vec![Field::new("app", column.data_type().clone(), false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Runs long and short, of 1 to 127 names, over the end of a row group.
        #[test]
        fn names_are_read_as_they_were_written(
            runs in prop::collection::vec((0..127_usize, prop_oneof![1..4_usize, 60..300_usize]), 1..40),
            names in 1..128_usize,
            rows_before in prop_oneof![Just(1_000_usize), GROUP_ROWS - 1_000..GROUP_ROWS],
        ) {
            let runs: Vec<(usize, usize)> = runs.into_iter().map(|(place, rows)| (place % names, rows)).collect();
            let known: Vec<String> = (0..names).map(|i| format!("app-{i}")).collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.parquet");
            let mut table = TableWriter::<Named>::create(&path).unwrap();
            table.append(&batch(&[(0, rows_before)], &known)).unwrap();
            table.append(&batch(&runs, &known)).unwrap();
            table.finish().unwrap();

            let before = std::iter::repeat_n(&known[0], rows_before);
            let written = before.chain(runs.iter().flat_map(|(place, rows)| std::iter::repeat_n(&known[*place], *rows)));
            let read = read_table::<Named>(&path).unwrap();
            prop_assert!(read.iter().map(|row| &row.app).eq(written.clone()));
            let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let chunk = file.metadata().row_group(0).column(0);
            prop_assert_eq!(chunk.compression(), Compression::UNCOMPRESSED, "the runs were not what is stored");
            let statistics = chunk.statistics().unwrap();
            let in_group = written.take(GROUP_ROWS);
            prop_assert_eq!(statistics.min_bytes_opt(), in_group.clone().min().map(String::as_bytes));
            prop_assert_eq!(statistics.max_bytes_opt(), in_group.max().map(String::as_bytes));
        }
    }
}
