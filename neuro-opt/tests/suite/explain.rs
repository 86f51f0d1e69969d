//! Explanations: every change is tried, and no smaller one does.

use std::collections::BTreeSet;
use std::path::Path;

use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_data::plan::{Assignment, Plan, RejectionCode};
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::Error;
use neuro_opt::placement::{Finding, Problem, Profiles, audit, explain, first_fit, greedy};
use neuro_profiler::Bundle;

fn profiles() -> Profiles {
    let bundle = |kind: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/data/bundles/{kind}"));
        Bundle::read(&folder).unwrap()
    };
    Profiles::default().with("edge-a", bundle("edge-a")).with("edge-b", bundle("edge-b"))
}

fn instance(seed: u64, memory_gb: f64, tightness: f64) -> Instance {
    let scenario = Scenario::ALL[seed as usize % 3];
    let params = ScenarioParams { tightness, memory_gb, ..ScenarioParams::new(scenario, 2, seed) };
    draw(&params, &Catalogue::built_in()).unwrap()
}

/// Whether a plan with `request` on a server in place of `without` has no fault.
fn admits(
    profiles: &Profiles,
    instance: &Instance,
    plan: &Plan,
    request: &str,
    server: &str,
    without: &BTreeSet<String>,
) -> bool {
    let problem = Problem::new(instance, profiles, &Catalogue::built_in()).unwrap();
    let mut plan = plan.clone();
    plan.assignments.retain(|assignment| !without.contains(&assignment.request));
    plan.rejected.retain(|rejection| rejection.request != request);
    let instances = instance.requests.iter().find(|other| other.id == request).unwrap().instances;
    plan.assignments.push(Assignment { request: request.into(), server: server.into(), instances });
    let served = |id: &String| plan.assignments.iter().any(|assignment| assignment.request == *id);
    plan.objective = instance.requests.iter().filter(|request| served(&request.id)).map(|r| r.payment).sum();
    audit(&problem, &plan).unwrap().holds()
}

#[test]
fn each_change_admits_the_request_and_a_smaller_one_does_not() {
    let profiles = profiles();
    let (mut payments, mut bounds, mut memories) = (0, 0, 0);
    for seed in 0..3 {
        let instance = instance(seed, 7.0, 0.3);
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let plan = greedy(&problem).unwrap();
        for explanation in explain(&problem, &plan).unwrap() {
            let id = explanation.request.as_str();
            let place = instance.requests.iter().position(|request| request.id == id).unwrap();
            let on = |server: &str| -> Vec<String> {
                let here = plan.assignments.iter().filter(|assignment| assignment.server == server);
                here.map(|assignment| assignment.request.clone()).collect()
            };
            let payment = |id: &String| instance.requests.iter().find(|request| request.id == *id).unwrap().payment;
            // The cheapest set of tenants of one server that makes room, by trying all.
            let mut least = f64::INFINITY;
            for server in &instance.servers {
                let tenants = on(&server.name);
                for set in 0..1_u32 << tenants.len() {
                    let set: BTreeSet<String> =
                        (0..tenants.len()).filter(|i| set >> i & 1 == 1).map(|i| tenants[i].clone()).collect();
                    let sum = set.iter().map(payment).sum::<f64>();
                    if sum < least && admits(&profiles, &instance, &plan, id, &server.name, &set) {
                        least = sum;
                    }
                }
            }
            match &explanation.payment {
                None => assert_eq!(least, f64::INFINITY, "{id}"),
                Some(change) => {
                    assert!(change.proved && (change.to - least).abs() < 1e-9, "{change:?}, {least}");
                    let displaced = change.displaced.iter().cloned().collect();
                    assert!(admits(&profiles, &instance, &plan, id, &change.server, &displaced));
                    payments += 1;
                }
            }
            let nobody = BTreeSet::new();
            let with_bound = |delay_s: f64, server: &str| {
                let mut other = instance.clone();
                other.requests[place].delay_s = delay_s;
                admits(&profiles, &other, &plan, id, server, &nobody)
            };
            let of_bound = explanation.bound.as_ref().map_or(1e9, |change| change.to_s);
            for server in &instance.servers {
                assert!(!with_bound(of_bound * (1.0 - 1e-9), &server.name), "{id} with a tighter bound");
            }
            if let Some(change) = &explanation.bound {
                assert!(with_bound(change.to_s, &change.server));
                bounds += 1;
            }
            let with_memory = |extra_gb: f64, name: &str| {
                let mut other = instance.clone();
                other.servers.iter_mut().filter(|s| s.name == name).for_each(|server| server.memory_gb += extra_gb);
                admits(&profiles, &other, &plan, id, name, &nobody)
            };
            let of_memory = explanation.memory.as_ref().map_or(1e6, |change| change.extra_gb);
            for server in &instance.servers {
                assert!(!with_memory(of_memory - 1e-6, &server.name), "{id} with less memory");
            }
            if let Some(change) = &explanation.memory {
                assert!(with_memory(change.extra_gb, &change.server));
                memories += 1;
            }
        }
    }
    assert!(payments > 5 && bounds > 0 && memories > 2, "too easy: {payments}, {bounds}, {memories}");
}

#[test]
fn figures_say_who_would_be_pushed_from_where_to_where() {
    let profiles = profiles();
    let mut pushed = 0;
    for seed in 0..6 {
        let instance = instance(seed, 12.0, 0.7);
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let plan = greedy(&problem).unwrap();
        let explanations = explain(&problem, &plan).unwrap();
        assert_eq!(explanations.len(), plan.rejected.len());
        for explanation in explanations.iter().filter(|e| e.code == RejectionCode::BreaksNeighbour) {
            assert!(explanation.detail.contains(" it would push r") && explanation.detail.contains(" s"));
            pushed += 1;
        }
    }
    assert!(pushed > 0, "nobody would be pushed");
}

#[test]
fn a_plan_that_breaks_promises_is_explained_and_one_of_another_instance_refused() {
    let profiles = profiles();
    let instance = instance(0, 12.0, 0.7);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let plan = first_fit(&problem).unwrap();
    let findings = audit(&problem, &plan).unwrap().findings;
    assert!(findings.iter().any(|finding| matches!(finding, Finding::Promise { .. })));
    assert_eq!(explain(&problem, &plan).unwrap().len(), plan.rejected.len());
    let mut other = plan.clone();
    other.assignments[0].request = "r99".into();
    assert!(matches!(explain(&problem, &other), Err(Error::FailedAudit { finding }) if finding.contains("r99")));
}
