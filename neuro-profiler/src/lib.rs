//! Latency profilers of co-located inference services.
//!
//! A profiler answers one question: how long does one inference of a service take when other services share its server?
//! A [`Profiler`] answers it for all tenants of a server at once; a [`Bundle`] is one on disk. *Contention curves* answer it pair by
//! pair.
//!
//! # The data
//!
//! One measurement is a [`ContentionPoint`]: the mean service time in seconds of one application (`app`) beside `instances`
//! replicas of another (`neighbour`), each of which receives `rate` requests per second. Rates are always **per instance**.
//! A *baseline* is the service time in seconds of an application alone.
//!
//! # Which function to pick
//!
//! | you want | use |
//! |---|---|
//! | one curve from the points of one ordered pair | [`fit_sigmoid`] |
//! | every curve of a set of measurements, with the pairs that failed beside the good ones | [`fit_all`] |
//! | the service time that a curve predicts | [`SigmoidParams::seconds`] |
//! | the instance count where a curve bends | [`find_elbow`] |
//! | a curve in the form that a mixed-integer program can hold | [`TwoSegments`] |
//! | curves and baselines on disk | [`files`] |
//! | a trained network as plain data | [`network`] |
//! | the default profiler, its constants of a request and its network for a mixed-integer program | [`server_state`] |
//! | the published network | [`deep_sets`] |
//! | predictors to compare with | [`baselines`] |
//! | any profiler from disk, with ranges and margins | [`Bundle`] |
//! | a bundle from the runs of a dataset | [`TrainingSet`], `fit` |
//! | how good one is | [`evaluation`] |
//!
//! Nothing here prints, reads the environment or draws unseeded random numbers: the same points, options and seed give the
//! same result, in whatever order the points come.
//!
//! # Example
//!
//! ```
//! use neuro_profiler::{ContentionPoint, MapOptions, TwoSegments, fit_all};
//!
//! // A service of 10 ms that slows down with the load beside it.
//! let mut points = Vec::new();
//! for instances in [1_u32, 2, 4] {
//!     for rate in [5.0, 20.0] {
//!         let load = f64::from(instances) * rate;
//!         points.push(ContentionPoint {
//!             app: "tclf-rf".into(),
//!             neighbour: "kalman-gru".into(),
//!             instances,
//!             rate,
//!             seconds: 0.010 * (1.0 + load / 100.0),
//!         });
//!     }
//! }
//!
//! let curves = fit_all(&points, &MapOptions::default());
//! assert!(curves.failures.is_empty());
//! let fit = &curves.fits["tclf-rf"]["kalman-gru"];
//! assert!(fit.converged);
//! assert!((fit.params.seconds(2.0, 20.0) - 0.014).abs() < 0.001);
//!
//! // The same curve at 5 requests per second as two straight lines in the number of instances.
//! let lines = TwoSegments::of_sigmoid(&fit.params, 5.0)?;
//! assert!(lines.at(16.0) > lines.at(4.0));
//! # Ok::<(), neuro_profiler::Error>(())
//! ```

pub mod baselines;
mod bundle;
pub mod curves;
pub mod deep_sets;
mod error;
pub mod evaluation;
pub mod files;
#[cfg(feature = "candle")]
pub mod fit;
mod margins;
mod model;
pub mod network;
pub mod pairwise;
mod profiler;
pub mod server_state;
mod simd;
#[cfg(test)]
mod synthetic;
#[cfg(feature = "candle")]
pub mod torch;
#[cfg(feature = "candle")]
pub mod train;
mod training_set;
mod weights;

pub use bundle::{BUNDLE_FORMAT, Bundle, DataFacts, Profile};
pub use curves::{
    ContentionPoint, CurveSet, Elbow, ElbowShape, FittedLine, MapOptions, SigmoidFit, SigmoidParams, Split,
    TwoSegments, find_elbow, fit_all, fit_sigmoid,
};
pub use error::{Error, Result};
pub use margins::{AppMargin, AppMargins, HEADROOMS, Margins};
pub use model::{Architecture, Model};
pub use profiler::{Load, LogTimes, Profiler, sla_index};
pub use training_set::{FoldParams, Folds, RunSample, TenantSample, TrainedRange, TrainingSet};
pub use weights::Weights;
