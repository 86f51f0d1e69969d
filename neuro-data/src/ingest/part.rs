//! A part: the Parquet files of some runs, one of each table.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;

use crate::counter_rates::CounterRates;
use crate::seed::derive_seed;
use crate::store::{QUANTILES, QuantileRow, Row, RunRow, TableWriter, TenantRow};
use crate::summary::{Estimate, Outcomes};
use crate::{CounterSample, Error, Phases, RequestRecord, Result, Sla, Tenant};

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

/// What is gathered of one tenant while its run is read.
pub(super) struct Tally {
    pub(super) outcomes: Outcomes,
    pub(super) counters: CounterRates,
    /// Whether it is known that none of its requests was served.
    pub(super) starved: bool,
}

impl Tally {
    /// Of a tenant whose counters are read between two instants, seconds.
    pub(super) fn new(window_start_s: f64, window_end_s: f64) -> Self {
        let counters = CounterRates::new(window_start_s, window_end_s);
        Self { outcomes: Outcomes::default(), counters, starved: false }
    }
}

impl Part {
    /// Opens part `number` of a dataset.
    pub(super) fn create(dataset: &Path, number: usize) -> Result<Self> {
        fn table<R: Row>(dataset: &Path, number: usize) -> Result<TableWriter<R>> {
            TableWriter::create(&dataset.join(R::TABLE).join(file_name(number)))
        }
        Ok(Self {
            requests: table(dataset, number)?,
            counters: table(dataset, number)?,
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

    /// Summarises a tenant of a run; `seed` drives the resampling.
    pub(super) fn tenant(&mut self, run_id: &str, tenant: &Tenant, phases: &Phases, tally: Tally, seed: u64) {
        let seed = derive_seed(seed, &["bootstrap", run_id, &tenant.id]);
        let (summary, sorted) = tally.outcomes.summarise(tenant, phases, seed);
        let ends = |estimate: Option<Estimate>| {
            let interval = estimate.and_then(|e| e.interval);
            (estimate.map(|e| e.value), interval.map(|i| i.0), interval.map(|i| i.1))
        };
        let [mean, p75, p95] = Sla::ALL.map(|sla| ends(summary.of(sla)));
        let counter = |event| tally.counters.of(event);
        let (cpu_clock, cache_references) = (counter("cpu-clock"), counter("cache-references"));
        let (cache_misses, page_faults) = (counter("cache-misses"), counter("page-faults"));
        self.tenant_rows.push(TenantRow {
            run_id: run_id.to_owned(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            instances: tenant.instances,
            rate: tenant.rate,
            completed: summary.completed,
            censored: summary.censored,
            failed: summary.failed,
            samples: summary.samples,
            unstable: summary.unstable || tally.starved,
            mean_s: mean.0,
            mean_s_lo: mean.1,
            mean_s_hi: mean.2,
            p75_s: p75.0,
            p75_s_lo: p75.1,
            p75_s_hi: p75.2,
            p95_s: p95.0,
            p95_s_lo: p95.1,
            p95_s_hi: p95.2,
            cpu_clock_mean: cpu_clock.0,
            cpu_clock_std: cpu_clock.1,
            cache_references_mean: cache_references.0,
            cache_references_std: cache_references.1,
            cache_misses_mean: cache_misses.0,
            cache_misses_std: cache_misses.1,
            page_faults_mean: page_faults.0,
            page_faults_std: page_faults.1,
        });
        self.quantile_rows.push(QuantileRow {
            run_id: run_id.to_owned(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            samples: summary.samples,
            service_s: at_even_ranks(sorted, QUANTILES),
        });
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

/// At most `most` of some ordered figures, at even ranks from the first to the last.
fn at_even_ranks(sorted: Vec<f64>, most: usize) -> Vec<f64> {
    let n = sorted.len();
    if n <= most {
        return sorted;
    }
    (0..most).map(|i| crate::summary::quantile_of_sorted(&sorted, i as f64 / (most - 1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_figures_are_kept_and_many_thinned_out_evenly() {
        assert_eq!(at_even_ranks(vec![1.0, 2.0, 5.0], 3), [1.0, 2.0, 5.0]);
        let many: Vec<f64> = (0..=1000).map(f64::from).collect();
        assert_eq!(at_even_ranks(many, 5), [0.0, 250.0, 500.0, 750.0, 1000.0]);
    }

    #[test]
    fn parts_are_numbered_by_their_names() {
        assert_eq!(number_of(Path::new("x/part-00042.parquet")), Some(42));
        assert_eq!(number_of(Path::new("x/part-100000.parquet")), Some(100_000));
        assert_eq!(number_of(Path::new("x/other.parquet")), None);
        assert_eq!(file_name(42), "part-00042.parquet");
    }
}
