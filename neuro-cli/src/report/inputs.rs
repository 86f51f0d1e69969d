//! What a report is made of, found in folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::{Dataset, Error};
use neuro_k8s::replay::ReplayReport;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Predictions;

/// How far down folders are searched.
const DEPTH: usize = 5;
/// The largest file that is tried as a plan, an instance or a replay, bytes.
const LARGEST: u64 = 16_000_000;

/// The things that a report shows.
#[derive(Debug, Default)]
pub struct Inputs {
    /// Datasets, with the folders they lie in.
    pub(super) datasets: Vec<(PathBuf, Dataset)>,
    /// Evaluations of profilers.
    pub(super) evaluations: Vec<(PathBuf, Evaluation)>,
    /// Methods compared over numbers of servers.
    pub(super) scalings: Vec<(PathBuf, Vec<ScalingRow>)>,
    /// Plans, with what is known of them.
    pub(super) plans: Vec<PlanInput>,
}

/// A plan with its problem and its test.
#[derive(Debug)]
pub(super) struct PlanInput {
    pub(super) path: PathBuf,
    pub(super) plan: Plan,
    pub(super) instance: Option<Instance>,
    pub(super) replay: Option<ReplayReport>,
}

/// `evaluation.json`, and `predictions.json` beside it.
#[derive(Debug, Deserialize)]
pub(super) struct Evaluation {
    pub(super) test_runs: usize,
    pub(super) models: Vec<ErrorRow>,
    pub(super) by_app: Vec<ErrorRow>,
    pub(super) by_utilisation: Vec<ErrorRow>,
    pub(super) by_neighbours: Vec<ErrorRow>,
    #[serde(skip)]
    pub(super) predictions: Option<Predictions>,
}

/// Relative errors of a profiler on a statistic, or on a part of its predictions.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorRow {
    pub(super) name: String,
    pub(super) target: String,
    #[serde(default)]
    pub(super) part: String,
    pub(super) count: usize,
    pub(super) median: f64,
    pub(super) mean: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) signed_median: f64,
    pub(super) optimistic_rate: f64,
    pub(super) broken_rate: f64,
    pub(super) noise_floor: Option<f64>,
}

/// One method on one instance: a row of `scaling.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ScalingRow {
    pub(super) scenario: String,
    pub(super) servers: usize,
    pub(super) requests: usize,
    pub(super) seed: u64,
    pub(super) method: String,
    #[serde(default)]
    pub(super) seconds: Option<f64>,
    #[serde(default)]
    pub(super) revenue: Option<f64>,
    #[serde(default)]
    pub(super) bound: Option<f64>,
    #[serde(default)]
    pub(super) gap: Option<f64>,
    #[serde(default)]
    pub(super) served: Option<f64>,
    #[serde(default)]
    pub(super) violated: Option<f64>,
    #[serde(default)]
    pub(super) revenue_kept: Option<f64>,
    /// What went wrong, in words.
    #[serde(default)]
    pub(super) fault: Option<String>,
}

#[derive(Deserialize)]
struct ScalingFile {
    rows: Vec<ScalingRow>,
}

/// Plans, instances and replays before it is known which belong together.
#[derive(Default)]
struct Loose {
    plans: Vec<(PathBuf, Plan)>,
    instances: Vec<(PathBuf, Instance)>,
    replays: Vec<(PathBuf, ReplayReport)>,
}

impl Inputs {
    /// Searches folders, and the folders in them, for datasets, evaluations, comparisons, plans, instances and replays.
    ///
    /// # Errors
    /// A folder cannot be read, an `evaluation.json`, `predictions.json` or `scaling.json` is malformed, or nothing is found.
    pub fn find(folders: &[PathBuf]) -> anyhow::Result<Self> {
        let mut inputs = Self::default();
        let mut loose = Loose::default();
        let mut seen = BTreeSet::new();
        for folder in folders {
            if !folder.is_dir() {
                let (field, value) = ("DIR".to_owned(), folder.display().to_string());
                return Err(Error::Invalid { field, value, expected: "a folder" }.into());
            }
            inputs.search(folder, DEPTH, &mut loose, &mut seen)?;
        }
        inputs.pair(loose);
        if inputs.is_empty() {
            let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Error::Invalid {
                field: "DIR".to_owned(),
                value: names.join(", "),
                expected: "folders with a dataset, the output of `neuro evaluate --out`, a scaling.json or a plan",
            }
            .into());
        }
        Ok(inputs)
    }

    fn is_empty(&self) -> bool {
        self.datasets.is_empty() && self.evaluations.is_empty() && self.scalings.is_empty() && self.plans.is_empty()
    }

    fn search(
        &mut self,
        folder: &Path,
        depth: usize,
        loose: &mut Loose,
        seen: &mut BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        let cannot = |e: std::io::Error| anyhow::Error::new(e).context(format!("cannot read {}", folder.display()));
        if !seen.insert(folder.canonicalize().map_err(cannot)?) {
            return Ok(());
        }
        if folder.join("tenants").is_dir()
            && let Ok(dataset) = Dataset::open(folder)
        {
            // A replay's own dataset is told with its plan.
            if !folder.join("../replay.json").is_file() {
                self.datasets.push((folder.to_owned(), dataset));
            }
            return Ok(());
        }
        // A folder of runs: its dataset lies beside it.
        if folder.join("run.json").is_file() {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(cannot)? {
            entries.push(entry.map_err(cannot)?.path());
        }
        entries.sort();
        for path in entries {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                // Build folders and other caches say so themselves: https://bford.info/cachedir/
                let is_cache = path.join("CACHEDIR.TAG").is_file();
                if depth > 0 && !path.is_symlink() && name != "runs" && !is_cache {
                    self.search(&path, depth - 1, loose, seen)?;
                }
                continue;
            }
            match name.as_str() {
                "evaluation.json" => {
                    let mut evaluation: Evaluation = parse(&path)?;
                    let predictions = folder.join("predictions.json");
                    evaluation.predictions = if predictions.is_file() { Some(parse(&predictions)?) } else { None };
                    self.evaluations.push((folder.to_owned(), evaluation));
                }
                "scaling.json" => self.scalings.push((path.clone(), parse::<ScalingFile>(&path)?.rows)),
                "predictions.json" => {}
                name if name.ends_with(".json") => loose.take(&path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives each plan its instance and its replay: those beside it if they fit, else others that fit.
    fn pair(&mut self, loose: Loose) {
        let Loose { plans, instances, replays } = loose;
        for (path, plan) in plans {
            let instance = nearest(&path, &instances, |instance| answers(&plan, instance)).cloned();
            let replay = nearest(&path, &replays, |replay| tests(replay, &plan)).cloned();
            // A replay's folder holds a copy of its plan.
            match self.plans.iter_mut().find(|known| known.plan == plan) {
                Some(known) => {
                    known.instance = known.instance.take().or(instance);
                    known.replay = known.replay.take().or(replay);
                }
                None => self.plans.push(PlanInput { path, plan, instance, replay }),
            }
        }
    }
}

impl Loose {
    /// Takes a file for what it parses as; others are none of the report's business.
    fn take(&mut self, path: &Path) {
        let small = fs::metadata(path).is_ok_and(|about| about.len() <= LARGEST);
        let Some(text) = small.then(|| fs::read_to_string(path).ok()).flatten() else { return };
        if let Ok(plan) = serde_json::from_str(&text) {
            self.plans.push((path.to_owned(), plan));
        } else if let Ok(instance) = Instance::from_json(&text) {
            self.instances.push((path.to_owned(), instance));
        } else if let Ok(replay) = serde_json::from_str(&text) {
            self.replays.push((path.to_owned(), replay));
        }
    }
}

/// What fits a file, the nearest in the tree of folders.
fn nearest<'a, T>(path: &Path, candidates: &'a [(PathBuf, T)], fits: impl Fn(&T) -> bool) -> Option<&'a T> {
    let shared = |other: &Path| path.components().zip(other.components()).take_while(|(a, b)| a == b).count();
    let fitting = candidates.iter().filter(|(_, candidate)| fits(candidate));
    fitting.max_by_key(|(other, _)| shared(other)).map(|(_, candidate)| candidate)
}

/// Whether a plan's names are an instance's, and what it serves pays what it says.
fn answers(plan: &Plan, instance: &Instance) -> bool {
    let served: BTreeSet<&str> = plan.assignments.iter().map(|a| a.request.as_str()).collect();
    let knows = |id: &str| instance.requests.iter().any(|request| request.id == id);
    let names = served.iter().copied().chain(plan.rejected.iter().map(|r| r.request.as_str())).all(knows);
    let servers = plan.assignments.iter().all(|a| instance.servers.iter().any(|server| server.name == a.server));
    let pays = instance.requests.iter().filter(|request| served.contains(request.id.as_str())).map(|r| r.payment);
    names && servers && near(pays.sum(), plan.objective)
}

/// Whether a replay is of a plan: the same requests, the same revenue.
fn tests(replay: &ReplayReport, plan: &Plan) -> bool {
    let served: BTreeSet<&str> = plan.assignments.iter().map(|a| a.request.as_str()).collect();
    let tested: BTreeSet<&str> = replay.requests.iter().map(|request| request.id.as_str()).collect();
    served == tested && near(replay.revenue_planned, plan.objective)
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(1.0)
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|e| malformed(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| malformed(e.to_string()))
}
