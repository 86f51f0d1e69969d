//! The evaluation, from simulated servers and the sample dataset to replayed plans of every method, as figures and tables.
//!
//! Everything is done by the `neuro` command; the lines that it runs are kept in the results.

#![allow(clippy::print_stderr, reason = "it tells what it runs")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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
    /// Plans a round.
    #[arg(long, default_value_t = 90)]
    pub plans: u32,
    /// Numbers of servers.
    #[arg(long, value_delimiter = ',', default_value = "2,4,6,8,10")]
    pub servers: Vec<u32>,
    /// Instances of each scenario and number of servers.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Methods compared.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "neuro,lns,decomposed,perx,scaloran,scaloran-cons,first-fit,greedy"
    )]
    pub methods: Vec<String>,
    /// Seconds that a method has for each instance.
    #[arg(long, default_value_t = 10)]
    pub time_limit: u64,
    /// Seconds for everything; instances that are left then are told.
    #[arg(long, default_value_t = 1_150)]
    pub budget: u64,
}

const SCENARIOS: [&str; 3] = ["s1", "s2", "s3"];
const KINDS: [&str; 2] = ["edge-a", "edge-b"];
/// Seconds of a simulated run.
const WINDOW: &str = "300";
/// The profilers that are compared: name of the bundle, and how it is trained.
const PROFILERS: [(&str, &str); 9] = [
    ("server-state", "--arch server-state"),
    ("monotone", "--arch server-state --monotone --name monotone"),
    ("paper", "--arch paper"),
    ("perx", "--arch perx"),
    ("scaloran", "--arch scaloran"),
    ("scaloran-cons", "--arch scaloran-cons"),
    ("queueing", "--arch queueing"),
    ("trees", "--arch trees"),
    ("uncontended", "--arch uncontended"),
];

impl Evaluation {
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
        figures.comparison()?;
        figures.write()
    }
}

struct Figures {
    args: Evaluation,
    neuro: PathBuf,
    started: Instant,
    /// Command lines, and the seconds that each took.
    log: Vec<(String, f64)>,
    rows: Vec<Value>,
    left: usize,
    skipped: BTreeSet<String>,
}

impl Figures {
    fn new(args: Evaluation) -> Result<Self> {
        let neuro = match &args.neuro {
            Some(path) => path.clone(),
            None => beside_this_program()?,
        };
        // Runs that are there are kept; what is made of them is made anew.
        for old in ["evaluation", "plans", "show", "scaling.json", "learned"] {
            let old = args.work.join(old);
            if old.is_dir() {
                fs::remove_dir_all(&old)?;
            } else if old.exists() {
                fs::remove_file(&old)?;
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
        let (log, rows, skipped) = (Vec::new(), Vec::new(), BTreeSet::new());
        Ok(Self { neuro, started: Instant::now(), log, rows, left: 0, skipped, args })
    }

    /// Runs `neuro`, tells so, and answers what it printed; exit code 3, done with findings, is no fault.
    fn run(&mut self, line: &str) -> Result<String> {
        let work = self.args.work.display().to_string();
        let line = line.replace("WORK", &work);
        eprintln!("[{:4.0} s] neuro {line}", self.started.elapsed().as_secs_f64());
        let started = Instant::now();
        let output = Command::new(&self.neuro)
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.neuro.display()))?;
        self.log.push((format!("neuro {line}"), started.elapsed().as_secs_f64()));
        if !matches!(output.status.code(), Some(0 | 3)) {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("{}", complaint.trim().lines().last().unwrap_or("it ended without a word"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
            let common =
                format!("--target sim --kind {kind} --duration {WINDOW} --seed {seed} --out WORK/{kind} --json");
            self.run(&format!("run pairwise {common}"))?;
            self.run(&format!("run random --runs {runs} --partly 0.5 {common}"))?;
        }
        Ok(())
    }

    /// Profilers of the better kind side by side, and of the other what the methods need.
    fn profilers(&mut self) -> Result<()> {
        for kind in KINDS {
            self.run(&format!("data datapoints WORK/{kind}/dataset --set reference"))?;
            let needed = |name: &str| kind == KINDS[0] || ["server-state", "paper", "perx", "scaloran"].contains(&name);
            for (name, how) in PROFILERS.iter().filter(|(name, _)| needed(name)) {
                self.run(&format!("train WORK/{kind}/dataset {how} --out WORK/profilers/{kind}/{name}"))?;
            }
        }
        let bundles: Vec<String> =
            PROFILERS.iter().map(|(name, _)| format!("WORK/profilers/{}/{name}", KINDS[0])).collect();
        self.run(&format!("evaluate WORK/{}/dataset {} --out WORK/evaluation --json", KINDS[0], bundles.join(" ")))?;
        Ok(())
    }

    /// Profilers that learn from what they make a search choose.
    fn planned(&mut self) -> Result<()> {
        let mut profiles = KINDS.map(|kind| format!("--profile {kind}=WORK/profilers/{kind}/server-state")).join(" ");
        let plans = self.args.plans;
        for round in 1..=self.args.rounds {
            let out = format!("WORK/planned-{round}");
            let line =
                format!("run planned --target sim --plans {plans} --duration {WINDOW} --seed {round} --out {out}");
            self.run(&format!("{line} {profiles} --json"))?;
            for kind in KINDS {
                let rounds: Vec<String> = (1..=round).map(|round| format!("WORK/planned-{round}/runs")).collect();
                let rounds = rounds.join(" ");
                self.run(&format!("ingest {rounds} WORK/{kind}/runs --out WORK/learned/{kind} --json"))?;
                let folder = format!("WORK/profilers/{kind}/planned");
                self.run(&format!("train WORK/learned/{kind} --server {kind} --all-kinds --out {folder}"))?;
            }
            profiles = KINDS.map(|kind| format!("--profile {kind}=WORK/profilers/{kind}/planned")).join(" ");
        }
        Ok(())
    }

    /// Every method on the same instances, each plan replayed.
    fn comparison(&mut self) -> Result<()> {
        let known = self.run("solve --help")?;
        let methods = self.args.methods.clone();
        for seed in 1..=self.args.seeds {
            for servers in self.args.servers.clone() {
                for scenario in SCENARIOS {
                    for method in &methods {
                        if !known.contains(&format!("- {method}:")) {
                            self.skipped.insert(method.clone());
                        } else if self.started.elapsed() > Duration::from_secs(self.args.budget) {
                            self.left += 1;
                        } else {
                            self.compare(scenario, servers, seed, method)?;
                        }
                    }
                }
            }
        }
        let text = serde_json::to_string_pretty(&json!({ "rows": self.rows }))?;
        write_atomic(&self.args.work.join("scaling.json"), text.as_bytes())?;
        write_atomic(&self.args.out.join("scaling.json"), text.as_bytes())?;
        Ok(())
    }

    fn compare(&mut self, scenario: &str, servers: u32, seed: u64, method: &str) -> Result<()> {
        let name = format!("WORK/plans/{scenario}-{servers}-{seed}");
        let instance = format!("{name}.json");
        let requests = format!("requests --scenario {scenario} --servers {servers} --seed {seed} --out {instance}");
        if !Path::new(&instance.replace("WORK", &self.args.work.display().to_string())).exists() {
            self.run(&requests)?;
        }
        // The published method and the rivals decide by what they were published with; ours, and those that know no latency, by ours.
        let (bundle, more) = match (method, scenario) {
            ("neuro", _) => ("paper", ""),
            ("perx", "s1") => ("perx", "--delta 10 --base-factor 0.5"),
            ("perx", "s2") => ("perx", "--delta 1.5 --base-factor 1"),
            ("perx", _) => ("perx", "--delta 3 --base-factor 1"),
            ("scaloran" | "scaloran-cons", _) => ("scaloran", ""),
            _ => ("planned", ""),
        };
        let profiles = KINDS.map(|kind| format!("--profile {kind}=WORK/profilers/{kind}/{bundle}")).join(" ");
        let plan = format!("{name}-{method}/plan.json");
        let limit = self.args.time_limit;
        let mut row = json!({
            "scenario": scenario, "servers": servers, "requests": 15 * servers, "seed": seed, "method": method,
            "seconds": null, "cpu_s": null, "revenue": null, "bound": null, "gap": null, "served": null, "violated": null,
            "revenue_kept": null, "fault": null,
        });
        fs::create_dir_all(self.args.work.join(format!("plans/{scenario}-{servers}-{seed}-{method}")))?;
        let solve = format!(
            "solve --instance {instance} --method {method} --time-limit {limit}s --seed {seed} {profiles} {more} --out {plan} --json"
        );
        let solved =
            self.run(solve.replace("  ", " ").as_str()).and_then(|text| Ok(serde_json::from_str::<Value>(&text)?));
        let solved = match solved {
            Ok(solved) => solved,
            Err(fault) => {
                row["fault"] = json!(fault.to_string());
                self.rows.push(row);
                return Ok(());
            }
        };
        let replay = format!(
            "replay --plan {plan} --instance {instance} --target sim --duration {WINDOW} --seed {seed} --out {name}-{method} --json"
        );
        let replay: Value = serde_json::from_str(&self.run(&replay)?)?;
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
        self.rows.push(row);
        Ok(())
    }

    /// The page, its pictures, and the README beside them.
    fn write(&mut self) -> Result<()> {
        let figures = self.args.out.display().to_string();
        // One plan is shown server by server: ours with a proof if there is one, on four servers.
        for method in ["decomposed", "lns"] {
            let folder = self.args.work.join(format!("plans/s1-4-1-{method}"));
            if folder.join("replay.json").exists() {
                let show = self.args.work.join("show");
                fs::create_dir_all(&show)?;
                for name in ["plan.json", "instance.json", "replay.json"] {
                    fs::copy(folder.join(name), show.join(name))?;
                }
                break;
            }
        }
        fs::copy(self.args.work.join("scaling.json"), self.args.work.join("evaluation/scaling.json"))?;
        let mut folders = vec![format!("WORK/{}/dataset", KINDS[0]), "WORK/evaluation".to_owned()];
        if self.args.work.join("show").is_dir() {
            folders.push("WORK/show".to_owned());
        }
        self.run(&format!("report {} --out WORK/report.html --figures {figures}", folders.join(" ")))?;
        write_atomic(&self.args.out.join("README.md"), self.readme()?.as_bytes())?;
        eprintln!("written: {figures} and {}", self.args.work.join("report.html").display());
        Ok(())
    }

    fn readme(&mut self) -> Result<String> {
        let version: Value = serde_json::from_str(&self.run("version --json")?)?;
        let host = host();
        let total = self.started.elapsed().as_secs_f64();
        let mut text = format!(
            "# Results\n\nMade by `make figures` in {total:.0} s. Version {} ({}), CBC {}. Host: {host}. Simulated servers `edge-a` and \
             `edge-b` as built in; simulated windows of {WINDOW} s; seeds stand in the commands below. Figures that depend on time \
             limits differ from machine to machine; the others do not.\n\n`targets.md` holds the targets of the project and what \
             was measured.\n\n",
            version["tool"]["version"].as_str().unwrap_or("?"),
            version["tool"]["commit"].as_str().unwrap_or("?"),
            version["cbc"].as_str().unwrap_or("?"),
        );
        text += "## Figures\n\n| figure | what it shows |\n|---|---|\n";
        for (file, what) in FIGURES {
            if self.args.out.join(file).exists() {
                let _ = writeln!(text, "| [`{file}`]({file}) | {what} |");
            }
        }
        text += "\n## Profilers\n\n";
        text += &profiler_table(&self.args.work.join("evaluation/evaluation.json"))?;
        text += "\n## Methods\n\nMeans over the instances of each number of servers. `neuro` is the published algorithm on the published network; \
                 `perx`, `scaloran` and `scaloran-cons` decide by their own curves; the others by `server-state` profilers that learned from the \
                 plans of earlier ones (`neuro run planned`). Kept: revenue of the promises that held in replay.\n\n";
        text += &method_table(&self.rows);
        if !self.skipped.is_empty() {
            let skipped: Vec<&str> = self.skipped.iter().map(String::as_str).collect();
            let _ = writeln!(text, "\nNot in this build: {}.", skipped.join(", "));
        }
        if self.left > 0 {
            let _ = writeln!(text, "\n{} pairs of instance and method were left when the time was up.", self.left);
        }
        text += "\n## Commands\n\n```sh\n";
        let comparison = |line: &str| line.contains("/plans/");
        for (line, seconds) in self.log.iter().filter(|(line, _)| !comparison(line)) {
            let _ = writeln!(text, "{line}  # {seconds:.1} s");
        }
        text += "\n# and for each scenario, number of servers, seed and method, such as\n";
        let first = self.log.iter().position(|(line, _)| comparison(line)).unwrap_or(self.log.len());
        for (line, seconds) in self.log.iter().skip(first).take(3) {
            let _ = writeln!(text, "{line}  # {seconds:.1} s");
        }
        Ok(text + "```\n")
    }
}

/// The machine that this runs on.
fn host() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let name = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
    let cpu = name.map_or("an unknown processor", |(_, name)| name);
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cpu}, {cpus} logical CPUs, {} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim())
}

const FIGURES: [(&str, &str); 13] = [
    (
        "measured/heatmap.svg",
        "measured on two cores: how much longer each of five services takes beside each other one (sample dataset)",
    ),
    ("measured/curves.svg", "the same as measured points with 95 % intervals"),
    ("heatmap.svg", "simulated server `edge-a`: slowdown of all nine services beside the heaviest load"),
    ("curves.svg", "its contention curves, measured points and fitted PERX sigmoids"),
    ("error-densities.svg", "densities of the relative error of all profilers on unseen runs"),
    ("error-by-load.svg", "median error by offered work"),
    ("error-by-neighbours.svg", "median error by number of neighbours"),
    ("scaling-revenue.svg", "planned revenue against servers, by scenario and method"),
    ("scaling-revenue-kept.svg", "revenue of the promises that held in replay"),
    ("scaling-acceptance.svg", "share of the requests that are served"),
    ("scaling-seconds.svg", "execution time"),
    ("scaling-violations.svg", "share of the promises that were broken in replay"),
    ("scaling-gap.svg", "proved gap"),
];

fn profiler_table(path: &Path) -> Result<String> {
    let evaluation: Value = serde_json::from_slice(&fs::read(path)?)?;
    let mut text = format!(
        "Relative errors on {} unseen random runs of `edge-a`, %. Noise floor: the median error that remains of a perfect prediction.\n\n",
        evaluation["test_runs"]
    );
    text += "| profiler | statistic | median | p90 | signed median | broken promises | noise floor |\n|---|---|---|---|---|---|---|\n";
    for row in evaluation["models"].as_array().into_iter().flatten() {
        let percent = |field: &str| row[field].as_f64().map_or("–".to_owned(), |x| format!("{:.1}", 100.0 * x));
        let name = |field: &str| row[field].as_str().unwrap_or("?").to_owned();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            name("name"),
            name("target"),
            percent("median"),
            percent("p90"),
            percent("signed_median"),
            percent("broken_rate"),
            percent("noise_floor")
        );
    }
    Ok(text)
}

fn method_table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| scenario | servers | method | instances | revenue | kept | served % | broken % | gap % | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut done: Vec<(&Value, &Value, &Value)> = Vec::new();
    for row in rows {
        let key = (&row["scenario"], &row["servers"], &row["method"]);
        if !done.contains(&key) {
            done.push(key);
        }
    }
    done.sort_by_key(|(scenario, servers, _)| (scenario.as_str().unwrap_or_default().to_owned(), servers.as_u64()));
    for (scenario, servers, method) in done {
        let of = || {
            rows.iter().filter(|row| (&row["scenario"], &row["servers"], &row["method"]) == (scenario, servers, method))
        };
        let sum = |value: fn(&Value) -> Option<f64>| -> Option<f64> {
            let values: Vec<f64> = of().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum())
        };
        let mean = |value: fn(&Value) -> Option<f64>, decimals: usize| {
            let values: Vec<f64> = of().filter_map(value).collect();
            let count = values.len() as f64;
            if values.is_empty() {
                "–".to_owned()
            } else {
                format!("{:.decimals$}", values.iter().sum::<f64>() / count + 0.0)
            }
        };
        let served = sum(|row| row["served"].as_f64());
        let asked = sum(|row| row["served"].as_f64().and(row["requests"].as_f64()));
        let broken = sum(|row| row["violated"].as_f64());
        let share = |part: Option<f64>, whole: Option<f64>| match (part, whole) {
            (Some(part), Some(whole)) if whole > 0.0 => format!("{:.1}", 100.0 * part / whole),
            _ => "–".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | {servers} | {} | {} | {} | {} | {} | {} | {} | {} |",
            scenario.as_str().unwrap_or("?"),
            method.as_str().unwrap_or("?"),
            of().count(),
            mean(|row| row["revenue"].as_f64(), 1),
            mean(|row| row["revenue_kept"].as_f64(), 1),
            share(served, asked),
            share(broken, served),
            mean(|row| row["gap"].as_f64().map(|gap| 100.0 * gap), 2),
            mean(|row| row["seconds"].as_f64(), 3),
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
