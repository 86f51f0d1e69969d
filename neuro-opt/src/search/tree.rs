use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Search;
use super::branching::choose;
use super::climb::climb;
use super::node::{Evaluation, Node, closed_or_empty, evaluate};
use crate::bounds::NetworkBounds;
use crate::points::points;
use crate::relaxation::Relaxation;
use crate::split_form::{Affine, SplitForm};
use crate::{Domain, Limits, NetworkProblem, Observer, Progress, Result, Sense, Termination};

/// Expansions between two reports to the observer.
const REPORT: u64 = 64;

/// The search tree of one problem, in terms of minimisation.
pub(super) struct Tree<'a> {
    search: &'a Search,
    problem: &'a NetworkProblem,
    domain: Domain,
    form: SplitForm,
    cost: Affine,
    limits: &'a Limits,
    start: Instant,
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    open: BinaryHeap<Node>,
    /// Threads at work, and the bounds of their nodes.
    busy: Vec<Option<f64>>,
    best: f64,
    x: Option<Vec<f64>>,
    /// Least bound of a part that was given up as not better than the best by the gap.
    closed: f64,
    nodes: u64,
    stop: Option<Termination>,
}

impl State {
    /// Counts a node; gives it back if it is open.
    fn count(&mut self, evaluation: Evaluation, parent: f64, relaxation: Relaxation) -> Option<Node> {
        self.nodes += 1;
        match evaluation {
            Evaluation::Open(bound) => return Some(Node { bound: bound.max(parent), relaxation }),
            Evaluation::Closed(bound) => self.closed = self.closed.min(bound.max(parent)),
            Evaluation::Empty => {}
        }
        None
    }

    /// Whether anything is left to do.
    fn is_open(&self) -> bool {
        !self.open.is_empty() || self.busy.iter().any(Option::is_some)
    }

    /// A lower bound on every solution.
    fn bound(&self) -> f64 {
        let waiting = self.open.iter().map(|node| node.bound).fold(f64::INFINITY, f64::min);
        let busy = self.busy.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        waiting.min(busy).min(self.closed).min(self.best)
    }
}

/// How the search ended, in terms of minimisation.
pub(super) struct Grown {
    pub(super) termination: Termination,
    pub(super) objective: f64,
    pub(super) x: Option<Vec<f64>>,
    pub(super) bound: f64,
    pub(super) nodes: u64,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        search: &'a Search,
        problem: &'a NetworkProblem,
        domain: Domain,
        bounds: &NetworkBounds,
        limits: &'a Limits,
        start: Instant,
    ) -> Result<Self> {
        let form = SplitForm::new(problem.network(), &domain, bounds)?;
        let maximise = problem.sense() == Sense::Maximise;
        let weights: Vec<f64> = problem.objective().iter().map(|c| if maximise { -c } else { *c }).collect();
        let cost = form.combination(&weights, &domain);
        let state = State {
            open: BinaryHeap::new(),
            busy: vec![None; search.threads.max(1)],
            best: f64::INFINITY,
            x: None,
            closed: f64::INFINITY,
            nodes: 0,
            stop: None,
        };
        let (state, wake) = (Mutex::new(state), Condvar::new());
        Ok(Self { search, problem, domain, form, cost, limits, start, state, wake })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a solution must be better than.
    fn cutoff(&self) -> f64 {
        self.cutoff_of(&self.state())
    }

    fn cutoff_of(&self, state: &State) -> f64 {
        let improvement = self.limits.gap * state.best.abs().max(1.0);
        if state.best.is_finite() { self.target().min(state.best - improvement) } else { self.target() }
    }

    /// The value to beat, infinite if there is none.
    fn target(&self) -> f64 {
        self.limits.target.map_or(f64::INFINITY, |target| self.sign() * target)
    }

    /// What turns the objective into one that is minimised, and back.
    fn sign(&self) -> f64 {
        if self.problem.sense() == Sense::Maximise { -1.0 } else { 1.0 }
    }

    /// Takes an input as the best if it is one.
    pub(super) fn offer(&self, x: &[f64]) {
        let Some(x) = self.problem.admitted(x) else { return };
        let Ok(value) = self.problem.value(&x) else { return };
        let value = self.sign() * value;
        let mut state = self.state();
        if value < state.best {
            (state.best, state.x) = (value, Some(x));
            if self.limits.target.is_some() && value < self.target() {
                state.stop.get_or_insert(Termination::TargetReached);
            }
        }
    }

    fn evaluate(&self, relaxation: &mut Relaxation) -> Evaluation {
        evaluate(relaxation, &self.form, &self.cost, || self.cutoff(), |x| self.offer(x))
    }

    /// Searches until the tree is done or a limit is reached.
    pub(super) fn grow(self, observer: Observer<'_>) -> Result<Grown> {
        let mut root = Relaxation::new(&self.form, &self.domain)?;
        root.lp.set_objective(&self.cost.coefficients);
        self.plant(root);
        std::thread::scope(|scope| {
            for thread in 1..self.search.threads {
                let tree = &self;
                scope.spawn(move || tree.work(thread, &mut |_| ControlFlow::Continue(())));
            }
            self.work(0, observer);
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let proved = state.bound();
        let termination = match state.stop {
            Some(stop) => stop,
            None if self.limits.target.is_some() => Termination::TargetUnreachable,
            None if state.x.is_some() => Termination::Optimal,
            None if state.closed == f64::INFINITY => Termination::Infeasible,
            // Everything was divided to the end, but an end could be neither solved nor proved empty.
            None => Termination::Completed,
        };
        Ok(Grown { termination, objective: state.best, x: state.x, bound: proved, nodes: state.nodes })
    }

    /// The first node, and solutions to begin with.
    fn plant(&self, mut root: Relaxation) {
        let blank = root.clone();
        let evaluation = self.evaluate(&mut root);
        if evaluation != Evaluation::Empty {
            let offer = |x: &[f64]| self.offer(x);
            climb(&blank, &self.form, &root.inputs(&self.form), offer);
            for x in points(&self.domain, self.search.seed).take(self.search.starts) {
                if self.state().stop.is_some() || self.is_late() {
                    break;
                }
                climb(&blank, &self.form, &x, offer);
            }
        }
        // Once more, with the cutoff that was found.
        let evaluation = match evaluation {
            Evaluation::Open(_) => self.evaluate(&mut root),
            other => other,
        };
        let mut state = self.state();
        if let Some(node) = state.count(evaluation, f64::NEG_INFINITY, root) {
            state.open.push(node);
        }
    }

    fn is_late(&self) -> bool {
        self.limits.time.is_some_and(|limit| self.start.elapsed() >= limit)
    }

    /// One thread: takes nodes and divides them until none are left.
    fn work(&self, thread: usize, observer: Observer<'_>) {
        let mut divided = 0_u64;
        // What this thread keeps to itself, since memory is short; else empty.
        let mut deep: Vec<Node> = Vec::new();
        while let Some(node) = self.take(thread, &mut deep) {
            let sides = self.divide(&node);
            divided += 1;
            let report = {
                let mut state = self.state();
                for (evaluation, relaxation) in sides {
                    if let Some(side) = state.count(evaluation, node.bound, relaxation) {
                        let waiting = (state.open.len() + deep.len()) * side.relaxation.lp.bytes();
                        if waiting > self.search.memory { deep.push(side) } else { state.open.push(side) }
                    }
                }
                state.busy[thread] = deep.iter().map(|node| node.bound).reduce(f64::min);
                let nodes_used = self.limits.nodes.is_some_and(|nodes| state.nodes >= nodes);
                let limit = if self.is_late() { Termination::TimeLimit } else { Termination::NodeLimit };
                if (limit == Termination::TimeLimit || nodes_used) && state.is_open() {
                    state.stop.get_or_insert(limit);
                }
                (thread == 0 && divided.is_multiple_of(REPORT)).then(|| Progress {
                    objective: state.x.is_some().then_some(self.sign() * state.best),
                    bound: self.sign() * state.bound(),
                    nodes: state.nodes,
                    open: state.open.len() + deep.len(),
                    seconds: self.start.elapsed().as_secs_f64(),
                })
            };
            if report.is_some_and(|report| observer(&report).is_break()) {
                self.state().stop.get_or_insert(Termination::Interrupted);
            }
            self.wake.notify_all();
        }
    }

    /// The next node, once there is one; `None` at the end.
    fn take(&self, thread: usize, deep: &mut Vec<Node>) -> Option<Node> {
        let mut state = self.state();
        loop {
            if state.stop.is_some() {
                state.open.extend(deep.drain(..));
                state.busy[thread] = None;
                self.wake.notify_all();
                return None;
            }
            let cutoff = self.cutoff_of(&state);
            let own = deep.pop();
            let is_best = own.is_none();
            if let Some(node) = own.or_else(|| state.open.pop()) {
                if node.bound < cutoff {
                    let least = deep.iter().map(|node| node.bound).fold(node.bound, f64::min);
                    state.busy[thread] = Some(least);
                    return Some(node);
                }
                state.closed = state.closed.min(node.bound);
                if is_best {
                    // Every other that waits is closed as well, since the best comes first.
                    state.open.clear();
                }
                continue;
            }
            state.busy[thread] = None;
            if state.busy.iter().all(Option::is_none) {
                self.wake.notify_all();
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Divides a node and evaluates its sides.
    fn divide(&self, node: &Node) -> Vec<(Evaluation, Relaxation)> {
        let Some(branching) = choose(self.search, node, &self.form, &self.cost, self.cutoff()) else {
            return vec![(Evaluation::Closed(node.bound), node.relaxation.clone())];
        };
        [true, false]
            .into_iter()
            .map(|above| match branching.side(&node.relaxation, &self.form, above) {
                Some(mut side) => (self.evaluate(&mut side), side),
                // Its bounds miss each other, which the cutoff may have led to.
                None => (closed_or_empty(self.cutoff()), node.relaxation.clone()),
            })
            .collect()
    }
}
