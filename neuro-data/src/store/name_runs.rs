//! A column of names that each repeat for many rows, as a chunk of Parquet.
//!
//! The general writer looks every row's name up. Where the names are given by their places and change seldom, the runs of equal
//! places are what Parquet's dictionary encoding stores (RLE, Parquet's `Encodings.md`), so that a row costs a comparison.

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::datatypes::Int8Type;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, append_run};

/// Fewest rows a run has on average where runs are what is stored: a shorter one takes more room than bits do.
const ROWS_PER_RUN: usize = 64;

/// Names of the rows of a row group: which there are, and the runs of equal ones.
#[derive(Debug, Default)]
pub(super) struct NameRuns {
    names: Vec<String>,
    /// Place of a name and for how many rows it stands.
    runs: Vec<(usize, usize)>,
}

impl NameRuns {
    /// Whether a column is one whose runs are worth storing.
    pub(super) fn suit(column: &dyn Array) -> bool {
        names_by_place(column).is_some_and(|(column, _)| {
            let changes = column.keys().values().windows(2).filter(|pair| pair[0] != pair[1]).count();
            (changes + 1) * ROWS_PER_RUN <= column.len().max(ROWS_PER_RUN)
        })
    }

    /// Takes the names of further rows.
    pub(super) fn extend(&mut self, column: &ArrayRef) -> Result<()> {
        let (column, names) = names_by_place(column.as_ref())
            .ok_or_else(|| ParquetError::General("names by their places are wanted, none of them null".to_owned()))?;
        for run in column.keys().values().chunk_by(|a, b| a == b) {
            let name =
                usize::try_from(run[0]).ok().filter(|place| *place < names.len()).map(|place| names.value(place));
            let name = name.ok_or_else(|| ParquetError::General("a name's place is none".to_owned()))?;
            let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            });
            match self.runs.last_mut().filter(|(last, _)| *last == place) {
                Some((_, rows)) => *rows += run.len(),
                None => self.runs.push((place, run.len())),
            }
        }
        Ok(())
    }

    /// Writes them as the next column of a row group: a page of the names and one of the runs, so small that nothing is compressed.
    pub(super) fn write<W: std::io::Write + Send>(
        &self,
        column: ColumnDescPtr,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        let rows = self.runs.iter().map(|(_, rows)| rows).sum();
        let mut chunk = Chunk::default();
        chunk.add_dictionary(self.dictionary().into(), self.names.len())?;
        let places = self.places();
        let bytes = places.len();
        chunk.add_rows(places.into(), bytes, rows, Encoding::RLE_DICTIONARY)?;
        let end = |name: Option<&String>| name.map(|name| ByteArray::from(name.as_str()));
        let statistics =
            Statistics::byte_array(end(self.names.iter().min()), end(self.names.iter().max()), None, Some(0), false);
        chunk.write(column, Compression::UNCOMPRESSED, Some(statistics), group)
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

/// A column as places of names, if it is one and has no nulls.
fn names_by_place(column: &dyn Array) -> Option<(&DictionaryArray<Int8Type>, &arrow::array::StringArray)> {
    let column = column.as_dictionary_opt::<Int8Type>().filter(|column| column.null_count() == 0)?;
    Some((column, column.values().as_string_opt::<i32>()?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{Int8Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::store::{TableWriter, read_table, row};

    struct Named {
        app: String,
    }

    row!(Named, "requests", {
        app: String, "", "application";
    });

    fn batch(places: &[i8], names: &[String]) -> RecordBatch {
        let column =
            DictionaryArray::new(Int8Array::from(places.to_vec()), Arc::new(StringArray::from_iter_values(names)));
        let data_type = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let schema = Schema::new(vec![Field::new("app", data_type, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Runs long and short, of 1 to 127 names, which another batch has in another order.
        #[test]
        fn names_are_read_as_they_were_written(
            runs in prop::collection::vec((0..127_i8, prop_oneof![1..4_usize, 60..300_usize]), 1..40),
            names in 1..128_usize,
        ) {
            let places: Vec<i8> = runs.iter()
                .flat_map(|&(place, rows)| std::iter::repeat_n((place as usize % names) as i8, rows))
                .collect();
            let known: Vec<String> = (0..names).map(|i| format!("app-{i}")).collect();
            let backwards: Vec<String> = known.iter().rev().cloned().collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.parquet");
            let mut table = TableWriter::<Named>::create(&path).unwrap();
            table.append(&batch(&[0; 1_000], &known)).unwrap();
            table.append(&batch(&places, &backwards)).unwrap();
            table.finish().unwrap();

            let written = std::iter::repeat_n(&known[0], 1_000).chain(places.iter().map(|place| &backwards[*place as usize]));
            let read = read_table::<Named>(&path).unwrap();
            prop_assert!(read.iter().map(|row| &row.app).eq(written.clone()));
            let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let chunk = file.metadata().row_group(0).column(0);
            prop_assert_eq!(chunk.compression(), Compression::UNCOMPRESSED, "the runs were not what is stored");
            let statistics = chunk.statistics().unwrap();
            prop_assert_eq!(statistics.min_bytes_opt(), written.clone().min().map(String::as_bytes));
            prop_assert_eq!(statistics.max_bytes_opt(), written.max().map(String::as_bytes));
        }
    }
}
