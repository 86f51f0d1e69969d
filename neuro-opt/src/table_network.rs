use ndarray::{Array1, Array2};
use neuro_profiler::network::{Activation, Dense, Network};

use crate::formulation::table::{Table, TableSums};
use crate::{Domain, Error, NetworkProblem, Result, Sense};

/// f(n) = g(Σⱼ tableⱼ\[nⱼ\]) for whole numbers n: a network g behind a sum of tables.
///
/// What a subnetwork makes of one bounded integer is a table ([`Table::of_network`]), whatever its activations; what is left to be
/// embedded is g.
///
/// ```
/// use ndarray::array;
/// use neuro_opt::formulation::table::Table;
/// use neuro_opt::{Sense, TableNetwork};
/// use neuro_profiler::network::{Activation, Dense, Network};
///
/// // |n₁² − 3·n₂| of n₁ ∈ {0, 1, 2}, n₂ ∈ {0, 1}.
/// let network = Network::new(vec![
///     Dense::new(array![[1.0], [-1.0]], array![0.0, 0.0], Activation::Relu)?,
///     Dense::new(array![[1.0, 1.0]], array![0.0], Activation::Identity)?,
/// ])?;
/// let tables = vec![Table::new(0, array![[0.0], [1.0], [4.0]])?, Table::new(0, array![[0.0], [-3.0]])?];
/// let f = TableNetwork::new(tables, network)?;
/// assert_eq!(f.forward(&[1, 1])?, array![2.0]);
/// // Its problem under n₁ + n₂ ≤ 2, for any method.
/// let problem = f.problem(&[1.0, 1.0], 2.0, vec![1.0], Sense::Maximise)?;
/// let x = f.chosen(&[2, 0])?;
/// assert_eq!((problem.value(&x)?, f.counts(&x)?), (4.0, vec![2, 0]));
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TableNetwork {
    tables: Vec<Table>,
    network: Network,
}

impl TableNetwork {
    /// `network` behind the sum of `tables`, each with as many outputs as the network has inputs.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTable`] without tables, [`Error::InputLength`] for one of another number of outputs.
    pub fn new(tables: Vec<Table>, network: Network) -> Result<Self> {
        if tables.is_empty() {
            return Err(Error::InvalidTable { problem: "is missing: a sum needs one at least" });
        }
        let needed = network.inputs();
        match tables.iter().map(|table| table.values().ncols()).find(|outputs| *outputs != needed) {
            Some(found) => Err(Error::InputLength { found, needed }),
            None => Ok(Self { tables, network }),
        }
    }

    /// The tables.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// g.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// f(n) (outputs) for `n` (tables).
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of figures, [`Error::InvalidInputBounds`] for one that its table does not have.
    pub fn forward(&self, n: &[i64]) -> Result<Array1<f64>> {
        let mut sum = Array1::zeros(self.network.inputs());
        for (table, place) in self.tables.iter().zip(self.places(n)?) {
            sum += &table.values().row(place);
        }
        Ok(self.network.forward(sum.view())?)
    }

    /// What the sums can be where Σⱼ weightⱼ·nⱼ ≤ capacity: the inputs of g, for bounds.
    ///
    /// # Errors
    ///
    /// Those of [`TableSums::new`].
    pub fn sums(&self, weights: &[f64], capacity: f64) -> Result<TableSums> {
        TableSums::new(self.tables.clone(), weights, capacity)
    }

    /// Optimise c·f(n) where Σⱼ weightⱼ·nⱼ ≤ capacity, in a form that every method takes: the inputs are x, one 0 or 1 for each table
    /// and integer, of which one of each table is 1, and the sum of tables is an affine layer before g.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of weights, and those of [`NetworkProblem::new`] and [`Domain::with_row`].
    pub fn problem(&self, weights: &[f64], capacity: f64, c: Vec<f64>, sense: Sense) -> Result<NetworkProblem> {
        if weights.len() != self.tables.len() {
            return Err(Error::InputLength { found: weights.len(), needed: self.tables.len() });
        }
        let rows: Vec<_> = self.tables.iter().flat_map(|table| table.values().outer_iter()).collect();
        let inputs = rows.len();
        let sum = Array2::from_shape_fn((self.network.inputs(), inputs), |(output, input)| rows[input][output]);
        let mut layers = vec![Dense::new(sum, Array1::zeros(self.network.inputs()), Activation::Identity)?];
        layers.extend_from_slice(self.network.layers());
        let mut domain = Domain::new(vec![0.0; inputs], vec![1.0; inputs])?;
        let integers = self.tables.iter().flat_map(Table::integers);
        let weight = self.tables.iter().zip(weights).flat_map(|(table, weight)| vec![*weight; table.values().nrows()]);
        domain = domain.with_row(weight.zip(integers).map(|(weight, n)| weight * n as f64).collect(), capacity)?;
        let mut first = 0;
        for table in &self.tables {
            let own = first..first + table.values().nrows();
            first = own.end;
            for one in [1.0, -1.0] {
                let row = (0..inputs).map(|input| if own.contains(&input) { one } else { 0.0 });
                domain = domain.with_row(row.collect(), one)?;
            }
        }
        NetworkProblem::new(Network::new(layers)?, domain.with_integers(0..inputs)?, c, sense)
    }

    /// The x of [`TableNetwork::problem`] that stands for `n`.
    ///
    /// # Errors
    ///
    /// Those of [`TableNetwork::forward`].
    pub fn chosen(&self, n: &[i64]) -> Result<Vec<f64>> {
        let mut x = Vec::new();
        for (table, place) in self.tables.iter().zip(self.places(n)?) {
            x.extend((0..table.values().nrows()).map(|row| if row == place { 1.0 } else { 0.0 }));
        }
        Ok(x)
    }

    /// The n that an x of [`TableNetwork::problem`] stands for.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of figures.
    pub fn counts(&self, x: &[f64]) -> Result<Vec<i64>> {
        let needed = self.tables.iter().map(|table| table.values().nrows()).sum();
        if x.len() != needed {
            return Err(Error::InputLength { found: x.len(), needed });
        }
        let mut rest = x;
        let count = |table: &Table| {
            let (own, after) = rest.split_at(table.values().nrows());
            rest = after;
            table.integers().zip(own).map(|(n, x)| n * x.round() as i64).sum()
        };
        Ok(self.tables.iter().map(count).collect())
    }

    /// The row of each table.
    fn places(&self, n: &[i64]) -> Result<Vec<usize>> {
        if n.len() != self.tables.len() {
            return Err(Error::InputLength { found: n.len(), needed: self.tables.len() });
        }
        let place = |(input, (table, n)): (usize, (&Table, &i64))| {
            table.integers().position(|integer| integer == *n).ok_or(Error::InvalidInputBounds {
                input,
                lower: table.first() as f64,
                upper: *n as f64,
            })
        };
        self.tables.iter().zip(n).enumerate().map(place).collect()
    }
}
