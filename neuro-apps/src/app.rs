//! What an application is to the rest of the crate.

use crate::error::{Error, Result};

/// A model that is ready to infer.
pub trait InferenceApp: Send {
    /// One inference over `batch` items of a fixed input, which the application's seed and `batch` alone determine.
    ///
    /// Returns one number per item (a class, a logit, an estimate), so that no work can be optimised away and so that the
    /// same seed can be seen to give the same output. The first call with a batch other than the previous one also
    /// builds its input.
    ///
    /// # Errors
    ///
    /// [`Error::Batch`] when `batch` is 0, [`Error::Tensor`] when a tensor operation fails. There is no upper limit here but
    /// memory: that limit is [`App::max_batch`](crate::registry::App::max_batch), which the server enforces.
    fn infer(&mut self, batch: usize) -> Result<Vec<f32>>;
}

/// The input of the last batch size, kept so that repeated inferences pay for inference alone.
#[derive(Debug)]
pub(crate) struct InputCache<T> {
    last: Option<(usize, T)>,
}

impl<T> InputCache<T> {
    /// An empty cache.
    pub(crate) fn new() -> Self {
        Self { last: None }
    }

    /// The input of `batch`, made by `build` unless it is the one asked for last. `app` names the application in errors.
    pub(crate) fn get(
        &mut self,
        app: &'static crate::registry::App,
        batch: usize,
        build: impl FnOnce() -> Result<T>,
    ) -> Result<&T> {
        if batch == 0 {
            return Err(Error::Batch { app: app.id.to_owned(), batch: 0, max: app.max_batch });
        }
        let entry = match self.last.take() {
            Some((last, input)) if last == batch => (batch, input),
            _ => (batch, build()?),
        };
        Ok(&self.last.insert(entry).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_input_is_kept_and_zero_is_refused() {
        let app = crate::registry::registry()[0];
        let mut built = Vec::new();
        let mut cache = InputCache::new();
        for batch in [2, 2, 3, 3, 2] {
            let input = cache.get(app, batch, || {
                built.push(batch);
                Ok(batch * 10)
            });
            assert_eq!(*input.unwrap(), batch * 10);
        }
        assert_eq!(built, [2, 3, 2]);
        assert!(matches!(cache.get(app, 0, || Ok(0)), Err(Error::Batch { batch: 0, .. })));
    }
}
