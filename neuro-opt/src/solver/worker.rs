//! Solves in processes of their own: several at once where a solver's library allows one, and a time limit that holds even when
//! the solver does not look at the clock.
//!
//! The worker is any program that calls [`serve`]; this crate has one, `neuro-opt-worker`. It reads one request from its standard
//! input, answers on its standard output and ends; it ends at once when its standard input is closed, so that it does not outlive
//! the program that started it.
//!
//! A worker that dies takes nothing with it: the model is solved once more as it is ([`SolveOptions::plain`]) in the time that is left,
//! and only if that fails too the error tells by what it was ended and what it wrote last.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{MipSolver, Solution, SolveOptions};
use crate::model::Model;
use crate::{Error, Outcome, Result, Termination};

/// What the answer's line begins with; a solver's library may write other lines.
const ANSWER: &str = "neuro-answer ";
/// How long a worker may go on beyond its limit before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// How often a worker's end is looked for.
const POLL: Duration = Duration::from_millis(20);

/// A solver in a process of its own for each solve.
#[derive(Clone)]
pub struct Worker {
    program: PathBuf,
    arguments: Vec<String>,
    stops: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

#[derive(Serialize, Deserialize)]
struct Request<M> {
    model: M,
    options: SolveOptions,
}

impl Worker {
    /// The worker that this command starts: a program that calls [`serve`].
    pub fn new(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = String>) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().collect(), stops: None }
    }

    /// Ends a solve as soon as `stops` says so, asked some fifty times a second: the process is killed, and nothing is held of it.
    pub fn until(mut self, stops: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.stops = Some(Arc::new(stops));
        self
    }

    fn fault(&self, problem: impl std::fmt::Display) -> Error {
        Error::Solver { solver: "worker", problem: format!("{}: {problem}", self.program.display()) }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// Kills the process when it is let go.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl MipSolver for Worker {
    fn name(&self) -> &'static str {
        "worker"
    }

    fn solve(&self, model: &Model, options: &SolveOptions) -> Result<Solution> {
        let start = Instant::now();
        let dead = match self.attempt(model, options)? {
            Attempt::Ended(solution) => return Ok(*solution),
            Attempt::Dead(how) => how,
        };
        let left = options.time.map(|time| time.saturating_sub(start.elapsed()));
        if left == Some(Duration::ZERO) {
            return Ok(nothing(Termination::TimeLimit, start));
        }
        if options.plain {
            return Err(self.fault(dead));
        }
        match self.attempt(model, &SolveOptions { time: left, plain: true, ..options.clone() })? {
            Attempt::Ended(mut solution) => {
                solution.outcome.seconds = start.elapsed().as_secs_f64();
                Ok(*solution)
            }
            Attempt::Dead(how) => Err(self.fault(format!("{dead}; without preprocessing: {how}"))),
        }
    }
}

/// How a worker ended.
enum Attempt {
    /// With an answer, or because it had to.
    Ended(Box<Solution>),
    /// Without one: by what, and what it wrote last.
    Dead(String),
}

fn nothing(termination: Termination, start: Instant) -> Solution {
    let seconds = start.elapsed().as_secs_f64();
    Solution { outcome: Outcome { termination, objective: None, bound: None, nodes: 0, seconds }, values: None }
}

/// Bytes of a worker's standard error that are kept for a message.
const LAST_WORDS: usize = 400;

/// The last lines of what a worker wrote, in one.
fn last_words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(LAST_WORDS)..]);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
}

impl Worker {
    /// One solve in one process.
    fn attempt(&self, model: &Model, options: &SolveOptions) -> Result<Attempt> {
        let start = Instant::now();
        let request = serde_json::to_string(&Request { model, options: options.clone() }).map_err(|e| self.fault(e))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.fault(error))?;
        let mut running = Running(child);
        let pipes = (running.0.stdin.take(), running.0.stdout.take(), running.0.stderr.take());
        let (Some(mut input), Some(output), Some(mut errors)) = pipes else {
            return Err(self.fault("it has no standard input, output or error"));
        };
        let words = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What can be read will do.
            let _ = errors.read_to_end(&mut text);
            text
        });
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(std::result::Result::ok);
            let answer = lines.into_iter().find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned));
            // The receiver is gone if the limit came first.
            let _ = sender.send(answer);
        });
        let written = input.write_all(request.as_bytes()).and_then(|()| input.write_all(b"\n"));
        let written = written.and_then(|()| input.flush());
        let nothing = |termination| Ok(Attempt::Ended(Box::new(nothing(termination, start))));
        loop {
            let is_stopped = self.stops.as_ref().is_some_and(|stops| stops());
            match receiver.recv_timeout(POLL) {
                Ok(Some(answer)) => {
                    let answer: std::result::Result<Solution, String> =
                        serde_json::from_str(&answer).map_err(|error| self.fault(error))?;
                    return answer
                        .map(|answer| Attempt::Ended(Box::new(answer)))
                        .map_err(|problem| self.fault(problem));
                }
                // A terminal's Ctrl-C also ends the worker.
                _ if is_stopped => return nothing(Termination::Interrupted),
                Err(RecvTimeoutError::Timeout) => {
                    if options.time.is_some_and(|limit| start.elapsed() >= limit + GRACE) {
                        return nothing(Termination::TimeLimit);
                    }
                }
                Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                    // Whoever ended it may be about to tell.
                    std::thread::sleep(POLL);
                    if self.stops.as_ref().is_some_and(|stops| stops()) {
                        return nothing(Termination::Interrupted);
                    }
                    // It has closed its output: it has ended, or is made to.
                    let _ = running.0.kill();
                    let status = running.0.wait().map_err(|error| self.fault(error))?;
                    let words = last_words(&words.join().unwrap_or_default());
                    let unread = written.err().map(|error| format!(", the model was not read ({error})"));
                    let said = if words.is_empty() { String::new() } else { format!(", and wrote: {words}") };
                    let unread = unread.unwrap_or_default();
                    return Ok(Attempt::Dead(format!("it ended without an answer ({status}){unread}{said}")));
                }
            }
        }
    }
}

/// Answers one request on standard input and output with `solver`, and ends the process when standard input is closed before.
///
/// # Errors
///
/// [`Error::Solver`] if the request cannot be read or the answer cannot be written.
pub fn serve(solver: &dyn MipSolver) -> Result<()> {
    let fault = |problem: String| Error::Solver { solver: "worker", problem };
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| fault(error.to_string()))?;
    let request: Request<Model> = serde_json::from_str(&line).map_err(|error| fault(error.to_string()))?;
    std::thread::spawn(|| {
        // The parent has closed its end, or is gone: nobody waits for the answer.
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let answer = solver.solve(&request.model, &request.options).map_err(|error| error.to_string());
    let text = serde_json::to_string(&answer).map_err(|error| fault(error.to_string()))?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{ANSWER}{text}").and_then(|()| output.flush()).map_err(|error| fault(error.to_string()))
}
