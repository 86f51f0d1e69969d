//! Branch and bound over regions.

use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::relaxation::{Bounded, Relaxation, RowKey};
use super::{Branch, Budget, Filling, Interference, Judgement, Reach, Region, Verdict};
use crate::lp::LpStatus;
use crate::{Error, Limits, Observer, Progress, Result, Termination};

/// How to search.
#[derive(Clone, Debug)]
pub(crate) struct TreeParams {
    /// When to stop. The target is a profit that is worth finding: nothing below it is looked for.
    pub(crate) limits: Limits,
    /// Threads, at least 1.
    pub(crate) workers: usize,
    /// Whether the tree is kept as a proof of the bound.
    pub(crate) keep: bool,
}

/// What a search found.
#[derive(Clone, Debug)]
pub(crate) struct Solution {
    /// Pieces of the best filling found, if any.
    pub(crate) pieces: Option<Vec<u32>>,
    /// No filling has more profit.
    pub(crate) bound: f64,
    pub(crate) termination: Termination,
    pub(crate) nodes: u64,
    /// Every filling that was the best one for a time, that which was known at first not among them.
    pub(crate) found: Vec<Vec<u32>>,
    /// The tree, if it was to be kept, its root first.
    pub(crate) tree: Vec<TreeNode>,
}

/// A region of the tree.
#[derive(Clone, Debug)]
pub(crate) struct TreeNode {
    /// Duals of the rows of its relaxation.
    pub(crate) duals: Vec<(RowKey, f64)>,
    /// Where it was cut, and the positions of its halves.
    pub(crate) branch: Option<(Branch, [usize; 2])>,
    /// The bound that they prove; infinite of a region that was not looked at.
    pub(crate) bound: f64,
    /// The profit that a filling had to beat then.
    pub(crate) threshold: f64,
}

/// The search itself.
pub(crate) struct Tree<'a> {
    filling: &'a Filling,
    interference: &'a dyn Interference,
    params: &'a TreeParams,
    /// Of every place where regions are cut the sum of the sizes of the trees that cuts there left, and their number (pseudo-costs, as in
    /// T. Achterberg et al., "Branching rules revisited", Operations Research Letters 33, 2005, doi:10.1016/j.orl.2004.04.002).
    experience: Mutex<Vec<(f64, u32)>>,
    shared: Mutex<Shared>,
    stop: AtomicBool,
    start: Instant,
}

struct Shared {
    open: BinaryHeap<Open>,
    /// Bounds of the nodes that workers have in hand.
    in_hand: Vec<Option<f64>>,
    pieces: Option<Vec<u32>>,
    profit: f64,
    found: Vec<Vec<u32>>,
    nodes: u64,
    tree: Vec<TreeNode>,
    termination: Option<Termination>,
    /// The largest bound of what was cut off.
    cut_off: f64,
    error: Option<Error>,
}

/// A node that waits: its relaxation has been looked at.
struct Open {
    bound: f64,
    depth: u32,
    place: usize,
    node: Box<Node>,
}

/// A region with what its relaxation says.
struct Node {
    region: Region,
    /// Pieces, fractions among them.
    pieces: Vec<f64>,
    /// Verdicts, phases and looseness there.
    judgement: Judgement,
    /// The rows that its bound rests on: its halves' will rest on them too.
    rows: Vec<RowKey>,
}

/// A region, looked at.
struct Evaluated {
    /// No filling of it that is worth finding has more profit; −∞ if there is none.
    bound: f64,
    /// What its own duals prove.
    own_bound: f64,
    duals: Vec<(RowKey, f64)>,
    /// The profit that a filling had to beat.
    threshold: f64,
    /// The largest bound of what was cut off.
    cut_off: f64,
    /// What is left to do.
    node: Option<Box<Node>>,
}

impl PartialEq for Open {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Open {}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bound.total_cmp(&other.bound).then(self.depth.cmp(&other.depth)).then(other.place.cmp(&self.place))
    }
}

/// How often the relaxation takes in promises that its solution breaks.
const ROUNDS: usize = 8;
/// Fractions below that are none.
const FRACTION: f64 = 1e-6;
/// By how much a promise fails, in units of its logarithm, so that all of its profit counts as promised in vain.
const IN_VAIN: f64 = 0.2;
/// Sides of the box along which bounds may be off by more than that are cut before anything else.
const LOOSE_SIDE: f64 = 0.6;
/// Steepness with which a half's size is taken to grow with its distance to the threshold.
const GROWTH: f64 = 6.0;
/// Sides and items that are tried where neither is the obvious one.
const SIDES: usize = 2;
const ITEMS: usize = 2;
/// Sets of items that are alike whose pieces are not whole together.
const COUNTS: usize = 1;
/// Items that are tried where little is promised in vain.
const FRACTIONAL_ITEMS: usize = 3;
/// How often a cut must have been looked at until its mean says what to expect.
const ENOUGH: u32 = 4;
/// Of cuts that are known the ones that are looked at.
const LOOKS: usize = 3;
/// How often the observer is asked.
const POLL: Duration = Duration::from_millis(10);

impl<'a> Tree<'a> {
    /// A search that knows a filling, the better the fewer nodes.
    pub(crate) fn new(
        filling: &'a Filling,
        interference: &'a dyn Interference,
        params: &'a TreeParams,
        known: Option<Vec<u32>>,
    ) -> Self {
        let profit = known.as_ref().map_or(f64::NEG_INFINITY, |pieces| filling.profit(pieces));
        let shared = Shared {
            open: BinaryHeap::new(),
            in_hand: vec![None; params.workers.max(1)],
            pieces: known,
            profit,
            found: Vec::new(),
            nodes: 0,
            tree: Vec::new(),
            termination: None,
            cut_off: f64::NEG_INFINITY,
            error: None,
        };
        let (shared, stop) = (Mutex::new(shared), AtomicBool::new(false));
        let experience = Mutex::new(vec![(0.0, 0); filling.items() + filling.alike.len() + filling.dimension]);
        Self { filling, interference, params, shared, experience, stop, start: Instant::now() }
    }

    /// Searches until the optimum is proved or a limit is reached or the observer breaks off.
    ///
    /// # Errors
    ///
    /// The profiler cannot predict a filling.
    pub(crate) fn run(self, observer: Observer<'_>) -> Result<Solution> {
        let threshold = self.threshold(&self.lock());
        let root = self.evaluate(Region::whole(self.filling), &Judgement::default(), &[], f64::INFINITY, threshold)?;
        self.lock().enter(root, 0, self.params.keep);
        if self.params.workers <= 1 {
            let mut last = Instant::now();
            while self.step(0) {
                if last.elapsed() >= POLL {
                    last = Instant::now();
                    self.ask(observer);
                }
            }
        } else {
            thread::scope(|scope| {
                let handles: Vec<_> = (0..self.params.workers)
                    .map(|worker| {
                        let tree = &self;
                        scope.spawn(move || while tree.step(worker) {})
                    })
                    .collect();
                let mut last = Instant::now();
                while !handles.iter().all(thread::ScopedJoinHandle::is_finished) {
                    thread::sleep(Duration::from_micros(200));
                    if last.elapsed() >= POLL {
                        last = Instant::now();
                        self.ask(observer);
                    }
                }
            });
        }
        let mut shared = self.shared.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(error) = shared.error.take() {
            return Err(error);
        }
        let bound = shared.bound();
        let termination = shared.termination.unwrap_or(Termination::Optimal);
        Ok(Solution {
            pieces: shared.pieces,
            bound,
            termination,
            nodes: shared.nodes,
            found: shared.found,
            tree: if self.params.keep { shared.tree } else { Vec::new() },
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn ask(&self, observer: Observer<'_>) {
        let progress = {
            let shared = self.lock();
            Progress {
                objective: shared.pieces.is_some().then_some(shared.profit),
                bound: shared.bound(),
                nodes: shared.nodes,
                open: shared.open.len(),
                seconds: self.start.elapsed().as_secs_f64(),
            }
        };
        if observer(&progress) == ControlFlow::Break(()) {
            self.end(Termination::Interrupted);
        }
    }

    fn end(&self, termination: Termination) {
        self.lock().termination.get_or_insert(termination);
        self.stop.store(true, Memory::Relaxed);
    }

    /// The profit that a filling must beat.
    fn threshold(&self, shared: &Shared) -> f64 {
        let limits = &self.params.limits;
        let held = shared.profit + limits.gap * shared.profit.abs().max(1.0);
        held.max(limits.target.unwrap_or(f64::NEG_INFINITY))
    }

    /// Looks at one node; whether there may be more to do.
    fn step(&self, worker: usize) -> bool {
        if self.stop.load(Memory::Relaxed) {
            return false;
        }
        let limits = &self.params.limits;
        if limits.time.is_some_and(|time| self.start.elapsed() >= time) {
            self.end(Termination::TimeLimit);
            return false;
        }
        let (node, threshold) = {
            let mut shared = self.lock();
            if limits.nodes.is_some_and(|most| shared.nodes >= most) {
                drop(shared);
                self.end(Termination::NodeLimit);
                return false;
            }
            let threshold = self.threshold(&shared);
            let Some(node) = shared.open.pop() else {
                let is_idle = shared.in_hand.iter().all(Option::is_none);
                drop(shared);
                if !is_idle {
                    thread::yield_now();
                }
                return !is_idle;
            };
            if node.bound <= threshold {
                // It and all the others that wait are no better; they stay for the bound's sake.
                shared.open.push(node);
                let is_last = shared.in_hand.iter().all(Option::is_none);
                drop(shared);
                if is_last {
                    let reached =
                        if limits.gap > Limits::default().gap { Termination::GapReached } else { Termination::Optimal };
                    self.end(reached);
                } else {
                    thread::yield_now();
                }
                return !is_last;
            }
            shared.in_hand[worker] = Some(node.bound);
            (node, threshold)
        };
        let outcome = self.cut(&node, threshold);
        let mut shared = self.lock();
        shared.in_hand[worker] = None;
        match outcome {
            Ok((branch, halves)) => {
                let keep = self.params.keep;
                let places = halves.map(|half| shared.enter(half, node.depth + 1, keep));
                if keep {
                    shared.tree[node.place].branch = Some((branch, places));
                }
                true
            }
            Err(error) => {
                shared.error.get_or_insert(error);
                drop(shared);
                self.end(Termination::Interrupted);
                false
            }
        }
    }

    /// Takes a filling if it is better than what is held, and holds.
    fn offer(&self, pieces: &[u32]) -> Result<bool> {
        let profit = self.filling.profit(pieces);
        if profit <= self.lock().profit || !self.filling.fits(pieces) || !self.interference.holds(pieces)? {
            return Ok(false);
        }
        let mut shared = self.lock();
        if profit > shared.profit {
            shared.profit = profit;
            shared.pieces = Some(pieces.to_vec());
            shared.found.push(pieces.to_vec());
        }
        Ok(true)
    }

    /// Looks at a region within one of this bound.
    fn evaluate(
        &self,
        mut region: Region,
        outer: &Judgement,
        rows: &[RowKey],
        within: f64,
        threshold: f64,
    ) -> Result<Evaluated> {
        let none = f64::NEG_INFINITY;
        let closed =
            |duals, own_bound, cut_off| Ok(Evaluated { bound: none, own_bound, duals, threshold, cut_off, node: None });
        let mut judgement =
            Judgement { verdicts: outer.verdicts.clone(), phases: outer.phases.clone(), ..Judgement::default() };
        if !settle(self.filling, self.interference, &mut region, &mut judgement) {
            return closed(Vec::new(), none, none);
        }
        if region.is_point() {
            let holds = self.filling.fits(&region.least) && self.interference.holds(&region.least)?;
            self.offer(&region.least)?;
            return closed(Vec::new(), if holds { self.filling.profit(&region.least) } else { none }, none);
        }
        let relaxed = self.relax(&region, &judgement, rows, threshold);
        let bound = relaxed.bound.min(within);
        if bound <= threshold {
            return closed(relaxed.duals, relaxed.bound, bound);
        }
        // What leaves its end by more than the bound can lose is cut off, here and in all halves.
        let cut_off = threshold;
        let ends = relaxed.weights.iter().enumerate();
        let budget = Budget {
            ends: ends.map(|(i, w)| if *w >= 0.0 { region.least[i] } else { region.most[i] }).collect(),
            losses: relaxed.weights.iter().map(|w| w.abs()).collect(),
            limit: relaxed.bound - threshold + 1e-9,
        };
        region.budget = Some(Arc::new(budget));
        if !region.propagate(self.filling) {
            return closed(relaxed.duals, relaxed.bound, cut_off);
        }
        if region.is_point() {
            self.offer(&region.least)?;
            return closed(relaxed.duals, relaxed.bound, cut_off);
        }
        judgement.lines = Vec::new();
        judgement.open = Vec::new();
        let rows = relaxed.duals.iter().map(|(row, _)| row.clone()).collect();
        let node = Some(Box::new(Node { region, pieces: relaxed.pieces, judgement, rows }));
        Ok(Evaluated { bound, own_bound: relaxed.bound, duals: relaxed.duals, threshold, cut_off, node })
    }

    /// Cuts a node where its halves' bounds are smallest, of some places that look good.
    fn cut(&self, open: &Open, threshold: f64) -> Result<(Branch, [Evaluated; 2])> {
        self.round(&open.node.pieces)?;
        let mut best: Option<(f64, Branch, [Evaluated; 2])> = None;
        for branch in self.promising(self.candidates(&open.node)) {
            let half = |upper| {
                let mut region = open.node.region.clone();
                // A cut inside the region leaves both halves something; what it does not, settling finds.
                region.cut(branch, upper);
                self.evaluate(region, &open.node.judgement, &open.node.rows, open.bound, threshold)
            };
            let size = |half: &Evaluated| match half.node {
                Some(_) => (GROWTH * (half.bound - threshold) / (open.bound - threshold)).exp(),
                None => 0.0,
            };
            let lower = half(false)?;
            if best.as_ref().is_some_and(|(least, ..)| size(&lower) > -least) {
                // Half of it is more than all of another.
                self.learn(branch, 2.0 * size(&lower));
                continue;
            }
            let halves = [lower, half(true)?];
            let gain = -size(&halves[0]) - size(&halves[1]);
            let is_closed = halves.iter().all(|half| half.node.is_none());
            self.learn(branch, -gain);
            if best.as_ref().is_none_or(|(least, ..)| gain > *least) || is_closed {
                best = Some((gain, branch, halves));
            }
            if is_closed {
                break;
            }
        }
        let (_, branch, halves) = best.ok_or(Error::Contradiction("a region that can be cut nowhere"))?;
        Ok((branch, halves))
    }

    /// Of these places those that little is known of, and the ones that were best so far, the best first.
    fn promising(&self, mut candidates: Vec<Branch>) -> Vec<Branch> {
        if candidates.len() > LOOKS {
            let experience = self.experience.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let size = |branch: &Branch| match experience[self.place(branch)] {
                (_, ..ENOUGH) => 0.0,
                (sum, times) => sum / f64::from(times),
            };
            candidates.sort_by(|a, b| size(a).total_cmp(&size(b)));
            let unknown = candidates.iter().take_while(|branch| size(branch) == 0.0).count();
            candidates.truncate(unknown.max(LOOKS));
        }
        candidates
    }

    /// Notes how large a cut leaves a tree.
    fn learn(&self, branch: Branch, size: f64) {
        let mut experience = self.experience.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (sum, times) = &mut experience[self.place(&branch)];
        *sum += size;
        *times += 1;
    }

    /// The place of what is cut at among all.
    fn place(&self, branch: &Branch) -> usize {
        let filling = self.filling;
        match branch {
            Branch::Pieces { item, .. } => *item,
            Branch::Count { set, .. } => filling.items() + set,
            Branch::Coordinate { k, .. } => filling.items() + filling.alike.len() + k,
        }
    }

    /// Places to cut at: the sides of the box along which predictions change most, and the items that are fractional for most profit or
    /// are promised in vain.
    fn candidates(&self, node: &Node) -> Vec<Branch> {
        let (filling, region) = (self.filling, &node.region);
        let mut excess = Vec::new();
        self.interference.excess(&node.pieces, &filling.coordinates(&node.pieces), &mut excess);
        let mut candidates = Vec::new();
        let fraction = |item: &usize| (node.pieces[*item] - node.pieces[*item].round()).abs();
        let profit = |item: &usize| filling.profits[*item].max(1e-9);
        let share = |item: &usize| node.pieces[*item] * (excess[*item] / IN_VAIN).min(1.0);
        let in_vain: f64 = (0..filling.items()).map(|item| profit(&item) * share(&item)).sum();
        let free = || (0..filling.items()).filter(|item| region.is_free(*item));
        let fractional: f64 = free().map(|item| profit(&item) * fraction(&item)).sum();
        let at = |item: usize| {
            let pieces = node.pieces[item].floor() as u32;
            Branch::Pieces { item, pieces: pieces.clamp(region.least[item], region.most[item] - 1) }
        };
        if in_vain > fractional {
            let (low, high) = Reach::new(filling, region).sides();
            let side = |k: &usize| (high[*k] - low[*k]) * node.judgement.looseness[*k];
            let size = |k: usize| 1.0 + low[k].abs().max(high[k].abs());
            let mut sides: Vec<usize> =
                (0..filling.dimension).filter(|k| high[*k] - low[*k] > 1e-7 * size(*k)).collect();
            sides.sort_by(|a, b| side(b).total_cmp(&side(a)));
            // Cut in the middle: cut at y the tree is up to six times as large.
            let middle = |k: usize| Branch::Coordinate { k, at: 0.5 * (low[k] + high[k]) };
            if let Some(k) = sides.first().filter(|k| side(k) > LOOSE_SIDE) {
                return vec![middle(*k)];
            }
            candidates.extend(sides.into_iter().take(SIDES).map(middle));
        }
        let weight = |item: &usize| profit(item) * (fraction(item) + 0.1 * excess[*item].min(1.0));
        let mut items: Vec<usize> = free().filter(|i| fraction(i) > FRACTION || excess[*i] > 0.0).collect();
        items.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let mut sets: Vec<(f64, Branch)> = Vec::new();
        for (set, alike) in filling.alike.iter().enumerate() {
            let sum: f64 = alike.iter().map(|item| node.pieces[*item]).sum();
            let doubt = (sum - sum.round()).abs();
            if doubt > FRACTION {
                let worth = alike.iter().map(|item| profit(item) * node.pieces[*item]).sum::<f64>() / sum;
                sets.push((doubt * worth, Branch::Count { set, pieces: sum.floor() as u32 }));
            }
        }
        sets.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.extend(sets.into_iter().take(COUNTS).map(|(_, branch)| branch));
        let many = if in_vain > fractional { ITEMS } else { FRACTIONAL_ITEMS };
        candidates.extend(items.into_iter().take(many).map(at));
        if candidates.is_empty() {
            candidates.extend(free().max_by(|a, b| filling.profits[*a].total_cmp(&filling.profits[*b])).map(at));
        }
        candidates
    }

    /// A filling near the relaxation's.
    fn round(&self, fractions: &[f64]) -> Result<()> {
        let (filling, interference) = (self.filling, self.interference);
        let mut order: Vec<usize> = (0..filling.items()).filter(|item| fractions[*item] > FRACTION).collect();
        order.sort_by(|a, b| {
            fractions[*b].total_cmp(&fractions[*a]).then(filling.profits[*b].total_cmp(&filling.profits[*a]))
        });
        let mut pieces = vec![0; filling.items()];
        let mut y = vec![0.0; filling.dimension];
        let mut used_gb = 0.0;
        for item in order {
            let wanted = ((fractions[item] - FRACTION).ceil().max(0.0) as u32).min(filling.most[item]);
            let gb = f64::from(wanted) * filling.memory_gb[item];
            if wanted == 0 || used_gb + gb > filling.capacity_gb + 1e-9 {
                continue;
            }
            let add = |y: &mut [f64], n: f64| {
                y.iter_mut().zip(filling.contribution(item)).for_each(|(y, c)| *y += n * c);
            };
            pieces[item] = wanted;
            add(&mut y, f64::from(wanted));
            if interference.nearly_holds(&pieces, &y) {
                used_gb += gb;
            } else {
                pieces[item] = 0;
                add(&mut y, -f64::from(wanted));
            }
        }
        if filling.admits(&pieces) && filling.profit(&pieces) > self.lock().profit {
            self.offer(&pieces)?;
        }
        Ok(())
    }

    /// The linear relaxation of a region.
    fn relax(&self, region: &Region, judgement: &Judgement, rows: &[RowKey], threshold: f64) -> Bounded {
        let mut relaxation = Relaxation::new(self.filling, self.interference, region);
        relaxation.take(judgement, rows);
        let mut status = relaxation.solve(threshold);
        for _ in 0..ROUNDS {
            if status != LpStatus::Optimal {
                break;
            }
            let pieces = relaxation.pieces();
            let y = self.filling.coordinates(&pieces);
            if relaxation.cut(judgement, &pieces, &y) == 0 {
                break;
            }
            status = relaxation.solve(threshold);
        }
        relaxation.finish(status)
    }
}

impl Shared {
    /// Takes in a region; its position in the tree.
    fn enter(&mut self, evaluated: Evaluated, depth: u32, keep: bool) -> usize {
        let Evaluated { bound, own_bound, duals, threshold, cut_off, node } = evaluated;
        self.nodes += 1;
        self.cut_off = self.cut_off.max(cut_off);
        let place = self.tree.len();
        if keep {
            self.tree.push(TreeNode { duals, branch: None, bound: own_bound, threshold });
        }
        if let Some(node) = node {
            self.open.push(Open { bound, depth, place, node });
        }
        place
    }

    /// No filling has more profit.
    fn bound(&self) -> f64 {
        let open = self.open.peek().map(|node| node.bound);
        self.in_hand.iter().flatten().copied().chain(open).fold(self.profit.max(self.cut_off), f64::max)
    }
}

/// Draws what conclusions there are for a region; whether anything may be left.
pub(crate) fn settle(
    filling: &Filling,
    interference: &dyn Interference,
    region: &mut Region,
    judgement: &mut Judgement,
) -> bool {
    for _ in 0..SETTLING {
        if !region.propagate(filling) {
            return false;
        }
        interference.judge(&Reach::new(filling, region), judgement);
        let mut changed = false;
        for (item, verdict) in judgement.verdicts.iter().enumerate() {
            if *verdict == Verdict::Never && region.most[item] > 0 {
                if region.least[item] > 0 {
                    return false;
                }
                region.most[item] = 0;
                changed = true;
            }
        }
        if !changed {
            return true;
        }
    }
    region.propagate(filling)
}

/// How often verdicts and boxes are taken turns.
const SETTLING: usize = 3;
