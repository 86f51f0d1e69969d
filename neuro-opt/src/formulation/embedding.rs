use neuro_profiler::network::{Activation, Network};
use serde::{Deserialize, Serialize};

use super::{big_m, epigraph, sos};
use crate::bounds::NetworkBounds;
use crate::model::{Linear, Model, Variable};
use crate::{Error, ReluPhase, Result};

/// How a split unit becomes constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Big-M on the substituted pre-activation.
    BigM,
    /// Big-M with a variable for the pre-activation.
    BigMPreactivation,
    /// Special ordered sets of type 1.
    Sos1,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Self; 3] = [Self::BigM, Self::BigMPreactivation, Self::Sos1];

    /// Its name: `big-m`, `big-m-preactivation`, `sos1`.
    pub fn id(self) -> &'static str {
        match self {
            Self::BigM => "big-m",
            Self::BigMPreactivation => "big-m-preactivation",
            Self::Sos1 => "sos1",
        }
    }
}

/// A network to be put into a model, with bounds that hold there.
///
/// ```
/// use ndarray::array;
/// use neuro_opt::bounds::crown;
/// use neuro_opt::formulation::{Embedding, Encoding};
/// use neuro_opt::model::{Linear, Model};
/// use neuro_opt::{Domain, Sense};
/// use neuro_profiler::network::{Activation, Dense, Network};
///
/// // |x| on [−1, 2].
/// let network = Network::new(vec![
///     Dense::new(array![[1.0], [-1.0]], array![0.0, 0.0], Activation::Relu)?,
///     Dense::new(array![[1.0, 1.0]], array![0.0], Activation::Identity)?,
/// ])?;
/// let bounds = crown(&network, &Domain::new(vec![-1.0], vec![2.0])?)?;
/// let mut model = Model::new();
/// let x = model.continuous("x", -1.0, 2.0)?;
/// let embedded = Embedding::new(&network, &bounds).encoding(Encoding::BigM).add(&mut model, &[x.into()])?;
/// model.optimise(Sense::Maximise, embedded.outputs[0].clone())?;
/// assert_eq!(embedded.binaries, 2);
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Embedding<'a> {
    network: &'a Network,
    bounds: &'a NetworkBounds,
    encoding: Encoding,
    minimised: Vec<Vec<f64>>,
}

/// What an embedding added to a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// The network's outputs.
    pub outputs: Vec<Linear>,
    /// The output of every unit, layer by layer.
    pub units: Vec<Vec<Linear>>,
    /// Every variable that was added, with the layer and the unit that it is of and what it is.
    pub variables: Vec<(Variable, usize, usize, Role)>,
    /// Split units with a binary or a set.
    pub binaries: usize,
    /// Split units that the epigraph is enough for.
    pub epigraphs: usize,
}

/// What a variable of an embedding stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The unit's output y.
    Output,
    /// 1 where the unit is active.
    Phase,
    /// y − a.
    Slack,
    /// The pre-activation a.
    Preactivation,
}

impl<'a> Embedding<'a> {
    /// The network with its bounds, one layer each.
    pub fn new(network: &'a Network, bounds: &'a NetworkBounds) -> Self {
        Self { network, bounds, encoding: Encoding::BigMPreactivation, minimised: Vec::new() }
    }

    /// The encoding of split units; [`Encoding::BigMPreactivation`] by default.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// Says that the outputs matter only in so far as Σ wₖ·fₖ is minimised or limited from above, so that units which can only
    /// raise it need no binary. Said more than once, it goes for each of the sums. Without this, outputs are exact.
    pub fn minimised(mut self, w: Vec<f64>) -> Self {
        self.minimised.push(w);
        self
    }

    /// Adds the network of these inputs, one expression each, which the bounds must hold for.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of inputs, weights or bounds; [`Error::UnsupportedActivation`]; [`Error::Overflow`]
    /// for a split unit whose bounds are not finite.
    pub fn add(&self, model: &mut Model, inputs: &[Linear]) -> Result<Embedded> {
        let same = |found, needed| if found == needed { Ok(()) } else { Err(Error::InputLength { found, needed }) };
        same(inputs.len(), self.network.inputs())?;
        same(self.bounds.layers.len(), self.network.layers().len())?;
        let mut useless: Option<Vec<Vec<bool>>> = None;
        for w in &self.minimised {
            same(w.len(), self.network.outputs())?;
            let here = epigraph::useless_above(self.network, self.bounds, w);
            useless = Some(match useless {
                None => here,
                Some(before) => {
                    let both = |(a, b): (Vec<bool>, Vec<bool>)| a.into_iter().zip(b).map(|(a, b)| a && b).collect();
                    before.into_iter().zip(here).map(both).collect()
                }
            });
        }
        let (outputs, units, variables) = (Vec::new(), Vec::new(), Vec::new());
        let mut embedded = Embedded { outputs, units, variables, binaries: 0, epigraphs: 0 };
        let mut before = inputs.to_vec();
        for (index, layer) in self.network.layers().iter().enumerate() {
            let bounds = &self.bounds.layers[index];
            same(bounds.units(), layer.outputs())?;
            let mut after = Vec::with_capacity(layer.outputs());
            for (unit, (weights, &bias)) in layer.weights().outer_iter().zip(layer.bias()).enumerate() {
                let phase = match layer.activation() {
                    Activation::Identity => ReluPhase::Active,
                    Activation::Relu => self.bounds.phase(index, unit),
                    activation => return Err(Error::UnsupportedActivation { layer: index, activation }),
                };
                if phase == ReluPhase::Inactive {
                    after.push(Linear::default());
                    continue;
                }
                let mut a = Linear::constant(bias);
                before.iter().zip(weights).for_each(|(before, w)| a.add_scaled(*w, before));
                let a = a.merged();
                if phase == ReluPhase::Active {
                    after.push(a);
                    continue;
                }
                let (l, u) = (bounds.lower[unit], bounds.upper[unit]);
                if !(l.is_finite() && u.is_finite()) {
                    return Err(Error::Overflow { layer: index, unit, lower: l, upper: u });
                }
                let name = format!("n{index}_{unit}");
                let mut add = |variable, role| embedded.variables.push((variable, index, unit, role));
                if useless.as_ref().is_some_and(|useless| useless[index][unit]) {
                    let y = epigraph::add(model, &name, &a, u)?;
                    add(y, Role::Output);
                    embedded.epigraphs += 1;
                    after.push(y.into());
                    continue;
                }
                let a = if self.encoding == Encoding::BigMPreactivation {
                    let own = model.continuous(format!("{name}_a"), l, u)?;
                    model.add((own - a).equals(0.0))?;
                    add(own, Role::Preactivation);
                    own.into()
                } else {
                    a
                };
                let (y, other, role) = match self.encoding {
                    Encoding::BigM | Encoding::BigMPreactivation => {
                        let (y, z) = big_m::add(model, &name, &a, l, u)?;
                        (y, z, Role::Phase)
                    }
                    Encoding::Sos1 => {
                        let (y, s) = sos::add(model, &name, &a, l, u)?;
                        (y, s, Role::Slack)
                    }
                };
                add(y, Role::Output);
                add(other, role);
                embedded.binaries += 1;
                after.push(y.into());
            }
            embedded.units.push(after.clone());
            before = after;
        }
        embedded.outputs = before;
        Ok(embedded)
    }
}
