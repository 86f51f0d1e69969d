//! What would have admitted a rejected request.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use neuro_data::plan::{Plan, RejectionCode};
use serde::Serialize;

use super::audit::{Finding, audit};
use super::rejection::reason;
use super::tenancy::Tenancy;
use super::{Parts, Problem};
use crate::{Error, Result};

/// Why a request is rejected, and the least change of its payment, of its bound or of a server's memory that would admit it, everybody
/// else staying where they are. A change that nothing can be said of, or that would not do, is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The request.
    pub request: String,
    /// The reason.
    pub code: RejectionCode,
    /// The figures behind it, in words.
    pub detail: String,
    /// What it would have to pay.
    pub payment: Option<PaymentChange>,
    /// What bound it would have to accept.
    pub bound: Option<BoundChange>,
    /// How much memory would have to be added.
    pub memory: Option<MemoryChange>,
}

/// Admission in place of tenants of one server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PaymentChange {
    /// The server.
    pub server: String,
    /// What it pays.
    pub from: f64,
    /// What those pay that it displaces: from there on admitting it is no loss. Less than `from`: the plan is not the best.
    pub to: f64,
    /// Whom it displaces.
    pub displaced: Vec<String>,
    /// Whether no cheaper set of tenants of one server would do; not so where the search was broken off.
    pub proved: bool,
}

/// Admission with another bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoundChange {
    /// The server.
    pub server: String,
    /// Its bound (s).
    pub from_s: f64,
    /// The least bound that could be promised (s).
    pub to_s: f64,
}

/// Admission with more memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemoryChange {
    /// The server.
    pub server: String,
    /// GB more.
    pub extra_gb: f64,
}

/// Sets of tenants that are tried on one server before a search is broken off.
const TRIALS: usize = 20_000;
/// Of these, sets whose promises are evaluated.
const EVALUATIONS: usize = 2_000;

/// Explains every request that a plan rejects.
///
/// # Errors
///
/// [`Error::FailedAudit`] for a plan that does not answer the instance: unknown names, requests that are served in part, too little
/// memory. Broken promises are no hindrance; what is broken already counts for nothing. A profiler cannot predict a server.
pub fn explain(problem: &Problem<'_>, plan: &Plan) -> Result<Vec<Explanation>> {
    let faults = audit(problem, plan)?.findings.into_iter();
    let is_tolerable = |finding: &Finding| {
        matches!(finding, Finding::Promise { .. } | Finding::Objective { .. } | Finding::Bound { .. })
    };
    if let Some(finding) = faults.into_iter().find(|finding| !is_tolerable(finding)) {
        return Err(Error::FailedAudit { finding: finding.to_string() });
    }
    let parts = parts_of_plan(problem, plan);
    let servers = Tenancy::all(problem, &parts)?;
    let rejected = (0..parts.len()).filter(|request| parts[*request].is_empty());
    rejected.map(|request| of_request(problem, &parts, &servers, request)).collect()
}

/// Where a plan, which the audit has found to name nothing unknown, has its requests.
fn parts_of_plan(problem: &Problem<'_>, plan: &Plan) -> Parts {
    let instance = problem.instance();
    let mut parts: Parts = vec![Vec::new(); instance.requests.len()];
    for assignment in &plan.assignments {
        let request = instance.requests.iter().position(|request| request.id == assignment.request);
        let server = instance.servers.iter().position(|server| server.name == assignment.server);
        if let (Some(request), Some(server)) = (request, server) {
            parts[request].push((server, assignment.instances));
        }
    }
    parts
}

fn of_request(problem: &Problem<'_>, parts: &Parts, servers: &[Tenancy], request: usize) -> Result<Explanation> {
    let instance = problem.instance();
    let asked = &instance.requests[request];
    let (code, detail) = reason(problem, servers, request, servers.len())?;
    let (mut payment, mut bound, mut memory) = (None::<PaymentChange>, None::<BoundChange>, None::<MemoryChange>);
    for server in servers.iter().filter(|server| !problem.kind(server.server).beyond_training[request]) {
        let name = || instance.servers[server.server].name.clone();
        let admission = server.with(problem, request)?;
        if admission.pushed.is_empty() {
            if admission.has_memory() && bound.as_ref().is_none_or(|least| admission.own_s < least.to_s) {
                bound = Some(BoundChange { server: name(), from_s: asked.delay_s, to_s: admission.own_s });
            }
            let extra_gb = admission.missing_gb.max(0.0);
            if admission.keeps_own && memory.as_ref().is_none_or(|least| extra_gb < least.extra_gb) {
                memory = Some(MemoryChange { server: name(), extra_gb });
            }
        }
        let most = payment.as_ref().map_or(f64::INFINITY, |least| least.to);
        let (found, proved) = displacement(problem, parts, servers, server, request, most)?;
        match (found, &mut payment) {
            (Some((to, displaced)), _) => {
                let displaced = displaced.into_iter().map(|r| instance.requests[r].id.clone()).collect();
                payment = Some(PaymentChange { server: name(), from: asked.payment, to, displaced, proved });
            }
            // What is held is the least only if this server was searched to the end.
            (None, Some(held)) => held.proved &= proved,
            (None, None) => {}
        }
    }
    Ok(Explanation { request: asked.id.clone(), code, detail, payment, bound, memory })
}

/// A set of tenants: what they pay, and their places in ascending order of payment.
struct Set {
    payment: f64,
    places: Vec<usize>,
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Set {}

impl PartialOrd for Set {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Set {
    /// The heap's top is the cheapest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.payment.total_cmp(&self.payment).then_with(|| other.places.cmp(&self.places))
    }
}

/// What a set of tenants pays and who they are, if one was found, and whether no cheaper one can be.
type Displacement = (Option<(f64, Vec<usize>)>, bool);

/// The tenants of a server that pay least together, less than `most`, and make room for a request; and whether the search came to its
/// end.
///
/// Sets come in ascending order of payment: from a set whose dearest tenant is at place i follow the one with i + 1 added and the one
/// with i + 1 in place of i.
fn displacement(
    problem: &Problem<'_>,
    parts: &Parts,
    servers: &[Tenancy],
    server: &Tenancy,
    request: usize,
    most: f64,
) -> Result<Displacement> {
    let payment = |r: usize| problem.instance().requests[r].payment;
    let mut tenants: Vec<usize> = server.tenants.iter().map(|(r, _)| *r).collect();
    tenants.sort_by(|a, b| payment(*a).total_cmp(&payment(*b)));
    let mut heap = BinaryHeap::from([Set { payment: 0.0, places: Vec::new() }]);
    let mut evaluations = 0;
    for _ in 0..TRIALS {
        let Some(Set { payment: sum, places }) = heap.pop() else { return Ok((None, true)) };
        if sum >= most {
            return Ok((None, true));
        }
        let next = places.last().map_or(0, |last| last + 1);
        if next < tenants.len() {
            let more = payment(tenants[next]);
            heap.push(Set { payment: sum + more, places: [&places[..], &[next]].concat() });
            if let Some((last, rest)) = places.split_last() {
                let payment = sum - payment(tenants[*last]) + more;
                heap.push(Set { payment, places: [rest, &[next]].concat() });
            }
        }
        let displaced: Vec<usize> = places.iter().map(|place| tenants[*place]).collect();
        let here = |r: &usize| server.tenants.iter().find(|(tenant, _)| tenant == r).map_or(0, |(_, n)| *n);
        let freed: f64 = displaced.iter().map(|r| f64::from(here(r)) * problem.instance_memory_gb[*r]).sum();
        if problem.memory_gb[request] > server.free_gb(problem) + freed + super::occupancy::MEMORY_TOLERANCE_GB {
            continue;
        }
        if evaluations == EVALUATIONS {
            return Ok((None, false));
        }
        evaluations += 1;
        if makes_room(problem, parts, servers, server, &displaced, request)? {
            // Summed anew: differences are not exact.
            return Ok((Some((displaced.iter().map(|r| payment(*r)).sum(), displaced)), true));
        }
    }
    Ok((None, false))
}

/// Whether a request can be admitted to a server without these tenants, and nobody's kept promise is broken by either, there or on other
/// servers that they are on.
fn makes_room(
    problem: &Problem<'_>,
    parts: &Parts,
    servers: &[Tenancy],
    server: &Tenancy,
    displaced: &[usize],
    request: usize,
) -> Result<bool> {
    let requests = &problem.instance().requests;
    let without = server.without(problem, displaced)?;
    let mut tenants = without.tenants.clone();
    tenants.push((request, requests[request].instances));
    let after = Tenancy::new(problem, server.server, tenants)?;
    if !after.keeps(problem, server) {
        return Ok(false);
    }
    let elsewhere = displaced.iter().flat_map(|r| &parts[*r]).map(|(s, _)| *s).filter(|s| *s != server.server);
    for other in elsewhere {
        let before = &servers[other];
        if !before.without(problem, displaced)?.keeps(problem, before) {
            return Ok(false);
        }
    }
    Ok(true)
}
