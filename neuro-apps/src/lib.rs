//! Real inference services behind one small HTTP contract: the load of a co-location experiment.
//!
//! Each application runs a genuine model on [Candle](candle_core), or a random forest, on a fixed input: what matters to an experiment
//! is what an inference costs and what it does to its neighbours. Weights are random unless a checkpoint is given; a seed determines
//! them and the input, so the same seed gives the same output.
//!
//! # The model
//!
//! - An [application](registry::App) has an id, a default and a largest batch, and makes a [model](app::Model), a function of named
//!   tensors. A [registry](registry::Registry) lists applications; those of this crate are a file each in [`apps`], and a program can
//!   add its own.
//! - A model takes its tensors from Candle's `VarBuilder`: [random by seed and name](weights::SeededWeights), or of a
//!   [checkpoint](weights::Checkpoint) under the names of the Python original.
//! - A [replica](replica::Replica) serves one model: one inference at a time, first come first served, on a thread of its own.
//!   It keeps the [times](statistics::Record) of each request on the host's monotonic [clock](mod@clock), waiting and service
//!   apart.
//! - The [server] (feature `serve`, on by default) puts a replica behind HTTP. The binary `neuro-app` is that, and
//!   [one inference on files](infer).
//!
//! | id | what it runs | parameters | batch | at most |
//! |---|---|---|---|---|
//! | `iclf-efnet` | [EfficientNetV2-L](apps::iclf_efnet::EfficientNetV2) | 118,515,272 | 1 image of 224 × 224 | 32 |
//! | `iclf-mnet` | [MobileNetV3-Large](apps::iclf_mnet::MobileNetV3) | 5,483,032 | 8 images of 224 × 224 | 64 |
//! | `iclf-mvit` | [MobileViT-S](apps::iclf_mvit::MobileVit) | 5,578,632 | 2 images of 256 × 256 | 16 |
//! | `kalman-gru` | [KalmanNet](apps::kalman_gru::KalmanNet), a Kalman filter with a GRU for its gain: 2 states, T = 100 | 99,444 | 16 steps | 1,024 |
//! | `tclf-gcn` | [GCNII](apps::tclf_gcn::GcnII), 64 layers of width 64 | 313,034 | 1 graph of 1,000 nodes × 784, 20,000 edges | 32 |
//! | `tclf-rf` | random forest, 100 trees of depth ≤ 10, 784 features, 10 classes | | 16 items | 4,096 |
//! | `text-bert` | BERT-base uncased with two labels | 109,483,778 | 1 text of 130 tokens | 16 |
//! | `text-tbert` | TinyBERT-L2 cross-encoder | 4,386,049 | 1 pair of 128 tokens | 128 |
//! | `tstr-lstm` | [2 × LSTM(50)](apps::tstr_lstm::StackedLstm) and dense 10-10-1 | 51,431 | 16 series of 784 × 100 | 256 |
//!
//! Outputs agree with the Python originals to 1e-6 of the largest (`reference/`); the tests hold golden values. At the largest batch
//! a service stays within the memory limit that the catalogue gives it.
//!
//! # Which API
//!
//! - To call a model in your own process on your own tensors: [`Registry::find`](registry::Registry::find), then
//!   [`App::load`](registry::App::load); to time it on its fixed input, [`App::build`](registry::App::build).
//! - To serve one from your own program: [`process::ensure_compute_threads`] first, then [`server::serve`].
//! - To serve a model of your own: implement [`app::Model`] and [add it](registry::Registry::with) to the registry.
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
//! Ours and the Python original in turn in one run (`reference/compare.py times`), default batch, release build, on a 2-vCPU AMD EPYC
//! (Zen 4) VM: the shortest of 20 inferences each, in milliseconds. The original of `tclf-rf` is scikit-learn's forest.
//!
//! | id | ours, 1 thread | PyTorch, 1 thread | ratio | ours, 2 threads | PyTorch, 2 threads | ratio | start-up, s | peak, MB |
//! |---|---|---|---|---|---|---|---|---|
//! | `iclf-efnet` | 344 | 416 | 0.83 | 206 | 218 | 0.95 | 2.86 | 591 |
//! | `iclf-mnet` | 70.6 | 84.2 | 0.84 | 46.9 | 58.9 | 0.80 | 0.21 | 130 |
//! | `iclf-mvit` | 165 | 177 | 0.94 | 107 | 108 | 0.99 | 0.24 | 113 |
//! | `kalman-gru` | 0.196 | 1.75 | 0.11 | 0.193 | 2.83 | 0.07 | 0.01 | 17 |
//! | `tclf-gcn` | 15.8 | 128 | 0.12 | 17 | 122 | 0.14 | 0.04 | 32 |
//! | `tclf-rf` | 0.0745 | 6.34 | 0.01 | 0.0784 | 9.42 | 0.01 | 0.09 | 16 |
//! | `text-bert` | 316 | 297 | 1.07 | 216 | 163 | 1.33 | 3.17 | 525 |
//! | `text-tbert` | 3.47 | 2.61 | 1.33 | 3.59 | 2.89 | 1.24 | 0.07 | 40 |
//! | `tstr-lstm` | 31 | 21.1 | 1.47 | 28.1 | 16.5 | 1.71 | 0.06 | 61 |
//!
//! Start-up is from the start of the process to the end of its first inference, peak memory is `VmHWM`, both on one thread. A dev build
//! of this workspace is as fast as a release build, for the kernels are optimised there too. `cargo bench --bench apps` repeats the
//! measurement of the inference alone.
//!
//! What bounds them: the image classifiers and the transformers spend their time in matrix products (BERT-base, 22 GFLOP, runs at 70
//! GFLOP/s on one thread), the depthwise convolutions load two values for each multiply-add. Three things made them so: channels last, so that a 1 × 1 convolution is one product
//! ([`layers`]); bias, norm and activation in one pass; and weights laid out as the product reads them, which took a quarter
//! off BERT.
//!
//! # Platforms
//!
//! Unix. The allocator of the process matters: tensor operations allocate their results, and with the system's allocator large
//! ones go back to the kernel each time. `neuro-app` uses mimalloc; a program that calls [`server::serve`] should too.

pub mod app;
pub mod apps;
pub mod clock;
#[cfg(feature = "serve")]
pub mod counters;
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
