//! Placement as one mixed-integer program with the network of each server as big-M rows: the independent check of the other methods.
//!
//! On server s, h_s = Σ_r x_rs·ψ_r is linear in the placement, f(h_s) is the network as [`Embedding`] has it, and request r with the
//! limit ℓ on output k asks for f_k(h_s) ≤ ℓ + M·(1 − w_rs). Bounds of units are those of the fillings that memory, and on a single server
//! a revenue as good as the first plan's, leave.
//!
//! The solver keeps no tree that could be checked. Where a proof is asked for, it is given half of the time, and the engine of
//! [`exact`](super::exact()) or [`decomposed`](super::decomposed()) proves a bound as good as the solver's in the rest: the certificate
//! is that engine's, and the plan's bound is what it proves, which is worse than the solver's if the time does not do.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ndarray::Array2;
use neuro_data::plan::Plan;
use neuro_profiler::network::{Dense, Network};
use neuro_profiler::server_state::ServerState;
use neuro_profiler::{Load, Model as ProfilerModel, sla_index};

use super::assignment::{Assignment, alike, ordered, revenue};
use super::certificate::Certificate;
use super::decomposed::{DecomposedParams, decomposed};
use super::exact::{ExactParams, exact};
use super::lns::{LnsParams, search};
use super::tenancy::Tenancy;
use super::{Parts, Problem, greedy, parts_of, plan_of_parts};
use crate::bounds::{Crown, NetworkBounds};
use crate::formulation::{Embedded, Embedding, Encoding, Role};
use crate::model::{Linear, Variable};
use crate::solver::{MipSolver, SolveOptions};
use crate::{
    Domain, Error, Level, Limits, Method, NetworkProblem, Observer, Outcome, Progress, Result, Sense, Termination,
    Tightening, tighten,
};

/// How to build and solve the program.
#[derive(Clone, Debug, PartialEq)]
pub struct MilpParams {
    /// Wall-clock time; by default none.
    pub time: Option<Duration>,
    /// Whether the instances of a request may run on several servers. By default not.
    pub splits: bool,
    /// How far bounds are tightened; by default up to linear programs.
    pub tightening: Tightening,
    /// Seed of the search for a first plan.
    pub seed: u64,
    /// Whether a proof of the bound is to be found; by default not. Of requests that may be split there is one on a single server only.
    pub certificate: bool,
}

impl Default for MilpParams {
    fn default() -> Self {
        Self { time: None, splits: false, tightening: Tightening::up_to(Level::Lp), seed: 1, certificate: false }
    }
}

/// What the program found.
#[derive(Clone, Debug)]
pub struct Milp {
    /// The best plan, audited.
    pub plan: Plan,
    /// The proof of its bound, if it was asked for and there was the time.
    pub certificate: Option<Certificate>,
}

/// Decides by one mixed-integer program and proves a bound.
///
/// The profilers must be server-state ones: their networks are ReLU and see a server's tenants as a sum. The bound is as good as the
/// solver's arithmetic; the plan is checked without it. The observer is asked while a first plan is sought and before the program.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`], what the solver reports, [`Error::BoundContradicted`] if a plan is found that is better than the solver's
/// bound, or [`Error::FailedAudit`].
pub fn milp(
    problem: &Problem<'_>,
    params: &MilpParams,
    solver: &dyn MipSolver,
    observer: Observer<'_>,
) -> Result<Milp> {
    let start = Instant::now();
    let heads = problem.kinds.iter().map(|kind| head(kind.bundle.model())).collect::<Result<Vec<_>>>()?;
    let proves = params.certificate && (!params.splits || problem.instance().servers.len() == 1);
    let left_of = |share: f64| params.time.map(|time| time.mul_f64(share).saturating_sub(start.elapsed()));
    let left = || left_of(if proves { SOLVER_SHARE } else { 1.0 });
    let mut stopped = false;
    let first = first_plan(problem, params, &mut |progress| {
        stopped |= observer(progress) == ControlFlow::Break(());
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let mut held = Held { revenue: revenue(problem, &first), parts: first, bound: None, nodes: 0 };
    let mut termination = Termination::Interrupted;
    let progress = |held: &Held| Progress {
        objective: Some(held.revenue),
        bound: held.bound.unwrap_or(f64::INFINITY),
        nodes: held.nodes,
        open: 1,
        seconds: start.elapsed().as_secs_f64(),
    };
    for slack in SLACKS {
        if stopped || observer(&progress(&held)) == ControlFlow::Break(()) {
            termination = Termination::Interrupted;
            break;
        }
        let program = Program::new(problem, &heads, params, &held, slack, left())?;
        let solution =
            solver.solve(&program.assignment.model, &SolveOptions { time: left(), ..SolveOptions::default() })?;
        held.nodes += solution.outcome.nodes;
        termination = solution.outcome.termination;
        if slack == 0.0 {
            // Where only what is held is left, "infeasible" proves it, and a bound is one on what is at least as good.
            let none_better = termination == Termination::Infeasible;
            let bound = if none_better { Some(held.revenue) } else { solution.outcome.bound };
            held.bound = bound.map(|bound| bound.max(held.revenue));
        }
        let Some(parts) = solution.values.map(|values| program.assignment.parts(&values)) else { break };
        if holds(problem, &parts)? {
            let found = revenue(problem, &parts);
            if found > held.revenue {
                (held.revenue, held.parts) = (found, parts);
            }
            break;
        }
        // A limit is exceeded by less than the solver's tolerance: once more with limits that leave room for it.
    }
    let mut certificate = None;
    if proves && !stopped {
        let target = held.bound.unwrap_or(f64::NEG_INFINITY);
        certificate = prove(problem, params, target, left_of(1.0), observer)?;
        if let Some(certificate) = &certificate {
            held.bound = Some(certificate.bound.max(held.revenue));
        }
    }
    let proved = held.bound.is_some_and(|bound| bound <= held.revenue + PROVED * held.revenue.max(1.0));
    termination = match termination {
        _ if proved => Termination::Optimal,
        Termination::Optimal | Termination::Infeasible => Termination::Completed,
        other => other,
    };
    let outcome = Outcome {
        termination,
        objective: Some(held.revenue),
        bound: held.bound,
        nodes: held.nodes,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(Milp { plan: plan_of_parts(problem, Method::Milp, &held.parts, &outcome)?, certificate })
}

/// Share of the time for the program where a proof is asked for.
const SOLVER_SHARE: f64 = 0.5;

/// A proof that no revenue is above `target`, or of the best bound in the time.
fn prove(
    problem: &Problem<'_>,
    params: &MilpParams,
    target: f64,
    time: Option<Duration>,
    observer: Observer<'_>,
) -> Result<Option<Certificate>> {
    let allowed = target + PROVED * target.abs().max(1.0);
    let (found, certificate) = if problem.instance().servers.len() == 1 {
        let limits = Limits { time, target: target.is_finite().then_some(allowed), ..Limits::default() };
        let exact = exact(
            problem,
            &ExactParams { limits, seed: params.seed, certificate: true, ..Default::default() },
            observer,
        )?;
        (exact.plan.objective, exact.certificate)
    } else {
        let time = time.unwrap_or(DecomposedParams::default().time);
        let decomposition = DecomposedParams { time, seed: params.seed, certificate: true, ..Default::default() };
        let decomposed = decomposed(problem, &decomposition, &mut |progress| {
            let is_done = progress.bound <= allowed;
            if observer(progress) == ControlFlow::Break(()) || is_done {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        (decomposed.plan.objective, decomposed.certificate)
    };
    if target.is_finite() && found > target + CUTOFF_SLACK * target.abs().max(1.0) {
        return Err(Error::BoundContradicted { objective: found, bound: target });
    }
    Ok(certificate)
}

/// By how much limits, logarithms of seconds, are tightened: not at all, then by what a solver may miss a row.
const SLACKS: [f64; 3] = [0.0, 1e-6, 1e-5];
/// Relative distance of bound and revenue that counts as none.
const PROVED: f64 = 1e-7;
/// How much worse than the first plan a revenue may be under the cutoff.
const CUTOFF_SLACK: f64 = 1e-5;

/// The best that is held.
struct Held {
    parts: Parts,
    revenue: f64,
    bound: Option<f64>,
    nodes: u64,
}

/// Of a profiler that a program can hold.
fn head(model: &ProfilerModel) -> Result<&ServerState> {
    let needed = match model {
        ProfilerModel::ServerState(model) => return Ok(model),
        ProfilerModel::Paper(_) => {
            "its units are GELU and its context a quotient of decisions, neither of which a mixed-integer program holds \
             exactly; take server-state, or neuro and lns with this one"
        }
        _ => "it takes the ReLU network of server-state",
    };
    Err(Error::UnsuitedProfiler { method: Method::Milp, found: model.architecture().name(), needed })
}

/// A plan to begin with.
fn first_plan(problem: &Problem<'_>, params: &MilpParams, observer: Observer<'_>) -> Result<Parts> {
    let iterations = Some(FIRST_ITERATIONS * problem.instance().requests.len().max(1) as u64);
    let time = params.time.map_or(Duration::MAX, |time| time / 4);
    let lns = LnsParams { time, iterations, workers: 1, seed: params.seed, ..LnsParams::default() };
    let found = search(problem, &lns, greedy::place(problem)?, observer)?;
    Ok(parts_of(problem, &found.placement))
}

/// Iterations of the first search by request.
const FIRST_ITERATIONS: u64 = 40;

/// Whether every promise holds, in double precision.
fn holds(problem: &Problem<'_>, parts: &Parts) -> Result<bool> {
    let requests = &problem.instance().requests;
    let kept = |tenancy: &Tenancy| {
        let promises = tenancy.tenants.iter().zip(&tenancy.promises_s);
        promises.into_iter().all(|((r, _), seconds)| *seconds <= requests[*r].delay_s)
    };
    Ok(Tenancy::all(problem, parts)?.iter().all(kept))
}

/// What a group of servers that nothing tells apart has in common.
struct Class {
    /// Requests that cannot run there.
    excluded: Vec<bool>,
    /// The outputs and limits of each request.
    limits: Vec<Vec<(usize, f64)>>,
    /// ψ of an instance, d × requests.
    states: Array2<f64>,
    /// Bounds of the head's units on every filling that counts.
    bounds: NetworkBounds,
    /// The box of h.
    state_box: Vec<(f64, f64)>,
}

/// The program with all of its parts.
struct Program {
    assignment: Assignment,
}

impl Program {
    fn new(
        problem: &Problem<'_>,
        heads: &[&ServerState],
        params: &MilpParams,
        held: &Held,
        slack: f64,
        time: Option<Duration>,
    ) -> Result<Self> {
        let mut assignment = Assignment::new(problem, params.splits)?;
        let groups = alike(problem);
        assignment.order(&groups)?;
        let first = ordered(problem, &held.parts, &groups);
        let mut networks = Vec::new();
        for group in &groups {
            let head = heads[problem.kind_of[group[0]]];
            let Some(class) = Class::new(problem, head, group[0], params, held, slack, time)? else {
                // No filling as good as what is held: nothing runs there in a better plan.
                for on in &assignment.on {
                    for &server in group {
                        assignment.model.add(Linear::from(on[server]).at_most(0.0))?;
                    }
                }
                continue;
            };
            for &server in group {
                let network = class.add(&mut assignment, head, server)?;
                networks.push((server, head, network));
            }
        }
        let mut values = assignment.start(&first);
        for (server, head, network) in &networks {
            network.complete(problem, head, *server, &first, &mut values);
        }
        assignment.model.set_start(values)?;
        Ok(Self { assignment })
    }
}

impl Class {
    /// `None` if no filling counts.
    fn new(
        problem: &Problem<'_>,
        head: &ServerState,
        server: usize,
        params: &MilpParams,
        held: &Held,
        slack: f64,
        time: Option<Duration>,
    ) -> Result<Option<Self>> {
        let instance = problem.instance();
        let kind = problem.kind(server);
        let requests = instance.requests.len();
        let terms: Vec<_> = kind.loads.iter().map(|load| head.terms(load.app, load.rate)).collect();
        let states = Array2::from_shape_fn((head.shape().state, requests), |(k, r)| terms[r].state[k]);
        let limits: Vec<Vec<(usize, f64)>> = (0..requests)
            .map(|r| {
                let (load, request) = (&kind.loads[r], &instance.requests[r]);
                let sla = sla_index(request.sla);
                let promise = request.delay_s.ln() - kind.bundle.margin(load.app, request.sla).ln() - slack;
                // A p95 is never below the p75, so a bound on it is one on both.
                let statistics = if sla == 2 { 1..=2 } else { sla..=sla };
                let limit = |k: usize| promise - head.base_s(load.app)[k].ln() - terms[r].own[k];
                statistics.map(|k| (3 * load.app + k, limit(k))).collect()
            })
            .collect();
        // A piece is what is placed at once: an instance, or a whole request.
        let pieces = |r: usize| if params.splits { f64::from(instance.requests[r].instances) } else { 1.0 };
        let size = |r: usize| f64::from(instance.requests[r].instances) / pieces(r);
        let mut network: Vec<Dense> = head.head().layers().to_vec();
        let by_piece = Array2::from_shape_fn(states.dim(), |(k, r)| states[[k, r]] * size(r));
        network[0] =
            Dense::new(network[0].weights().dot(&by_piece), network[0].bias().clone(), network[0].activation())?;
        let network = Network::new(network)?;
        let mut excluded = kind.beyond_training.clone();
        let domain = |excluded: &[bool]| -> Result<Domain> {
            let upper = (0..requests).map(|r| if excluded[r] { 0.0 } else { pieces(r) }).collect();
            let memory_gb = (0..requests).map(|r| size(r) * problem.instance_memory_gb[r]).collect();
            let mut domain = Domain::new(vec![0.0; requests], upper)?
                .with_integers(0..requests)?
                .with_row(memory_gb, instance.servers[server].memory_gb)?;
            if instance.servers.len() == 1 {
                let payments = (0..requests).map(|r| -instance.requests[r].payment / pieces(r)).collect();
                domain = domain.with_row(payments, CUTOFF_SLACK * held.revenue.max(1.0) - held.revenue)?;
            }
            Ok(domain)
        };
        // Requests whose own promise fails wherever they are.
        let all = domain(&excluded)?;
        for r in 0..requests {
            let (mut lower, upper) = (all.lower().to_vec(), all.upper().to_vec());
            if excluded[r] || upper[r] < 1.0 {
                excluded[r] = true;
                continue;
            }
            lower[r] = 1.0;
            let mut there = Domain::new(lower, upper)?;
            for row in all.rows() {
                there = there.with_row(row.coefficients.clone(), row.upper)?;
            }
            excluded[r] = match there.propagated() {
                None => true,
                Some(there) => {
                    let outputs = Crown::new(&network, &there)?.into_bounds();
                    let last = &outputs.layers[outputs.layers.len() - 1];
                    limits[r].iter().any(|(output, limit)| last.lower[*output] > *limit)
                }
            };
        }
        let domain = domain(&excluded)?;
        let objective = vec![0.0; network.outputs()];
        let of = NetworkProblem::new(network, domain, objective, Sense::Minimise)?;
        let limits_of_time = Limits { time: time.map(|time| time / 4), ..Limits::default() };
        let Some(tightened) = tighten(&of, &params.tightening, &limits_of_time, Instant::now())? else {
            return Ok(None);
        };
        let state_box = by_piece
            .outer_iter()
            .map(|row| {
                let row = row.to_vec();
                let negated: Vec<f64> = row.iter().map(|g| -g).collect();
                (-tightened.domain.maximum(&negated), tightened.domain.maximum(&row))
            })
            .collect();
        Ok(Some(Self { excluded, limits, states, bounds: tightened.bounds, state_box }))
    }

    /// Adds h, the network and the promises of a server.
    fn add(&self, assignment: &mut Assignment, head: &ServerState, server: usize) -> Result<ServerNetwork> {
        let model = &mut assignment.model;
        let mut h = Vec::new();
        for (k, (row, (lower, upper))) in self.states.outer_iter().zip(&self.state_box).enumerate() {
            // A little wider, so that no rounding excludes a filling.
            let slack = 1e-9 * lower.abs().max(upper.abs()).max(1.0);
            let variable = model.continuous(format!("h{server}_{k}"), lower - slack, upper + slack)?;
            let mut sum = Linear::default();
            row.iter().zip(&assignment.instances).for_each(|(g, x)| sum.add_scaled(*g, &x[server]));
            model.add((sum - variable).equals(0.0))?;
            h.push(variable);
        }
        let outputs = head.head().outputs();
        let mut limited: Vec<usize> = self.limits.iter().flatten().map(|(output, _)| *output).collect();
        limited.sort_unstable();
        limited.dedup();
        let mut embedding = Embedding::new(head.head(), &self.bounds).encoding(Encoding::BigMPreactivation);
        for output in &limited {
            let mut w = vec![0.0; outputs];
            w[*output] = 1.0;
            embedding = embedding.minimised(w);
        }
        let inputs: Vec<Linear> = h.iter().copied().map(Linear::from).collect();
        let embedded = embedding.add(model, &inputs)?;
        // An output that is asked for often is a variable of its own.
        let last = &self.bounds.layers[self.bounds.layers.len() - 1];
        let mut own: Vec<Option<Variable>> = vec![None; outputs];
        for output in limited {
            let variable = model.continuous(format!("f{server}_{output}"), f64::NEG_INFINITY, f64::INFINITY)?;
            model.add((embedded.outputs[output].clone() - variable).equals(0.0))?;
            own[output] = Some(variable);
        }
        for (r, limits) in self.limits.iter().enumerate() {
            let w = assignment.on[r][server];
            if self.excluded[r] {
                model.add(Linear::from(w).at_most(0.0))?;
                continue;
            }
            for (output, limit) in limits {
                let large = (last.upper[*output] - limit).max(0.0);
                if let (Some(f), true) = (own[*output], large > 0.0) {
                    model.add((f + large * w).at_most(limit + large))?;
                }
            }
        }
        Ok(ServerNetwork { h, embedded, outputs: own })
    }
}

/// The variables of a server's network.
struct ServerNetwork {
    h: Vec<Variable>,
    embedded: Embedded,
    /// By output, where it has one.
    outputs: Vec<Option<Variable>>,
}

impl ServerNetwork {
    /// Sets them to what a placement makes of them.
    fn complete(&self, problem: &Problem<'_>, head: &ServerState, server: usize, parts: &Parts, values: &mut [f64]) {
        let kind = problem.kind(server);
        let here = parts.iter().enumerate().flat_map(|(r, parts)| parts.iter().map(move |(s, n)| (r, *s, *n)));
        let loads: Vec<Load> = here
            .filter(|(_, s, _)| *s == server)
            .map(|(r, _, n)| Load { instances: f64::from(n), ..kind.loads[r] })
            .collect();
        let mut x = head.state(&loads);
        self.h.iter().zip(&x).for_each(|(variable, value)| values[variable.index()] = *value);
        let mut before = Vec::new();
        for layer in head.head().layers() {
            before.push(layer.preactivation(x.view()));
            x = layer.forward(x.view());
        }
        for (variable, layer, unit, role) in &self.embedded.variables {
            let a = before[*layer][*unit];
            values[variable.index()] = match role {
                Role::Output => a.max(0.0),
                Role::Phase => f64::from(u8::from(a > 0.0)),
                Role::Slack => a.max(0.0) - a,
                Role::Preactivation => a,
            };
        }
        for (variable, value) in self.outputs.iter().zip(&x) {
            if let Some(variable) = variable {
                values[variable.index()] = *value;
            }
        }
    }
}
