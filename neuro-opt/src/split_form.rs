use neuro_profiler::network::{Activation, Network};

use crate::bounds::NetworkBounds;
use crate::rounding::gamma;
use crate::{Domain, Error, ReluPhase, Result};

/// An affine function of a split form's columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// One coefficient a column, those after the last that matters left out.
    pub coefficients: Vec<f64>,
    /// The constant.
    pub constant: f64,
    /// How far rounding can have moved its value, anywhere in the domain.
    pub error: f64,
}

impl Affine {
    /// Its value where the columns have these `values`.
    pub fn at(&self, values: &[f64]) -> f64 {
        self.constant + crate::rounding::dot(&self.coefficients, values)
    }
}

/// A ReLU unit that bounds leave open.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitUnit {
    /// Its layer.
    pub layer: usize,
    /// Its place in the layer.
    pub unit: usize,
    /// Lower bound of its pre-activation, negative.
    pub lower: f64,
    /// Upper bound of its pre-activation, positive.
    pub upper: f64,
    /// Its pre-activation, a function of the columns before its own.
    pub preactivation: Affine,
}

/// A network with its settled units substituted away: the columns are the inputs, then one output y of each split unit, and
/// everything else is an affine function of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitForm {
    /// Number of inputs.
    pub inputs: usize,
    /// The split units in the order of their columns.
    pub units: Vec<SplitUnit>,
    /// The network's outputs.
    pub outputs: Vec<Affine>,
}

impl SplitForm {
    /// Substitutes what `bounds`, which must hold on `domain`, settle.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedActivation`] if a layer has another activation than ReLU, [`Error::InputLength`] for bounds of another number
    /// of layers.
    pub fn new(network: &Network, domain: &Domain, bounds: &NetworkBounds) -> Result<Self> {
        let inputs = network.inputs();
        if bounds.layers.len() != network.layers().len() {
            return Err(Error::InputLength { found: bounds.layers.len(), needed: network.layers().len() });
        }
        // Largest size of each column.
        let mut largest: Vec<f64> =
            domain.lower().iter().zip(domain.upper()).map(|(l, u)| l.abs().max(u.abs())).collect();
        let mut units: Vec<SplitUnit> = Vec::new();
        let mut outputs: Vec<Affine> = (0..inputs).map(column).collect();
        for (index, layer) in network.layers().iter().enumerate() {
            let mut next = Vec::with_capacity(layer.outputs());
            for (unit, (weights, &bias)) in layer.weights().outer_iter().zip(layer.bias()).enumerate() {
                let phase = match layer.activation() {
                    Activation::Identity => ReluPhase::Active,
                    Activation::Relu => bounds.phase(index, unit),
                    activation => return Err(Error::UnsupportedActivation { layer: index, activation }),
                };
                if phase == ReluPhase::Inactive {
                    next.push(Affine { coefficients: Vec::new(), constant: 0.0, error: 0.0 });
                    continue;
                }
                let preactivation = combine(weights.iter().copied().zip(&outputs), bias, &largest);
                if phase == ReluPhase::Active {
                    next.push(preactivation);
                    continue;
                }
                let (lower, upper) = (bounds.layers[index].lower[unit], bounds.layers[index].upper[unit]);
                next.push(column(largest.len()));
                largest.push(upper);
                units.push(SplitUnit { layer: index, unit, lower, upper, preactivation });
            }
            outputs = next;
        }
        Ok(Self { inputs, units, outputs })
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.inputs + self.units.len()
    }

    /// c·f(x) as a function of the columns.
    ///
    /// # Panics
    ///
    /// If `c` has another length than there are outputs.
    pub fn combination(&self, c: &[f64], domain: &Domain) -> Affine {
        assert_eq!(c.len(), self.outputs.len(), "one figure an output");
        let mut largest: Vec<f64> =
            domain.lower().iter().zip(domain.upper()).map(|(l, u)| l.abs().max(u.abs())).collect();
        largest.extend(self.units.iter().map(|unit| unit.upper));
        combine(c.iter().copied().zip(&self.outputs), 0.0, &largest)
    }

    /// The columns' values at an input.
    pub fn values(&self, x: &[f64]) -> Vec<f64> {
        let mut values = x.to_vec();
        for unit in &self.units {
            values.push(unit.preactivation.at(&values).max(0.0));
        }
        values
    }
}

fn column(index: usize) -> Affine {
    let mut coefficients = vec![0.0; index + 1];
    coefficients[index] = 1.0;
    Affine { coefficients, constant: 0.0, error: 0.0 }
}

/// Σ weight·term + bias, with what rounding may do to it for columns up to `largest`.
fn combine<'a>(terms: impl Iterator<Item = (f64, &'a Affine)>, bias: f64, largest: &[f64]) -> Affine {
    let mut sum = Affine { coefficients: Vec::new(), constant: bias, error: 0.0 };
    let (mut size, mut count) = (bias.abs(), 1);
    for (weight, term) in terms.filter(|(weight, _)| *weight != 0.0) {
        if term.coefficients.len() > sum.coefficients.len() {
            sum.coefficients.resize(term.coefficients.len(), 0.0);
        }
        sum.coefficients.iter_mut().zip(&term.coefficients).for_each(|(sum, c)| *sum += weight * c);
        sum.constant += weight * term.constant;
        sum.error += weight.abs() * term.error;
        let reach: f64 = term.coefficients.iter().zip(largest).map(|(c, x)| c.abs() * x).sum();
        size += weight.abs() * (reach + term.constant.abs());
        count += 1;
    }
    sum.error += gamma(count) * size;
    sum
}
