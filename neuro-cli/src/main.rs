//! The `neuro` command: arguments in, a library call, a picture or table out.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::execute(args::Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is the command's voice")]
            {
                eprintln!("error: {error:#}");
            }
            commands::exit_code(&error)
        }
    }
}
