//! `cargo run --example orchestrate`: the whole way, from a simulated campaign over profilers and plans of every method to their replay,
//! in under five minutes; the comparison's pictures and the page are in `neuro-orchestrate/`.
//!
//! It is `make figures` with fewer runs, servers and instances. Every option of that can be given here too, such as
//! `cargo run --example orchestrate -- --servers 2,4,6 --time-limit 10`.

use clap::Parser;
use neuro_examples::Evaluation;

fn main() -> anyhow::Result<()> {
    let small = [
        "orchestrate",
        "--out=neuro-orchestrate/results",
        "--work=neuro-orchestrate",
        "--runs=400",
        "--rounds=2",
        "--plans=40",
        "--servers=2,4",
        "--seeds=1",
        "--time-limit=3",
        "--budget=200",
    ];
    // What is given here replaces what stands above.
    let given: Vec<String> = std::env::args().skip(1).collect();
    let name = |option: &str| option.split('=').next().unwrap_or(option).to_owned();
    let kept =
        small.iter().map(ToString::to_string).filter(|option| !given.iter().any(|given| name(given) == name(option)));
    Evaluation::parse_from(kept.chain(given.clone())).run()
}
