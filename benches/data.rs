//! Ingestion of the prototype's runs on one core, by stage; datapoints; and a scan of one column.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use neuro_benches::{TreeSize, write_prototype_tree};
use neuro_data::Dataset;
use neuro_data::datapoint::{DatapointParams, DatapointSet, make};
use neuro_data::ingest::{IngestParams, Problems, ingest, prototype_csv, prototype_perf};

/// The allocator of the `neuro` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The service time of a request.
struct ServiceTime {
    service_s: Option<f64>,
}

neuro_data::row!(ServiceTime, "requests", {
    service_s: Option<f64>, "s", "time of the inference alone";
});

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5))
        .sample_size(10)
        .configure_from_args();
    parsers(&mut criterion, &folder.path().join("parsers"))?;
    tables(&mut criterion, &folder.path().join("tables"))?;
    criterion.final_summary();
    Ok(())
}

fn parsers(criterion: &mut Criterion, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    write_prototype_tree(folder, TreeSize { runs: 1, requests: 50_000 }, 1)?;
    let mut group = criterion.benchmark_group("parse");
    let csv = std::fs::read(folder.join("0000/tenant-0.csv"))?;
    group.throughput(Throughput::Bytes(csv.len() as u64));
    group.bench_function("tenant csv", |bencher| {
        bencher
            .iter(|| prototype_csv::read(&csv[..], "t.csv".as_ref(), &mut Problems::new(true), |r| _ = black_box(r)));
    });
    let raw = std::fs::read(folder.join("0000/proc_metrics/tenant_0/0.raw"))?;
    group.throughput(Throughput::Bytes(raw.len() as u64));
    group.bench_function("perf text", |bencher| {
        bencher.iter(|| {
            prototype_perf::read(&raw[..], "1.raw".as_ref(), &mut Problems::new(true), |r| _ = black_box(r.count))
        });
    });
    group.finish();
    Ok(())
}

fn tables(criterion: &mut Criterion, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const SIZE: TreeSize = TreeSize { runs: 50, requests: 10_000 };
    let (raw, out) = (folder.join("raw"), folder.join("dataset"));
    write_prototype_tree(&raw, SIZE, 1)?;
    let params = IngestParams { jobs: 1, replace: true, ..IngestParams::default() };
    let fill = || ingest(std::slice::from_ref(&raw), &out, &params, &mut |_| ControlFlow::Continue(()));
    let mut group = criterion.benchmark_group("dataset");
    group.throughput(Throughput::Elements((SIZE.runs * SIZE.requests) as u64));
    group.bench_function("ingest 50 runs", |bencher| bencher.iter(fill));
    fill()?;
    let dataset = Dataset::open(&out)?;
    group.bench_function("scan one column", |bencher| {
        bencher.iter(|| {
            let rows = dataset.scan::<ServiceTime>().rows()?;
            rows.map(|row| Ok(row?.service_s.unwrap_or(0.0))).sum::<neuro_data::Result<f64>>()
        });
    });
    group.throughput(Throughput::Elements(SIZE.runs as u64));
    for set in [DatapointSet::Ours, DatapointSet::Reference] {
        let params = DatapointParams { set, ..DatapointParams::default() };
        group
            .bench_function(format!("{} of 50 runs", set.folder()), |bencher| bencher.iter(|| make(&dataset, &params)));
    }
    group.finish();
    Ok(())
}
