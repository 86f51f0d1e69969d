//! What keeps a pod from being ready, in words.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Pod, PodCondition};

/// A reason why a pod does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub words: String,
    /// Whether waiting cannot mend it.
    pub is_final: bool,
}

impl Trouble {
    fn passing(words: String) -> Self {
        Self { words, is_final: false }
    }

    fn lasting(words: String) -> Self {
        Self { words, is_final: true }
    }
}

/// Whether a pod serves.
pub fn is_pod_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && condition(pod, "Ready").is_some_and(|c| c.status == "True")
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// What is wrong with a pod; `None` where nothing is but time.
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|c| c.status == "False") {
        let why = scheduled.message.as_deref().unwrap_or("no reason is given");
        return Some(Trouble::passing(format!("cannot be scheduled: {why}")));
    }
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let why = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no reason is given");
        return Some(Trouble::lasting(format!("failed: {why}")));
    }
    let container = status.container_statuses.as_ref()?.first()?;
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref())?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or("no reason is given");
    let image = &container.image;
    match reason {
        "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            Some(Trouble::lasting(format!("has an image that cannot be had ({reason}): {image}: {message}")))
        }
        "ErrImagePull" => Some(Trouble::passing(format!("has an image that cannot be pulled: {image}: {message}"))),
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref().and_then(ended).unwrap_or_else(|| "ended".to_owned());
            let times = container.restart_count;
            Some(Trouble::lasting(format!("keeps crashing (CrashLoopBackOff, {times} restarts): it {last}")))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            Some(Trouble::lasting(format!("cannot be started ({reason}): {message}")))
        }
        _ => None,
    }
}

/// How a container ended, if it did.
fn ended(state: &ContainerState) -> Option<String> {
    state.terminated.as_ref().map(how_it_ended)
}

fn how_it_ended(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_deref(), end.signal) {
        (Some("OOMKilled"), _) => "was killed: it wanted more memory than its limit".to_owned(),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => format!("ended with exit code {}", end.exit_code),
    }
}

/// How often a pod's container was started anew, and how it ended last.
pub fn restarts(pod: &Pod) -> (i32, Option<String>) {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let Some(container) = containers.and_then(|containers| containers.first()) else { return (0, None) };
    let now = container.state.as_ref().and_then(ended);
    (container.restart_count, now.or_else(|| container.last_state.as_ref().and_then(ended)))
}

/// Why a Deployment has no pod, where the cluster refuses to make it.
pub fn refusal(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let is_refusal = |kind: Option<&str>, status: Option<&str>| (kind, status) == (Some("ReplicaFailure"), Some("True"));
    let refused = conditions.iter().find(|c| is_refusal(c.type_.as_deref(), c.status.as_deref()))?;
    Some(format!("is refused by the cluster: {}", refused.message.as_deref().unwrap_or("no reason is given")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Pod {
        pod(json!({"phase": "Pending", "containerStatuses": [{
            "name": "service", "image": "neuro-app:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }]}))
    }

    #[test]
    fn each_trouble_has_its_words() {
        let of = |pod: &Pod| trouble(pod).map(|t| (t.words, t.is_final));
        let (words, is_final) = of(&waiting("ImagePullBackOff", "not found")).unwrap();
        assert!(is_final && words.contains("neuro-app:1") && words.contains("not found"), "{words}");
        let (words, is_final) = of(&waiting("CrashLoopBackOff", "back-off")).unwrap();
        assert!(is_final && words.contains("3 restarts") && words.contains("memory than its limit"), "{words}");
        let (words, is_final) = of(&waiting("CreateContainerConfigError", "runAsNonRoot")).unwrap();
        assert!(is_final && words.contains("runAsNonRoot"), "{words}");
        assert!(!of(&waiting("ErrImagePull", "timeout")).unwrap().1);
        assert_eq!(of(&waiting("ContainerCreating", "")), None);
        let unscheduled = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: memory"}]}));
        assert_eq!(of(&unscheduled), Some(("cannot be scheduled: 0/3 nodes: memory".into(), false)));
        assert!(of(&pod(json!({"phase": "Failed", "message": "evicted"}))).unwrap().1);
    }

    #[test]
    fn a_pod_that_is_being_deleted_is_not_ready() {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        let mut pod = pod(ready);
        assert!(is_pod_ready(&pod));
        pod.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
        assert!(!is_pod_ready(&pod));
        assert_eq!(restarts(&pod), (0, None));
    }

    #[test]
    fn a_deployment_tells_why_it_has_no_pod() {
        let deployment: Deployment = serde_json::from_value(json!({"metadata": {"name": "d"}, "status": {"conditions": [
            {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}}))
        .unwrap();
        assert!(refusal(&deployment).unwrap().contains("exceeded quota"));
        assert_eq!(refusal(&Deployment::default()), None);
    }
}
