//! The list of applications. A new application is a file in `apps/` and a line here.

use std::path::Path;

use candle_nn::VarBuilder;

use crate::app::{Model, StaticInference};
use crate::apps::{iclf_efnet, iclf_mnet, iclf_mvit, kalman_gru, tclf_gcn, tclf_rf, text_bert, text_tbert, tstr_lstm};
use crate::error::{Error, Result};
use crate::weights::{Checkpoint, SeededWeights};

/// Makes a model from its weights; what a model grows instead of loading comes from the seed.
pub type MakeModel = fn(weights: VarBuilder<'static>, seed: u64) -> Result<Box<dyn Model>>;

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
    /// Makes the model.
    pub model: MakeModel,
}

impl App {
    /// Loads the model: from the checkpoint `weights`, or with random weights that `seed` determines.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when the checkpoint cannot be read or does not fit, [`Error::Tensor`] when a tensor operation fails.
    pub fn load(&self, seed: u64, weights: Option<&Path>) -> Result<Box<dyn Model>> {
        let Some(path) = weights else {
            return (self.model)(SeededWeights::var_builder(seed), seed);
        };
        let checkpoint = Checkpoint::open(path)?;
        let model = (self.model)(checkpoint.var_builder(), seed)?;
        checkpoint.check_used()?;
        Ok(model)
    }

    /// [Loads](Self::load) the model and sets it up to infer on its fixed input, which `seed` determines.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn build(&'static self, seed: u64, weights: Option<&Path>) -> Result<StaticInference> {
        Ok(StaticInference::new(self, self.load(seed, weights)?, seed))
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

/// The applications of this crate.
static BUILT_IN: [&App; 9] = [
    &iclf_efnet::APP,
    &iclf_mnet::APP,
    &iclf_mvit::APP,
    &kalman_gru::APP,
    &tclf_gcn::APP,
    &tclf_rf::APP,
    &text_bert::APP,
    &text_tbert::APP,
    &tstr_lstm::APP,
];

/// The applications that a program can serve.
///
/// ```
/// use neuro_apps::registry::Registry;
///
/// let registry = Registry::built_in();
/// assert_eq!(registry.find("text-bert")?.default_batch, 1);
/// assert!(registry.find("text-bret").unwrap_err().to_string().contains("text-bert"));
/// # Ok::<(), neuro_apps::error::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    apps: Vec<&'static App>,
}

impl Registry {
    /// The applications of this crate, in alphabetical order of their ids.
    pub fn built_in() -> Self {
        Self { apps: BUILT_IN.to_vec() }
    }

    /// Adds an application; one with a known id takes its place.
    #[must_use]
    pub fn with(mut self, app: &'static App) -> Self {
        match self.apps.binary_search_by_key(&app.id, |known| known.id) {
            Ok(place) => self.apps[place] = app,
            Err(place) => self.apps.insert(place, app),
        }
        self
    }

    /// All applications, in alphabetical order of their ids.
    pub fn apps(&self) -> &[&'static App] {
        &self.apps
    }

    /// The application called `id`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownApp`], which lists the known ids.
    pub fn find(&self, id: &str) -> Result<&'static App> {
        self.apps.iter().copied().find(|app| app.id == id).ok_or_else(|| Error::UnknownApp {
            id: id.to_owned(),
            known: self.apps.iter().map(|app| app.id).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::InferenceApp;

    #[test]
    fn ids_are_sorted_and_unique_and_found() {
        let registry = Registry::built_in();
        assert!(registry.apps().windows(2).all(|pair| pair[0].id < pair[1].id));
        for app in registry.apps() {
            assert_eq!(registry.find(app.id).unwrap().id, app.id);
            assert!((1..=app.max_batch).contains(&app.default_batch));
        }
    }

    #[test]
    fn an_unknown_id_is_answered_with_the_known_ones() {
        let message = Registry::built_in().find("tclf-xyz").unwrap_err().to_string();
        assert!(message.contains("tclf-xyz") && message.contains("tclf-gcn, tclf-rf"));
    }

    #[test]
    fn batches_are_checked_at_both_ends() {
        for app in Registry::built_in().apps() {
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
        for app in Registry::built_in().apps() {
            let mut model = app.build(1, None).unwrap();
            let first = model.infer(app.default_batch).unwrap();
            assert_eq!(first.len(), app.default_batch, "{}", app.id);
            assert!(first.iter().all(|v| v.is_finite()), "{}: {first:?}", app.id);

            let small = model.infer(3).unwrap();
            assert_eq!(small.len(), 3, "{}", app.id);
            assert_eq!(model.infer(app.default_batch).unwrap(), first, "{}: repeated", app.id);
            drop(model);
            assert_eq!(app.build(1, None).unwrap().infer(app.default_batch).unwrap(), first, "{}: rebuilt", app.id);
            assert_ne!(app.build(2, None).unwrap().infer(3).unwrap(), small, "{}: other seed", app.id);
        }
    }

    #[test]
    fn an_application_of_one_s_own_is_found_in_its_place() {
        static OWN: App = App {
            id: "mine",
            description: "an application of one's own",
            default_batch: 1,
            max_batch: 1,
            model: |_, _| Err(Error::Stopped),
        };
        let registry = Registry::built_in().with(&OWN).with(&OWN);
        assert_eq!(registry.apps().len(), BUILT_IN.len() + 1);
        assert!(registry.apps().windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(registry.find("mine").is_ok());
    }
}
