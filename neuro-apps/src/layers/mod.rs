//! Building blocks that the applications share or that Candle lacks.

pub mod activation;
pub mod decision_tree;
pub mod lstm;
