//! What the command shows: tables on a terminal, pictures as SVG.
//!
//! In a picture text stays text, colours are safe for the colour-blind, and every figure is legible on white paper.
//!
//! [`HeatMap`] shows how much each service slows down beside each other one, [`Chart`] lines and measured points in panels,
//! [`distributions`] how service times spread over the tenants of a dataset, [`density`] the shape of a sample. Pictures are SVG
//! documents; [`neuro_data::files::write_atomic`] puts one into a file.

mod canvas;
mod chart;
mod density;
mod distributions;
mod heatmap;
mod scale;
pub mod table;
#[cfg(test)]
mod well_formed;

pub(crate) use canvas::escape;
pub use chart::{Axis, Chart, Panel, Point, Reference, Series};
pub use density::density;
pub use distributions::distributions;
pub(crate) use distributions::small_distributions;
pub use heatmap::{HeatCell, HeatMap};
pub(crate) use scale::extent;

/// Writes a result to standard output. A reader that has gone, as in `neuro apps | head`, is no fault.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
