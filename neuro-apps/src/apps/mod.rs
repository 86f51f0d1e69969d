//! The applications, one file each. Each defines `APP`, its entry in the [registry](crate::registry).

pub mod kalman_gru;
pub mod tclf_rf;
pub mod text_tbert;
pub mod tstr_lstm;
