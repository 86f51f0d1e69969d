//! A plan, server by server, with what a replay measured.

use std::collections::BTreeMap;

use neuro_data::instance::Request;
use neuro_data::plan::{Plan, TracePoint};
use neuro_k8s::replay::{ReplayReport, RequestVerdict};
use serde::Deserialize;

use super::inputs::PlanInput;
use super::page::{Cell, Page, named, seconds};
use crate::output::{Axis, Chart, Panel, Series};

/// What a plan's audit says.
#[derive(Default, Deserialize)]
struct Audit {
    promises: Vec<Promise>,
    servers: Vec<Memory>,
}

/// A promise as the audit evaluated it.
#[derive(Deserialize)]
struct Promise {
    request: String,
    server: String,
    promise_s: f64,
    delay_s: f64,
}

#[derive(Deserialize)]
struct Memory {
    server: String,
    used_gb: f64,
    memory_gb: f64,
}

pub(super) fn show(page: &mut Page, input: &PlanInput) {
    let PlanInput { path, plan, instance, replay } = input;
    let audit: Audit = plan.audit.clone().and_then(|audit| serde_json::from_value(audit).ok()).unwrap_or_default();
    let requests: BTreeMap<&str, &Request> =
        instance.iter().flat_map(|instance| &instance.requests).map(|request| (request.id.as_str(), request)).collect();
    page.section(&format!("Plan {}", named(path)));
    summary(page, plan, &requests, replay.as_ref());
    if !plan.trace.is_empty() {
        page.chart("trace", &trace(&plan.trace));
    }
    let servers: Vec<String> = match instance {
        Some(instance) => instance.servers.iter().map(|server| server.name.clone()).collect(),
        None => {
            let mut named: Vec<String> = plan.assignments.iter().map(|a| a.server.clone()).collect();
            named.sort();
            named.dedup();
            named
        }
    };
    for server in &servers {
        show_server(page, server, plan, &audit, &requests, replay.as_ref());
    }
    if !plan.rejected.is_empty() {
        let rows = plan.rejected.iter().map(|rejection| {
            let request = requests.get(rejection.request.as_str());
            vec![
                Cell::text(&rejection.request),
                Cell::text(request.map_or("–", |request| &request.app)),
                Cell::figure(request.map(|request| request.payment), 2),
                Cell::text(&format!("{:?}", rejection.code)),
                Cell::text(&rejection.detail),
            ]
        });
        page.heading("Rejected");
        page.table(
            "Requests that are not served, and why",
            &["request", "app", "payment", "code", "why"],
            rows.collect(),
        );
    }
}

fn summary(page: &mut Page, plan: &Plan, requests: &BTreeMap<&str, &Request>, replay: Option<&ReplayReport>) {
    let mut served: Vec<&str> = plan.assignments.iter().map(|a| a.request.as_str()).collect();
    served.sort_unstable();
    served.dedup();
    let figure = |value: Option<f64>| value.map_or("none proved".to_owned(), |value| format!("{value:.2}"));
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let mut facts = vec![
        ("method", plan.method.clone()),
        ("revenue", format!("{:.2}", plan.objective)),
        ("bound", figure(plan.bound)),
        ("gap", plan.gap.map_or("–".to_owned(), percent)),
        ("served", format!("{} of {}", served.len(), served.len() + plan.rejected.len())),
        ("time", seconds(plan.seconds)),
        ("stopped", plan.termination.clone()),
    ];
    if !requests.is_empty() {
        let asked: f64 = requests.values().map(|request| request.payment).sum();
        facts.push(("asked for", format!("{asked:.2}")));
    }
    if let Some(replay) = replay {
        let broken = replay.requests.iter().filter(|request| request.violated).count();
        facts.push(("revenue kept in replay", format!("{:.2}", replay.revenue_kept)));
        facts.push(("promises broken in replay", format!("{broken} ({})", percent(replay.violation_rate))));
        facts.push(("worst excess", replay.max_excess.map_or("–".to_owned(), percent)));
    }
    page.facts(&facts);
}

fn show_server(
    page: &mut Page,
    server: &str,
    plan: &Plan,
    audit: &Audit,
    requests: &BTreeMap<&str, &Request>,
    replay: Option<&ReplayReport>,
) {
    page.heading(server);
    let tenants: Vec<_> = plan.assignments.iter().filter(|assignment| assignment.server == server).collect();
    if tenants.is_empty() {
        page.paragraph("Nothing runs here.");
        return;
    }
    if let Some(memory) = audit.servers.iter().find(|memory| memory.server == server) {
        let Memory { used_gb, memory_gb, .. } = memory;
        page.paragraph(&format!(
            "{} tenants in {used_gb:.1} of {memory_gb:.1} GB ({:.0} %).",
            tenants.len(),
            100.0 * used_gb / memory_gb
        ));
    }
    let rows = tenants.iter().map(|assignment| {
        let request = requests.get(assignment.request.as_str());
        let is_it = |promise: &&Promise| promise.request == assignment.request && promise.server == server;
        let promise = audit.promises.iter().find(is_it);
        let bound = promise.map(|promise| promise.delay_s).or(request.map(|request| request.delay_s));
        let mut row = vec![
            Cell::text(&assignment.request),
            Cell::text(request.map_or("–", |request| &request.app)),
            Cell::count(u64::from(assignment.instances)),
            Cell::figure(request.map(|request| request.rate), 2),
            Cell::figure(request.map(|request| request.payment), 2),
            Cell::text(request.map_or("–", |request| request.sla.name())),
            Cell::seconds(promise.map(|promise| promise.promise_s)),
            Cell::seconds(bound),
            Cell::bar(promise.map(|promise| promise.promise_s / promise.delay_s)),
        ];
        if let Some(replay) = replay {
            let verdict = replay.requests.iter().find(|verdict| verdict.id == assignment.request);
            row.extend(measured(verdict, server, bound));
        }
        row
    });
    let header = [
        "request",
        "app",
        "instances",
        "rate",
        "payment",
        "SLA",
        "predicted × margin",
        "bound",
        "share of bound",
        "measured",
        "measured / bound",
        "verdict",
    ];
    let columns = if replay.is_some() { header.len() } else { header.len() - 3 };
    page.table(&format!("{server}: each latency against its bound"), &header[..columns], rows.collect());
}

/// What a replay measured of a request on a server.
fn measured(verdict: Option<&RequestVerdict>, server: &str, bound: Option<f64>) -> [Cell; 3] {
    let here = verdict.and_then(|verdict| verdict.servers.iter().find(|there| there.server == server));
    let measured_s = here.and_then(|here| here.measured_s);
    let words = match (verdict, here) {
        (Some(verdict), Some(here)) => match (verdict.violated, here.unstable) {
            (true, true) => "broken, overloaded",
            (true, false) => "broken",
            (false, true) => "kept, overloaded",
            (false, false) => "kept",
        },
        _ => "–",
    };
    [
        Cell::seconds(measured_s),
        Cell::bar(measured_s.zip(bound).map(|(measured, bound)| measured / bound)),
        Cell::text(words),
    ]
}

/// How incumbent and bound went.
fn trace(points: &[TracePoint]) -> Chart {
    let steps = |of: fn(&TracePoint) -> Option<f64>| {
        let mut line: Vec<(f64, f64)> = Vec::new();
        for point in points {
            let Some(value) = of(point) else { continue };
            // A step: what was held until now is held until then.
            if let Some((_, last)) = line.last().copied() {
                line.push((point.seconds, last));
            }
            line.push((point.seconds, value));
        }
        if let (Some(end), Some((_, last))) = (points.last(), line.last().copied()) {
            line.push((end.seconds, last));
        }
        line
    };
    let series = [("incumbent", steps(|point| point.objective)), ("bound", steps(|point| point.bound))];
    let series = series.into_iter().filter(|(_, line)| !line.is_empty()).map(|(name, line)| Series::line(name, line));
    let panel = Panel { title: String::new(), series: series.collect(), references: Vec::new() };
    let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
    Chart::row("Incumbent and bound over time", axis("seconds"), axis("revenue"), vec![panel])
}
