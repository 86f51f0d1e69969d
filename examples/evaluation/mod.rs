//! The evaluation, from simulated servers and the sample dataset to replayed plans of every method, as figures and tables.
//!
//! Everything is done by the `neuro` command; the lines that it runs are kept in the results.

#![allow(clippy::print_stderr, reason = "it tells what it runs")]

mod comparison;
mod page;
mod pictures;
mod profilers;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;

use profilers::MARGIN_ROUNDS;

/// How much of it.
#[derive(Clone, Debug, Parser)]
pub struct Evaluation {
    /// Where the figures and tables go.
    #[arg(long, default_value = "docs/results")]
    pub out: PathBuf,
    /// Where runs, profilers and plans go.
    #[arg(long, default_value = "target/figures")]
    pub work: PathBuf,
    /// The `neuro` command [default: the one beside this program]
    #[arg(long)]
    pub neuro: Option<PathBuf>,
    /// Random runs on each kind of server.
    #[arg(long, default_value_t = 1000)]
    pub runs: u32,
    /// Rounds of running plans and learning from them.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Plans a round, each for eight servers.
    #[arg(long, default_value_t = 60)]
    pub plans: u32,
    /// Numbers of servers.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,6,8,10")]
    pub servers: Vec<u32>,
    /// Instances of each scenario and number of servers, as far as the time allows.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Seconds that a method has for each server of an instance, two at least.
    #[arg(long, default_value_t = 1.0)]
    pub per_server: f64,
    /// Seconds after which nothing is begun that could take longer; what is left out is told.
    #[arg(long, default_value_t = 840.0)]
    pub budget: f64,
}

/// An evaluation of minutes.
const SMALL: [&str; 8] = [
    "--out=neuro-orchestrate/results",
    "--work=neuro-orchestrate",
    "--runs=400",
    "--rounds=2",
    "--plans=40",
    "--servers=2,4",
    "--seeds=1",
    "--budget=240",
];

const KINDS: [&str; 2] = ["edge-a", "edge-b"];
/// Seconds of a simulated run.
const WINDOW: &str = "300";
/// Methods at work at once, each with one thread.
const LANES: usize = 2;
/// Seconds of the report and its pictures, at most.
const LAST_S: f64 = 30.0;

impl Evaluation {
    /// What fits into five minutes, with options that replace what it is made of.
    pub fn small(given: Vec<String>) -> Self {
        let name = |option: &str| option.split('=').next().unwrap_or(option).to_owned();
        let kept = SMALL.map(str::to_owned).into_iter().filter(|option| !given.iter().any(|g| name(g) == name(option)));
        Self::parse_from(std::iter::once("orchestrate".to_owned()).chain(kept).chain(given.clone()))
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// A command fails, or a file cannot be read or written.
    pub fn run(self) -> Result<()> {
        let mut figures = Figures::new(self)?;
        figures.measured()?;
        figures.campaigns()?;
        figures.profilers()?;
        figures.planned()?;
        figures.judge()?;
        figures.comparison()?;
        figures.write()
    }
}

/// A command line and the seconds that it took.
type Line = (String, f64);

struct Figures {
    args: Evaluation,
    neuro: PathBuf,
    started: Instant,
    log: Vec<Line>,
    rounds: u32,
    /// Trainings of the published recipe that came to nothing, and all.
    collapsed: (usize, usize),
    rows: Vec<Value>,
    /// Rows of the same form, of profilers that learned otherwise.
    ablations: Vec<Value>,
    left: usize,
}

/// Runs `neuro` and answers what it printed; exit code 3, done with findings, is no fault.
fn call(neuro: &Path, line: &str, log: &mut Vec<Line>) -> Result<String> {
    let started = Instant::now();
    let output = Command::new(neuro)
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .env("RUST_BACKTRACE", "0")
        .output()
        .with_context(|| format!("cannot run {}", neuro.display()))?;
    log.push((format!("neuro {line}"), started.elapsed().as_secs_f64()));
    if !matches!(output.status.code(), Some(0 | 3)) {
        let complaint = String::from_utf8_lossy(&output.stderr);
        // Where the command stands on this machine is nobody's business.
        bail!("neuro {line}: {}", complaint.trim().replace(&neuro.display().to_string(), "neuro"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Figures {
    fn new(args: Evaluation) -> Result<Self> {
        let neuro = match &args.neuro {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        // Runs that are there are kept; what is made of them is made anew.
        for old in ["evaluation", "plans", "show", "learned", "unlearned", "with-pairs"] {
            let old = args.work.join(old);
            if old.is_dir() {
                fs::remove_dir_all(&old)?;
            }
        }
        let rounds = (1..=args.rounds).map(|round| format!("planned-{round}"));
        for planned in rounds.chain((1..=MARGIN_ROUNDS).map(|round| format!("margins-{round}"))) {
            let planned = args.work.join(planned);
            if planned.is_dir() {
                fs::remove_dir_all(planned)?;
            }
        }
        fs::create_dir_all(args.work.join("plans"))?;
        fs::create_dir_all(&args.out)?;
        let (log, rows, ablations) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { neuro, started: Instant::now(), log, rounds: 0, collapsed: (0, 0), rows, ablations, left: 0, args })
    }

    fn elapsed_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Tells what is being done, and when all of it will be done at the latest.
    fn tell(&self, what: &str) {
        let elapsed = self.elapsed_s();
        let left = (self.args.budget + LAST_S - elapsed).max(0.0);
        eprintln!("[{elapsed:4.0} s, at most {left:4.0} s left] {what}");
    }

    /// Runs `neuro` with the folder of work in the place of `WORK`, and tells so.
    fn run(&mut self, line: &str) -> Result<String> {
        let line = line.replace("WORK", &self.args.work.display().to_string());
        self.tell(&format!("neuro {line}"));
        call(&self.neuro, &line, &mut self.log)
    }
}

/// `target/<profile>/neuro`, of the profile that this example was built with.
fn beside_this_program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("this program lies in no folder")?;
    let neuro = folder.join("neuro");
    // `cargo run --example` builds the example alone, and tells where cargo is.
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| !neuro.is_file()) {
        let profile = if folder.ends_with("release") { "release" } else { "dev" };
        Command::new(cargo).args(["build", "-p", "neuro-cli", "--profile", profile]).status()?;
    }
    if !neuro.is_file() {
        bail!(
            "{} is not there: run `cargo build -p neuro-cli` first, or name the command with --neuro",
            neuro.display()
        );
    }
    Ok(neuro)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_evaluation_is_one_and_takes_other_options() {
        let small = Evaluation::small(vec!["--servers=6".into(), "--per-server=2".into()]);
        assert_eq!((small.runs, small.servers, small.per_server), (400, vec![6], 2.0));
    }
}
