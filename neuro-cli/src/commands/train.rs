//! `neuro train`: a dataset into a bundle.

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context;
use neuro_cli::output::{self, Axis, Chart, Panel, Series, table};
use neuro_cli::{WorkProgress, tool};
use neuro_data::datapoint::{Datapoint, DatapointSet};
use neuro_data::{Catalogue, Dataset, files::write_atomic};
use neuro_profiler::baselines::{Reach, TreesShape};
use neuro_profiler::deep_sets::DeepSetsShape;
use neuro_profiler::fit::{Fit, FitParams, Recipe, SeedReport, fit, recalibrate};
use neuro_profiler::server_state::ServerStateShape;
use neuro_profiler::torch::{TorchFiles, import_torch};
use neuro_profiler::train::{ContextPoint, DeepSetsParams, Progress, ServerStateParams};
use neuro_profiler::{Bundle, FoldParams, Model, Profile, TrainingSet};

use super::files::{open_dataset, read_bundle};
use crate::args::{Arch, FoldArgs, SetKind, TrainArgs};

pub(crate) fn train(args: TrainArgs) -> anyhow::Result<ExitCode> {
    let catalogue = args.catalogue.read()?;
    if let (Some(weights), Some(stats), Some(norma)) = (&args.import_torch, &args.stats, &args.norma) {
        let files = TorchFiles { weights, stats, norma, apps: &args.apps };
        return import(&files, &args, &catalogue);
    }
    let dataset = open_dataset(args.dataset.as_deref().context("no dataset is given")?)?;
    let set = TrainingSet::read(&dataset, &catalogue, &args.of.server)?;
    if let Some(bundle) = &args.margins_of {
        let bundle = recalibrate(read_bundle(bundle)?, &set, args.miss_rate)?;
        let name = args.name.clone().unwrap_or_else(|| bundle.profile().name.clone());
        let bundle = Bundle::new(bundle.model().clone(), Profile { name, ..bundle.profile().clone() });
        bundle.write(&args.out)?;
        report(&Fit { bundle, trainings: Vec::new(), validation: Vec::new() }, &args);
        return Ok(ExitCode::SUCCESS);
    }
    let start = args.from.as_deref().map(read_bundle).transpose()?;
    let recipe = recipe(&args, &dataset, &set, start.as_ref())?;
    let mut progress = WorkProgress::new("steps");
    let params = params(&args);
    let mut observer = |p: &Progress| {
        let before = (p.seed - args.seed.seed) as usize * p.steps;
        let (done, total) = (before + p.step, args.seeds as usize * p.steps);
        progress.show(done, total, done as u64, total as u64);
        ControlFlow::Continue(())
    };
    let fit = fit(&set, &recipe, &params, start.as_ref(), &mut observer)?;
    drop(progress);
    fit.bundle.write(&args.out)?;
    if let Some(svg) = &args.svg {
        write_atomic(svg, loss_chart(&fit.trainings).as_bytes())?;
    }
    report(&fit, &args);
    Ok(ExitCode::SUCCESS)
}

/// How runs are split.
pub(super) fn fold_params(args: &FoldArgs) -> FoldParams {
    FoldParams {
        all_kinds: args.all_kinds,
        by_combination: args.by_combination,
        test: args.test,
        validation: args.validation,
        calibration: args.calibration,
        seed: args.split_seed,
    }
}

/// Name, version and commit of this program.
pub(super) fn tool_name() -> String {
    let tool = tool();
    let commit = if tool.commit.is_empty() { String::new() } else { format!(" ({})", tool.commit) };
    format!("{} {}{commit}", tool.name, tool.version)
}

fn params(args: &TrainArgs) -> FitParams {
    FitParams {
        folds: fold_params(&args.folds),
        train_runs: args.runs,
        seeds: args.seeds,
        miss_rate: Some(args.miss_rate).filter(|rate| *rate > 0.0),
        tool: tool_name(),
        name: args.name.clone(),
    }
}

fn recipe(args: &TrainArgs, dataset: &Dataset, set: &TrainingSet, start: Option<&Bundle>) -> anyhow::Result<Recipe> {
    let paper = |shape: DeepSetsShape| -> anyhow::Result<Recipe> {
        let points = datapoints(dataset, args.set, &set.apps)?;
        let published = DeepSetsParams { shape, seed: args.seed.seed, ..DeepSetsParams::default() };
        let params = if args.log_space {
            DeepSetsParams { log_space: true, cosine: true, share: 1.0, epochs: 30, rate: 5e-3, ..published }
        } else {
            published
        };
        let (epochs, rate) = (args.epochs.unwrap_or(params.epochs), args.rate.unwrap_or(params.rate));
        Ok(Recipe::Paper(DeepSetsParams { epochs, rate, ..params }, points))
    };
    Ok(match args.arch {
        Arch::ServerState => {
            let shape = match start.map(Bundle::model) {
                Some(Model::ServerState(model)) => model.shape().clone(),
                _ => ServerStateShape {
                    monotone: args.monotone,
                    head: args.head.clone(),
                    state: args.state,
                    ..Default::default()
                },
            };
            let default = ServerStateParams::default();
            Recipe::ServerState(ServerStateParams {
                shape,
                steps: args.steps.unwrap_or(default.steps),
                rate: args.rate.unwrap_or(default.rate),
                decay: args.decay,
                seed: args.seed.seed,
                ..default
            })
        }
        Arch::Paper => paper(DeepSetsShape::default())?,
        Arch::PaperSumMax => paper(DeepSetsShape::sum_max())?,
        Arch::PaperFlat => paper(DeepSetsShape::flat())?,
        Arch::Perx => Recipe::Perx,
        Arch::Scaloran => Recipe::ScalOran(Reach::Average),
        Arch::ScaloranCons => Recipe::ScalOran(Reach::Own),
        Arch::Queueing => Recipe::Queueing,
        Arch::Trees => Recipe::Trees(TreesShape::default()),
        Arch::Uncontended => Recipe::Uncontended,
    })
}

fn datapoints(dataset: &Dataset, set: SetKind, apps: &[String]) -> anyhow::Result<Vec<ContextPoint>> {
    let (set, name) = match set {
        SetKind::Ours => (DatapointSet::Ours, "ours"),
        SetKind::Reference => (DatapointSet::Reference, "reference"),
    };
    let advice = || {
        let path = dataset.path().display();
        format!("the dataset has no such datapoints: make them with `neuro data datapoints {path} --set {name}`")
    };
    let rows = dataset.datapoints::<Datapoint>(set).rows().with_context(advice)?;
    let mut points = Vec::new();
    for row in rows {
        points.extend(ContextPoint::of_datapoint(&row?, apps));
    }
    anyhow::ensure!(!points.is_empty(), advice());
    Ok(points)
}

fn import(files: &TorchFiles<'_>, args: &TrainArgs, catalogue: &Catalogue) -> anyhow::Result<ExitCode> {
    let model = Model::Paper(import_torch(files, catalogue)?);
    let architecture = model.architecture();
    let profile = Profile {
        format: 0,
        name: args.name.clone().unwrap_or_else(|| "paper (imported)".to_owned()),
        architecture,
        apps: Vec::new(),
        ranges: Default::default(),
        margins: None,
        data: Default::default(),
        training: serde_json::json!({ "imported": "PyTorch state dicts" }),
        metrics: serde_json::Value::Null,
        tool: tool_name(),
        weights_sha256: String::new(),
    };
    let bundle = Bundle::new(model, profile);
    bundle.write(&args.out)?;
    if args.output.json {
        let apps = &bundle.profile().apps;
        output::print(&format!("{}\n", serde_json::json!({ "bundle": args.out, "apps": apps })));
    } else {
        let apps = bundle.profile().apps.join(", ");
        output::print(&format!("imported, of {apps}\nwritten: {}\n", args.out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn report(fit: &Fit, args: &TrainArgs) {
    let profile = fit.bundle.profile();
    if args.output.json {
        let seeds: Vec<_> = fit
            .trainings
            .iter()
            .map(|training| serde_json::json!({ "seed": training.seed, "validation_error": training.validation_error }))
            .collect();
        let object = serde_json::json!({
            "bundle": args.out,
            "name": profile.name,
            "runs": { "train": profile.data.runs[0], "validation": profile.data.runs[1], "calibration": profile.data.runs[2] },
            "seeds": seeds,
            "validation": profile.metrics["validation"],
            "margins": profile.margins,
        });
        output::print(&format!("{object}\n"));
        return;
    }
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let [train, validation, calibration] = profile.data.runs;
    output::print(&format!(
        "{}: learned from {train} runs, chosen by {validation}, margins from {calibration}\n",
        profile.name
    ));
    if fit.trainings.len() > 1 {
        let errors: Vec<f64> = fit.trainings.iter().filter_map(|training| training.validation_error).collect();
        let (low, high) = errors.iter().fold((f64::INFINITY, 0.0f64), |(l, h), e| (l.min(*e), h.max(*e)));
        let count = errors.len();
        output::print(&format!("validation error of {count} seeds: {} to {}\n", percent(low), percent(high)));
    }
    if !fit.validation.is_empty() {
        let rows = fit.validation.iter().map(|(sla, summary)| {
            let floor = summary.noise_floor.map_or("–".to_owned(), percent);
            vec![sla.name().to_owned(), summary.count.to_string(), percent(summary.median), percent(summary.p90), floor]
        });
        output::print("On the validation runs, by which the profiler was chosen:\n");
        output::print(&table::render(&["statistic", "tenants", "median error", "p90", "noise floor"], rows));
    }
    if let Some(margins) = &profile.margins {
        let factor = |margin: neuro_profiler::AppMargin| {
            format!("×{:.3}{}", margin.factor, if margin.reached { "" } else { " !" })
        };
        let rows = margins.apps.iter().map(|(app, m)| {
            vec![app.clone(), m.mean.tenants.to_string(), factor(m.mean), factor(m.p75), factor(m.p95)]
        });
        output::print(&format!(
            "Margins: at most {} of promises broken. Headroom {}: times are predicted with so much more of every tenant, and then\n\
             multiplied by\n",
            percent(margins.miss_rate),
            percent(margins.headroom)
        ));
        output::print(&table::render(&["app", "tenants", "mean", "p75", "p95"], rows.collect::<Vec<_>>()));
        output::print(
            "That holds on average over tenants that are drawn as those were: not for each application and load, and for tenants that\n\
             an optimiser picks only if they come from its plans (`neuro run planned`, `neuro train --margins-of`). Where ! stands,\n\
             too few tenants were held out: the factor is their largest.\n",
        );
    }
    output::print(&format!("written: {}\n", args.out.display()));
}

fn loss_chart(trainings: &[SeedReport]) -> String {
    let mut series = Vec::new();
    let mut errors = Vec::new();
    for training in trainings {
        let points = |of: &dyn Fn(&Progress) -> Option<f64>| -> Vec<(f64, f64)> {
            training.history.iter().filter_map(|p| Some((p.step as f64, of(p)?))).collect()
        };
        let name = format!("seed {}", training.seed);
        let loss = points(&|p| Some(p.train_loss));
        series.push(Series::line(name.clone(), loss));
        let error = points(&|p| p.validation_error.map(|error| 100.0 * error));
        errors.push(Series::line(name, error));
    }
    let panel = |title: &str, series| Panel { title: title.to_owned(), series, references: Vec::new() };
    let axis = |label: &str, logarithmic| Axis { label: label.to_owned(), logarithmic, ..Axis::default() };
    // Two pictures of different units: the loss as it is, the error in percent.
    let panels = vec![panel("training loss", series), panel("median error on the validation runs, %", errors)];
    Chart::row("How the training went", axis("step", false), axis("loss · error, %", true), panels).picture()
}
