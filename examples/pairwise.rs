//! Measures how inference services slow one another down on this machine.
//!
//! Every ordered pair of applications is deployed and loaded together, each alone too. The result is a Parquet dataset, fitted
//! contention curves and pictures. `cargo run --example pairwise -- --help` lists the options; a second call resumes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use neuro_apps::process::ensure_compute_threads;
use neuro_apps::registry::Registry;
use neuro_apps::server::{ServeArgs, serve};
use neuro_cli::{CampaignProgress, interrupt_on_ctrl_c, output, tool, write_pairwise_results};
use neuro_data::campaign::{CampaignParams, baseline, in_measuring_order, pairwise};
use neuro_data::{Application, Catalogue, Phases, RunSpec};
use neuro_k8s::{DriverParams, LocalParams, LocalTarget, drive_campaign};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure how inference services slow one another down on this machine.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    service: Option<Service>,
    /// Applications; every ordered pair of them is measured.
    #[arg(long, value_delimiter = ',', default_value = "kalman-gru,tclf-rf,text-tbert")]
    apps: Vec<String>,
    /// Replicas of the second application of a pair.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    instances: Vec<u32>,
    /// Its arrival rates per replica, requests per second.
    #[arg(long, value_delimiter = ',', default_value = "20,60")]
    rates: Vec<f64>,
    /// Arrival rate of the first application's one replica, requests per second; by default what keeps it busy three tenths
    /// of the time, at most 40.
    #[arg(long)]
    observed_rate: Option<f64>,
    /// Measured window of each run, seconds; longer where a slow first application would have too few arrivals in it and
    /// `--observed-rate` is left out.
    #[arg(long, default_value_t = 2.5)]
    duration: f64,
    /// Repetitions of each pair; each application alone is measured three times at least, for the noise floor.
    #[arg(long, default_value_t = 1)]
    repeats: u32,
    /// Seed of all arrivals, inputs and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for runs, dataset, curves and pictures.
    #[arg(long, default_value = "pairwise-out")]
    out: PathBuf,
    /// The grid of the NeuRO study instead: all applications, 4, 8 and 16 replicas at 1 to 4 requests per second beside one
    /// replica at 5, a minute each. Takes hours.
    #[arg(long, conflicts_with_all = ["apps", "instances", "rates", "observed_rate", "duration"])]
    full: bool,
}

/// This program is the service, too: it starts itself again for each replica.
#[derive(Debug, Subcommand)]
enum Service {
    #[command(hide = true)]
    Serve(ServeArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    match args.service {
        Some(Service::Serve(args)) => {
            ensure_compute_threads(args.threads)?;
            serve(args, &Registry::built_in(), |_| {})?;
            Ok(ExitCode::SUCCESS)
        }
        None => measure(if args.full { study_grid(args) } else { args }),
    }
}

fn study_grid(args: Args) -> Args {
    let apps = Registry::built_in().apps().iter().map(|app| app.id.to_owned()).collect();
    let (instances, rates) = (vec![4, 8, 16], vec![1.0, 2.0, 3.0, 4.0]);
    Args { apps, instances, rates, observed_rate: Some(5.0), duration: 60.0, ..args }
}

fn measure(args: Args) -> anyhow::Result<ExitCode> {
    let (registry, catalogue) = (Registry::built_in(), Catalogue::built_in());
    let apps = args.apps.iter().map(|id| Ok(catalogue.get(registry.find(id)?.id)?.clone()));
    let apps = apps.collect::<anyhow::Result<Vec<Application>>>()?;
    let phases = Phases { warmup_s: 0.5, duration_s: args.duration, drain_s: 1.0, warmup_inferences: 3 };
    let params = CampaignParams { seed: args.seed, threads: 1, phases, observed_rate: args.observed_rate };
    let alone = baseline(&params, &apps, args.repeats.max(3));
    let pairs = pairwise(&params, &apps, &args.instances, &args.rates, args.repeats);
    let runs: Vec<RunSpec> = in_measuring_order(alone.chain(pairs), args.seed);

    let mut local = LocalParams::new(catalogue);
    let own = std::env::current_exe()?.display().to_string();
    local.programs.insert("neuro-app".to_owned(), vec![own, "serve".to_owned()]);

    let interrupt = interrupt_on_ctrl_c()?;
    let mut target = LocalTarget::new(local)?;
    let mut driver = DriverParams::new(&args.out, tool());
    driver.counter_interval_s = 0.5;
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let campaign = drive_campaign(&mut target, &runs, &driver, &interrupt, &mut progress);
    let report = runtime.block_on(campaign)?;
    drop(progress);

    if report.left > 0 {
        let command = "the same command goes on from here";
        output::print(&format!("stopped with {} of {} runs to do; {command}\n", report.left, runs.len()));
        return Ok(ExitCode::from(130));
    }
    output::print(&write_pairwise_results(&args.out, &runs)?.to_text());
    Ok(ExitCode::SUCCESS)
}
