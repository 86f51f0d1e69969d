//! Real inference services behind one small HTTP contract: the load of a co-location experiment.
//!
//! Each application runs a genuine model on [Candle](candle_core), or a random forest, on a fixed input with random weights: what
//! matters to an experiment is what an inference costs and what it does to its neighbours, not what it answers. A seed
//! determines weights and input, so the same seed gives the same output.
//!
//! # The model
//!
//! - An [application](registry::App) has an id, a default and a largest batch, and builds a [model](app::InferenceApp). The
//!   [registry](registry::registry) lists them; each is a file in [`apps`].
//! - A model draws its tensors from [weights by seed and name](weights::SeededWeights) through Candle's `VarBuilder`, as it would
//!   load a checkpoint.
//! - A [replica](replica::Replica) serves one model: one inference at a time, first come first served, on a thread of its own.
//!   It keeps the [times](statistics::Record) of each request on the host's monotonic [clock](mod@clock), waiting and service
//!   apart.
//! - The [server] (feature `serve`, on by default) puts a replica behind HTTP. The binary `neuro-app` is that and no more.
//!
//! | id | what it runs | batch | at most |
//! |---|---|---|---|
//! | `kalman-gru` | KalmanNet, a Kalman filter with a GRU for its gain: 2 states, T = 100 | 16 steps | 1,024 |
//! | `tclf-rf` | random forest, 100 trees of depth ≤ 10, 784 features, 10 classes | 16 items | 4,096 |
//! | `text-tbert` | TinyBERT-L2 cross-encoder, 4,386,049 parameters | 1 pair of 128 tokens | 128 |
//! | `tstr-lstm` | 2 × LSTM(50) and dense 10-10-1 | 16 series of 784 × 100 | 256 |
//!
//! # Which API
//!
//! - To time or call a model in your own process: [`registry::find`], then [`App::build`](registry::App::build).
//! - To serve one from your own program: [`process::ensure_compute_threads`] first, then [`server::serve`].
//! - To put something else behind the same queue and clocks: implement [`app::InferenceApp`] and start a
//!   [`replica::Replica`].
//!
//! ```
//! use neuro_apps::app::InferenceApp;
//! use neuro_apps::registry::Registry;
//!
//! # fn main() -> neuro_apps::error::Result<()> {
//! let registry = Registry::built_in();
//! let app = registry.find("kalman-gru")?;
//! let mut inference = app.build(42, None)?;
//! let estimates = inference.infer(app.default_batch)?;
//! assert_eq!(estimates.len(), 16);
//! assert_eq!(estimates, app.build(42, None)?.infer(16)?);
//! # Ok(())
//! # }
//! ```
//!
//! As a service:
//!
//! ```text
//! $ neuro-app --app tstr-lstm --port 8000 &
//! {"listening":"127.0.0.1:8000","app":"tstr-lstm","uid":"8e1f0c6a52d94b37"}
//! $ curl -X POST localhost:8000/request-static -d '{"batch_size": 2}'
//! {"output":[0.27,0.26],"seq":0,"arrival_s":…,"service_s":0.011,…}
//! ```
//!
//! # What an inference costs
//!
//! Default batch, one compute thread, on a 2-vCPU AMD EPYC VM; shortest and median service time of 40 requests over HTTP, one after
//! another, the two builds in one run:
//!
//! | id | dev build, ms | release build, ms | start-up dev, s | start-up release, s | peak memory dev, MB |
//! |---|---|---|---|---|---|
//! | `kalman-gru` | 0.64, 0.89 | 0.34, 0.53 | 0.02 | 0.002 | 22 |
//! | `tclf-rf` | 0.23, 0.27 | 0.23, 0.31 | 0.13 | 0.09 | 22 |
//! | `text-tbert` | 6.7, 8.3 | 4.5, 5.7 | 0.14 | 0.12 | 50 |
//! | `tstr-lstm` | 67, 81 | 36, 39 | 0.12 | 0.08 | 63 |
//!
//! Peak memory is `VmHWM`; it grows with the number of requests kept. `cargo bench` repeats the measurement of the inference
//! alone.
//!
//! # Platforms
//!
//! Unix. The allocator of the process matters: tensor operations allocate their results, and with the system's allocator large
//! ones go back to the kernel each time. `neuro-app` uses mimalloc; a program that calls [`server::serve`] should too.

pub mod app;
pub mod apps;
pub mod clock;
pub mod error;
pub mod infer;
pub mod layers;
#[cfg(feature = "serve")]
pub mod metrics;
pub mod process;
pub mod registry;
pub mod replica;
mod seed;
#[cfg(feature = "serve")]
pub mod server;
pub mod statistics;
pub mod weights;
