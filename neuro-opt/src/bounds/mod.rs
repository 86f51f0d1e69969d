//! Bounds on what each unit of a network gets before its activation, level by level, cheap to dear.

mod crown;
mod interval;
mod knapsack;
mod line;
mod lp;
mod rows;

pub use crown::{Crown, crown};
pub use interval::interval;
pub use knapsack::{IntegerDomain, Knapsack};
pub use line::{Line, lower_line, upper_line};
pub use lp::{Cutoff, LpBounds, lp};
pub use rows::RowsLp;

use neuro_profiler::network::{Activation, Network};

use crate::{PhaseCounts, ReluPhase, Result};

/// Bounds on the pre-activations W·x + b of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerBounds {
    /// Lower bound of each unit.
    pub lower: Vec<f64>,
    /// Upper bound of each unit.
    pub upper: Vec<f64>,
}

impl LayerBounds {
    /// Number of units.
    pub fn units(&self) -> usize {
        self.lower.len()
    }

    /// The bounds of one unit as a layer of its own.
    pub(crate) fn only(&self, unit: usize) -> Self {
        Self { lower: vec![self.lower[unit]], upper: vec![self.upper[unit]] }
    }

    /// Takes what is tighter in `other`. Where rounding made the two miss each other, `self` stays.
    pub fn intersect(&mut self, other: &Self) {
        for unit in 0..self.units() {
            self.tighten(unit, other.lower[unit], other.upper[unit]);
        }
    }

    /// Takes what is tighter of these bounds of one unit; bounds that miss the present ones by rounding do nothing.
    pub fn tighten(&mut self, unit: usize, lower: f64, upper: f64) {
        if lower > self.lower[unit] && lower <= self.upper[unit] {
            self.lower[unit] = lower;
        }
        if upper < self.upper[unit] && upper >= self.lower[unit] {
            self.upper[unit] = upper;
        }
    }
}

/// Bounds on the pre-activations of every layer, the last one included: without an activation there they bound the output.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkBounds {
    /// The layers in order.
    pub layers: Vec<LayerBounds>,
}

impl NetworkBounds {
    /// How many ReLU units are in which phase.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidBounds`](crate::Error::InvalidBounds) for bounds that hold no number.
    pub fn phases(&self, network: &Network) -> Result<PhaseCounts> {
        let units =
            network.layers().iter().zip(&self.layers).filter(|(layer, _)| layer.activation() == Activation::Relu);
        PhaseCounts::of(units.flat_map(|(_, bounds)| bounds.lower.iter().copied().zip(bounds.upper.iter().copied())))
    }

    /// The phase of one ReLU unit.
    pub(crate) fn phase(&self, layer: usize, unit: usize) -> ReluPhase {
        let bounds = &self.layers[layer];
        if bounds.upper[unit] <= 0.0 {
            ReluPhase::Inactive
        } else if bounds.lower[unit] >= 0.0 {
            ReluPhase::Active
        } else {
            ReluPhase::Split
        }
    }
}

/// The interval that `activation` maps [`lower`, `upper`] into, rounded outwards.
pub(crate) fn image(activation: Activation, lower: f64, upper: f64) -> (f64, f64) {
    match activation {
        Activation::Identity => (lower, upper),
        Activation::Relu => (lower.max(0.0), upper.max(0.0)),
        Activation::Gelu => line::gelu_image(lower, upper),
    }
}
