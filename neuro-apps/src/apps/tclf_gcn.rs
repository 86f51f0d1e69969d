//! `tclf-gcn`: classification of graphs by a deep graph convolutional network.

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_nn::{Init, VarBuilder};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::app::{Model, Tensors, input};
use crate::error::{Error, Result};
use crate::layers::activation::Activation;
use crate::layers::dense::Dense;
use crate::layers::graph::Graph;
use crate::registry::App;
use crate::seed;

/// Nodes and edges of a graph, features of a node.
const NODES: usize = 1_000;
const EDGES: usize = 20_000;
const FEATURES: usize = 784;
/// Convolutions, their width, and the strengths α and λ of the paper's Cora model.
const LAYERS: usize = 64;
const HIDDEN: usize = 64;
const ALPHA: f32 = 0.1;
const LAMBDA: f64 = 0.5;
/// Classes of graphs.
const CLASSES: usize = 10;

/// The registry entry.
pub static APP: App = App {
    id: "tclf-gcn",
    description: "GCNII graph classifier, 1,000 nodes x 784 features, 20,000 random edges",
    default_batch: 1,
    max_batch: 32,
    model: |weights, _| Ok(Box::new(GcnII::load(weights)?)),
};

/// GCNII with 64 layers and a classifier of the mean node.
///
/// With P̂ the normalised adjacency matrix, H⁰ = ReLU(X·W_0 + b_0) and β_l = ln(λ/l + 1):
///
/// ```text
/// H^l = ReLU( ((1 − α)·P̂·H^(l−1) + α·H⁰) · ((1 − β_l)·I + β_l·W_l) ),   l = 1, …, 64
/// ```
///
/// # References
///
/// M. Chen, Z. Wei, Z. Huang, B. Ding, Y. Li, "Simple and Deep Graph Convolutional Networks", ICML, PMLR 119, 2020,
/// doi 10.48550/arXiv.2007.02133.
#[derive(Debug, Clone)]
pub struct GcnII {
    first: Dense,
    /// (1 − β_l)·I + β_l·W_l for each layer.
    convolutions: Vec<Tensor>,
    classifier: Dense,
}

impl GcnII {
    /// Loads the network under the names of PyTorch Geometric's `GCN2Conv`: `convs.0.weight1` and so on, between `lins.0` and
    /// `lins.1`. Initial values, where the builder draws them: normal with variance 1 / width.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder<'static>) -> TensorResult<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 / (HIDDEN as f64).sqrt() };
        let identity = Tensor::eye(HIDDEN, vb.dtype(), vb.device())?;
        let convolution = |layer: usize| {
            let weight = vb.pp("convs").pp(layer).get_with_hints((HIDDEN, HIDDEN), "weight1", init)?;
            let beta = (LAMBDA / (layer + 1) as f64).ln_1p();
            (&identity * (1.0 - beta))? + (weight * beta)?
        };
        let lins = vb.pp("lins");
        Ok(Self {
            first: Dense::load(FEATURES, HIDDEN, Activation::Relu, &lins.pp(0))?,
            convolutions: (0..LAYERS).map(convolution).collect::<TensorResult<_>>()?,
            classifier: Dense::load(HIDDEN, CLASSES, Activation::Identity, &lins.pp(1))?,
        })
    }

    /// The logits of each graph.
    ///
    /// # Shapes
    ///
    /// `features`: (batch, nodes, 784), contiguous. `edges`: (batch, 2, edges), unsigned: sources, then targets, numbers of nodes in
    /// their graph. Returns (batch, 10).
    ///
    /// # Errors
    ///
    /// When the shapes are others or an edge names a node that is not there.
    pub fn forward(&self, features: &Tensor, edges: &Tensor) -> TensorResult<Tensor> {
        let (batch, nodes, _) = features.dims3()?;
        let graph = union(nodes, edges)?;
        let initial = self.first.forward(&features.flatten_to(1)?)?;
        let mut states = initial.clone();
        for convolution in &self.convolutions {
            states = graph.propagate(&states, &initial, ALPHA)?.matmul(convolution)?.relu()?;
        }
        self.classifier.forward(&states.reshape((batch, nodes, HIDDEN))?.mean(1)?)
    }
}

/// All graphs of a batch as one graph of separate parts, `nodes` nodes each.
fn union(nodes: usize, edges: &Tensor) -> TensorResult<Graph> {
    let edges = edges.to_vec3::<u32>()?;
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for (item, edges) in edges.iter().enumerate() {
        if let Some(node) = edges.iter().flatten().find(|&&node| node as usize >= nodes) {
            candle_core::bail!("an edge names node {node} of {nodes}");
        }
        let offset = (item * nodes) as u32;
        match &edges[..] {
            [from, to] => {
                sources.extend(from.iter().map(|node| node + offset));
                targets.extend(to.iter().map(|node| node + offset));
            }
            rows => candle_core::bail!("edges need a row of sources and a row of targets, not {} rows", rows.len()),
        }
    }
    Graph::new(nodes * edges.len(), &sources, &targets)
}

impl Model for GcnII {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let rng = seed::stream(seed, "tclf-gcn.features");
        let features: Vec<f32> = StandardNormal.sample_iter(rng).take(batch * NODES * FEATURES).collect();
        let mut rng = seed::stream(seed, "tclf-gcn.edges");
        let edges: Vec<u32> = (0..batch * 2 * EDGES).map(|_| rng.gen_range(0..NODES as u32)).collect();
        Ok(Tensors::from([
            ("features".to_owned(), Tensor::from_vec(features, (batch, NODES, FEATURES), &Device::Cpu)?),
            ("edges".to_owned(), Tensor::from_vec(edges, (batch, 2, EDGES), &Device::Cpu)?),
        ]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        let (features, edges) = (input(&APP, inputs, "features")?, input(&APP, inputs, "edges")?);
        if features.dim(0)? != edges.dim(0)? {
            let reason = format!("features of {} graphs, edges of {}", features.dim(0)?, edges.dim(0)?);
            return Err(Error::Input { app: APP.id.to_owned(), reason });
        }
        Ok(self.forward(features, edges)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::SeededWeights;

    /// A graph gives the same answer alone and beside others.
    #[test]
    fn graphs_of_a_batch_do_not_meet() {
        let model = GcnII::load(SeededWeights::var_builder(1)).unwrap();
        let inputs = model.example(1, 3).unwrap();
        let together = Model::forward(&model, &inputs).unwrap().to_vec2::<f32>().unwrap();
        for (item, together) in together.iter().enumerate() {
            let alone = inputs.iter().map(|(name, tensor)| (name.clone(), tensor.narrow(0, item, 1).unwrap()));
            let alone = Model::forward(&model, &alone.collect()).unwrap().to_vec2::<f32>().unwrap();
            for (a, b) in alone[0].iter().zip(together) {
                assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}");
            }
        }
    }
}
