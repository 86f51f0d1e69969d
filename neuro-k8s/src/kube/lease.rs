//! Keeping two drivers off one namespace.
//!
//! # Guarantees
//! - Of two drivers that want a namespace one gets it: every change of the Lease names the version it was made from, and the
//!   server takes only one of them.
//! - A driver that was killed keeps the namespace for as long as its Lease says and no longer. Who waits for that goes by its own
//!   clock from the moment it saw the last renewal, so clocks need not agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client};

use super::cluster::{failed, retrying};
use super::labels::{self, MANAGED_BY, TOOL};
use crate::{Error, Result, host};

/// A Lease that is held and renewed. Dropped without [`Lease::release`] it runs out by itself.
#[derive(Debug)]
pub(crate) struct Lease {
    api: Api<LeaseObject>,
    name: String,
    holder: String,
    lost: Arc<AtomicBool>,
    renewing: tokio::task::JoinHandle<()>,
}

/// How often taking it may fail: longer than a race lasts, and not for ever where the namespace is not there.
const MAX_FAILURES: u32 = 40;

impl Lease {
    /// Takes the Lease `name` of a namespace.
    ///
    /// # Errors
    /// [`Error::NamespaceInUse`] when another holder renews it; the server refuses.
    pub(crate) async fn take(client: &Client, namespace: &str, name: &str, duration: Duration) -> Result<Self> {
        let api: Api<LeaseObject> = Api::namespaced(client.clone(), namespace);
        let holder = holder();
        let mut seen: Option<(LeaseObject, Instant)> = None;
        let mut failures = 0;
        let held = loop {
            let found = retrying("read the Lease", || async { api.get_opt(name).await }).await?;
            let attempt = match found {
                None => api.create(&PostParams::default(), &object(name, &holder, duration)).await,
                Some(lease) if is_free(&lease) => {
                    api.replace(name, &PostParams::default(), &taken(lease, &holder, duration)).await
                }
                Some(lease) => match &seen {
                    // It was renewed since: its holder lives.
                    Some((before, _)) if renewal(before) != renewal(&lease) => {
                        let holder = holder_of(&lease).to_owned();
                        return Err(Error::NamespaceInUse { namespace: namespace.to_owned(), holder });
                    }
                    Some((_, since)) if since.elapsed() > length(&lease) => {
                        api.replace(name, &PostParams::default(), &taken(lease, &holder, duration)).await
                    }
                    _ => {
                        let pause = (length(&lease) / 10).max(Duration::from_millis(20));
                        seen.get_or_insert((lease, Instant::now()));
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                },
            };
            match attempt {
                Ok(lease) => break lease,
                // Somebody was faster, or the server is in trouble: look again.
                Err(kube::Error::Api(status))
                    if matches!(status.code, 404 | 409 | 429 | 500 | 503) && failures < MAX_FAILURES =>
                {
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(failed("take the Lease", error)),
            }
        };
        let lost = Arc::new(AtomicBool::new(false));
        let renewing = tokio::spawn(renew(api.clone(), held, holder.clone(), duration, Arc::clone(&lost)));
        Ok(Self { api, name: name.to_owned(), holder, lost, renewing })
    }

    /// Whether another has it now, or it could not be renewed in time.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Gives it back.
    pub(crate) async fn release(self) {
        self.renewing.abort();
        let found = retrying("read the Lease", || async { self.api.get_opt(&self.name).await }).await;
        let Ok(Some(lease)) = found else { return };
        if holder_of(&lease) == self.holder {
            let only_this = Preconditions { resource_version: None, uid: lease.metadata.uid.clone() };
            let params = DeleteParams::default().preconditions(only_this);
            // Where it cannot be deleted it runs out.
            let _ = retrying("give the Lease back", || async { self.api.delete(&self.name, &params).await }).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(
    api: Api<LeaseObject>,
    mut held: LeaseObject,
    holder: String,
    duration: Duration,
    lost: Arc<AtomicBool>,
) {
    let mut renewed = Instant::now();
    loop {
        tokio::time::sleep(duration / 3).await;
        let name = held.metadata.name.clone().unwrap_or_default();
        if let Some(spec) = &mut held.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        match api.replace(&name, &PostParams::default(), &held).await {
            Ok(lease) => (held, renewed) = (lease, Instant::now()),
            Err(_) => match api.get_opt(&name).await {
                Ok(Some(lease)) if holder_of(&lease) == holder => held = lease,
                Ok(_) => return lost.store(true, Ordering::Relaxed),
                Err(_) if renewed.elapsed() > duration => return lost.store(true, Ordering::Relaxed),
                Err(_) => {}
            },
        }
    }
}

/// Who this driver is: host, process and moment.
fn holder() -> String {
    format!("{}/{}/{}", host::describe().name, std::process::id(), Timestamp::now().as_microsecond())
}

fn object(name: &str, holder: &str, duration: Duration) -> LeaseObject {
    let mut lease = LeaseObject::default();
    lease.metadata.name = Some(name.to_owned());
    lease.metadata.labels = Some(labels::map([(MANAGED_BY, TOOL.to_owned())]));
    taken(lease, holder, duration)
}

fn taken(mut lease: LeaseObject, holder: &str, duration: Duration) -> LeaseObject {
    let now = MicroTime(Timestamp::now());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        // Whole seconds are all it can say.
        lease_duration_seconds: Some(duration.as_secs_f64().ceil().max(1.0) as i32),
        acquire_time: Some(now.clone()),
        renew_time: Some(now),
        ..LeaseSpec::default()
    });
    lease
}

fn holder_of(lease: &LeaseObject) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

fn is_free(lease: &LeaseObject) -> bool {
    holder_of(lease).is_empty()
}

fn renewal(lease: &LeaseObject) -> Option<(&str, &MicroTime)> {
    Some((holder_of(lease), lease.spec.as_ref()?.renew_time.as_ref()?))
}

fn length(lease: &LeaseObject) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
