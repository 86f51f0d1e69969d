//! Measures how inference services slow one another down on a node of a Kubernetes cluster: the one that kubectl speaks to.
//!
//! The namespace is made and is the driver's alone while it works. Each replica is a pod; its counters are its own account of
//! itself. A second call resumes; `neuro destroy --run ID --target kube` removes what a crash left of a run.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use neuro_cli::{CampaignProgress, interrupt_on_ctrl_c, output, tool, write_pairwise_results};
use neuro_data::campaign::{CampaignParams, baseline, in_measuring_order, pairwise};
use neuro_data::{Application, Catalogue, Phases, RunSpec};
use neuro_k8s::kube::client;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::{DriverParams, KubeParams, KubeTarget, drive_campaign};

/// Measure how inference services slow one another down on a node of a Kubernetes cluster.
#[derive(Debug, Parser)]
struct Args {
    /// Applications; every ordered pair of them is measured.
    #[arg(long, value_delimiter = ',', default_value = "kalman-gru,tclf-rf")]
    apps: Vec<String>,
    /// Replicas of the second application of a pair.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    instances: Vec<u32>,
    /// Its arrival rates per replica, requests per second.
    #[arg(long, value_delimiter = ',', default_value = "20,60")]
    rates: Vec<f64>,
    /// Measured window of each run, seconds.
    #[arg(long, default_value_t = 10.0)]
    duration: f64,
    /// Namespace: a new one, or one with nothing of others in it.
    #[arg(long, default_value = "neuro-exp")]
    namespace: String,
    /// Node to measure; may be left out where only one takes pods.
    #[arg(long)]
    node: Option<String>,
    /// Image of the services, as `make image` builds it.
    #[arg(long, default_value = concat!("neuro-app:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// Seed of all arrivals, inputs and weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for runs, dataset, curves and pictures.
    #[arg(long, default_value = "kube-pairwise-out")]
    out: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let catalogue = Catalogue::built_in();
    let apps = args.apps.iter().map(|id| Ok(catalogue.get(id)?.clone()));
    let apps = apps.collect::<anyhow::Result<Vec<Application>>>()?;
    let phases = Phases { warmup_s: 1.0, duration_s: args.duration, drain_s: 2.0, warmup_inferences: 3 };
    let params = CampaignParams { seed: args.seed, threads: 1, phases, observed_rate: None };
    let alone = baseline(&params, &apps, 3);
    let pairs = pairwise(&params, &apps, &args.instances, &args.rates, 1);
    let runs: Vec<RunSpec> = in_measuring_order(alone.chain(pairs), args.seed);

    let pods = PodSettings { namespace: args.namespace, image: args.image, pull_policy: PullPolicy::IfNotPresent };
    let mut kube = KubeParams::new(catalogue, pods);
    kube.node = args.node;
    let mut driver = DriverParams::new(&args.out, tool());
    // The node may have to fetch the image first.
    driver.ready_deadline = Duration::from_secs(180);

    let interrupt = interrupt_on_ctrl_c()?;
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut target = KubeTarget::connect(client().await?, kube).await?;
        let report = drive_campaign(&mut target, &runs, &driver, &interrupt, &mut progress).await;
        target.release().await;
        report
    })?;
    drop(progress);

    if report.left > 0 {
        output::print(&format!("stopped with {} of {} runs to do; the same command goes on\n", report.left, runs.len()));
        return Ok(ExitCode::from(130));
    }
    output::print(&write_pairwise_results(&args.out, &runs)?.to_text());
    Ok(ExitCode::SUCCESS)
}
