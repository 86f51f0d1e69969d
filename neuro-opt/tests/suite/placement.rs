//! Placement: every method against brute force on small instances, and the audit against plans with faults.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use neuro_data::instance::Instance;
use neuro_data::plan::{Assignment, Plan, RejectionCode};
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_data::{Catalogue, Sla};
use neuro_opt::placement::{Audit, ExactParams, Finding, LnsParams, Problem, Profiles, audit, exact, greedy, lns};
use neuro_profiler::Bundle;

pub(crate) fn profiles(suffix: &str) -> Profiles {
    let bundle = |kind: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/data/bundles/{kind}{suffix}"));
        Bundle::read(&folder).unwrap()
    };
    Profiles::default().with("edge-a", bundle("edge-a")).with("edge-b", bundle("edge-b"))
}

pub(crate) fn instance(servers: usize, requests: usize, tightness: f64, seed: u64) -> Instance {
    let params = ScenarioParams {
        requests: Some(requests),
        tightness,
        // Little memory, so that both kinds of limit matter where requests are few.
        memory_gb: 6.0,
        ..ScenarioParams::new(Scenario::Mixed, servers, seed)
    };
    draw(&params, &Catalogue::built_in()).unwrap()
}

fn search(problem: &Problem<'_>, iterations: u64) -> Plan {
    let params = LnsParams {
        iterations: Some(iterations),
        time: Duration::from_secs(600),
        workers: 2,
        temperature: 0.1,
        ..LnsParams::default()
    };
    lns(problem, &params, &mut |_| ControlFlow::Continue(())).unwrap().plan
}

pub(crate) fn plan(objective: f64, assignments: &[(&str, &str, u32)]) -> Plan {
    let assignments = assignments.iter().map(|(request, server, instances)| Assignment {
        request: (*request).to_owned(),
        server: (*server).to_owned(),
        instances: *instances,
    });
    Plan {
        method: "by hand".into(),
        objective,
        bound: None,
        gap: None,
        seconds: 0.0,
        termination: "completed".into(),
        assignments: assignments.collect(),
        rejected: Vec::new(),
        audit: None,
        trace: Vec::new(),
    }
}

/// The best revenue of whole requests on whole servers, by trying every way; the audit alone decides what holds.
fn brute_force(problem: &Problem<'_>) -> f64 {
    let instance = problem.instance();
    let (servers, requests) = (instance.servers.len(), instance.requests.len());
    let ways = (servers + 1).pow(requests as u32);
    let mut best: f64 = 0.0;
    for way in 0..ways {
        let mut rest = way;
        let mut assignments = Vec::new();
        let mut revenue = 0.0;
        for request in &instance.requests {
            let choice = rest % (servers + 1);
            rest /= servers + 1;
            if choice > 0 {
                let server = instance.servers[choice - 1].name.as_str();
                assignments.push((request.id.as_str(), server, request.instances));
                revenue += request.payment;
            }
        }
        if revenue > best && audit(problem, &plan(revenue, &assignments)).unwrap().holds() {
            best = revenue;
        }
    }
    best
}

#[test]
fn a_search_finds_what_brute_force_finds_and_greedy_never_more() {
    let catalogue = Catalogue::built_in();
    let mut greedy_is_worse = 0;
    for suffix in ["", "-monotone"] {
        let profiles = profiles(suffix);
        for seed in 0..12 {
            let (servers, requests) = if seed % 2 == 0 { (1, 9) } else { (2, 5) };
            let instance = instance(servers, requests, 0.7, seed);
            let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
            let best = brute_force(&problem);
            let (quick, found) = (greedy(&problem).unwrap(), search(&problem, 3_000));
            assert!(quick.objective <= best + 1e-9, "seed {seed}{suffix}: {} > {best}", quick.objective);
            assert!((found.objective - best).abs() < 1e-9, "seed {seed}{suffix}: {} is not {best}", found.objective);
            greedy_is_worse += u32::from(quick.objective < best - 1e-9);
        }
    }
    assert!(greedy_is_worse > 0, "the instances are too easy to tell the methods apart");
}

#[test]
fn a_search_by_iterations_is_its_seed_s_and_accounts_for_every_request() {
    let profiles = profiles("");
    let instance = instance(3, 40, 0.7, 5);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let (one, two) = (search(&problem, 500), search(&problem, 500));
    assert_eq!((&one.assignments, &one.rejected), (&two.assignments, &two.rejected));
    assert_eq!(one.assignments.len() + one.rejected.len(), instance.requests.len());
    assert!(one.objective >= greedy(&problem).unwrap().objective);
    assert_eq!(one.termination, "iteration-limit");
    let stopped = lns(&problem, &LnsParams::default(), &mut |_| ControlFlow::Break(())).unwrap().plan;
    assert_eq!(stopped.termination, "interrupted");
    assert!(audit(&problem, &stopped).unwrap().holds());
}

#[test]
fn the_audit_finds_each_fault() {
    let profiles = profiles("");
    let mut instance = instance(2, 12, 1.0, 3);
    instance.servers[0].memory_gb = 32.0;
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let good = greedy(&problem).unwrap();
    let check = |plan: &Plan| -> Audit { audit(&problem, plan).unwrap() };
    assert!(check(&good).holds());
    let broken = |change: fn(&mut Plan)| {
        let mut plan = good.clone();
        change(&mut plan);
        check(&plan).findings
    };
    let has = |findings: &[Finding], wanted: fn(&Finding) -> bool| findings.iter().any(wanted);
    assert!(has(&broken(|p| p.assignments[0].request = "r99".into()), |f| matches!(f, Finding::UnknownRequest { .. })));
    assert!(has(&broken(|p| p.assignments[0].server = "x".into()), |f| matches!(f, Finding::UnknownServer { .. })));
    assert!(has(&broken(|p| p.assignments[0].instances += 1), |f| matches!(f, Finding::Partial { .. })));
    assert!(has(&broken(|p| p.objective += 0.1), |f| matches!(f, Finding::Objective { .. })));
    assert!(has(&broken(|p| p.objective = f64::NAN), |f| matches!(f, Finding::Objective { .. })));
    assert!(has(&broken(|p| p.bound = Some(p.objective - 1.0)), |f| matches!(f, Finding::Bound { .. })));
    let twice = broken(|p| {
        let again = p.assignments[0].clone();
        p.assignments.push(again);
    });
    assert!(has(&twice, |f| matches!(f, Finding::Twice { .. })));
    let everything: Vec<_> = instance.requests.iter().map(|r| (r.id.as_str(), "edge-2", r.instances)).collect();
    let crowded = check(&plan(instance.requests.iter().map(|r| r.payment).sum(), &everything)).findings;
    assert!(has(&crowded, |f| matches!(f, Finding::Memory { .. })), "{crowded:?}");
    assert!(has(&crowded, |f| matches!(f, Finding::Promise { .. })), "{crowded:?}");
}

#[test]
fn a_split_request_is_wholly_served_when_its_parts_are() {
    let profiles = profiles("");
    let mut instance = instance(2, 1, 100.0, 1);
    instance.requests[0] = neuro_data::instance::Request {
        id: "r1".into(),
        app: "tclf-rf".into(),
        instances: 4,
        rate: 5.0,
        payment: 7.0,
        delay_s: 1.0,
        sla: Sla::P95,
    };
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let halves = audit(&problem, &plan(7.0, &[("r1", "edge-1", 2), ("r1", "edge-2", 2)])).unwrap();
    assert!(halves.holds(), "{:?}", halves.findings);
    assert_eq!((halves.promises.len(), halves.revenue), (2, 7.0));
    assert!(!audit(&problem, &plan(7.0, &[("r1", "edge-1", 2)])).unwrap().holds());
}

#[test]
fn each_rejection_has_its_code_with_figures() {
    let profiles = profiles("");
    let catalogue = Catalogue::built_in();
    let request = |id: &str, app: &str, instances: u32, rate: f64, payment: f64, delay_s: f64| {
        let (id, app) = (id.to_owned(), app.to_owned());
        neuro_data::instance::Request { id, app, instances, rate, payment, delay_s, sla: Sla::Mean }
    };
    let server = |memory_gb| neuro_data::instance::Server { name: "edge-1".into(), kind: "edge-a".into(), memory_gb };
    let code = |memory_gb, requests: Vec<neuro_data::instance::Request>| {
        let instance = Instance { servers: vec![server(memory_gb)], requests };
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let plan = search(&problem, 200);
        let rejection = plan.rejected.first().cloned().unwrap();
        assert!(rejection.detail.chars().any(|c| c.is_ascii_digit()), "{rejection:?}");
        rejection.code
    };
    let small = |id: &str, payment| request(id, "tclf-rf", 2, 5.0, payment, 1.0);
    assert_eq!(code(0.5, vec![small("a", 1.0)]), RejectionCode::MemoryExceeded);
    assert_eq!(code(0.6, vec![small("a", 1.0), small("b", 2.0)]), RejectionCode::LowRevenue);
    assert_eq!(code(8.0, vec![request("a", "tclf-rf", 2, 5.0, 1.0, 1e-5)]), RejectionCode::OwnSla);
    assert_eq!(code(8.0, vec![request("a", "tclf-rf", 2, 1e4, 1.0, 1.0)]), RejectionCode::OutsideTrainedRange);
}

#[test]
fn what_is_missing_is_named() {
    let catalogue = Catalogue::built_in();
    let profiles = profiles("");
    let mut instance = instance(1, 3, 1.0, 1);
    let message = |instance: &Instance, profiles: &Profiles| {
        let error = Problem::new(instance, profiles, &catalogue).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).map_or(String::new(), ToString::to_string))
    };
    assert!(message(&instance, &Profiles::default()).contains("edge-a"));
    instance.requests[2].app = "unheard-of".into();
    let text = message(&instance, &profiles);
    assert!(text.contains("requests[2].app") && text.contains("unheard-of"), "{text}");
    instance.requests[2].payment = -1.0;
    assert!(message(&instance, &profiles).contains("requests[2].payment"));
}

/// What searches compute of the published network, one tenant after another in single precision, is what the audit computes.
#[test]
fn the_published_network_is_searched_in_no_time_and_without_broken_promises() {
    let profiles = profiles("-paper");
    for seed in 0..6 {
        let instance = instance(1, 15, 1.0, seed);
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let best = exact(&problem, &ExactParams::default(), &mut |_| ControlFlow::Continue(())).unwrap().plan.objective;
        let plan = search(&problem, 2_000);
        assert!((plan.objective - best).abs() < 1e-6, "seed {seed}: {} is not {best}", plan.objective);
    }
}

/// A hundred servers are searched as ten are: nothing looks at all of them at every step.
#[test]
fn a_hundred_servers_are_improved() {
    let profiles = profiles("");
    let instance = instance(100, 1_500, 1.0, 1);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let first = greedy(&problem).unwrap().objective;
    let plan = search(&problem, 30_000);
    assert!(plan.objective > 1.03 * first, "{} after {first}", plan.objective);
    assert!(audit(&problem, &plan).unwrap().holds());
}
