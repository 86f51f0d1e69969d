use std::time::Instant;

use ndarray::{Array1, Array2};
use neuro_profiler::network::{Activation, Dense, Network};

use super::Search;
use super::tree::Tree;
use crate::bounds::{Crown, NetworkBounds};
use crate::{Domain, Limits, NetworkProblem, ReluPhase, Result, Sense};
use std::ops::ControlFlow;

/// What either bound of a unit may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UnitBudget {
    pub(crate) nodes: u64,
    pub(crate) deadline: Option<Instant>,
}

/// Tightens the split units' bounds by a search for the least and the largest pre-activation of each, cut off at the budget: what
/// is proved by then is taken. Returns the number of searches.
pub(crate) fn mip(network: &Network, domain: &Domain, bounds: &mut NetworkBounds, budget: UnitBudget) -> Result<u64> {
    let search = Search { starts: 2, ..Search::default() };
    let mut searches = 0;
    for layer in 0..network.layers().len() {
        if network.layers()[layer].activation() != Activation::Relu {
            continue;
        }
        for unit in 0..network.layers()[layer].outputs() {
            if bounds.phase(layer, unit) != ReluPhase::Split {
                continue;
            }
            let before = up_to(network, layer, unit)?;
            let mut known = NetworkBounds { layers: bounds.layers[..layer].to_vec() };
            known.layers.push(bounds.layers[layer].only(unit));
            for sense in [Sense::Minimise, Sense::Maximise] {
                let left = budget.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    return Ok(searches);
                }
                let limits = Limits { time: left, nodes: Some(budget.nodes), ..Limits::default() };
                let problem = NetworkProblem::new(before.clone(), domain.clone(), vec![1.0], sense)?;
                let tree = Tree::new(&search, &problem, domain.clone(), &known, &limits, Instant::now())?;
                let limit = tree.grow(&mut |_| ControlFlow::Continue(()))?.bound;
                searches += 1;
                match sense {
                    Sense::Minimise => bounds.layers[layer].tighten(unit, limit, f64::INFINITY),
                    Sense::Maximise => bounds.layers[layer].tighten(unit, f64::NEG_INFINITY, -limit),
                }
            }
        }
        // What this layer gained goes on to the next.
        *bounds = Crown::within(network, domain, Some(bounds))?.into_bounds();
    }
    Ok(searches)
}

/// The network whose one output is the pre-activation of a unit.
fn up_to(network: &Network, layer: usize, unit: usize) -> Result<Network> {
    let mut layers = network.layers()[..layer].to_vec();
    let own = &network.layers()[layer];
    let weights = Array2::from_shape_fn((1, own.inputs()), |(_, input)| own.weights()[[unit, input]]);
    layers.push(Dense::new(weights, Array1::from(vec![own.bias()[unit]]), Activation::Identity)?);
    Ok(Network::new(layers)?)
}
