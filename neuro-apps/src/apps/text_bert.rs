//! `text-bert`: classification of a text by BERT.

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_transformers::models::bert::Config;
use rand::Rng;

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::layers::bert::{BertClassifier, CLS, FIRST_WORD, SEP};
use crate::registry::App;
use crate::seed;

/// Words of a text; with the special tokens around them it has two tokens more.
const WORDS: usize = 128;
/// Classes.
const LABELS: usize = 2;

/// The registry entry.
pub static APP: App = App {
    id: "text-bert",
    description: "BERT-base uncased sequence classifier on a text of 128 random words",
    default_batch: 1,
    max_batch: 16,
    model: |weights, _| Ok(Box::new(TextBert { model: BertClassifier::load(&Config::default(), LABELS, weights)? })),
};

/// BERT-base, uncased, with a classifier of two labels: 12 layers of width 768, 109,483,778 parameters.
///
/// About 11 G multiply-adds for 130 tokens.
struct TextBert {
    model: BertClassifier,
}

impl Model for TextBert {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let tokens = random_texts(seed, batch)?;
        let types = tokens.zeros_like()?;
        Ok(Tensors::from([("input_ids".to_owned(), tokens), ("token_type_ids".to_owned(), types)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.model.forward(input(&APP, inputs, "input_ids")?, input(&APP, inputs, "token_type_ids")?)?)
    }
}

/// Texts `[CLS] words [SEP]` of random words, one token each: (batch, 130).
fn random_texts(seed: u64, batch: usize) -> TensorResult<Tensor> {
    let vocabulary = Config::default().vocab_size as u32;
    let mut rng = seed::stream(seed, "text-bert.input");
    let mut tokens = Vec::with_capacity(batch * (WORDS + 2));
    for _ in 0..batch {
        tokens.push(CLS);
        tokens.extend((0..WORDS).map(|_| rng.gen_range(FIRST_WORD..vocabulary)));
        tokens.push(SEP);
    }
    Tensor::from_vec(tokens, (batch, WORDS + 2), &Device::Cpu)
}
