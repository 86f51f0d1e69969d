//! The evaluation, from simulated servers and the sample dataset to replayed plans of every method, as figures and tables.
//!
//! Everything is done by the `neuro` command; the lines that it runs are kept in the results.

#![allow(clippy::print_stderr, reason = "it tells what it runs")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use neuro_data::files::write_atomic;
use serde_json::{Value, json};

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
    #[arg(long, default_value_t = 1_050.0)]
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
    "--budget=200",
];

const SCENARIOS: [&str; 3] = ["s1", "s2", "s3"];
const KINDS: [&str; 2] = ["edge-a", "edge-b"];
/// Seconds of a simulated run.
const WINDOW: &str = "300";
/// Methods at work at once, each with one thread.
const LANES: usize = 2;
/// Seconds that anything but the solving may take of a method on an instance: to start, and to replay the plan.
const OVERHEAD_S: f64 = 3.0;
/// Seconds of the report and its pictures, at most.
const LAST_S: f64 = 30.0;

/// A profiler that is compared.
struct Recipe {
    name: &'static str,
    how: &'static str,
    /// Whether it learns from runs of pairs.
    pairs: bool,
    /// Whether a method decides by it, and so needs it for every kind of server.
    decides: bool,
}

const fn recipe(name: &'static str, how: &'static str) -> Recipe {
    Recipe { name, how, pairs: false, decides: false }
}

const RECIPES: [Recipe; 10] = [
    Recipe { decides: true, ..recipe("server-state", "--arch server-state --decay 0.1") },
    Recipe { decides: true, ..recipe("monotone", "--arch server-state --monotone --decay 0.1 --name monotone") },
    recipe("paper", "--arch paper"),
    recipe("paper-log", "--arch paper --log-space --name paper-log"),
    Recipe { pairs: true, decides: true, ..recipe("perx", "--arch perx") },
    Recipe { pairs: true, decides: true, ..recipe("scaloran", "--arch scaloran") },
    Recipe { pairs: true, ..recipe("scaloran-cons", "--arch scaloran-cons") },
    recipe("queueing", "--arch queueing"),
    recipe("trees", "--arch trees"),
    recipe("uncontended", "--arch uncontended"),
];

/// A way to decide: a method and what it decides by.
#[derive(Clone, Copy)]
struct Contender {
    /// Its name in tables and figures.
    name: &'static str,
    method: &'static str,
    profiler: &'static str,
    /// Seconds for each server, in those that are given.
    patience: f64,
}

const fn contender(name: &'static str, method: &'static str, profiler: &'static str, patience: f64) -> Contender {
    Contender { name, method, profiler, patience }
}

/// Compared on every instance; those that take longest come first, so that the lanes end together. The published method works through
/// the servers one after another and serves nobody on those that it does not come to: it is given the time that it needs.
const CONTENDERS: [Contender; 8] = [
    contender("neuro", "neuro", "paper-planned", 4.0),
    contender("decomposed", "decomposed", "planned", 1.0),
    contender("lns", "lns", "planned", 1.0),
    contender("perx", "perx", "perx", 1.0),
    contender("scaloran", "scaloran", "scaloran", 1.0),
    contender("scaloran-cons", "scaloran-cons", "scaloran", 1.0),
    contender("greedy", "greedy", "planned", 1.0),
    contender("first-fit", "first-fit", "planned", 1.0),
];
/// On one server there is a method for the proved optimum.
const EXACT: Contender = contender("exact", "exact", "planned", 1.0);
/// Ours once more by profilers that learned from other runs, on instances of this many servers.
const ABLATED: u32 = 4;
const ABLATIONS: [Contender; 4] = [
    contender("decomposed", "decomposed", "server-state", 1.0),
    contender("decomposed", "decomposed", "monotone", 1.0),
    contender("lns", "lns", "server-state", 1.0),
    contender("lns", "lns", "monotone", 1.0),
];

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

    fn limit_s(&self, contender: Contender, servers: u32) -> f64 {
        (self.per_server * contender.patience * f64::from(servers)).max(2.0)
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
        for old in ["evaluation", "plans", "show", "learned", "with-pairs"] {
            let old = args.work.join(old);
            if old.is_dir() {
                fs::remove_dir_all(&old)?;
            }
        }
        for round in 1..=args.rounds {
            let planned = args.work.join(format!("planned-{round}"));
            if planned.is_dir() {
                fs::remove_dir_all(planned)?;
            }
        }
        fs::create_dir_all(args.work.join("plans"))?;
        fs::create_dir_all(&args.out)?;
        let (log, rows, ablations) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { neuro, started: Instant::now(), log, rounds: 0, rows, ablations, left: 0, args })
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

    /// What was measured on a real machine: the sample dataset.
    fn measured(&mut self) -> Result<()> {
        let figures = self.args.out.join("measured").display().to_string();
        self.run(&format!("report examples/data/dataset --out WORK/measured.html --figures {figures}"))?;
        Ok(())
    }

    /// Pairs and random mixes on both kinds of server.
    fn campaigns(&mut self) -> Result<()> {
        let runs = self.args.runs;
        for (seed, kind) in (1..).zip(KINDS) {
            let common = format!("--target sim --kind {kind} --duration {WINDOW} --seed {seed} --json");
            self.run(&format!("run pairwise {common} --out WORK/{kind}-pairs"))?;
            self.run(&format!("run random --runs {runs} --partly 0.5 {common} --out WORK/{kind}"))?;
            self.run(&format!("ingest WORK/{kind}/runs WORK/{kind}-pairs/runs --out WORK/with-pairs/{kind} --json"))?;
        }
        Ok(())
    }

    /// All profilers of the better kind, and of the other what methods decide by.
    fn profilers(&mut self) -> Result<()> {
        for kind in KINDS {
            if kind == KINDS[0] {
                self.run(&format!("data datapoints WORK/{kind}/dataset --set reference"))?;
            }
            for recipe in RECIPES.iter().filter(|recipe| kind == KINDS[0] || recipe.decides) {
                let Recipe { name, how, .. } = recipe;
                let dataset = if recipe.pairs { format!("with-pairs/{kind}") } else { format!("{kind}/dataset") };
                self.run(&format!("train WORK/{dataset} {how} --out WORK/profilers/{kind}/{name}"))?;
            }
        }
        Ok(())
    }

    /// Profilers that learn from what they make a search choose, and the published network on the same runs.
    fn planned(&mut self) -> Result<()> {
        let of = |name: &str| KINDS.map(|kind| format!("--profile {kind}=WORK/profilers/{kind}/{name}")).join(" ");
        let plans = self.args.plans;
        let mut before = "monotone";
        for round in 1..=self.args.rounds {
            // Another round would leave less than half of the time to compare what was learned.
            if round > 1 && self.elapsed_s() > 0.4 * self.args.budget {
                break;
            }
            let out = format!("WORK/planned-{round}");
            let line = format!(
                "run planned --target sim --plans {plans} --servers 8 --duration {WINDOW} --seed 90{round} --out {out}"
            );
            self.run(&format!("{line} {} --json", of(before)))?;
            for kind in KINDS {
                self.run(&format!("ingest {out}/runs WORK/{kind}/runs --out WORK/learned/{kind} --json"))?;
                let how = "--all-kinds --monotone --decay 0.1 --steps 30000 --name planned";
                self.run(&format!(
                    "train WORK/learned/{kind} --server {kind} {how} --out WORK/profilers/{kind}/planned"
                ))?;
            }
            before = "planned";
            self.rounds = round;
        }
        for kind in KINDS {
            self.run(&format!("data datapoints WORK/learned/{kind} --set reference"))?;
            let how = "--all-kinds --arch paper --log-space --name paper-planned";
            let out = format!("WORK/profilers/{kind}/paper-planned");
            self.run(&format!("train WORK/learned/{kind} --server {kind} {how} --out {out}"))?;
        }
        Ok(())
    }

    /// The profilers side by side on random runs that none has seen.
    fn judge(&mut self) -> Result<()> {
        let kind = KINDS[0];
        let bundles: Vec<String> =
            RECIPES.iter().map(|recipe| format!("WORK/profilers/{kind}/{}", recipe.name)).collect();
        self.run(&format!("evaluate WORK/{kind}/dataset {} --out WORK/evaluation --json", bundles.join(" ")))?;
        Ok(())
    }

    /// Every method on the same instances, each plan replayed.
    fn comparison(&mut self) -> Result<()> {
        for seed in 1..=self.args.seeds {
            for servers in self.args.servers.clone() {
                for scenario in SCENARIOS {
                    self.instance(scenario, servers, seed)?;
                }
            }
        }
        let text = serde_json::to_string_pretty(&json!({ "rows": self.rows, "ablations": self.ablations }))?;
        write_atomic(&self.args.work.join("scaling.json"), text.as_bytes())?;
        write_atomic(&self.args.out.join("scaling.json"), text.as_bytes())?;
        Ok(())
    }

    /// All methods on one instance, or none where the time would not do.
    fn instance(&mut self, scenario: &str, servers: u32, seed: u64) -> Result<()> {
        let mut contenders: Vec<(Contender, bool)> = CONTENDERS.map(|contender| (contender, false)).to_vec();
        if servers == 1 {
            contenders.push((EXACT, false));
        }
        if servers == ABLATED {
            contenders.extend(ABLATIONS.map(|contender| (contender, true)));
        }
        let longest: f64 = contenders.iter().map(|(c, _)| self.args.limit_s(*c, servers) + OVERHEAD_S).sum();
        let lane = contenders.iter().map(|(c, _)| self.args.limit_s(*c, servers) + OVERHEAD_S).fold(0.0, f64::max);
        // Whoever begins last ends within a lane's share of the rest and its own time.
        if self.elapsed_s() + longest / LANES as f64 + lane / 2.0 > self.args.budget {
            self.left += 1;
            return Ok(());
        }
        let name = format!("{}/plans/{scenario}-{servers}-{seed}", self.args.work.display());
        self.tell(&format!("{scenario}, {servers} servers, seed {seed}: {} plans and their replays", contenders.len()));
        let draw = format!("requests --scenario {scenario} --servers {servers} --seed {seed} --out {name}.json");
        call(&self.neuro, &draw, &mut self.log)?;
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..LANES {
                scope.spawn(|| {
                    while let Some((contender, _)) = contenders.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let compared = self.compare(&name, scenario, servers, seed, *contender);
                        if let Ok(mut done) = done.lock() {
                            done.push((contender.name, contender.profiler, compared));
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        // In the order of the table, whoever was done first.
        for (contender, is_ablation) in contenders {
            let is_it =
                |(name, profiler, _): &(&str, &str, _)| (*name, *profiler) == (contender.name, contender.profiler);
            let Some(at) = done.iter().position(is_it) else { continue };
            let (row, lines) = done.swap_remove(at).2?;
            self.log.extend(lines);
            if is_ablation { self.ablations.push(row) } else { self.rows.push(row) }
        }
        Ok(())
    }

    /// One method on one instance: the row of the table, and what was run.
    fn compare(
        &self,
        name: &str,
        scenario: &str,
        servers: u32,
        seed: u64,
        of: Contender,
    ) -> Result<(Value, Vec<Line>)> {
        let Contender { method, profiler, .. } = of;
        let more = match (method, scenario) {
            ("perx", "s1") => "--delta 10 --base-factor 0.5",
            ("perx", "s2") => "--delta 1.5 --base-factor 1",
            ("perx", _) => "--delta 3 --base-factor 1",
            _ => "",
        };
        let work = self.args.work.display();
        let profiles = KINDS.map(|kind| format!("--profile {kind}={work}/profilers/{kind}/{profiler}")).join(" ");
        let folder = format!("{name}-{method}-{profiler}");
        fs::create_dir_all(&folder)?;
        let limit = self.args.limit_s(of, servers);
        let mut row = json!({
            "scenario": scenario, "servers": servers, "requests": 15 * servers, "seed": seed, "method": of.name,
            "profiler": profiler, "seconds": null, "revenue": null, "bound": null, "gap": null, "served": null,
            "violated": null, "revenue_kept": null, "fault": null,
        });
        let mut log = Vec::new();
        let solve = format!(
            "solve --instance {name}.json --method {method} --time-limit {limit}s --workers 1 --seed {seed} {profiles} {more} \
             --out {folder}/plan.json --json"
        );
        let solved = call(&self.neuro, &solve, &mut log).and_then(|text| Ok(serde_json::from_str::<Value>(&text)?));
        let solved = match solved {
            Ok(solved) => solved,
            Err(fault) => {
                row["fault"] = json!(fault.to_string());
                return Ok((row, log));
            }
        };
        let replay = format!(
            "replay --plan {folder}/plan.json --instance {name}.json --target sim --duration {WINDOW} --seed {seed} --out {folder} --json"
        );
        let replay: Value = serde_json::from_str(&call(&self.neuro, &replay, &mut log)?)?;
        let served: BTreeSet<&str> =
            solved["assignments"].as_array().into_iter().flatten().filter_map(|a| a["request"].as_str()).collect();
        let broken = replay["requests"].as_array().into_iter().flatten().filter(|r| r["violated"] == json!(true));
        row["served"] = json!(served.len());
        row["violated"] = json!(broken.count());
        row["revenue_kept"] = replay["revenue_kept"].clone();
        row["revenue"] = solved["objective"].clone();
        for field in ["seconds", "bound", "gap"] {
            row[field] = solved[field].clone();
        }
        Ok((row, log))
    }

    /// The page, its pictures, and the README beside them.
    fn write(&mut self) -> Result<()> {
        let figures = self.args.out.display().to_string();
        // One plan is shown server by server: ours with a proof, on four servers.
        let shown = self.args.work.join("plans/s1-4-1-decomposed-planned");
        let mut folders = vec![format!("WORK/{}-pairs/dataset", KINDS[0]), "WORK/evaluation".to_owned()];
        if shown.join("replay.json").exists() {
            let show = self.args.work.join("show");
            fs::create_dir_all(&show)?;
            for name in ["plan.json", "instance.json", "replay.json"] {
                fs::copy(shown.join(name), show.join(name))?;
            }
            folders.push("WORK/show".to_owned());
        }
        fs::copy(self.args.work.join("scaling.json"), self.args.work.join("evaluation/scaling.json"))?;
        self.run(&format!("report {} --out WORK/report.html --figures {figures}", folders.join(" ")))?;
        let made = Made::by(&self.run("version --json")?)?;
        for (file, what, samples) in FIGURES {
            let path = self.args.out.join(file);
            if path.exists() {
                let svg = fs::read_to_string(&path)?;
                let of = format!("{what}. {}. {}", samples.of(self), made.text());
                write_atomic(&path, described(&svg, &of).as_bytes())?;
            }
        }
        write_atomic(&self.args.out.join("README.md"), self.readme(&made)?.as_bytes())?;
        eprintln!("written: {figures} and {}", self.args.work.join("report.html").display());
        Ok(())
    }

    fn readme(&self, made: &Made) -> Result<String> {
        let (total, budget) = (self.elapsed_s(), self.args.budget);
        let mut text = format!(
            "# Results\n\n`make figures` fills this folder; it took {total:.0} s. {}.\n\nSimulated servers `edge-a` and `edge-b` as built in, \
             runs of {WINDOW} simulated seconds, {} random runs a kind of server, {} rounds of {} plans that were learned from. Seeds stand in \
             the commands below, and each picture tells in its description (`<desc>`) what it was made from. What depends on time limits \
             differs from machine to machine; the rest does not.\n\n[`targets.md`](targets.md) holds the targets of the project and what was \
             measured.\n\n",
            made.text(),
            self.args.runs,
            self.rounds,
            self.args.plans,
        );
        text += "## Figures\n\n| figure | what it shows | from |\n|---|---|---|\n";
        for (file, what, samples) in FIGURES {
            if self.args.out.join(file).exists() {
                let _ = writeln!(text, "| [`{file}`]({file}) | {what} | {} |", samples.of(self));
            }
        }
        text += "\n## Profilers\n\n";
        text += &profiler_table(&self.args.work.join("evaluation/evaluation.json"))?;
        let _ = write!(
            text,
            "\n`paper` is the published recipe, `paper-log` the same network trained on logarithms for longer; both learn from the random \
             runs, as `server-state` and `monotone` do. An error of 100 % with a bias of −100 % is a network that has collapsed to zero, which \
             the published recipe does from some seeds. `perx` and `scaloran` learn from the runs of pairs, and their margins from random ones.\n\n## Methods\n\n\
             Each method decides on the same instances with one thread, {LANES} of them at a time, within {} s a server (two at least; \
             `neuro`, which goes through the servers one after another, four times that). `neuro` is the published algorithm on the published \
             network, trained on logarithms on the same random and planned runs as the `server-state` profilers that `decomposed`, `exact`, \
             `lns` and `greedy` decide by (monotone; random runs and the plans of earlier profilers, `neuro run planned`). `perx`, `scaloran` and \
             `scaloran-cons` are mixed-integer programs in CBC on their own curves; `first-fit` looks at memory alone. The study gave such \
             programs two to 35 minutes. Every plan is replayed on the simulated servers; *kept* is the revenue of the promises that held. \
             In brackets: least and most of the instances, and for shares Wilson's 95 % interval as if promises were independent.\n\n\
             All instances of two and more servers, summed:\n\n",
            self.args.per_server,
        );
        text += &summary_table(&self.rows);
        text += "\nScenario by scenario:\n\n";
        text += &method_table(&self.rows);
        if !self.ablations.is_empty() {
            let _ = write!(
                text,
                "\n### What the profilers learned from\n\nThe same methods on {ABLATED} servers by profilers that saw random runs alone \
                 (`server-state`, and `monotone`, whose networks cannot predict that more load is faster), and by those that saw plans too.\n\n"
            );
            let is_same = |row: &&Value| {
                row["servers"] == json!(ABLATED) && self.ablations.iter().any(|other| other["method"] == row["method"])
            };
            let all: Vec<Value> = self.ablations.iter().chain(self.rows.iter().filter(is_same)).cloned().collect();
            text += &ablation_table(&all);
        }
        if self.left > 0 {
            let _ = writeln!(
                text,
                "\n{} instances were left out, for all that is begun has to end in {budget:.0} s.",
                self.left
            );
        }
        let faults: Vec<&Value> =
            self.rows.iter().chain(&self.ablations).filter(|row| row["fault"].is_string()).collect();
        if !faults.is_empty() {
            text += "\nWhat failed:\n\n";
            for row in faults {
                let _ = writeln!(
                    text,
                    "- {} on {} servers of {}, seed {}: {}",
                    word(row, "method"),
                    row["servers"],
                    word(row, "scenario"),
                    row["seed"],
                    word(row, "fault")
                );
            }
        }
        text += "\n## Commands\n\n```sh\n";
        let is_comparison = |line: &str| line.contains("/plans/");
        for (line, seconds) in self.log.iter().filter(|(line, _)| !is_comparison(line)) {
            let _ = writeln!(text, "{line}  # {seconds:.1} s");
        }
        text += "\n# and for each scenario, number of servers, seed and method, such as\n";
        let first = self.log.iter().position(|(line, _)| is_comparison(line)).unwrap_or(self.log.len());
        for (line, seconds) in self.log.iter().skip(first).take(3) {
            let _ = writeln!(text, "{line}  # {seconds:.1} s");
        }
        Ok(text + "```\n")
    }
}

/// What made the results.
struct Made {
    tool: String,
    cbc: String,
    host: String,
}

impl Made {
    fn by(version: &str) -> Result<Self> {
        let version: Value = serde_json::from_str(version)?;
        let (tool, commit) = (word(&version["tool"], "version"), word(&version["tool"], "commit"));
        Ok(Self { tool: format!("{tool} ({commit})"), cbc: word(&version, "cbc").to_owned(), host: host() })
    }

    fn text(&self) -> String {
        format!("Made by neuro {} with CBC {} on {}", self.tool, self.cbc, self.host)
    }
}

/// The machine that this runs on.
fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let cpu = name.map_or("an unknown processor", |(_, name)| name);
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    format!("{cpu}, {cpus} logical CPUs, {} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim())
}

/// The picture with a description, which stands behind its start tag.
fn described(svg: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "");
    match svg.split_once('>') {
        Some((tag, rest)) => format!("{tag}>\n<desc>{text}.</desc>{rest}"),
        None => svg.to_owned(),
    }
}

/// What a figure was made from.
#[derive(Clone, Copy)]
enum Samples {
    Measured,
    Pairs,
    Unseen,
    Instances,
    Plan,
}

impl Samples {
    fn of(self, figures: &Figures) -> String {
        let seeds: BTreeSet<u64> = figures.rows.iter().filter_map(|row| row["seed"].as_u64()).collect();
        let instances: BTreeSet<(&str, u64, u64)> = figures
            .rows
            .iter()
            .map(|row| {
                let of = |field: &str| row[field].as_u64().unwrap_or_default();
                (word(row, "scenario"), of("servers"), of("seed"))
            })
            .collect();
        match self {
            Self::Measured => {
                "the sample dataset, a machine of two cores; its manifests hold seeds and host".to_owned()
            }
            Self::Pairs => "990 simulated runs, seed 1".to_owned(),
            Self::Unseen => format!("runs of {} random ones, seed 1, that no profiler saw", figures.args.runs),
            Self::Instances => {
                let last = seeds.last().copied().unwrap_or_default();
                let seeds = if last > 1 { format!("seeds 1 to {last}") } else { "seed 1".to_owned() };
                format!("{} instances, {seeds}", instances.len())
            }
            Self::Plan => "`decomposed` on scenario s1, four servers, seed 1".to_owned(),
        }
    }
}

const FIGURES: [(&str, &str, Samples); 16] = [
    (
        "measured/heatmap.svg",
        "Measured on two cores: how much longer each of five services takes beside each other one",
        Samples::Measured,
    ),
    ("measured/curves.svg", "The same as measured points with 95 % intervals", Samples::Measured),
    ("measured/distributions.svg", "Service times over the measured tenants", Samples::Measured),
    (
        "heatmap.svg",
        "Simulated server `edge-a`: slowdown of all nine services beside the heaviest load",
        Samples::Pairs,
    ),
    ("curves.svg", "Its contention curves, measured points and fitted PERX sigmoids", Samples::Pairs),
    ("distributions.svg", "Service times over its tenants", Samples::Pairs),
    ("error-densities.svg", "Densities of the relative error of all profilers", Samples::Unseen),
    ("error-by-load.svg", "Median error by offered work", Samples::Unseen),
    ("error-by-neighbours.svg", "Median error by number of neighbours", Samples::Unseen),
    ("scaling-revenue.svg", "Planned revenue against servers, by scenario and method", Samples::Instances),
    ("scaling-revenue-kept.svg", "Revenue of the promises that held in replay", Samples::Instances),
    ("scaling-acceptance.svg", "Share of the requests that are served", Samples::Instances),
    ("scaling-seconds.svg", "Execution time", Samples::Instances),
    ("scaling-violations.svg", "Share of the promises that were broken in replay", Samples::Instances),
    ("scaling-gap.svg", "Proved gap", Samples::Instances),
    ("trace.svg", "Incumbent and bound over time", Samples::Plan),
];

fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("?")
}

fn profiler_table(path: &Path) -> Result<String> {
    let evaluation: Value = serde_json::from_slice(&fs::read(path)?)?;
    let mut text = format!(
        "Relative errors on {} unseen random runs of `edge-a`, %. Noise floor: the median error that remains of a perfect prediction.\n\n",
        evaluation["test_runs"]
    );
    text += "| profiler | statistic | tenants | median | p90 | signed median | broken promises | noise floor |\n|---|---|---|---|---|---|---|---|\n";
    for row in evaluation["models"].as_array().into_iter().flatten() {
        let percent = |field: &str| row[field].as_f64().map_or("–".to_owned(), |x| format!("{:.1}", 100.0 * x));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            word(row, "name"),
            word(row, "target"),
            row["count"],
            percent("median"),
            percent("p90"),
            percent("signed_median"),
            percent("broken_rate"),
            percent("noise_floor")
        );
    }
    Ok(text)
}

/// Some rows as one line of a table.
struct Group<'a>(Vec<&'a Value>);

impl Group<'_> {
    fn values(&self, field: &str) -> Vec<f64> {
        self.0.iter().filter_map(|row| row[field].as_f64()).collect()
    }

    fn sum(&self, field: &str) -> f64 {
        self.values(field).iter().sum::<f64>() + 0.0
    }

    /// Instances; where a plan is missing, how many have one.
    fn plans(&self) -> String {
        let (plans, instances) = (self.values("served").len(), self.0.len());
        if plans == instances { instances.to_string() } else { format!("{plans} of {instances}") }
    }

    /// Mean and, of several, least and most.
    fn mean(&self, field: &str, scale: f64, decimals: usize) -> String {
        let values: Vec<f64> = self.values(field).iter().map(|value| value * scale + 0.0).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (least, most) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), value| (l.min(*value), m.max(*value)));
        match values.len() {
            0 => "–".to_owned(),
            1 => format!("{mean:.decimals$}"),
            _ => format!("{mean:.decimals$} [{least:.decimals$}–{most:.decimals$}]"),
        }
    }

    /// Requests that are served, of those of the plans that there are, %.
    fn served(&self) -> String {
        let asked: f64 =
            self.0.iter().filter(|row| row["served"].is_number()).filter_map(|row| row["requests"].as_f64()).sum();
        if asked > 0.0 { format!("{:.1}", 100.0 * self.sum("served") / asked) } else { "–".to_owned() }
    }

    /// Promises that are broken, with Wilson's 95 % interval, %.
    fn broken(&self) -> String {
        let (broken, served) = (self.sum("violated"), self.sum("served"));
        if served == 0.0 {
            return "–".to_owned();
        }
        let (low, high) = wilson(broken, served);
        format!("{:.1} [{:.1}–{:.1}]", 100.0 * broken / served, 100.0 * low, 100.0 * high)
    }
}

/// Wilson's 95 % interval of a share (E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927,
/// doi:10.1080/01621459.1927.10502953).
fn wilson(hits: f64, of: f64) -> (f64, f64) {
    const Z: f64 = 1.96;
    let (share, square) = (hits / of, Z * Z / of);
    let middle = (share + square / 2.0) / (1.0 + square);
    let half = Z * (share * (1.0 - share) / of + square / of / 4.0).sqrt() / (1.0 + square);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// The groups of rows that agree in some fields, in the order in which they first occur.
fn groups<'a>(rows: impl Iterator<Item = &'a Value>, fields: &[&str]) -> Vec<(Vec<&'a Value>, Group<'a>)> {
    let mut groups: Vec<(Vec<&Value>, Group<'_>)> = Vec::new();
    for row in rows {
        let key: Vec<&Value> = fields.iter().map(|field| &row[field]).collect();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.0.push(row),
            None => groups.push((key, Group(vec![row]))),
        }
    }
    groups
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn summary_table(rows: &[Value]) -> String {
    let mut text =
        String::from("| method | instances | revenue | kept | served % | broken % |\n|---|---|---|---|---|---|\n");
    for (key, group) in groups(rows.iter().filter(|row| row["servers"] != json!(1)), &["method"]) {
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {} | {} |",
            text_of(key[0]),
            group.plans(),
            group.sum("revenue"),
            group.sum("revenue_kept"),
            group.served(),
            group.broken(),
        );
    }
    text
}

fn method_table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| scenario | servers | method | instances | revenue | kept | served % | broken % | gap % | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut groups = groups(rows.iter(), &["scenario", "servers", "method"]);
    groups.sort_by_key(|(key, _)| (text_of(key[0]), key[1].as_u64()));
    for (key, group) in groups {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            text_of(key[0]),
            text_of(key[1]),
            text_of(key[2]),
            group.plans(),
            group.mean("revenue", 1.0, 1),
            group.mean("revenue_kept", 1.0, 1),
            group.served(),
            group.broken(),
            group.mean("gap", 100.0, 2),
            group.mean("seconds", 1.0, 2),
        );
    }
    text
}

fn ablation_table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| method | profiler | instances | revenue | kept | broken % | gap % |\n|---|---|---|---|---|---|---|\n",
    );
    let mut groups = groups(rows.iter(), &["method", "profiler"]);
    groups.sort_by_key(|(key, _)| text_of(key[0]));
    for (key, group) in groups {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} | {} | {} |",
            text_of(key[0]),
            text_of(key[1]),
            group.plans(),
            group.sum("revenue"),
            group.sum("revenue_kept"),
            group.broken(),
            group.mean("gap", 100.0, 2),
        );
    }
    text
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
    fn shares_have_wilson_s_interval() {
        // Of Wilson's formula by hand: 5 of 100, z = 1.96.
        let (low, high) = wilson(5.0, 100.0);
        assert!((low - 0.021_54).abs() < 1e-5 && (high - 0.111_75).abs() < 1e-5, "{low} {high}");
        assert_eq!(wilson(0.0, 10.0).0, 0.0);
        assert_eq!(wilson(10.0, 10.0).1, 1.0);
    }

    #[test]
    fn a_table_has_a_line_for_each_group() {
        let row = |method: &str, revenue: f64| {
            json!({ "scenario": "s1", "servers": 2, "requests": 30, "method": method, "revenue": revenue,
                "revenue_kept": revenue / 2.0, "served": 10, "violated": 1, "gap": null, "seconds": 1.0 })
        };
        let rows = [row("a", 10.0), row("b", 1.0), row("a", 20.0)];
        let table = method_table(&rows);
        assert!(table.contains("| s1 | 2 | a | 2 | 15.0 [10.0–20.0] | 7.5 [5.0–10.0] | 33.3 | 10.0 ["), "{table}");
        assert_eq!(table.lines().count(), 4);
        assert!(summary_table(&rows).contains("| a | 2 | 30.0 | 15.0 |"));
    }

    #[test]
    fn a_description_stands_in_its_picture() {
        let svg = described("<svg width=\"1\"><g/></svg>", "a < b");
        assert_eq!(svg, "<svg width=\"1\">\n<desc>a &lt; b.</desc><g/></svg>");
    }

    #[test]
    fn the_small_evaluation_is_one_and_takes_other_options() {
        let small = Evaluation::small(vec!["--servers=6".into(), "--per-server=2".into()]);
        assert_eq!((small.runs, small.servers, small.per_server), (400, vec![6], 2.0));
    }
}
