//! ScalO-RAN as a mixed-integer program, one of the NeuRO study's benchmarks.
//!
//! With the curves of self-contention T_a of a [`ScalOran`](neuro_profiler::baselines::ScalOran) profiler as two segments each, at the
//! mean rate of a's requests and nowhere below the time alone, n_s instances on server s in all and w_as = 1 where application a is
//! there, request r on s asks for
//!
//! - Σ_a w_as · T_a(n_s) ≤ D_r, or,
//! - application-agnostic ("cons"), T_a(n_s) ≤ 0.6 · D_r of its own application a alone.
//!
//! Beside these rows stand what follows from them and helps the solver: n_s is at most what T_a alone leaves to r, and two applications
//! that are too slow together are not beside one another. Where a curve rises, the former says all of the second row.
//!
//! # References
//!
//! S. Maxenti, S. D'Oro, L. Bonati, M. Polese, A. Capone, T. Melodia, "ScalO-RAN: energy-aware network intelligence scaling in Open
//! RAN", INFOCOM, 2024, doi:10.1109/INFOCOM52122.2024.10621204; as programs in Javeed, Fodor, Dán, NeuRO, INFOCOM, 2026.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use neuro_data::plan::Plan;
use neuro_profiler::baselines::Reach;
use neuro_profiler::{Bundle, Model as ProfilerModel, Profiler, sla_index};

use super::assignment::Assignment;
use super::benchmark::{Apps, Curve, Dependents, LatencyRows, Solved, solve};
use super::{Problem, plan_of_parts};
use crate::model::Linear;
use crate::solver::MipSolver;
use crate::{Error, Method, Observer, Outcome, Progress, Result, Termination};

/// The constants of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalOranParams {
    /// Whose curves are asked; by default all that are there.
    pub reach: Reach,
    /// The share of its bound that a request may use where its own curve alone is asked; above 0, 0.6 by default.
    pub share: f64,
    /// Wall-clock time; by default none.
    pub time: Option<Duration>,
}

impl Default for ScalOranParams {
    fn default() -> Self {
        Self { reach: Reach::Average, share: 0.6, time: None }
    }
}

/// Decides by ScalO-RAN's curves.
///
/// The profilers must be ScalO-RAN's, of either kind. The plan's bound is one under the program's own latency model; its audit is by the
/// profilers' predictions with their margins and tells which of those the plan breaks. The observer is asked once, before the program.
///
/// # Errors
///
/// [`Error::UnsuitedProfiler`], [`Error::InvalidOption`], or what the solver reports.
pub fn scaloran(
    problem: &Problem<'_>,
    params: &ScalOranParams,
    solver: &dyn MipSolver,
    observer: Observer<'_>,
) -> Result<Plan> {
    if !(params.share.is_finite() && params.share > 0.0) {
        return Err(Error::InvalidOption { name: "share", value: params.share, required: "above 0" });
    }
    let start = Instant::now();
    let method = match params.reach {
        Reach::Average => Method::Scaloran,
        Reach::Own => Method::ScaloranCons,
    };
    let rows = Rows::new(problem, params, method)?;
    let progress = Progress { objective: None, bound: f64::INFINITY, nodes: 0, open: 1, seconds: 0.0 };
    if observer(&progress) == ControlFlow::Break(()) {
        let seconds = start.elapsed().as_secs_f64();
        let termination = Termination::Interrupted;
        let outcome = Outcome { termination, objective: Some(0.0), bound: None, nodes: 0, seconds };
        return plan_of_parts(problem, method, &vec![Vec::new(); rows.asked.len()], &outcome);
    }
    let Solved { parts, outcome } = solve(problem, &rows, solver, params.time, None)?;
    plan_of_parts(problem, method, &parts, &Outcome { seconds: start.elapsed().as_secs_f64(), ..outcome })
}

struct Rows {
    apps: Apps,
    reach: Reach,
    /// T_a of each statistic by server and application.
    curves: Vec<Vec<[Curve; 3]>>,
    /// Of each request: its statistic and what its row allows.
    asked: Vec<(usize, f64)>,
}

impl Rows {
    fn new(problem: &Problem<'_>, params: &ScalOranParams, method: Method) -> Result<Self> {
        let apps = Apps::new(problem);
        let instance = problem.instance();
        let curves_on = |server: usize| {
            let bundle = problem.kind(server).bundle;
            let ProfilerModel::ScalOran(model) = bundle.model() else { return Err(unsuited(bundle, method)) };
            let curve = |(id, rate): (&String, &f64)| {
                let app = bundle.app(id)?;
                let base_s = model.base_s(app);
                let of = |k: usize| match model.curves(app) {
                    Some(curves) => Curve::new(&curves[k], *rate, 0.0, base_s[k]),
                    None => Ok(Curve::constant(base_s[k])),
                };
                Ok([of(0)?, of(1)?, of(2)?])
            };
            apps.ids.iter().zip(&apps.rates).map(curve).collect()
        };
        let curves = (0..instance.servers.len()).map(curves_on).collect::<Result<Vec<_>>>()?;
        let share = if params.reach == Reach::Own { params.share } else { 1.0 };
        let asked = instance.requests.iter().map(|request| (sla_index(request.sla), share * request.delay_s)).collect();
        Ok(Self { apps, reach: params.reach, curves, asked })
    }
}

impl LatencyRows for Rows {
    fn add(&self, assignment: &mut Assignment, dependents: &mut Dependents) -> Result<()> {
        for (server, curves) in self.curves.iter().enumerate() {
            let present = (0..curves.len())
                .map(|app| Ok(self.apps.on(assignment, dependents, app, server)?.1))
                .collect::<Result<Vec<_>>>()?;
            let mut n = Linear::default();
            assignment.instances.iter().for_each(|x| n += x[server].clone());
            // What the own curve alone leaves to each request, and so the most that any of them admits.
            let room = self.apps.most_of_all[server];
            let thresholds: Vec<f64> = (0..self.asked.len())
                .map(|r| curves[self.apps.of[r]][self.asked[r].0].threshold(self.asked[r].1, room))
                .collect();
            let most = thresholds.iter().copied().fold(0.0, f64::max);
            for (threshold, on) in thresholds.iter().zip(&assignment.on) {
                assignment.model.add((n.clone() + (most - threshold) * on[server]).at_most(most))?;
            }
            let is_settled = |r: usize| {
                thresholds[r] == 0.0
                    || (self.reach == Reach::Own && curves[self.apps.of[r]][self.asked[r].0].is_rising())
            };
            // The seconds of each statistic, of each application.
            let mut seconds: Vec<Vec<Linear>> = vec![vec![Linear::default(); curves.len()]; 3];
            for (a, curves) in curves.iter().enumerate() {
                for k in 0..3 {
                    let is_asked = |r: usize| {
                        self.asked[r].0 == k && (self.reach == Reach::Average || self.apps.of[r] == a) && !is_settled(r)
                    };
                    if (0..self.asked.len()).any(is_asked) {
                        let curve = curves[k].add(&mut assignment.model, &n, most, &present[a].into())?;
                        seconds[k][a] = curve.seconds.into();
                        dependents.curves.push(curve);
                    }
                }
            }
            for (r, (k, allowed)) in self.asked.iter().enumerate().filter(|(r, _)| !is_settled(*r)) {
                let on = assignment.on[r][server];
                let asks = (0..curves.len()).filter(|a| self.reach == Reach::Average || self.apps.of[r] == *a);
                let (mut sum, mut largest) = (Linear::default(), 0.0);
                for a in asks {
                    sum += seconds[*k][a].clone();
                    largest += curves[a][*k].largest(most);
                    // Two applications that are too slow together with an instance each.
                    let together = |n: f64| curves[a][*k].at(n) + curves[self.apps.of[r]][*k].at(n);
                    if a != self.apps.of[r] && (2..=most as u64).all(|n| together(n as f64) > *allowed) {
                        assignment.model.add((on + present[a]).at_most(1.0))?;
                    }
                }
                let large = (largest - allowed).max(0.0);
                if large > 0.0 {
                    assignment.model.add((sum + large * on).at_most(allowed + large))?;
                }
            }
        }
        Ok(())
    }

    fn hold(&self, server: usize, tenants: &[(usize, u32)]) -> bool {
        let count = self.apps.count(tenants);
        let n: f64 = count.iter().sum();
        tenants.iter().all(|(r, _)| {
            let (k, allowed) = self.asked[*r];
            let asks = (0..count.len()).filter(|a| match self.reach {
                Reach::Average => count[*a] > 0.0,
                Reach::Own => self.apps.of[*r] == *a,
            });
            asks.map(|a| self.curves[server][a][k].at(n)).sum::<f64>() <= allowed
        })
    }

    fn are_symmetric(&self) -> bool {
        true
    }
}

fn unsuited(bundle: &Bundle, method: Method) -> Error {
    let found = bundle.profile().architecture.name();
    let needed = "it decides by curves of self-contention: train with --arch scaloran";
    Error::UnsuitedProfiler { method, found, needed }
}
