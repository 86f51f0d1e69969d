use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};
use neuro_data::Catalogue;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::placement::{ExactParams, Problem, Profiles, exact, lns, LnsParams};
use neuro_profiler::Bundle;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let suffix = &args[1];
    let suffix = if suffix == "free" { "" } else { "-monotone" };
    let requests: usize = args[2].parse().unwrap();
    let seed: u64 = args[3].parse().unwrap();
    let limit: f64 = args[4].parse().unwrap();
    let tight: f64 = args[5].parse().unwrap();
    let bundle = |kind: &str| match std::env::var("BUNDLE") { Ok(b) => Bundle::read(Path::new(&b)).unwrap(), Err(_) => Bundle::read(&Path::new(&std::env::var("BUNDLES").unwrap_or("examples/data/bundles".into())).join(format!("{kind}{suffix}"))).unwrap() };
    let profiles = Profiles::default().with("edge-a", bundle("edge-a")).with("edge-b", bundle("edge-b"));
    let params = ScenarioParams { requests: Some(requests), tightness: tight, ..ScenarioParams::new(Scenario::Mixed, 1, seed) };
    let mut instance = draw(&params, &Catalogue::built_in()).unwrap();
    let catalogue = Catalogue::built_in(); if let Ok(k) = std::env::var("KIND") { instance.servers[0].kind = k; }
    let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
    let start = Instant::now();
    let l = lns(&problem, &LnsParams { iterations: Some(40 * requests as u64), workers: 1, ..LnsParams::default() }, &mut |_| ControlFlow::Continue(())).unwrap();
    println!("lns {} in {:.3}", l.plan.objective, start.elapsed().as_secs_f64());
    let mut p = ExactParams { workers: args[6].parse().unwrap(), ..ExactParams::default() };
    p.limits.time = Some(Duration::from_secs_f64(limit));
    let mut last = 0.0;
    let e = exact(&problem, &p, &mut |q| { if q.seconds > last + 1.0 { last = q.seconds; eprintln!("{:?}", q); } ControlFlow::Continue(()) }).unwrap();
    println!("exact {} bound {:?} gap {:?} {} nodes {} {:.3} s served {}", e.plan.objective, e.plan.bound, e.plan.gap, e.plan.termination, e.nodes, e.plan.seconds, e.plan.assignments.len());
}
