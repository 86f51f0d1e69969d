//! What a planner is asked: the open requests and the servers, as far as somebody knows them.

use std::sync::Arc;

use kube::ResourceExt;
use neuro_data::instance::{Instance, Request, Server};
use neuro_data::plan::{Rejection, RejectionCode};

use super::{EdgeServer, InferenceRequest, Profiler};
use crate::kube::memory_gb;

/// The open requests and the servers as an instance, in the order of their names. What cannot be read is left out.
pub(super) fn gather(requests: &[Arc<InferenceRequest>], servers: &[Arc<EdgeServer>]) -> Instance {
    let server = |server: &Arc<EdgeServer>| {
        let memory_gb = memory_gb(&server.spec.memory).filter(|gb| *gb > 0.0)?;
        Some(Server { name: server.name_any(), kind: server.spec.kind.clone(), memory_gb })
    };
    let open = requests.iter().filter(|request| request.metadata.deletion_timestamp.is_none());
    let request = |request: &Arc<InferenceRequest>| Request {
        id: request.name_any(),
        app: request.spec.app.clone(),
        instances: request.spec.instances,
        rate: request.spec.rate,
        payment: request.spec.payment,
        delay_s: request.spec.delay_seconds,
        sla: request.spec.sla.into(),
    };
    let mut instance =
        Instance { servers: servers.iter().filter_map(server).collect(), requests: open.map(request).collect() };
    instance.servers.sort_by(|a, b| a.name.cmp(&b.name));
    instance.requests.sort_by(|a, b| a.id.cmp(&b.id));
    instance
}

/// Leaves out what nobody can plan for: servers of a kind on which no application of a request is known, and requests whose
/// application is not known on every kind that is left.
pub(super) fn without_unknown(asked: &Instance, profiler: &dyn Profiler) -> (Instance, Vec<Rejection>) {
    let mut known = asked.clone();
    known.servers.retain(|server| asked.requests.iter().any(|request| profiler.knows(&server.kind, &request.app)));
    let Instance { servers, requests } = &mut known;
    let mut unknown = Vec::new();
    requests.retain(|request| {
        let stranger = servers.iter().find(|server| !profiler.knows(&server.kind, &request.app));
        unknown.extend(stranger.map(|server| Rejection {
            request: request.id.clone(),
            code: RejectionCode::OutsideTrainedRange,
            detail: format!("no profiler knows {} on servers of kind {}", request.app, server.kind),
        }));
        stranger.is_none()
    });
    (known, unknown)
}
