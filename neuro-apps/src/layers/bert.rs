//! BERT with a classifier on top.

use candle_core::{DType, Device, Module, Result, Shape, Tensor};
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use candle_nn::{Init, Linear};
use candle_transformers::models::bert::{BertModel, Config};

/// Begins every text, in the uncased BERT vocabulary.
pub const CLS: u32 = 101;
/// Ends a sequence.
pub const SEP: u32 = 102;
/// The ids from here to the end of the vocabulary are words and parts of words.
pub const FIRST_WORD: u32 = 999;

/// A BERT sequence classifier: the state of the first token through a dense layer with tanh and the classifier.
///
/// # References
///
/// J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
/// NAACL-HLT, 2019, doi 10.18653/v1/N19-1423.
pub struct BertClassifier {
    bert: BertModel,
    pooler: Linear,
    classifier: Linear,
}

impl BertClassifier {
    /// Loads the model under the names of Hugging Face's `BertForSequenceClassification`: `bert.embeddings.*`,
    /// `bert.encoder.*`, `bert.pooler.dense.*`, `classifier.*`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(config: &Config, labels: usize, vb: VarBuilder<'static>) -> Result<Self> {
        let hidden = config.hidden_size;
        let head = |outputs: usize, vb: VarBuilder| {
            let init = Init::Randn { mean: 0.0, stdev: 1.0 / (hidden as f64).sqrt() };
            let weight = vb.get_with_hints((outputs, hidden), "weight", init)?;
            Ok::<_, candle_core::Error>(Linear::new(weight, Some(vb.get(outputs, "bias")?)))
        };
        Ok(Self {
            bert: BertModel::load(column_major(&vb).pp("bert"), config)?,
            pooler: head(hidden, vb.pp("bert.pooler.dense"))?,
            classifier: head(labels, vb.pp("classifier"))?,
        })
    }

    /// The logits of each sequence.
    ///
    /// # Shapes
    ///
    /// `tokens` and `types`: (batch, length), unsigned; length at most 512. Every token is attended to. Returns (batch, labels).
    ///
    /// # Errors
    ///
    /// When the shapes differ, a sequence is too long or a token is outside the vocabulary.
    pub fn forward(&self, tokens: &Tensor, types: &Tensor) -> Result<Tensor> {
        let states = self.bert.forward(tokens, types, None)?;
        let first = states.narrow(1, 0, 1)?.squeeze(1)?;
        let pooled = self.pooler.forward(&first)?.tanh()?;
        self.classifier.forward(&pooled)
    }
}

/// The tensors of `vb`, the weights of dense layers laid out column by column: a dense layer multiplies by the transpose, which then
/// lies row by row, and the matrix product need not rearrange all weights at each inference.
fn column_major(vb: &VarBuilder<'static>) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(ColumnMajor(vb.clone())), vb.dtype(), vb.device().clone())
}

struct ColumnMajor(VarBuilder<'static>);

impl SimpleBackend for ColumnMajor {
    fn get(&self, shape: Shape, name: &str, init: Init, _: DType, _: &Device) -> Result<Tensor> {
        let tensor = self.0.get_with_hints(shape, name, init)?;
        // Embeddings are read row by row.
        if tensor.rank() == 2 && !name.contains("embeddings") { tensor.t()?.contiguous()?.t() } else { Ok(tensor) }
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        self.0.get_unchecked(name)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}
