//! What profilers learn from and are judged by: whole runs of a dataset.

use std::collections::BTreeMap;

use neuro_data::split::{Fold, SplitBy, SplitParams, split};
use neuro_data::store::{RunRow, TenantRow};
use neuro_data::summary::quantile;
use neuro_data::{Catalogue, Dataset, RunKind, RunStatus, Sla};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::profiler::Load;
use crate::{Error, Result};

/// Quantile of an application's service times that is its base time.
const BASE_QUANTILE: f64 = 0.02;
/// 97.5 % point of the standard normal: half-widths of intervals are this many standard errors.
const NORMAL_97_5: f64 = 1.959_964;

/// A tenant of a run and what was measured of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantSample {
    /// Its id within the run.
    pub id: String,
    /// Application and load.
    pub load: Load,
    /// Mean, p75 and p95 of its service time, seconds; `None` where nobody measured it.
    pub seconds: [Option<f64>; 3],
    /// Standard errors of their logarithms, where there is an interval.
    pub errors: [Option<f64>; 3],
    /// Of a starved tenant: its service times are longer than this, seconds.
    pub longer_than_s: Option<f64>,
    /// cpu-clock (ns/s), cache misses and page faults (1/s), per replica; `None` where unsupported.
    pub counters: [Option<f64>; 3],
}

/// A run: tenants that shared a server.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSample {
    /// Its id.
    pub run_id: String,
    /// What it was for.
    pub kind: RunKind,
    /// Its tenants.
    pub tenants: Vec<TenantSample>,
}

impl RunSample {
    /// The loads of all tenants.
    pub fn server(&self) -> Vec<Load> {
        self.tenants.iter().map(|tenant| tenant.load).collect()
    }
}

/// The complete runs of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingSet {
    /// Applications: those of the catalogue in its order, then others by name.
    pub apps: Vec<String>,
    /// Servers they ran on.
    pub servers: Vec<String>,
    /// The runs, in order of their ids.
    pub runs: Vec<RunSample>,
}

/// Positions of runs by what they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folds {
    /// To learn from.
    pub train: Vec<usize>,
    /// To choose by: when to stop, which seed, which model.
    pub validation: Vec<usize>,
    /// To take margins from: neither learned from nor chosen by.
    pub calibration: Vec<usize>,
    /// To judge by, once.
    pub test: Vec<usize>,
}

/// How runs are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldParams {
    /// Whether runs of pairs and baselines are split and learned from too, not only the random ones. Default no.
    #[serde(default)]
    pub all_kinds: bool,
    /// Whether whole combinations of applications are held out instead of configurations. Default no.
    pub by_combination: bool,
    /// Share of the test, 0 to 1. Default 1/6.
    pub test: f64,
    /// Share of the validation. Default 0.05.
    pub validation: f64,
    /// Share of the calibration. Default 0.15.
    pub calibration: f64,
    /// Seed. Default 1.
    pub seed: u64,
}

impl Default for FoldParams {
    fn default() -> Self {
        Self { all_kinds: false, by_combination: false, test: 1.0 / 6.0, validation: 0.05, calibration: 0.15, seed: 1 }
    }
}

impl TrainingSet {
    /// Reads the complete runs of a dataset; `servers` narrows them where it is not empty.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a table that cannot be read, [`Error::NoRuns`] if no complete run is there.
    pub fn read(dataset: &Dataset, catalogue: &Catalogue, servers: &[String]) -> Result<Self> {
        let mut runs: BTreeMap<String, (RunKind, Option<f64>)> = BTreeMap::new();
        let mut seen = Vec::new();
        for run in dataset.scan::<RunRow>().rows()? {
            let run = run?;
            if run.status == RunStatus::Complete && (servers.is_empty() || servers.contains(&run.server)) {
                seen.push(run.server);
                runs.insert(run.run_id, (run.kind, run.duration_s));
            }
        }
        seen.sort();
        seen.dedup();
        let mut rows = dataset.read::<TenantRow>()?;
        rows.retain(|row| runs.contains_key(&row.run_id));
        let mut apps: Vec<String> = rows.iter().map(|row| row.app.clone()).collect();
        let place = |id: &String| catalogue.apps().iter().position(|app| app.id == *id).unwrap_or(usize::MAX);
        apps.sort_by(|a, b| place(a).cmp(&place(b)).then(a.cmp(b)));
        apps.dedup();
        let mut by_run: BTreeMap<&str, Vec<TenantSample>> = BTreeMap::new();
        for row in &rows {
            let window_s = runs.get(&row.run_id).and_then(|(_, duration_s)| *duration_s);
            let app = apps.iter().position(|app| *app == row.app).unwrap_or_default();
            by_run.entry(&row.run_id).or_default().push(sample(row, app, window_s));
        }
        let run = |(run_id, tenants): (&str, Vec<TenantSample>)| {
            let kind = runs.get(run_id).map_or(RunKind::Random, |(kind, _)| *kind);
            RunSample { run_id: run_id.to_owned(), kind, tenants }
        };
        let samples: Vec<RunSample> = by_run.into_iter().map(run).collect();
        if samples.is_empty() {
            return Err(Error::NoRuns { servers: servers.join(", ") });
        }
        Ok(Self::new(apps, seen, samples))
    }

    /// A set of these runs; [`Load::app`] of their tenants is a position in `apps`.
    pub fn new(apps: Vec<String>, servers: Vec<String>, mut runs: Vec<RunSample>) -> Self {
        runs.sort_by(|a, b| a.run_id.cmp(&b.run_id));
        Self { apps, servers, runs }
    }

    /// The runs that networks learn from and everything is judged by: the random ones, or all where that is wanted or there are none of
    /// those. Runs of pairs are otherwise left to the curves.
    pub fn co_located(&self, all_kinds: bool) -> Vec<usize> {
        let random: Vec<usize> = (0..self.runs.len()).filter(|i| self.runs[*i].kind == RunKind::Random).collect();
        if random.is_empty() || all_kinds { (0..self.runs.len()).collect() } else { random }
    }

    /// Splits the co-located runs. Equal configurations stay together ([`neuro_data::split`]).
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for shares that are not from 0 to 1 together.
    pub fn folds(&self, params: &FoldParams) -> Result<Folds> {
        let wanted = self.co_located(params.all_kinds);
        let position: BTreeMap<&str, usize> = wanted.iter().map(|i| (self.runs[*i].run_id.as_str(), *i)).collect();
        let of = |keep: &dyn Fn(&str) -> bool| -> Vec<TenantRow> {
            let runs = self.runs.iter().filter(|run| keep(&run.run_id));
            runs.flat_map(|run| run.tenants.iter().map(|tenant| self.row(run, tenant))).collect()
        };
        let by = if params.by_combination { SplitBy::Combination } else { SplitBy::Run };
        let held_out = params.validation + params.calibration;
        let outer = SplitParams { by, test: params.test, validation: held_out, seed: params.seed };
        let first = split(&of(&|run| position.contains_key(run)), &outer)?;
        let share = if held_out > 0.0 { params.calibration / held_out } else { 0.0 };
        // Of what was held out, the "test" of a second split is the calibration.
        let inner = SplitParams { by, test: share, validation: 0.0, seed: params.seed };
        let second = split(&of(&|run| first.get(run) == Some(&Fold::Validation)), &inner)?;
        let mut folds = Folds::default();
        for (run, fold) in &first {
            let Some(&at) = position.get(run.as_str()) else { continue };
            match (fold, second.get(run)) {
                (Fold::Test, _) => folds.test.push(at),
                (Fold::Train, _) => folds.train.push(at),
                (Fold::Validation, Some(Fold::Test)) => folds.calibration.push(at),
                (Fold::Validation, _) => folds.validation.push(at),
            }
        }
        Ok(folds)
    }

    /// Base times: the 2 % quantile of each statistic of each application among `runs`, seconds. Where an application was never
    /// measured among them, `None`.
    pub fn base_s(&self, runs: &[usize]) -> Vec<Option<[f64; 3]>> {
        let mut seconds = vec![[const { Vec::new() }; 3]; self.apps.len()];
        for tenant in runs.iter().flat_map(|run| &self.runs[*run].tenants) {
            for (list, value) in seconds[tenant.load.app].iter_mut().zip(tenant.seconds) {
                list.extend(value.filter(|s| *s > 0.0));
            }
        }
        let base = |[mean, p75, p95]: &mut [Vec<f64>; 3]| {
            let base = [mean, p75, p95].map(|list| quantile(list, BASE_QUANTILE));
            base.iter().all(|b| b.is_finite()).then_some(base)
        };
        seconds.iter_mut().map(base).collect()
    }

    /// The least and the most instances and rates of each application among `runs`.
    pub fn ranges(&self, runs: &[usize]) -> Vec<Option<TrainedRange>> {
        let mut ranges: Vec<Option<TrainedRange>> = vec![None; self.apps.len()];
        for run in runs {
            let mut totals = BTreeMap::new();
            for tenant in &self.runs[*run].tenants {
                *totals.entry(tenant.load.app).or_insert(0.0) += tenant.load.instances;
            }
            for Load { app, instances, rate } in self.runs[*run].server() {
                let range = ranges[app].get_or_insert(TrainedRange {
                    instances: [instances; 2],
                    rate: [rate; 2],
                    total_instances: 0.0,
                });
                range.instances = [range.instances[0].min(instances), range.instances[1].max(instances)];
                range.rate = [range.rate[0].min(rate), range.rate[1].max(rate)];
                range.total_instances = range.total_instances.max(totals[&app]);
            }
        }
        ranges
    }

    /// SHA-256 over everything that is learned from, in hexadecimal digits: equal for equal measurements wherever they lie.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for run in &self.runs {
            hash.update(run.run_id.as_bytes());
            hash.update([0]);
            for tenant in &run.tenants {
                hash.update(self.apps[tenant.load.app].as_bytes());
                hash.update([0]);
                let figures = [Some(tenant.load.instances), Some(tenant.load.rate), tenant.longer_than_s];
                for figure in figures.into_iter().chain(tenant.seconds).chain(tenant.counters) {
                    hash.update(figure.unwrap_or(f64::NAN).to_bits().to_le_bytes());
                }
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As much of a tenant's row as a split asks for.
    fn row(&self, run: &RunSample, tenant: &TenantSample) -> TenantRow {
        TenantRow {
            run_id: run.run_id.clone(),
            tenant_id: String::new(),
            app: self.apps[tenant.load.app].clone(),
            instances: tenant.load.instances as u32,
            rate: tenant.load.rate,
            completed: 0,
            censored: 0,
            failed: 0,
            samples: 0,
            unstable: false,
            mean_s: None,
            mean_s_lo: None,
            mean_s_hi: None,
            p75_s: None,
            p75_s_lo: None,
            p75_s_hi: None,
            p95_s: None,
            p95_s_lo: None,
            p95_s_hi: None,
            cpu_clock_mean: None,
            cpu_clock_std: None,
            cache_references_mean: None,
            cache_references_std: None,
            cache_misses_mean: None,
            cache_misses_std: None,
            page_faults_mean: None,
            page_faults_std: None,
        }
    }
}

/// Loads of one application that a profiler was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedRange {
    /// Fewest and most instances of one tenant.
    pub instances: [f64; 2],
    /// Lowest and highest rate per instance, requests per second.
    pub rate: [f64; 2],
    /// Most instances of the application on one server.
    pub total_instances: f64,
}

fn sample(row: &TenantRow, app: usize, window_s: Option<f64>) -> TenantSample {
    let error = |sla: Sla| {
        let (low, high) = row.interval(sla)?;
        let value = row.statistic(sla)?;
        Some((high - low) / (2.0 * NORMAL_97_5 * value)).filter(|error| error.is_finite())
    };
    let starved = row.is_starved();
    TenantSample {
        id: row.tenant_id.clone(),
        load: Load { app, instances: f64::from(row.instances), rate: row.rate },
        seconds: Sla::ALL.map(|sla| row.statistic(sla).filter(|s| *s > 0.0)),
        errors: Sla::ALL.map(error),
        longer_than_s: window_s.filter(|_| starved),
        counters: [row.cpu_clock_mean, row.cache_misses_mean, row.page_faults_mean],
    }
}
