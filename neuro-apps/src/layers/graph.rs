//! Message passing on a graph.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::simd::{contiguous, for_each_row, vectorised};

/// A directed graph with self-loops and the weights of graph convolution: the matrix P̂ = D^−½·(A + I)·D^−½, where an edge from j to i
/// is a 1 in row i, column j of A, and D holds the row sums of A + I. Rows are stored one after another (compressed sparse rows).
///
/// # References
///
/// T. N. Kipf, M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR, 2017,
/// doi 10.48550/arXiv.1609.02907.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Row i is the range from `starts[i]` to `starts[i + 1]` of the other two.
    starts: Vec<usize>,
    sources: Vec<u32>,
    weights: Vec<f32>,
}

impl Graph {
    /// The graph of `nodes` nodes with an edge from each of `sources` to the corresponding one of `targets`. An edge named twice counts
    /// twice; a self-loop that is named anyway counts in place of the one that would be added.
    ///
    /// # Errors
    ///
    /// When a node is not below `nodes` or the lists differ in length.
    pub fn new(nodes: usize, sources: &[u32], targets: &[u32]) -> Result<Self> {
        if sources.len() != targets.len() {
            candle_core::bail!("{} sources of edges and {} targets", sources.len(), targets.len());
        }
        if let Some(node) = sources.iter().chain(targets).find(|&&node| node as usize >= nodes) {
            candle_core::bail!("an edge names node {node} of {nodes}");
        }
        let edges = || sources.iter().zip(targets).filter(|(source, target)| source != target);
        // A counting sort by target: the self-loop first, then the edges as they come.
        let mut starts = vec![0; nodes + 1];
        for (_, &target) in edges() {
            starts[target as usize + 1] += 1;
        }
        for node in 0..nodes {
            starts[node + 1] += starts[node] + 1;
        }
        let scale: Vec<f32> = starts.windows(2).map(|row| 1.0 / ((row[1] - row[0]) as f32).sqrt()).collect();
        let mut next = starts.clone();
        let (mut sorted, mut weights) = (vec![0; starts[nodes]], vec![0.0; starts[nodes]]);
        let mut place = |source: u32, target: u32| {
            let at = &mut next[target as usize];
            sorted[*at] = source;
            weights[*at] = scale[source as usize] * scale[target as usize];
            *at += 1;
        };
        (0..nodes as u32).for_each(|node| place(node, node));
        edges().for_each(|(&source, &target)| place(source, target));
        Ok(Self { starts, sources: sorted, weights })
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    /// (1 − `alpha`)·P̂·H + `alpha`·H⁰: what the neighbours say, with a part of the first layer kept.
    ///
    /// # Shapes
    ///
    /// `states` H and `initial` H⁰: (nodes, channels), contiguous. Returns (nodes, channels).
    ///
    /// # Errors
    ///
    /// When the shapes differ.
    pub fn propagate(&self, states: &Tensor, initial: &Tensor, alpha: f32) -> Result<Tensor> {
        states.apply_op2_no_bwd(initial, &Propagate { graph: self, alpha })
    }
}

struct Propagate<'a> {
    graph: &'a Graph,
    alpha: f32,
}

impl CustomOp2 for Propagate<'_> {
    fn name(&self) -> &'static str {
        "propagate"
    }

    fn cpu_fwd(
        &self,
        states: &CpuStorage,
        states_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (nodes, channels) = states_layout.shape().dims2()?;
        if nodes != self.graph.nodes() || states_layout.shape() != initial_layout.shape() {
            candle_core::bail!(
                "states {:?} and {:?} on a graph of {} nodes",
                states_layout.shape(),
                initial_layout.shape(),
                self.graph.nodes()
            );
        }
        let (states, initial) = (contiguous(states, states_layout)?, contiguous(initial, initial_layout)?);
        let mut result = vec![0f32; nodes * channels];
        for_each_row(&mut result, channels, |node, sums| {
            vectorised(|| {
                let mut channel = 0;
                while channel + 64 <= channels {
                    self.block::<64>(node, states, initial, sums, channel);
                    channel += 64;
                }
                while channel < channels {
                    self.block::<1>(node, states, initial, sums, channel);
                    channel += 1;
                }
            });
        });
        Ok((CpuStorage::F32(result), Shape::from((nodes, channels))))
    }
}

impl Propagate<'_> {
    /// The `N` channels of a node from `channel` on, their sums in registers.
    #[inline(always)]
    fn block<const N: usize>(&self, node: usize, states: &[f32], initial: &[f32], result: &mut [f32], channel: usize) {
        let channels = result.len();
        let row = self.graph.starts[node]..self.graph.starts[node + 1];
        let mut sums = [0f32; N];
        for (&source, &weight) in self.graph.sources[row.clone()].iter().zip(&self.graph.weights[row]) {
            let state = &states[source as usize * channels + channel..][..N];
            for lane in 0..N {
                sums[lane] += weight * state[lane];
            }
        }
        let initial = &initial[node * channels + channel..][..N];
        for lane in 0..N {
            result[channel + lane] = (1.0 - self.alpha) * sums[lane] + self.alpha * initial[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The edges 0→1, 0→2 (twice), 2→2: A + I has rows (1 0 0), (1 1 0), (2 0 1) and row sums 1, 2, 3.
    #[test]
    fn propagation_is_the_normalised_matrix_product() {
        let graph = Graph::new(3, &[0, 0, 2, 0], &[1, 2, 2, 2]).unwrap();
        let states: Vec<f32> = (0..3 * 66).map(|i| ((i * 7) % 13) as f32 - 6.0).collect();
        let initial: Vec<f32> = (0..3 * 66).map(|i| ((i * 5) % 11) as f32).collect();
        let tensor = |values: &[f32]| Tensor::from_slice(values, (3, 66), &Device::Cpu).unwrap();
        let found = graph.propagate(&tensor(&states), &tensor(&initial), 0.25).unwrap().to_vec2::<f32>().unwrap();

        let adjacency = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 0.0, 1.0]];
        let degree = [1.0f32, 2.0, 3.0];
        for i in 0..3 {
            for channel in 0..66 {
                let sum: f32 =
                    (0..3).map(|j| adjacency[i][j] / (degree[i] * degree[j]).sqrt() * states[j * 66 + channel]).sum();
                let expected = 0.75 * sum + 0.25 * initial[i * 66 + channel];
                assert!((found[i][channel] - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn edges_out_of_range_are_refused() {
        assert!(Graph::new(3, &[0], &[3]).unwrap_err().to_string().contains("node 3 of 3"));
        assert!(Graph::new(3, &[0, 1], &[2]).is_err());
        assert_eq!(Graph::new(0, &[], &[]).unwrap().nodes(), 0);
    }
}
