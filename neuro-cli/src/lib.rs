#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod output;
mod pairwise;
mod predictions;
mod progress;
pub mod report;
mod share;
mod signals;
mod tool;

pub use pairwise::{PairwiseResults, write_pairwise_results};
pub use predictions::Predictions;
pub use progress::{CampaignProgress, SearchProgress, SimulationProgress, WorkProgress};
pub use share::wilson;
pub use signals::interrupt_on_ctrl_c;
pub use tool::tool;
