//! `text-tbert`: relevance of a passage to a query by a small BERT cross-encoder.

use candle_core::{Device, Module, Result as TensorResult, Tensor};
use candle_nn::{Init, Linear, VarBuilder};
use candle_transformers::models::bert::{BertModel, Config};
use rand::Rng;

use crate::app::{InferenceApp, InputCache};
use crate::error::Result;
use crate::registry::App;
use crate::seed;

/// Tokens of one (query, passage) pair, special tokens included.
const TOKENS: usize = 128;
/// Tokens of the query in it.
const QUERY_TOKENS: usize = 16;
/// The special tokens of the uncased BERT vocabulary, and the first id of a word.
const CLS: u32 = 101;
const SEP: u32 = 102;
const FIRST_WORD: u32 = 999;

/// The registry entry.
pub static APP: App = App {
    id: "text-tbert",
    description: "TinyBERT-L2 cross-encoder on a pair of 128 tokens",
    default_batch: 1,
    max_batch: 128,
    load: |weights, seed| {
        Ok(Box::new(TextTbert { model: CrossEncoder::load(&tiny_config(), weights)?, seed, input: InputCache::new() }))
    },
};

/// The configuration of TinyBERT-L2: 2 layers of width 128, 2 heads, feed-forward width 512, the uncased vocabulary.
pub fn tiny_config() -> Config {
    Config {
        hidden_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 512,
        ..Config::default()
    }
}

/// A BERT sequence classifier with one output, which reads a query and a passage together.
///
/// # References
///
/// - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
///   Understanding", NAACL-HLT, 2019, doi 10.18653/v1/N19-1423.
/// - I. Turc, M.-W. Chang, K. Lee, K. Toutanova, "Well-Read Students Learn Better: On the Importance of Pre-training Compact
///   Models", 2019, doi 10.48550/arXiv.1908.08962 (the size).
/// - R. Nogueira, K. Cho, "Passage Re-ranking with BERT", 2019, doi 10.48550/arXiv.1901.04085 (the use).
pub struct CrossEncoder {
    bert: BertModel,
    pooler: Linear,
    classifier: Linear,
}

impl CrossEncoder {
    /// Loads the model under the names of Hugging Face's `BertForSequenceClassification`: `bert.embeddings.*`,
    /// `bert.encoder.*`, `bert.pooler.dense.*`, `classifier.*`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(config: &Config, vb: VarBuilder) -> TensorResult<Self> {
        let hidden = config.hidden_size;
        let head = |outputs: usize, vb: VarBuilder| {
            let init = Init::Randn { mean: 0.0, stdev: 1.0 / (hidden as f64).sqrt() };
            let weight = vb.get_with_hints((outputs, hidden), "weight", init)?;
            Ok::<_, candle_core::Error>(Linear::new(weight, Some(vb.get(outputs, "bias")?)))
        };
        Ok(Self {
            bert: BertModel::load(vb.pp("bert"), config)?,
            pooler: head(hidden, vb.pp("bert.pooler.dense"))?,
            classifier: head(1, vb.pp("classifier"))?,
        })
    }

    /// The relevance logit of each pair.
    ///
    /// # Shapes
    ///
    /// `tokens` and `types`: (batch, length), unsigned; length at most 512. Every token is attended to. Returns (batch).
    ///
    /// # Errors
    ///
    /// When the shapes differ, a sequence is too long or a token is outside the vocabulary.
    pub fn forward(&self, tokens: &Tensor, types: &Tensor) -> TensorResult<Tensor> {
        let states = self.bert.forward(tokens, types, None)?;
        let first = states.narrow(1, 0, 1)?.squeeze(1)?;
        let pooled = self.pooler.forward(&first)?.tanh()?;
        self.classifier.forward(&pooled)?.squeeze(1)
    }
}

struct TextTbert {
    model: CrossEncoder,
    seed: u64,
    input: InputCache<(Tensor, Tensor)>,
}

impl InferenceApp for TextTbert {
    fn infer(&mut self, batch: usize) -> Result<Vec<f32>> {
        let seed = self.seed;
        let (tokens, types) = self.input.get(&APP, batch, || Ok(random_pairs(seed, batch)?))?;
        Ok(self.model.forward(tokens, types)?.to_vec1()?)
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
    use candle_nn::VarMap;

    /// Embeddings: (30,522 + 512 + 2)·128 + 2·128 = 3,972,864.
    /// A layer: query, key, value, output 4·(128² + 128) = 66,048; two norms 512; feed-forward 128·512 + 512 + 512·128 + 128
    /// = 131,712; together 198,272.
    /// Pooler: 128² + 128 = 16,512. Classifier: 128 + 1 = 129.
    /// 3,972,864 + 2·198,272 + 16,512 + 129 = 4,386,049.
    #[test]
    fn has_the_published_number_of_parameters_under_the_published_names() {
        let variables = VarMap::new();
        let vb = VarBuilder::from_varmap(&variables, candle_core::DType::F32, &Device::Cpu);
        CrossEncoder::load(&tiny_config(), vb).unwrap();
        let count: usize = variables.all_vars().iter().map(|var| var.elem_count()).sum();
        assert_eq!(count, 4_386_049);

        let names = variables.data().lock().unwrap();
        // 5 embedding tensors, 16 per layer, 4 in the heads.
        assert_eq!(names.len(), 5 + 2 * 16 + 4);
        for name in [
            "bert.embeddings.word_embeddings.weight",
            "bert.embeddings.LayerNorm.weight",
            "bert.encoder.layer.1.attention.self.query.weight",
            "bert.encoder.layer.0.intermediate.dense.bias",
            "bert.pooler.dense.weight",
            "classifier.weight",
        ] {
            assert!(names.contains_key(name), "{name}");
        }
    }

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
