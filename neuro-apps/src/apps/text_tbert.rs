//! `text-tbert`: relevance of a passage to a query by a small BERT cross-encoder.

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_transformers::models::bert::Config;
use rand::Rng;

use crate::app::{Model, Tensors, input};
use crate::error::Result;
use crate::layers::bert::{BertClassifier, CLS, FIRST_WORD, SEP};
use crate::registry::App;
use crate::seed;

/// Tokens of one (query, passage) pair, special tokens included.
const TOKENS: usize = 128;
/// Tokens of the query in it.
const QUERY_TOKENS: usize = 16;
/// The registry entry.
pub static APP: App = App {
    id: "text-tbert",
    description: "TinyBERT-L2 cross-encoder on a pair of 128 tokens",
    default_batch: 1,
    max_batch: 128,
    model: |weights, _| Ok(Box::new(TextTbert { model: BertClassifier::load(&tiny_config(), 1, weights)? })),
};

/// The configuration of TinyBERT-L2: 2 layers of width 128, 2 heads, feed-forward width 512, the uncased vocabulary.
fn tiny_config() -> Config {
    Config {
        hidden_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 512,
        ..Config::default()
    }
}

/// A cross-encoder: a BERT classifier with one output, the relevance of the passage to the query, that reads both together. 4,386,049
/// parameters.
///
/// # References
///
/// - I. Turc, M.-W. Chang, K. Lee, K. Toutanova, "Well-Read Students Learn Better: On the Importance of Pre-training Compact
///   Models", 2019, doi 10.48550/arXiv.1908.08962 (the size).
/// - R. Nogueira, K. Cho, "Passage Re-ranking with BERT", 2019, doi 10.48550/arXiv.1901.04085 (the use).
struct TextTbert {
    model: BertClassifier,
}

impl Model for TextTbert {
    fn example(&self, seed: u64, batch: usize) -> Result<Tensors> {
        let (tokens, types) = random_pairs(seed, batch)?;
        Ok(Tensors::from([("input_ids".to_owned(), tokens), ("token_type_ids".to_owned(), types)]))
    }

    fn forward(&self, inputs: &Tensors) -> Result<Tensor> {
        Ok(self.model.forward(input(&APP, inputs, "input_ids")?, input(&APP, inputs, "token_type_ids")?)?)
    }
}

/// Pairs `[CLS] query [SEP] passage [SEP]` of random words: tokens and token types, (batch, 128) each.
fn random_pairs(seed: u64, batch: usize) -> TensorResult<(Tensor, Tensor)> {
    let vocabulary = tiny_config().vocab_size as u32;
    let second = QUERY_TOKENS + 2;
    let mut rng = seed::stream(seed, "text-tbert.input");
    let (mut tokens, mut types) = (Vec::new(), Vec::new());
    for _ in 0..batch {
        tokens.extend((0..TOKENS).map(|position| match position {
            0 => CLS,
            p if p == second - 1 || p == TOKENS - 1 => SEP,
            _ => rng.gen_range(FIRST_WORD..vocabulary),
        }));
        types.extend((0..TOKENS).map(|position| u32::from(position >= second)));
    }
    Ok((
        Tensor::from_vec(tokens, (batch, TOKENS), &Device::Cpu)?,
        Tensor::from_vec(types, (batch, TOKENS), &Device::Cpu)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_its_special_tokens_and_types() {
        let (tokens, types) = random_pairs(4, 2).unwrap();
        let (tokens, types): (Vec<Vec<u32>>, Vec<Vec<u32>>) = (tokens.to_vec2().unwrap(), types.to_vec2().unwrap());
        assert_ne!(tokens[0], tokens[1]);
        for (tokens, types) in tokens.iter().zip(&types) {
            assert_eq!((tokens.len(), types.len()), (128, 128));
            assert_eq!((tokens[0], tokens[17], tokens[127]), (CLS, SEP, SEP));
            assert_eq!(tokens.iter().filter(|&&t| t == SEP).count(), 2);
            assert!(tokens.iter().all(|&t| t < 30_522));
            assert_eq!((types[17], types[18], types.iter().sum::<u32>()), (0, 1, 110));
        }
    }
}
