//! What a program that serves has to do to its own process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, thread};

use crate::error::{Error, Result};

/// The variable from which the tensor library takes its number of threads.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

/// Makes sure that an inference computes on `threads` threads, one for co-located replicas.
///
/// The tensor library takes the number from the environment of the process. If it is another one there, this function replaces
/// the process by a fresh one with the same arguments and the right environment (`exec`: process id, parent and open files stay
/// the same) and does not return. So call it first thing in `main`, before anything is printed or opened. A parent that sets
/// `RAYON_NUM_THREADS` itself spares its child the detour.
///
/// This is the one place of the crate that reads the environment.
///
/// # Errors
///
/// [`Error::Threads`] when `threads` is 0, [`Error::Io`] when the process cannot be replaced.
pub fn ensure_compute_threads(threads: usize) -> Result<()> {
    if threads == 0 {
        return Err(Error::Threads);
    }
    let wanted = threads.to_string();
    if env::var(THREADS_VARIABLE).is_ok_and(|value| value == wanted) {
        return Ok(());
    }
    let failed = |source| Error::Io { action: "restarting with the number of compute threads set", source };
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    let mut arguments = env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Err(failed(command.args(arguments).env(THREADS_VARIABLE, wanted).exec()))
}

/// The number of threads that an inference computes on in this process.
pub fn compute_threads() -> usize {
    candle_core::utils::get_num_threads()
}

/// Calls `ended` on a thread of its own once standard input has reached its end, which for a pipe is when the process that
/// holds its other end is gone, however it went.
///
/// # Errors
///
/// [`Error::Io`] when no thread can be started.
pub fn when_input_ends(ended: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name("parent-watch".to_owned())
        .spawn(move || {
            // An input that cannot be read has ended too.
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            ended();
        })
        .map(drop)
        .map_err(|source| Error::Io { action: "starting the thread that watches the parent", source })
}
