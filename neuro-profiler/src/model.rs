//! Every profiler that a bundle can hold.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::baselines::{Perx, Queueing, Reach, ScalOran, TreeEnsemble, TreesShape, Uncontended};
use crate::deep_sets::{DeepSets, DeepSetsShape};
use crate::profiler::{Load, LogTimes, Profiler};
use crate::server_state::{ServerState, ServerStateShape};
use crate::weights::Weights;

/// What a profiler is, without its figures: `architecture` in a `profile.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Architecture {
    /// [`ServerState`].
    ServerState(ServerStateShape),
    /// [`DeepSets`], the published network.
    Paper(DeepSetsShape),
    /// [`Perx`].
    Perx {},
    /// [`ScalOran`], averaged over the applications present.
    Scaloran {},
    /// [`ScalOran`], the target's own curve alone.
    ScaloranCons {},
    /// [`Queueing`].
    Queueing {},
    /// [`TreeEnsemble`].
    Trees(TreesShape),
    /// [`Uncontended`].
    Uncontended {},
}

impl Architecture {
    /// Its name in tables and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ServerState(shape) if shape.monotone => "server-state-monotone",
            Self::ServerState(_) => "server-state",
            Self::Paper(shape) => shape.name(),
            Self::Perx {} => "perx",
            Self::Scaloran {} => "scaloran",
            Self::ScaloranCons {} => "scaloran-cons",
            Self::Queueing {} => "queueing",
            Self::Trees(_) => "trees",
            Self::Uncontended {} => "uncontended",
        }
    }
}

/// A profiler of any kind, fitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// The default.
    ServerState(ServerState),
    /// The published network and its variants.
    Paper(DeepSets),
    /// Sigmoids of pairs.
    Perx(Perx),
    /// Curves of self-contention.
    ScalOran(ScalOran),
    /// A queueing formula.
    Queueing(Queueing),
    /// Boosted regression trees.
    Trees(TreeEnsemble),
    /// As if alone.
    Uncontended(Uncontended),
}

impl Model {
    /// What it is.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::ServerState(model) => Architecture::ServerState(model.shape().clone()),
            Self::Paper(model) => Architecture::Paper(model.shape().clone()),
            Self::Perx(_) => Architecture::Perx {},
            Self::ScalOran(model) if model.reach() == Reach::Average => Architecture::Scaloran {},
            Self::ScalOran(_) => Architecture::ScaloranCons {},
            Self::Queueing(_) => Architecture::Queueing {},
            Self::Trees(model) => Architecture::Trees(model.shape()),
            Self::Uncontended(_) => Architecture::Uncontended {},
        }
    }

    /// Its figures.
    pub(crate) fn to_weights(&self) -> Weights {
        match self {
            Self::ServerState(model) => model.to_weights(),
            Self::Paper(model) => model.to_weights(),
            Self::Perx(model) => model.to_weights(),
            Self::ScalOran(model) => model.to_weights(),
            Self::Queueing(model) => model.to_weights(),
            Self::Trees(model) => model.to_weights(),
            Self::Uncontended(model) => model.to_weights(),
        }
    }

    /// A profiler of its figures; none may be left.
    pub(crate) fn from_weights(architecture: Architecture, apps: Vec<String>, mut weights: Weights) -> Result<Self> {
        let w = &mut weights;
        let model = match architecture {
            Architecture::ServerState(shape) => Self::ServerState(ServerState::from_weights(shape, apps, w)?),
            Architecture::Paper(shape) => Self::Paper(DeepSets::from_weights(shape, apps, w)?),
            Architecture::Perx {} => Self::Perx(Perx::from_weights(apps, w)?),
            Architecture::Scaloran {} => Self::ScalOran(ScalOran::from_weights(Reach::Average, apps, w)?),
            Architecture::ScaloranCons {} => Self::ScalOran(ScalOran::from_weights(Reach::Own, apps, w)?),
            Architecture::Queueing {} => Self::Queueing(Queueing::from_weights(apps, w)?),
            Architecture::Trees(shape) => Self::Trees(TreeEnsemble::from_weights(shape, apps, w)?),
            Architecture::Uncontended {} => Self::Uncontended(Uncontended::from_weights(apps, w)?),
        };
        weights.finish()?;
        Ok(model)
    }

    fn inner(&self) -> &dyn Profiler {
        match self {
            Self::ServerState(model) => model,
            Self::Paper(model) => model,
            Self::Perx(model) => model,
            Self::ScalOran(model) => model,
            Self::Queueing(model) => model,
            Self::Trees(model) => model,
            Self::Uncontended(model) => model,
        }
    }
}

impl Profiler for Model {
    fn apps(&self) -> &[String] {
        self.inner().apps()
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.inner().log_times(server)
    }
}
