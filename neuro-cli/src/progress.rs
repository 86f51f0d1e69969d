//! Progress on standard error.

use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use neuro_data::RunStatus;
use neuro_k8s::{Event, Observer};

/// Seconds that deployment, warm-up and writing add to a run's load, until one was seen.
const FIRST_GUESS_OVERHEAD_S: f64 = 1.0;

/// A progress bar with the time left. Where standard error is no terminal only what went wrong is said, a line each.
#[derive(Debug)]
pub struct CampaignProgress {
    bar: ProgressBar,
    /// Load of the runs still to do, seconds.
    load_left_s: f64,
    run_started: Instant,
    run_load_s: f64,
    overhead_s: f64,
    done: u32,
}

impl Default for CampaignProgress {
    fn default() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            load_left_s: 0.0,
            run_started: Instant::now(),
            run_load_s: 0.0,
            overhead_s: 0.0,
            done: 0,
        }
    }
}

impl CampaignProgress {
    fn show_time_left(&self) {
        let runs_left = self.bar.length().unwrap_or(0).saturating_sub(self.bar.position()) as f64;
        let overhead_s = if self.done == 0 { FIRST_GUESS_OVERHEAD_S } else { self.overhead_s };
        let left_s = (self.load_left_s + runs_left * overhead_s).max(0.0);
        let left = Duration::from_secs(left_s.round() as u64);
        self.bar.set_prefix(format!("{} left", HumanDuration(left)));
    }
}

impl Observer for CampaignProgress {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::CampaignStarted { total, finished, load_s } => {
                self.bar = ProgressBar::new(*total as u64);
                if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {prefix}  {wide_msg}") {
                    self.bar.set_style(style);
                }
                self.bar.set_position(*finished as u64);
                self.load_left_s = *load_s;
                if *finished > 0 {
                    say(&self.bar, &format!("{finished} of {total} runs are there already"));
                }
                self.show_time_left();
            }
            Event::RunStarted { spec } => {
                self.run_started = Instant::now();
                self.run_load_s = spec.phases.end_s();
                self.bar.set_message(format!("{} {}", spec.kind.name(), spec.name));
                self.bar.tick();
            }
            Event::RunEnded { manifest } => {
                let overhead_s = self.run_started.elapsed().as_secs_f64() - self.run_load_s;
                self.done += 1;
                self.overhead_s += (overhead_s - self.overhead_s) / f64::from(self.done.min(8));
                self.load_left_s -= self.run_load_s;
                self.bar.inc(1);
                self.show_time_left();
                if manifest.status != RunStatus::Complete {
                    let reason = manifest.reason.as_deref().unwrap_or("no reason was recorded");
                    say(&self.bar, &format!("{} is {}: {reason}", manifest.run_id, manifest.status.name()));
                }
            }
            Event::Swept { run_id, processes } => {
                say(&self.bar, &format!("ended {processes} processes that an earlier attempt at {run_id} left"));
            }
            Event::GivenUp { spec } => say(&self.bar, &format!("gave up {}", spec.run_id())),
            _ => {}
        }
    }
}

impl Drop for CampaignProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The progress of a simulated campaign: a bar with the time left once it has taken over two seconds.
#[derive(Debug)]
pub struct SimulationProgress {
    work: WorkProgress,
    total: usize,
    finished: usize,
    done: usize,
}

impl Default for SimulationProgress {
    fn default() -> Self {
        Self { work: WorkProgress::new("runs"), total: 0, finished: 0, done: 0 }
    }
}

impl Observer for SimulationProgress {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::CampaignStarted { total, finished, .. } => {
                (self.total, self.finished) = (*total, *finished);
                if *finished > 0 {
                    self.work.say(&format!("{finished} of {total} runs are there already"));
                }
            }
            Event::RunEnded { .. } => {
                self.done += 1;
                let (done, work) = (self.done as u64, (self.total - self.finished) as u64);
                self.work.show(self.finished + self.done, self.total, done, work);
            }
            Event::GivenUp { spec } => self.work.say(&format!("gave up {}", spec.run_id())),
            _ => {}
        }
    }
}

/// A line above a bar, or on its own where there is none.
fn say(bar: &ProgressBar, line: &str) {
    if bar.is_hidden() {
        #[expect(clippy::print_stderr, reason = "this is the command's voice")]
        {
            eprintln!("{line}");
        }
    } else {
        bar.println(line);
    }
}

/// Seconds for which work goes unmentioned.
const QUIET_S: f64 = 2.0;

/// A progress bar of work of known size, with the time left, once it has taken over two seconds.
#[derive(Debug)]
pub struct WorkProgress {
    bar: ProgressBar,
    unit: &'static str,
    started: Instant,
}

impl WorkProgress {
    /// Of work that is counted in `unit`.
    pub fn new(unit: &'static str) -> Self {
        Self { bar: ProgressBar::hidden(), unit, started: Instant::now() }
    }

    /// A line above the bar, or on its own where there is none.
    pub fn say(&self, line: &str) {
        say(&self.bar, line);
    }

    /// Shows that `done` of `total` are done, and `work_done` of `work` by the measure that time goes with.
    pub fn show(&mut self, done: usize, total: usize, work_done: u64, work: u64) {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        if elapsed_s < QUIET_S {
            return;
        }
        if self.bar.length() != Some(total as u64) {
            self.bar = ProgressBar::new(total as u64);
            let template = format!("{{bar:30}} {{pos}}/{{len}} {}, {{prefix}}", self.unit);
            if let Ok(style) = ProgressStyle::with_template(&template) {
                self.bar.set_style(style);
            }
        }
        let left_s = elapsed_s * work.saturating_sub(work_done) as f64 / work_done.max(1) as f64;
        self.bar.set_prefix(format!("{} left", HumanDuration(Duration::from_secs(left_s.round() as u64))));
        self.bar.set_position(done as u64);
    }
}

impl Drop for WorkProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A search that ends by the clock: the time left, and what it holds, where it may take over two seconds.
#[derive(Debug)]
pub struct SearchProgress {
    bar: ProgressBar,
}

impl SearchProgress {
    /// Of a search that has so much time.
    pub fn new(limit: Duration) -> Self {
        if limit.as_secs_f64() <= QUIET_S {
            return Self { bar: ProgressBar::hidden() };
        }
        let left = move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let left = limit.saturating_sub(state.elapsed());
            let _ =
                write!(text, "at most {} left", HumanDuration(Duration::from_secs(left.as_secs_f64().ceil() as u64)));
        };
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {left}  {wide_msg}") {
            bar.set_style(style.with_key("left", left));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// A line above the bar, or on its own where there is none.
    pub fn say(&self, line: &str) {
        say(&self.bar, line);
    }

    /// Shows the revenue of the best plan so far, and the most that any can have.
    pub fn show(&self, revenue: Option<f64>, bound: Option<f64>) {
        let revenue = revenue.map_or("no plan yet".to_owned(), |revenue| format!("revenue {revenue:.2}"));
        let bound = bound.map_or(String::new(), |bound| format!(", at most {bound:.2}"));
        self.bar.set_message(revenue + &bound);
    }
}

impl Drop for SearchProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
