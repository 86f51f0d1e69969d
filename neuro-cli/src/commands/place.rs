//! Where runs are done: on this machine, on a cluster or on simulated servers.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use neuro_apps::registry::Registry;
use neuro_cli::{CampaignProgress, SimulationProgress, tool};
use neuro_data::files::write_atomic;
use neuro_data::{Application, Catalogue, Phases, RunSpec};
use neuro_k8s::kube::client;
use neuro_k8s::kube::objects::{PodSettings, PullPolicy};
use neuro_k8s::sim::{SimCampaignParams, SimParams, simulate_campaign};
use neuro_k8s::{
    CampaignReport, DriverParams, Interrupt, KubeParams, KubeTarget, LocalParams, LocalTarget, drive_campaign,
};

use crate::args::{ImageArgs, KubeArgs, PullPolicyArg, SimArgs, TargetKind, ThreadsArgs};

/// Where a campaign runs.
pub(super) enum Place {
    /// This machine.
    Local,
    /// A node of a cluster.
    Kube(KubeArgs),
    /// A simulated server of a kind.
    Sim { params: SimParams, kind: String },
}

/// What is not asked for.
pub(super) struct Defaults {
    pub(super) phases: Phases,
    pub(super) memory_gb: f64,
    pub(super) instances: &'static [u32],
    pub(super) rates: &'static [f64],
}

impl Place {
    /// The place that was asked for; `simulated_only` are further flags that go with a simulated one alone.
    pub(super) fn of(
        target: TargetKind,
        sim: &SimArgs,
        kind: Option<&str>,
        kube: &KubeArgs,
        simulated_only: &[(&str, bool)],
        threads: &ThreadsArgs,
    ) -> anyhow::Result<Self> {
        let of_sim = [("--sim", sim.sim.is_some()), ("--kind", kind.is_some())];
        let of_kube = [
            ("--namespace", kube.namespace.is_some()),
            ("--node", kube.node.is_some()),
            ("--image", kube.image.image.is_some()),
            ("--pull-policy", kube.image.pull_policy.is_some()),
            ("--adopt", kube.adopt),
        ];
        let given = |flags: &[(&'static str, bool)]| flags.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
        if let Some(flag) = given(&of_kube).filter(|_| target != TargetKind::Kube) {
            return Err(usage(flag, "this flag with --target kube alone"));
        }
        let of_sim = of_sim.iter().chain(simulated_only).find(|(_, given)| *given);
        match target {
            TargetKind::Local | TargetKind::Kube if of_sim.is_some() => {
                Err(usage(of_sim.map_or("", |(flag, _)| flag), "this flag with --target sim alone"))
            }
            TargetKind::Local => Ok(Self::Local),
            TargetKind::Kube => Ok(Self::Kube(kube.clone())),
            TargetKind::Sim if threads.threads.is_some() => Err(usage(
                "--threads",
                "this flag with real services; simulated ones have the parallelism of their parameters",
            )),
            TargetKind::Sim => {
                let params = sim.read()?;
                let kind = kind.map_or_else(|| params.kinds[0].name.clone(), str::to_owned);
                params.server(&kind)?;
                Ok(Self::Sim { params, kind })
            }
        }
    }

    /// The kind of target.
    pub(super) fn target(&self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kube(_) => "kube",
            Self::Sim { .. } => "sim",
        }
    }

    /// The runs of a campaign as those of this place: the same campaign elsewhere has other runs.
    pub(super) fn mark(&self, runs: Vec<RunSpec>) -> Vec<RunSpec> {
        let server = match self {
            Self::Local => return runs,
            Self::Kube(args) => args.node.as_deref().unwrap_or_default(),
            Self::Sim { kind, .. } => kind,
        };
        let target = format!("{}/{server}", self.target());
        runs.into_iter().map(|run| run.on(target.trim_end_matches('/'))).collect()
    }

    /// Of a simulated server, those of the NeuRO study.
    pub(super) fn defaults(&self) -> Defaults {
        let phases = |warmup_s, duration_s, drain_s| Phases { warmup_s, duration_s, drain_s, warmup_inferences: 3 };
        match self {
            Self::Local | Self::Kube(_) => {
                Defaults { phases: phases(1.0, 10.0, 2.0), memory_gb: 4.0, instances: &[1, 2, 4], rates: &[20.0, 60.0] }
            }
            Self::Sim { .. } => Defaults {
                phases: phases(30.0, 1800.0, 30.0),
                memory_gb: 28.0,
                instances: &[4, 8, 16],
                rates: &[1.0, 2.0, 3.0, 4.0],
            },
        }
    }

    /// Whether a service of an application can be had there.
    pub(super) fn has(&self, app: &Application) -> anyhow::Result<()> {
        match self {
            Self::Local if app.command.is_some() => {}
            Self::Kube(_) if app.image.is_some() || app.command.is_some() => {}
            Self::Local | Self::Kube(_) => drop(Registry::built_in().find(&app.id)?),
            Self::Sim { params, kind } => drop(params.server(kind)?.service(&app.id)?),
        }
        Ok(())
    }
}

fn usage(flag: &str, expected: &'static str) -> anyhow::Error {
    neuro_data::Error::Invalid { field: flag.to_owned(), value: "given".to_owned(), expected }.into()
}

/// Simulates runs on servers of one kind; the parameters are written beside them.
pub(super) fn simulate(
    runs: &[RunSpec],
    campaign: &SimCampaignParams,
    params: &SimParams,
    kind: &str,
    interrupt: &Interrupt,
) -> anyhow::Result<CampaignReport> {
    let mut progress = SimulationProgress::default();
    let report = simulate_campaign(params.server(kind)?, runs, campaign, interrupt, &mut progress)?;
    write_atomic(&campaign.out.join("sim.toml"), params.to_toml()?.as_bytes())?;
    Ok(report)
}

/// Measures runs on this machine; `lock` is the file that keeps two drivers off it, where it is not the usual one.
pub(super) fn measure(
    runs: &[RunSpec],
    out: &Path,
    lock: Option<&Path>,
    catalogue: Catalogue,
    interrupt: &Interrupt,
) -> anyhow::Result<CampaignReport> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let mut local = LocalParams::new(catalogue);
    // The services are in this very program: `neuro app serve` is `neuro-app`.
    let serve = [own.display().to_string(), "app".into(), "serve".into()];
    local.programs.insert("neuro-app".into(), serve.to_vec());
    if let Some(lock) = lock {
        local.lock = lock.to_owned();
    }
    let mut target = LocalTarget::new(local)?;
    let driver = DriverParams::new(out, tool());
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let campaign = drive_campaign(&mut target, runs, &driver, interrupt, &mut progress);
    Ok(runtime.block_on(campaign)?)
}

/// Runs each run on a server of its kind; on this machine or a cluster one after another, whatever their kinds.
pub(super) fn run_by_kind(
    place: &Place,
    runs: &[(String, RunSpec)],
    out: &Path,
    lock: Option<&Path>,
    catalogue: Catalogue,
    interrupt: &Interrupt,
) -> anyhow::Result<CampaignReport> {
    let of = |wanted: Option<&str>| -> Vec<RunSpec> {
        let of_kind = runs.iter().filter(|(kind, _)| wanted.is_none_or(|wanted| kind == wanted));
        of_kind.map(|(_, spec)| spec.clone()).collect()
    };
    let params = match place {
        Place::Local => return measure(&of(None), out, lock, catalogue, interrupt),
        Place::Kube(args) => return measure_on_cluster(&of(None), out, args, catalogue, interrupt),
        Place::Sim { params, .. } => params,
    };
    let kinds: BTreeSet<&str> = runs.iter().map(|(kind, _)| kind.as_str()).collect();
    for kind in &kinds {
        params.server(kind)?;
    }
    let campaign = SimCampaignParams::new(out, tool());
    let mut done = CampaignReport::default();
    for kind in kinds {
        let report = simulate(&of(Some(kind)), &campaign, params, kind, interrupt)?;
        done.finished_before += report.finished_before;
        done.complete += report.complete;
        done.left += report.left;
    }
    Ok(done)
}

/// Namespace, image and pull policy of pods.
pub(super) fn pod_settings(namespace: &str, args: &ImageArgs) -> PodSettings {
    let own = || format!("neuro-app:{}", env!("CARGO_PKG_VERSION"));
    PodSettings {
        namespace: namespace.to_owned(),
        image: args.image.clone().unwrap_or_else(own),
        pull_policy: match args.pull_policy {
            Some(PullPolicyArg::Always) => PullPolicy::Always,
            Some(PullPolicyArg::IfNotPresent) | None => PullPolicy::IfNotPresent,
            Some(PullPolicyArg::Never) => PullPolicy::Never,
        },
    }
}

/// How long pods may take to be ready: a node may have to fetch their image.
const PODS_READY_DEADLINE: Duration = Duration::from_secs(180);

/// Measures runs on a node of the cluster that kubectl speaks to.
pub(super) fn measure_on_cluster(
    runs: &[RunSpec],
    out: &Path,
    args: &KubeArgs,
    catalogue: Catalogue,
    interrupt: &Interrupt,
) -> anyhow::Result<CampaignReport> {
    let namespace = args.namespace.as_deref().unwrap_or("neuro-exp");
    let mut params = KubeParams::new(catalogue, pod_settings(namespace, &args.image));
    params.node.clone_from(&args.node);
    params.adopt = args.adopt;
    let mut driver = DriverParams::new(out, tool());
    driver.ready_deadline = PODS_READY_DEADLINE;
    let mut progress = CampaignProgress::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut target = KubeTarget::connect(client().await?, params).await?;
        let report = drive_campaign(&mut target, runs, &driver, interrupt, &mut progress).await;
        target.release().await;
        Ok(report?)
    })
}
