//! Placement: which requests to admit, and on which servers, for the most revenue under memory and latency promises.
//!
//! # The problem
//!
//! Requests r with payment p_r, N_r instances of m_r GB each, and a bound D_r on one statistic of their service time. Servers s of
//! some kinds with C_s GB, a profiler a kind. With integers x_rs ≥ 0 and z_r ∈ {0, 1}
//!
//! maximise Σ_r p_r z_r subject to Σ_s x_rs = N_r z_r, Σ_r m_r x_rs ≤ C_s,
//!
//! and, wherever x_rs > 0, the service time that the profiler of s predicts for r beside all that runs on s, times the profiler's
//! margin, is at most D_r. The methods here place a request whole on one server; [`audit`] accepts splits.
//!
//! # The data
//!
//! A [`Problem`] is an [`Instance`](neuro_data::instance::Instance) with its profilers, checked once. A method ends with a
//! [`Plan`] that [`audit`] has re-evaluated from scratch, in double precision and without anything that the
//! method computed.

mod audit;
mod certificate;
mod decomposed;
mod exact;
mod filling;
mod greedy;
mod lns;
mod occupancy;
mod problem;
mod rejection;

pub use audit::{Audit, AuditedPromise, AuditedServer, Finding, audit};
pub use certificate::{Certificate, ClassProof, Cut, ProofNode, check_certificate};
pub use decomposed::{Decomposed, DecomposedParams, decomposed};
pub use exact::{Exact, ExactParams, exact};
pub use greedy::greedy;
pub use lns::{Lns, LnsParams, lns};
pub use problem::{Problem, Profiles};

use neuro_data::plan::{Assignment, Plan};

use crate::{Method, Outcome, Result};

/// Where each request runs: its server's position, or none.
pub(crate) type Placement = Vec<Option<usize>>;

/// The plan of a placement, audited, with a reason for each request that is rejected.
///
/// # Errors
///
/// [`Error::FailedAudit`](crate::Error::FailedAudit): the plan breaks a promise or a memory, which would be a fault of the method.
fn plan_of(problem: &Problem<'_>, method: Method, placement: &Placement, outcome: &Outcome) -> Result<Plan> {
    let instance = problem.instance();
    let placed = placement.iter().enumerate().filter_map(|(r, server)| Some((r, (*server)?)));
    let assignments = placed.map(|(r, s)| Assignment {
        request: instance.requests[r].id.clone(),
        server: instance.servers[s].name.clone(),
        instances: instance.requests[r].instances,
    });
    let mut plan = Plan {
        method: method.id().to_owned(),
        objective: outcome.objective.unwrap_or(0.0),
        bound: outcome.bound,
        gap: outcome.gap(),
        seconds: outcome.seconds,
        termination: outcome.termination.id().to_owned(),
        assignments: assignments.collect(),
        rejected: rejection::rejections(problem, placement)?,
        audit: None,
        trace: Vec::new(),
    };
    let audit = audit(problem, &plan)?;
    if let Some(finding) = audit.findings.first() {
        return Err(crate::Error::FailedAudit { finding: finding.to_string() });
    }
    plan.audit = Some(audit.to_json());
    Ok(plan)
}
