//! How a request fares, as its status says it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{Good, InferenceRequest, InferenceRequestStatus, NodeAssignment, Phase, RejectionStatus};
use crate::rollout::PlacedStatus;

pub(super) fn phase_of(name: &str, good: &Good, statuses: &[PlacedStatus]) -> Phase {
    let placed = good.plan.assignments.iter().any(|assignment| assignment.request == name);
    let mut here = statuses.iter().filter(|status| status.promise.request == name).peekable();
    if !placed {
        let rejected = good.plan.rejected.iter().any(|rejection| rejection.request == name);
        return if rejected { Phase::Rejected } else { Phase::Pending };
    }
    let all_ready = here.peek().is_some() && here.all(|status| status.ready >= status.instances);
    if all_ready { Phase::Running } else { Phase::Placed }
}

/// The condition that the measured latency keeps the promise.
pub(super) const SLA_KEPT: &str = "SlaKept";

pub(super) fn status_of(
    request: &InferenceRequest,
    good: &Good,
    statuses: &[PlacedStatus],
    nodes: &BTreeMap<String, String>,
) -> InferenceRequestStatus {
    let name = request.name_any();
    let before = request.status.as_ref();
    let here: Vec<&PlacedStatus> = statuses.iter().filter(|status| status.promise.request == name).collect();
    let phase = phase_of(&name, good, statuses);
    let assigned = good.plan.assignments.iter().filter(|assignment| assignment.request == name);
    let rejection = good.plan.rejected.iter().find(|rejection| rejection.request == name);
    let worst = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
    let measured = worst(&mut here.iter().filter_map(|status| status.measured_s));
    let (kept, kept_reason) = match measured {
        _ if here.iter().any(|status| status.violated) => ("False", "MeasuredOverPromise"),
        Some(_) => ("True", "MeasuredWithinPromise"),
        None => ("Unknown", "NotMeasured"),
    };
    let is = |yes: bool| if yes { "True" } else { "False" };
    let is_placed = matches!(phase, Phase::Placed | Phase::Running);
    let why = match (&good.fallback, rejection) {
        (Some(why), _) => why.clone(),
        (None, Some(rejection)) => rejection.detail.clone(),
        (None, None) => String::new(),
    };
    let placed_reason = if good.fallback.is_some() { "LastGoodPlan" } else { phase.name() };
    let troubles: Vec<String> = here.iter().flat_map(|status| status.troubles.clone()).collect();
    let condition = |kind: &str, status: &str, reason: &str, message: String| {
        let same = |c: &&Condition| c.type_ == kind && c.status == status;
        let known = before.and_then(|before| before.conditions.iter().find(same));
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            // Of the last change of the status, whatever else changes; whole seconds are all that is kept.
            last_transition_time: known.map_or_else(now, |known| known.last_transition_time.clone()),
            observed_generation: request.metadata.generation,
        }
    };
    InferenceRequestStatus {
        phase: Some(phase),
        assignments: assigned
            .map(|a| NodeAssignment {
                server: a.server.clone(),
                node: nodes.get(&a.server).unwrap_or(&a.server).clone(),
                instances: a.instances,
            })
            .collect(),
        predicted_seconds: worst(&mut good.predictions.iter().filter(|p| p.request == name).map(|p| p.predicted_s)),
        measured_seconds: measured,
        rejection: rejection.map(|rejection| RejectionStatus {
            code: format!("{:?}", rejection.code),
            message: rejection.detail.clone(),
        }),
        observed_generation: request.metadata.generation,
        conditions: vec![
            condition("Placed", is(is_placed), placed_reason, why),
            condition("Ready", is(phase == Phase::Running), phase.name(), troubles.join("; ")),
            condition(SLA_KEPT, kept, kept_reason, String::new()),
        ],
    }
}

fn now() -> Time {
    Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH))
}
