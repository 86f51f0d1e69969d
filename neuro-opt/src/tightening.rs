use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::bounds::{Crown, Cutoff, IntegerDomain, NetworkBounds, RowsLp, interval, lp};
use crate::points::points;
use crate::relaxation::Relaxation;
use crate::search::{UnitBudget, climb, mip};
use crate::{Domain, Error, InputSet, Limits, NetworkProblem, PhaseCounts, Result, Sense, SplitForm};

/// A level of bounds, cheap to dear; each starts from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Interval arithmetic.
    Interval,
    /// CROWN: linear bounds, extremes over the box.
    Crown,
    /// CROWN, extremes under the side rows: dynamic programming for one row over whole numbers, a linear program otherwise.
    Rows,
    /// A linear program for either bound of each unit.
    Lp,
    /// The same under an objective cutoff: valid only for points at least as good as the solution held.
    LpCutoff,
    /// A mixed-integer program for either bound of each unit, with a budget of nodes: solved by our own search
    /// ([`Search`](crate::Search)), so that no solver's tolerances go into a bound. A bound that the budget leaves open is the search's
    /// proved one, and valid all the same.
    Mip,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 6] = [Self::Interval, Self::Crown, Self::Rows, Self::Lp, Self::LpCutoff, Self::Mip];

    /// Its name: `interval`, `crown`, `rows`, `lp`, `lp-cutoff`, `mip`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Crown => "crown",
            Self::Rows => "rows",
            Self::Lp => "lp",
            Self::LpCutoff => "lp-cutoff",
            Self::Mip => "mip",
        }
    }
}

/// How far to go with bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tightening {
    /// The dearest level; by default [`Level::Rows`].
    pub level: Level,
    /// Times that all units go through linear programs at one level; 2 by default.
    pub rounds: usize,
    /// Nodes for either bound of a unit at [`Level::Mip`]; 50 by default.
    pub unit_nodes: u64,
    /// Points from which a solution is sought for the cutoff; 10 by default.
    pub starts: usize,
    /// Seed of these points.
    pub seed: u64,
}

impl Default for Tightening {
    fn default() -> Self {
        Self { level: Level::Rows, rounds: 2, unit_nodes: 50, starts: 10, seed: 1 }
    }
}

impl Tightening {
    /// Up to `level`.
    pub fn up_to(level: Level) -> Self {
        Self { level, ..Self::default() }
    }
}

/// What a level did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LevelReport {
    /// The level.
    pub level: Level,
    /// The phases after it.
    pub phases: PhaseCounts,
    /// Units that it settled: split before, not after.
    pub settled: usize,
    /// Linear programs, or searches at [`Level::Mip`], that it took.
    pub solves: u64,
    /// Wall-clock time that it took (s).
    pub seconds: f64,
    /// If the bounds hold only for points whose objective is at least as good as this: the objective.
    pub cutoff: Option<f64>,
}

/// A problem's domain and its network's bounds, tightened.
#[derive(Clone, Debug, PartialEq)]
pub struct Tightened {
    /// The domain, its box as far as the rows tighten it.
    pub domain: Domain,
    /// The bounds.
    pub bounds: NetworkBounds,
    /// What each level did.
    pub levels: Vec<LevelReport>,
    /// The best input found on the way.
    pub x: Option<Vec<f64>>,
}

/// Bounds the units of a problem's network, level by level. `None` if the domain is empty. Stops early, with valid bounds, at the
/// time limit, counted from `start`.
///
/// # Errors
///
/// [`Error::Overflow`] if inputs are unbounded or units overflow, [`Error::UnsupportedActivation`] at levels that need ReLU.
pub fn tighten(
    problem: &NetworkProblem,
    tightening: &Tightening,
    limits: &Limits,
    start: Instant,
) -> Result<Option<Tightened>> {
    let Some(domain) = problem.domain().propagated() else { return Ok(None) };
    let network = problem.network();
    let deadline = limits.time.map(|limit| start + limit);
    let mut levels: Vec<LevelReport> = Vec::new();
    let mut report = |level, bounds: &NetworkBounds, solves, since: Instant, cutoff| -> Result<()> {
        let phases = bounds.phases(network)?;
        let settled =
            levels.last().map_or(phases.active + phases.inactive, |before| before.phases.split - phases.split);
        let seconds = since.elapsed().as_secs_f64();
        levels.push(LevelReport { level, phases, settled, solves, seconds, cutoff });
        Ok(())
    };

    let since = Instant::now();
    let mut bounds = interval(network, &domain)?;
    report(Level::Interval, &bounds, 0, since, None)?;
    if tightening.level >= Level::Crown {
        let since = Instant::now();
        bounds = Crown::within(network, &domain.without_rows(), Some(&bounds))?.into_bounds();
        report(Level::Crown, &bounds, 0, since, None)?;
    }
    if tightening.level >= Level::Rows && !domain.rows().is_empty() {
        let since = Instant::now();
        let Some(set) = under_rows(&domain)? else { return Ok(None) };
        bounds = Crown::within(network, set.as_ref(), Some(&bounds))?.into_bounds();
        report(Level::Rows, &bounds, 0, since, None)?;
    }
    let mut x = None;
    for level in [Level::Lp, Level::LpCutoff] {
        if tightening.level < level {
            break;
        }
        let since = Instant::now();
        let mut solves = 0;
        let mut cutoff = None;
        if level == Level::LpCutoff {
            x = incumbent(problem, &domain, &bounds, tightening)?;
            let Some((_, value)) = &x else { continue };
            let value = a_little_worse(problem, *value);
            cutoff = Some(Cutoff { objective: problem.objective().to_vec(), sense: problem.sense(), value });
        }
        for _ in 0..tightening.rounds {
            let before = bounds.phases(network)?.split;
            let Some(tighter) = lp(network, &domain, &bounds, cutoff.as_ref(), deadline)? else {
                if cutoff.is_none() {
                    return Ok(None);
                }
                return Err(Error::Contradiction("bounds exclude a solution that is held"));
            };
            solves += tighter.solves;
            bounds = Crown::within(network, &domain, Some(&tighter.bounds))?.into_bounds();
            if bounds.phases(network)?.split == before {
                break;
            }
        }
        report(level, &bounds, solves, since, cutoff.map(|cutoff| cutoff.value))?;
    }
    if tightening.level >= Level::Mip {
        let since = Instant::now();
        // What was cut off before stays cut off.
        let cutoff = x.as_ref().map(|(_, value)| a_little_worse(problem, *value));
        let budget = UnitBudget { nodes: tightening.unit_nodes, deadline };
        let solves = mip(network, &domain, &mut bounds, budget)?;
        report(Level::Mip, &bounds, solves, since, cutoff)?;
    }
    Ok(Some(Tightened { domain, bounds, levels, x: x.map(|(x, _)| x) }))
}

/// A little worse than what is held, so that neither rounding nor a solver's tolerances exclude it.
fn a_little_worse(problem: &NetworkProblem, value: f64) -> f64 {
    let worse = 1e-5 * value.abs().max(1.0);
    if problem.sense() == Sense::Maximise { value - worse } else { value + worse }
}

/// The domain under its rows, by what fits it; `None` if they leave nothing.
fn under_rows(domain: &Domain) -> Result<Option<Box<dyn InputSet + '_>>> {
    match IntegerDomain::new(domain) {
        Err(Error::EmptyDomain) => return Ok(None),
        Err(error) => return Err(error),
        Ok(Some(set)) if domain.rows().len() == 1 => return Ok(Some(Box::new(set))),
        Ok(_) => {}
    }
    if domain.rows().len() == 1 {
        return Ok(Some(Box::new(domain.clone())));
    }
    Ok(RowsLp::new(domain)?.map(|set| Box::new(set) as Box<dyn InputSet>))
}

/// The best input that local search finds, and its objective.
fn incumbent(
    problem: &NetworkProblem,
    domain: &Domain,
    bounds: &NetworkBounds,
    tightening: &Tightening,
) -> Result<Option<(Vec<f64>, f64)>> {
    let form = SplitForm::new(problem.network(), domain, bounds)?;
    let sign = if problem.sense() == Sense::Maximise { -1.0 } else { 1.0 };
    let weights: Vec<f64> = problem.objective().iter().map(|c| sign * c).collect();
    let mut root = Relaxation::new(&form, domain)?;
    root.lp.set_objective(&form.combination(&weights, domain).coefficients);
    let mut best: Option<(Vec<f64>, f64)> = None;
    let mut offer = |x: &[f64]| {
        if let Some(x) = problem.admitted(x)
            && let Ok(value) = problem.value(&x)
            && best.as_ref().is_none_or(|(_, best)| sign * value < sign * best)
        {
            best = Some((x, value));
        }
    };
    let mut relaxed = root.clone();
    relaxed.solve(&form, f64::INFINITY, 4);
    climb(&root, &form, &relaxed.inputs(&form), &mut offer);
    for x in points(domain, tightening.seed).take(tightening.starts) {
        climb(&root, &form, &x, &mut offer);
    }
    Ok(best)
}
