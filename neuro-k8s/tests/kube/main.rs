//! Whole flows against a fake API server over real HTTP, and request sequences against a scripted one.

#![cfg(all(feature = "kube", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod by_hand;
mod campaign;
mod fake_cluster;
mod operator;
mod requests;
mod rights;
mod rollout;
mod rules;
