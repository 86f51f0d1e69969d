//! Tables: a subnetwork of one bounded integer is the list of its values.

use ndarray::{Array1, Array2};
use neuro_profiler::network::Network;

use crate::bounds::Knapsack;
use crate::model::{Linear, Model, Variable};
use crate::{Error, InputSet, Result};

/// The values of a function of one integer n ∈ {first, first + 1, …}.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    first: i64,
    /// Integers × outputs.
    values: Array2<f64>,
}

impl Table {
    /// The table of `values` (integers × outputs) from `first` on.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTable`] for a table without rows or columns, or a figure that is not finite.
    pub fn new(first: i64, values: Array2<f64>) -> Result<Self> {
        if values.is_empty() {
            return Err(Error::InvalidTable { problem: "has no values" });
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::InvalidTable { problem: "holds a figure that is not finite" });
        }
        Ok(Self { first, values })
    }

    /// The table of what `network` makes of `input` with the whole number n ∈ {first, …, last} in place of its figure `at`: exact,
    /// whatever the network's activations.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownInput`] if there is no such input, [`Error::InvalidTable`] if `last` < `first`, the network's error for another
    /// length.
    pub fn of_network(network: &Network, input: &[f64], at: usize, first: i64, last: i64) -> Result<Self> {
        if at >= input.len() {
            return Err(Error::UnknownInput { input: at, inputs: input.len() });
        }
        let rows: Vec<Array1<f64>> = (first..=last)
            .map(|n| {
                let mut x = Array1::from(input.to_vec());
                x[at] = n as f64;
                Ok(network.forward(x.view())?)
            })
            .collect::<Result<_>>()?;
        let values = Array2::from_shape_fn((rows.len(), network.outputs()), |(row, output)| rows[row][output]);
        Self::new(first, values)
    }

    /// The least integer.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// The integers, in the order of the values.
    pub fn integers(&self) -> impl Iterator<Item = i64> + use<> {
        (self.first..).take(self.values.nrows())
    }

    /// The values, integers × outputs.
    pub fn values(&self) -> &Array2<f64> {
        &self.values
    }

    /// Adds to `model` the values that belong to `n`, a variable between the table's integers: binaries λₖ with Σ λₖ = 1,
    /// n = Σ k·λₖ, and the output Σ valueₖ·λₖ.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownVariable`].
    pub fn add(&self, model: &mut Model, name: &str, n: Variable) -> Result<Vec<Linear>> {
        let mut one = Linear::default();
        let mut number = Linear::default();
        let mut outputs = vec![Linear::default(); self.values.ncols()];
        for (k, row) in self.integers().zip(self.values.outer_iter()) {
            let lambda = model.binary(format!("{name}_is_{k}"))?;
            one += lambda;
            number += k as f64 * lambda;
            outputs.iter_mut().zip(row).for_each(|(output, value)| output.add_scaled(*value, &lambda.into()));
        }
        model.add(one.equals(1.0))?;
        model.add((number - n).equals(0.0))?;
        Ok(outputs)
    }
}

/// The sums Σⱼ tableⱼ\[nⱼ\] for all whole numbers nⱼ of the tables with Σⱼ weightⱼ·nⱼ ≤ capacity: inputs of a network that follows.
///
/// Its maximum of g·Σⱼ tableⱼ\[nⱼ\] is that of a multiple-choice knapsack, by dynamic programming.
#[derive(Clone, Debug)]
pub struct TableSums {
    tables: Vec<Table>,
    knapsack: Knapsack,
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl TableSums {
    /// The sums over `tables` with one weight each.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTable`] without tables or with differing numbers of outputs, [`Error::InputLength`] for another number of
    /// weights, those of [`Knapsack::new`].
    pub fn new(tables: Vec<Table>, weights: &[f64], capacity: f64) -> Result<Self> {
        let Some(outputs) = tables.first().map(|table| table.values.ncols()) else {
            return Err(Error::InvalidTable { problem: "is missing: a sum needs one at least" });
        };
        if tables.iter().any(|table| table.values.ncols() != outputs) {
            return Err(Error::InvalidTable { problem: "has another number of outputs than the first" });
        }
        if weights.len() != tables.len() {
            return Err(Error::InputLength { found: weights.len(), needed: tables.len() });
        }
        let figures =
            tables.iter().zip(weights).map(|(table, weight)| table.integers().map(|n| weight * n as f64).collect());
        let knapsack = Knapsack::new(figures.collect(), capacity)?;
        let mut sums = Self { tables, knapsack, lower: Vec::new(), upper: Vec::new() };
        for output in 0..outputs {
            let mut g = vec![0.0; outputs];
            g[output] = 1.0;
            sums.upper.push(sums.maximum(&g));
            g[output] = -1.0;
            sums.lower.push(-sums.maximum(&g));
        }
        Ok(sums)
    }

    /// The tables.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }
}

impl InputSet for TableSums {
    fn lower(&self) -> &[f64] {
        &self.lower
    }

    fn upper(&self) -> &[f64] {
        &self.upper
    }

    fn maximum(&self, g: &[f64]) -> f64 {
        let mut size = 0.0;
        let values: Vec<Vec<f64>> = self
            .tables
            .iter()
            .map(|table| {
                let rows = table.values.outer_iter();
                let sums: Vec<(f64, f64)> = rows
                    .map(|row| {
                        row.iter().zip(g).fold((0.0, 0.0), |(sum, size), (v, g)| (sum + v * g, size + (v * g).abs()))
                    })
                    .collect();
                size += sums.iter().fold(0.0_f64, |size, sum| size.max(sum.1));
                sums.into_iter().map(|sum| sum.0).collect()
            })
            .collect();
        crate::rounding::up(self.knapsack.maximum(&values), crate::rounding::gamma(g.len()) * size)
    }
}
