//! The benchmarks are the files beside this one; run them with `cargo bench` at the root.
