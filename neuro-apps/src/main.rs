//! `neuro-app`: one inference service of the registry as a process of its own.
//!
//! Exit codes: 0 ended with its parent, 1 failed, 2 bad usage.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use neuro_apps::error::Result;
use neuro_apps::process::ensure_compute_threads;
use neuro_apps::registry::registry;
use neuro_apps::server::{Listening, ServeArgs, serve};

/// Tensor operations allocate and free their results, large ones again and again: this allocator keeps the memory where the
/// system's would hand it back to the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serve one inference application over HTTP
///
/// Prints one line of JSON once it listens: {"listening": "ADDRESS:PORT", "app": "ID", "uid": "..."}.
#[derive(Debug, Parser)]
#[command(name = "neuro-app", version, after_help = applications())]
struct Arguments {
    #[command(flatten)]
    serve: ServeArgs,
}

fn main() -> ExitCode {
    match run(Arguments::parse().serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "neuro-app: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: ServeArgs) -> Result<()> {
    ensure_compute_threads(args.threads)?;
    serve(args, announce)
}

/// Tells the parent where the service listens. A parent that does not read is no reason to stop serving.
fn announce(listening: &Listening) {
    if let Ok(line) = serde_json::to_string(listening) {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    }
}

/// The list of applications for the help text.
fn applications() -> String {
    let lines = registry().iter().map(|app| {
        let (id, what, batch, max) = (app.id, app.description, app.default_batch, app.max_batch);
        format!("\n  {id:<11} {what} (batch {batch}, at most {max})")
    });
    format!("Applications:{}", lines.collect::<String>())
}
