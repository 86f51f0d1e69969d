//! Methods that prove: against brute force, and their certificates against the check.

use std::ops::ControlFlow;
use std::time::Duration;

use neuro_data::Catalogue;
use neuro_data::instance::Instance;
use neuro_opt::placement::{
    Branching, Certificate, Cut, Decomposed, DecomposedParams, Exact, ExactParams, Problem, Profiles, ProofNode,
    Question, audit, check_certificate, decomposed, exact,
};
use neuro_opt::{Error, Limits};
use neuro_profiler::{Load, Profiler, sla_index};

use crate::placement::{instance, profiles};

/// The best revenue of every set of requests that one server may have, by trying all: index is the set in binary.
fn fillings(instance: &Instance, profiles: &Profiles, server: usize) -> Vec<Option<f64>> {
    let catalogue = Catalogue::built_in();
    let bundle = profiles.get(&instance.servers[server].kind).unwrap();
    let of = |set: usize| {
        let held: Vec<_> =
            instance.requests.iter().enumerate().filter(|(r, _)| set >> r & 1 == 1).map(|(_, r)| r).collect();
        let gb: f64 = held.iter().map(|r| f64::from(r.instances) * catalogue.get(&r.app).unwrap().memory_gb).sum();
        // What lies beyond the loads that the profiler has seen is not admitted.
        let is_known = |r: &&neuro_data::instance::Request| {
            let range = &bundle.profile().ranges[&r.app];
            f64::from(r.instances) <= range.instances[1].max(range.total_instances) && r.rate <= range.rate[1]
        };
        if gb > instance.servers[server].memory_gb + 1e-9 || !held.iter().all(is_known) {
            return None;
        }
        let load = |r: &&neuro_data::instance::Request| Load {
            app: bundle.app(&r.app).unwrap(),
            instances: f64::from(r.instances),
            rate: r.rate,
        };
        let promises = bundle.promises(&held.iter().map(load).collect::<Vec<_>>()).unwrap();
        let kept = held.iter().zip(promises).all(|(r, times)| times[sla_index(r.sla)] <= r.delay_s);
        kept.then(|| held.iter().map(|r| r.payment).sum())
    };
    (0..1 << instance.requests.len()).map(of).collect()
}

/// The best revenue on one or two servers.
fn brute_force(instance: &Instance, profiles: &Profiles) -> f64 {
    let first = fillings(instance, profiles, 0);
    let best = |fillings: &[Option<f64>]| fillings.iter().flatten().copied().fold(0.0, f64::max);
    if instance.servers.len() == 1 {
        return best(&first);
    }
    let second = fillings(instance, profiles, 1);
    let all = first.len() - 1;
    let mut found: f64 = 0.0;
    for (set, value) in first.iter().enumerate().filter_map(|(set, value)| Some((set, (*value)?))) {
        // Every subset of what is left.
        let rest = all & !set;
        let mut other = rest;
        loop {
            found = found.max(value + second[other].unwrap_or(0.0));
            if other == 0 {
                break;
            }
            other = (other - 1) & rest;
        }
    }
    found
}

fn proved(problem: &Problem<'_>) -> Exact {
    let params = ExactParams { workers: 1, certificate: true, ..ExactParams::default() };
    exact(problem, &params, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn priced(problem: &Problem<'_>, seconds: f64) -> Decomposed {
    let time = Duration::from_secs_f64(seconds);
    let params = DecomposedParams { time, certificate: true, ..DecomposedParams::default() };
    decomposed(problem, &params, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn check_exact(suffix: &str, requests: usize, seed: u64) {
    let profiles = profiles(suffix);
    let mut instance = instance(1, requests, 0.7, seed);
    instance.servers[0].kind = if seed.is_multiple_of(2) { "edge-a".into() } else { "edge-b".into() };
    instance.servers[0].memory_gb = 14.0;
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let (found, best) = (proved(&problem), brute_force(&instance, &profiles));
    let plan = &found.plan;
    assert!((plan.objective - best).abs() < 1e-9, "{suffix} seed {seed}: {} is not {best}", plan.objective);
    assert_eq!(plan.termination, "optimal");
    let bound = plan.bound.unwrap();
    assert!(bound >= best && bound <= best + 1e-6 * best.max(1.0), "{suffix} seed {seed}: {bound} for {best}");
    let checked = check_certificate(&problem, &found.certificate.unwrap()).unwrap();
    assert!(checked >= best && checked <= best + 1e-6 * best.max(1.0));
}

#[test]
fn one_server_is_proved_as_brute_force_has_it() {
    for suffix in ["", "-monotone", "-paper"] {
        (0..8).for_each(|seed| check_exact(suffix, 10, seed));
    }
}

#[test]
#[ignore = "minutes"]
fn hundreds_of_servers_are_proved_as_brute_force_has_them() {
    for suffix in ["", "-monotone", "-paper"] {
        (100..250).for_each(|seed| check_exact(suffix, 8 + (seed % 8) as usize, seed));
    }
}

/// Two servers, of two kinds or of one, that cannot hold everything.
fn pair(requests: usize, seed: u64) -> Instance {
    let mut instance = instance(2, requests, 0.7, seed);
    instance.servers.iter_mut().for_each(|server| server.memory_gb = 10.0);
    if seed.is_multiple_of(2) {
        instance.servers[0].kind = instance.servers[1].kind.clone();
    }
    instance
}

/// The plan of a pair of servers and its proof against brute force; in how many parts.
fn check_decomposed(suffix: &str, requests: usize, seed: u64, seconds: f64) -> usize {
    let profiles = profiles(suffix);
    let instance = pair(requests, seed);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let (found, best) = (priced(&problem, seconds), brute_force(&instance, &profiles));
    let (plan, bound) = (&found.plan, found.plan.bound.unwrap());
    let what = format!("{suffix} seed {seed}: {} and {bound} for {best}", plan.objective);
    assert!((plan.objective - best).abs() < 1e-9, "{what}");
    assert!(bound >= best - 1e-9 && bound <= best + 2e-6 * best.max(1.0), "{what}");
    assert_eq!(plan.termination, "optimal", "{what}");
    assert!(audit(&problem, plan).unwrap().holds());
    let certificate = found.certificate.unwrap();
    let checked = check_certificate(&problem, &certificate).unwrap();
    assert!(checked >= best - 1e-9 && checked <= bound + 1e-6 * bound, "{what}: {checked}");
    certificate.parts.len()
}

#[test]
fn two_servers_are_proved_as_brute_force_has_them() {
    for suffix in ["", "-monotone"] {
        let parts = (0..6).map(|seed| check_decomposed(suffix, 9, seed, 60.0));
        assert!(parts.max() > Some(1), "nothing was parted");
    }
}

#[test]
#[ignore = "minutes"]
fn hundreds_of_pairs_of_servers_are_proved_as_brute_force_has_them() {
    for suffix in ["", "-monotone"] {
        (100..200).for_each(|seed| {
            check_decomposed(suffix, 8 + (seed % 4) as usize, seed, 60.0);
        });
    }
}

#[test]
fn a_decomposition_that_is_broken_off_still_bounds() {
    let profiles = profiles("");
    let instance = instance(2, 9, 0.7, 4);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let best = brute_force(&instance, &profiles);
    for calls in [1, 10, 100] {
        let mut asked = 0;
        let params = DecomposedParams { certificate: true, ..DecomposedParams::default() };
        let found = decomposed(&problem, &params, &mut |progress| {
            assert!(progress.bound >= best - 1e-9, "{} < {best}", progress.bound);
            asked += 1;
            if asked < calls { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
        let bound = found.plan.bound.unwrap();
        assert!(bound >= best - 1e-9 && found.plan.objective <= best + 1e-9);
        assert!(audit(&problem, &found.plan).unwrap().holds());
        if let Some(certificate) = &found.certificate {
            assert!(check_certificate(&problem, certificate).unwrap() <= bound + 1e-6 * bound);
        }
    }
}

#[test]
fn a_search_that_is_broken_off_still_bounds() {
    let profiles = profiles("");
    let instance = instance(1, 40, 1.0, 3);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let whole = proved(&problem);
    for nodes in [1, 5, 25] {
        let limits = Limits { nodes: Some(nodes), ..Limits::default() };
        let params = ExactParams { limits, workers: 1, certificate: true, ..ExactParams::default() };
        let part = exact(&problem, &params, &mut |_| ControlFlow::Continue(())).unwrap();
        let bound = part.plan.bound.unwrap();
        assert!(bound >= whole.plan.objective - 1e-9, "{nodes} nodes: {bound} < {}", whole.plan.objective);
        assert!(check_certificate(&problem, &part.certificate.unwrap()).unwrap() >= whole.plan.objective - 1e-9);
    }
    let stopped = exact(&problem, &ExactParams::default(), &mut |_| ControlFlow::Break(())).unwrap().plan;
    assert!(audit(&problem, &stopped).unwrap().holds());
}

#[test]
fn a_certificate_that_was_changed_is_refused() {
    let profiles = profiles("");
    let mut instance = instance(1, 30, 1.0, 4);
    instance.servers[0].memory_gb = 32.0;
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let good = proved(&problem).certificate.unwrap();
    // As it would come from a file.
    let text = serde_json::to_string(&good).unwrap();
    let good: Certificate = serde_json::from_str(&text).unwrap();
    assert!(check_certificate(&problem, &good).is_ok());
    let refused = |change: &dyn Fn(&mut Certificate)| {
        let mut other = good.clone();
        change(&mut other);
        let error = check_certificate(&problem, &other).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&|c| c.bound *= 0.999).contains("bound"));
    refused(&|c| {
        c.bound *= 0.99;
        c.parts[0].groups[0].bound *= 0.99;
    });
    refused(&|c| c.parts[0].prices[0] = -1.0);
    refused(&|c| c.parts[0].prices.truncate(3));
    refused(&|c| c.classes.clear());
    refused(&|c| c.classes.push(c.classes[0].clone()));
    refused(&|c| c.classes[0].server = "elsewhere".into());
    refused(&|c| c.parts.clear());
    refused(&|c| c.parts[0].groups.clear());
    refused(&|c| c.parts[0].groups[0].bound = f64::NAN);
    refused(&|c| c.parts[0].groups[0].bound = -1.0);
    refused(&|c| c.classes[0].basis[0][0] *= 1.001);
    refused(&|c| c.parts[0].groups[0].tree.clear());
    // A half left out, and both halves the same.
    let cut = good.parts[0].groups[0].tree.iter().position(|node| node.cut.is_some()).unwrap();
    refused(&|c| c.parts[0].groups[0].tree[cut].cut = None);
    refused(&|c| match &mut c.parts[0].groups[0].tree[cut].cut {
        Some(Cut::Pieces(_, _, halves) | Cut::Count(_, _, halves) | Cut::State(_, _, halves)) => halves[1] = halves[0],
        None => {}
    });
    refused(&|c| c.parts[0].groups[0].tree[cut].worth = Some(1e6));
    // Duals that are none.
    refused(&|c| {
        for node in &mut c.parts[0].groups[0].tree {
            node.duals.clear();
            node.promises.clear();
        }
    });
    // Duals so large that a sum overflows, or is nothing but its rounding errors.
    let rows = 1 + good.classes[0].basis.len();
    for row in 0..rows {
        for dual in [1e18, 1e300, 1e308, f64::INFINITY, f64::NAN] {
            for empty in [false, true] {
                refused(&|c| {
                    let duals = vec![(row, dual), (row, -dual), (row, dual)];
                    c.parts[0].groups[0].tree =
                        vec![ProofNode { cut: None, duals, promises: Vec::new(), worth: None, empty }];
                });
            }
        }
    }
}

#[test]
fn a_parted_certificate_that_was_changed_is_refused() {
    assert!((0..12).any(check_parted_certificate), "nothing was parted");
}

/// Whether the certificate of an instance has parts; if so, changes to them must be seen.
fn check_parted_certificate(seed: u64) -> bool {
    let profiles = profiles("");
    let instance = pair(9, seed);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let good = priced(&problem, 60.0).certificate.unwrap();
    let Some(parted) = good.parts.iter().position(|part| part.branching.is_some()) else { return false };
    let refused = |change: &dyn Fn(&mut Certificate)| {
        let mut other = good.clone();
        change(&mut other);
        let error = check_certificate(&problem, &other).unwrap_err();
        assert!(matches!(error, Error::Certificate { .. }), "{error}");
    };
    let branching = |c: &mut Certificate, change: &dyn Fn(&mut Branching)| {
        c.parts[parted].branching.as_mut().into_iter().for_each(change);
    };
    refused(&|c| branching(c, &|b| b.halves[1] = b.halves[0]));
    refused(&|c| branching(c, &|b| b.halves[1] = 1000));
    refused(&|c| branching(c, &|b| b.question = Question::Request { group: 0, request: 1000 }));
    refused(&|c| branching(c, &|b| b.question = Question::Request { group: 1000, request: 0 }));
    refused(&|c| branching(c, &|b| b.question = Question::Count { group: 1000, set: 0, pieces: 0 }));
    refused(&|c| branching(c, &|b| b.question = Question::Count { group: 0, set: 1000, pieces: 0 }));
    refused(&|c| c.parts[parted].branching = None);
    refused(&|c| c.bound *= 0.999);
    // What its parts rest on.
    let class = good.classes.iter().position(|class| !class.inequalities.is_empty()).unwrap();
    refused(&|c| c.classes[class].inequalities.clear());
    refused(&|c| c.classes[class].inequalities[0].proof.bound *= 0.5);
    refused(&|c| c.classes[class].inequalities[0].proof.bound = f64::NAN);
    refused(&|c| c.classes[class].inequalities[0].proof.tree.clear());
    refused(&|c| c.classes[class].inequalities[0].prices.truncate(3));
    refused(&|c| c.classes[class].inequalities[0].prices[0] = -1.0);
    refused(&|c| c.classes[class].inequalities[0].held.push(1000));
    // One that says that it holds because it holds.
    let dimension = good.classes[class].basis.len();
    for code in 1 + dimension..1 + dimension + 3 * instance.requests.len() {
        refused(&|c| {
            let proof = &mut c.classes[class].inequalities[0].proof;
            proof.bound *= 0.5;
            proof.tree.truncate(1);
            proof.tree[0].promises.clear();
            (proof.tree[0].cut, proof.tree[0].duals) = (None, vec![(code, -1.0)]);
        });
    }
    true
}

#[test]
fn an_inequality_of_some_fillings_proves_nothing_of_others() {
    let profiles = profiles("");
    let mut refusals = 0;
    for seed in 0..6 {
        let instance = pair(9, seed);
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let good = priced(&problem, 60.0).certificate.unwrap();
        for (c, class) in good.classes.iter().enumerate() {
            // Those of fewer fillings only: the parts that admit more rest on less then.
            for j in 0..class.inequalities.len() {
                let mut other = good.clone();
                other.classes[c].inequalities[j].lacked = (0..class.inequalities[j].lacked.len().max(9)).collect();
                other.classes[c].inequalities[j].held.clear();
                refusals += usize::from(check_certificate(&problem, &other).is_err());
            }
        }
    }
    assert!(refusals > 0, "an inequality of no filling but the empty one proved the bound of all");
}

/// Instances of pairs of servers are parted by numbers of requests, too; what is proved where they are bounded proves nothing elsewhere.
#[test]
fn numbers_of_requests_part_placements() {
    let profiles = profiles("-monotone");
    let (mut questions, mut refusals) = (0, 0);
    for seed in 0..5 {
        let instance = pair(16, seed);
        let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
        let good = priced(&problem, 60.0).certificate.unwrap();
        check_certificate(&problem, &good).unwrap();
        let is_refused = |change: &dyn Fn(&mut Certificate)| {
            let mut other = good.clone();
            change(&mut other);
            usize::from(check_certificate(&problem, &other).is_err())
        };
        for (p, part) in good.parts.iter().enumerate() {
            let Some(Branching { question: Question::Count { group, set, pieces }, .. }) = part.branching else {
                continue;
            };
            questions += 1;
            // Parted elsewhere, the halves' proofs are of other fillings.
            for pieces in 0..pieces {
                refusals += is_refused(&|c| {
                    let question = Question::Count { group, set, pieces };
                    c.parts[p].branching.as_mut().into_iter().for_each(|b| b.question = question.clone());
                });
            }
        }
        for (c, class) in good.classes.iter().enumerate() {
            for j in (0..class.inequalities.len()).filter(|j| !class.inequalities[*j].counts.is_empty()) {
                refusals += is_refused(&|other| other.classes[c].inequalities[j].counts.clear());
                assert_eq!(1, is_refused(&|other| other.classes[c].inequalities[j].counts[0].0 = 1000));
            }
        }
    }
    assert!(questions > 0, "nothing was parted by numbers of requests");
    assert!(refusals > 0, "a proof of few fillings proved the bound of all");
}

#[test]
fn what_a_method_cannot_do_is_said() {
    let profiles = profiles("");
    let instance = instance(2, 4, 1.0, 1);
    let problem = Problem::new(&instance, &profiles, &Catalogue::built_in()).unwrap();
    let error = exact(&problem, &ExactParams::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("decomposed"), "{error}");
    for params in [
        DecomposedParams { workers: 0, ..DecomposedParams::default() },
        DecomposedParams { gap: f64::NAN, ..DecomposedParams::default() },
    ] {
        let error = decomposed(&problem, &params, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
}
