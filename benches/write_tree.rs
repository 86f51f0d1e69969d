//! Writes a synthetic tree of the prototype's runs, for measurements by hand:
//! `cargo run --release -p neuro-benches --bin write-tree -- FOLDER RUNS REQUESTS_PER_RUN`.

use std::path::PathBuf;

use neuro_benches::{TreeSize, write_prototype_tree};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("FOLDER RUNS REQUESTS_PER_RUN are wanted");
    let folder = PathBuf::from(next()?);
    let size = TreeSize { runs: next()?.parse()?, requests: next()?.parse()? };
    Ok(write_prototype_tree(&folder, size, 1)?)
}
