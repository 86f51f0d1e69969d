//! An application of your own in Rust: a model in a file, a line in the registry, an entry in the catalogue; then measured like the
//! others. `cargo run --example own_app`.

use std::process::ExitCode;

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use clap::{Parser, Subcommand};
use neuro_apps::app::{Model, Tensors, input};
use neuro_apps::process::ensure_compute_threads;
use neuro_apps::registry::{App, Registry};
use neuro_apps::server::{ServeArgs, serve};
use neuro_cli::{CampaignProgress, interrupt_on_ctrl_c, output, tool};
use neuro_data::campaign::{CampaignParams, baseline};
use neuro_data::store::TenantRow;
use neuro_data::{Catalogue, Dataset, Phases, RunSpec, run_folder::run_folders};
use neuro_k8s::{DriverParams, LocalParams, LocalTarget, drive_campaign};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// 1. The model, in a file of its own.

/// Time steps under the window.
const WINDOW: usize = 32;

/// The registry entry.
static APP: App = App {
    id: "tstr-average",
    description: "learned moving average over 32 steps",
    default_batch: 16,
    max_batch: 1_024,
    model: |weights, _| Ok(Box::new(MovingAverage::load(weights)?)),
};

/// The mean of a window of a time series, weighted by learned weights.
struct MovingAverage {
    /// (32, 1).
    weight: Tensor,
}

impl MovingAverage {
    fn load(vb: VarBuilder) -> neuro_apps::error::Result<Self> {
        let init = Init::Uniform { lo: 0.0, up: 2.0 / WINDOW as f64 };
        Ok(Self { weight: vb.get_with_hints((WINDOW, 1), "weight", init)? })
    }
}

impl Model for MovingAverage {
    fn example(&self, seed: u64, batch: usize) -> neuro_apps::error::Result<Tensors> {
        let phase = (seed % 100) as f32;
        let values: Vec<f32> = (0..batch * WINDOW).map(|step| (phase + step as f32 * 0.1).sin()).collect();
        let series = Tensor::from_vec(values, (batch, WINDOW), &Device::Cpu)?;
        Ok(Tensors::from([("series".to_owned(), series)]))
    }

    fn forward(&self, inputs: &Tensors) -> neuro_apps::error::Result<Tensor> {
        Ok(input(&APP, inputs, "series")?.matmul(&self.weight)?.squeeze(1)?)
    }
}

// 2. The registry.

fn registry() -> Registry {
    Registry::built_in().with(&APP)
}

// 3. The catalogue.

const CATALOGUE: &str = r#"
    [[app]]
    id = "tstr-average"
    port = 8010
    batch = 16
    memory_gb = 0.1
    price = 1
    delay_s = [0.005, 0.01]
    load = "high"
"#;

/// Measure an application of one's own beside a built-in one.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    service: Option<Service>,
}

/// This program is the service, too: it starts itself again for each replica.
#[derive(Debug, Subcommand)]
enum Service {
    #[command(hide = true)]
    Serve(ServeArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(Service::Serve(args)) = Args::parse().service {
        ensure_compute_threads(args.threads)?;
        serve(args, &registry(), |_| {})?;
        return Ok(ExitCode::SUCCESS);
    }

    let phases = Phases { warmup_s: 0.5, duration_s: 2.0, drain_s: 1.0, warmup_inferences: 3 };
    let params = CampaignParams { seed: 1, threads: 1, phases, observed_rate: None };
    let catalogue = Catalogue::built_in().extended(CATALOGUE)?;
    let apps = [catalogue.get(APP.id)?.clone(), catalogue.get("tclf-rf")?.clone()];
    let runs: Vec<RunSpec> = baseline(&params, &apps, 3).collect();
    let mut local = LocalParams::new(catalogue);
    local
        .programs
        .insert("neuro-app".to_owned(), vec![std::env::current_exe()?.display().to_string(), "serve".to_owned()]);

    let interrupt = interrupt_on_ctrl_c()?;
    let out = std::path::Path::new("own-app-out");
    let (mut target, driver) = (LocalTarget::new(local)?, DriverParams::new(out, tool()));
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(drive_campaign(&mut target, &runs, &driver, &interrupt, &mut progress))?;
    drop(progress);

    let dataset = Dataset::build(&out.join("dataset"), &run_folders(out)?)?;
    for tenant in dataset.read::<TenantRow>()? {
        let mean = tenant.mean_s.map_or("unknown".to_owned(), |mean| format!("{:.3} ms", 1e3 * mean));
        output::print(&format!("{:<12} mean {mean}\n", tenant.app));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    fn exchange(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// File, line and entry are all that it takes to be served and to be found in the catalogue.
    #[test]
    fn the_application_is_served_and_known() {
        assert_eq!(Catalogue::built_in().extended(CATALOGUE).unwrap().get(APP.id).unwrap().batch, 16);

        let arguments = Args::parse_from(["own_app", "serve", "--app", APP.id, "--port", "0", "--seed", "3"]);
        let Some(Service::Serve(arguments)) = arguments.service else { unreachable!("the arguments say serve") };
        let (listening, await_listening) = std::sync::mpsc::channel();
        // Serves until the test's process ends.
        std::thread::spawn(move || serve(arguments, &registry(), |at| listening.send(at.listening).unwrap()));
        let address = await_listening.recv_timeout(Duration::from_secs(60)).unwrap();
        while !exchange(address, "GET /healthz").starts_with("HTTP/1.1 200") {}
        let answer = exchange(address, "POST /request-static");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let output: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(output["output"].as_array().unwrap().len(), 16);
        assert!(output["output"][0].as_f64().unwrap().abs() < 2.0);
    }

    /// What CONTRIBUTING.md tells people to write is what is written here.
    #[test]
    fn the_walk_through_is_this_file() {
        let compact = |text: &str| text.split_whitespace().collect::<String>().replace("neuro_apps::error::", "");
        let (guide, here) = (include_str!("../CONTRIBUTING.md"), compact(include_str!("own_app.rs")));
        let blocks: Vec<&str> = guide
            .split("```")
            .filter_map(|block| block.strip_prefix("rust").or_else(|| block.strip_prefix("toml")))
            .collect();
        assert_eq!(blocks.len(), 3);
        for block in blocks {
            assert!(here.contains(&compact(block)), "{block}");
        }
    }
}
