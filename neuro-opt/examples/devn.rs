use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;
use neuro_data::Catalogue;
use neuro_data::scenario::{Scenario, ScenarioParams, draw};
use neuro_opt::placement::{DecomposedParams, Problem, Profiles, decomposed};
use neuro_profiler::Bundle;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let suffix = if args[1] == "free" { "" } else { "-monotone" };
    let servers: usize = args[2].parse().unwrap();
    let seed: u64 = args[3].parse().unwrap();
    let limit: f64 = args[4].parse().unwrap();
    let bundle = |kind: &str| Bundle::read(&Path::new(&std::env::var("BUNDLES").unwrap_or("examples/data/bundles".into())).join(format!("{kind}{suffix}"))).unwrap();
    let profiles = Profiles::default().with("edge-a", bundle("edge-a")).with("edge-b", bundle("edge-b"));
    let params = ScenarioParams::new(Scenario::Mixed, servers, seed);
    let instance = draw(&params, &Catalogue::built_in()).unwrap();
    let catalogue = Catalogue::built_in();
    let problem = Problem::new(&instance, &profiles, &catalogue).unwrap();
    let p = DecomposedParams { time: Duration::from_secs_f64(limit), ..DecomposedParams::default() };
    let e = decomposed(&problem, &p, &mut |_| ControlFlow::Continue(())).unwrap();
    println!("{} S {servers} seed {seed}: {:.3} bound {:.3} gap {:.3} % {} pricings {} nodes {} {:.2} s served {}", args[1], e.plan.objective, e.plan.bound.unwrap(), 100.0 * e.plan.gap.unwrap(), e.plan.termination, e.pricings, e.nodes, e.plan.seconds, e.plan.assignments.len());
}
