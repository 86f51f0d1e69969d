//! `cargo bench --bench solver_scaling`: every placement method from one server to ten (or more), on the same instances, one after
//! another: time, revenue, bound and gap as a table, `scaling.json` and pictures in `target/solver-scaling`.
//!
//! ```sh
//! # 18 instances, 8 s a method: some 20 minutes; what does not fit into 25 is left out, and said.
//! cargo bench --bench solver_scaling
//! # 54 instances, 25 s a method: some 3 hours.
//! cargo bench --bench solver_scaling -- --long
//! # 10 to 1,000 servers with 15 requests each, `lns` and the bound of `decomposed`: some 15 minutes.
//! cargo bench --bench solver_scaling -- --large
//! cargo bench --bench solver_scaling -- --servers 1,2,4 --methods lns,decomposed --time-limit 25 --seeds 3
//! ```
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use neuro_benches::cpu_seconds;
use neuro_cli::output::table;
use neuro_cli::report::{Inputs, Report};
use neuro_data::Catalogue;
use neuro_data::files::write_atomic;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::Limits;
use neuro_opt::placement::{self, Problem, Profiles};
use neuro_opt::solver::worker::Worker;
use neuro_profiler::Bundle;
use neuro_profiler::baselines::Reach;
use serde_json::{Value, json};

#[derive(Parser)]
struct Args {
    /// Three instances of each size, 25 s for each method, however long it takes.
    #[arg(long, conflicts_with = "large")]
    long: bool,
    /// Large sizes instead: 10 to 1,000 servers of s1, a minute each for `lns` and `decomposed`.
    #[arg(long)]
    large: bool,
    /// Numbers of servers; 1, 2, 4, 6, 8, 10 unless said otherwise.
    #[arg(long, value_delimiter = ',')]
    servers: Option<Vec<usize>>,
    /// Requests a server.
    #[arg(long, default_value_t = 15)]
    requests: usize,
    /// Instances of each scenario and number of servers; 1 unless said otherwise.
    #[arg(long)]
    seeds: Option<u64>,
    /// Scenarios; all three unless said otherwise.
    #[arg(long, value_delimiter = ',')]
    scenarios: Option<Vec<String>>,
    /// Methods, all unless said otherwise; a name and `:monotone` decides by the monotone profilers.
    #[arg(long, value_delimiter = ',')]
    methods: Option<Vec<String>>,
    /// Seconds that a method has for an instance; 8 unless said otherwise.
    #[arg(long)]
    time_limit: Option<f64>,
    /// Minutes after which what is not begun is left out; 25 unless said otherwise, no limit with --long and --large.
    #[arg(long)]
    minutes: Option<f64>,
    /// By what latency bounds are multiplied.
    #[arg(long, default_value_t = 1.0)]
    tightness: f64,
    /// Kinds of the servers, the better first.
    #[arg(long, value_delimiter = ',', default_value = "edge-a,edge-b")]
    kinds: Vec<String>,
    /// Where bundles are: KIND, KIND-monotone, KIND-paper, KIND-perx, KIND-scaloran and, if it is another, KIND-scaloran-cons.
    #[arg(long)]
    bundles: Option<PathBuf>,
    /// Where results go.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What cargo gives.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program is called with to solve one mixed-integer program from its standard input.
const WORKER: &str = "solver-worker";
const SIZES: [usize; 6] = [1, 2, 4, 6, 8, 10];
const LARGE_SIZES: [usize; 5] = [10, 30, 100, 300, 1000];
const METHODS: [&str; 12] = [
    "exact",
    "decomposed",
    "decomposed:monotone",
    "milp",
    "lns",
    "lns:monotone",
    "greedy",
    "neuro",
    "perx",
    "scaloran",
    "scaloran-cons",
    "first-fit",
];

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some(WORKER) {
        return Ok(neuro_opt::solver::worker::serve(&neuro_opt::solver::cbc::Cbc)?);
    }
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let bundles = args.bundles.clone().unwrap_or_else(|| root.join("examples/data/bundles"));
    let folder = if args.large { "target/solver-scaling-large" } else { "target/solver-scaling" };
    let out = args.out.clone().unwrap_or_else(|| root.join(folder));
    std::fs::create_dir_all(&out)?;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let sizes = if args.large { LARGE_SIZES.to_vec() } else { SIZES.to_vec() };
    let servers = args.servers.clone().unwrap_or(sizes);
    let scenarios = names(if args.large { &["s1"] } else { &["s1", "s2", "s3"] });
    let scenarios = args.scenarios.clone().unwrap_or(scenarios);
    let methods = names(if args.large { &["lns", "decomposed"] } else { &METHODS });
    let methods = args.methods.clone().unwrap_or(methods);
    let seeds = args.seeds.unwrap_or(if args.long { 3 } else { 1 });
    let time_limit = args.time_limit.unwrap_or(match (args.large, args.long) {
        (true, _) => 60.0,
        (_, true) => 25.0,
        _ => 8.0,
    });
    let minutes = args.minutes.unwrap_or(if args.large || args.long { f64::INFINITY } else { 25.0 });
    let start = Instant::now();
    let catalogue = Catalogue::built_in();
    let mut rows: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    let mut left_out = Vec::new();
    for servers in &servers {
        for scenario in &scenarios {
            for seed in 1..=seeds {
                let params = ScenarioParams {
                    requests: Some(args.requests * servers),
                    tightness: args.tightness,
                    kinds: args.kinds.clone(),
                    ..ScenarioParams::new(scenario.parse::<Scenario>()?, *servers, seed)
                };
                let instance = draw(&params, &catalogue)?;
                for method in &methods {
                    let what = format!("{method} on {servers} servers of {scenario}, seed {seed}");
                    if method.starts_with("exact") && *servers > 1 {
                        left_out.push(format!("{what}: it takes one server"));
                        continue;
                    }
                    if start.elapsed().as_secs_f64() > 60.0 * minutes {
                        left_out.push(format!("{what}: {minutes} minutes were used up"));
                        continue;
                    }
                    let begin = cpu_seconds();
                    let plan = solve(method, scenario, &instance, &bundles, &args.kinds, time_limit, &catalogue);
                    let cpu_s = cpu_seconds() - begin;
                    let (row, line) = told(scenario, &instance, seed, method, plan, cpu_s);
                    println!("{}", line.join("  "));
                    rows.push(row);
                    lines.push(line);
                    write_atomic(&out.join("scaling.json"), json!({ "rows": rows }).to_string().as_bytes())?;
                }
            }
        }
    }
    let header = [
        "scenario",
        "servers",
        "seed",
        "method",
        "seconds",
        "CPU s",
        "revenue",
        "bound",
        "gap %",
        "served",
        "why it ended",
    ];
    println!("{}", table::render(&header, lines));
    println!("CPU seconds are this process's; those of CBC, which runs in processes of its own, are not in it.");
    for left_out in &left_out {
        println!("left out: {left_out}");
    }
    println!("{:.0} s in all", start.elapsed().as_secs_f64());
    let report = Report::of(&Inputs::find(std::slice::from_ref(&out))?, "Solver scaling")?;
    for picture in report.write_figures(&out)? {
        println!("{}", picture.display());
    }
    Ok(())
}

fn told(
    scenario: &str,
    instance: &Instance,
    seed: u64,
    method: &str,
    plan: Result<Plan>,
    cpu_s: f64,
) -> (Value, Vec<String>) {
    let (servers, requests) = (instance.servers.len(), instance.requests.len());
    let mut line = vec![scenario.to_owned(), servers.to_string(), seed.to_string(), method.to_owned()];
    let mut row = json!({
        "scenario": scenario, "servers": servers, "requests": requests, "seed": seed, "method": method,
        "seconds": null, "cpu_s": cpu_s, "revenue": null, "bound": null, "gap": null, "served": null,
        "violated": null, "revenue_kept": null, "fault": null,
    });
    match plan {
        Ok(plan) => {
            let served = requests - plan.rejected.len();
            row["seconds"] = plan.seconds.into();
            row["revenue"] = plan.objective.into();
            row["bound"] = plan.bound.into();
            row["gap"] = plan.gap.into();
            row["served"] = served.into();
            let figure =
                |value: Option<f64>, decimals: usize| value.map_or("–".into(), |v| format!("{v:.decimals$}"));
            line.extend([
                format!("{:.2}", plan.seconds),
                format!("{cpu_s:.2}"),
                format!("{:.2}", plan.objective),
                figure(plan.bound, 2),
                figure(plan.gap.map(|gap| 100.0 * gap), 3),
                served.to_string(),
                plan.termination,
            ]);
        }
        Err(error) => {
            row["fault"] = format!("{error:#}").into();
            line.extend(["–", "–", "–", "–", "–", "–"].map(String::from));
            line.push(format!("{error:#}"));
        }
    }
    (row, line)
}

/// CBC in processes of this program: what ends one of them does not end the bench.
fn worker() -> Result<Worker> {
    Ok(Worker::new(std::env::current_exe()?, [WORKER.to_owned()]))
}

fn solve(
    method: &str,
    scenario: &str,
    instance: &Instance,
    bundles: &Path,
    kinds: &[String],
    seconds: f64,
    catalogue: &Catalogue,
) -> Result<Plan> {
    let (name, variant) = method.split_once(':').unwrap_or((method, ""));
    let suffix = match (name, variant) {
        (_, "monotone") => "-monotone",
        ("neuro", "") => "-paper",
        ("perx", _) => "-perx",
        ("scaloran", _) => "-scaloran",
        // One profiler may serve both.
        ("scaloran-cons", _) if bundles.join(format!("{}-scaloran-cons", kinds[0])).exists() => "-scaloran-cons",
        ("scaloran-cons", _) => "-scaloran",
        (_, "paper") => "-paper",
        _ => "",
    };
    let mut profiles = Profiles::default();
    for kind in kinds {
        let folder = bundles.join(format!("{kind}{suffix}"));
        profiles = profiles.with(kind.clone(), Bundle::read(&folder).with_context(|| folder.display().to_string())?);
    }
    let problem = Problem::new(instance, &profiles, catalogue)?;
    let time = Duration::from_secs_f64(seconds);
    let go_on = &mut |_: &neuro_opt::Progress| ControlFlow::Continue(());
    Ok(match name {
        "exact" => {
            let params = placement::ExactParams { limits: Limits::of_time(time), ..Default::default() };
            placement::exact(&problem, &params, go_on)?.plan
        }
        "decomposed" => {
            let params = placement::DecomposedParams { time, ..Default::default() };
            placement::decomposed(&problem, &params, go_on)?.plan
        }
        "lns" => placement::lns(&problem, &placement::LnsParams { time, ..Default::default() }, go_on)?.plan,
        "greedy" => placement::greedy(&problem)?,
        "first-fit" => placement::first_fit(&problem)?,
        "milp" => {
            let params = placement::MilpParams { time: Some(time), ..Default::default() };
            placement::milp(&problem, &params, &worker()?, go_on)?.plan
        }
        "neuro" => {
            let params = placement::NeuroParams { time: Some(time), ..Default::default() };
            placement::neuro(&problem, &params, go_on)?.plan
        }
        "perx" => {
            // The study's factors.
            let (delta, base_factor) = match scenario {
                "s2" => (1.5, 1.0),
                "s3" => (3.0, 1.0),
                _ => (10.0, 0.5),
            };
            let params = placement::PerxParams { delta, base_factor, time: Some(time), ..Default::default() };
            placement::perx(&problem, &params, &worker()?, go_on)?
        }
        "scaloran" | "scaloran-cons" => {
            let reach = if name == "scaloran" { Reach::Average } else { Reach::Own };
            let params = placement::ScalOranParams { reach, time: Some(time), ..Default::default() };
            placement::scaloran(&problem, &params, &worker()?, go_on)?
        }
        other => bail!("{other:?} is no method"),
    })
}
