//! Splits of runs into those to train on and those to judge by.
//!
//! Runs are never cut: tenants of one run met the same contention. Repetitions of one configuration stay together, else a
//! predictor would be judged by what it has seen.

use std::collections::BTreeMap;

use crate::seed::derive_seed;
use crate::store::TenantRow;
use crate::{Error, Result};

/// What runs are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fold {
    /// To learn from.
    Train,
    /// To choose by.
    Validation,
    /// To judge by.
    Test,
}

/// What stays together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitBy {
    /// The runs of one configuration: equal tenants.
    Run,
    /// The runs of one combination of applications, whatever their instances and rates: the test is of combinations that were
    /// never trained on.
    Combination,
}

/// How to split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitParams {
    /// What stays together; configurations by default.
    pub by: SplitBy,
    /// Share of the test, 0 to 1; 0.2 by default.
    pub test: f64,
    /// Share of the validation, 0 to 1, the two at most 1 together; 0.1 by default.
    pub validation: f64,
    /// Seed; 1 by default.
    pub seed: u64,
}

impl Default for SplitParams {
    fn default() -> Self {
        Self { by: SplitBy::Run, test: 0.2, validation: 0.1, seed: 1 }
    }
}

/// The fold of every run that has tenants.
///
/// Groups of runs that stay together are put in an order that the seed and each group's own name determine; the first are the
/// test. So the shares are of groups, to the nearest whole one, and further runs hardly move those that are there.
///
/// # Errors
/// A share is not from 0 to 1, or they are more than 1 together.
///
/// # Example
/// ```
/// use neuro_data::split::{Fold, SplitParams, split};
/// use neuro_data::store::TenantRow;
///
/// fn training_rows(tenants: Vec<TenantRow>) -> neuro_data::Result<Vec<TenantRow>> {
///     let folds = split(&tenants, &SplitParams::default())?;
///     Ok(tenants.into_iter().filter(|tenant| folds[&tenant.run_id] == Fold::Train).collect())
/// }
/// ```
pub fn split(tenants: &[TenantRow], params: &SplitParams) -> Result<BTreeMap<String, Fold>> {
    for (field, share) in [
        ("test", params.test),
        ("validation", params.validation),
        ("test + validation", params.test + params.validation),
    ] {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid(field, share, "a share from 0 to 1"));
        }
    }
    let mut runs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for tenant in tenants {
        let load = match params.by {
            SplitBy::Run => format!("{}:{}x{}", tenant.app, tenant.instances, tenant.rate),
            SplitBy::Combination => tenant.app.clone(),
        };
        runs.entry(&tenant.run_id).or_default().push(load);
    }
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (run, mut loads) in runs {
        loads.sort();
        if params.by == SplitBy::Combination {
            loads.dedup();
        }
        groups.entry(loads.join("+")).or_default().push(run);
    }
    let mut ordered: Vec<(u64, Vec<&str>)> =
        groups.into_iter().map(|(name, runs)| (derive_seed(params.seed, &["split", &name]), runs)).collect();
    ordered.sort();
    let count = |share: f64| (share * ordered.len() as f64).round() as usize;
    let (test, held_out) = (count(params.test), count(params.test + params.validation));
    let mut folds = BTreeMap::new();
    for (i, (_, runs)) in ordered.iter().enumerate() {
        let fold = match i {
            i if i < test => Fold::Test,
            i if i < held_out => Fold::Validation,
            _ => Fold::Train,
        };
        folds.extend(runs.iter().map(|&run| (run.to_owned(), fold)));
    }
    Ok(folds)
}
