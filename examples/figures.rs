//! Every figure and table of the evaluation, from simulated servers and the sample dataset, into `docs/results/`: `make figures`.

use clap::Parser;
use neuro_examples::Evaluation;

fn main() -> anyhow::Result<()> {
    Evaluation::parse().run()
}
