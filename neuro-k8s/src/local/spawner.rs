//! Starting replicas so that none outlives its driver.
//!
//! # Guarantees
//! - On Linux the kernel kills a replica when the thread that started it ends, however it ends (`PR_SET_PDEATHSIG`). All are
//!   started by one thread that lives as long as the target, not by the pool threads of an event loop, which come and go.
//! - Everywhere, a replica's standard input is a pipe that nobody writes to: it ends when the driver does, and the project's
//!   own services exit then.
//! - A replica leads a process group of its own: a Ctrl-C at the terminal reaches the driver alone, and what a replica starts
//!   is ended with it.
//! - Everything started carries [`RUN_VARIABLE`] in its environment, by which [`super::sweep`] finds what is left of a run.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// Environment variable of every replica: the id of the run it belongs to.
pub(super) const RUN_VARIABLE: &str = "NEURO_RUN";

/// What to start.
#[derive(Debug)]
pub(super) struct Program {
    /// Program and arguments; not empty.
    pub(super) argv: Vec<String>,
    /// Environment beyond what the driver has.
    pub(super) env: Vec<(String, String)>,
    /// Where both outputs go.
    pub(super) log: File,
    /// `RLIMIT_DATA`, bytes.
    pub(super) rlimit_bytes: Option<u64>,
}

type Job = (Program, mpsc::Sender<io::Result<Child>>);

/// The thread that starts replicas.
#[derive(Debug)]
pub(super) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    pub(super) fn start() -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for (program, answer) in queue {
                let _ = answer.send(spawn(program));
            }
        })?;
        Ok(Self { jobs })
    }

    pub(super) fn spawn(&self, program: Program) -> io::Result<Child> {
        let (answer, child) = mpsc::channel();
        let ended = |_| io::Error::other("the spawner's thread has ended");
        self.jobs.send((program, answer)).map_err(|_| io::Error::other("the spawner's thread has ended"))?;
        child.recv().map_err(ended)?
    }
}

fn spawn(program: Program) -> io::Result<Child> {
    let Some((name, arguments)) = program.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty command"));
    };
    let mut command = Command::new(name);
    command
        .args(arguments)
        .envs(program.env)
        .stdin(Stdio::piped())
        .stdout(program.log.try_clone()?)
        .stderr(program.log)
        .process_group(0);
    tie_to_this_thread(&mut command, program.rlimit_bytes);
    command.spawn()
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn tie_to_this_thread(command: &mut Command, rlimit_bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setrlimit};

    let parent = getpid();
    let before_exec = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            // The driver ended between the fork and the line above.
            return Err(rustix::io::Errno::SRCH.into());
        }
        if let Some(bytes) = rlimit_bytes {
            setrlimit(Resource::Data, Rlimit { current: Some(bytes), maximum: Some(bytes) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, without allocation or locks.
    unsafe {
        command.pre_exec(before_exec);
    }
}

#[cfg(not(target_os = "linux"))]
fn tie_to_this_thread(_command: &mut Command, _rlimit_bytes: Option<u64>) {}
