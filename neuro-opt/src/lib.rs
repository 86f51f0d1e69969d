//! Placement of inference requests on servers, with ReLU networks inside mixed-integer programs.
//!
//! Today this crate holds the vocabulary that every placement method shares; the methods themselves come next.
//!
//! # The data
//!
//! A method ends with an [`Outcome`]: why it stopped ([`Termination`]), what it holds ([`PrimalStatus`]), the objective, a proved
//! bound or none, and how much work it was. A time limit or infeasibility is an outcome, not an error. In a mixed-integer
//! program each unit of a ReLU network has a [`ReluPhase`], and only split units need a binary variable.
//!
//! # Which item to pick
//!
//! | you want | use |
//! |---|---|
//! | the name of a method on a command line or in a file | [`Method`] |
//! | the result of an optimisation, its gap, and a check that it does not contradict itself | [`Outcome`] |
//! | which units of a layer are fixed by their bounds, and how many binaries are left | [`ReluPhase`], [`PhaseCounts`] |
//! | which CBC is linked | [`solver`], feature `cbc` |
//!
//! # Features
//!
//! `cbc` (default) links the CBC solver of the system, 2.10 or newer. Without it the build needs nothing but Rust.
//!
//! # Example
//!
//! ```
//! use neuro_opt::{Method, Outcome, PhaseCounts, Termination};
//!
//! // Of three units with these bounds before the ReLU, one needs a binary.
//! let layer = PhaseCounts::of([(-2.0, -0.5), (0.1, 3.0), (-1.0, 1.0)])?;
//! assert_eq!(layer.binaries(), 1);
//!
//! let method: Method = "decomposed".parse()?;
//! assert!(method.proves_bound());
//!
//! let outcome = Outcome {
//!     termination: Termination::TimeLimit,
//!     objective: Some(100.0),
//!     bound: Some(102.0),
//!     nodes: 1_234,
//!     seconds: 60.0,
//! };
//! assert_eq!(outcome.gap(), Some(0.02));
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
mod tightening;
mod verify;

pub use domain::{Domain, InputRow};
pub use error::{Error, Result};
pub use input_set::InputSet;
pub use limits::{Limits, Observer, Progress};
pub use method::Method;
pub use network_method::{NetworkMethod, NetworkOutcome};
pub use network_problem::NetworkProblem;
pub use outcome::{Outcome, PrimalStatus, Sense, Termination};
pub use relu::{PhaseCounts, ReluPhase};
pub use search::Search;
pub use split_form::{Affine, SplitForm, SplitUnit};
pub use tightening::{Level, LevelReport, Tightened, Tightening, tighten};
pub use verify::{Verdict, verify};
