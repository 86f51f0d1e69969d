//! `neuro operator`: requests kept placed on a Kubernetes cluster.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use neuro_cli::{interrupt_on_ctrl_c, output};
use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_k8s::kube::client;
use neuro_k8s::operator::{
    Operator, OperatorEvent, OperatorParams, PlanError, Planner, Prediction, Profiler, definitions,
};
use neuro_k8s::rollout::RolloutParams;
use neuro_opt::placement::{self, DecomposedParams, LnsParams, Problem, Profiles};
use neuro_profiler::Bundle;

use super::place::pod_settings;
use crate::args::{OperatorArgs, OperatorCommand};

pub(crate) fn operator(command: OperatorCommand) -> anyhow::Result<ExitCode> {
    match command {
        OperatorCommand::Crds => {
            output::print(&definitions()?);
            Ok(ExitCode::SUCCESS)
        }
        OperatorCommand::Run(args) => run(&args),
    }
}

fn run(args: &OperatorArgs) -> anyhow::Result<ExitCode> {
    let catalogue = args.catalogue.read()?;
    let knowledge = Arc::new(Knowledge { profiles: args.profiles.read()?, catalogue: catalogue.clone() });
    let rollout = RolloutParams::new(catalogue, pod_settings(&args.namespace, &args.image));
    let mut params = OperatorParams::new(rollout);
    params.solve_limit = args.time.time_limit;
    params.certify_limit = args.background_time_limit;
    params.resync = args.resync;
    params.metrics = Some(args.metrics);
    let interrupt = interrupt_on_ctrl_c()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let operator = Operator {
            client: client().await?,
            params,
            planner: Arc::new(Search { knowledge: Arc::clone(&knowledge), seed: args.seed.seed }),
            certifier: Some(Arc::new(Decomposition { knowledge: Arc::clone(&knowledge), seed: args.seed.seed })),
            profiler: knowledge,
        };
        let mut observer = say;
        // Ctrl-C once ends the look at the cluster that is under way, twice does not wait for it.
        tokio::select! {
            ended = operator.run(interrupt.requested(), &mut observer) => ended?,
            () = interrupt.stopped_now() => {}
        }
        Ok(ExitCode::SUCCESS)
    });
    // A search of the background may still be at work; nobody waits for it.
    runtime.shutdown_background();
    ended
}

fn say(event: &OperatorEvent<'_>) {
    let line = match event {
        OperatorEvent::Planned { plan, moves } => {
            let (served, rejected) = (plan.assignments.len(), plan.rejected.len());
            format!(
                "plan: revenue {:.2}, {served} placements, {rejected} rejected, {moves} instances to start",
                plan.objective
            )
        }
        OperatorEvent::KeptLastGood { reason } => format!("the last good plan stays: {reason}"),
        OperatorEvent::Failed { error } => format!("failed, will try again: {error}"),
        _ => return,
    };
    #[expect(clippy::print_stderr, reason = "this is the command's voice")]
    {
        eprintln!("{line}");
    }
}

/// Profilers and catalogue.
struct Knowledge {
    profiles: Profiles,
    catalogue: Catalogue,
}

impl Knowledge {
    fn problem<'a>(&'a self, instance: &'a Instance) -> Result<Problem<'a>, PlanError> {
        Problem::new(instance, &self.profiles, &self.catalogue).map_err(failed)
    }
}

fn failed(error: neuro_opt::Error) -> PlanError {
    PlanError::Failed(format!("{:#}", anyhow::Error::from(error)))
}

impl Profiler for Knowledge {
    fn knows(&self, kind: &str, app: &str) -> bool {
        let knows = |bundle: &Bundle| neuro_profiler::Profiler::apps(bundle).iter().any(|known| known == app);
        self.catalogue.get(app).is_ok() && self.profiles.get(kind).is_some_and(knows)
    }

    fn predict(&self, instance: &Instance, plan: &Plan) -> Result<Vec<Prediction>, PlanError> {
        let audit = placement::audit(&self.problem(instance)?, plan).map_err(failed)?;
        let prediction = |promise: placement::AuditedPromise| Prediction {
            request: promise.request,
            server: promise.server,
            predicted_s: promise.predicted_s,
            promise_s: promise.promise_s,
        };
        Ok(audit.promises.into_iter().map(prediction).collect())
    }
}

/// Large neighbourhood search.
struct Search {
    knowledge: Arc<Knowledge>,
    seed: u64,
}

impl Planner for Search {
    fn plan(&self, instance: &Instance, limit: Duration) -> Result<Plan, PlanError> {
        let params = LnsParams { time: limit, seed: self.seed, ..LnsParams::default() };
        let problem = self.knowledge.problem(instance)?;
        Ok(placement::lns(&problem, &params, &mut |_| ControlFlow::Continue(())).map_err(failed)?.plan)
    }
}

/// Decomposition, whose plans come with a proved bound.
struct Decomposition {
    knowledge: Arc<Knowledge>,
    seed: u64,
}

impl Planner for Decomposition {
    fn plan(&self, instance: &Instance, limit: Duration) -> Result<Plan, PlanError> {
        let params = DecomposedParams { time: limit, seed: self.seed, workers: 1, ..DecomposedParams::default() };
        let problem = self.knowledge.problem(instance)?;
        Ok(placement::decomposed(&problem, &params, &mut |_| ControlFlow::Continue(())).map_err(failed)?.plan)
    }
}
