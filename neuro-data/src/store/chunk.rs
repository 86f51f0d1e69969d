//! A column of a row group, page by page, as it will lie in the file.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

/// The pages of a column so far.
pub(super) struct Chunk {
    sink: TrackedWrite<Vec<u8>>,
    uncompressed_bytes: usize,
    rows: usize,
    dictionary_offset: Option<i64>,
    data_offset: Option<i64>,
    pages: Vec<PageEncodingStats>,
}

impl Chunk {
    /// No pages yet; `buffer` is where they will lie.
    pub(super) fn of_buffer(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        let (sink, pages) = (TrackedWrite::new(buffer), Vec::new());
        Self { sink, uncompressed_bytes: 0, rows: 0, dictionary_offset: None, data_offset: None, pages }
    }

    /// Adds a page of values, plain ones, that others name by their places.
    pub(super) fn add_dictionary(&mut self, content: Bytes, values: usize) -> Result<()> {
        let encoding = Encoding::PLAIN;
        let bytes = content.len();
        let page = Page::DictionaryPage { buf: content, num_values: values as u32, encoding, is_sorted: false };
        let offset = self.add(page, bytes, PageType::DICTIONARY_PAGE)?;
        self.dictionary_offset.get_or_insert(offset);
        Ok(())
    }

    /// Adds a page of rows, which is compressed already, and was of so many bytes before.
    pub(super) fn add_rows(
        &mut self,
        content: Bytes,
        uncompressed_bytes: usize,
        rows: usize,
        encoding: Encoding,
    ) -> Result<()> {
        let page = Page::DataPage {
            buf: content,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let offset = self.add(page, uncompressed_bytes, PageType::DATA_PAGE)?;
        self.data_offset.get_or_insert(offset);
        self.rows += rows;
        Ok(())
    }

    /// Adds a page; returns where it starts.
    fn add(&mut self, page: Page, uncompressed_bytes: usize, page_type: PageType) -> Result<i64> {
        let encoding = page.encoding();
        let page = CompressedPage::new(page, uncompressed_bytes);
        let written = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        self.uncompressed_bytes += written.uncompressed_size;
        match self.pages.iter_mut().find(|known| (known.page_type, known.encoding) == (page_type, encoding)) {
            Some(known) => known.count += 1,
            None => self.pages.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
        Ok(written.offset as i64)
    }

    /// Writes the pages as the next column of a row group; returns their buffer.
    pub(super) fn write<W: std::io::Write + Send>(
        self,
        column: ColumnDescPtr,
        compression: Compression,
        statistics: Option<Statistics>,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<Vec<u8>> {
        let content = Bytes::from(self.sink.into_inner()?);
        let mut encodings = vec![Encoding::RLE];
        for page in &self.pages {
            if !encodings.contains(&page.encoding) {
                encodings.push(page.encoding);
            }
        }
        let mut metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression)
            .set_encodings(encodings)
            .set_page_encoding_stats(self.pages)
            .set_total_compressed_size(content.len() as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_num_values(self.rows as i64)
            .set_dictionary_page_offset(self.dictionary_offset)
            .set_data_page_offset(self.data_offset.unwrap_or_default());
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let close = ColumnCloseResult {
            bytes_written: content.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        group.append_column(&content, close)?;
        Ok(content.into())
    }
}

/// Appends a run of rows to what Parquet's hybrid of runs and bits stores (`Encodings.md`, RLE): twice its length, in sevens of bits
/// from the lowest, and its value in `value_bytes` bytes.
pub(super) fn append_run(bytes: &mut Vec<u8>, rows: usize, value: usize, value_bytes: usize) {
    let mut header = rows << 1;
    while header >= 0x80 {
        bytes.push(header as u8 | 0x80);
        header >>= 7;
    }
    bytes.push(header as u8);
    bytes.extend(&value.to_le_bytes()[..value_bytes]);
}
