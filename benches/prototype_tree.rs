//! A tree of synthetic runs in the prototype's raw layout, for benchmarks: the same seed writes the same bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Size of a synthetic tree.
#[derive(Debug, Clone, Copy)]
pub struct TreeSize {
    /// Runs, one folder each.
    pub runs: usize,
    /// Requests of each run, over all its tenants.
    pub requests: usize,
}

/// Applications with their mean service time in seconds and their share of a run's load.
const APPS: [(&str, f64, f64); 9] = [
    ("tclf-gcn", 0.05, 1.0),
    ("tclf-rf", 0.025, 12.0),
    ("tstr-lstm", 0.2, 12.0),
    ("kalman-gru", 0.005, 12.0),
    ("iclf-mnet", 0.02, 1.0),
    ("text-bert", 0.12, 1.0),
    ("iclf-efnet", 0.2, 1.0),
    ("text-tbert", 0.015, 1.0),
    ("iclf-mvit", 0.06, 1.0),
];

/// Writes the tree under `root`, run folders named `0000`, `0001`, …. A run has 11 or 12 tenants, 11.6 on average, whose
/// applications are drawn uniformly; those of the high load class get twelve times the requests of the others.
///
/// # Errors
/// The folder cannot be written.
pub fn write_prototype_tree(root: &Path, size: TreeSize, seed: u64) -> io::Result<()> {
    for run in 0..size.runs {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (run as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let folder = root.join(format!("{run:04}"));
        fs::create_dir_all(&folder)?;
        let count = if run % 5 < 3 { 12 } else { 11 };
        let tenants: Vec<_> = (0..count).map(|_| APPS[rng.gen_range(0..APPS.len())]).collect();
        let shares: f64 = tenants.iter().map(|(_, _, share)| share).sum();
        let mut entries = Vec::new();
        for (id, (app, service_s, share)) in tenants.iter().enumerate() {
            let requests = ((size.requests as f64 * share / shares).round() as usize).max(20);
            let instances = rng.gen_range(1..=4);
            let rate = f64::from(rng.gen_range(2..=20));
            entries.push(serde_json::json!({
                "id": id, "application": app, "arrival_rate": rate, "num_instances": instances, "payment": 1.0,
                "delay": 1.0, "sla_type": 0, "port": 31_000 + id, "pids": [10_000 * run + id],
            }));
            write_tenant(&folder.join(format!("tenant-{id}.csv")), requests, *service_s, &mut rng)?;
            write_counters(&folder.join(format!("proc_metrics/tenant_{id}")), 10_000 * run + id, &mut rng)?;
        }
        let text = serde_json::to_vec(&serde_json::json!({ "tenant_requests": entries }))?;
        fs::write(folder.join("tenant_requests.json"), text)?;
    }
    Ok(())
}

fn write_tenant(path: &Path, requests: usize, service_s: f64, rng: &mut ChaCha8Rng) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(file, ",service_times,arrival_times,departure_times,interarrival_times,queueing_times,queue_lens")?;
    let mut arrival = 1.7e9;
    let mut free = arrival;
    for i in 0..requests {
        let gap = -(1.0 - rng.r#gen::<f64>()).ln() * 1.5 * service_s;
        let service = service_s * (0.8 - 0.3 * (1.0 - rng.r#gen::<f64>()).ln());
        arrival += gap;
        let queueing = (free - arrival).max(0.0);
        free = arrival + queueing + service;
        let waiting = (queueing / service_s).ceil();
        writeln!(file, "{i},{service},{arrival},{free},{gap},{queueing},{waiting:.1}")?;
    }
    file.flush()
}

fn write_counters(folder: &Path, pid: usize, rng: &mut ChaCha8Rng) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(File::create(folder.join(format!("{pid}.raw")))?);
    writeln!(file, "#           time             counts unit events")?;
    for second in 1..=30 {
        let time = f64::from(second) + 0.001;
        let busy = rng.gen_range(50.0..900.0);
        writeln!(file, "{time:15.9} {busy:18.2} msec cpu-clock    #    {:.3} CPUs utilized", busy / 1e3)?;
        for (event, most) in [("cache-references", 9_000_000), ("cache-misses", 900_000), ("page-faults", 40)] {
            writeln!(file, "{time:15.9} {:18}      {event}", rng.gen_range(0..most))?;
        }
    }
    file.flush()
}
