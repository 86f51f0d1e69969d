//! The benchmarks are the files beside this one; run them with `cargo bench` at the root. What they are fed is made here.

mod prototype_tree;

pub use prototype_tree::{TreeSize, write_prototype_tree};
