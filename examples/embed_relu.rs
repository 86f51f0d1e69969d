//! Optimises c·f(x) for a ReLU network f over a box and rows a·x ≤ b, or proves a limit on it.
//!
//! `cargo run --example embed_relu -- examples/embed_relu.json`; `--help` lists the options. The file:
//! `{"layers":[{"W":[[…]],"b":[…],"relu":true},…],"lb":[…],"ub":[…],"a":[…],"b":…,"c":[…],"sense":"max"}`, W is out × in.
//! `--solver highs` needs `--features neuro-examples/highs`, which builds HiGHS with cmake and libclang.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};
use neuro_cli::output;
use neuro_opt::formulation::{Cuts, Encoding, Milp};
use neuro_opt::solver::MipSolver;
#[cfg(feature = "highs")]
use neuro_opt::solver::highs::Highs;
use neuro_opt::solver::{cbc::Cbc, worker};
use neuro_opt::{Level, Limits, NetworkMethod, NetworkOutcome, PrimalStatus, Search, Tightening, Verdict};
use neuro_opt::{files, tighten, verify};
use serde_json::json;

/// Optimise over a ReLU network, or prove a limit on its output.
#[derive(Debug, Parser)]
struct Args {
    /// The problem, as JSON.
    #[arg(required_unless_present = "worker")]
    file: Option<PathBuf>,
    /// `search`: branch and bound over the network's units; the others solve a mixed-integer program.
    #[arg(long, value_enum, default_value = "search")]
    solver: Solver,
    /// How units become constraints, for mixed-integer programs.
    #[arg(long, value_enum, default_value = "big-m-preactivation")]
    encoding: EncodingArg,
    /// How far bounds are tightened: `interval`, `crown`, `rows`, `lp`, `lp-cutoff` or `mip`; by default what the solver is best with.
    #[arg(long, value_parser = level)]
    tightening: Option<Level>,
    /// Cuts in the mixed-integer program.
    #[arg(long, value_enum, default_value = "none")]
    cuts: CutsArg,
    /// Wall-clock limit, such as 60, 60s or 2m.
    #[arg(long, value_parser = duration, default_value = "60s")]
    time_limit: Duration,
    /// Threads of `search`; with more than one, equally good inputs may change from run to run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Prove or refute c·f(x) ≤ T for all x instead.
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    verify: Option<f64>,
    /// Write the mixed-integer program to this file, .mps or .lp, instead of solving it.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// One JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// Solves one program given on standard input with `--solver`.
    #[arg(long, hide = true)]
    worker: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Solver {
    Search,
    Cbc,
    Highs,
}

impl Solver {
    /// The solver of mixed-integer programs.
    fn mip(self) -> anyhow::Result<Box<dyn MipSolver>> {
        match self {
            Self::Search | Self::Cbc => Ok(Box::new(Cbc)),
            #[cfg(feature = "highs")]
            Self::Highs => Ok(Box::new(Highs)),
            #[cfg(not(feature = "highs"))]
            Self::Highs => {
                bail!("HiGHS is not in this build: add --features neuro-examples/highs, which needs cmake and libclang")
            }
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Cbc => "cbc",
            Self::Highs => "highs",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EncodingArg {
    BigM,
    BigMPreactivation,
    Sos1,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CutsArg {
    None,
    Crown,
    Hull,
}

fn level(text: &str) -> Result<Level, String> {
    let known = || format!("one of {}", Level::ALL.map(Level::id).join(", "));
    Level::ALL.into_iter().find(|level| level.id() == text).ok_or_else(known)
}

fn duration(text: &str) -> Result<Duration, String> {
    let (figure, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit: use ms, s, m or h")),
    };
    let seconds = figure.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds * factor).map_err(|error| error.to_string())
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let solver = args.solver.mip()?;
    if args.worker {
        worker::serve(solver.as_ref())?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = args.file.clone().context("no file given")?;
    let problem = files::read_problem(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let limits = Limits::of_time(args.time_limit);
    // In a process of its own: the limit then holds even if the solver overruns it.
    let arguments = ["--worker", "--solver", args.solver.id()].map(str::to_owned);
    let solver = worker::Worker::new(std::env::current_exe()?, arguments);
    let mut milp = Milp::new(&solver);
    milp.encoding = match args.encoding {
        EncodingArg::BigM => Encoding::BigM,
        EncodingArg::BigMPreactivation => Encoding::BigMPreactivation,
        EncodingArg::Sos1 => Encoding::Sos1,
    };
    milp.cuts = match args.cuts {
        CutsArg::None => Cuts::None,
        CutsArg::Crown => Cuts::Crown,
        CutsArg::Hull => Cuts::Hull,
    };
    let mut search = Search { threads: args.threads, ..Search::default() };
    if let Some(level) = args.tightening {
        milp.tightening = Tightening::up_to(level);
        search.tightening = Tightening::up_to(level);
    }

    if let Some(path) = &args.export {
        let tightened = tighten(&problem, &milp.tightening, &limits, Instant::now())?.context("the domain is empty")?;
        let (model, _, _) = milp.model(&problem, &tightened)?;
        let text = match path.extension().and_then(|extension| extension.to_str()) {
            Some("mps") => model.to_mps(),
            Some("lp") => model.to_lp(),
            _ => bail!("{}: the name must end in .mps or .lp", path.display()),
        };
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }

    let method: &dyn NetworkMethod = match args.solver {
        Solver::Search => &search,
        Solver::Cbc | Solver::Highs => &milp,
    };
    let go_on = &mut |_: &neuro_opt::Progress| ControlFlow::Continue(());
    let (verdict, outcome) = match args.verify {
        None => (None, method.optimise(&problem, &limits, go_on)?),
        Some(threshold) => {
            let (verdict, outcome) = verify(&problem, threshold, method, &limits, go_on)?;
            (Some(verdict), outcome)
        }
    };
    output::print(&if args.json { machine(verdict, &outcome)? } else { text(verdict, &outcome) });
    let nothing = outcome.outcome.primal() == PrimalStatus::None && verdict.is_none();
    let failed = nothing || matches!(verdict, Some(Verdict::Refuted | Verdict::Unknown));
    Ok(ExitCode::from(if failed { 3 } else { 0 }))
}

fn machine(verdict: Option<Verdict>, outcome: &NetworkOutcome) -> anyhow::Result<String> {
    let mut object = json!({
        "objective": outcome.outcome.objective,
        "x": outcome.x,
        "bound": outcome.outcome.bound,
        "gap": outcome.outcome.gap(),
        "termination": outcome.outcome.termination,
        "binaries_before": outcome.binaries_before(),
        "binaries_after": outcome.binaries_after(),
        "nodes": outcome.outcome.nodes,
        "seconds": outcome.outcome.seconds,
        "levels": outcome.levels,
        "repeated": outcome.repeated,
    });
    if let Some(verdict) = verdict {
        object["verdict"] = json!(verdict);
    }
    Ok(format!("{}\n", serde_json::to_string(&object)?))
}

fn text(verdict: Option<Verdict>, outcome: &NetworkOutcome) -> String {
    let figure = |value: Option<f64>| value.map_or("none".to_owned(), |value| value.to_string());
    let mut lines = String::new();
    if let Some(verdict) = verdict {
        lines += &format!("verdict      {}\n", json!(verdict).as_str().unwrap_or("unknown"));
    }
    lines += &format!("termination  {}\n", json!(outcome.outcome.termination).as_str().unwrap_or("unknown"));
    lines += &format!("objective    {}\n", figure(outcome.outcome.objective));
    lines += &format!("bound        {}\n", figure(outcome.outcome.bound));
    lines += &format!("gap          {}\n", figure(outcome.outcome.gap()));
    lines += &format!("x            {}\n", outcome.x.as_ref().map_or("none".to_owned(), |x| format!("{x:?}")));
    lines +=
        &format!("binaries     {} before tightening, {} after\n", outcome.binaries_before(), outcome.binaries_after());
    for level in &outcome.levels {
        let cutoff = level.cutoff.map_or(String::new(), |cutoff| format!(", for objectives as good as {cutoff}"));
        let (name, left, seconds) = (level.level.id(), level.phases.split, level.seconds);
        lines += &format!("  {name:<10} settled {}, {left} left, {seconds:.3} s{cutoff}\n", level.settled);
    }
    if let Some(why) = &outcome.repeated {
        lines += &format!("repeated     without the objective cutoff, since {why}\n");
    }
    lines += &format!("nodes        {}\nseconds      {:.3}\n", outcome.outcome.nodes, outcome.outcome.seconds);
    lines
}
