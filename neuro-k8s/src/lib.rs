//! neuro-k8s
