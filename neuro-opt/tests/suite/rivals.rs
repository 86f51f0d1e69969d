//! The methods to compare with, against brute force over their own rules.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_data::plan::Plan;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::placement::{
    MilpParams, NeuroParams, PerxParams, Problem, Profiles, ScalOranParams, audit, check_certificate, exact, first_fit,
    milp, neuro, perx, scaloran,
};
use neuro_opt::solver::cbc::Cbc;
use neuro_opt::{Error, Progress};
use neuro_profiler::baselines::Reach;
use neuro_profiler::{Bundle, Model, Profiler, TwoSegments, sla_index};

fn profiles(suffix: &str) -> Profiles {
    let bundle = |kind: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/data/bundles/{kind}{suffix}"));
        Bundle::read(&folder).unwrap()
    };
    Profiles::default().with("edge-a", bundle("edge-a")).with("edge-b", bundle("edge-b"))
}

fn instance(scenario: Scenario, servers: usize, requests: usize, tightness: f64, seed: u64) -> Instance {
    let params = ScenarioParams {
        requests: Some(requests),
        tightness,
        memory_gb: 6.0,
        ..ScenarioParams::new(scenario, servers, seed)
    };
    draw(&params, &Catalogue::built_in()).unwrap()
}

/// Instances of every scenario on one server and on two, with more memory and bounds from tight to loose, so that latency binds in some.
fn instances_by_curves() -> impl Iterator<Item = (u64, Scenario, Instance)> {
    (0..24).map(|seed| {
        let (servers, requests) = if seed % 2 == 0 { (1, 9) } else { (2, 4) };
        let scenario = Scenario::ALL[seed as usize % 3];
        let mut instance = instance(scenario, servers, requests, 0.1 * f64::from(1_u32 << (seed % 8)), seed);
        instance.servers.iter_mut().for_each(|server| server.memory_gb = 12.0);
        (seed, scenario, instance)
    })
}

fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// What decides about a server with these requests and instances.
type Holds<'a> = &'a dyn Fn(usize, &[(usize, u32)]) -> bool;

/// What is placed on each server: (request, instances).
type Filling = Vec<Vec<(usize, u32)>>;

/// The best revenue of requests whose instances may be split, by trying every way; `holds` decides about a server.
fn brute_force(problem: &Instance, memory_gb: &[f64], holds: Holds<'_>) -> f64 {
    fn go(
        instance: &Instance,
        memory_gb: &[f64],
        holds: Holds<'_>,
        next: usize,
        filling: &mut Filling,
        revenue: f64,
        best: &mut f64,
    ) {
        let Some(request) = instance.requests.get(next) else {
            let good = filling.iter().enumerate().all(|(s, tenants)| holds(s, tenants));
            if revenue > *best && good {
                *best = revenue;
            }
            return;
        };
        go(instance, memory_gb, holds, next + 1, filling, revenue, best);
        for on_first in 0..=request.instances {
            let counts = [on_first, request.instances - on_first];
            if instance.servers.len() == 1 && counts[1] > 0 {
                continue;
            }
            let mut kept = filling.clone();
            for (s, n) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                kept[s].push((next, n));
            }
            let fits = kept.iter().zip(&instance.servers).all(|(tenants, server)| {
                let used: f64 = tenants.iter().map(|(r, n)| f64::from(*n) * memory_gb[*r]).sum();
                used <= server.memory_gb + 1e-9
            });
            if fits {
                go(instance, memory_gb, holds, next + 1, &mut kept, revenue + request.payment, best);
            }
        }
    }
    let mut best = 0.0;
    let mut filling = vec![Vec::new(); problem.servers.len()];
    go(problem, memory_gb, holds, 0, &mut filling, 0.0, &mut best);
    best
}

fn memory_gb(instance: &Instance) -> Vec<f64> {
    let catalogue = Catalogue::built_in();
    instance.requests.iter().map(|request| catalogue.get(&request.app).unwrap().memory_gb).collect()
}

/// Mean rate over the instances of an application's requests.
fn rate(instance: &Instance, app: &str) -> f64 {
    let of_app = || instance.requests.iter().filter(|request| request.app == app);
    let n: f64 = of_app().map(|request| f64::from(request.instances)).sum();
    of_app().map(|request| f64::from(request.instances) * request.rate).sum::<f64>() / n
}

/// Instances by application.
fn counts<'a>(instance: &'a Instance, tenants: &[(usize, u32)]) -> Vec<(&'a str, f64)> {
    let mut counts: Vec<(&str, f64)> = Vec::new();
    for (r, n) in tenants {
        let app = instance.requests[*r].app.as_str();
        match counts.iter_mut().find(|(known, _)| *known == app) {
            Some((_, count)) => *count += f64::from(*n),
            None => counts.push((app, f64::from(*n))),
        }
    }
    counts
}

fn only_promises_are_broken(problem: &Problem<'_>, plan: &Plan) {
    let audit = audit(problem, plan).unwrap();
    let is_promise = |finding| matches!(finding, neuro_opt::placement::Finding::Promise { .. });
    assert!(audit.findings.into_iter().all(is_promise), "{plan:?}");
    assert_eq!(plan.audit.as_ref().unwrap()["holds"], audit_holds(problem, plan));
}

fn audit_holds(problem: &Problem<'_>, plan: &Plan) -> bool {
    audit(problem, plan).unwrap().holds()
}

#[test]
fn scaloran_s_programs_are_solved_to_their_optima() {
    let profiles = profiles("-scaloran");
    let catalogue = Catalogue::built_in();
    let mut binding = 0;
    for (seed, _, instance) in instances_by_curves() {
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let memory_gb = memory_gb(&instance);
        for reach in [Reach::Average, Reach::Own] {
            let time = |server: usize, app: &str, k: usize, n: f64| {
                let bundle = profiles.get(&instance.servers[server].kind).unwrap();
                let Model::ScalOran(model) = bundle.model() else { panic!("no such profiler") };
                let app_index = bundle.app(app).unwrap();
                let base = model.base_s(app_index)[k];
                model.curves(app_index).map_or(base, |curves| {
                    TwoSegments::of_sigmoid(&curves[k], rate(&instance, app)).unwrap().at(n).max(base)
                })
            };
            let holds = |server: usize, tenants: &[(usize, u32)]| {
                let counts = counts(&instance, tenants);
                let n = counts.iter().map(|(_, n)| n).sum();
                tenants.iter().all(|(r, _)| {
                    let request = &instance.requests[*r];
                    let k = sla_index(request.sla);
                    match reach {
                        Reach::Average => {
                            counts.iter().map(|(app, _)| time(server, app, k, n)).sum::<f64>() <= request.delay_s
                        }
                        Reach::Own => time(server, &request.app, k, n) <= 0.6 * request.delay_s,
                    }
                })
            };
            let best = brute_force(&instance, &memory_gb, &holds);
            let params = ScalOranParams { reach, ..ScalOranParams::default() };
            let plan = scaloran(&problem, &params, &Cbc, &mut go_on).unwrap();
            assert!((plan.objective - best).abs() < 1e-6, "{seed} {reach:?}: {} is not {best}", plan.objective);
            assert_eq!(plan.termination, "optimal");
            assert!((plan.bound.unwrap() - best).abs() < 1e-4);
            only_promises_are_broken(&problem, &plan);
            let by_memory = brute_force(&instance, &memory_gb, &|_, _| true);
            binding += u32::from(best > 0.0 && best < by_memory - 1e-9);
        }
    }
    assert!(binding > 10, "latency binds in {binding} of 48 programs only");
}

#[test]
fn perx_s_program_is_solved_to_its_optimum() {
    let profiles = profiles("-perx");
    let catalogue = Catalogue::built_in();
    let mut binding = 0;
    for (seed, scenario, instance) in instances_by_curves() {
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let memory_gb = memory_gb(&instance);
        let params = PerxParams { rounds: 0, ..PerxParams::of(scenario) };
        let holds = |server: usize, tenants: &[(usize, u32)]| {
            let bundle = profiles.get(&instance.servers[server].kind).unwrap();
            let Model::Perx(model) = bundle.model() else { panic!("no such profiler") };
            tenants.iter().all(|(r, _)| {
                let request = &instance.requests[*r];
                let (a, k) = (bundle.app(&request.app).unwrap(), sla_index(request.sla));
                let base = params.base_factor * model.base_s(a)[k];
                let slowdown = counts(&instance, tenants).into_iter().map(|(app, n)| {
                    let Some(curves) = model.curves(a, bundle.app(app).unwrap()) else { return 0.0 };
                    let segments = TwoSegments::of_sigmoid(&curves[k], rate(&instance, app)).unwrap();
                    (segments.at(n) - base).max(0.0)
                });
                params.delta * slowdown.sum::<f64>() <= request.delay_s - base
            })
        };
        let best = brute_force(&instance, &memory_gb, &holds);
        let plan = perx(&problem, &params, &Cbc, &mut go_on).unwrap();
        assert!((plan.objective - best).abs() < 1e-6, "seed {seed}: {} is not {best}", plan.objective);
        assert_eq!((plan.termination.as_str(), plan.bound), ("completed", None));
        only_promises_are_broken(&problem, &plan);
        let by_memory = brute_force(&instance, &memory_gb, &|_, _| true);
        binding += u32::from(best > 0.0 && best < by_memory - 1e-9);
        // With rates of the solution it ends, too.
        let plan = perx(&problem, &PerxParams::of(scenario), &Cbc, &mut go_on).unwrap();
        only_promises_are_broken(&problem, &plan);
    }
    assert!(binding > 5, "latency binds in {binding} of 24 programs only");
}

#[test]
fn the_program_with_networks_finds_what_the_tree_finds() {
    let catalogue = Catalogue::built_in();
    for (suffix, seeds) in [("", 0..4), ("-monotone", 0..4)] {
        let profiles = profiles(suffix);
        for seed in seeds {
            let instance = instance(Scenario::Mixed, 1, 12, 0.7, seed);
            let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
            let proved = exact(&problem, &Default::default(), &mut go_on).unwrap().plan;
            let plan = milp(&problem, &MilpParams::default(), &Cbc, &mut go_on).unwrap().plan;
            assert!((plan.objective - proved.objective).abs() < 1e-6, "{seed}{suffix}: {plan:?} {}", proved.objective);
            assert_eq!(plan.termination, "optimal", "seed {seed}{suffix}");
            assert!(audit_holds(&problem, &plan));
        }
    }
}

#[test]
fn the_bound_of_the_program_comes_with_a_proof() {
    let catalogue = Catalogue::built_in();
    for (servers, requests, suffix) in [(1, 12, ""), (2, 8, "-monotone")] {
        let profiles = profiles(suffix);
        let instance = instance(Scenario::Mixed, servers, requests, 0.7, 2);
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let params = MilpParams { certificate: true, time: Some(Duration::from_secs(120)), ..MilpParams::default() };
        let found = milp(&problem, &params, &Cbc, &mut go_on).unwrap();
        let (bound, certificate) = (found.plan.bound.unwrap(), found.certificate.unwrap());
        assert_eq!(found.plan.termination, "optimal");
        let proved = check_certificate(&problem, &certificate).unwrap();
        assert!(proved <= bound + 1e-6 * bound && bound <= found.plan.objective * (1.0 + 1e-6), "{proved} {bound}");
        // A proof of less than there is.
        let mut better = certificate.clone();
        better.bound *= 0.99;
        assert!(matches!(check_certificate(&problem, &better), Err(Error::Certificate { .. })));
        let mut worse = certificate;
        for part in &mut worse.parts {
            part.prices.iter_mut().for_each(|price| *price = 0.0);
            part.groups.iter_mut().for_each(|group| group.bound = 0.0);
        }
        assert!(matches!(check_certificate(&problem, &worse), Err(Error::Certificate { .. })));
        // Nobody asked.
        assert!(milp(&problem, &MilpParams::default(), &Cbc, &mut go_on).unwrap().certificate.is_none());
    }
    // Without the time for one the solver's bound stays, unproved or not at all.
    let profiles = profiles("");
    let instance = instance(Scenario::Mixed, 2, 8, 0.7, 2);
    let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
    let params = MilpParams { certificate: true, splits: true, ..MilpParams::default() };
    assert!(milp(&problem, &params, &Cbc, &mut go_on).unwrap().certificate.is_none(), "split requests");
}

#[test]
fn the_program_with_networks_finds_what_brute_force_finds_split_or_whole() {
    let catalogue = Catalogue::built_in();
    let profiles = profiles("-monotone");
    for seed in 0..3 {
        let instance = instance(Scenario::Mixed, 2, 4, 0.7, seed);
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let kept = |server: usize, tenants: &[(usize, u32)]| {
            let bundle = profiles.get(&instance.servers[server].kind).unwrap();
            let loads: Vec<_> = tenants
                .iter()
                .map(|(r, n)| {
                    let request = &instance.requests[*r];
                    let app = bundle.app(&request.app).unwrap();
                    neuro_profiler::Load { app, instances: f64::from(*n), rate: request.rate }
                })
                .collect();
            let promises = bundle.promises(&loads).unwrap();
            tenants.iter().zip(promises).all(|((r, _), times)| {
                let request = &instance.requests[*r];
                times[sla_index(request.sla)] <= request.delay_s
            })
        };
        let whole = |server: usize, tenants: &[(usize, u32)]| {
            tenants.iter().all(|(r, n)| *n == instance.requests[*r].instances) && kept(server, tenants)
        };
        let memory_gb = memory_gb(&instance);
        for (splits, best) in
            [(false, brute_force(&instance, &memory_gb, &whole)), (true, brute_force(&instance, &memory_gb, &kept))]
        {
            let params = MilpParams { splits, ..MilpParams::default() };
            let plan = milp(&problem, &params, &Cbc, &mut go_on).unwrap().plan;
            assert!((plan.objective - best).abs() < 1e-6, "seed {seed}, {splits}: {} is not {best}", plan.objective);
            assert!((plan.bound.unwrap() - best).abs() < 1e-4 && audit_holds(&problem, &plan));
        }
    }
}

#[test]
fn the_published_algorithm_serves_whole_requests_and_never_more_than_the_optimum() {
    let catalogue = Catalogue::built_in();
    for suffix in ["", "-paper"] {
        let profiles = profiles(suffix);
        let mut served = 0;
        for seed in 0..4 {
            let instance = instance(Scenario::Mixed, 2, 12, 0.7, seed);
            let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
            let params = NeuroParams { rounds: 12, steps: 60, ..NeuroParams::default() };
            let found = neuro(&problem, &params, &mut go_on).unwrap();
            only_promises_are_broken(&problem, &found.plan);
            assert!(found.cpu_seconds > 0.0 && found.evaluations > 0);
            served += instance.requests.len() - found.plan.rejected.len();
        }
        assert!(served > 8, "{suffix}: {served} requests in all");
    }
    // One server, a monotone network: nothing that rounding does can break a promise, so the optimum bounds it.
    let profiles = profiles("-monotone");
    for seed in 0..4 {
        let instance = instance(Scenario::Mixed, 1, 12, 0.7, seed);
        let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
        let found = neuro(&problem, &NeuroParams::default(), &mut go_on).unwrap().plan;
        let best = exact(&problem, &Default::default(), &mut go_on).unwrap().plan;
        if audit_holds(&problem, &found) {
            assert!(found.objective <= best.objective + 1e-9, "seed {seed}");
        }
        assert!(found.objective >= 0.4 * best.objective, "seed {seed}: {} of {}", found.objective, best.objective);
    }
}

#[test]
fn first_fit_asks_for_memory_alone() {
    let profiles = profiles("");
    let instance = instance(Scenario::Mixed, 2, 30, 0.3, 1);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let plan = first_fit(&problem).unwrap();
    only_promises_are_broken(&problem, &plan);
    assert!(!audit_holds(&problem, &plan), "the bounds are too loose to tell");
    let memory_gb = memory_gb(&instance);
    for rejection in &plan.rejected {
        // Its memory was not there: what came before it had it, and nothing that came after is needed to say so.
        let r = instance.requests.iter().position(|request| request.id == rejection.request).unwrap();
        let before = |server: &str| -> f64 {
            let here = plan.assignments.iter().filter(|assignment| assignment.server == server);
            let place = |id: &str| instance.requests.iter().position(|request| request.id == id).unwrap();
            here.map(|a| (place(&a.request), a.instances))
                .filter(|(other, _)| *other < r)
                .map(|(other, n)| f64::from(n) * memory_gb[other])
                .sum()
        };
        let needed = f64::from(instance.requests[r].instances) * memory_gb[r];
        assert!(instance.servers.iter().all(|s| before(&s.name) + needed > s.memory_gb + 1e-9), "{rejection:?}");
    }
}

#[test]
fn what_mathematics_does_not_allow_is_refused_with_the_reason() {
    let catalogue = Catalogue::built_in();
    let instance = instance(Scenario::Mixed, 1, 3, 1.0, 1);
    let (state, paper, pairs) = (profiles(""), profiles("-paper"), profiles("-perx"));
    let refused = |profiles: &Profiles, solve: &dyn Fn(&Problem<'_>) -> Result<Plan, Error>, word: &str| {
        let problem = Problem::new(&instance, profiles, &catalogue).unwrap();
        let error = solve(&problem).unwrap_err();
        assert!(matches!(error, Error::UnsuitedProfiler { .. }) && error.to_string().contains(word), "{error}");
    };
    let by_network = |problem: &Problem<'_>| Ok(milp(problem, &MilpParams::default(), &Cbc, &mut go_on)?.plan);
    refused(&paper, &by_network, "GELU");
    refused(&pairs, &by_network, "server-state");
    let by_pairs = |problem: &Problem<'_>| perx(problem, &PerxParams::default(), &Cbc, &mut go_on);
    refused(&state, &by_pairs, "--arch perx");
    let by_curves = |problem: &Problem<'_>| scaloran(problem, &ScalOranParams::default(), &Cbc, &mut go_on);
    refused(&pairs, &by_curves, "--arch scaloran");
    let by_gradients = |problem: &Problem<'_>| Ok(neuro(problem, &NeuroParams::default(), &mut go_on)?.plan);
    refused(&pairs, &by_gradients, "gradients");
}

#[test]
fn a_time_limit_leaves_a_plan_of_the_rows() {
    let profiles = profiles("-scaloran");
    let instance = instance(Scenario::Mixed, 6, 90, 40.0, 1);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let params = ScalOranParams { time: Some(Duration::from_millis(1)), ..ScalOranParams::default() };
    let plan = scaloran(&problem, &params, &Cbc, &mut go_on).unwrap();
    only_promises_are_broken(&problem, &plan);
    assert!(plan.objective > 0.0, "what is tried first is held");
    let stopped = scaloran(&problem, &params, &Cbc, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(stopped.termination, "interrupted");
}
