#![doc = include_str!("../README.md")]

pub mod campaign_driver;
mod clock;
pub mod counters;
pub mod driver;
mod error;
pub mod health;
pub mod host;
mod interrupt;
#[cfg(feature = "kube")]
pub mod kube;
pub mod load;
#[cfg(feature = "local")]
pub mod local;
mod lock;
mod observer;
#[cfg(feature = "kube")]
pub mod operator;
mod pacer;
pub mod replay;
#[cfg(feature = "kube")]
pub mod rollout;
pub mod schedule;
mod scheduling;
#[cfg(feature = "sim")]
pub mod sim;
pub mod target;

pub use campaign_driver::{CampaignReport, drive_campaign};
pub use clock::{clock_id, monotonic_s};
pub use driver::{DriverParams, drive_run};
pub use error::{Error, Result};
pub use interrupt::Interrupt;
#[cfg(feature = "kube")]
pub use self::kube::{KubeParams, KubeTarget};
#[cfg(feature = "local")]
pub use local::{LocalParams, LocalTarget};
pub use observer::{Event, Observer};
pub use target::{Endpoint, Target};
