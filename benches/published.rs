//! `cargo bench --bench published`: `lns` on the published network against the published algorithm, on the same instances and bundle:
//! revenue, broken promises and CPU time of each. `lns` has one thread and 30 ms a server.
//!
//! The published implementation takes 50 CPU-seconds for one server with 15 requests; the algorithm's times here are those of our own.
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use neuro_benches::cpu_seconds;
use neuro_cli::output::table;
use neuro_data::Catalogue;
use neuro_data::plan::Plan;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::placement::{Finding, LnsParams, NeuroParams, Problem, Profiles, audit, lns, neuro};
use neuro_profiler::Bundle;

#[derive(Parser)]
struct Args {
    /// Numbers of servers, of kind edge-a, with 15 requests each.
    #[arg(long, value_delimiter = ',', default_value = "1,4")]
    servers: Vec<usize>,
    /// Instances of each number of servers.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// Milliseconds that `lns` has on one server; on more it has as many times that.
    #[arg(long, default_value_t = 30)]
    milliseconds: u64,
    /// A bundle of the published network.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// What cargo gives.
    #[arg(long, hide = true)]
    bench: bool,
}

/// CPU-seconds of the published implementation on one server with 15 requests.
const PUBLISHED_CPU_S: f64 = 50.0;

fn main() -> Result<()> {
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let folder = args.bundle.clone().unwrap_or_else(|| root.join("examples/data/bundles/edge-a-paper"));
    let bundle = Bundle::read(&folder).with_context(|| folder.display().to_string())?;
    let profiles = Profiles::default().and_of_all(bundle);
    let catalogue = Catalogue::built_in();
    let go_on = &mut |_: &neuro_opt::Progress| ControlFlow::Continue(());
    for servers in &args.servers {
        let (mut rows, mut more, mut slowest, mut least, mut broken) = (Vec::new(), 0.0, 0.0f64, f64::INFINITY, [0, 0]);
        for seed in 1..=args.seeds {
            let params = ScenarioParams {
                requests: Some(15 * servers),
                kinds: vec!["edge-a".into()],
                ..ScenarioParams::new(Scenario::Mixed, *servers, seed)
            };
            let instance = draw(&params, &catalogue)?;
            let time = Duration::from_millis(args.milliseconds * *servers as u64);
            // Everything that is done for the answer counts, the problem's preparation too.
            let start = cpu_seconds();
            let problem = Problem::new(&instance, &profiles, &catalogue)?;
            let ours = lns(&problem, &LnsParams { time, workers: 1, ..LnsParams::default() }, go_on)?;
            let cpu_s = cpu_seconds() - start;
            let theirs = neuro(&problem, &NeuroParams::default(), go_on)?;
            let found = [broken_promises(&problem, &ours.plan)?, broken_promises(&problem, &theirs.plan)?];
            let percent = 100.0 * (ours.plan.objective / theirs.plan.objective - 1.0);
            more += percent / args.seeds as f64;
            least = least.min(percent);
            slowest = slowest.max(cpu_s);
            broken = [broken[0] + found[0], broken[1] + found[1]];
            rows.push(vec![
                seed.to_string(),
                format!("{:.3}", ours.plan.objective),
                format!("{:.3}", theirs.plan.objective),
                format!("{percent:+.1}"),
                format!("{cpu_s:.4}"),
                format!("{:.2}", theirs.cpu_seconds),
                found[0].to_string(),
                found[1].to_string(),
                ours.iterations.to_string(),
            ]);
        }
        println!("{servers} servers, {} requests, s1, {}:", 15 * servers, folder.display());
        let header =
            ["seed", "lns", "neuro", "more %", "lns CPU s", "neuro CPU s", "lns broken", "neuro broken", "iterations"];
        println!("{}", table::render(&header, rows));
        println!("{more:+.1} % on average, at least {least:+.1} %; broken promises {} and {}", broken[0], broken[1]);
        println!("lns took {slowest:.4} CPU-seconds at most");
        if *servers == 1 {
            let times = PUBLISHED_CPU_S / slowest;
            println!("the published implementation takes {PUBLISHED_CPU_S} CPU-seconds: {times:.0} times as many");
        }
        println!();
    }
    Ok(())
}

fn broken_promises(problem: &Problem<'_>, plan: &Plan) -> Result<usize> {
    let findings = audit(problem, plan)?.findings;
    Ok(findings.iter().filter(|finding| matches!(finding, Finding::Promise { .. })).count())
}
