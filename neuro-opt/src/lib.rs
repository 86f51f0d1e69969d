//! ReLU networks inside mixed-integer programs, and placement of inference requests on servers.
//!
//! # The data
//!
//! A [`NetworkProblem`] is a network f, a [`Domain`] (a box, rows, whole-number inputs) and c·f(x) to be optimised. A
//! [`NetworkMethod`] solves it and answers with a [`NetworkOutcome`]: why it stopped ([`Termination`]), what it holds
//! ([`PrimalStatus`]), the objective by forward pass, a proved bound, and how much work it was. A time limit or infeasibility is an
//! outcome, not an error. Each unit of a ReLU network has a [`ReluPhase`], and only split units need a binary variable.
//!
//! # Which item to pick
//!
//! | you want | use |
//! |---|---|
//! | the optimum over a network | [`Search`], or [`formulation::Milp`] with a [`solver`] |
//! | a limit on a network's output proved or refuted | [`verify()`] |
//! | a network inside a model of your own | [`formulation::Embedding`] with [`model::Model`] |
//! | a network behind a sum of tables of whole numbers | [`TableNetwork`] |
//! | a limit on what an output goes through last, such as an exponential | [`MonotoneOutput`] |
//! | bounds on a network's units | [`bounds`] one by one, [`tighten`] level by level |
//! | a network or a problem from a file | [`files`] |
//! | a small linear program solved again and again, with duals | [`lp::Simplex`] |
//! | requests placed on servers under memory and predicted latency, and a plan audited | [`placement`] |
//! | the name of a placement method on a command line or in a file | [`Method`] |
//!
//! # Features
//!
//! `cbc` (default) links the CBC solver of the system, 2.10 or newer. Without it the build needs nothing but Rust. `highs` builds the
//! HiGHS solver from its sources and needs cmake and libclang.
//!
//! # Example
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use ndarray::array;
//! use neuro_opt::{Domain, Limits, NetworkMethod, NetworkProblem, Search, Sense, Termination};
//! use neuro_profiler::network::{Activation, Dense, Network};
//!
//! // max |x₁ − x₂| where x₁ + x₂ ≤ 1 on [−1, 1]².
//! let network = Network::new(vec![
//!     Dense::new(array![[1.0, -1.0], [-1.0, 1.0]], array![0.0, 0.0], Activation::Relu)?,
//!     Dense::new(array![[1.0, 1.0]], array![0.0], Activation::Identity)?,
//! ])?;
//! let domain = Domain::new(vec![-1.0; 2], vec![1.0; 2])?.with_row(vec![1.0, 1.0], 1.0)?;
//! let problem = NetworkProblem::new(network, domain, vec![1.0], Sense::Maximise)?;
//! let outcome = Search::default().optimise(&problem, &Limits::default(), &mut |_| ControlFlow::Continue(()))?;
//! assert_eq!(outcome.outcome.termination, Termination::Optimal);
//! assert!((outcome.outcome.objective.unwrap_or(0.0) - 2.0).abs() < 1e-6);
//! # Ok::<(), neuro_opt::Error>(())
//! ```

pub mod bounds;
mod domain;
mod error;
pub mod files;
pub mod formulation;
mod input_set;
mod limits;
pub mod lp;
mod method;
pub mod model;
mod monotone_output;
mod network_method;
mod network_problem;
mod outcome;
pub mod placement;
mod points;
mod relaxation;
mod relu;
mod rounding;
mod search;
pub mod solver;
mod split_form;
mod table_network;
mod tightening;
mod verify;

pub use domain::{Domain, InputRow};
pub use error::{Error, Result};
pub use input_set::InputSet;
pub use limits::{Limits, Observer, Progress};
pub use method::Method;
pub use monotone_output::MonotoneOutput;
pub use network_method::{NetworkMethod, NetworkOutcome};
pub use network_problem::NetworkProblem;
pub use outcome::{Outcome, PrimalStatus, Sense, Termination};
pub use relu::{PhaseCounts, ReluPhase};
pub use search::Search;
pub use split_form::{Affine, SplitForm, SplitUnit};
pub use table_network::TableNetwork;
pub use tightening::{Level, LevelReport, Tightened, Tightening, tighten};
pub use verify::{Verdict, verify};
