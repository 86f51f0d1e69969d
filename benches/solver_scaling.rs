//! `cargo bench --bench solver_scaling`: every placement method from one server to ten (or more), on the same instances, one after
//! another: time, revenue, bound and gap as a table, `scaling.json` and pictures in `target/solver-scaling`.
//!
//! ```sh
//! cargo bench --bench solver_scaling
//! cargo bench --bench solver_scaling -- --servers 1,2,4 --methods lns,decomposed --time-limit 25 --seeds 3
//! cargo bench --bench solver_scaling -- --servers 100,1000 --methods lns,decomposed --time-limit 600 --seeds 1 --scenarios s1
//! ```
#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use neuro_cli::output::table;
use neuro_cli::report::{Inputs, Report};
use neuro_data::Catalogue;
use neuro_data::files::write_atomic;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::Limits;
use neuro_opt::placement::{self, Problem, Profiles};
use neuro_opt::solver::cbc::Cbc;
use neuro_profiler::Bundle;
use neuro_profiler::baselines::Reach;
use serde_json::{Value, json};

#[derive(Parser)]
struct Args {
    /// Numbers of servers.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,6,8,10")]
    servers: Vec<usize>,
    /// Requests a server.
    #[arg(long, default_value_t = 15)]
    requests: usize,
    /// Instances of each scenario and number of servers.
    #[arg(long, default_value_t = 2)]
    seeds: u64,
    /// Scenarios.
    #[arg(long, value_delimiter = ',', default_value = "s1,s2,s3")]
    scenarios: Vec<String>,
    /// Methods; a name and `:monotone` decides by the monotone profilers.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "exact,decomposed,decomposed:monotone,lns,greedy,neuro,perx,scaloran,scaloran-cons,first-fit"
    )]
    methods: Vec<String>,
    /// Seconds that a method has for an instance.
    #[arg(long, default_value_t = 10.0)]
    time_limit: f64,
    /// By what latency bounds are multiplied.
    #[arg(long, default_value_t = 1.0)]
    tightness: f64,
    /// Kinds of the servers, the better first.
    #[arg(long, value_delimiter = ',', default_value = "edge-a,edge-b")]
    kinds: Vec<String>,
    /// Where bundles are: KIND, KIND-monotone, KIND-paper, KIND-perx, KIND-scaloran, KIND-scaloran-cons.
    #[arg(long)]
    bundles: Option<PathBuf>,
    /// Where results go.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What cargo gives.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let bundles = args.bundles.clone().unwrap_or_else(|| root.join("examples/data/bundles"));
    let out = args.out.clone().unwrap_or_else(|| root.join("target/solver-scaling"));
    std::fs::create_dir_all(&out)?;
    let catalogue = Catalogue::built_in();
    let mut rows: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    for scenario in &args.scenarios {
        for servers in &args.servers {
            for seed in 1..=args.seeds {
                let params = ScenarioParams {
                    requests: Some(args.requests * servers),
                    tightness: args.tightness,
                    kinds: args.kinds.clone(),
                    ..ScenarioParams::new(scenario.parse::<Scenario>()?, *servers, seed)
                };
                let instance = draw(&params, &catalogue)?;
                for method in args.methods.iter().filter(|method| *servers == 1 || !method.starts_with("exact")) {
                    let start = cpu_seconds();
                    let plan = solve(method, scenario, &instance, &bundles, &args.kinds, args.time_limit, &catalogue);
                    let cpu_s = cpu_seconds() - start;
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
        ("scaloran-cons", _) => "-scaloran-cons",
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
            placement::perx(&problem, &params, &Cbc, go_on)?
        }
        "scaloran" | "scaloran-cons" => {
            let reach = if name == "scaloran" { Reach::Average } else { Reach::Own };
            let params = placement::ScalOranParams { reach, time: Some(time), ..Default::default() };
            placement::scaloran(&problem, &params, &Cbc, go_on)?
        }
        other => bail!("{other:?} is no method"),
    })
}

/// CPU time of this process and all its threads (s).
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
