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
                eprintln!("error: {}", message(&error));
            }
            commands::exit_code(&error)
        }
    }
}

/// An error and its causes, but for what the error before has said already.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no such file").context("cannot read x: no such file").context("in y");
        assert_eq!(message(&error), "in y: cannot read x: no such file");
        assert_eq!(message(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
