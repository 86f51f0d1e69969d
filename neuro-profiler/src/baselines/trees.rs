use ndarray::{Array2, Array3, s};
use serde::{Deserialize, Serialize};

use super::uncontended::checked_times;
use crate::profiler::{Load, LogTimes, Profiler, uncrossed};
use crate::server_state::{base_matrix, base_times, rate_features};
use crate::training_set::TrainingSet;
use crate::weights::Weights;
use crate::{Error, Result};

/// The size of a [`TreeEnsemble`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreesShape {
    /// Trees a statistic, 1 to 10,000. Default 300.
    pub trees: usize,
    /// Splits from root to leaf, 1 to 12. Default 5.
    pub depth: usize,
}

impl Default for TreesShape {
    fn default() -> Self {
        Self { trees: 300, depth: 5 }
    }
}

/// Gradient boosting: a sum of regression trees, each fitted to what those before it leave.
///
/// Its target is ln(T / base); its features are the tenant's application (one-hot), instances, rate and ln rate, and of the whole
/// server, by application, instances and offered work Σ n·λ·base, with their totals.
///
/// Trees are complete; where nothing is gained a node sends everything to the left. Splits are sought at quantiles of each feature.
///
/// # References
///
/// J. H. Friedman, "Greedy function approximation: a gradient boosting machine", *Annals of Statistics* 29(5), 2001,
/// doi:10.1214/aos/1013203451.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeEnsemble {
    shape: TreesShape,
    apps: Vec<String>,
    base_s: Vec<[f64; 3]>,
    /// statistic × tree × node: the feature that a node asks for, and the value up to which it sends to the left.
    features: Array3<f64>,
    thresholds: Array3<f64>,
    /// statistic × tree × leaf.
    leaves: Array3<f64>,
}

/// By what each tree's answer is shrunk.
const SHRINKAGE: f64 = 0.1;
/// Candidate splits of a feature.
const BINS: usize = 64;
/// Fewest samples in a leaf.
const LEAF: usize = 5;
/// A node that asks nothing.
const ALL_LEFT: f64 = f32::MAX as f64;

impl TreeEnsemble {
    /// Fits trees to runs of a set.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`], [`Error::UnmeasuredApp`], [`Error::NoRuns`].
    pub fn fit(set: &TrainingSet, train: &[usize], shape: TreesShape) -> Result<Self> {
        check(shape)?;
        let base = |(app, base): (usize, Option<[f64; 3]>)| {
            base.ok_or_else(|| Error::UnmeasuredApp { app: set.apps[app].clone() })
        };
        let base_s: Vec<[f64; 3]> = set.base_s(train).into_iter().enumerate().map(base).collect::<Result<_>>()?;
        let nodes = (1 << shape.depth) - 1;
        let mut model = Self {
            shape,
            apps: set.apps.clone(),
            base_s,
            features: Array3::zeros((3, shape.trees, nodes)),
            thresholds: Array3::from_elem((3, shape.trees, nodes), ALL_LEFT),
            leaves: Array3::zeros((3, shape.trees, nodes + 1)),
        };
        for k in 0..3 {
            let (mut rows, mut targets) = (Vec::new(), Vec::new());
            for run in train {
                let run = &set.runs[*run];
                for (tenant, features) in run.tenants.iter().zip(model.features_of(&run.server())) {
                    if let Some(seconds) = tenant.seconds[k] {
                        rows.push(features);
                        targets.push((seconds / model.base_s[tenant.load.app][k]).ln());
                    }
                }
            }
            if rows.is_empty() {
                return Err(Error::NoRuns { servers: set.servers.join(", ") });
            }
            model.boost(k, &Bins::new(&rows), targets);
        }
        Ok(model)
    }

    /// Its size.
    pub fn shape(&self) -> TreesShape {
        self.shape
    }

    fn boost(&mut self, k: usize, bins: &Bins, mut residuals: Vec<f64>) {
        for tree in 0..self.shape.trees {
            // Which node each sample is in, counted from 0 a level.
            let mut place = vec![0usize; residuals.len()];
            for level in 0..self.shape.depth {
                let splits = bins.best_splits(&place, &residuals, 1 << level);
                for (node, split) in splits.iter().enumerate() {
                    if let Some((feature, bin)) = split {
                        let index = (1 << level) - 1 + node;
                        self.features[[k, tree, index]] = *feature as f64;
                        self.thresholds[[k, tree, index]] = bins.thresholds[*feature][*bin];
                    }
                }
                for (i, place) in place.iter_mut().enumerate() {
                    let right = splits[*place].is_some_and(|(feature, bin)| usize::from(bins.codes[feature][i]) > bin);
                    *place = 2 * *place + usize::from(right);
                }
            }
            let mut sums = vec![(0.0, 0usize); 1 << self.shape.depth];
            for (place, residual) in place.iter().zip(&residuals) {
                sums[*place].0 += residual;
                sums[*place].1 += 1;
            }
            for (leaf, (sum, count)) in sums.iter().enumerate() {
                self.leaves[[k, tree, leaf]] = SHRINKAGE * sum / (*count).max(1) as f64;
            }
            for (place, residual) in place.iter().zip(&mut residuals) {
                *residual -= self.leaves[[k, tree, *place]];
            }
        }
    }

    fn features_of(&self, server: &[Load]) -> Vec<Vec<f64>> {
        let apps = self.apps.len();
        let mut totals = vec![0.0; 2 * apps + 2];
        for load in server {
            let work = load.instances * load.rate * self.base_s[load.app][0];
            for (place, value) in
                [(load.app, load.instances), (apps + load.app, work), (2 * apps, load.instances), (2 * apps + 1, work)]
            {
                totals[place] += value;
            }
        }
        let of = |load: &Load| {
            let one_hot = (0..apps).map(|app| if app == load.app { 1.0 } else { 0.0 });
            let own = [load.instances].into_iter().chain(rate_features(load.rate));
            one_hot.chain(own).chain(totals.iter().copied()).collect()
        };
        server.iter().map(of).collect()
    }

    fn answer(&self, k: usize, features: &[f64]) -> f64 {
        let mut sum = 0.0;
        for tree in 0..self.shape.trees {
            let asked = self.features.slice(s![k, tree, ..]);
            let thresholds = self.thresholds.slice(s![k, tree, ..]);
            let mut node = 0;
            for _ in 0..self.shape.depth {
                let right = features[asked[node] as usize] > thresholds[node];
                node = 2 * node + 1 + usize::from(right);
            }
            sum += self.leaves[[k, tree, node - asked.len()]];
        }
        sum
    }

    pub(crate) fn to_weights(&self) -> Weights {
        let mut weights = Weights::default();
        weights.insert("base_s", base_matrix(&self.base_s).into_dyn());
        weights.insert("features", self.features.clone().into_dyn());
        weights.insert("thresholds", self.thresholds.clone().into_dyn());
        weights.insert("leaves", self.leaves.clone().into_dyn());
        weights
    }

    pub(crate) fn from_weights(shape: TreesShape, apps: Vec<String>, weights: &mut Weights) -> Result<Self> {
        check(shape)?;
        let base_s = checked_times(base_times(&weights.take_matrix("base_s", apps.len(), 3)?))?;
        let nodes = (1 << shape.depth) - 1;
        let mut take = |name: &str, length| weights.take_cube(name, [3, shape.trees, length]);
        let (features, thresholds, leaves) =
            (take("features", nodes)?, take("thresholds", nodes)?, take("leaves", nodes + 1)?);
        let count = (3 * apps.len() + 5) as f64;
        if let Some(wrong) = features.iter().find(|feature| !(0.0..count).contains(*feature) || feature.fract() != 0.0)
        {
            let problem = format!("asks for feature {wrong}, of {count}");
            return Err(Error::InvalidTensor { tensor: "features".to_owned(), problem });
        }
        Ok(Self { shape, apps, base_s, features, thresholds, leaves })
    }
}

impl Profiler for TreeEnsemble {
    fn apps(&self) -> &[String] {
        &self.apps
    }

    fn log_times(&self, server: &[Load]) -> Result<Vec<LogTimes>> {
        self.check(server)?;
        let of = |(load, features): (&Load, Vec<f64>)| {
            let base = self.base_s[load.app];
            uncrossed(std::array::from_fn(|k| base[k].ln() + self.answer(k, &features)))
        };
        Ok(server.iter().zip(self.features_of(server)).map(of).collect())
    }
}

fn check(shape: TreesShape) -> Result<()> {
    if !(1..=10_000).contains(&shape.trees) {
        let value = shape.trees.to_string();
        return Err(Error::InvalidSetting { name: "trees", value, required: "from 1 to 10000" });
    }
    if !(1..=12).contains(&shape.depth) {
        let value = shape.depth.to_string();
        return Err(Error::InvalidSetting { name: "depth", value, required: "from 1 to 12" });
    }
    Ok(())
}

/// Features in steps: a code of a sample is the number of thresholds below its value.
struct Bins {
    thresholds: Vec<Vec<f64>>,
    /// By feature, then sample.
    codes: Vec<Vec<u8>>,
}

impl Bins {
    fn new(rows: &[Vec<f64>]) -> Self {
        let features = rows.first().map_or(0, Vec::len);
        let (mut thresholds, mut codes) = (Vec::new(), Vec::new());
        for feature in 0..features {
            let values: Vec<f64> = rows.iter().map(|row| row[feature]).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let mut cuts: Vec<f64> = (1..BINS).map(|i| sorted[i * (sorted.len() - 1) / BINS]).collect();
            cuts.dedup();
            // Nothing lies beyond the largest value.
            cuts.retain(|cut| *cut < sorted[sorted.len() - 1]);
            codes.push(values.iter().map(|value| cuts.partition_point(|cut| cut < value) as u8).collect());
            thresholds.push(cuts);
        }
        Self { thresholds, codes }
    }

    /// The split of each node of a level that lowers the squared error most, if any.
    fn best_splits(&self, place: &[usize], residuals: &[f64], nodes: usize) -> Vec<Option<(usize, usize)>> {
        let mut best: Vec<(f64, Option<(usize, usize)>)> = vec![(1e-9, None); nodes];
        let mut table = Array2::from_elem((nodes, BINS + 1), (0.0f64, 0usize));
        for (feature, cuts) in self.thresholds.iter().enumerate().filter(|(_, cuts)| !cuts.is_empty()) {
            table.fill((0.0, 0));
            for ((place, residual), code) in place.iter().zip(residuals).zip(&self.codes[feature]) {
                let cell = &mut table[[*place, usize::from(*code)]];
                cell.0 += residual;
                cell.1 += 1;
            }
            for (node, (gain, split)) in best.iter_mut().enumerate() {
                let cells = table.row(node);
                let (sum, count) = cells.iter().fold((0.0, 0), |(s, c), cell| (s + cell.0, c + cell.1));
                let (mut left, mut left_count) = (0.0, 0);
                for (bin, cell) in cells.iter().enumerate().take(cuts.len()) {
                    left += cell.0;
                    left_count += cell.1;
                    let right_count = count - left_count;
                    if left_count < LEAF || right_count < LEAF {
                        continue;
                    }
                    let right = sum - left;
                    let found =
                        left * left / left_count as f64 + right * right / right_count as f64 - sum * sum / count as f64;
                    if found > *gain {
                        (*gain, *split) = (found, Some((feature, bin)));
                    }
                }
            }
        }
        best.into_iter().map(|(_, split)| split).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_split_is_the_step_of_the_data() {
        let rows: Vec<Vec<f64>> = (0..40).map(|i| vec![(i % 7) as f64, i as f64]).collect();
        let residuals: Vec<f64> = (0..40).map(|i| if i <= 12 { -1.0 } else { 2.0 }).collect();
        let bins = Bins::new(&rows);
        let (feature, bin) = bins.best_splits(&[0; 40], &residuals, 1)[0].unwrap();
        assert_eq!((feature, bins.thresholds[1][bin]), (1, 12.0));
        assert_eq!(bins.best_splits(&[0; 40], &[1.0; 40], 1), [None]);
    }

    #[test]
    fn trees_learn_a_formula_better_than_a_constant() {
        let set = crate::synthetic::training_set(150, 0.0, 2);
        let train: Vec<usize> = (0..120).collect();
        let model = TreeEnsemble::fit(&set, &train, TreesShape { trees: 60, depth: 4 }).unwrap();
        let error = |model: &dyn Profiler| {
            let mut errors = Vec::new();
            for run in &set.runs[120..] {
                for (tenant, times) in run.tenants.iter().zip(model.log_times(&run.server()).unwrap()) {
                    errors.push((times[0].exp() / tenant.seconds[0].unwrap() - 1.0).abs());
                }
            }
            neuro_data::summary::quantile(&mut errors, 0.5)
        };
        let alone = super::super::Uncontended::fit(&set, &train).unwrap();
        let queue = super::super::Queueing::fit(&set, &train).unwrap();
        let (trees, alone, queue) = (error(&model), error(&alone), error(&queue));
        assert!(trees < 0.15 && trees < 0.5 * alone && queue < alone, "{trees} {queue} {alone}");
    }
}
