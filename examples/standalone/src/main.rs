//! Each crate of neuro from a project that is not part of it, in one screenful a crate.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use neuro_apps::registry::Registry;
use neuro_cli::output::{Axis, Chart, Panel, Series};
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_data::{Catalogue, Dataset, Phases};
use neuro_k8s::Interrupt;
use neuro_k8s::replay::{Replay, ReplayParams};
use neuro_k8s::sim::{SimParams, simulate};
use neuro_opt::placement::{LnsParams, Problem, Profiles, lns};
use neuro_opt::{Limits, NetworkMethod, Search, files::read_problem};
use neuro_profiler::evaluation::{Utilisation, judge, summarise};
use neuro_profiler::{Bundle, Load, LogTimes, Profiler, TrainingSet};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    inference()?;
    embedding(&examples)?;
    let bundles = ["edge-a", "edge-b"].map(|kind| examples.join("data/bundles").join(kind));
    let (instance, plan) = placement(&bundles)?;
    simulation(&instance, &plan)?;
    own_profiler(&examples.join("data/dataset"))?;
    Ok(())
}

/// neuro-apps: one inference of a real model.
fn inference() -> Outcome<()> {
    let app = Registry::built_in().find("kalman-gru")?;
    let model = app.load(1, None)?;
    let output = model.forward(&model.example(1, 4)?)?;
    println!("neuro-apps: kalman-gru answers a tensor of {:?}", output.dims());
    Ok(())
}

/// neuro-opt, on its own: the optimum of a ReLU network over a box.
fn embedding(examples: &Path) -> Outcome<()> {
    let problem = read_problem(&examples.join("embed_relu.json"))?;
    let found = Search::default().optimise(&problem, &Limits::default(), &mut |_| ControlFlow::Continue(()))?;
    println!("neuro-opt: the network's optimum is {:?}", found.outcome.objective);
    Ok(())
}

/// neuro-data, neuro-profiler and neuro-opt together: requests, predictions, a plan.
fn placement(bundles: &[PathBuf; 2]) -> Outcome<(Instance, Plan)> {
    let catalogue = Catalogue::built_in();
    let instance = draw(&ScenarioParams::new(Scenario::Mixed, 2, 7), &catalogue)?;
    let profiles = Profiles::default()
        .with("edge-a", Bundle::read(&bundles[0])?)
        .with("edge-b", Bundle::read(&bundles[1])?);
    let problem = Problem::new(&instance, &profiles, &catalogue)?;
    let params = LnsParams { iterations: Some(500), workers: 1, seed: 1, ..LnsParams::default() };
    let plan = lns(&problem, &params, &mut |_| ControlFlow::Continue(()))?.plan;
    println!("neuro-opt: revenue {:.2}, {} of {} requests rejected", plan.objective, plan.rejected.len(), instance.requests.len());
    Ok((instance, plan))
}

/// neuro-k8s: the plan's first server simulated for ten seconds.
fn simulation(instance: &Instance, plan: &Plan) -> Outcome<()> {
    let phases = Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 3 };
    let replay = Replay::new(plan, instance, &Catalogue::built_in(), &ReplayParams { seed: 1, threads: 1, phases })?;
    let run = replay.runs().first().ok_or("the plan serves nobody")?;
    let params = SimParams::built_in();
    let simulated = simulate(&run.spec, params.server(&run.kind)?, 1.0, &Interrupt::new())?.ok_or("it was interrupted")?;
    let requests: usize = simulated.tenants.iter().map(Vec::len).sum();
    println!("neuro-k8s: {requests} requests simulated on {}", run.server);
    Ok(())
}

/// A profiler of one's own, judged like the others, and neuro-cli's picture of it.
fn own_profiler(dataset: &Path) -> Outcome<()> {
    let set = TrainingSet::read(&Dataset::open(dataset)?, &Catalogue::built_in(), &[])?;
    let runs = set.co_located(false);
    let (train, test) = runs.split_at(runs.len() / 2);
    let medians = Medians::fit(&set, train);
    let judged = judge(&medians, None, &set, test, &Utilisation::fit(&set, train)?)?;
    let errors = summarise(&judged).ok_or("nothing was judged")?;
    println!("neuro-profiler: a constant per application is off by {:.0} % in the median", 100.0 * errors.median);
    let line: Vec<(f64, f64)> = judged.iter().map(|j| (j.utilisation, j.relative())).collect();
    let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
    let panel = Panel { title: String::new(), series: vec![Series::marked("medians", line)], references: Vec::new() };
    let picture = Chart::row("Error by load", axis("utilisation"), axis("relative error"), vec![panel]).picture();
    println!("neuro-cli: a picture of {} bytes", picture.len());
    Ok(())
}

/// The median time of each application in training, whatever runs beside it.
struct Medians {
    apps: Vec<String>,
    log_times: Vec<LogTimes>,
}

impl Medians {
    fn fit(set: &TrainingSet, train: &[usize]) -> Self {
        let median = |app: usize, k: usize| {
            let tenants = train.iter().flat_map(|run| &set.runs[*run].tenants).filter(|tenant| tenant.load.app == app);
            let mut times: Vec<f64> = tenants.filter_map(|tenant| tenant.seconds[k]).map(f64::ln).collect();
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().unwrap_or(0.0)
        };
        let log_times = (0..set.apps.len()).map(|app| [0, 1, 2].map(|k| median(app, k))).collect();
        Self { apps: set.apps.clone(), log_times }
    }
}

impl Profiler for Medians {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> neuro_profiler::Result<Vec<LogTimes>> {
        self.check(server)?;
        Ok(server.iter().map(|load| self.log_times[load.app]).collect())
    }
}
