//! The list of applications. A new application is a file in `apps/` and a line here.

use candle_nn::VarBuilder;

use crate::app::InferenceApp;
use crate::apps::{kalman_gru, tclf_rf, text_tbert, tstr_lstm};
use crate::error::{Error, Result};
use crate::weights::SeededWeights;

/// Makes a model from its weights, and its static input from the seed.
type Load = fn(weights: VarBuilder<'static>, seed: u64) -> Result<Box<dyn InferenceApp>>;

/// An application of the registry.
#[derive(Debug)]
pub struct App {
    /// The identifier in the catalogue, on the command line and in every file.
    pub id: &'static str,
    /// What it runs, in one line.
    pub description: &'static str,
    /// The batch when none is asked for, in items.
    pub default_batch: usize,
    /// The largest batch that the server accepts, in items.
    pub max_batch: usize,
    pub(crate) load: Load,
}

impl App {
    /// Builds the model with random weights; `seed` determines weights and input.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] when a tensor operation fails.
    pub fn build(&self, seed: u64) -> Result<Box<dyn InferenceApp>> {
        (self.load)(SeededWeights::var_builder(seed), seed)
    }

    /// Checks that `batch` is from 1 to [`max_batch`](Self::max_batch).
    ///
    /// # Errors
    ///
    /// [`Error::Batch`] otherwise.
    pub fn check_batch(&self, batch: u64) -> Result<usize> {
        match usize::try_from(batch) {
            Ok(valid) if (1..=self.max_batch).contains(&valid) => Ok(valid),
            _ => Err(Error::Batch { app: self.id.to_owned(), batch, max: self.max_batch }),
        }
    }
}

/// All applications, in alphabetical order.
static REGISTRY: [&App; 4] = [&kalman_gru::APP, &tclf_rf::APP, &text_tbert::APP, &tstr_lstm::APP];

/// All applications, in alphabetical order of their ids.
pub fn registry() -> &'static [&'static App] {
    &REGISTRY
}

/// The application called `id`.
///
/// # Errors
///
/// [`Error::UnknownApp`], which lists the known ids.
pub fn find(id: &str) -> Result<&'static App> {
    let known = || REGISTRY.map(|app| app.id).join(", ");
    REGISTRY.into_iter().find(|app| app.id == id).ok_or_else(|| Error::UnknownApp { id: id.to_owned(), known: known() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_unique_and_found() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].id < pair[1].id));
        for app in registry() {
            assert_eq!(find(app.id).unwrap().id, app.id);
            assert!((1..=app.max_batch).contains(&app.default_batch));
        }
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_known_ones() {
        let message = find("tclf-xyz").unwrap_err().to_string();
        assert!(message.contains("tclf-xyz") && message.contains("kalman-gru, tclf-rf"));
    }

    #[test]
    fn batches_are_checked_at_both_ends() {
        for app in registry() {
            let max = app.max_batch as u64;
            assert!(app.check_batch(1).is_ok() && app.check_batch(max).is_ok());
            for batch in [0, max + 1, u64::MAX] {
                assert!(matches!(app.check_batch(batch), Err(Error::Batch { .. })));
            }
        }
    }

    /// Every application, whatever it runs: one number per item, finite, determined by the seed.
    #[test]
    fn outputs_depend_on_seed_and_batch_alone() {
        for app in registry() {
            let mut model = app.build(1).unwrap();
            let first = model.infer(app.default_batch).unwrap();
            assert_eq!(first.len(), app.default_batch, "{}", app.id);
            assert!(first.iter().all(|v| v.is_finite()), "{}: {first:?}", app.id);

            let small = model.infer(3).unwrap();
            assert_eq!(small.len(), 3, "{}", app.id);
            assert_eq!(model.infer(app.default_batch).unwrap(), first, "{}: repeated", app.id);
            assert_eq!(app.build(1).unwrap().infer(app.default_batch).unwrap(), first, "{}: rebuilt", app.id);
            assert_ne!(app.build(2).unwrap().infer(3).unwrap(), small, "{}: other seed", app.id);
            assert!(matches!(model.infer(0), Err(Error::Batch { .. })), "{}: zero", app.id);
        }
    }
}
