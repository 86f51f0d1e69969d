//! Why requests are rejected, with the figures behind it.

use neuro_data::plan::{Rejection, RejectionCode};

use super::occupancy::{MEMORY_TOLERANCE_GB, Occupancy};
use super::{Placement, Problem};
use crate::Result;

/// The reasons for all requests that a placement does not serve.
pub(super) fn rejections(problem: &Problem<'_>, placement: &Placement) -> Result<Vec<Rejection>> {
    let servers = problem.instance().servers.len();
    let mut occupancies: Vec<_> = (0..servers).map(|server| Occupancy::empty(problem, server)).collect();
    for (request, server) in placement.iter().enumerate() {
        if let Some(server) = server {
            occupancies[*server].add(problem, request);
        }
    }
    let rejected = (0..placement.len()).filter(|request| placement[*request].is_none());
    rejected
        .map(|request| {
            let (code, detail) = reason(problem, &occupancies, request)?;
            Ok(Rejection { request: problem.instance().requests[request].id.clone(), code, detail })
        })
        .collect()
}

/// The code and figures of the server that comes nearest to serving a request.
fn reason(problem: &Problem<'_>, servers: &[Occupancy], request: usize) -> Result<(RejectionCode, String)> {
    let instance = problem.instance();
    let asked = &instance.requests[request];
    let needed = problem.memory_gb[request];
    let largest = instance.servers.iter().map(|server| server.memory_gb).fold(0.0, f64::max);
    if needed > largest + MEMORY_TOLERANCE_GB {
        let detail = format!("{needed:.1} GB are needed, and the largest server has {largest:.1} GB");
        return Ok((RejectionCode::MemoryExceeded, detail));
    }
    let trained: Vec<_> = servers.iter().filter(|s| !problem.kind(s.server).beyond_training[request]).collect();
    if trained.is_empty() {
        let (instances, rate) = (asked.instances, asked.rate);
        let detail = format!("{instances} instances at {rate:.2}/s are more than any profiler was trained on");
        return Ok((RejectionCode::OutsideTrainedRange, detail));
    }
    let with_memory: Vec<_> = trained.into_iter().filter(|s| s.has_memory(problem, request)).collect();
    let Some(first) = with_memory.first() else {
        let freest = servers.iter().max_by(|a, b| a.free_gb(problem).total_cmp(&b.free_gb(problem)));
        let detail = freest.map_or_else(String::new, |s| {
            let free = s.free_gb(problem).max(0.0);
            let name = &instance.servers[s.server].name;
            format!("{needed:.1} GB are needed; {name}, the freest, has {free:.1} GB left by those that pay more")
        });
        return Ok((RejectionCode::LowRevenue, detail));
    };
    // Where its own promise would hold only a neighbour's stands in the way.
    let mut own: Option<(f64, usize)> = None;
    for server in &with_memory {
        let kind = problem.kind(server.server);
        let before = kind.promises(instance, &server.tenants)?;
        let mut tenants = server.tenants.clone();
        tenants.push(request);
        let promises = kind.promises(instance, &tenants)?;
        let mine = promises.last().copied().unwrap_or(f64::INFINITY);
        if mine > asked.delay_s {
            if own.is_none_or(|(best, _)| mine < best) {
                own = Some((mine, server.server));
            }
            continue;
        }
        let name = &instance.servers[server.server].name;
        let broken = server
            .tenants
            .iter()
            .zip(before.iter().zip(&promises))
            .find(|(r, (_, after))| **after > instance.requests[**r].delay_s);
        let Some((neighbour, (was, is))) = broken else {
            let detail = format!("it would fit on {name}; the method did not find that");
            return Ok((RejectionCode::LowRevenue, detail));
        };
        let neighbour = &instance.requests[*neighbour];
        let detail = format!(
            "on {name} it would push {} from {} to {} > {} ({})",
            neighbour.id,
            seconds(*was),
            seconds(*is),
            seconds(neighbour.delay_s),
            neighbour.sla.name(),
        );
        return Ok((RejectionCode::BreaksNeighbour, detail));
    }
    let (mine, server) = own.unwrap_or((f64::INFINITY, first.server));
    let name = &instance.servers[server].name;
    let detail = format!("{} {} > {} on {name}", asked.sla.name(), seconds(mine), seconds(asked.delay_s));
    Ok((RejectionCode::OwnSla, detail))
}

/// A time with three significant figures.
fn seconds(value: f64) -> String {
    if value >= 1.0 { format!("{value:.2} s") } else { format!("{:.3} ms", 1e3 * value) }
}
