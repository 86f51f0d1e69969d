//! From a set of runs to a bundle: split, fit, choose, take margins.

use neuro_data::{RunKind, Sla};
use serde::Serialize;
use serde_json::json;

use crate::baselines::{Perx, Queueing, Reach, ScalOran, TreeEnsemble, TreesShape, Uncontended};
use crate::bundle::{BUNDLE_FORMAT, Bundle, DataFacts, Profile};
use crate::evaluation::{ErrorSummary, Utilisation, judge, summarise};
use crate::margins::Margins;
use crate::model::{Architecture, Model};
use crate::train::{
    ContextPoint, DeepSetsParams, Observer, Progress, ServerStateParams, Trained, train_deep_sets, train_server_state,
};
use crate::training_set::{FoldParams, Folds, RunSample, TrainingSet};
use crate::{Error, Result};

/// What to fit, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// [`crate::server_state`].
    ServerState(ServerStateParams),
    /// [`crate::deep_sets`], on these points: of all runs, those of the training runs are picked out.
    Paper(DeepSetsParams, Vec<ContextPoint>),
    /// [`Perx`].
    Perx,
    /// [`ScalOran`].
    ScalOran(Reach),
    /// [`Queueing`].
    Queueing,
    /// [`TreeEnsemble`].
    Trees(TreesShape),
    /// [`Uncontended`].
    Uncontended,
}

/// What is the same whatever is fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct FitParams {
    /// How runs are split.
    pub folds: FoldParams,
    /// Most runs to learn from, in the order of their ids; all of the fold where `None`.
    pub train_runs: Option<usize>,
    /// Trainings of a network, each from a seed of its own counted up from the recipe's, at least 1: the one with the least validation
    /// error is kept. Default 1.
    pub seeds: u64,
    /// Share of promises that may be broken; no margins where `None`. Default 0.05.
    pub miss_rate: Option<f64>,
    /// Name and version of the program, for the profile.
    pub tool: String,
    /// Name in tables; that of the architecture where `None`.
    pub name: Option<String>,
}

impl Default for FitParams {
    fn default() -> Self {
        let tool = concat!("neuro-profiler ", env!("CARGO_PKG_VERSION")).to_owned();
        Self { folds: FoldParams::default(), train_runs: None, seeds: 1, miss_rate: Some(0.05), tool, name: None }
    }
}

/// One training among several.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedReport {
    /// Its seed.
    pub seed: u64,
    /// Its validation error, see [`Progress`].
    pub validation_error: Option<f64>,
    /// How it went on.
    pub history: Vec<Progress>,
}

/// A bundle and how it came about.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The bundle, not yet written.
    pub bundle: Bundle,
    /// The trainings of a network, in order of seed; none of anything else.
    pub trainings: Vec<SeedReport>,
    /// Errors on the validation runs by statistic; empty without such runs.
    pub validation: Vec<(Sla, ErrorSummary)>,
}

/// Runs of placements from which margins are taken at least, for these alone to count.
const LEAST_PLACED: usize = 20;

/// Fits a profiler to the training runs of a set, chooses by its validation runs, takes margins from its calibration runs, and leaves
/// its test runs alone.
///
/// With `start`, a [`ServerState`](crate::server_state::ServerState) goes on from another's weights.
///
/// # Errors
///
/// What the fit of that kind refuses; [`Error::InvalidSetting`] for no seeds, or a start that is none.
pub fn fit(
    set: &TrainingSet,
    recipe: &Recipe,
    params: &FitParams,
    start: Option<&Bundle>,
    observer: &mut dyn Observer,
) -> Result<Fit> {
    if params.seeds == 0 {
        return Err(Error::InvalidSetting { name: "seeds", value: "0".to_owned(), required: "at least 1" });
    }
    let mut folds = set.folds(&params.folds)?;
    folds.train.truncate(params.train_runs.unwrap_or(usize::MAX));
    let mut trainings = Vec::new();
    let (model, settings) = match recipe {
        Recipe::ServerState(recipe) => {
            let start = match start.map(Bundle::model) {
                None => None,
                Some(Model::ServerState(model)) => Some(model),
                Some(other) => {
                    let value = other.architecture().name().to_owned();
                    return Err(Error::InvalidSetting { name: "start", value, required: "a server-state profiler" });
                }
            };
            let train = |seed: u64, observer: &mut dyn Observer| {
                let params = ServerStateParams { seed: recipe.seed + seed, ..recipe.clone() };
                train_server_state(set, &folds.train, &folds.validation, &params, start, observer)
            };
            let model = best(params.seeds, recipe.seed, train, &mut trainings, observer)?;
            (Model::ServerState(model), serde_json::to_value(recipe))
        }
        Recipe::Paper(recipe, points) => {
            let ids: std::collections::BTreeSet<&str> =
                folds.train.iter().map(|run| set.runs[*run].run_id.as_str()).collect();
            let points: Vec<ContextPoint> =
                points.iter().filter(|point| ids.contains(point.run_id.as_str())).cloned().collect();
            let train = |seed: u64, observer: &mut dyn Observer| {
                let params = DeepSetsParams { seed: recipe.seed + seed, ..recipe.clone() };
                train_deep_sets(set, &points, &folds.validation, &params, observer)
            };
            let model = best(params.seeds, recipe.seed, train, &mut trainings, observer)?;
            (Model::Paper(model), serde_json::to_value(recipe))
        }
        Recipe::Perx => (Model::Perx(Perx::fit(set, &folds.train)?), Ok(json!({}))),
        Recipe::ScalOran(reach) => (Model::ScalOran(ScalOran::fit(set, &folds.train, *reach)?), Ok(json!({}))),
        Recipe::Queueing => (Model::Queueing(Queueing::fit(set, &folds.train)?), Ok(json!({}))),
        Recipe::Trees(shape) => (Model::Trees(TreeEnsemble::fit(set, &folds.train, *shape)?), Ok(json!({}))),
        Recipe::Uncontended => (Model::Uncontended(Uncontended::fit(set, &folds.train)?), Ok(json!({}))),
    };
    let settings = settings.unwrap_or_default();

    let calibration: Vec<&RunSample> = folds.calibration.iter().map(|run| &set.runs[*run]).collect();
    let wanted = params.miss_rate.filter(|_| !calibration.is_empty());
    let margins = wanted.map(|miss_rate| margins(&model, &set.apps, calibration, miss_rate)).transpose()?;
    let utilisation = Utilisation::fit(set, &folds.train)?;
    let judged = judge(&model, margins.as_ref(), set, &folds.validation, &utilisation)?;
    let validation: Vec<(Sla, ErrorSummary)> = Sla::ALL
        .into_iter()
        .filter_map(|sla| {
            let of: Vec<_> = judged.iter().filter(|judged| judged.sla == sla).copied().collect();
            Some((sla, summarise(&of)?))
        })
        .collect();

    let profile = profile(set, &folds, params, &model, margins, settings, &trainings, &validation);
    Ok(Fit { bundle: Bundle::new(model, profile), trainings, validation })
}

/// Margins from runs that a profiler has not seen. An optimiser picks loads near the promises and predictions that are too low: they
/// come from its placements alone, where there are enough of them.
fn margins(model: &Model, apps: &[String], runs: Vec<&RunSample>, miss_rate: f64) -> Result<Margins> {
    let placed: Vec<&RunSample> = runs.iter().copied().filter(|run| run.kind == RunKind::Replay).collect();
    let runs = if placed.len() >= LEAST_PLACED { placed } else { runs };
    match model {
        Model::ServerState(_) => Margins::with_headroom(model, apps, &runs, miss_rate),
        _ => Margins::of_apps(model, apps, &runs, miss_rate, 1.0),
    }
}

/// A profiler as it is, with margins taken anew from the runs of a set that it has not seen, all of them: best from plans that were
/// made by it, of instances such as it will decide, for [`Margins`] hold for tenants that are drawn as those were.
///
/// New margins make other plans. Those are judged by margins of the runs of both, and so on: as the network stays as it is, a further
/// round of plans moves them by its share of all runs at most, and two rounds are enough as a rule.
///
/// # Errors
///
/// [`Error::NoRuns`] if it has seen all of them; [`Error::UntrainedApp`] for an application that it does not know;
/// [`Error::InvalidOption`] for a share that is not between 0 and 1.
///
/// # Example
///
/// ```
/// use neuro_profiler::fit::recalibrate;
/// use neuro_profiler::{Bundle, Result, TrainingSet};
///
/// /// With margins of which a tenth may be broken.
/// fn braver(bundle: Bundle, plans_that_were_run: &TrainingSet) -> Result<Bundle> {
///     recalibrate(bundle, plans_that_were_run, 0.1)
/// }
/// ```
pub fn recalibrate(bundle: Bundle, set: &TrainingSet, miss_rate: f64) -> Result<Bundle> {
    let used: std::collections::BTreeSet<&str> = bundle.profile().data.used.iter().map(String::as_str).collect();
    let unseen: Vec<&RunSample> = set.runs.iter().filter(|run| !used.contains(run.run_id.as_str())).collect();
    if unseen.is_empty() {
        return Err(Error::NoRuns { servers: set.servers.join(", ") });
    }
    let ids: Vec<String> = unseen.iter().map(|run| run.run_id.clone()).collect();
    let mut margins = margins(bundle.model(), &set.apps, unseen, miss_rate)?;
    let mut profile = bundle.profile().clone();
    // Of applications that were hardly run, what is known already counts too.
    for (app, old) in profile.margins.iter().flat_map(|old| &old.apps) {
        let new = margins.apps.entry(app.clone()).or_insert(*old);
        for (new, old) in [(&mut new.mean, old.mean), (&mut new.p75, old.p75), (&mut new.p95, old.p95)] {
            if !new.reached && old.factor > new.factor {
                *new = old;
            }
        }
    }
    profile.data.runs[2] = margins.runs;
    profile.data.used.extend(ids);
    profile.data.used.sort();
    profile.margins = Some(margins);
    if let Some(training) = profile.training.as_object_mut() {
        training.insert("margins".to_owned(), json!({ "data": set.hash() }));
    }
    Ok(Bundle::new(bundle.model().clone(), profile))
}

/// The best of several trainings.
fn best<M>(
    seeds: u64,
    first: u64,
    mut train: impl FnMut(u64, &mut dyn Observer) -> Result<Trained<M>>,
    reports: &mut Vec<SeedReport>,
    observer: &mut dyn Observer,
) -> Result<M> {
    let mut kept: Option<(f64, M)> = None;
    for seed in 0..seeds {
        let trained = train(seed, observer)?;
        let error = trained.validation_error.unwrap_or(f64::INFINITY);
        if kept.as_ref().is_none_or(|(least, _)| error < *least) {
            kept = Some((error, trained.model));
        }
        let validation_error = trained.validation_error;
        reports.push(SeedReport { seed: first + seed, validation_error, history: trained.history });
    }
    kept.map(|(_, model)| model).ok_or(Error::Diverged { step: 0 })
}

#[expect(clippy::too_many_arguments, reason = "each is one part of the profile")]
fn profile(
    set: &TrainingSet,
    folds: &Folds,
    params: &FitParams,
    model: &Model,
    margins: Option<Margins>,
    settings: serde_json::Value,
    trainings: &[SeedReport],
    validation: &[(Sla, ErrorSummary)],
) -> Profile {
    let used = folds.train.iter().chain(&folds.validation).chain(&folds.calibration);
    let mut used: Vec<String> = used.map(|run| set.runs[*run].run_id.clone()).collect();
    used.sort();
    let ranges = set.apps.iter().cloned().zip(set.ranges(&folds.train));
    let seeds: Vec<_> =
        trainings.iter().map(|t| json!({"seed": t.seed, "validation_error": t.validation_error})).collect();
    let metrics: serde_json::Map<String, serde_json::Value> =
        validation.iter().map(|(sla, summary)| (sla.name().to_owned(), json!(Metrics::of(summary)))).collect();
    let architecture = model.architecture();
    Profile {
        format: BUNDLE_FORMAT,
        name: params.name.clone().unwrap_or_else(|| architecture.name().to_owned()),
        architecture,
        apps: Vec::new(),
        ranges: ranges.filter_map(|(app, range)| Some((app, range?))).collect(),
        margins,
        data: DataFacts {
            hash: set.hash(),
            servers: set.servers.clone(),
            folds: Some(params.folds.clone()),
            runs: [folds.train.len(), folds.validation.len(), folds.calibration.len()],
            used,
        },
        training: json!({ "recipe": settings, "seeds": seeds }),
        metrics: json!({ "validation": metrics }),
        tool: params.tool.clone(),
        weights_sha256: String::new(),
    }
}

/// What a profile says of an error summary.
#[derive(Serialize)]
struct Metrics {
    tenants: usize,
    median: f64,
    p90: f64,
    noise_floor: Option<f64>,
}

impl Metrics {
    fn of(summary: &ErrorSummary) -> Self {
        let ErrorSummary { count, median, p90, noise_floor, .. } = *summary;
        Self { tenants: count, median, p90, noise_floor }
    }
}

impl Recipe {
    /// As [`Architecture::name`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServerState(params) => Architecture::ServerState(params.shape.clone()).name(),
            Self::Paper(params, _) => params.shape.name(),
            Self::Perx => "perx",
            Self::ScalOran(Reach::Average) => "scaloran",
            Self::ScalOran(Reach::Own) => "scaloran-cons",
            Self::Queueing => "queueing",
            Self::Trees(_) => "trees",
            Self::Uncontended => "uncontended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic;

    #[test]
    fn margins_keep_their_rate_on_runs_that_were_not_seen() {
        let set = synthetic::training_set(600, 0.05, 5);
        let params = FitParams {
            folds: FoldParams { test: 0.5, calibration: 0.3, ..FoldParams::default() },
            miss_rate: Some(0.1),
            ..FitParams::default()
        };
        let recipe = Recipe::ServerState(ServerStateParams { steps: 600, ..ServerStateParams::default() });
        let fit = fit(&set, &recipe, &params, None, &mut ()).unwrap();
        let folds = set.folds(&params.folds).unwrap();
        let utilisation = Utilisation::fit(&set, &folds.train).unwrap();
        let margins = fit.bundle.profile().margins.as_ref();
        let judged = judge(&fit.bundle, margins, &set, &folds.test, &utilisation).unwrap();
        let broken = summarise(&judged).unwrap().broken_rate;
        // Of some 5,000 promises, a tenth; the standard error with runs of some six tenants is under 0.02.
        assert!((0.04..0.16).contains(&broken), "{broken}");
        let used = &fit.bundle.profile().data.used;
        assert!(folds.test.iter().all(|run| !used.contains(&set.runs[*run].run_id)));
        assert_eq!(used.len() + folds.test.len(), 600);
    }

    #[test]
    fn margins_are_taken_anew_from_runs_that_were_not_seen() {
        let set = synthetic::training_set(400, 0.05, 7);
        let params = FitParams {
            folds: FoldParams { test: 0.5, ..FoldParams::default() },
            miss_rate: None,
            ..FitParams::default()
        };
        let recipe = Recipe::ServerState(ServerStateParams { steps: 300, ..ServerStateParams::default() });
        let bundle = fit(&set, &recipe, &params, None, &mut ()).unwrap().bundle;
        let folds = set.folds(&params.folds).unwrap();
        let anew = recalibrate(bundle.clone(), &set, 0.1).unwrap();
        assert_eq!(anew.model(), bundle.model());
        let margins = anew.profile().margins.as_ref().unwrap();
        assert_eq!((margins.runs, margins.miss_rate), (folds.test.len(), 0.1));
        let utilisation = Utilisation::fit(&set, &folds.train).unwrap();
        let broken = |runs: &[usize]| {
            summarise(&judge(&anew, Some(margins), &set, runs, &utilisation).unwrap()).unwrap().broken_rate
        };
        // The order statistic leaves a tenth, less one tenant of each application, of the very runs that it was taken from.
        assert!((0.08..=0.1).contains(&broken(&folds.test)), "{}", broken(&folds.test));
        assert_eq!(anew.profile().data.used.len(), 400);
        assert!(matches!(recalibrate(anew.clone(), &set, 0.1), Err(Error::NoRuns { .. })));
        // What is promised stays the same where the headroom is part of the network.
        let server = set.runs[folds.test[0]].server();
        let (one, other) = (anew.promises(&server).unwrap(), anew.with_headroom().promises(&server).unwrap());
        assert!(one.iter().flatten().zip(other.iter().flatten()).all(|(a, b)| (a / b - 1.0).abs() < 1e-12));
    }

    #[test]
    fn the_best_of_several_seeds_is_kept() {
        let set = synthetic::training_set(80, 0.0, 6);
        let params = FitParams { seeds: 3, ..FitParams::default() };
        let recipe = Recipe::ServerState(ServerStateParams { steps: 100, ..ServerStateParams::default() });
        let fit = fit(&set, &recipe, &params, None, &mut ()).unwrap();
        let errors: Vec<f64> = fit.trainings.iter().map(|training| training.validation_error.unwrap()).collect();
        let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
        let folds = set.folds(&params.folds).unwrap();
        let alone = |seed| {
            let params = ServerStateParams { steps: 100, seed, ..ServerStateParams::default() };
            train_server_state(&set, &folds.train, &folds.validation, &params, None, &mut ()).unwrap().model
        };
        let best = errors.iter().position(|error| *error == least).unwrap() as u64 + 1;
        assert_eq!(fit.bundle.model(), &Model::ServerState(alone(best)));
        assert_eq!(errors.len(), 3);
    }
}
