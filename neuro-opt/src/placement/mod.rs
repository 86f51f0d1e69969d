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
//! margin, is at most D_r. Of the methods here `neuro`, `perx` and `scaloran` may split a request, as published, and `milp` may on
//! demand; the others place it whole.
//!
//! # The data
//!
//! A [`Problem`] is an [`Instance`](neuro_data::instance::Instance) with its profilers, checked once. A method ends with a
//! [`Plan`] that [`audit`] has re-evaluated from scratch, in double precision and without anything that the
//! method computed.

mod assignment;
mod audit;
mod benchmark;
mod certificate;
mod decomposed;
mod exact;
mod explain;
mod filling;
mod first_fit;
mod greedy;
mod group;
mod lns;
mod milp;
mod neuro;
mod occupancy;
mod perx;
mod problem;
mod published;
mod rejection;
mod scaloran;
mod tenancy;

pub use audit::{Audit, AuditedPromise, AuditedServer, Finding, audit};
pub use certificate::{
    Branching, Certificate, ClassBasis, Cut, GroupProof, InequalityProof, PartProof, PromisesDual, ProofNode, Question,
    check_certificate,
};
pub use decomposed::{Decomposed, DecomposedParams, decomposed};
pub use exact::{Exact, ExactParams, exact};
pub use explain::{BoundChange, Explanation, MemoryChange, PaymentChange, explain};
pub use first_fit::first_fit;
pub use greedy::greedy;
pub use lns::{Lns, LnsParams, lns};
pub use milp::{Milp, MilpParams, milp};
pub use neuro::{Neuro, NeuroParams, neuro};
pub use perx::{PerxParams, perx};
pub use problem::{Problem, Profiles};
pub use scaloran::{ScalOranParams, scaloran};

use neuro_data::plan::{Assignment, Plan};

use crate::{Method, Outcome, Result};

/// Where each request runs: its server's position, or none.
pub(crate) type Placement = Vec<Option<usize>>;

/// Where the instances of each request run: positions of servers and how many, in order; none of one that is rejected.
pub(crate) type Parts = Vec<Vec<(usize, u32)>>;

/// A placement as parts.
pub(crate) fn parts_of(problem: &Problem<'_>, placement: &Placement) -> Parts {
    let whole = |(r, server): (usize, &Option<usize>)| {
        server.iter().map(|server| (*server, problem.instance().requests[r].instances)).collect()
    };
    placement.iter().enumerate().map(whole).collect()
}

/// The plan of a placement, audited, with a reason for each request that is rejected.
///
/// # Errors
///
/// As [`plan_of_parts`].
fn plan_of(problem: &Problem<'_>, method: Method, placement: &Placement, outcome: &Outcome) -> Result<Plan> {
    plan_of_parts(problem, method, &parts_of(problem, placement), outcome)
}

/// The same of requests that may be split.
///
/// # Errors
///
/// [`Error::FailedAudit`](crate::Error::FailedAudit): the plan breaks a memory, or a promise though its method decides by promises,
/// which would be a fault of the method. Promises that others break stand in the plan's audit.
fn plan_of_parts(problem: &Problem<'_>, method: Method, parts: &Parts, outcome: &Outcome) -> Result<Plan> {
    let instance = problem.instance();
    let placed = parts.iter().enumerate().flat_map(|(r, parts)| parts.iter().map(move |(s, n)| (r, *s, *n)));
    let assignments = placed.map(|(r, s, instances)| Assignment {
        request: instance.requests[r].id.clone(),
        server: instance.servers[s].name.clone(),
        instances,
    });
    let mut plan = Plan {
        method: method.id().to_owned(),
        objective: outcome.objective.unwrap_or(0.0),
        bound: outcome.bound,
        gap: outcome.gap(),
        seconds: outcome.seconds,
        termination: outcome.termination.id().to_owned(),
        assignments: assignments.collect(),
        rejected: rejection::rejections(problem, parts)?,
        audit: None,
        trace: Vec::new(),
    };
    let audit = audit(problem, &plan)?;
    let tolerated = |finding: &Finding| !method.keeps_promises() && matches!(finding, Finding::Promise { .. });
    if let Some(finding) = audit.findings.iter().find(|finding| !tolerated(finding)) {
        return Err(crate::Error::FailedAudit { finding: finding.to_string() });
    }
    plan.audit = Some(audit.to_json());
    Ok(plan)
}
