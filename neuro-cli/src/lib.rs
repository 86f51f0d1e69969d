//! neuro-cli
