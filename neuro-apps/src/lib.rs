//! neuro-apps
pub mod app;
pub mod apps;
pub mod error;
pub mod layers;
pub mod registry;
mod seed;
pub mod weights;
