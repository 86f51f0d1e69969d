//! `neuro-app`: one inference service of the registry as a process of its own.
//!
//! Exit codes: 0 ended with its parent or by a signal, 1 failed, 2 bad usage.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use neuro_apps::error::{Error, Result};
use neuro_apps::infer::{InferArgs, infer};
use neuro_apps::process::ensure_compute_threads;
use neuro_apps::registry::Registry;
use neuro_apps::server::{Listening, ServeArgs, serve};

/// Tensor operations allocate and free their results, large ones again and again: this allocator keeps the memory where the
/// system's would hand it back to the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serve one inference application over HTTP
///
/// Prints one line of JSON once it listens: {"listening": "ADDRESS:PORT", "app": "ID", "uid": "..."}.
#[derive(Debug, Parser)]
#[command(
    name = "neuro-app",
    version,
    after_help = applications(),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(flatten)]
    serve: Option<ServeArgs>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one inference on tensors from a file and write its output to another
    ///
    /// With a checkpoint and the same input, the output can be compared with that of the Python original.
    #[command(
        after_help = "Example:\n  neuro-app infer --app iclf-mnet --weights mobilenet_v3_large.safetensors \\\n    \
                            --input images.safetensors --output logits.safetensors"
    )]
    Infer(InferArgs),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "neuro-app: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let registry = Registry::built_in();
    match (arguments.command, arguments.serve) {
        (Some(Command::Infer(args)), _) => infer(&args, registry.find(&args.app)?).map(drop),
        (None, Some(args)) => {
            ensure_compute_threads(args.threads)?;
            serve(args, &registry, announce)
        }
        (None, None) => {
            Arguments::command().print_help().map_err(|source| Error::Io { action: "printing the help", source })
        }
    }
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
    let registry = Registry::built_in();
    let lines = registry.apps().iter().map(|app| {
        let (id, what, batch, max) = (app.id, app.description, app.default_batch, app.max_batch);
        format!("\n  {id:<11} {what} (batch {batch}, at most {max})")
    });
    format!("Applications:{}", lines.collect::<String>())
}
