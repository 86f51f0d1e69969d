//! `tclf-rf`: classification of tabular data by a random forest.

use candle_core::{Device, Tensor};
use ndarray::{Array2, ArrayView1};
use rand::Rng;
use rand_distr::StandardNormal;

use crate::app::{Model, Tensors, input};
use crate::error::{Error, Result};
use crate::layers::decision_tree::{RandomForest, TreeParams};
use crate::registry::App;
use crate::seed;

/// Number of trees.
const TREES: usize = 100;
/// Features of an item.
const FEATURES: usize = 784;
/// Items in the training set.
const TRAINING_ITEMS: usize = 200;
/// Standard deviation of an item's features about its class's centre, where centres have unit variance.
const NOISE: f32 = 2.0;
/// 10 classes, depth at most 10, √784 = 28 features per split.
const PARAMS: TreeParams = TreeParams { classes: 10, max_depth: 10, split_features: 28 };

/// The registry entry.
pub static APP: App = App {
    id: "tclf-rf",
    description: "random forest, 100 trees of depth <= 10 on 784 features",
    default_batch: 16,
    max_batch: 4_096,
    model: |_, seed| Ok(Box::new(TclfRf::new(seed))),
};

/// A forest grown at start-up on synthetic data. A forest has no tensors, so there are no weights to load.
struct TclfRf {
    forest: RandomForest,
}

impl TclfRf {
    fn new(seed: u64) -> Self {
        let labels = labels(TRAINING_ITEMS);
        let records = items(seed, "training", &labels);
        let mut rng = seed::stream(seed, "tclf-rf.forest");
        Self { forest: RandomForest::fit(&PARAMS, TREES, records.view(), &labels, &mut rng) }
    }
}

impl Model for TclfRf {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let mut rng = seed::stream(seed, "tclf-rf.input.labels");
        let labels: Vec<usize> = (0..batch).map(|_| rng.gen_range(0..PARAMS.classes)).collect();
        let (values, _) = items(seed, "input", &labels).into_raw_vec_and_offset();
        let features = Tensor::from_vec(values, (batch, FEATURES), &Device::Cpu)?;
        Ok(Tensors::from([("features".to_owned(), features)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        let features = input(&APP, inputs, "features")?;
        let (batch, width) = features.dims2()?;
        if width != FEATURES {
            return Err(Error::Input {
                app: APP.id.to_owned(),
                reason: format!("an item has {width} features, not {FEATURES}"),
            });
        }
        let records = features.flatten_all()?.to_vec1::<f32>()?;
        let classes: Vec<f32> =
            records.chunks_exact(FEATURES).map(|item| self.forest.predict(ArrayView1::from(item)) as f32).collect();
        Ok(Tensor::from_vec(classes, batch, &Device::Cpu)?)
    }
}

/// The classes in turn.
fn labels(items: usize) -> Vec<usize> {
    (0..items).map(|item| item % PARAMS.classes).collect()
}

/// Items scattered normally about the centres of their classes, (labels, features). The centres depend on the seed alone,
/// the scatter on `name` too.
fn items(seed: u64, name: &str, labels: &[usize]) -> Array2<f32> {
    let mut rng = seed::stream(seed, "tclf-rf.centres");
    let centres = Array2::from_shape_simple_fn((PARAMS.classes, FEATURES), || rng.sample::<f32, _>(StandardNormal));
    let mut rng = seed::stream(seed, &format!("tclf-rf.{name}"));
    Array2::from_shape_fn((labels.len(), FEATURES), |(item, feature)| {
        centres[(labels[item], feature)] + NOISE * rng.sample::<f32, _>(StandardNormal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forest_has_100_trees_of_depth_10_at_most() {
        let app = TclfRf::new(1);
        assert_eq!(app.forest.trees().len(), 100);
        assert!(app.forest.trees().iter().all(|tree| (2..=10).contains(&tree.depth())));
    }

    #[test]
    fn it_is_far_better_than_chance_on_new_data() {
        let app = TclfRf::new(1);
        let labels = labels(200);
        let test = items(1, "test", &labels);
        let right =
            test.rows().into_iter().zip(&labels).filter(|(row, label)| app.forest.predict(*row) == **label).count();
        // Chance gives 20 of 200; a fraction of 0.6 is 23 standard deviations above it.
        assert!(right > 120, "{right} of 200");
    }
}
