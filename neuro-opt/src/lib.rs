//! neuro-opt
