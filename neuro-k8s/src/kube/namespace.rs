//! A namespace of one's own.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::api::PostParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::cluster::{is_code, list, retrying};
use super::labels::{MANAGED_BY, TOOL};
use crate::{Error, Result};

/// Makes sure that the namespace is there and holds nothing of others.
///
/// A driver whose rights end at the namespace can neither see nor make it; the namespace is then taken to exist.
///
/// # Errors
/// [`Error::Namespace`] with the others' objects, unless `adopt`; the server refuses.
pub(crate) async fn claim(client: &Client, namespace: &str, adopt: bool) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = retrying(&format!("look up namespace {namespace}"), || async { api.get_opt(namespace).await }).await;
    match found {
        Ok(Some(_)) => {}
        Ok(None) => return create(&api, namespace).await,
        Err(error) if is_code(&error, 403) => {}
        Err(error) => return Err(error),
    }
    if adopt {
        return Ok(());
    }
    let mut others = of_others::<Deployment>(client, namespace).await?;
    others.extend(of_others::<StatefulSet>(client, namespace).await?);
    others.extend(of_others::<DaemonSet>(client, namespace).await?);
    others.extend(of_others::<Job>(client, namespace).await?);
    others.extend(of_others::<Pod>(client, namespace).await?);
    others.extend(of_others::<Service>(client, namespace).await?);
    // The API server's own, in the default namespace.
    others.retain(|name| name != "Service kubernetes");
    if others.is_empty() {
        return Ok(());
    }
    let count = others.len();
    others.truncate(5);
    Err(Error::Namespace { namespace: namespace.to_owned(), count, objects: others.join(", ") })
}

async fn create(api: &Api<Namespace>, name: &str) -> Result<()> {
    let labels = [(MANAGED_BY, TOOL), ("pod-security.kubernetes.io/enforce", "restricted")];
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some(name.to_owned());
    namespace.metadata.labels =
        Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>());
    let action = format!("create namespace {name}");
    let created = retrying(&action, || async {
        match api.create(&PostParams::default(), &namespace).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            answer => answer.map(drop),
        }
    });
    created.await
}

/// Names of a kind's objects that are not this tool's. A kind that may not be listed holds none that we could harm.
async fn of_others<K>(client: &Client, namespace: &str) -> Result<Vec<String>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match list(&api, &format!("{MANAGED_BY}!={TOOL}")).await {
        Ok(found) => Ok(found.iter().map(|object| format!("{} {}", K::kind(&()), object.name_any())).collect()),
        Err(error) if is_code(&error, 403) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
