//! Putting a placement to the test: each server's tenants run together, and what was promised is held against what was
//! measured. A placement is judged by this and not by the predictor that made it.
//!
//! # Expected flow
//! [`Replay::new`] checks a plan against its instance and makes a run of each server that has something to do. Any driver does
//! the runs ([`crate::drive_campaign`] on a target, `neuro_k8s::sim::simulate_campaign` on simulated servers), and
//! [`Replay::judge`] takes the tenants' summaries.
//!
//! # What is judged
//! A promise speaks of the mean, the 75th or the 95th percentile of the *service time*, as the study's do: the time of an
//! inference alone, without what waits before it. It holds where it holds on every server that the request was given instances
//! on. A replica that is offered more than it can serve keeps requests waiting without end; it is marked unstable.

use std::collections::BTreeMap;

use neuro_data::instance::{Instance, Request};
use neuro_data::plan::Plan;
use neuro_data::store::TenantRow;
use neuro_data::{Catalogue, Error, Phases, Result, RunKind, RunSpec, Sla, Tenant};
use serde::{Deserialize, Serialize};

/// How a placement is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReplayParams {
    /// Master seed.
    pub seed: u64,
    /// Compute threads of each replica.
    pub threads: u32,
    /// Phases of the run on each server.
    pub phases: Phases,
}

/// The run on one server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerRun {
    /// The server's name.
    pub server: String,
    /// Its kind.
    pub kind: String,
    /// Its tenants together.
    pub spec: RunSpec,
    /// The index of each tenant's request in the instance.
    requests: Vec<usize>,
}

/// A checked plan and the runs that put it to the test.
///
/// # Example
/// ```
/// use neuro_data::{Catalogue, Phases, instance::Instance, plan::Plan};
/// use neuro_k8s::replay::{Replay, ReplayParams};
///
/// let instance = Instance::from_json(r#"{
///   "servers": [{"name": "edge-1", "kind": "edge-a", "memory_gb": 32}],
///   "requests": [{"id": "r1", "app": "kalman-gru", "instances": 2, "rate": 20, "payment": 3.5, "delay_s": 0.01, "sla": "p95"}]
/// }"#)?;
/// let plan: Plan = serde_json::from_str(r#"{
///   "method": "by hand", "objective": 3.5, "bound": null, "gap": null, "seconds": 0, "termination": "complete",
///   "assignments": [{"request": "r1", "server": "edge-1", "instances": 2}], "rejected": []
/// }"#)?;
/// let phases = Phases { warmup_s: 1.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 3 };
/// let replay = Replay::new(&plan, &instance, &Catalogue::built_in(), &ReplayParams { seed: 1, threads: 1, phases })?;
/// assert_eq!(replay.runs()[0].spec.tenants[0].rate, 20.0);
/// // Nobody has measured anything yet.
/// assert_eq!(replay.judge(&[]).requests[0].measured_s, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Replay {
    served: Vec<(usize, Request)>,
    runs: Vec<ServerRun>,
}

/// What a request was promised and what it got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestVerdict {
    /// Request id.
    pub id: String,
    /// Application.
    pub app: String,
    /// The statistic that was promised.
    pub sla: Sla,
    /// What it pays.
    pub payment: f64,
    /// The promised bound, seconds.
    pub promised_s: f64,
    /// What was measured, the worst of its servers, seconds; `None` where nothing was.
    pub measured_s: Option<f64>,
    /// measured / promised − 1; positive where the promise is broken.
    pub excess: Option<f64>,
    /// Whether the promise is broken, or nothing that arrived was served on one of its servers.
    pub violated: bool,
    /// What was measured on each of its servers.
    pub servers: Vec<ServerVerdict>,
}

/// What a request got on one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerVerdict {
    /// Server.
    pub server: String,
    /// Instances there.
    pub instances: u32,
    /// The promised statistic as measured, seconds.
    pub measured_s: Option<f64>,
    /// Its 95 % interval, seconds.
    pub interval_s: Option<(f64, f64)>,
    /// Inferences behind it.
    pub samples: u64,
    /// Whether it was offered at least as much as it can serve.
    pub unstable: bool,
}

/// The verdict on a placement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// Each request that the plan serves, in the order of the instance.
    pub requests: Vec<RequestVerdict>,
    /// What these requests pay.
    pub revenue_planned: f64,
    /// What those pay whose promise was kept.
    pub revenue_kept: f64,
    /// What those pay whose promise was broken.
    pub revenue_lost: f64,
    /// Share of the requests whose promise was broken; 0 of none.
    pub violation_rate: f64,
    /// Mean of the excess over the broken promises of which something was measured.
    pub mean_excess: Option<f64>,
    /// Largest excess.
    pub max_excess: Option<f64>,
}

impl Replay {
    /// Checks a plan and makes its runs.
    ///
    /// # Errors
    /// The plan names what the instance or the catalogue does not hold, serves a part of a request, or exceeds a server's
    /// memory; the phases make no sense.
    pub fn new(plan: &Plan, instance: &Instance, catalogue: &Catalogue, params: &ReplayParams) -> Result<Self> {
        instance.validate()?;
        let mut placed: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for (i, assignment) in plan.assignments.iter().enumerate() {
            let field = |name: &str| format!("assignments[{i}].{name}");
            let request = instance.requests.iter().position(|request| request.id == assignment.request);
            let request = request
                .ok_or_else(|| invalid(field("request"), &assignment.request, "the id of a request of the instance"))?;
            let server = instance.servers.iter().position(|server| server.name == assignment.server);
            let server = server
                .ok_or_else(|| invalid(field("server"), &assignment.server, "the name of a server of the instance"))?;
            if assignment.instances == 0 {
                return Err(invalid(field("instances"), 0, "at least 1"));
            }
            if placed.insert((server, request), assignment.instances).is_some() {
                let both = format!("{} on {}", assignment.request, assignment.server);
                return Err(invalid(field("request"), both, "a request stands once for each of its servers"));
            }
        }
        let mut served = Vec::new();
        for (i, request) in instance.requests.iter().enumerate() {
            let instances: u32 = placed.iter().filter(|((_, r), _)| *r == i).map(|(_, instances)| instances).sum();
            if instances == request.instances {
                served.push((i, request.clone()));
            } else if instances > 0 {
                let field = format!("the plan's instances of request {:?}", request.id);
                return Err(invalid(field, instances, "all that it asks for, or none"));
            }
        }
        let mut runs = Vec::new();
        for (s, server) in instance.servers.iter().enumerate() {
            let here: Vec<(usize, u32)> =
                placed.iter().filter(|((on, _), _)| *on == s).map(|((_, r), instances)| (*r, *instances)).collect();
            let mut used_gb = 0.0;
            let mut tenants = Vec::new();
            for (r, instances) in &here {
                let request = &instance.requests[*r];
                used_gb += catalogue.get(&request.app)?.memory_gb * f64::from(*instances);
                let (id, app) = (format!("r{r}"), request.app.clone());
                tenants.push(Tenant { id, app, instances: *instances, rate: request.rate });
            }
            if used_gb > server.memory_gb + 1e-9 {
                let field = format!("the memory that the plan uses on server {:?}, GB", server.name);
                return Err(invalid(field, used_gb, "at most the server's memory_gb"));
            }
            if tenants.is_empty() {
                continue;
            }
            let ReplayParams { seed, threads, phases } = *params;
            let spec = RunSpec {
                kind: RunKind::Replay,
                name: format!("s{s}"),
                repeat: 0,
                seed,
                threads,
                phases,
                tenants,
                target: None,
            };
            spec.validate()?;
            let requests = here.into_iter().map(|(r, _)| r).collect();
            runs.push(ServerRun { server: server.name.clone(), kind: server.kind.clone(), spec, requests });
        }
        Ok(Self { served, runs })
    }

    /// The same runs, on a kind of target such as `sim`: the ids tell it, and each server's kind.
    #[must_use]
    pub fn on(mut self, target: &str) -> Self {
        for run in &mut self.runs {
            run.spec.target = Some(format!("{target}/{}", run.kind));
        }
        self
    }

    /// The runs, in the order of the instance's servers.
    pub fn runs(&self) -> &[ServerRun] {
        &self.runs
    }

    /// Holds the summaries of the runs' tenants against the promises; rows of other runs are passed over.
    pub fn judge(&self, tenants: &[TenantRow]) -> ReplayReport {
        let rows: BTreeMap<(&str, &str), &TenantRow> =
            tenants.iter().map(|row| ((row.run_id.as_str(), row.tenant_id.as_str()), row)).collect();
        let run_ids: Vec<String> = self.runs.iter().map(|run| run.spec.run_id()).collect();
        let requests: Vec<RequestVerdict> = self
            .served
            .iter()
            .map(|(index, request)| {
                let mut servers = Vec::new();
                let mut starved = false;
                for (run, run_id) in self.runs.iter().zip(&run_ids) {
                    let Some(place) = run.requests.iter().position(|r| r == index) else { continue };
                    let tenant = &run.spec.tenants[place];
                    let row = rows.get(&(run_id.as_str(), tenant.id.as_str()));
                    starved |= row.is_some_and(|row| row.samples == 0 && row.censored + row.failed > 0);
                    servers.push(ServerVerdict {
                        server: run.server.clone(),
                        instances: tenant.instances,
                        measured_s: row.and_then(|row| row.statistic(request.sla)),
                        interval_s: row.and_then(|row| row.interval(request.sla)),
                        samples: row.map_or(0, |row| row.samples),
                        unstable: row.is_some_and(|row| row.unstable),
                    });
                }
                verdict(request, servers, starved)
            })
            .collect();
        let pays = |violated: bool| -> f64 {
            // `+ 0.0` because an empty sum is −0.
            requests.iter().filter(|r| r.violated == violated).map(|r| r.payment).sum::<f64>() + 0.0
        };
        let (revenue_kept, revenue_lost) = (pays(false), pays(true));
        let broken: Vec<f64> = requests.iter().filter(|r| r.violated).filter_map(|r| r.excess).collect();
        let violations = requests.iter().filter(|r| r.violated).count();
        ReplayReport {
            revenue_planned: revenue_kept + revenue_lost,
            revenue_kept,
            revenue_lost,
            violation_rate: violations as f64 / requests.len().max(1) as f64,
            mean_excess: (!broken.is_empty()).then(|| broken.iter().sum::<f64>() / broken.len() as f64),
            max_excess: broken.iter().copied().reduce(f64::max),
            requests,
        }
    }
}

fn verdict(request: &Request, servers: Vec<ServerVerdict>, starved: bool) -> RequestVerdict {
    let measured_s = servers.iter().filter_map(|server| server.measured_s).reduce(f64::max);
    RequestVerdict {
        id: request.id.clone(),
        app: request.app.clone(),
        sla: request.sla,
        payment: request.payment,
        promised_s: request.delay_s,
        measured_s,
        excess: measured_s.map(|measured_s| measured_s / request.delay_s - 1.0),
        violated: starved || measured_s.is_some_and(|measured_s| measured_s > request.delay_s),
        servers,
    }
}

fn invalid(field: String, value: impl std::fmt::Display, expected: &'static str) -> Error {
    Error::Invalid { field, value: value.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use neuro_data::instance::Server;
    use neuro_data::plan::Assignment;
    use neuro_data::{Phases, RequestStatus, Tally};

    fn instance() -> Instance {
        let server = |name: &str| Server { name: name.into(), kind: "edge-a".into(), memory_gb: 2.0 };
        let request = |id: &str, app: &str, instances, payment, delay_s, sla| Request {
            id: id.into(),
            app: app.into(),
            instances,
            rate: 5.0,
            payment,
            delay_s,
            sla,
        };
        Instance {
            servers: vec![server("s one"), server("s two"), server("idle")],
            requests: vec![
                request("r/a", "tclf-rf", 3, 4.0, 1.0 / 64.0, Sla::Mean),
                request("b", "kalman-gru", 1, 8.0, 0.01, Sla::P95),
                request("c", "text-bert", 1, 1.0, 1.0, Sla::P75),
                request("d", "kalman-gru", 1, 16.0, 0.01, Sla::P95),
            ],
        }
    }

    fn plan(assignments: &[(&str, &str, u32)]) -> Plan {
        let assignment = |(request, server, instances): &(&str, &str, u32)| Assignment {
            request: (*request).into(),
            server: (*server).into(),
            instances: *instances,
        };
        Plan {
            method: "by hand".into(),
            objective: 0.0,
            bound: None,
            gap: None,
            seconds: 0.0,
            termination: "complete".into(),
            assignments: assignments.iter().map(assignment).collect(),
            rejected: Vec::new(),
            audit: None,
            trace: Vec::new(),
        }
    }

    const GOOD: [(&str, &str, u32); 4] =
        [("r/a", "s one", 1), ("b", "s one", 1), ("r/a", "s two", 2), ("c", "s two", 1)];

    fn replay(assignments: &[(&str, &str, u32)]) -> Result<Replay> {
        let phases = Phases { warmup_s: 0.0, duration_s: 10.0, drain_s: 1.0, warmup_inferences: 0 };
        let params = ReplayParams { seed: 1, threads: 1, phases };
        Replay::new(&plan(assignments), &instance(), &Catalogue::built_in(), &params)
    }

    /// The summary of a tenant whose requests all took a time, or were never answered.
    fn row(run: &ServerRun, tenant: usize, service_s: Option<f64>) -> TenantRow {
        let tenant = &run.spec.tenants[tenant];
        let mut tally = Tally::new(0.0, 10.0);
        for i in 0..20 {
            let status = if service_s.is_some() { RequestStatus::Ok } else { RequestStatus::Censored };
            tally.request(status, false, Some(f64::from(i) / 2.0), service_s);
        }
        tally.summarise(&run.spec.run_id(), tenant, &run.spec.phases).0
    }

    #[test]
    fn each_server_has_one_run_of_its_tenants() {
        let replay = replay(&GOOD).unwrap();
        let of = |run: &ServerRun| {
            let tenants = run.spec.tenants.iter();
            (run.server.clone(), tenants.map(|t| (t.app.clone(), t.instances, t.rate)).collect::<Vec<_>>())
        };
        let runs: Vec<_> = replay.runs().iter().map(of).collect();
        assert_eq!(runs[0], ("s one".into(), vec![("tclf-rf".into(), 1, 5.0), ("kalman-gru".into(), 1, 5.0)]));
        assert_eq!(runs[1], ("s two".into(), vec![("tclf-rf".into(), 2, 5.0), ("text-bert".into(), 1, 5.0)]));
        assert_eq!(runs.len(), 2);
    }

    #[test]
    fn a_promise_is_kept_where_it_is_kept_on_every_server() {
        let replay = replay(&GOOD).unwrap();
        let [one, two] = replay.runs() else { panic!("two servers") };
        let judge = |on_one, on_two, bert| {
            replay.judge(&[row(one, 0, on_one), row(one, 1, Some(0.0125)), row(two, 0, on_two), row(two, 1, bert)])
        };
        let report = judge(Some(1.0 / 128.0), Some(1.0 / 64.0), Some(0.5));
        let by_id = |report: &ReplayReport| {
            let requests = report.requests.iter();
            requests.map(|r| (r.id.clone(), r.measured_s, r.violated)).collect::<Vec<_>>()
        };
        let (a, b, c) = ("r/a".to_owned(), "b".to_owned(), "c".to_owned());
        // Reaching the bound is keeping it; the figures are exact, for all requests took the same power of two.
        let verdicts = by_id(&report);
        assert_eq!(verdicts[0], (a.clone(), Some(1.0 / 64.0), false));
        assert_eq!(verdicts[1], (b.clone(), Some(0.0125), true));
        assert_eq!(verdicts[2], (c.clone(), Some(0.5), false));
        assert_eq!((report.revenue_planned, report.revenue_kept, report.revenue_lost), (13.0, 5.0, 8.0));
        assert_eq!(report.violation_rate, 1.0 / 3.0);
        assert!((report.mean_excess.unwrap() - 0.25).abs() < 1e-9 && report.max_excess == report.mean_excess);

        let report = judge(Some(3.0 / 128.0), Some(1.0 / 128.0), None);
        let verdicts = by_id(&report);
        assert_eq!(verdicts[0], (a, Some(3.0 / 128.0), true), "one of two servers is enough to break it");
        assert_eq!(verdicts[2], (c, None, true), "nothing that came was served");
        assert_eq!((report.revenue_kept, report.violation_rate), (0.0, 1.0));
        assert!((report.max_excess.unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_plan_that_does_not_suit_its_instance_is_refused_by_its_fault() {
        let refused = |word: &str, change: &[(&str, &str, u32)]| {
            let message = replay(&[&GOOD[..], change].concat()).unwrap_err().to_string();
            assert!(message.contains(word), "{word}: {message}");
        };
        refused("assignments[4].request", &[("x", "s one", 1)]);
        refused("assignments[4].server", &[("d", "x", 1)]);
        refused("assignments[4].instances", &[("d", "s one", 0)]);
        refused("once for each", &[("b", "s one", 1)]);
        refused("all that it asks for", &[("b", "s two", 1)]);
        let message = replay(&GOOD[1..]).unwrap_err().to_string();
        assert!(message.contains("r/a") && message.contains("all that it asks for"), "{message}");
        let mut small = instance();
        small.servers[0].memory_gb = 0.5;
        let phases = Phases { warmup_s: 0.0, duration_s: 1.0, drain_s: 0.0, warmup_inferences: 0 };
        let params = ReplayParams { seed: 1, threads: 1, phases };
        let message = Replay::new(&plan(&GOOD), &small, &Catalogue::built_in(), &params).unwrap_err().to_string();
        assert!(message.contains("s one") && message.contains("0.6"), "{message}");
    }
}
