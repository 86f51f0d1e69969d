//! The page of results and the README beside it.

use std::fmt::Write as _;
use std::fs;
use std::thread;

use anyhow::Result;
use neuro_data::files::write_atomic;
use serde_json::{Value, json};

use super::comparison::ABLATED;
use super::pictures::{FIGURES, described};
use super::profilers::MARGIN_ROUNDS;
use super::tables::{ablation_table, method_table, profiler_table, summary_table, word};
use super::{Figures, KINDS, LANES, WINDOW};

impl Figures {
    /// The page, its pictures, and the README beside them.
    pub(super) fn write(&mut self) -> Result<()> {
        let figures = self.args.out.display().to_string();
        // One plan is shown server by server: ours with a proof, on four servers.
        let shown = self.args.work.join("plans/s1-4-1-decomposed-calibrated");
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
             runs of {WINDOW} simulated seconds, {} random runs a kind of server, {} rounds of {} plans that were learned from and {MARGIN_ROUNDS} that margins were taken from. Seeds stand in \
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
             runs, as `server-state` and `monotone` do. The published recipe collapsed to zero, an error of 100 %, from {} of {} seeds; the best of them by the validation runs is shown. \
             `perx` and `scaloran` learn from the runs of pairs, and their margins from random ones.\n\n## Methods\n\n\
             Each method decides on the same instances with one thread, {LANES} of them at a time, within {} s a server (two at least; \
             `neuro`, which goes through the servers one after another, four times that). `neuro` is the published algorithm on the published \
             network, trained on logarithms on the same random and planned runs as the `server-state` profilers that `decomposed`, `exact`, \
             `lns` and `greedy` decide by (monotone; random runs and the plans of earlier profilers, `neuro run planned`). These promise at most \
             5 % to be broken, with margins from plans of the final networks that nothing was learned from (`neuro train --margins-of`); \
             the published network has margins for the same 5 % from plans that its training did not see, the curves of the \
             other rivals from random runs. `perx`, `scaloran` and \
             `scaloran-cons` are mixed-integer programs in CBC on their own curves; `first-fit` looks at memory alone. The study gave such \
             programs two to 35 minutes. Every plan is replayed on the simulated servers; *kept* is the revenue of the promises that held. \
             In brackets: least and most of the instances, and for shares Wilson's 95 % interval as if promises were independent (those of one overloaded server break together).\n\n\
             All instances of two and more servers, summed:\n\n",
            self.collapsed.0, self.collapsed.1, self.args.per_server,
        );
        text += &summary_table(&self.rows);
        text += "\nScenario by scenario:\n\n";
        text += &method_table(&self.rows);
        if !self.ablations.is_empty() {
            let _ = write!(
                text,
                "\n### What the profilers learned from\n\nThe same methods on {ABLATED} servers by profilers that saw random runs alone \
                 (`server-state`, and `monotone`, whose networks cannot predict that more load is faster), by those that learned from plans too \
                 (`planned`), and by the same networks with margins from plans of their own (`calibrated`).\n\n"
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
