//! The Roles that are shipped: what driver and operator do is allowed, and nothing that they do not do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use neuro_data::run_folder::run_folders;
use neuro_k8s::{Interrupt, KubeTarget};
use serde_json::json;

use crate::campaign::{self, campaign, campaign_within, params, runs};
use crate::fake_cluster::rights::rights;
use crate::fake_cluster::{Behaviour, FakeCluster};
use crate::operator::{self, FirstFit, beside, cluster, operator, request, status, until};

const DRIVER: &str = include_str!("../../deploy/driver.yaml");
const OPERATOR: &str = include_str!("../../deploy/operator.yaml");

fn texts(rights: &[&str]) -> BTreeSet<String> {
    rights.iter().map(|right| (*right).to_owned()).collect()
}

#[tokio::test]
async fn a_driver_needs_what_its_role_allows_and_no_less() {
    let fake = FakeCluster::start(Behaviour { pod_ips: false, node_ports: false, ..Behaviour::default() });
    fake.put("namespaces", "", campaign::NAMESPACE, json!({"metadata": {"name": campaign::NAMESPACE}}));
    fake.allow_only(DRIVER);
    // A run by each of the ways, one that crashes and one whose pods are refused.
    for (image, failed) in [("neuro-app:test", 0), ("crashing/neuro-app:1", 1), ("refused/neuro-app:1", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut target = KubeTarget::connect(fake.client(), params(image)).await.unwrap();
        let (deadline, interrupt) = (Duration::from_secs(2), Interrupt::new());
        let runs = &runs(false)[..1];
        let report = campaign_within(deadline, &interrupt, &mut target, runs, folder.path()).await.unwrap();
        assert_eq!(report.failed, failed);
        target.release().await;
    }
    // A driver that was killed, and its successor.
    drop(KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap());
    KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap().release().await;

    let (used, denied) = fake.used_and_denied();
    // Whether the namespace is there is asked, and nobody minds that it is not told.
    assert_eq!(denied, texts(&["get namespaces"]));
    // Newer servers take a port-forward for a creation.
    let unused: BTreeSet<String> = rights(DRIVER).difference(&used).cloned().collect();
    assert_eq!(unused, texts(&["create pods/portforward"]));
}

#[tokio::test]
async fn a_driver_without_a_right_to_nodes_measures_the_node_it_is_told() {
    let fake = FakeCluster::start(Behaviour { pod_ips: false, ..Behaviour::default() });
    fake.put("namespaces", "", campaign::NAMESPACE, json!({"metadata": {"name": campaign::NAMESPACE}}));
    let of_namespace = DRIVER.split("---").filter(|document| !document.contains("kind: ClusterRole\n"));
    fake.allow_only(&of_namespace.collect::<Vec<_>>().join("---"));
    let folder = tempfile::tempdir().unwrap();
    let mut named = params("neuro-app:test");
    named.node = Some("edge-1".to_owned());
    let mut target = KubeTarget::connect(fake.client(), named).await.unwrap();
    let report = campaign(&mut target, &runs(false)[..1], folder.path()).await.unwrap();
    assert_eq!(report.complete, 1);
    target.release().await;
    assert_eq!(fake.used_and_denied().1, texts(&["get namespaces", "get nodes"]));
}

#[tokio::test]
async fn a_driver_that_may_not_watch_pods_says_so() {
    let fake = FakeCluster::start(Behaviour::default());
    fake.put("namespaces", "", campaign::NAMESPACE, json!({"metadata": {"name": campaign::NAMESPACE}}));
    let (whole, less) = ("verbs: [list, watch]", "verbs: [list]");
    assert!(DRIVER.contains(whole));
    fake.allow_only(&DRIVER.replace(whole, less));
    let folder = tempfile::tempdir().unwrap();
    let mut target = KubeTarget::connect(fake.client(), params("neuro-app:test")).await.unwrap();
    let (deadline, interrupt) = (Duration::from_millis(500), Interrupt::new());
    campaign_within(deadline, &interrupt, &mut target, &runs(false)[..1], folder.path()).await.unwrap();
    target.release().await;
    let reason = run_folders(folder.path()).unwrap()[0].manifest().reason.clone().unwrap();
    assert!(reason.contains("cannot be watched") && reason.contains("no right to watch pods"), "{reason}");
}

#[tokio::test]
async fn an_operator_needs_what_its_role_allows_and_no_less() {
    let fake = cluster(0.0, 0);
    fake.allow_only(OPERATOR);
    let planner = Arc::new(FirstFit::default());
    beside(operator(&fake, &planner), async {
        request(&fake, "a", 2, 3.0);
        request(&fake, "too-large", 9, 1.0);
        until("it runs", || status(&fake, "a")["phase"] == "Running").await;
        until("the other is rejected", || status(&fake, "too-large")["phase"] == "Rejected").await;
        // No longer placed: its objects go, by the operator's hand.
        request(&fake, "a", 9, 3.0);
        until("its objects are gone", || fake.objects("apps/deployments", operator::NAMESPACE).is_empty()).await;
        until("the Lease is renewed", || fake.used_and_denied().0.contains("update coordination.k8s.io/leases")).await;
    })
    .await;
    let (used, denied) = fake.used_and_denied();
    assert_eq!(denied, BTreeSet::new());
    let unused: BTreeSet<String> = rights(OPERATOR).difference(&used).cloned().collect();
    // An owner that blocks its deletion is asked about by the server; a series of one Event is continued.
    assert_eq!(unused, texts(&["update neuro.dev/inferencerequests/finalizers", "patch events.k8s.io/events"]));
}
