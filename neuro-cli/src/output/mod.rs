//! What the command shows: tables on a terminal, pictures as SVG.
//!
//! In a picture text stays text, colours are safe for the colour-blind, and every figure is legible on white paper.
//!
//! [`heatmap`] shows how much each service slows down beside each other one, [`curves`] the measurements and fitted curves of
//! every pair, [`distributions`] how service times spread over the tenants of a dataset. All return the SVG document; [`neuro_data::files::write_atomic`] puts it into a file.

mod canvas;
mod chart;
mod curves;
mod distributions;
mod heatmap;
mod scale;
pub mod table;
#[cfg(test)]
mod well_formed;

pub use chart::{Axis, Panel, Reference, Series, chart};
pub use curves::{CurvePanel, CurveSeries, MeasuredPoint, curves};
pub use distributions::distributions;
pub use heatmap::{HeatCell, heatmap};

/// Writes a result to standard output. A reader that has gone, as in `neuro apps | head`, is no fault.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
