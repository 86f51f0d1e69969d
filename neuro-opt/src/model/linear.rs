use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use serde::{Deserialize, Serialize};

use super::{Constraint, Variable};

/// Σ aᵢ·xᵢ + constant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// (xᵢ, aᵢ).
    pub terms: Vec<(Variable, f64)>,
    /// The constant.
    pub constant: f64,
}

impl Linear {
    /// A constant.
    pub fn constant(constant: f64) -> Self {
        Self { terms: Vec::new(), constant }
    }

    /// The constraint that it is at most `upper`.
    pub fn at_most(self, upper: f64) -> Constraint {
        Constraint { expression: self, lower: f64::NEG_INFINITY, upper }
    }

    /// The constraint that it is at least `lower`.
    pub fn at_least(self, lower: f64) -> Constraint {
        Constraint { expression: self, lower, upper: f64::INFINITY }
    }

    /// The constraint that it is `value`.
    pub fn equals(self, value: f64) -> Constraint {
        Constraint { expression: self, lower: value, upper: value }
    }

    /// Its value where the variables have these values.
    pub fn at(&self, values: &[f64]) -> f64 {
        self.terms.iter().map(|(variable, a)| a * values[variable.0]).sum::<f64>() + self.constant
    }

    /// Each variable once, in order, none with coefficient 0.
    pub fn merged(mut self) -> Self {
        self.terms.sort_by_key(|(variable, _)| *variable);
        self.terms.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        self.terms.retain(|(_, a)| *a != 0.0);
        self
    }

    /// Adds `factor` × `other`.
    pub fn add_scaled(&mut self, factor: f64, other: &Self) {
        if factor != 0.0 {
            self.terms.extend(other.terms.iter().map(|(variable, a)| (*variable, factor * a)));
            self.constant += factor * other.constant;
        }
    }
}

impl From<Variable> for Linear {
    fn from(variable: Variable) -> Self {
        Self { terms: vec![(variable, 1.0)], constant: 0.0 }
    }
}

impl Mul<Variable> for f64 {
    type Output = Linear;

    fn mul(self, variable: Variable) -> Linear {
        Linear { terms: vec![(variable, self)], constant: 0.0 }
    }
}

impl Mul<Linear> for f64 {
    type Output = Linear;

    fn mul(self, mut linear: Linear) -> Linear {
        linear.terms.iter_mut().for_each(|(_, a)| *a *= self);
        linear.constant *= self;
        linear
    }
}

impl<T: Into<Linear>> Add<T> for Linear {
    type Output = Self;

    fn add(mut self, other: T) -> Self {
        self += other;
        self
    }
}

impl<T: Into<Linear>> AddAssign<T> for Linear {
    fn add_assign(&mut self, other: T) {
        self.add_scaled(1.0, &other.into());
    }
}

impl<T: Into<Linear>> Sub<T> for Linear {
    type Output = Self;

    fn sub(mut self, other: T) -> Self {
        self.add_scaled(-1.0, &other.into());
        self
    }
}

impl<T: Into<Linear>> Add<T> for Variable {
    type Output = Linear;

    fn add(self, other: T) -> Linear {
        Linear::from(self) + other
    }
}

impl<T: Into<Linear>> Sub<T> for Variable {
    type Output = Linear;

    fn sub(self, other: T) -> Linear {
        Linear::from(self) - other
    }
}

impl Neg for Linear {
    type Output = Self;

    fn neg(self) -> Self {
        -1.0 * self
    }
}

impl From<f64> for Linear {
    fn from(constant: f64) -> Self {
        Self::constant(constant)
    }
}
