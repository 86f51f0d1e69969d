//! Every method on the same instances, each plan replayed.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use neuro_data::files::write_atomic;
use serde_json::{Value, json};

use super::{Evaluation, Figures, KINDS, LANES, Line, WINDOW, call};

const SCENARIOS: [&str; 3] = ["s1", "s2", "s3"];
/// Seconds that anything but the solving may take of a method on an instance: to start, and to replay the plan.
const OVERHEAD_S: f64 = 3.0;

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
    contender("decomposed", "decomposed", "calibrated", 1.0),
    contender("lns", "lns", "calibrated", 1.0),
    contender("perx", "perx", "perx", 1.0),
    contender("scaloran", "scaloran", "scaloran", 1.0),
    contender("scaloran-cons", "scaloran-cons", "scaloran", 1.0),
    contender("greedy", "greedy", "calibrated", 1.0),
    contender("first-fit", "first-fit", "calibrated", 1.0),
];
/// On one server there is a method for the proved optimum.
const EXACT: Contender = contender("exact", "exact", "calibrated", 1.0);
/// Ours once more by profilers that learned, or have their margins, from other runs, on instances of this many servers.
pub(super) const ABLATED: u32 = 4;
const ABLATIONS: [Contender; 5] = [
    contender("decomposed", "decomposed", "server-state", 1.0),
    contender("decomposed", "decomposed", "monotone", 1.0),
    contender("decomposed", "decomposed", "planned", 1.0),
    contender("lns", "lns", "monotone", 1.0),
    contender("lns", "lns", "planned", 1.0),
];

impl Evaluation {
    fn limit_s(&self, contender: Contender, servers: u32) -> f64 {
        (self.per_server * contender.patience * f64::from(servers)).max(2.0)
    }
}

impl Figures {
    /// Every method on the same instances, each plan replayed.
    pub(super) fn comparison(&mut self) -> Result<()> {
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
}
