//! The part that all placement programs share: who runs where, and memory.

use super::{Parts, Problem};
use crate::model::{Linear, Model, Variable};
use crate::{Result, Sense};

/// A mixed-integer program with the variables of a placement:
///
/// - z_r ∈ {0, 1}: request r is served;
/// - w_rs ∈ {0, 1}: some of it runs on s;
/// - x_rs ∈ {0, …, N_r}: so many of its instances run on s; N_r·w_rs itself where requests are not split;
///
/// the rows Σ_s x_rs = N_r z_r, w_rs ≤ x_rs ≤ N_r w_rs, Σ_r m_r x_rs ≤ C_s, and the objective Σ p_r z_r.
pub(super) struct Assignment {
    pub(super) model: Model,
    /// z, by request.
    pub(super) served: Vec<Variable>,
    /// w, by request and server.
    pub(super) on: Vec<Vec<Variable>>,
    /// x, by request and server.
    pub(super) instances: Vec<Vec<Linear>>,
}

impl Assignment {
    /// Of a problem, requests split or not.
    pub(super) fn new(problem: &Problem<'_>, splits: bool) -> Result<Self> {
        let instance = problem.instance();
        let mut model = Model::new();
        let mut revenue = Linear::default();
        let (mut served, mut on, mut instances) = (Vec::new(), Vec::new(), Vec::new());
        for (r, request) in instance.requests.iter().enumerate() {
            let n = f64::from(request.instances);
            let z = model.binary(format!("z{r}"))?;
            revenue.add_scaled(request.payment, &z.into());
            let (mut w_of, mut x_of, mut placed) = (Vec::new(), Vec::new(), Linear::default());
            for s in 0..instance.servers.len() {
                let w = model.binary(format!("w{r}_{s}"))?;
                let x: Linear = if splits && request.instances > 1 {
                    let x = model.integer(format!("x{r}_{s}"), 0.0, n)?;
                    model.add((x - n * w).at_most(0.0))?;
                    model.add((x - w).at_least(0.0))?;
                    x.into()
                } else {
                    n * w
                };
                placed += x.clone();
                w_of.push(w);
                x_of.push(x);
            }
            model.add((placed - n * z).equals(0.0))?;
            served.push(z);
            on.push(w_of);
            instances.push(x_of);
        }
        for (s, server) in instance.servers.iter().enumerate() {
            let mut used = Linear::default();
            for (x, gb) in instances.iter().zip(&problem.instance_memory_gb) {
                used.add_scaled(*gb, &x[s]);
            }
            model.add(used.at_most(server.memory_gb))?;
        }
        model.optimise(Sense::Maximise, revenue)?;
        Ok(Self { model, served, on, instances })
    }

    /// Orders servers that nothing tells apart, group by group, by their numbers of instances, the most first: of all permutations of a
    /// placement one is enough.
    pub(super) fn order(&mut self, groups: &[Vec<usize>]) -> Result<()> {
        for pair in groups.iter().flat_map(|group| group.windows(2)) {
            let mut ahead = Linear::default();
            for x in &self.instances {
                ahead.add_scaled(1.0, &x[pair[0]]);
                ahead.add_scaled(-1.0, &x[pair[1]]);
            }
            self.model.add(ahead.at_least(0.0))?;
        }
        Ok(())
    }

    /// The placement of a solution.
    pub(super) fn parts(&self, values: &[f64]) -> Parts {
        let count = |x: &Linear| x.at(values).round() as u32;
        let of = |x: &Vec<Linear>| x.iter().map(count).enumerate().filter(|(_, n)| *n > 0).collect();
        self.instances.iter().map(of).collect()
    }

    /// The variables of this program at a placement; further ones are left at 0.
    pub(super) fn start(&self, parts: &Parts) -> Vec<f64> {
        let mut values = vec![0.0; self.model.variables().len()];
        for (r, parts) in parts.iter().enumerate() {
            values[self.served[r].index()] = f64::from(u8::from(!parts.is_empty()));
            for (s, n) in parts {
                values[self.on[r][*s].index()] = 1.0;
                // A variable of its own where the request may be split; else it is that of `on`.
                if let [(x, 1.0)] = self.instances[r][*s].terms[..]
                    && x != self.on[r][*s]
                {
                    values[x.index()] = f64::from(*n);
                }
            }
        }
        values
    }
}

/// Servers that nothing tells apart: of one kind with the same memory; each group in order.
pub(super) fn alike(problem: &Problem<'_>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let servers = &problem.instance().servers;
    for s in 0..servers.len() {
        let same = |group: &&mut Vec<usize>| {
            let first = group[0];
            problem.kind_of[first] == problem.kind_of[s] && servers[first].memory_gb == servers[s].memory_gb
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(s),
            None => groups.push(vec![s]),
        }
    }
    groups
}

/// A placement with servers that nothing tells apart put into the order of [`Assignment::order`].
pub(super) fn ordered(problem: &Problem<'_>, parts: &Parts, groups: &[Vec<usize>]) -> Parts {
    let mut count = vec![0; problem.instance().servers.len()];
    parts.iter().flatten().for_each(|(s, n)| count[*s] += n);
    let mut to: Vec<usize> = (0..count.len()).collect();
    for group in groups {
        let mut by_count = group.clone();
        by_count.sort_by(|a, b| count[*b].cmp(&count[*a]));
        by_count.iter().zip(group).for_each(|(from, place)| to[*from] = *place);
    }
    let moved = |parts: &Vec<(usize, u32)>| {
        let mut moved: Vec<(usize, u32)> = parts.iter().map(|(s, n)| (to[*s], *n)).collect();
        moved.sort_unstable();
        moved
    };
    parts.iter().map(moved).collect()
}

/// The revenue of requests that are placed.
pub(super) fn revenue(problem: &Problem<'_>, parts: &Parts) -> f64 {
    let requests = parts.iter().zip(&problem.instance().requests);
    requests.filter(|(parts, _)| !parts.is_empty()).map(|(_, request)| request.payment).sum()
}
