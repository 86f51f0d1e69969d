//! The report: one HTML file that shows what lies in some folders.
//!
//! Whatever is found is shown, in this order: campaigns with their validity and noise floor, interference and contention curves,
//! errors of profilers, methods compared over numbers of servers, and plans server by server with what a replay measured.

mod campaign;
mod inputs;
mod page;
mod placement;
mod profilers;
mod scaling;

use std::path::{Path, PathBuf};

pub use inputs::Inputs;
use neuro_data::files::write_atomic;
use page::Page;

use crate::tool;

/// A finished report.
pub struct Report {
    html: String,
    figures: Vec<(String, String)>,
}

impl Report {
    /// Makes the report of what was found.
    ///
    /// # Errors
    /// A dataset cannot be read.
    pub fn of(inputs: &Inputs, title: &str) -> anyhow::Result<Self> {
        let mut page = Page::default();
        for (folder, dataset) in &inputs.datasets {
            campaign::show(&mut page, folder, dataset)?;
        }
        for (folder, evaluation) in &inputs.evaluations {
            profilers::show(&mut page, folder, evaluation);
        }
        for (path, rows) in &inputs.scalings {
            scaling::show(&mut page, path, rows);
        }
        for plan in &inputs.plans {
            placement::show(&mut page, plan);
        }
        let tool = tool();
        let made_by = format!("made by {} {} ({})", tool.name, tool.version, tool.commit);
        Ok(Self { html: page.html(title, &made_by), figures: page.figures })
    }

    /// The document.
    pub fn html(&self) -> &str {
        &self.html
    }

    /// Writes every picture into a folder as an SVG file; pictures of one name are numbered.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_figures(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        let mut written: Vec<PathBuf> = Vec::new();
        for (name, svg) in &self.figures {
            let numbered = |number: usize| match number {
                1 => folder.join(format!("{name}.svg")),
                _ => folder.join(format!("{name}-{number}.svg")),
            };
            let Some(path) = (1..).map(numbered).find(|path| !written.contains(path)) else { continue };
            write_atomic(&path, svg.as_bytes())?;
            written.push(path);
        }
        Ok(written)
    }
}
