//! The check of a certificate.

use std::sync::Arc;

use ndarray::Array2;

use super::{Branching, Certificate, ClassBasis, Cut, GroupProof, PartProof, PromisesDual, ProofNode, TOLERANCE};
use super::{first_inequality, size_of};
use crate::placement::Problem;
use crate::placement::filling::{
    Branch, Budget, Filling, Inequality, Interference, Judgement, Line, Reach, Region, applicable, interference_of,
    settle,
};
use crate::placement::group::{Group, split};
use crate::{Error, Method, Result};

/// Checks a certificate against a problem: the bound that it proves.
///
/// # Errors
///
/// [`Error::Certificate`], with where it fails and why; [`Error::UnsuitedProfiler`]; a profiler that cannot predict a server.
pub fn check_certificate(problem: &Problem<'_>, certificate: &Certificate) -> Result<f64> {
    let instance = problem.instance();
    let fail = |place: String, problem: &'static str| Err(Error::Certificate { place, problem });
    let mut is_covered = vec![false; instance.servers.len()];
    let mut classes = Vec::new();
    let mut groups = Vec::new();
    for (c, basis) in certificate.classes.iter().enumerate() {
        let place = format!("classes[{c}].server");
        let Some(server) = instance.servers.iter().position(|server| server.name == basis.server) else {
            return fail(place, "the instance has no such server");
        };
        let same = |s: &usize| {
            problem.kind_of[*s] == problem.kind_of[server]
                && instance.servers[*s].memory_gb == instance.servers[server].memory_gb
        };
        let members: Vec<usize> = (0..instance.servers.len()).filter(same).collect();
        if members.iter().any(|s| std::mem::replace(&mut is_covered[*s], true)) {
            return fail(place, "its class is there before");
        }
        let class = Class::new(problem, basis, server, c)?;
        groups.push(Group::whole(c, members.len(), &class.filling));
        classes.push(class);
    }
    if is_covered.contains(&false) {
        return fail("classes".into(), "a server is in none");
    }
    let mut is_seen = vec![false; certificate.parts.len()];
    let mut waiting = vec![(0, groups)];
    let mut bound = f64::NEG_INFINITY;
    while let Some((place, groups)) = waiting.pop() {
        let name = format!("parts[{place}]");
        let Some(part) = certificate.parts.get(place) else { return fail(name, "there is no such part") };
        if std::mem::replace(&mut is_seen[place], true) {
            return fail(name, "it is the half of two branchings");
        }
        let Some(Branching { question, halves }) = &part.branching else {
            bound = bound.max(check_part(problem, &classes, part, &groups, &name)?);
            continue;
        };
        for (yes, half) in [true, false].into_iter().zip(halves) {
            let item_of = |class: usize, request| classes[class].requests.binary_search(&request).ok();
            match split(&groups, question, &item_of, yes) {
                Some(groups) => waiting.push((*half, groups)),
                None => return fail(name, "it is parted where that is no question"),
            }
        }
    }
    if bound > certificate.bound + TOLERANCE * certificate.bound.abs().max(1.0) || certificate.bound.is_nan() {
        return fail("bound".into(), "a part may have more");
    }
    Ok(bound)
}

/// The bound that a part proves.
fn check_part(
    problem: &Problem<'_>,
    classes: &[Class<'_>],
    part: &PartProof,
    groups: &[Group],
    name: &str,
) -> Result<f64> {
    let fail =
        |place: String, problem: &'static str| Err(Error::Certificate { place: name.to_owned() + &place, problem });
    let requests = &problem.instance().requests;
    check_prices(&part.prices, requests.len(), name)?;
    if part.groups.len() != groups.len() {
        return fail(".groups".into(), "there is not one for every group");
    }
    let mut bound: f64 = part.prices.iter().sum();
    for (g, (group, proof)) in groups.iter().zip(&part.groups).enumerate() {
        let place = format!(".groups[{g}]");
        let class = &classes[group.class];
        let profits: Vec<f64> = class.requests.iter().map(|r| requests[*r].payment - part.prices[*r]).collect();
        let is_empty = proof.bound < 0.0 && group.is_forced() && profits.iter().all(|profit| *profit >= 0.0);
        class.check(group, profits, proof, &(name.to_owned() + &place))?;
        if is_empty {
            return Ok(f64::NEG_INFINITY);
        }
        bound += group.servers as f64 * if group.is_forced() { proof.bound } else { proof.bound.max(0.0) };
    }
    Ok(bound)
}

/// That there is a price of at least 0 for every request.
fn check_prices(prices: &[f64], requests: usize, name: &str) -> Result<()> {
    let fail = |place: String, problem: &'static str| Err(Error::Certificate { place, problem });
    if prices.len() != requests {
        return fail(format!("{name}.prices"), "there is not one for every request");
    }
    match prices.iter().position(|price| !(price.is_finite() && *price >= 0.0)) {
        Some(r) => fail(format!("{name}.prices[{r}]"), "a price is a number of at least 0"),
        None => Ok(()),
    }
}

/// Servers that are the same.
struct Class<'p> {
    /// The request of each item.
    requests: Vec<usize>,
    interference: Box<dyn Interference + 'p>,
    filling: Filling,
    /// What is proved of their fillings.
    inequalities: Vec<Arc<Inequality>>,
}

impl<'p> Class<'p> {
    fn new(problem: &'p Problem<'_>, basis: &ClassBasis, server: usize, place: usize) -> Result<Self> {
        let inequalities = &basis.inequalities;
        let kind = problem.kind_of[server];
        let capacity_gb = problem.instance().servers[server].memory_gb;
        let requests = problem.admissible(kind);
        let basis = Some((matrix(&basis.basis, place, "basis")?, matrix(&basis.inverse, place, "inverse")?));
        let interference = interference_of(problem, Method::Decomposed, kind, requests.clone(), capacity_gb, basis)?;
        let free = vec![0.0; problem.instance().requests.len()];
        let filling = problem.filling(&requests, &free, capacity_gb, &*interference);
        let mut class = Self { requests, interference, filling, inequalities: Vec::new() };
        for (position, inequality) in inequalities.iter().enumerate() {
            let name = format!("classes[{place}].inequalities[{position}]");
            check_prices(&inequality.prices, problem.instance().requests.len(), &name)?;
            let Some(group) = inequality.group(place, &class.filling) else {
                return Err(Error::Certificate { place: name, problem: "it names what does not exist" });
            };
            let payment = |r: &usize| problem.instance().requests[*r].payment - inequality.prices[*r];
            let profits: Vec<f64> = class.requests.iter().map(payment).collect();
            class.check(&group, profits.clone(), &inequality.proof, &format!("{name}.proof"))?;
            let limit = GroupProof::limit(inequality.proof.bound);
            let Group { least, most, counts, .. } = group;
            class.inequalities.push(Arc::new(Inequality { position, profits, limit, least, most, counts }));
        }
        Ok(class)
    }

    /// Checks a proof of a group at profits.
    fn check(&self, group: &Group, profits: Vec<f64>, proof: &GroupProof, name: &str) -> Result<()> {
        if proof.bound.is_nan() {
            return Err(Error::Certificate { place: format!("{name}.bound"), problem: "it is not a number" });
        }
        let filling = group.restrict(self.filling.with_profits(profits));
        let known = applicable(&self.inequalities, &filling, usize::MAX);
        let filling = filling.knowing(known);
        GroupCheck { proof, interference: &*self.interference, filling, is_seen: vec![false; proof.tree.len()] }
            .run(&|node, problem| Error::Certificate { place: format!("{name}.tree[{node}]"), problem })
    }
}

/// The check of a [`GroupProof`].
struct GroupCheck<'c> {
    proof: &'c GroupProof,
    interference: &'c dyn Interference,
    filling: Filling,
    is_seen: Vec<bool>,
}

type Failure<'f> = &'f dyn Fn(usize, &'static str) -> Error;

impl GroupCheck<'_> {
    fn run(mut self, failure: Failure<'_>) -> Result<()> {
        let mut waiting = vec![(0, Region::whole(&self.filling), Judgement::default())];
        while let Some((place, region, judgement)) = waiting.pop() {
            self.look(place, region, judgement, failure, &mut waiting)?;
        }
        Ok(())
    }

    fn look(
        &mut self,
        place: usize,
        mut region: Region,
        mut judgement: Judgement,
        failure: Failure<'_>,
        waiting: &mut Vec<(usize, Region, Judgement)>,
    ) -> Result<()> {
        let node = self.proof.tree.get(place).ok_or_else(|| failure(place, "there is no such region"))?;
        if std::mem::replace(&mut self.is_seen[place], true) {
            return Err(failure(place, "it is the half of two cuts"));
        }
        let (filling, interference) = (&self.filling, self.interference);
        let allowed = self.proof.bound + TOLERANCE * self.proof.bound.abs().max(1.0);
        if !settle(filling, interference, &mut region, &mut judgement) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !self.is_filling(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let (bound, weights) = self
            .dual_bound(node, &region, &judgement)
            .ok_or_else(|| failure(place, "its duals prove nothing: sums of them overflow"))?;
        if node.empty && bound == f64::NEG_INFINITY || bound <= allowed {
            return Ok(());
        }
        // What no filling of more than the bound can do is left out below.
        let worth = node.worth.unwrap_or(self.proof.bound);
        if worth.is_nan() || worth > allowed {
            return Err(failure(place, "it leaves out what may have more profit than the bound"));
        }
        region.budget = Some(Arc::new(Budget {
            ends: weights
                .iter()
                .enumerate()
                .map(|(i, w)| if *w >= 0.0 { region.least[i] } else { region.most[i] })
                .collect(),
            losses: weights.iter().map(|w| w.abs()).collect(),
            limit: bound - worth + 1e-9,
        }));
        if !region.propagate(filling) {
            return Ok(());
        }
        if region.is_point() {
            let is_fine = filling.profit(&region.least) <= allowed || !self.is_filling(&region.least)?;
            return if is_fine { Ok(()) } else { Err(failure(place, "it holds a filling of more profit")) };
        }
        let Some(cut) = &node.cut else {
            return Err(failure(place, "its duals do not prove the bound"));
        };
        let (branch, halves) = match *cut {
            Cut::Pieces(item, pieces, halves) if item < filling.items() => (Branch::Pieces { item, pieces }, halves),
            Cut::Count(set, pieces, halves) if set < filling.alike.len() => (Branch::Count { set, pieces }, halves),
            Cut::State(k, at, halves) if k < filling.dimension && at.is_finite() => {
                (Branch::Coordinate { k, at }, halves)
            }
            _ => return Err(failure(place, "it is cut at what does not exist")),
        };
        for (upper, half) in [false, true].into_iter().zip(halves) {
            let mut region = region.clone();
            if region.cut(branch, upper) {
                waiting.push((half, region, judgement.clone()));
            }
        }
        Ok(())
    }

    /// Whether pieces fit and keep every promise.
    fn is_filling(&self, pieces: &[u32]) -> Result<bool> {
        Ok(self.filling.fits(pieces) && self.interference.holds(pieces)?)
    }

    /// The bound that row duals prove on a region, rounding included, and the weights of the items in it; `None` of duals that overflow.
    ///
    /// For any duals λ: −Σ w_i x_i = Σ λ_r·row_r + Σ d_i x_i with d = −w − Σ λ_r·a_r, each term of which is at least its least. What is
    /// computed is off by at most γ times the sizes of all terms (see [`crate::rounding`]).
    fn dual_bound(&self, node: &ProofNode, region: &Region, judgement: &Judgement) -> Option<(f64, Vec<f64>)> {
        let (filling, d) = (&self.filling, self.filling.dimension);
        let mut weights: Vec<f64> =
            if node.empty { vec![0.0; filling.items()] } else { filling.profits.iter().map(|w| -w).collect() };
        let mut sizes: Vec<f64> = weights.iter().map(|weight| weight.abs()).collect();
        let (mut sum, mut size) = (0.0, 0.0);
        let pieces = |item: usize| (f64::from(region.least[item]), f64::from(region.most[item]));
        // lower ≤ a·x ≤ upper; a missing lower one is the least that the pieces give. Where an a is itself a sum, its size is known.
        let mut rows: Vec<Row> = Vec::new();
        for (code, dual) in &node.duals {
            let (a, lower, upper): (Vec<f64>, Option<f64>, f64) = if *code == 0 {
                (filling.memory_gb.clone(), None, filling.capacity_gb + 1e-9)
            } else if *code <= d {
                let a = (0..filling.items()).map(|item| filling.contribution(item)[code - 1]).collect();
                (a, Some(region.low[code - 1] - 1e-10), region.high[code - 1] + 1e-10)
            } else if let Some(position) = code.checked_sub(first_inequality(size_of(filling))) {
                let Some(known) = filling.inequalities.iter().find(|known| known.position == position) else {
                    continue;
                };
                (known.profits.clone(), None, known.limit + 1e-10)
            } else {
                let set = code - 1 - d;
                let mut a = vec![0.0; filling.items()];
                filling.alike[set].iter().for_each(|item| a[*item] = 1.0);
                let (fewest, most) = region.counts[set];
                let all: u32 = filling.alike[set].iter().map(|item| region.most[*item]).sum();
                (a, Some(f64::from(fewest)), f64::from(most.min(all)))
            };
            rows.push(Row { size: a.clone(), a, lower, upper, dual: *dual });
        }
        rows.extend(node.promises.iter().filter_map(|promises| self.promises_row(promises, region, judgement)));
        for Row { a, size: a_size, lower, upper, dual } in &rows {
            let least = || (0..filling.items()).map(|i| (a[i] * pieces(i).0).min(a[i] * pieces(i).1)).sum();
            let side = if *dual > 0.0 { lower.unwrap_or_else(least) } else { *upper };
            sum += dual * side;
            size += (dual * side).abs();
            weights.iter_mut().zip(a).for_each(|(weight, a)| *weight -= dual * a);
            for (size, a) in sizes.iter_mut().zip(a_size) {
                *size += (dual * a).abs();
            }
        }
        for (item, (weight, weight_size)) in weights.iter().zip(&sizes).enumerate() {
            let (least, most) = pieces(item);
            sum += (weight * least).min(weight * most);
            // Twice: once in the weight, and once in the least value of a row that has no lower end.
            size += 2.0 * weight_size * most;
        }
        let error = crate::rounding::gamma(rows.len() + filling.items() + d) * size;
        let least = crate::rounding::down(sum, error);
        if !least.is_finite() {
            return None;
        }
        let bound = match node.empty {
            true if least > 0.0 => f64::NEG_INFINITY,
            true => f64::INFINITY,
            false => -least,
        };
        Some((bound, weights))
    }

    /// Promises of one prediction: with n_i = x_i / u_i and limits L_1 ≤ … ≤ L_m below M, the most that a line a·y + c below it can be,
    /// a·y + Σ (L_{k+1} − L_k)·n_k ≤ M − c where L_{m+1} is M: if k is the first with all its pieces, the sum is at least M − L_k. What has a
    /// piece for sure lowers M to its limit. `None` of promises that are not open here or of several predictions.
    fn promises_row(&self, promises: &PromisesDual, region: &Region, judgement: &Judgement) -> Option<Row> {
        let filling = &self.filling;
        let is_open = |code: &usize| judgement.open.iter().find(|p| 2 * p.item + p.which == *code);
        let mut open: Vec<_> = promises.of.iter().filter_map(is_open).collect();
        let first = *open.first()?;
        if open.iter().any(|promise| promise.line != first.line) {
            return None;
        }
        let line = match promises.at {
            None => judgement.lines[first.line].clone(),
            Some(place) => {
                let point = self.proof.points.get(place).filter(|point| point.len() == filling.dimension)?;
                let (slope, constant) = self.interference.tangent(judgement, first, point)?;
                let highest = constant + Reach::new(filling, region).most(&slope);
                Line { slope, constant, highest }
            }
        };
        open.sort_by(|p, q| p.limit.total_cmp(&q.limit));
        open.dedup_by_key(|promise| promise.item);
        let sure = open.iter().filter(|promise| region.least[promise.item] > 0).map(|promise| promise.limit);
        let most = sure.fold(line.highest, f64::min);
        open.retain(|promise| promise.limit < most);
        let mut a: Vec<f64> =
            (0..filling.items()).map(|i| crate::rounding::dot(&line.slope, filling.contribution(i))).collect();
        let size_of = |i: usize| line.slope.iter().zip(filling.contribution(i)).map(|(a, b)| (a * b).abs()).sum();
        let mut size: Vec<f64> = (0..filling.items()).map(size_of).collect();
        for (k, promise) in open.iter().enumerate() {
            let step = open.get(k + 1).map_or(most, |next| next.limit) - promise.limit;
            let step = step / f64::from(filling.most[promise.item].max(1));
            a[promise.item] += step;
            size[promise.item] += step;
        }
        Some(Row { a, size, lower: None, upper: most - line.constant + 1e-10, dual: promises.dual })
    }
}

/// lower ≤ a·x ≤ upper with its dual, and the sizes of the sums that the a are.
struct Row {
    a: Vec<f64>,
    size: Vec<f64>,
    lower: Option<f64>,
    upper: f64,
    dual: f64,
}

/// Rows as a matrix, of the class at a position.
fn matrix(rows: &[Vec<f64>], class: usize, name: &str) -> Result<Array2<f64>> {
    let fail = |problem| Error::Certificate { place: format!("classes[{class}].{name}"), problem };
    let columns = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != columns) {
        return Err(fail("its rows are of several lengths"));
    }
    Array2::from_shape_vec((rows.len(), columns), rows.concat()).map_err(|_| fail("it is no matrix"))
}
