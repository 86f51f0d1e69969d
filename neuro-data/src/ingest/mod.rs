//! Ingestion: raw runs, ours or the prototype's, into a dataset.
//!
//! The folders are searched for runs; those that the dataset knows already are passed over. The rest is cut, in order, into
//! *parts* of about 64 MB of raw files, and each part becomes one Parquet file a table. Parts depend on the order of the runs
//! alone and each is written by one worker, so the dataset is the same to the byte however many workers there are, and memory
//! holds one run a worker, of a large one ([`IngestParams::held_bytes`]) a batch of rows and one tenant's service times, whatever
//! the number of runs.
//!
//! The new dataset is built aside, with links to the files of the old one, and put in its place in one step: a crash leaves
//! the old one whole. The table `datapoints/`, which was made of the old runs alone, is not taken along.
//!
//! # What is done about faults
//! Each is a [`Problem`] with file, line, column and reason, beside what is good; when strict the first is an error and nothing
//! changes.
//!
//! | fault | treatment |
//! |---|---|
//! | a line that is malformed, negative, NaN or infinite, or has too few or too many cells | the line is left out |
//! | a file that ends within a line | the cut line is left out |
//! | a tenant without a file, or with an empty one | the tenant has no statistics; it stays in its neighbours' context |
//! | a file with a header and no requests | none: the tenant starved, is marked unstable and has no statistics |
//! | no folder of metrics, an empty text of perf | the counters are unknown (null) |
//! | no tenant was measured | the run is marked failed |
//! | tenant ids that stand twice; an application that the catalogue does not hold; a malformed `tenant_requests.json` | the run is left out |
//! | a file of a tenant that `tenant_requests.json` does not name | the file is left out |
//! | two folders with one run | the second is left out |
//! | damaged tables in a run folder of ours | what can be read is kept, and the run marked invalid |

mod decimal;
mod lines;
#[cfg(feature = "parquet")]
mod neuro_run;
#[cfg(feature = "parquet")]
mod part;
#[cfg(feature = "parquet")]
mod pipeline;
mod problem;
#[cfg(feature = "parquet")]
mod prototype;
#[cfg(feature = "parquet")]
mod prototype_batch;
pub mod prototype_csv;
pub mod prototype_perf;
pub mod prototype_requests;
#[cfg(feature = "parquet")]
mod walk;

#[cfg(feature = "parquet")]
pub(crate) use pipeline::build;
#[cfg(feature = "parquet")]
pub use pipeline::{IngestParams, IngestProgress, IngestReport, ingest};
pub use problem::{Problem, Problems};
