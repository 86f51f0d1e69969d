//! One file for each application: its network, its input and its registry entry.

pub mod iclf_efnet;
pub mod iclf_mnet;
pub mod iclf_mvit;
pub mod kalman_gru;
pub mod tclf_gcn;
pub mod tclf_rf;
pub mod text_bert;
pub mod text_tbert;
pub mod tstr_lstm;
