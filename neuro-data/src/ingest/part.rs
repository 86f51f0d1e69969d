//! A part: the Parquet files of some runs, one of each table.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;

use crate::store::{QuantileRow, Row, RunRow, TableWriter, TenantRow};
use crate::{CounterSample, Error, RequestRecord, Result};

/// Rows after which a row group of requests ends with the tenant, so that large runs can be read by application.
const TENANT_GROUP_ROWS: usize = 32_768;

/// Writes the files of one part. Dropped unfinished, it removes what it wrote.
pub(super) struct Part {
    requests: TableWriter<RequestRecord>,
    counters: TableWriter<CounterSample>,
    runs: TableWriter<RunRow>,
    tenants: TableWriter<TenantRow>,
    quantiles: TableWriter<QuantileRow>,
    run_rows: Vec<RunRow>,
    tenant_rows: Vec<TenantRow>,
    quantile_rows: Vec<QuantileRow>,
    number: usize,
}

impl Part {
    /// Opens part `number` of a dataset; `partition` is where in the large tables its files go, the tables themselves where it is
    /// `None`.
    pub(super) fn create(dataset: &Path, number: usize, partition: Option<&str>) -> Result<Self> {
        fn table<R: Row>(dataset: &Path, number: usize) -> Result<TableWriter<R>> {
            TableWriter::create(&dataset.join(R::TABLE).join(file_name(number)))
        }
        fn large_table<R: Row>(dataset: &Path, number: usize, partition: Option<&str>) -> Result<TableWriter<R>> {
            let folder = dataset.join(R::TABLE).join(partition.unwrap_or_default());
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
            TableWriter::create(&folder.join(file_name(number)))
        }
        Ok(Self {
            requests: large_table(dataset, number, partition)?,
            counters: large_table(dataset, number, partition)?,
            runs: table(dataset, number)?,
            tenants: table(dataset, number)?,
            quantiles: table(dataset, number)?,
            run_rows: Vec::new(),
            tenant_rows: Vec::new(),
            quantile_rows: Vec::new(),
            number,
        })
    }

    pub(super) fn requests(&mut self, batch: &RecordBatch) -> Result<()> {
        self.requests.append(batch)
    }

    pub(super) fn counters(&mut self, batch: &RecordBatch) -> Result<()> {
        self.counters.append(batch)
    }

    /// Says that the requests of a tenant are all there, where they come tenant by tenant.
    pub(super) fn end_of_tenant(&mut self) -> Result<()> {
        if self.requests.rows_in_group() >= TENANT_GROUP_ROWS { self.requests.end_group() } else { Ok(()) }
    }

    /// Says that a run is all there: row groups never hold rows of two runs.
    pub(super) fn end_of_run(&mut self, run: RunRow) -> Result<()> {
        self.run_rows.push(run);
        self.requests.end_group()?;
        self.counters.end_group()
    }

    /// Adds the summary of a tenant.
    pub(super) fn tenant(&mut self, (tenant, quantiles): (TenantRow, QuantileRow)) {
        self.tenant_rows.push(tenant);
        self.quantile_rows.push(quantiles);
    }

    /// Writes what is left and puts the files in place. A part without a run leaves nothing, but for the first, whose empty files make
    /// the tables of a dataset of no runs.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.run_rows.is_empty() && self.number > 0 {
            return Ok(());
        }
        self.runs.write(&self.run_rows)?;
        self.tenants.write(&self.tenant_rows)?;
        self.quantiles.write(&self.quantile_rows)?;
        self.requests.finish()?;
        self.counters.finish()?;
        self.tenants.finish()?;
        self.quantiles.finish()?;
        self.runs.finish()
    }
}

/// Makes the tables' folders.
pub(super) fn create_tables(dataset: &Path) -> Result<()> {
    for table in TABLES {
        let folder = dataset.join(table);
        fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    }
    Ok(())
}

/// The tables that a part has a file of.
pub(super) const TABLES: [&str; 5] =
    [RequestRecord::TABLE, CounterSample::TABLE, RunRow::TABLE, TenantRow::TABLE, QuantileRow::TABLE];

/// The name of a part's files.
pub(super) fn file_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

/// The number in the name of a part's file.
pub(super) fn number_of(file: &Path) -> Option<usize> {
    file.file_stem()?.to_str()?.strip_prefix("part-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbered_by_their_names() {
        assert_eq!(number_of(Path::new("x/part-00042.parquet")), Some(42));
        assert_eq!(number_of(Path::new("x/part-100000.parquet")), Some(100_000));
        assert_eq!(number_of(Path::new("x/other.parquet")), None);
        assert_eq!(file_name(42), "part-00042.parquet");
    }
}
