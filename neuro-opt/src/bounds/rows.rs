use std::cell::RefCell;

use crate::lp::{LpStatus, Simplex};
use crate::{Domain, InputSet, Result};

/// A domain under all of its rows together, by a linear program that each maximum starts where the last one ended.
#[derive(Clone, Debug)]
pub struct RowsLp<'a> {
    domain: &'a Domain,
    lp: RefCell<Simplex>,
}

impl<'a> RowsLp<'a> {
    /// `None` if the rows leave nothing of the box.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInputBounds`](crate::Error::InvalidInputBounds) for a side of the box that is infinite.
    pub fn new(domain: &'a Domain) -> Result<Option<Self>> {
        let mut lp = Simplex::new(domain.lower(), domain.upper())?;
        for row in domain.rows() {
            lp.add_row(&row.coefficients, f64::NEG_INFINITY, row.upper);
        }
        let empty = lp.solve(f64::INFINITY) == LpStatus::Infeasible && lp.is_proved_infeasible();
        Ok((!empty).then(|| Self { domain, lp: RefCell::new(lp) }))
    }
}

impl InputSet for RowsLp<'_> {
    fn lower(&self) -> &[f64] {
        self.domain.lower()
    }

    fn upper(&self) -> &[f64] {
        self.domain.upper()
    }

    fn maximum(&self, g: &[f64]) -> f64 {
        let negated: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut lp = self.lp.borrow_mut();
        lp.set_objective(&negated);
        lp.solve(f64::INFINITY);
        (-lp.bound()).min(self.domain.maximum(g))
    }
}
