//! Solves one mixed-integer program that it is given on standard input: see `neuro_opt::solver::worker`.

fn main() -> Result<(), neuro_opt::Error> {
    neuro_opt::solver::worker::serve(&neuro_opt::solver::cbc::Cbc)
}
