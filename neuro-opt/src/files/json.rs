use std::path::Path;

use ndarray::{Array1, Array2};
use neuro_profiler::network::{Activation, Dense, Network};
use serde::Deserialize;

use super::{fault, read};
use crate::{Domain, Error, NetworkProblem, Result, Sense};

/// One layer: σ(W·x + b).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerFile {
    /// Out × in.
    #[serde(rename = "W")]
    weights: Vec<Vec<f64>>,
    b: Vec<f64>,
    relu: Option<bool>,
    activation: Option<Activation>,
}

#[derive(Deserialize)]
struct NetworkFile {
    layers: Vec<LayerFile>,
}

/// A problem as a JSON file: `{"layers":[{"W":[[…]],"b":[…],"relu":true},…],"lb":[…],"ub":[…],"a":[…],"b":…,"c":[…],"sense":"max"}`.
///
/// W is out × in. Instead of `relu`, a layer may have `activation`: `identity`, `relu`, `gelu`. The row `a`·x ≤ `b` may be missing,
/// `rows` may hold more of them as `{"coefficients":[…],"upper":…}`, `integer` lists inputs that are whole numbers, and bounds
/// that are null are infinite.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProblemFile {
    layers: Vec<LayerFile>,
    lb: Vec<Option<f64>>,
    ub: Vec<Option<f64>>,
    a: Option<Vec<f64>>,
    b: Option<f64>,
    #[serde(default)]
    rows: Vec<crate::InputRow>,
    #[serde(default)]
    integer: Vec<usize>,
    c: Vec<f64>,
    #[serde(default)]
    sense: SenseFile,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SenseFile {
    #[default]
    #[serde(alias = "maximise", alias = "maximize")]
    Max,
    #[serde(alias = "minimise", alias = "minimize")]
    Min,
}

impl ProblemFile {
    /// The problem.
    ///
    /// # Errors
    ///
    /// What [`Network::new`], [`Domain`] and [`NetworkProblem::new`] refuse, and a row of which only one half is given.
    pub fn into_problem(self) -> Result<NetworkProblem> {
        let network = network(self.layers)?;
        let side = |bounds: Vec<Option<f64>>, missing: f64| bounds.into_iter().map(|x| x.unwrap_or(missing)).collect();
        let mut domain = Domain::new(side(self.lb, f64::NEG_INFINITY), side(self.ub, f64::INFINITY))?;
        match (self.a, self.b) {
            (Some(a), Some(b)) => domain = domain.with_row(a, b)?,
            (None, None) => {}
            _ => return Err(Error::HalfRow),
        }
        for row in self.rows {
            domain = domain.with_row(row.coefficients, row.upper)?;
        }
        let domain = domain.with_integers(self.integer)?;
        let sense = match self.sense {
            SenseFile::Max => Sense::Maximise,
            SenseFile::Min => Sense::Minimise,
        };
        NetworkProblem::new(network, domain, self.c, sense)
    }
}

fn network(layers: Vec<LayerFile>) -> Result<Network> {
    let layers = layers.into_iter().enumerate().map(|(index, layer)| {
        let wrong = |problem: String| Error::Layer { layer: index, problem };
        let (outputs, inputs) = (layer.weights.len(), layer.weights.first().map_or(0, Vec::len));
        if let Some((row, figures)) = layer.weights.iter().enumerate().find(|(_, row)| row.len() != inputs) {
            return Err(wrong(format!("row {row} of W has {} figures, row 0 has {inputs}", figures.len())));
        }
        let activation = match (layer.relu, layer.activation) {
            (Some(_), Some(_)) => return Err(wrong("give \"relu\" or \"activation\", not both".to_owned())),
            (Some(true), None) => Activation::Relu,
            (_, activation) => activation.unwrap_or(Activation::Identity),
        };
        let weights = Array2::from_shape_vec((outputs, inputs), layer.weights.concat())
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Dense::new(weights, Array1::from(layer.b), activation)?)
    });
    Ok(Network::new(layers.collect::<Result<_>>()?)?)
}

/// Reads a problem: see [`ProblemFile`].
///
/// # Errors
///
/// [`Error::File`] if the file cannot be read or is no such JSON, and those of [`ProblemFile::into_problem`].
pub fn read_problem(path: &Path) -> Result<NetworkProblem> {
    let file: ProblemFile = serde_json::from_slice(&read(path)?).map_err(|error| fault(path, error))?;
    file.into_problem()
}

/// Reads a network alone, the `layers` of [`ProblemFile`]; other fields are not looked at.
///
/// # Errors
///
/// [`Error::File`] if the file cannot be read or is no such JSON, and what [`Network::new`] refuses.
pub fn read_network(path: &Path) -> Result<Network> {
    let file: NetworkFile = serde_json::from_slice(&read(path)?).map_err(|error| fault(path, error))?;
    network(file.layers)
}
