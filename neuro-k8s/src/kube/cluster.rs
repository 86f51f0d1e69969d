//! Talking to the API server: calls that are tried again where that can help, objects applied, found and removed by label.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::client::UpgradeConnectionError;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::labels::TOOL;
use crate::clock::monotonic_s;
use crate::{Error, Result};

/// Times that a call is tried.
const ATTEMPTS: u32 = 7;

/// How long the server may take to answer one call.
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Makes a call, and again while the reason of its failure may pass: conflicts, too many requests, a server in trouble, a broken
/// connection. Waits twice as long each time, within a factor of chance, or as long as the server asks for.
///
/// # Errors
/// The last failure, in words.
pub(crate) async fn retrying<T, F, Fut>(action: &str, mut call: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = kube::Result<T>>,
{
    let mut attempt = 0;
    loop {
        attempt += 1;
        let error = match tokio::time::timeout(CALL_DEADLINE, call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) if attempt < ATTEMPTS => continue,
            Err(_) => {
                let reason = format!("the API server does not answer within {} s", CALL_DEADLINE.as_secs());
                return Err(Error::Kube { action: action.to_owned(), reason, cause: None });
            }
        };
        if attempt == ATTEMPTS || !may_pass(&error) {
            return Err(failed(action, error));
        }
        tokio::time::sleep(pause(attempt, &error)).await;
    }
}

fn may_pass(error: &kube::Error) -> bool {
    match (error, code(error)) {
        (kube::Error::Api(status), Some(409)) => !status.is_already_exists(),
        (_, Some(code)) => matches!(code, 429 | 500 | 502 | 503 | 504),
        (kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_), None) => true,
        _ => false,
    }
}

/// What the server answered, where it did.
fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) => Some(status.as_u16()),
        _ => None,
    }
}

fn pause(attempt: u32, error: &kube::Error) -> Duration {
    let asked_s = match error {
        kube::Error::Api(status) => status.details.as_ref().map_or(0, |details| details.retry_after_seconds),
        _ => 0,
    };
    // The low digits of the clock are chance enough to keep two drivers apart.
    let chance = (monotonic_s() * 1e6).fract();
    let own_s = 0.05 * f64::from(1 << attempt.min(6)) * (0.5 + chance);
    Duration::from_secs_f64(own_s.max(f64::from(asked_s.min(30))))
}

/// An error of the client as one of this crate.
pub(crate) fn failed(action: &str, error: kube::Error) -> Error {
    let reason = match (&error, code(&error)) {
        (kube::Error::Api(status), Some(code)) if !status.message.is_empty() => {
            format!("the API server answers {code}: {}", status.message)
        }
        (_, Some(code)) => format!("the API server answers {code}"),
        (other, None) => other.to_string(),
    };
    Error::Kube { action: action.to_owned(), reason, cause: Some(Box::new(error)) }
}

/// Whether the server answered with this code.
pub(crate) fn is_code(error: &Error, wanted: u16) -> bool {
    let Error::Kube { cause: Some(cause), .. } = error else { return false };
    code(cause) == Some(wanted)
}

/// Applies an object on the server's side, as the owner of its fields.
pub(crate) async fn apply<K>(api: &Api<K>, object: &K, dry_run: bool) -> Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = object.name_any();
    let mut params = PatchParams::apply(TOOL).force();
    params.dry_run = dry_run;
    let action = format!("apply {} {name}", K::kind(&()));
    retrying(&action, || async { api.patch(&name, &params, &Patch::Apply(object)).await }).await
}

pub(crate) async fn list<K>(api: &Api<K>, selector: &str) -> Result<Vec<K>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let params = ListParams::default().labels(selector);
    let action = format!("list {}", K::plural(&()));
    Ok(retrying(&action, || async { api.list(&params).await }).await?.items)
}

/// Deletes an object by name; it may be gone already.
pub(crate) async fn delete_one<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let action = format!("delete {} {name}", K::kind(&()));
    let deleted = retrying(&action, || async {
        match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            answer => answer.map(drop),
        }
    });
    deleted.await
}

/// The objects of a kind, by kind and name.
async fn names<K>(client: &Client, namespace: &str, selector: &str) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let of = |object: &K| format!("{} {}", K::kind(&()), object.name_any());
    Ok(list(&api, selector).await?.iter().map(of).collect())
}

/// Deletes the objects of a kind that are not in `asked`, which holds the uids of those that were asked to go; returns all that
/// are there still, by kind and name.
async fn delete<K>(
    client: &Client,
    namespace: &str,
    selector: &str,
    asked: &mut BTreeSet<String>,
) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    for object in list(&api, selector).await? {
        let name = object.name_any();
        if asked.insert(object.uid().unwrap_or_else(|| name.clone())) {
            delete_one(&api, &name).await?;
        }
        found.push(format!("{} {name}", K::kind(&())));
    }
    Ok(found)
}

/// Deletes every Deployment and Service of a selector and waits until they and their pods are gone; returns how many there were.
/// One that appears meanwhile, of a call that was under way, is deleted too.
///
/// # Errors
/// [`Error::Leftover`] when something is there still at the deadline; the server refuses.
pub(crate) async fn destroy(client: &Client, namespace: &str, selector: &str, deadline: Duration) -> Result<usize> {
    let end = Instant::now() + deadline;
    let mut asked = BTreeSet::new();
    let mut pause = Duration::from_millis(20);
    loop {
        let mut left = delete::<Deployment>(client, namespace, selector, &mut asked).await?;
        left.extend(delete::<Service>(client, namespace, selector, &mut asked).await?);
        left.extend(names::<ReplicaSet>(client, namespace, selector).await?);
        left.extend(names::<Pod>(client, namespace, selector).await?);
        if left.is_empty() {
            return Ok(asked.len());
        }
        if Instant::now() >= end {
            return Err(Error::Leftover { namespace: namespace.to_owned(), objects: left.join(", ") });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
