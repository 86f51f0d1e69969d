//! The audit: a plan re-evaluated from scratch.

use std::collections::BTreeMap;
use std::fmt;

use neuro_data::Sla;
use neuro_data::plan::Plan;
use neuro_profiler::{Load, sla_index};
use serde::Serialize;

use super::Problem;
use super::occupancy::MEMORY_TOLERANCE_GB;
use crate::Result;

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// It names a request that the instance does not have.
    UnknownRequest {
        /// The name.
        request: String,
    },
    /// It names a server that the instance does not have.
    UnknownServer {
        /// The name.
        server: String,
    },
    /// A request stands in the plan twice for one server, or is both served and rejected.
    Twice {
        /// The request.
        request: String,
    },
    /// A request is served in part only.
    Partial {
        /// The request.
        request: String,
        /// Instances placed.
        placed: u64,
        /// Instances asked for.
        asked: u32,
    },
    /// A server has too little memory.
    Memory {
        /// The server.
        server: String,
        /// GB needed.
        needed_gb: f64,
        /// GB there.
        memory_gb: f64,
    },
    /// A promise is broken.
    Promise {
        /// The request.
        request: String,
        /// The server.
        server: String,
        /// Seconds predicted, with the margin.
        promise_s: f64,
        /// Seconds allowed.
        delay_s: f64,
    },
    /// The revenue is another than the plan says.
    Objective {
        /// What the plan says.
        stated: f64,
        /// The sum of the payments.
        found: f64,
    },
    /// The stated bound lies below the revenue.
    Bound {
        /// What the plan says.
        bound: f64,
        /// The sum of the payments.
        found: f64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRequest { request } => write!(f, "the instance has no request {request:?}"),
            Self::UnknownServer { server } => write!(f, "the instance has no server {server:?}"),
            Self::Twice { request } => write!(f, "request {request} stands in the plan more than once"),
            Self::Partial { request, placed, asked } => {
                write!(f, "request {request}: {placed} of {asked} instances are placed")
            }
            Self::Memory { server, needed_gb, memory_gb } => {
                write!(f, "server {server}: {needed_gb:.3} GB are needed, {memory_gb:.3} GB are there")
            }
            Self::Promise { request, server, promise_s, delay_s } => {
                write!(f, "request {request} on {server}: {promise_s:.6} s > {delay_s:.6} s")
            }
            Self::Objective { stated, found } => write!(f, "the plan says {stated}, the payments sum to {found}"),
            Self::Bound { bound, found } => write!(f, "the bound {bound} lies below the revenue {found}"),
        }
    }
}

/// A promise, evaluated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedPromise {
    /// The request.
    pub request: String,
    /// The server.
    pub server: String,
    /// The statistic.
    pub sla: Sla,
    /// Seconds predicted.
    pub predicted_s: f64,
    /// By what the prediction is multiplied before it is promised.
    pub margin: f64,
    /// Seconds promised: predicted times margin.
    pub promise_s: f64,
    /// Seconds allowed.
    pub delay_s: f64,
}

/// A server, evaluated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedServer {
    /// The server.
    pub server: String,
    /// GB needed.
    pub used_gb: f64,
    /// GB there.
    pub memory_gb: f64,
}

/// A plan, evaluated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// What is wrong with it; nothing of a plan that holds.
    pub findings: Vec<Finding>,
    /// The revenue of the requests that are wholly served.
    pub revenue: f64,
    /// Every promise.
    pub promises: Vec<AuditedPromise>,
    /// Every server.
    pub servers: Vec<AuditedServer>,
}

impl Audit {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// As it stands in a plan.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "holds": self.holds(),
            "findings": self.findings,
            "revenue": self.revenue,
            "promises": self.promises,
            "servers": self.servers,
        })
    }
}

/// Revenue by which sums in another order may differ, relative to the larger of 1 and the revenue.
const REVENUE_TOLERANCE: f64 = 1e-9;

/// Evaluates a plan from scratch, in double precision, by the profilers and the instance alone.
///
/// # Errors
///
/// A profiler cannot predict a server.
pub fn audit(problem: &Problem<'_>, plan: &Plan) -> Result<Audit> {
    let instance = problem.instance();
    let mut findings = Vec::new();
    // Instances by server and request.
    let mut placed: Vec<BTreeMap<usize, u32>> = vec![BTreeMap::new(); instance.servers.len()];
    for assignment in &plan.assignments {
        let request = instance.requests.iter().position(|request| request.id == assignment.request);
        let server = instance.servers.iter().position(|server| server.name == assignment.server);
        match (request, server) {
            (Some(request), Some(server)) => {
                if placed[server].insert(request, assignment.instances).is_some() {
                    findings.push(Finding::Twice { request: assignment.request.clone() });
                }
            }
            (None, _) => findings.push(Finding::UnknownRequest { request: assignment.request.clone() }),
            (_, None) => findings.push(Finding::UnknownServer { server: assignment.server.clone() }),
        }
    }
    let mut revenue = 0.0;
    for (r, request) in instance.requests.iter().enumerate() {
        let instances: u64 = placed.iter().filter_map(|server| server.get(&r)).map(|n| u64::from(*n)).sum();
        let is_rejected = plan.rejected.iter().any(|rejection| rejection.request == request.id);
        if instances > 0 && is_rejected {
            findings.push(Finding::Twice { request: request.id.clone() });
        }
        if instances == u64::from(request.instances) {
            revenue += request.payment;
        } else if instances > 0 {
            let (placed, asked) = (instances, request.instances);
            findings.push(Finding::Partial { request: request.id.clone(), placed, asked });
        }
    }
    let (mut promises, mut servers) = (Vec::new(), Vec::new());
    for (s, tenants) in placed.iter().enumerate() {
        let server = &instance.servers[s];
        let used_gb: f64 = tenants.iter().map(|(r, n)| f64::from(*n) * problem.instance_memory_gb[*r]).sum();
        if used_gb > server.memory_gb + MEMORY_TOLERANCE_GB {
            let (needed_gb, memory_gb) = (used_gb, server.memory_gb);
            findings.push(Finding::Memory { server: server.name.clone(), needed_gb, memory_gb });
        }
        servers.push(AuditedServer { server: server.name.clone(), used_gb, memory_gb: server.memory_gb });
        let kind = problem.kind(s);
        let loads = tenants.iter().map(|(r, n)| Load { instances: f64::from(*n), ..kind.loads[*r] });
        let times = kind.bundle.promises(&loads.collect::<Vec<_>>())?;
        for (r, times) in tenants.keys().zip(times) {
            let request = &instance.requests[*r];
            let promise_s = times[sla_index(request.sla)];
            let margin = kind.bundle.margin(kind.loads[*r].app, request.sla);
            let kept = promise_s <= request.delay_s;
            if !kept {
                let (request_id, server, delay_s) = (request.id.clone(), server.name.clone(), request.delay_s);
                findings.push(Finding::Promise { request: request_id, server, promise_s, delay_s });
            }
            promises.push(AuditedPromise {
                request: request.id.clone(),
                server: server.name.clone(),
                sla: request.sla,
                predicted_s: promise_s / margin,
                margin,
                promise_s,
                delay_s: request.delay_s,
            });
        }
    }
    let tolerance = REVENUE_TOLERANCE * revenue.abs().max(1.0);
    let differs = (plan.objective - revenue).abs() > tolerance || plan.objective.is_nan();
    if differs {
        findings.push(Finding::Objective { stated: plan.objective, found: revenue });
    }
    if let Some(bound) = plan.bound.filter(|bound| bound.is_nan() || *bound < revenue - tolerance) {
        findings.push(Finding::Bound { bound, found: revenue });
    }
    Ok(Audit { findings, revenue, promises, servers })
}
