//! A column of measured figures, as a chunk of Parquet.
//!
//! The general writer copies a value four times and has buffers and a compressor for each column of each row group. Here a page of
//! what is known is taken apart byte by byte and compressed through two buffers, which serve every column of a file and stay in the
//! processor's cache.

use std::io;

use arrow::array::{Array, Float64Array};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::byte_streams;
use super::chunk::{Chunk, append_run};

/// Known figures of a page.
const PAGE_FIGURES: usize = 8_192;

/// Compresses pages, one after another.
pub(super) struct PageCompressor {
    compressor: Compressor<'static>,
    /// A page before and after.
    page: Vec<u8>,
    compressed: Vec<u8>,
    /// What chunks were written from.
    spare: Vec<Vec<u8>>,
}

impl PageCompressor {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(level)?, page: Vec::new(), compressed: Vec::new(), spare: Vec::new() })
    }
}

/// Figures of the rows of a row group.
pub(super) struct Floats {
    column: ColumnDescPtr,
    /// Those of the current page that are known.
    known: Vec<f64>,
    /// Runs of rows of the current page: whether they are known, and how many.
    runs: Vec<(bool, usize)>,
    chunk: Chunk,
}

impl Floats {
    pub(super) fn new(column: ColumnDescPtr, compressor: &mut PageCompressor) -> Self {
        let chunk = Chunk::of_buffer(compressor.spare.pop().unwrap_or_default());
        Self { column, known: Vec::new(), runs: Vec::new(), chunk }
    }

    /// Takes the figures of further rows.
    pub(super) fn extend(&mut self, figures: &Float64Array, compressor: &mut PageCompressor) -> Result<()> {
        let Some(nulls) = figures.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return self.extend_known(figures.values(), compressor);
        };
        let mut done = 0;
        for (start, end) in nulls.valid_slices() {
            self.extend_run(false, start - done);
            self.extend_known(&figures.values()[start..end], compressor)?;
            done = end;
        }
        self.extend_run(false, figures.len() - done);
        Ok(())
    }

    fn extend_known(&mut self, mut figures: &[f64], compressor: &mut PageCompressor) -> Result<()> {
        while !figures.is_empty() {
            let (next, rest) = figures.split_at(figures.len().min(PAGE_FIGURES - self.known.len()));
            self.extend_run(true, next.len());
            self.known.extend(next);
            figures = rest;
            if self.known.len() == PAGE_FIGURES {
                self.end_page(compressor)?;
            }
        }
        Ok(())
    }

    fn extend_run(&mut self, known: bool, rows: usize) {
        match self.runs.last_mut() {
            _ if rows == 0 => {}
            Some((last, length)) if *last == known => *length += rows,
            _ => self.runs.push((known, rows)),
        }
    }

    fn end_page(&mut self, PageCompressor { compressor, page, compressed, .. }: &mut PageCompressor) -> Result<()> {
        let rows = self.runs.iter().map(|(_, rows)| rows).sum();
        page.clear();
        if self.column.max_def_level() > 0 {
            page.extend([0; size_of::<u32>()]);
            self.runs.drain(..).for_each(|(known, rows)| append_run(page, rows, usize::from(known), 1));
            let levels = page.len() - size_of::<u32>();
            page[..size_of::<u32>()].copy_from_slice(&(levels as u32).to_le_bytes());
        }
        self.runs.clear();
        byte_streams::append(page, &self.known);
        self.known.clear();
        let mut buffer = std::mem::take(compressed);
        buffer.clear();
        buffer.reserve(zstd::zstd_safe::compress_bound(page.len()));
        compressor.compress_to_buffer(page, &mut buffer)?;
        let content = Bytes::from(buffer);
        self.chunk.add_rows(content.clone(), page.len(), rows, Encoding::BYTE_STREAM_SPLIT)?;
        *compressed = content.into();
        Ok(())
    }

    /// Writes them as the next column of a row group.
    pub(super) fn write<W: io::Write + Send>(
        mut self,
        compressor: &mut PageCompressor,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<()> {
        if !self.runs.is_empty() {
            self.end_page(compressor)?;
        }
        let buffer = self.chunk.write(self.column, Compression::ZSTD(ZstdLevel::default()), None, group)?;
        compressor.spare.push(buffer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::store::{GROUP_ROWS, Row, TableWriter, read_table, row};

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Times {
        sent_s: f64,
        service_s: Option<f64>,
    }

    row!(Times, "requests", {
        sent_s: f64, "s", "when it was sent";
        service_s: Option<f64>, "s", "time of the inference";
    });

    /// Rows of which all are known, none is, or now and then one.
    fn rows() -> impl Strategy<Value = Vec<Times>> {
        let share = prop_oneof![Just(0.0), Just(1.0), 0.0..1.0];
        (share, 1..3 * PAGE_FIGURES, any::<u64>()).prop_map(|(share, rows, seed)| {
            let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(seed);
            let mut draw = || rand::Rng::r#gen::<f64>(&mut rng);
            (0..rows).map(|_| Times { sent_s: draw(), service_s: (draw() < share).then(&mut draw) }).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn figures_are_read_as_they_were_written(batches in prop::collection::vec(rows(), 1..4), many in prop::bool::weighted(0.1)) {
            let mut batches = batches;
            if many {
                batches.push(batches[0].iter().copied().cycle().take(GROUP_ROWS).collect());
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.parquet");
            let mut table = TableWriter::<Times>::create(&path).unwrap();
            for batch in &batches {
                // A batch may be part of a longer one.
                table.append(&Times::to_batch(&[&batch[..1], batch].concat()).unwrap().slice(1, batch.len())).unwrap();
            }
            table.finish().unwrap();
            prop_assert_eq!(read_table::<Times>(&path).unwrap(), batches.concat());
            let file = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let rows: i64 = file.metadata().row_groups().iter().map(|group| group.column(1).num_values()).sum();
            prop_assert_eq!(rows as usize, batches.concat().len());
        }
    }
}
