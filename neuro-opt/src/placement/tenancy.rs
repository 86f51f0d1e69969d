use neuro_profiler::{Load, sla_index};

use super::occupancy::MEMORY_TOLERANCE_GB;
use super::{Parts, Problem};
use crate::Result;

/// What runs on one server of a plan, with its promises: what is asked when one more is to be admitted.
#[derive(Clone, Debug)]
pub(crate) struct Tenancy {
    pub(crate) server: usize,
    /// Requests and how many of their instances.
    pub(crate) tenants: Vec<(usize, u32)>,
    pub(crate) used_gb: f64,
    /// Seconds promised to each.
    pub(crate) promises_s: Vec<f64>,
}

/// What would become of a server with one request more.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// GB that are missing; none or less where there is memory.
    pub(crate) missing_gb: f64,
    /// Seconds that it would be promised.
    pub(crate) own_s: f64,
    /// Whether that keeps its bound.
    pub(crate) keeps_own: bool,
    /// Tenants whose kept promise it would break.
    pub(crate) pushed: Vec<Push>,
}

/// A tenant whose promise would no longer hold.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) request: usize,
    pub(crate) from_s: f64,
    pub(crate) to_s: f64,
}

impl Admission {
    /// Whether it can be admitted as it is.
    pub(crate) fn fits(&self) -> bool {
        self.has_memory() && self.keeps_own && self.pushed.is_empty()
    }

    pub(crate) fn has_memory(&self) -> bool {
        self.missing_gb <= MEMORY_TOLERANCE_GB
    }
}

impl Tenancy {
    /// Every server of a plan.
    pub(crate) fn all(problem: &Problem<'_>, parts: &Parts) -> Result<Vec<Self>> {
        let servers = 0..problem.instance().servers.len();
        let on = |server: usize| {
            let here = parts.iter().enumerate().flat_map(|(r, parts)| parts.iter().map(move |(s, n)| (*s, r, *n)));
            here.filter(|(s, ..)| *s == server).map(|(_, r, n)| (r, n)).collect()
        };
        servers.map(|server| Self::new(problem, server, on(server))).collect()
    }

    pub(crate) fn new(problem: &Problem<'_>, server: usize, tenants: Vec<(usize, u32)>) -> Result<Self> {
        let used_gb = tenants.iter().map(|(r, n)| f64::from(*n) * problem.instance_memory_gb[*r]).sum();
        let promises_s = promises(problem, server, &tenants)?;
        Ok(Self { server, tenants, used_gb, promises_s })
    }

    /// GB that are free.
    pub(crate) fn free_gb(&self, problem: &Problem<'_>) -> f64 {
        problem.instance().servers[self.server].memory_gb - self.used_gb
    }

    /// What would become of it with a whole request more.
    pub(crate) fn with(&self, problem: &Problem<'_>, request: usize) -> Result<Admission> {
        let requests = &problem.instance().requests;
        let mut tenants = self.tenants.clone();
        tenants.push((request, requests[request].instances));
        let after = promises(problem, self.server, &tenants)?;
        let own_s = after.last().copied().unwrap_or(f64::INFINITY);
        let both = self.tenants.iter().zip(self.promises_s.iter().zip(&after));
        let broken = both.filter(|((r, _), (before, after))| {
            let bound = requests[*r].delay_s;
            **before <= bound && **after > bound
        });
        Ok(Admission {
            missing_gb: problem.memory_gb[request] - self.free_gb(problem),
            own_s,
            keeps_own: own_s <= requests[request].delay_s,
            pushed: broken.map(|((r, _), (from, to))| Push { request: *r, from_s: *from, to_s: *to }).collect(),
        })
    }

    /// Whether every promise holds, apart from those that did not hold `before`.
    pub(crate) fn keeps(&self, problem: &Problem<'_>, before: &Self) -> bool {
        let requests = &problem.instance().requests;
        self.tenants.iter().zip(&self.promises_s).all(|((r, _), seconds)| {
            let was = before.tenants.iter().position(|(tenant, _)| tenant == r).map(|place| before.promises_s[place]);
            *seconds <= requests[*r].delay_s || was.is_some_and(|was| was > requests[*r].delay_s)
        })
    }

    /// The same without some of its tenants.
    pub(crate) fn without(&self, problem: &Problem<'_>, requests: &[usize]) -> Result<Self> {
        let left = self.tenants.iter().filter(|(r, _)| !requests.contains(r)).copied().collect();
        Self::new(problem, self.server, left)
    }
}

/// Seconds promised to each tenant of a server, of the statistic that it asks for.
fn promises(problem: &Problem<'_>, server: usize, tenants: &[(usize, u32)]) -> Result<Vec<f64>> {
    let kind = problem.kind(server);
    let loads: Vec<Load> = tenants.iter().map(|(r, n)| Load { instances: f64::from(*n), ..kind.loads[*r] }).collect();
    let promises = kind.bundle.promises(&loads)?;
    let requests = &problem.instance().requests;
    Ok(tenants.iter().zip(promises).map(|((r, _), times)| times[sla_index(requests[*r].sla)]).collect())
}
