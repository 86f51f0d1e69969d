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
//! use neuro_apps::registry;
//!
//! # fn main() -> neuro_apps::error::Result<()> {
//! let app = registry::find("kalman-gru")?;
//! let mut model = app.build(42)?;
//! let estimates = model.infer(app.default_batch)?;
//! assert_eq!(estimates.len(), 16);
//! assert_eq!(estimates, app.build(42)?.infer(16)?);
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
//! Default batch, one compute thread, on a 2-vCPU AMD EPYC VM:
//!
//! | id | dev build, ms | release build, ms | start-up dev, s | start-up release, s | peak memory, MB |
//! |---|---|---|---|---|---|
//! | `kalman-gru` | 0.54 (0.90) | 0.27 (0.46) | 0.006 | 0.005 | 20 |
//! | `tclf-rf` | 0.06 (0.19) | 0.08 (0.17) | 0.17 | 0.22 | 25 |
//! | `text-tbert` | 11 (14) | 4.2 (5.9) | 0.12 | 0.05 | 44 |
//! | `tstr-lstm` | 74 (74) | 38 (51) | 0.17 | 0.15 | 56 |
//!
//! Measured over HTTP, one request after another (60 to 3,000 per application): the shortest service time and, in brackets, the mean
//! processor time of the inference thread per request. The machine was compiling at the same time, so shortest times and
//! processor times are given and not medians, and small differences mean nothing. Start-up is the shortest of several times from
//! start to ready, peak memory `VmHWM`, which grows with the number of requests kept. `cargo bench` repeats the measurement of the
//! inference alone.
//!
//! # Platforms
//!
//! Unix. The allocator of the process matters: tensor operations allocate their results, and with the system's allocator large
//! ones go back to the kernel each time. `neuro-app` uses mimalloc; a program that calls [`server::serve`] should too.

pub mod app;
pub mod apps;
pub mod clock;
pub mod error;
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
