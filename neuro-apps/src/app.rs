//! What an application is to the rest of the crate.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::registry::App;

/// Tensors by name: the input of a model.
pub type Tensors = BTreeMap<String, Tensor>;

/// A loaded model: a function of tensors.
pub trait Model: Send {
    /// The fixed input of `batch` items that a service infers on. `seed` and `batch` alone determine it.
    ///
    /// Its names and data types are those that [`forward`](Self::forward) takes.
    ///
    /// # Errors
    ///
    /// When a tensor cannot be made.
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors>;

    /// One inference on tensors under the names of [`example`](Self::example).
    ///
    /// Returns 32-bit floats, (items) or (items, …).
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] when an input has a shape that the model cannot take, [`Error::Input`] when one is missing.
    fn forward(&self, inputs: &Tensors) -> Result<Tensor>;
}

/// The tensor called `name` among `inputs`, for the application `app`.
///
/// # Errors
///
/// [`Error::Input`] when there is none.
pub fn input<'a>(app: &App, inputs: &'a Tensors, name: &str) -> Result<&'a Tensor> {
    inputs
        .get(name)
        .ok_or_else(|| Error::Input { app: app.id.to_owned(), reason: format!("there is no tensor `{name}`") })
}

/// What a [replica](crate::replica::Replica) serves: inferences of a given batch, one after another.
pub trait InferenceApp: Send {
    /// One inference over `batch` items.
    ///
    /// Returns one number per item, so that no work can be optimised away and so that the same input can be seen to give the same
    /// output.
    ///
    /// # Errors
    ///
    /// [`Error::Batch`] when `batch` is 0, [`Error::Tensor`] when a tensor operation fails. There is no upper limit here but
    /// memory: that limit is [`App::max_batch`], which the server enforces.
    fn infer(&mut self, batch: usize) -> Result<Vec<f32>>;
}

/// A model that infers on its own [example](Model::example): the answer for an item is the largest of its outputs.
///
/// The input of the last batch size is kept, so that repeated inferences pay for inference alone.
pub struct StaticInference {
    app: &'static App,
    model: Box<dyn Model>,
    seed: u64,
    input: Option<(usize, Tensors)>,
}

impl StaticInference {
    /// Inference by the `model` of `app` on the input that `seed` gives.
    pub fn new(app: &'static App, model: Box<dyn Model>, seed: u64) -> Self {
        Self { app, model, seed, input: None }
    }
}

impl InferenceApp for StaticInference {
    fn infer(&mut self, batch: usize) -> Result<Vec<f32>> {
        if batch == 0 {
            return Err(Error::Batch { app: self.app.id.to_owned(), batch: 0, max: self.app.max_batch });
        }
        let (_, inputs) = match self.input.take() {
            Some((last, inputs)) if last == batch => self.input.insert((batch, inputs)),
            _ => self.input.insert((batch, self.model.example(self.seed, batch)?)),
        };
        let mut output = self.model.forward(inputs)?.to_dtype(DType::F32)?;
        if output.rank() > 1 {
            output = output.flatten_from(1)?.max(1)?;
        }
        Ok(output.to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Three outputs an item: −i, i and 2i.
    struct Multiples(Arc<AtomicUsize>);

    impl Model for Multiples {
        fn example(&self, _: u64, batch: usize) -> Result<Tensors> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let items = Tensor::arange(0f32, batch as f32, &Device::Cpu)?;
            Ok(Tensors::from([("items".to_owned(), items)]))
        }

        fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
            let items = input(crate::registry::Registry::built_in().apps()[0], inputs, "items")?;
            Ok(Tensor::stack(&[&items.neg()?, items, &(items * 2.0)?], 1)?)
        }
    }

    #[test]
    fn only_the_last_input_is_kept_and_the_largest_output_is_the_answer() {
        let app = crate::registry::Registry::built_in().apps()[0];
        let built = Arc::new(AtomicUsize::new(0));
        let mut inference = StaticInference::new(app, Box::new(Multiples(Arc::clone(&built))), 0);
        for (batch, examples) in [(2, 1), (2, 1), (3, 2), (3, 2), (2, 3)] {
            let expected: Vec<f32> = (0..batch).map(|i| 2.0 * i as f32).collect();
            assert_eq!(inference.infer(batch).unwrap(), expected);
            assert_eq!(built.load(Ordering::Relaxed), examples);
        }
        assert!(matches!(inference.infer(0), Err(Error::Batch { batch: 0, .. })));
    }

    #[test]
    fn a_missing_input_is_named() {
        let app = crate::registry::Registry::built_in().apps()[0];
        let message = input(app, &Tensors::new(), "pixels").unwrap_err().to_string();
        assert!(message.contains(app.id) && message.contains("`pixels`"), "{message}");
    }
}
