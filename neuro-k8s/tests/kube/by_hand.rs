//! A fake cluster to try the command and the examples on, without a real one:
//!
//! ```text
//! cargo test -p neuro-k8s --test kube -- --ignored --nocapture a_cluster_to_try_things_on
//! ```
//!
//! It says what to set `KUBECONFIG` to, and ends with its standard input (Ctrl-D). Its pods sleep instead of inferring.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use crate::fake_cluster::{Behaviour, FakeCluster};

#[test]
#[ignore = "lasts until its standard input ends"]
fn a_cluster_to_try_things_on() {
    let ready_after = Duration::from_millis(500);
    let fake = FakeCluster::start(Behaviour { ready_after, service_s: 0.01, ..Behaviour::default() });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubeconfig");
    let config = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: fake, cluster: {{server: \"http://{}\"}}}}]\nusers: [{{name: anybody, user: {{}}}}]
contexts: [{{name: fake, context: {{cluster: fake, user: anybody}}}}]\ncurrent-context: fake\n",
        fake.address
    );
    std::fs::write(&path, config).unwrap();
    println!("export KUBECONFIG={}", path.display());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
