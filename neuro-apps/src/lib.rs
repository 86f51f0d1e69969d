//! neuro-apps
