//! `cargo run --example orchestrate`: the whole way, from a simulated campaign over profilers and plans of every method to their replay,
//! in under five minutes; the comparison's pictures and the page are in `neuro-orchestrate/`.
//!
//! It is `make figures` with fewer runs, servers and instances. Every option of that can be given here too, such as
//! `cargo run --example orchestrate -- --servers=2,4,6 --per-server=2`.

use neuro_examples::Evaluation;

fn main() -> anyhow::Result<()> {
    Evaluation::small(std::env::args().skip(1).collect()).run()
}
