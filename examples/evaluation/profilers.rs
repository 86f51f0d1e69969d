//! What is learned: runs, and the profilers that they make.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::{Figures, KINDS, WINDOW};

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
    recipe("paper", "--arch paper --seeds 10"),
    recipe("paper-log", "--arch paper --log-space --name paper-log"),
    Recipe { pairs: true, decides: true, ..recipe("perx", "--arch perx") },
    Recipe { pairs: true, decides: true, ..recipe("scaloran", "--arch scaloran") },
    Recipe { pairs: true, ..recipe("scaloran-cons", "--arch scaloran-cons") },
    recipe("queueing", "--arch queueing"),
    recipe("trees", "--arch trees"),
    recipe("uncontended", "--arch uncontended"),
];

/// Rounds of plans by the final networks, from which nothing but their margins is taken.
pub(super) const MARGIN_ROUNDS: u32 = 2;

/// Of the trainings behind a bundle, those whose predictions are nine tenths too short or worse, and all.
fn collapsed(profile: &Path) -> Result<(usize, usize)> {
    let profile: Value = serde_json::from_slice(&fs::read(profile)?)?;
    let errors: Vec<Option<f64>> =
        profile["training"]["seeds"].as_array().into_iter().flatten().map(|s| s["validation_error"].as_f64()).collect();
    Ok((errors.iter().filter(|error| error.is_none_or(|error| error > 0.9)).count(), errors.len()))
}

impl Figures {
    /// What was measured on a real machine: the sample dataset.
    pub(super) fn measured(&mut self) -> Result<()> {
        let figures = self.args.out.join("measured").display().to_string();
        self.run(&format!("report examples/data/dataset --out WORK/measured.html --figures {figures}"))?;
        Ok(())
    }

    /// Pairs and random mixes on both kinds of server.
    pub(super) fn campaigns(&mut self) -> Result<()> {
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
    pub(super) fn profilers(&mut self) -> Result<()> {
        for kind in KINDS {
            if kind == KINDS[0] {
                self.run(&format!("data datapoints WORK/{kind}/dataset --set reference"))?;
            }
            for recipe in RECIPES.iter().filter(|recipe| kind == KINDS[0] || recipe.decides) {
                let Recipe { name, how, .. } = recipe;
                let dataset = if recipe.pairs { format!("with-pairs/{kind}") } else { format!("{kind}/dataset") };
                self.run(&format!("train WORK/{dataset} {how} --out WORK/profilers/{kind}/{name}"))?;
                if *name == "paper" {
                    self.collapsed = collapsed(&self.args.work.join(format!("profilers/{kind}/{name}/profile.json")))?;
                }
            }
        }
        Ok(())
    }

    /// Profilers that learn from what they make a search choose, with margins from what they make it choose in the end, and the
    /// published network on the same runs.
    pub(super) fn planned(&mut self) -> Result<()> {
        let of = |name: &str| KINDS.map(|kind| format!("--profile {kind}=WORK/profilers/{kind}/{name}")).join(" ");
        let mut before = "monotone";
        for round in 1..=self.args.rounds {
            // Another round would leave less than half of the time to compare what was learned.
            if round > 1 && self.elapsed_s() > 0.4 * self.args.budget {
                break;
            }
            let out = format!("WORK/planned-{round}");
            self.plans(&of(before), &format!("90{round}"), &out)?;
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
        // New margins make other plans; margins from the runs of both rounds damp that.
        for round in 1..=MARGIN_ROUNDS {
            let out = format!("WORK/margins-{round}");
            self.plans(&of(before), &format!("91{round}"), &out)?;
            self.run(&format!("ingest {out}/runs --out WORK/unlearned --json"))?;
            for kind in KINDS {
                let profilers = format!("WORK/profilers/{kind}");
                self.run(&format!(
                    "train WORK/unlearned --server {kind} --margins-of {profilers}/planned --name calibrated --out {profilers}/calibrated"
                ))?;
            }
            before = "calibrated";
        }
        for kind in KINDS {
            self.run(&format!("data datapoints WORK/learned/{kind} --set reference"))?;
            let how = "--all-kinds --arch paper --log-space --name paper-planned";
            let out = format!("WORK/profilers/{kind}/paper-planned");
            self.run(&format!("train WORK/learned/{kind} --server {kind} {how} --out {out}"))?;
        }
        Ok(())
    }

    /// Runs what a search chooses by some profilers.
    fn plans(&mut self, profiles: &str, seed: &str, out: &str) -> Result<()> {
        let plans = self.args.plans;
        let line = format!(
            "run planned --target sim --plans {plans} --servers 8 --duration {WINDOW} --seed {seed} --out {out}"
        );
        self.run(&format!("{line} {profiles} --json"))?;
        Ok(())
    }

    /// The profilers side by side on random runs that none has seen.
    pub(super) fn judge(&mut self) -> Result<()> {
        let kind = KINDS[0];
        let bundles: Vec<String> =
            RECIPES.iter().map(|recipe| format!("WORK/profilers/{kind}/{}", recipe.name)).collect();
        self.run(&format!("evaluate WORK/{kind}/dataset {} --out WORK/evaluation --json", bundles.join(" ")))?;
        Ok(())
    }
}
