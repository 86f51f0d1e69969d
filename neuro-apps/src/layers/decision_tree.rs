//! Decision trees for classification, and a random forest of them.
//!
//! linfa-trees is the reference in the tests, but not the implementation: it counts classes in a randomly seeded hash map,
//! sums impurities in that map's order and breaks ties by it, so that two runs on the same data give different trees.
//! Here counts are whole numbers in class order: equal seeds give equal forests.

use ndarray::{ArrayView1, ArrayView2};
use rand::Rng;
use rand::seq::index;

/// How a tree is grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeParams {
    /// Number of classes; labels are `0..classes`.
    pub classes: usize,
    /// Greatest number of splits from the root to a leaf.
    pub max_depth: usize,
    /// Number of randomly chosen features that each split considers.
    pub split_features: usize,
}

/// A node: a split sends an item left when its feature is at most the threshold.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Split { feature: usize, threshold: f32, left: usize, right: usize },
    Leaf { class: usize },
}

/// A classification tree with binary splits, grown greedily by Gini impurity.
///
/// # References
///
/// L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, "Classification and Regression Trees", Wadsworth, 1984,
/// doi 10.1201/9781315139470.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionTree {
    /// The root is the first; children come after their parent.
    nodes: Vec<Node>,
}

impl DecisionTree {
    /// Grows a tree on the rows `sample` of the data (a row may occur more than once).
    ///
    /// # Shapes
    ///
    /// `records`: (items, features), finite; `labels`: (items), each below `params.classes`.
    fn fit(
        params: &TreeParams,
        records: ArrayView2<f32>,
        labels: &[usize],
        sample: Vec<usize>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut tree = Self { nodes: Vec::new() };
        tree.grow(params, records, labels, sample, 0, rng);
        tree
    }

    /// Appends the subtree of `sample` and returns the index of its root.
    fn grow(
        &mut self,
        params: &TreeParams,
        records: ArrayView2<f32>,
        labels: &[usize],
        sample: Vec<usize>,
        depth: usize,
        rng: &mut impl Rng,
    ) -> usize {
        let mut counts = vec![0usize; params.classes];
        for &item in &sample {
            counts[labels[item]] += 1;
        }
        let root = self.nodes.len();
        self.nodes.push(Node::Leaf { class: most_frequent(&counts) });
        let pure = counts.iter().filter(|&&count| count > 0).count() <= 1;
        if pure || depth == params.max_depth {
            return root;
        }
        let features = index::sample(rng, records.ncols(), params.split_features.min(records.ncols()));
        let Some((feature, threshold)) = best_split(records, labels, &sample, &counts, features) else {
            return root;
        };
        let (left, right) = sample.into_iter().partition(|&item| records[(item, feature)] <= threshold);
        let left = self.grow(params, records, labels, left, depth + 1, rng);
        let right = self.grow(params, records, labels, right, depth + 1, rng);
        self.nodes[root] = Node::Split { feature, threshold, left, right };
        root
    }

    /// The class of one item.
    ///
    /// # Shapes
    ///
    /// `item`: (features), as many as the tree was grown on.
    pub fn predict(&self, item: ArrayView1<f32>) -> usize {
        let mut at = 0;
        loop {
            match self.nodes[at] {
                Node::Leaf { class } => return class,
                Node::Split { feature, threshold, left, right } => {
                    at = if item[feature] <= threshold { left } else { right }
                }
            }
        }
    }

    /// The greatest number of splits from the root to a leaf.
    pub fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Node::Split { left, right, .. } = *node {
                depths[left] = depths[at] + 1;
                depths[right] = depths[at] + 1;
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }
}

/// The split (feature, threshold) with the least weighted Gini impurity; none when every feature is constant.
///
/// With l_k and r_k the class counts on either side, n_l·gini_l + n_r·gini_r = n − Σ l_k²/n_l − Σ r_k²/n_r, and moving one item of
/// class k changes Σ l_k² by 2·l_k + 1. The first best one in the order of `features` wins.
fn best_split(
    records: ArrayView2<f32>,
    labels: &[usize],
    sample: &[usize],
    counts: &[usize],
    features: impl IntoIterator<Item = usize>,
) -> Option<(usize, f32)> {
    let total = sample.len();
    let all_squares: usize = counts.iter().map(|count| count * count).sum();
    let mut best: Option<(f64, usize, f32)> = None;
    // Value and item in one whole number: sorting those is several times faster than sorting pairs.
    let mut column: Vec<u64> = Vec::with_capacity(total);
    for feature in features {
        column.clear();
        column.extend(sample.iter().map(|&item| u64::from(sort_key(records[(item, feature)])) << 32 | item as u64));
        column.sort_unstable();
        let item = |key: u64| (key & u64::from(u32::MAX)) as usize;
        let mut left = vec![0usize; counts.len()];
        let (mut left_squares, mut right_squares) = (0usize, all_squares);
        for (moved, pair) in (1..total).zip(column.windows(2)) {
            let class = labels[item(pair[0])];
            left_squares += 2 * left[class] + 1;
            right_squares -= 2 * (counts[class] - left[class]) - 1;
            left[class] += 1;
            if pair[0] >> 32 == pair[1] >> 32 {
                continue;
            }
            let score = left_squares as f64 / moved as f64 + right_squares as f64 / (total - moved) as f64;
            if best.is_none_or(|(best_score, ..)| score > best_score) {
                let [value, next] = [pair[0], pair[1]].map(|key| records[(item(key), feature)]);
                // The midpoint, unless rounding puts it on the upper value.
                let middle = value + (next - value) / 2.0;
                best = Some((score, feature, if middle < next { middle } else { value }));
            }
        }
    }
    best.map(|(_, feature, threshold)| (feature, threshold))
}

/// A whole number that orders finite floats as their values do.
fn sort_key(value: f32) -> u32 {
    // Adding 0 turns −0 into 0.
    let bits = (value + 0.0).to_bits();
    match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    }
}

/// The class with the highest count, the lowest of them at a tie.
fn most_frequent(counts: &[usize]) -> usize {
    let highest = counts.iter().max();
    counts.iter().position(|count| Some(count) == highest).unwrap_or(0)
}

/// Trees on bootstrap samples that vote.
///
/// # References
///
/// L. Breiman, "Random Forests", Machine Learning 45(1), 2001, doi 10.1023/A:1010933404324.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomForest {
    trees: Vec<DecisionTree>,
    classes: usize,
}

impl RandomForest {
    /// Grows `trees` trees, each on as many rows drawn with replacement as there are.
    ///
    /// # Shapes
    ///
    /// `records`: (items, features), finite; `labels`: (items), each below `params.classes`.
    pub fn fit(
        params: &TreeParams,
        trees: usize,
        records: ArrayView2<f32>,
        labels: &[usize],
        rng: &mut impl Rng,
    ) -> Self {
        let items = labels.len();
        // Splits read one feature of many items: keep each feature together in memory.
        let by_feature = records.t().as_standard_layout().into_owned();
        let records = by_feature.t();
        let trees = (0..trees)
            .map(|_| {
                let sample = (0..items).map(|_| rng.gen_range(0..items)).collect();
                DecisionTree::fit(params, records, labels, sample, rng)
            })
            .collect();
        Self { trees, classes: params.classes }
    }

    /// The trees.
    pub fn trees(&self) -> &[DecisionTree] {
        &self.trees
    }

    /// The class most trees vote for, the lowest of them at a tie.
    ///
    /// # Shapes
    ///
    /// `item`: (features), as many as the forest was grown on.
    pub fn predict(&self, item: ArrayView1<f32>) -> usize {
        let mut votes = vec![0usize; self.classes];
        for tree in &self.trees {
            votes[tree.predict(item)] += 1;
        }
        most_frequent(&votes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed;
    use linfa::prelude::*;
    use ndarray::{Array1, Array2, array};

    fn params(classes: usize, max_depth: usize, split_features: usize) -> TreeParams {
        TreeParams { classes, max_depth, split_features }
    }

    fn fit(params: &TreeParams, records: &Array2<f32>, labels: &[usize]) -> DecisionTree {
        let mut rng = seed::stream(1, "tree");
        DecisionTree::fit(params, records.view(), labels, (0..labels.len()).collect(), &mut rng)
    }

    /// Exclusive or needs two levels; the first split on either feature gains nothing but is still made.
    #[test]
    fn exclusive_or_needs_two_levels() {
        let records = array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
        let labels = [0, 1, 1, 0];
        let tree = fit(&params(2, 10, 2), &records, &labels);
        assert_eq!(tree.depth(), 2);
        assert_eq!(tree.nodes.len(), 7);
        for (item, label) in records.rows().into_iter().zip(labels) {
            assert_eq!(tree.predict(item), label);
        }
        assert_eq!(fit(&params(2, 1, 2), &records, &labels).depth(), 1);
    }

    /// 0 0 0 | 1 1 on the second feature; the first separates worse. The threshold is the midpoint of 2 and 5.
    #[test]
    fn the_purest_split_is_chosen_at_the_midpoint() {
        let records = array![[1.0, 0.0], [5.0, 1.0], [2.0, 2.0], [3.0, 5.0], [4.0, 6.0]];
        let labels = [0, 0, 0, 1, 1];
        let best = best_split(records.view(), &labels, &[0, 1, 2, 3, 4], &[3, 2], [0, 1]);
        assert_eq!(best, Some((1, 3.5)));
    }

    #[test]
    fn constant_features_make_a_leaf_and_ties_take_the_lowest_class() {
        let records = Array2::zeros((4, 3));
        let tree = fit(&params(3, 5, 3), &records, &[2, 1, 2, 1]);
        assert_eq!(tree.nodes, [Node::Leaf { class: 1 }]);
        assert_eq!(most_frequent(&[1, 3, 0, 3]), 1);
    }

    /// With two classes and no tie in a leaf linfa's result does not depend on its hash order: an oracle.
    #[test]
    fn agrees_with_linfa_on_two_classes() {
        let mut rng = seed::stream(2, "data");
        let records = Array2::from_shape_simple_fn((61, 5), || rng.gen_range(-1.0f32..1.0));
        let labels: Vec<usize> =
            records.rows().into_iter().map(|row| usize::from(row[0] * row[1] + 0.3 * row[2] > 0.1)).collect();
        let ours = fit(&params(2, 20, 5), &records, &labels);

        let dataset = DatasetBase::new(records.clone(), Array1::from(labels.clone()));
        let linfa = linfa_trees::DecisionTree::params().max_depth(Some(20)).fit(&dataset).unwrap();
        let theirs = linfa.predict(&records);
        for (row, label) in records.rows().into_iter().zip(&labels) {
            assert_eq!(ours.predict(row), *label);
        }
        assert_eq!(theirs.to_vec(), labels);
        let (feature, threshold, _) = linfa.root_node().split();
        let Node::Split { feature: our_feature, threshold: our_threshold, .. } = ours.nodes[0] else {
            panic!("the root is a leaf");
        };
        assert_eq!(our_feature, feature);
        assert!((our_threshold - threshold).abs() < 1e-6);
    }

    #[test]
    fn sort_keys_order_as_the_values_do() {
        let values = [-f32::MAX, -2.5, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 3.0, f32::MAX];
        assert!(values.map(sort_key).is_sorted_by(|a, b| a < b));
        assert_eq!(sort_key(-0.0), sort_key(0.0));
    }

    #[test]
    fn forests_repeat_with_the_seed() {
        let mut rng = seed::stream(3, "data");
        let records = Array2::from_shape_simple_fn((50, 8), || rng.gen_range(0.0f32..1.0));
        let labels: Vec<usize> = (0..50).map(|i| i % 4).collect();
        let grow = |seed| {
            let mut rng = seed::stream(seed, "forest");
            RandomForest::fit(&params(4, 6, 3), 7, records.view(), &labels, &mut rng)
        };
        assert_eq!(grow(1), grow(1));
        assert_ne!(grow(1), grow(2));
        assert!(grow(1).trees().iter().all(|tree| tree.depth() <= 6));
    }
}
