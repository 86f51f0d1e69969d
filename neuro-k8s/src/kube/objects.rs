//! What is deployed, as pure functions of the run and the catalogue.
//!
//! Each replica of an experiment is a Deployment of one pod with a Service of its own, so that every request reaches the replica it
//! was scheduled for and none by chance. Pods keep the *restricted* pod security standard. They have a memory limit and no CPU
//! limit: contention is what is studied.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EnvVar, HTTPGetAction, NodeAffinity, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use neuro_data::{Application, RunSpec};

use super::labels::{self, label_value, object_name};
use crate::health::HEALTH_PATH;

/// When a node fetches an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// Where the node does not have it.
    #[default]
    IfNotPresent,
    /// Never: it is on the node already.
    Never,
}

impl PullPolicy {
    /// Its name in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// What is the same for all pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSettings {
    /// Namespace.
    pub namespace: String,
    /// Image of the applications that name none.
    pub image: String,
    /// When it is fetched.
    pub pull_policy: PullPolicy,
}

/// One replica of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunReplica<'a> {
    /// The run.
    pub spec: &'a RunSpec,
    /// Index of the tenant.
    pub tenant: usize,
    /// Number within the tenant, from 0.
    pub replica: u32,
    /// The tenant's application.
    pub app: &'a Application,
}

impl RunReplica<'_> {
    /// The name of its Deployment and its Service.
    pub fn name(&self) -> String {
        let tenant = &self.spec.tenants[self.tenant];
        object_name("neuro", &[&self.spec.run_id(), &tenant.id, &self.replica.to_string(), &self.app.id])
    }

    fn labels(&self) -> BTreeMap<String, String> {
        labels::map([
            (labels::MANAGED_BY, labels::TOOL.to_owned()),
            (labels::APP, label_value(&self.app.id)),
            (labels::INSTANCE, self.name()),
            (labels::COMPONENT, "experiment".to_owned()),
            (labels::RUN, label_value(&self.spec.run_id())),
            (labels::TENANT, label_value(&self.spec.tenants[self.tenant].id)),
            (labels::REPLICA, self.replica.to_string()),
        ])
    }

    fn metadata(&self, settings: &PodSettings) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.name()),
            namespace: Some(settings.namespace.clone()),
            labels: Some(self.labels()),
            annotations: Some(labels::map([(labels::RUN, self.spec.run_id())])),
            ..ObjectMeta::default()
        }
    }

    /// Its Deployment, on one node.
    pub fn deployment(&self, settings: &PodSettings, node: &str) -> Deployment {
        let container = container(self.app, settings, self.spec.threads, self.spec.seed);
        deployment(self.metadata(settings), 1, pod(container, Some(node)))
    }

    /// Its Service, with a port of every node for drivers outside of the cluster.
    pub fn service(&self, settings: &PodSettings) -> Service {
        let selector = labels::map([(labels::INSTANCE, self.name())]);
        service(self.metadata(settings), selector, "NodePort", self.app.port)
    }
}

/// A Deployment whose pods are found by the [`labels::INSTANCE`] of its metadata and carry its labels and annotations.
pub(crate) fn deployment(metadata: ObjectMeta, replicas: i32, pod: PodSpec) -> Deployment {
    let instance =
        metadata.labels.as_ref().and_then(|labels| labels.get(labels::INSTANCE)).cloned().unwrap_or_default();
    let template = ObjectMeta {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    Deployment {
        metadata,
        spec: DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some(labels::map([(labels::INSTANCE, instance)])),
                ..LabelSelector::default()
            },
            // A replica never runs beside its successor: the memory of a server is full.
            strategy: Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), ..DeploymentStrategy::default() }),
            template: PodTemplateSpec { metadata: Some(template), spec: Some(pod) },
            ..DeploymentSpec::default()
        },
        ..Deployment::default()
    }
}

pub(crate) fn service(
    metadata: ObjectMeta,
    selector: BTreeMap<String, String>,
    kind: &str,
    target_port: u16,
) -> Service {
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(kind.to_owned()),
            selector: Some(selector),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: i32::from(target_port),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

const PORT_NAME: &str = "http";

/// The user and group of the project's own image.
const USER: i64 = 65532;

/// The container of one replica.
pub(crate) fn container(app: &Application, settings: &PodSettings, threads: u32, seed: u64) -> Container {
    let own_image = app.image.is_none();
    let values = [
        ("{id}", app.id.clone()),
        ("{host}", "0.0.0.0".to_owned()),
        ("{port}", app.port.to_string()),
        ("{batch}", app.batch.to_string()),
        ("{threads}", threads.to_string()),
        ("{seed}", seed.to_string()),
    ];
    let fill = |part: &String| values.iter().fold(part.clone(), |part, (name, value)| part.replace(name, value));
    let argv: Vec<String> = app.command_template().iter().map(fill).collect();
    let (command, args) = match (&app.command, own_image) {
        (Some(_), _) => (Some(argv), None),
        // The image's entry point is the program. A container has no standard input that lives as long as its driver.
        (None, true) => {
            (None, Some(argv.into_iter().skip(1).filter(|argument| argument != "--exit-with-parent").collect()))
        }
        (None, false) => (None, None),
    };
    let variable =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), ..EnvVar::default() };
    Container {
        name: "service".to_owned(),
        image: Some(app.image.clone().unwrap_or_else(|| settings.image.clone())),
        image_pull_policy: Some(settings.pull_policy.name().to_owned()),
        command,
        args,
        env: Some(vec![
            variable("RAYON_NUM_THREADS", threads.to_string()),
            variable("OMP_NUM_THREADS", threads.to_string()),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: i32::from(app.port),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(Probe {
            http_get: Some(HTTPGetAction {
                path: Some(HEALTH_PATH.to_owned()),
                port: IntOrString::String(PORT_NAME.to_owned()),
                ..HTTPGetAction::default()
            }),
            period_seconds: Some(2),
            timeout_seconds: Some(5),
            // A replica under overload answers late and is no less a replica.
            failure_threshold: Some(30),
            ..Probe::default()
        }),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([("memory".to_owned(), quantity(app.memory_gb))])),
            limits: Some(BTreeMap::from([("memory".to_owned(), quantity(app.memory_limit_gb()))])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// A pod of one container.
pub(crate) fn pod(container: Container, node: Option<&str>) -> PodSpec {
    PodSpec {
        affinity: node.map(on_node),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        containers: vec![container],
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), ..SeccompProfile::default() }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(5),
        ..PodSpec::default()
    }
}

/// Nowhere but on the node of that name.
fn on_node(node: &str) -> Affinity {
    let name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![name]), ..NodeSelectorTerm::default() };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// GB as Kubernetes writes it: whole bytes with the largest suffix that leaves a whole number.
pub(crate) fn quantity(gb: f64) -> Quantity {
    let mut figure = (gb * 1e9).round().max(0.0) as u64;
    let mut suffixes = ["", "k", "M", "G"].into_iter();
    let mut suffix = suffixes.next().unwrap_or_default();
    for next in suffixes {
        if figure == 0 || !figure.is_multiple_of(1000) {
            break;
        }
        (figure, suffix) = (figure / 1000, next);
    }
    Quantity(format!("{figure}{suffix}"))
}

/// GB of a quantity; `None` of what is none.
pub(crate) fn memory_gb(text: &str) -> Option<f64> {
    let figure = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[figure.len()..] {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some(figure.parse::<f64>().ok()? * unit / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_data::{Catalogue, Phases, RunKind, Tenant};

    fn settings() -> PodSettings {
        PodSettings {
            namespace: "neuro-exp".into(),
            image: "neuro-app:0.1.0".into(),
            pull_policy: PullPolicy::IfNotPresent,
        }
    }

    fn spec() -> RunSpec {
        let tenant = |id: &str, app: &str, instances| Tenant { id: id.into(), app: app.into(), instances, rate: 5.0 };
        RunSpec {
            kind: RunKind::Pairwise,
            name: "kalman-gru_tclf-rf_n2_r20".into(),
            repeat: 0,
            seed: 7,
            threads: 2,
            phases: Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 2.0, warmup_inferences: 3 },
            tenants: vec![tenant("observed", "kalman-gru", 1), tenant("other", "tclf-rf", 2)],
            target: None,
        }
    }

    #[test]
    fn a_replica_s_objects_are_as_written_down() {
        let (spec, catalogue) = (spec(), Catalogue::built_in());
        let app = catalogue.get("tclf-rf").unwrap();
        let replica = RunReplica { spec: &spec, tenant: 1, replica: 1, app };
        let yaml = |value: &dyn erased::Yaml| value.yaml();
        let text =
            format!("{}---\n{}", yaml(&replica.deployment(&settings(), "edge-1")), yaml(&replica.service(&settings())));
        let golden = include_str!("objects.golden.yaml");
        assert_eq!(text, golden, "the objects are now:\n{text}");
    }

    mod erased {
        pub(super) trait Yaml {
            fn yaml(&self) -> String;
        }
        impl<T: serde::Serialize> Yaml for T {
            fn yaml(&self) -> String {
                serde_yaml_ng::to_string(self).unwrap()
            }
        }
    }

    #[test]
    fn the_replicas_of_a_run_have_names_of_their_own() {
        let (spec, catalogue) = (spec(), Catalogue::built_in());
        let app = catalogue.get("tclf-rf").unwrap();
        let name = |spec: &RunSpec, tenant, replica| RunReplica { spec, tenant, replica, app }.name();
        let again = RunSpec { repeat: 1, ..spec.clone() };
        let names = [name(&spec, 0, 0), name(&spec, 1, 0), name(&spec, 1, 1), name(&again, 1, 1)];
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name) && name.len() <= 63, "{name}");
        }
    }

    #[test]
    fn an_application_s_own_image_and_command_are_kept() {
        let entry = |more: &str| {
            let text = format!(
                "[[app]]\nid = \"own\"\n{more}\nport = 8000\nbatch = 4\nmemory_gb = 0.25\nprice = 1\ndelay_s = [1, 2]\nload = \"low\"\n"
            );
            let catalogue = Catalogue::built_in().extended(&text).unwrap();
            container(catalogue.get("own").unwrap(), &settings(), 1, 0)
        };
        let image = entry("image = \"registry/own:2\"");
        assert_eq!((image.image.as_deref(), image.command, image.args), (Some("registry/own:2"), None, None));
        let both = entry("image = \"registry/own:2\"\ncommand = [\"serve\", \"{port}\", \"{batch}\"]");
        assert_eq!(both.command.unwrap(), ["serve", "8000", "4"]);
        assert_eq!(both.resources.unwrap().limits.unwrap()["memory"], Quantity("300M".into()));
    }

    #[test]
    fn quantities_are_in_their_canonical_form() {
        for (gb, text) in [(0.3, "300M"), (1.0, "1G"), (1.2, "1200M"), (0.0, "0"), (1e-9, "1"), (12.0, "12G")] {
            assert_eq!(quantity(gb).0, text);
            assert!((memory_gb(text).unwrap() - gb).abs() < 1e-12);
        }
        assert_eq!((memory_gb("30Gi"), memory_gb("1X"), memory_gb("G")), (Some(32.21225472), None, None));
    }
}
