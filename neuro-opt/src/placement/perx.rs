//! PERX as a mixed-integer program, one of the NeuRO study's benchmarks.
//!
//! With the curves T_ab of a [`Perx`](neuro_profiler::baselines::Perx) profiler as two segments each, at the rates λ_bs, n_bs
//! instances of application b on server s and w_bs = 1 where there are any, request r of application a on s asks for
//!
//! δ · Σ_b w_bs · max(0, T_ab(n_bs) − base_a) ≤ D_r − base_a,
//!
//! with base_a times the base factor. λ_bs is the mean rate over b's instances, at first those of all its requests, then those that the
//! solution before has on s; the program is solved anew until the same requests are served and it is
//! solved, or the time is up. Beside these rows stand what follows from
//! them and helps the solver: n_bs is at most what T_ab alone leaves to r.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use neuro_data::scenario::Scenario;
use neuro_profiler::{Bundle, Model as ProfilerModel, Profiler, sla_index};

use super::assignment::Assignment;
use super::benchmark::{Apps, Curve, Dependents, LatencyRows, Solved, heuristic, solve};
use super::{Parts, Problem, plan_of_parts};
use crate::model::Linear;
use crate::solver::MipSolver;
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};

/// The constants of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct PerxParams {
    /// δ, by what the slowdown is multiplied; at least 0, 1 by default.
    pub delta: f64,
    /// By what the time alone is multiplied; at least 0, 1 by default.
    pub base_factor: f64,
    /// How often the program is solved anew with the rates of its solution, at most; 3 by default.
    pub rounds: usize,
    /// Wall-clock time for all rounds; by default none.
    pub time: Option<Duration>,
}

impl Default for PerxParams {
    fn default() -> Self {
        Self { delta: 1.0, base_factor: 1.0, rounds: 3, time: None }
    }
}

impl PerxParams {
    /// What the study uses in a scenario.
    pub fn of(scenario: Scenario) -> Self {
        let (delta, base_factor) = match scenario {
            Scenario::Mixed => (10.0, 0.5),
            Scenario::Patient => (1.5, 1.0),
            Scenario::RealTime => (3.0, 1.0),
        };
        Self { delta, base_factor, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [("delta", self.delta), ("base_factor", self.base_factor)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::InvalidOption { name, value, required: "at least 0" });
            }
        }
        Ok(())
    }
}

/// Decides by PERX's curves.
///
/// The profilers must be PERX's. The plan's audit is by their own predictions, which are the curves without δ and without segments,
/// with their margins: it tells which of those the plan breaks. The observer is asked before each program.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`], [`Error::InvalidOption`], or what the solver reports.
pub fn perx(
    problem: &Problem<'_>,
    params: &PerxParams,
    solver: &dyn MipSolver,
    observer: Observer<'_>,
) -> Result<Plan> {
    params.check()?;
    let start = Instant::now();
    let mut rows = Rows::new(problem, params)?;
    let mut held: Option<(Parts, Termination)> = None;
    let mut nodes = 0;
    for round in 0..=params.rounds {
        let objective = held.as_ref().map(|(parts, _)| super::assignment::revenue(problem, parts));
        let seconds = start.elapsed().as_secs_f64();
        let progress = Progress { objective, bound: f64::INFINITY, nodes, open: 1, seconds };
        if observer(&progress) == ControlFlow::Break(()) {
            let parts = held.map_or_else(|| vec![Vec::new(); rows.apps.of.len()], |(parts, _)| parts);
            held = Some((parts, Termination::Interrupted));
            break;
        }
        // What is left in equal shares over the rounds that may follow.
        let left = params.time.map(|time| time.saturating_sub(start.elapsed()) / (params.rounds - round + 1) as u32);
        if left == Some(Duration::ZERO) && held.is_some() {
            break;
        }
        let Solved { parts, outcome } = solve(problem, &rows, solver, left, held.as_ref().map(|(parts, _)| parts))?;
        nodes += outcome.nodes;
        let is_served = |parts: &Parts| -> Vec<bool> { parts.iter().map(|parts| !parts.is_empty()).collect() };
        let stable = held.as_ref().is_some_and(|(before, _)| is_served(before) == is_served(&parts));
        rows.follow(problem, &parts)?;
        held = Some((parts, heuristic(outcome.termination)));
        // What a share of the time did not solve, the next one may.
        if stable && outcome.termination == Termination::Optimal {
            break;
        }
    }
    let (parts, termination) = held.unwrap_or((Vec::new(), Termination::Completed));
    let objective = Some(super::assignment::revenue(problem, &parts));
    let seconds = start.elapsed().as_secs_f64();
    plan_of_parts(problem, Method::Perx, &parts, &Outcome { termination, objective, bound: None, nodes, seconds })
}

/// The curve of each statistic, by application; `None` of a pair without.
type PairCurves = Vec<Vec<Option<[Curve; 3]>>>;

struct Rows {
    apps: Apps,
    delta: f64,
    base_factor: f64,
    /// Mean rate by server and application.
    rates: Vec<Vec<f64>>,
    /// T_ab − base_a by server, a and b, at the rates.
    curves: Vec<PairCurves>,
    /// base_a by server, a and statistic, times the factor.
    base_s: Vec<Vec<[f64; 3]>>,
    /// Of each request: its statistic and its bound.
    asked: Vec<(usize, f64)>,
}

impl Rows {
    fn new(problem: &Problem<'_>, params: &PerxParams) -> Result<Self> {
        let apps = Apps::new(problem);
        let instance = problem.instance();
        let servers = instance.servers.len();
        let mut rows = Self {
            rates: vec![apps.rates.clone(); servers],
            delta: params.delta,
            base_factor: params.base_factor,
            curves: Vec::new(),
            base_s: Vec::new(),
            asked: instance.requests.iter().map(|request| (sla_index(request.sla), request.delay_s)).collect(),
            apps,
        };
        rows.draw(problem)?;
        Ok(rows)
    }

    /// The curves at the rates.
    fn draw(&mut self, problem: &Problem<'_>) -> Result<()> {
        self.curves.clear();
        self.base_s.clear();
        for (server, rates) in self.rates.iter().enumerate() {
            let bundle = problem.kind(server).bundle;
            let ProfilerModel::Perx(model) = bundle.model() else { return Err(unsuited(bundle)) };
            let place = self.apps.ids.iter().map(|id| Ok(bundle.app(id)?)).collect::<Result<Vec<usize>>>()?;
            let base_s: Vec<[f64; 3]> =
                place.iter().map(|app| model.base_s(*app).map(|base| self.base_factor * base)).collect();
            let curve = |a: usize, b: usize| -> Result<Option<[Curve; 3]>> {
                let Some(curves) = model.curves(place[a], place[b]) else { return Ok(None) };
                let of = |k: usize| Curve::new(&curves[k], rates[b], base_s[a][k], 0.0);
                Ok(Some([of(0)?, of(1)?, of(2)?]))
            };
            let all = 0..place.len();
            let pairs = all.clone().map(|a| all.clone().map(|b| curve(a, b)).collect());
            self.curves.push(pairs.collect::<Result<PairCurves>>()?);
            self.base_s.push(base_s);
        }
        Ok(())
    }

    /// Takes the rates of a placement, where an application is there, and draws the curves anew.
    fn follow(&mut self, problem: &Problem<'_>, parts: &Parts) -> Result<()> {
        let requests = &problem.instance().requests;
        for (server, rates) in self.rates.iter_mut().enumerate() {
            for (app, rate) in rates.iter_mut().enumerate() {
                let here = parts.iter().enumerate().filter(|(r, _)| self.apps.of[*r] == app);
                let here =
                    here.flat_map(|(r, parts)| parts.iter().filter(|(s, _)| *s == server).map(move |(_, n)| (r, n)));
                let (mut n, mut load) = (0.0, 0.0);
                for (r, instances) in here {
                    n += f64::from(*instances);
                    load += f64::from(*instances) * requests[r].rate;
                }
                if n > 0.0 {
                    *rate = load / n;
                }
            }
        }
        self.draw(problem)
    }
}

impl LatencyRows for Rows {
    fn add(&self, assignment: &mut Assignment, dependents: &mut Dependents) -> Result<()> {
        for (server, pairs) in self.curves.iter().enumerate() {
            let present = (0..self.apps.ids.len())
                .map(|app| self.apps.on(assignment, dependents, app, server))
                .collect::<Result<Vec<_>>>()?;
            // The most of each application that each request admits beside it, by its curve alone.
            let room = |r: usize| self.asked[r].1 - self.base_s[server][self.apps.of[r]][self.asked[r].0];
            let threshold = |r: usize, b: usize| {
                let (most, (k, _)) = (self.apps.most[b][server], self.asked[r]);
                match pairs[self.apps.of[r]][b] {
                    Some(curves) if self.delta > 0.0 => curves[k].threshold(room(r) / self.delta, most),
                    _ => most,
                }
            };
            let most: Vec<f64> = (0..present.len())
                .map(|b| {
                    let own = (0..self.asked.len()).filter(|r| self.apps.of[*r] == b);
                    own.map(|r| threshold(r, b)).fold(0.0, f64::max)
                })
                .collect();
            for r in 0..self.asked.len() {
                let on = assignment.on[r][server];
                if room(r) < 0.0 {
                    assignment.model.add(Linear::from(on).at_most(0.0))?;
                    continue;
                }
                for (b, (n, present)) in present.iter().enumerate() {
                    let threshold = threshold(r, b);
                    if threshold == 0.0 {
                        assignment.model.add((on + *present).at_most(1.0))?;
                    } else if threshold < most[b] {
                        assignment.model.add((n.clone() + (most[b] - threshold) * on).at_most(most[b]))?;
                    }
                }
            }
            for (a, neighbours) in pairs.iter().enumerate() {
                for k in 0..3 {
                    let requests: Vec<usize> = (0..self.asked.len())
                        .filter(|r| self.apps.of[*r] == a && self.asked[*r].0 == k && room(*r) >= 0.0)
                        .collect();
                    if requests.is_empty() {
                        continue;
                    }
                    let (mut slowdown, mut largest) = (Linear::default(), 0.0);
                    for (b, curves) in neighbours.iter().enumerate() {
                        let Some(curves) = curves else { continue };
                        let (n, on) = &present[b];
                        let curve = curves[k].add(&mut assignment.model, n, most[b], &(*on).into())?;
                        slowdown.add_scaled(self.delta, &curve.seconds.into());
                        largest += self.delta * curves[k].largest(most[b]);
                        dependents.curves.push(curve);
                    }
                    for r in requests {
                        let large = (largest - room(r)).max(0.0);
                        if large > 0.0 {
                            let row = slowdown.clone() + large * assignment.on[r][server];
                            assignment.model.add(row.at_most(room(r) + large))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn hold(&self, server: usize, tenants: &[(usize, u32)]) -> bool {
        let count = self.apps.count(tenants);
        tenants.iter().all(|(r, _)| {
            let (a, (k, delay_s)) = (self.apps.of[*r], self.asked[*r]);
            let present = (0..count.len()).filter(|b| count[*b] > 0.0);
            let slowdown = present.filter_map(|b| self.curves[server][a][b].map(|curves| curves[k].at(count[b])));
            self.delta * slowdown.sum::<f64>() <= delay_s - self.base_s[server][a][k]
        })
    }

    fn are_symmetric(&self) -> bool {
        self.rates.windows(2).all(|pair| pair[0] == pair[1])
    }
}

fn unsuited(bundle: &Bundle) -> Error {
    let found = bundle.profile().architecture.name();
    Error::UnsuitedProfiler {
        method: Method::Perx,
        found,
        needed: "it decides by curves of pairs: train with --arch perx",
    }
}
