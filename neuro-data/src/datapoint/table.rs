//! The table of datapoints.

use std::collections::BTreeMap;
use std::fs;

use super::{ContextEntry, Datapoint, DatapointKind, DatapointParams, MeasuredTenant, of_run};
use crate::files::{self, aside};
use crate::store::{QuantileRow, RunRow, TableWriter, TenantRow, read_table, row, table_files};
use crate::{Dataset, Error, Result, RunStatus};

row!(Datapoint, "datapoints", {
    run_id: String, "", "run";
    server: String, "", "server";
    kind: DatapointKind, "", "measured | merged | zero";
    app: String, "", "application";
    instances: f64, "", "replicas; next to none in a zero point";
    rate: f64, "1/s", "arrival rate per replica";
    context: Vec<ContextEntry>, "", "the other tenants by application; rate in requests per second and replica";
    mean_s: Option<f64>, "s", "mean service time; null where censored";
    p75_s: Option<f64>, "s", "its 75th percentile";
    p95_s: Option<f64>, "s", "its 95th percentile";
    cpu_clock_mean: Option<f64>, "ns/s", "CPU time per replica and second, mean over readings";
    cpu_clock_std: Option<f64>, "ns/s", "its standard deviation";
    cache_misses_mean: Option<f64>, "1/s", "cache misses per replica and second";
    cache_misses_std: Option<f64>, "1/s", "its standard deviation";
    page_faults_mean: Option<f64>, "1/s", "page faults per replica and second";
    page_faults_std: Option<f64>, "1/s", "its standard deviation";
    samples: u64, "", "service times behind it";
    censored: bool, "", "nothing was served: the times are longer than the run";
    tenants: Vec<String>, "", "ids of the tenants it was made of";
});

/// Datapoints after which those at hand are put in order of application and written, a row group each.
const CHUNK: usize = 65_536;

/// How many datapoints were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct DatapointReport {
    /// Runs they are of: the complete ones.
    pub runs: u64,
    /// By kind.
    pub points: BTreeMap<DatapointKind, u64>,
    /// Those whose times are longer than their run.
    pub censored: u64,
}

/// Makes the datapoints of a dataset's complete runs and puts them in place of what its table holds.
///
/// The same dataset and parameters give the same bytes. Memory holds the tenants of one part of the dataset and one chunk of
/// datapoints, whatever the number of runs. The parameters stand in the file's metadata (`neuro.datapoints`, JSON).
///
/// # Errors
/// A table is missing or malformed, or the dataset cannot be written.
pub fn make(dataset: &Dataset, params: &DatapointParams) -> Result<DatapointReport> {
    let path = dataset.path().join(params.set.folder());
    let building = aside(&path);
    files::remove_folder(&building)?;
    fs::create_dir_all(&building).map_err(Error::io("create", &building))?;
    let mut table = TableWriter::<Datapoint>::create(&building.join("part-00000.parquet"))?;
    let facts = serde_json::json!({
        "set": params.set, "seed": params.seed, "subset_cap": params.subset_cap, "same_rate": params.same_rate,
        "zero_probability": params.zero_probability, "version": env!("CARGO_PKG_VERSION"),
    });
    table.note("neuro.datapoints", facts.to_string());

    let mut report = DatapointReport::default();
    let mut chunk = Vec::new();
    let files = table_files::<RunRow>(dataset.path())?;
    let tenant_files = table_files::<TenantRow>(dataset.path())?;
    let quantile_files = table_files::<QuantileRow>(dataset.path())?;
    if files.len() != tenant_files.len() || files.len() != quantile_files.len() {
        return Err(Error::malformed(dataset.path(), "its tables have different numbers of parts"));
    }
    for ((runs, tenants), quantiles) in files.iter().zip(&tenant_files).zip(&quantile_files) {
        // A part holds whole runs.
        let (tenants, quantiles) = (read_table::<TenantRow>(tenants)?, read_table::<QuantileRow>(quantiles)?);
        let ids = |row: &TenantRow, other: &QuantileRow| row.run_id == other.run_id && row.tenant_id == other.tenant_id;
        if tenants.len() != quantiles.len() || !tenants.iter().zip(&quantiles).all(|(a, b)| ids(a, b)) {
            return Err(Error::malformed(dataset.path(), "tenants/ and quantiles/ are not of the same tenants"));
        }
        let mut by_run: BTreeMap<&str, Vec<MeasuredTenant<'_>>> = BTreeMap::new();
        for (row, quantiles) in tenants.iter().zip(&quantiles) {
            by_run.entry(&row.run_id).or_default().push(MeasuredTenant { row, quantiles });
        }
        for run in read_table::<RunRow>(runs)?.iter().filter(|run| run.status == RunStatus::Complete) {
            let tenants = by_run.get(run.run_id.as_str()).map_or(&[][..], Vec::as_slice);
            report.runs += 1;
            chunk.extend(of_run(run, tenants, params));
            if chunk.len() >= CHUNK {
                write(&mut table, &mut chunk, &mut report)?;
            }
        }
    }
    write(&mut table, &mut chunk, &mut report)?;
    table.finish()?;
    files::replace_folder(&building, &path)?;
    Ok(report)
}

/// Writes a chunk, a row group an application, so that readers can pass over applications.
fn write(table: &mut TableWriter<Datapoint>, chunk: &mut Vec<Datapoint>, report: &mut DatapointReport) -> Result<()> {
    chunk.sort_by(|a, b| a.app.cmp(&b.app));
    for group in chunk.chunk_by(|a, b| a.app == b.app) {
        for point in group {
            *report.points.entry(point.kind).or_default() += 1;
            report.censored += u64::from(point.censored);
        }
        table.write(group)?;
    }
    chunk.clear();
    Ok(())
}
