//! The calls into CBC's C library, made safe: what crosses the border is checked here, and one lock is held while CBC works.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::sync::{Mutex, PoisonError};

use coin_cbc_sys as sys;

use crate::{Error, Result};

/// CBC keeps global state: of three solves at a time, one was wrong.
static LOCK: Mutex<()> = Mutex::new(());

pub(super) fn version() -> &'static str {
    // SAFETY: the library returns a pointer to a string constant.
    unsafe { CStr::from_ptr(sys::Cbc_getVersion()) }.to_str().unwrap_or("unknown")
}

/// A problem, columns compressed.
pub(super) struct Columns {
    /// Number of columns + 1.
    pub(super) start: Vec<c_int>,
    /// The row of each figure.
    pub(super) index: Vec<c_int>,
    pub(super) value: Vec<f64>,
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
    pub(super) cost: Vec<f64>,
    pub(super) integer: Vec<bool>,
    pub(super) row_lower: Vec<f64>,
    pub(super) row_upper: Vec<f64>,
    /// Sets of columns of which at most one is not 0.
    pub(super) sos1: Vec<Vec<usize>>,
    pub(super) maximise: bool,
    pub(super) start_values: Option<Vec<f64>>,
}

/// What CBC says after a solve.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) secondary: c_int,
    pub(super) optimal: bool,
    pub(super) infeasible: bool,
    pub(super) unbounded: bool,
    pub(super) relaxation_infeasible: bool,
    pub(super) abandoned: bool,
    pub(super) objective: f64,
    pub(super) bound: f64,
    pub(super) nodes: u64,
    pub(super) values: Vec<f64>,
}

/// Owns a model of the library.
struct Handle(*mut sys::Cbc_Model);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the pointer came from Cbc_newModel, is freed only here, and the lock is held (`solve` takes it first and lets it
        // go last).
        unsafe { sys::Cbc_deleteModel(self.0) }
    }
}

/// Solves under the lock; `parameters` are CBC's own names and values.
pub(super) fn solve(problem: &Columns, parameters: &[(&str, String)]) -> Result<Answer> {
    let fault = |what: &str| Error::Solver { solver: "cbc", problem: what.to_owned() };
    let size = |n: usize| c_int::try_from(n).map_err(|_| fault("the model is too large"));
    let (columns, rows) = (problem.cost.len(), problem.row_lower.len());
    let (column_count, row_count) = (size(columns)?, size(rows)?);
    size(problem.value.len())?;
    let shapes = problem.start.len() == columns + 1
        && problem
            .start
            .last()
            .is_some_and(|last| usize::try_from(*last).is_ok_and(|last| last == problem.value.len()))
        && problem.start.windows(2).all(|pair| 0 <= pair[0] && pair[0] <= pair[1])
        && problem.index.len() == problem.value.len()
        && problem.index.iter().all(|row| (0..row_count).contains(row))
        && [problem.lower.len(), problem.upper.len(), problem.integer.len()] == [columns; 3]
        && problem.row_upper.len() == rows
        && problem.start_values.as_ref().is_none_or(|values| values.len() == columns)
        && problem.sos1.iter().flatten().all(|column| *column < columns);
    if !shapes {
        return Err(fault("the model's parts do not fit together"));
    }
    let mut sos_start = vec![0];
    let (mut sos_index, mut sos_weight) = (Vec::new(), Vec::new());
    for set in &problem.sos1 {
        for (weight, column) in set.iter().enumerate() {
            sos_index.push(size(*column)?);
            sos_weight.push(weight as f64 + 1.0);
        }
        sos_start.push(size(sos_index.len())?);
    }
    let parameters = parameters
        .iter()
        .map(|(name, value)| Ok((CString::new(*name)?, CString::new(value.as_str())?)))
        .collect::<std::result::Result<Vec<_>, std::ffi::NulError>>()
        .map_err(|_| fault("a parameter holds a zero byte"))?;

    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the lock is held until the end of this function, after the handle is dropped (locals are dropped in reverse). All
    // pointers are to vectors that outlive the calls, of the lengths checked above; the library copies what it is given. Every call
    // takes the handle, which is checked not to be null. Cbc_getColSolution gives a pointer to one figure a column, or null.
    unsafe {
        let handle = Handle(sys::Cbc_newModel());
        let model = handle.0;
        if model.is_null() {
            return Err(fault("it has no memory"));
        }
        sys::Cbc_setLogLevel(model, 0);
        sys::Cbc_loadProblem(
            model,
            column_count,
            row_count,
            problem.start.as_ptr(),
            problem.index.as_ptr(),
            problem.value.as_ptr(),
            problem.lower.as_ptr(),
            problem.upper.as_ptr(),
            problem.cost.as_ptr(),
            problem.row_lower.as_ptr(),
            problem.row_upper.as_ptr(),
        );
        for (column, integer) in (0..column_count).zip(&problem.integer) {
            if *integer {
                sys::Cbc_setInteger(model, column);
            }
        }
        sys::Cbc_setObjSense(model, if problem.maximise { -1.0 } else { 1.0 });
        if !problem.sos1.is_empty() {
            let count = size(problem.sos1.len())?;
            sys::Cbc_addSOS(model, count, sos_start.as_ptr(), sos_index.as_ptr(), sos_weight.as_ptr(), 1);
        }
        if let Some(values) = &problem.start_values {
            sys::Cbc_setInitialSolution(model, values.as_ptr());
        }
        for (name, value) in &parameters {
            sys::Cbc_setParameter(model, name.as_ptr(), value.as_ptr());
        }
        sys::Cbc_solve(model);
        let solution = sys::Cbc_getColSolution(model);
        let values =
            if solution.is_null() { Vec::new() } else { std::slice::from_raw_parts(solution, columns).to_vec() };
        Ok(Answer {
            secondary: sys::Cbc_secondaryStatus(model),
            optimal: sys::Cbc_isProvenOptimal(model) != 0,
            infeasible: sys::Cbc_isProvenInfeasible(model) != 0,
            unbounded: sys::Cbc_isContinuousUnbounded(model) != 0,
            relaxation_infeasible: sys::Cbc_isInitialSolveProvenPrimalInfeasible(model) != 0,
            abandoned: sys::Cbc_isAbandoned(model) != 0,
            objective: sys::Cbc_getObjValue(model),
            bound: sys::Cbc_getBestPossibleObjValue(model),
            nodes: u64::try_from(sys::Cbc_getNodeCount(model)).unwrap_or(0),
            values,
        })
    }
}
