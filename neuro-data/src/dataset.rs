//! A dataset: run folders gathered into tables that any tool can query.
//!
//! `requests/`, `counters/`, `runs/` and `tenants/` hold Parquet files; each run is a row group of its own, so that memory does
//! not grow with their number and readers can pass over runs. The tables are built aside and put in place together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::files::{aside, sync_folder};
use crate::run_folder::RunFolder;
use crate::seed::derive_seed;
use crate::store::{Instant, Row, RunRow, TableWriter, TenantRow, read_table, table_files};
use crate::summary::{Estimate, summarise};
use crate::{CounterSample, Error, Manifest, RequestRecord, Result, RunStatus, Tenant};

/// A dataset on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    path: PathBuf,
}

impl Dataset {
    /// Names an existing dataset.
    ///
    /// # Errors
    /// There is no `runs/` table in the folder.
    pub fn open(path: &Path) -> Result<Self> {
        if table_files::<RunRow>(path)?.is_empty() {
            return Err(Error::malformed(path, "it is no dataset: runs/ holds no Parquet file"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Builds a dataset of run folders in place of what `path` holds. A crash leaves the old one whole.
    ///
    /// # Errors
    /// A run folder is malformed, or the dataset's folder cannot be written.
    pub fn build(path: &Path, runs: &[RunFolder]) -> Result<Self> {
        let building = aside(path);
        remove(&building)?;
        let mut tables = Tables::create(&building)?;
        for run in runs {
            tables.append(run)?;
        }
        tables.finish()?;

        put_in_place(&building, path).map_err(Error::io("put in place", path))?;
        sync_folder(path.parent());
        remove(&building)?;
        Ok(Self { path: path.to_owned() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All rows of the table `R`.
    ///
    /// # Errors
    /// A file is missing or malformed.
    pub fn read<R: Row>(&self) -> Result<Vec<R>> {
        let mut rows = Vec::new();
        for file in table_files::<R>(&self.path)? {
            rows.extend(read_table::<R>(&file)?);
        }
        Ok(rows)
    }
}

struct Tables {
    requests: TableWriter<RequestRecord>,
    counters: TableWriter<CounterSample>,
    runs: TableWriter<RunRow>,
    tenants: TableWriter<TenantRow>,
    run_rows: Vec<RunRow>,
    tenant_rows: Vec<TenantRow>,
}

impl Tables {
    fn create(dataset: &Path) -> Result<Self> {
        fn table<R: Row>(dataset: &Path) -> Result<TableWriter<R>> {
            let folder = dataset.join(R::TABLE);
            fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
            TableWriter::create(&folder.join("part-00000.parquet"))
        }
        Ok(Self {
            requests: table(dataset)?,
            counters: table(dataset)?,
            runs: table(dataset)?,
            tenants: table(dataset)?,
            run_rows: Vec::new(),
            tenant_rows: Vec::new(),
        })
    }

    fn append(&mut self, run: &RunFolder) -> Result<()> {
        let manifest = run.manifest();
        self.run_rows.push(run_row(run)?);
        if manifest.status == RunStatus::Failed {
            return Ok(());
        }
        let (requests, counters) = (run.requests()?, run.counters()?);
        self.tenant_rows.extend(tenant_rows(manifest, &requests, &counters));
        self.requests.write(&requests)?;
        self.counters.write(&counters)
    }

    fn finish(mut self) -> Result<()> {
        self.runs.write(&self.run_rows)?;
        self.tenants.write(&self.tenant_rows)?;
        self.requests.finish()?;
        self.counters.finish()?;
        self.runs.finish()?;
        self.tenants.finish()
    }
}

fn run_row(run: &RunFolder) -> Result<RunRow> {
    let manifest = run.manifest();
    let text = serde_json::to_string(manifest).map_err(|e| Error::malformed(run.path(), e))?;
    Ok(RunRow {
        run_id: manifest.run_id.clone(),
        kind: manifest.spec.kind,
        server: manifest.server.clone(),
        target: manifest.target.clone(),
        seed: manifest.spec.seed,
        started_at: Instant(manifest.started_at),
        duration_s: manifest.spec.phases.duration_s,
        status: manifest.status,
        reason: manifest.reason.clone(),
        send_lateness_p99_s: manifest.load.send_lateness_s.p99,
        requested_rate: manifest.load.requested_rate,
        achieved_rate: manifest.load.achieved_rate,
        manifest: text,
    })
}

/// One row for each tenant of a run, in the order of its specification.
pub fn tenant_rows(manifest: &Manifest, requests: &[RequestRecord], counters: &[CounterSample]) -> Vec<TenantRow> {
    let spec = &manifest.spec;
    let row = |tenant: &Tenant| {
        let own: Vec<&RequestRecord> = requests.iter().filter(|r| r.tenant_id == tenant.id).collect();
        let seed = derive_seed(spec.seed, &["bootstrap", &manifest.run_id, &tenant.id]);
        let summary = summarise(tenant, &spec.phases, &own, seed);
        let rates = counter_rates(&tenant.id, spec.phases.warmup_s, spec.phases.end_s(), counters);
        let counter = |event: &str| rates.get(event).copied().unwrap_or_default();
        let ends = |estimate: Option<Estimate>| {
            let interval = estimate.and_then(|e| e.interval);
            (estimate.map(|e| e.value), interval.map(|i| i.0), interval.map(|i| i.1))
        };
        let [mean, p75, p95] = crate::Sla::ALL.map(|sla| ends(summary.of(sla)));
        let (cpu_clock, cache_references) = (counter("cpu-clock"), counter("cache-references"));
        let (cache_misses, page_faults) = (counter("cache-misses"), counter("page-faults"));
        TenantRow {
            run_id: manifest.run_id.clone(),
            tenant_id: tenant.id.clone(),
            app: tenant.app.clone(),
            instances: tenant.instances,
            rate: tenant.rate,
            completed: summary.completed,
            censored: summary.censored,
            failed: summary.failed,
            samples: summary.samples,
            unstable: summary.unstable,
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
        }
    };
    spec.tenants.iter().map(row).collect()
}

/// How far a reading may lie outside of the window, seconds: it is taken when the window opens or ends, or a little later.
const READING_SLACK_S: f64 = 0.1;

/// Mean and standard deviation, over the readings of all replicas whose interval lies in the window, of each event's count per
/// second of interval.
fn counter_rates(
    tenant_id: &str,
    window_start_s: f64,
    window_end_s: f64,
    counters: &[CounterSample],
) -> BTreeMap<String, (Option<f64>, Option<f64>)> {
    let mut previous: BTreeMap<(u32, &str), f64> = BTreeMap::new();
    let mut rates: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for sample in counters.iter().filter(|c| c.tenant_id == tenant_id) {
        let since = previous.insert((sample.replica, &sample.event), sample.time_s).unwrap_or(0.0);
        let inside = since >= window_start_s - READING_SLACK_S && sample.time_s <= window_end_s + READING_SLACK_S;
        if let Some(count) = sample.scaled().filter(|_| inside && sample.time_s > since) {
            rates.entry(sample.event.clone()).or_default().push(count / (sample.time_s - since));
        }
    }
    let describe = |rates: Vec<f64>| {
        let n = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / n;
        let variance = rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (Some(mean), (rates.len() > 1).then(|| variance.sqrt()))
    };
    rates.into_iter().map(|(event, rates)| (event, describe(rates))).collect()
}

/// Puts a folder where another is, which is then where the first was. In one step, so that there is a whole one at every
/// instant; where the file system cannot exchange names (some network ones), the old one goes first.
fn put_in_place(new: &Path, path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return fs::rename(new, path);
    }
    match renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::remove_dir_all(path)?;
            fs::rename(new, path)
        }
        exchanged => Ok(exchanged?),
    }
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder)(e)),
        _ => Ok(()),
    }
}
