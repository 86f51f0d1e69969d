//! What the benchmarks' programs share: curves of two segments in them, and the way they are solved.

use std::time::{Duration, Instant};

use neuro_profiler::{SigmoidParams, TwoSegments};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::assignment::{Assignment, alike, ordered, revenue};
use super::occupancy::MEMORY_TOLERANCE_GB;
use super::{Parts, Problem};
use crate::model::{Linear, Model, Variable};
use crate::solver::{MipSolver, SolveOptions};
use crate::{Outcome, Result, Termination};

/// Seconds as a function of instances: two lines that meet at an elbow, nowhere below `least`.
///
/// Where the second line is the steeper one the curve is the larger of the two, else the smaller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Curve {
    /// Slope and intercept.
    lines: [(f64, f64); 2],
    convex: bool,
    least: f64,
}

impl Curve {
    /// A contention curve at one rate, minus `subtracted`; nowhere below `least`.
    pub(super) fn new(params: &SigmoidParams, rate: f64, subtracted: f64, least: f64) -> Result<Self> {
        let segments = TwoSegments::of_sigmoid(params, rate)?;
        let through = |from: (f64, f64), to: (f64, f64)| {
            let slope = (to.1 - from.1) / (to.0 - from.0);
            (slope, from.1 - slope * from.0 - subtracted)
        };
        let lines = [through(segments.start, segments.elbow), through(segments.elbow, segments.end)];
        Ok(Self { lines, convex: lines[1].0 >= lines[0].0, least })
    }

    /// A curve that is the same everywhere.
    pub(super) fn constant(seconds: f64) -> Self {
        Self { lines: [(0.0, seconds); 2], convex: true, least: seconds }
    }

    /// Its value at `n` instances.
    pub(super) fn at(&self, n: f64) -> f64 {
        let [first, second] = self.lines.map(|(slope, intercept)| slope * n + intercept);
        let value = if self.convex { first.max(second) } else { first.min(second) };
        value.max(self.least)
    }

    /// Its largest value for 0 to `most` instances: a piecewise linear function is largest at an end or where the lines meet.
    pub(super) fn largest(&self, most: f64) -> f64 {
        let [(a, b), (c, d)] = self.lines;
        let elbow = if a == c { 0.0 } else { ((d - b) / (a - c)).clamp(0.0, most) };
        [0.0, elbow, most].map(|n| self.at(n)).into_iter().fold(self.least, f64::max)
    }

    /// The largest whole number from 1 to `most` with a value of at most `limit`; 0 if there is none.
    pub(super) fn threshold(&self, limit: f64, most: f64) -> f64 {
        (1..=most as u64).rev().map(|n| n as f64).find(|n| self.at(*n) <= limit).unwrap_or(0.0)
    }

    /// Whether more instances never give a smaller value.
    pub(super) fn is_rising(&self) -> bool {
        self.lines.iter().all(|(slope, _)| *slope >= 0.0)
    }

    /// Adds y ≥ curve(n) where `on` is 1, 0 ≤ y; n is at most `most`.
    ///
    /// With lines l₁, l₂ and their largest values M₁, M₂: y ≥ least·on and y ≥ lᵢ(n) − Mᵢ·(1 − on); where the curve is the smaller of
    /// the lines, a binary σ chooses the one that counts: y ≥ l₁(n) − M₁·(1 − on) − M₁·σ, y ≥ l₂(n) − M₂·(1 − on) − M₂·(1 − σ).
    pub(super) fn add(&self, model: &mut Model, n: &Linear, most: f64, on: &Linear) -> Result<Epigraph> {
        let name = format!("c{}", model.variables().len());
        let seconds = model.continuous(name.clone(), 0.0, self.largest(most).max(0.0))?;
        model.add((seconds - self.least * on.clone()).at_least(0.0))?;
        let binary = (!self.convex).then(|| model.binary(format!("{name}_second"))).transpose()?;
        for (i, (slope, intercept)) in self.lines.into_iter().enumerate() {
            let large = (slope * most + intercept).max(intercept).max(0.0);
            let mut row = seconds - slope * n.clone() - large * on.clone();
            let mut least = intercept - large;
            if let Some(binary) = binary {
                let sign = if i == 0 { 1.0 } else { -1.0 };
                row += sign * large * binary;
                least -= if i == 0 { 0.0 } else { large };
            }
            model.add(row.at_least(least))?;
        }
        Ok(Epigraph { curve: *self, n: n.clone(), on: on.clone(), seconds, binary })
    }
}

/// A curve in a program.
#[derive(Clone, Debug)]
pub(super) struct Epigraph {
    curve: Curve,
    n: Linear,
    on: Linear,
    /// y.
    pub(super) seconds: Variable,
    /// σ.
    binary: Option<Variable>,
}

impl Epigraph {
    /// Sets its variables to what the others make of them.
    fn complete(&self, values: &mut [f64]) {
        let n = self.n.at(values);
        let [first, second] = self.curve.lines.map(|(slope, intercept)| slope * n + intercept);
        values[self.seconds.index()] = if self.on.at(values) > 0.5 { self.curve.at(n).max(0.0) } else { 0.0 };
        if let Some(binary) = self.binary {
            values[binary.index()] = f64::from(u8::from(second < first));
        }
    }
}

/// Variables of a program that follow from a placement.
#[derive(Clone, Debug, Default)]
pub(super) struct Dependents {
    /// w_as, 1 where a is on s, with the w_rs of its requests.
    presences: Vec<(Variable, Vec<Variable>)>,
    pub(super) curves: Vec<Epigraph>,
}

impl Dependents {
    /// Sets them to what the others make of them.
    fn complete(&self, values: &mut [f64]) {
        for (present, requests) in &self.presences {
            values[present.index()] = requests.iter().map(|w| values[w.index()]).fold(0.0, f64::max);
        }
        self.curves.iter().for_each(|curve| curve.complete(values));
    }
}

/// The latency rows of a benchmark.
pub(super) trait LatencyRows {
    /// Adds them to a program, with the variables that they need.
    fn add(&self, assignment: &mut Assignment, dependents: &mut Dependents) -> Result<()>;

    /// Whether they hold on a server with these requests and instances.
    fn hold(&self, server: usize, tenants: &[(usize, u32)]) -> bool;

    /// Whether servers of one kind with the same memory are the same to them.
    fn are_symmetric(&self) -> bool;
}

/// The applications of a problem's requests, and how many instances of each there may be on one server.
#[derive(Clone, Debug)]
pub(super) struct Apps {
    pub(super) ids: Vec<String>,
    /// By request.
    pub(super) of: Vec<usize>,
    /// By application and server.
    pub(super) most: Vec<Vec<f64>>,
    /// Of all, by server.
    pub(super) most_of_all: Vec<f64>,
    /// Mean rate over the instances of all its requests, by application.
    pub(super) rates: Vec<f64>,
}

impl Apps {
    pub(super) fn new(problem: &Problem<'_>) -> Self {
        let instance = problem.instance();
        let mut ids: Vec<String> = Vec::new();
        let mut of = Vec::new();
        for request in &instance.requests {
            let known = ids.iter().position(|id| *id == request.app);
            of.push(known.unwrap_or(ids.len()));
            if known.is_none() {
                ids.push(request.app.clone());
            }
        }
        let mut instances = vec![0.0; ids.len()];
        let mut rates = vec![0.0; ids.len()];
        let mut memory_gb = vec![f64::INFINITY; ids.len()];
        for (r, request) in instance.requests.iter().enumerate() {
            instances[of[r]] += f64::from(request.instances);
            rates[of[r]] += f64::from(request.instances) * request.rate;
            memory_gb[of[r]] = problem.instance_memory_gb[r];
        }
        rates.iter_mut().zip(&instances).for_each(|(rate, n)| *rate /= n);
        let fitting = |gb: f64, server: usize| {
            let most = (instance.servers[server].memory_gb + MEMORY_TOLERANCE_GB) / gb;
            if most.is_finite() { most.floor() } else { f64::INFINITY }
        };
        let servers = 0..instance.servers.len();
        let most = (0..ids.len())
            .map(|app| servers.clone().map(|s| fitting(memory_gb[app], s).min(instances[app])).collect())
            .collect();
        let least_gb = memory_gb.iter().copied().fold(f64::INFINITY, f64::min);
        let total: f64 = instances.iter().sum();
        let most_of_all = servers.map(|s| fitting(least_gb, s).min(total)).collect();
        Self { ids, of, most, most_of_all, rates }
    }

    /// Instances of an application on a server, and w_as: 1 where there are any. It is continuous, since what makes it 1 is whole.
    pub(super) fn on(
        &self,
        assignment: &mut Assignment,
        dependents: &mut Dependents,
        app: usize,
        server: usize,
    ) -> Result<(Linear, Variable)> {
        let present = assignment.model.continuous(format!("a{app}_{server}"), 0.0, 1.0)?;
        let mut n = Linear::default();
        let mut requests = Vec::new();
        for r in (0..self.of.len()).filter(|r| self.of[*r] == app) {
            let on = assignment.on[r][server];
            n += assignment.instances[r][server].clone();
            assignment.model.add((on - present).at_most(0.0))?;
            requests.push(on);
        }
        dependents.presences.push((present, requests));
        Ok((n, present))
    }

    /// Instances of each application among tenants.
    pub(super) fn count(&self, tenants: &[(usize, u32)]) -> Vec<f64> {
        let mut count = vec![0.0; self.ids.len()];
        tenants.iter().for_each(|(r, n)| count[self.of[*r]] += f64::from(*n));
        count
    }
}

/// How a benchmark's program ended.
pub(super) struct Solved {
    pub(super) parts: Parts,
    pub(super) outcome: Outcome,
}

/// Solves a benchmark's program, beginning with `known`, if its rows admit it, or the best that they admit one after another.
pub(super) fn solve(
    problem: &Problem<'_>,
    rows: &dyn LatencyRows,
    solver: &dyn MipSolver,
    time: Option<Duration>,
    known: Option<&Parts>,
) -> Result<Solved> {
    let start = Instant::now();
    let mut assignment = Assignment::new(problem, true)?;
    let mut dependents = Dependents::default();
    rows.add(&mut assignment, &mut dependents)?;
    let mut first = first_fit(problem, rows);
    if let Some(known) = known.filter(|known| admit(problem, rows, known))
        && revenue(problem, known) > revenue(problem, &first)
    {
        first.clone_from(known);
    }
    if rows.are_symmetric() {
        let groups = alike(problem);
        assignment.order(&groups)?;
        first = ordered(problem, &first, &groups);
    }
    let mut values = assignment.start(&first);
    dependents.complete(&mut values);
    assignment.model.set_start(values)?;
    let time = time.map(|time| time.saturating_sub(start.elapsed()));
    let solution = solver.solve(&assignment.model, &SolveOptions { time, ..SolveOptions::default() })?;
    let found = solution.values.map(|values| assignment.parts(&values));
    // A solver that lost its start has at least that.
    let parts = match found {
        Some(found) if revenue(problem, &found) >= revenue(problem, &first) => found,
        _ => first,
    };
    let objective = revenue(problem, &parts);
    let bound = solution.outcome.bound.map(|bound| bound.max(objective));
    let termination = solution.outcome.termination;
    let seconds = start.elapsed().as_secs_f64();
    let outcome = Outcome { termination, objective: Some(objective), bound, nodes: solution.outcome.nodes, seconds };
    Ok(Solved { parts, outcome })
}

/// Whether the rows hold on every server of a placement.
fn admit(problem: &Problem<'_>, rows: &dyn LatencyRows, parts: &Parts) -> bool {
    (0..problem.instance().servers.len()).all(|server| {
        let here = parts.iter().enumerate().flat_map(|(r, parts)| parts.iter().map(move |(s, n)| (r, *s, *n)));
        let tenants: Vec<(usize, u32)> = here.filter(|(_, s, _)| *s == server).map(|(r, _, n)| (r, n)).collect();
        rows.hold(server, &tenants)
    })
}

/// Orders in which requests are tried for a first placement.
const ORDERS: u64 = 200;

/// The best of the placements that come from trying requests one after another, each whole on the first server where memory and rows
/// admit it: by payment for memory, then in orders near that and near payment alone, servers in turns.
fn first_fit(problem: &Problem<'_>, rows: &dyn LatencyRows) -> Parts {
    let instance = problem.instance();
    let servers = instance.servers.len();
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut best: (f64, Parts) = (0.0, vec![Vec::new(); instance.requests.len()]);
    for turn in 0..ORDERS {
        let noise = if turn == 0 { 0.0 } else { 1.0 };
        let by_memory = turn % 2 == 0;
        let mut order: Vec<(f64, usize)> = (0..instance.requests.len())
            .map(|r| {
                let size = if by_memory { problem.memory_gb[r] } else { 1.0 };
                (instance.requests[r].payment / size * (1.0 + noise * random.gen_range(-0.5..0.5)), r)
            })
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut tenants: Vec<Vec<(usize, u32)>> = vec![Vec::new(); servers];
        let mut used_gb = vec![0.0; servers];
        let mut parts: Parts = vec![Vec::new(); instance.requests.len()];
        let first = if turn == 0 { 0 } else { random.gen_range(0..servers.max(1)) };
        for (_, r) in order {
            let whole = instance.requests[r].instances;
            let fitting = (0..servers).map(|s| (first + s) % servers).find(|s| {
                let fits = used_gb[*s] + problem.memory_gb[r] <= instance.servers[*s].memory_gb;
                tenants[*s].push((r, whole));
                let holds = fits && rows.hold(*s, &tenants[*s]);
                if !holds {
                    tenants[*s].pop();
                }
                holds
            });
            if let Some(s) = fitting {
                used_gb[s] += problem.memory_gb[r];
                parts[r] = vec![(s, whole)];
            }
        }
        let found = revenue(problem, &parts);
        if found > best.0 {
            best = (found, parts);
        }
    }
    best.1
}

/// How a plan ends whose program proves nothing about it.
pub(super) fn heuristic(termination: Termination) -> Termination {
    if termination == Termination::Optimal { Termination::Completed } else { termination }
}
