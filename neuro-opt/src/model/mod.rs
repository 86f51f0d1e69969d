//! Mixed-integer programs as data: variables, rows, an objective, special ordered sets and a start.

mod export;
mod linear;

pub use linear::Linear;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Sense};

/// A variable of a [`Model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variable(pub(crate) usize);

impl Variable {
    /// Its place among the model's variables, and in a solution's values.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a variable may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VariableData {
    /// Its name, unique in the model.
    pub name: String,
    /// Lower bound; −∞ if there is none.
    #[serde(with = "infinite")]
    pub lower: f64,
    /// Upper bound; ∞ if there is none.
    #[serde(with = "infinite")]
    pub upper: f64,
    /// Whether it is a whole number.
    pub integer: bool,
}

/// lower ≤ Σ aᵢ·xᵢ ≤ upper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// (xᵢ, aᵢ), each variable once.
    pub terms: Vec<(Variable, f64)>,
    /// −∞ if there is none.
    #[serde(with = "infinite")]
    pub lower: f64,
    /// ∞ if there is none.
    #[serde(with = "infinite")]
    pub upper: f64,
}

/// A constraint on a linear expression, made by [`Linear::at_most`], [`Linear::at_least`], [`Linear::equals`].
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    pub(crate) expression: Linear,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// A mixed-integer program.
///
/// ```
/// use neuro_opt::Sense;
/// use neuro_opt::model::Model;
///
/// let mut model = Model::new();
/// let x = model.integer("x", 0.0, 10.0)?;
/// let y = model.continuous("y", 0.0, 4.0)?;
/// model.add((3.0 * x + 2.0 * y).at_most(12.0))?;
/// model.optimise(Sense::Maximise, 2.0 * x + y)?;
/// assert!(model.is_feasible(&[2.0, 3.0], 1e-9));
/// assert!(!model.is_feasible(&[2.5, 1.0], 1e-9)); // x is no whole number
/// # Ok::<(), neuro_opt::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    variables: Vec<VariableData>,
    rows: Vec<Row>,
    objective: Linear,
    sense: Sense,
    sos1: Vec<Vec<Variable>>,
    start: Option<Vec<f64>>,
}

impl Default for Model {
    fn default() -> Self {
        let (variables, rows, sos1) = (Vec::new(), Vec::new(), Vec::new());
        Self { variables, rows, objective: Linear::default(), sense: Sense::Minimise, sos1, start: None }
    }
}

impl Model {
    /// A model without anything: minimise 0.
    pub fn new() -> Self {
        Self::default()
    }

    fn variable(&mut self, name: impl Into<String>, lower: f64, upper: f64, integer: bool) -> Result<Variable> {
        if !(lower <= upper && lower < f64::INFINITY && upper > f64::NEG_INFINITY) {
            return Err(Error::InvalidVariable { name: name.into(), lower, upper });
        }
        self.variables.push(VariableData { name: name.into(), lower, upper, integer });
        Ok(Variable(self.variables.len() - 1))
    }

    /// A variable between bounds, which may be infinite.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidVariable`] for a NaN bound or a lower one above the upper one.
    pub fn continuous(&mut self, name: impl Into<String>, lower: f64, upper: f64) -> Result<Variable> {
        self.variable(name, lower, upper, false)
    }

    /// A whole number between bounds, which may be infinite.
    ///
    /// # Errors
    ///
    /// Those of [`Model::continuous`].
    pub fn integer(&mut self, name: impl Into<String>, lower: f64, upper: f64) -> Result<Variable> {
        self.variable(name, lower, upper, true)
    }

    /// 0 or 1.
    ///
    /// # Errors
    ///
    /// None; as the others for symmetry.
    pub fn binary(&mut self, name: impl Into<String>) -> Result<Variable> {
        self.variable(name, 0.0, 1.0, true)
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidModelRow`] for a figure that is not finite where it must be, [`Error::UnknownVariable`].
    pub fn add(&mut self, constraint: Constraint) -> Result<()> {
        let Constraint { expression, lower, upper } = constraint;
        self.check(&expression)?;
        let (lower, upper) = (lower - expression.constant, upper - expression.constant);
        if lower.is_nan() || upper.is_nan() || lower > upper || lower == f64::INFINITY || upper == f64::NEG_INFINITY {
            return Err(Error::InvalidModelRow { row: self.rows.len(), lower, upper });
        }
        self.rows.push(Row { terms: expression.merged().terms, lower, upper });
        Ok(())
    }

    fn check(&self, expression: &Linear) -> Result<()> {
        let figures = expression.terms.iter().map(|(_, a)| *a).chain([expression.constant]);
        if let Some(figure) = figures.into_iter().find(|figure| !figure.is_finite()) {
            return Err(Error::InvalidModelRow { row: self.rows.len(), lower: figure, upper: figure });
        }
        match expression.terms.iter().find(|(variable, _)| variable.0 >= self.variables.len()) {
            Some((variable, _)) => {
                Err(Error::UnknownVariable { variable: variable.0, variables: self.variables.len() })
            }
            None => Ok(()),
        }
    }

    /// Sets the objective.
    ///
    /// # Errors
    ///
    /// Those of [`Model::add`].
    pub fn optimise(&mut self, sense: Sense, objective: Linear) -> Result<()> {
        self.check(&objective)?;
        (self.sense, self.objective) = (sense, objective.merged());
        Ok(())
    }

    /// Adds a special ordered set of type 1: at most one of these variables is not 0.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownVariable`].
    pub fn add_sos1(&mut self, variables: Vec<Variable>) -> Result<()> {
        for &variable in &variables {
            self.check(&Linear::from(variable))?;
        }
        self.sos1.push(variables);
        Ok(())
    }

    /// Gives a solution to start from, one figure a variable.
    ///
    /// # Errors
    ///
    /// [`Error::InputLength`] for another number of figures.
    pub fn set_start(&mut self, values: Vec<f64>) -> Result<()> {
        if values.len() != self.variables.len() {
            return Err(Error::InputLength { found: values.len(), needed: self.variables.len() });
        }
        self.start = Some(values);
        Ok(())
    }

    /// The variables.
    pub fn variables(&self) -> &[VariableData] {
        &self.variables
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What is optimised.
    pub fn objective(&self) -> &Linear {
        &self.objective
    }

    /// In which direction.
    pub fn sense(&self) -> Sense {
        self.sense
    }

    /// The special ordered sets of type 1.
    pub fn sos1(&self) -> &[Vec<Variable>] {
        &self.sos1
    }

    /// The solution to start from.
    pub fn start(&self) -> Option<&[f64]> {
        self.start.as_deref()
    }

    /// Number of variables that are whole numbers.
    pub fn integers(&self) -> usize {
        self.variables.iter().filter(|variable| variable.integer).count()
    }

    /// Whether `values` meet everything to within `tolerance` × max(1, size of the terms): bounds, rows, whole numbers, sets.
    pub fn is_feasible(&self, values: &[f64], tolerance: f64) -> bool {
        values.len() == self.variables.len()
            && self.variables.iter().zip(values).all(|(variable, &value)| {
                let slack = tolerance * value.abs().max(1.0);
                variable.lower - slack <= value
                    && value <= variable.upper + slack
                    && (!variable.integer || (value - value.round()).abs() <= slack)
            })
            && self.rows.iter().all(|row| {
                let terms = row.terms.iter().map(|(variable, a)| a * values[variable.0]);
                let (sum, size) = terms.fold((0.0, 1.0_f64), |(sum, size), term| (sum + term, size.max(term.abs())));
                row.lower - tolerance * size <= sum && sum <= row.upper + tolerance * size
            })
            && self
                .sos1
                .iter()
                .all(|set| set.iter().filter(|variable| values[variable.0].abs() > tolerance).count() <= 1)
    }
}

/// Infinite figures in JSON, which has none: the words "inf" and "-inf".
mod infinite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            value.serialize(serializer)
        } else {
            (if *value > 0.0 { "inf" } else { "-inf" }).serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Figure {
            Finite(f64),
            Word(String),
        }
        match Figure::deserialize(deserializer)? {
            Figure::Finite(value) => Ok(value),
            Figure::Word(word) if word == "inf" => Ok(f64::INFINITY),
            Figure::Word(word) if word == "-inf" => Ok(f64::NEG_INFINITY),
            Figure::Word(word) => Err(serde::de::Error::custom(format!("{word:?} is no figure"))),
        }
    }
}
