//! The benchmarks are the files beside this one; run them with `cargo bench` at the root. What they are fed is made here.

mod prototype_tree;

pub use prototype_tree::{TreeSize, write_prototype_tree};

/// CPU time of this process and all its threads (s).
pub fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
