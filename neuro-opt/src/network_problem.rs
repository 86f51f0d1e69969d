use neuro_profiler::network::Network;

use crate::rounding::dot;
use crate::{Domain, Error, Result, Sense};

/// Optimise c·f(x) for a network f over a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkProblem {
    network: Network,
    domain: Domain,
    objective: Vec<f64>,
    sense: Sense,
}

impl NetworkProblem {
    /// The problem of `objective` c, one figure an output.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if lengths differ, [`Error::InvalidObjective`] for a figure that is not finite.
    pub fn new(network: Network, domain: Domain, objective: Vec<f64>, sense: Sense) -> Result<Self> {
        if domain.inputs() != network.inputs() {
            return Err(Error::InputLength { found: domain.inputs(), needed: network.inputs() });
        }
        if objective.len() != network.outputs() {
            return Err(Error::InputLength { found: objective.len(), needed: network.outputs() });
        }
        if let Some((output, &figure)) = objective.iter().enumerate().find(|(_, figure)| !figure.is_finite()) {
            return Err(Error::InvalidObjective { output, figure });
        }
        Ok(Self { network, domain, objective, sense })
    }

    /// f.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where x lies.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// c.
    pub fn objective(&self) -> &[f64] {
        &self.objective
    }

    /// Whether c·f(x) is maximised.
    pub fn sense(&self) -> Sense {
        self.sense
    }

    /// The same in this direction.
    pub fn with_sense(&self, sense: Sense) -> Self {
        Self { sense, ..self.clone() }
    }

    /// `x` moved into the box and onto whole numbers where it is off by rounding, if it then lies in the domain.
    pub(crate) fn admitted(&self, x: &[f64]) -> Option<Vec<f64>> {
        let domain = &self.domain;
        let sides = domain.lower().iter().zip(domain.upper()).zip(domain.integer());
        let x: Vec<f64> = x
            .iter()
            .zip(sides)
            .map(|(x, ((lower, upper), whole))| if *whole { x.round() } else { *x }.clamp(*lower, *upper))
            .collect();
        domain.contains(&x, 1e-9).then_some(x)
    }

    /// c·f(x), by the forward pass.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] if `x` has another length.
    pub fn value(&self, x: &[f64]) -> Result<f64> {
        if x.len() != self.network.inputs() {
            return Err(Error::InputLength { found: x.len(), needed: self.network.inputs() });
        }
        let y =
            self.network.layers().iter().fold(ndarray::Array1::from(x.to_vec()), |x, layer| layer.forward(x.view()));
        Ok(dot(&self.objective, &y.to_vec()))
    }
}
