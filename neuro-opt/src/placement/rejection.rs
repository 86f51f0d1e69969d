//! Why requests are rejected, with the figures behind it.

use neuro_data::plan::{Rejection, RejectionCode};

use super::occupancy::MEMORY_TOLERANCE_GB;
use super::tenancy::{Admission, Tenancy};
use super::{Parts, Problem};
use crate::Result;

/// Servers that are looked at for a reason in a plan, those with the most memory left: a plan of thousands is to be written at once.
const SERVERS: usize = 4;

/// The reasons for all requests of which nothing is placed.
pub(super) fn rejections(problem: &Problem<'_>, parts: &Parts) -> Result<Vec<Rejection>> {
    let mut servers = Tenancy::all(problem, parts)?;
    servers.sort_by(|a, b| b.free_gb(problem).total_cmp(&a.free_gb(problem)));
    let rejected = (0..parts.len()).filter(|request| parts[*request].is_empty());
    rejected
        .map(|request| {
            let (code, detail) = reason(problem, &servers, request, SERVERS)?;
            Ok(Rejection { request: problem.instance().requests[request].id.clone(), code, detail })
        })
        .collect()
}

/// The code and figures of the server that comes nearest to serving a request, among the first `most` that have the memory.
pub(super) fn reason(
    problem: &Problem<'_>,
    servers: &[Tenancy],
    request: usize,
    most: usize,
) -> Result<(RejectionCode, String)> {
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
    let mut best: Option<(&Tenancy, Admission)> = None;
    let with_memory = trained.into_iter().filter(|s| needed <= s.free_gb(problem) + MEMORY_TOLERANCE_GB);
    for server in with_memory.take(most) {
        let admission = server.with(problem, request)?;
        // Nearest: it fits; only neighbours are in the way, the fewest; its own promise, the least.
        let key = |a: &Admission| (!a.keeps_own, if a.keeps_own { a.pushed.len() as f64 } else { a.own_s });
        if best.as_ref().is_none_or(|(_, held)| key(&admission) < key(held)) {
            best = Some((server, admission));
        }
    }
    let Some((server, admission)) = best else {
        let freest = servers.iter().max_by(|a, b| a.free_gb(problem).total_cmp(&b.free_gb(problem)));
        let detail = freest.map_or_else(String::new, |s| {
            let free = s.free_gb(problem).max(0.0);
            let name = &instance.servers[s.server].name;
            format!("{needed:.1} GB are needed; {name}, the freest, has {free:.1} GB left by those that are served")
        });
        return Ok((RejectionCode::LowRevenue, detail));
    };
    let name = &instance.servers[server.server].name;
    if admission.fits() {
        return Ok((RejectionCode::LowRevenue, format!("it would fit on {name}; the method did not find that")));
    }
    let pushes = pushes(problem, &admission);
    if admission.keeps_own {
        return Ok((RejectionCode::BreaksNeighbour, format!("on {name} it would push {}", pushes.unwrap_or_default())));
    }
    let mut detail =
        format!("{} {} > {} on {name}", asked.sla.name(), seconds(admission.own_s), seconds(asked.delay_s));
    if let Some(pushes) = pushes {
        detail += &format!("; it would push {pushes}");
    }
    Ok((RejectionCode::OwnSla, detail))
}

/// Whom it would push from where to where: the one that is pushed farthest beyond its bound, and how many more.
fn pushes(problem: &Problem<'_>, admission: &Admission) -> Option<String> {
    let requests = &problem.instance().requests;
    let beyond = |push: &&super::tenancy::Push| push.to_s / requests[push.request].delay_s;
    let worst = admission.pushed.iter().max_by(|a, b| beyond(a).total_cmp(&beyond(b)))?;
    let tenant = &requests[worst.request];
    let mut text = format!(
        "{} from {} to {} > {} ({})",
        tenant.id,
        seconds(worst.from_s),
        seconds(worst.to_s),
        seconds(tenant.delay_s),
        tenant.sla.name()
    );
    if admission.pushed.len() > 1 {
        text += &format!(" and {} more over their bounds", admission.pushed.len() - 1);
    }
    Some(text)
}

/// A time in seconds or milliseconds, with three decimals.
pub(super) fn seconds(value: f64) -> String {
    match value {
        0.1.. => format!("{value:.3} s"),
        _ => format!("{:.3} ms", 1e3 * value),
    }
}
