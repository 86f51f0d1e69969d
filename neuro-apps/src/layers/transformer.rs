//! Transformer layers that normalise before they compute.

use candle_core::{D, Result, Tensor};
use candle_nn::{LayerNorm, Module, VarBuilder, layer_norm};

use super::activation::Activation;
use super::dense::Dense;

/// One layer: with LN the layer norm, x ← x + attention(LN(x)), then x ← x + W_2·act(W_1·LN(x)).
///
/// # References
///
/// A. Vaswani et al., "Attention Is All You Need", NeurIPS, 2017, doi 10.48550/arXiv.1706.03762; normalised beforehand as in A.
/// Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR, 2021,
/// doi 10.48550/arXiv.2010.11929.
#[derive(Debug, Clone)]
pub struct TransformerLayer {
    norm_before: LayerNorm,
    attention: SelfAttention,
    norm_after: LayerNorm,
    inner: Dense,
    outer: Dense,
}

/// Width and heads of a layer, width inside its feed-forward part, ε of its norms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerShape {
    /// Width of a token's state.
    pub hidden: usize,
    /// Number of attention heads; divides `hidden`.
    pub heads: usize,
    /// Width of the feed-forward part.
    pub inner: usize,
    /// ε of the norms.
    pub eps: f64,
}

impl TransformerLayer {
    /// Loads a layer under the names of Hugging Face's vision transformers: `layernorm_before`, `attention.attention.{query,key,value}`,
    /// `attention.output.dense`, `layernorm_after`, `intermediate.dense`, `output.dense`.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(shape: TransformerShape, activation: Activation, vb: &VarBuilder<'static>) -> Result<Self> {
        let TransformerShape { hidden, inner, eps, .. } = shape;
        Ok(Self {
            norm_before: layer_norm(hidden, eps, vb.pp("layernorm_before"))?,
            attention: SelfAttention::load(shape, &vb.pp("attention"))?,
            norm_after: layer_norm(hidden, eps, vb.pp("layernorm_after"))?,
            inner: Dense::load(hidden, inner, activation, &vb.pp("intermediate.dense"))?,
            outer: Dense::load(inner, hidden, Activation::Identity, &vb.pp("output.dense"))?,
        })
    }

    /// # Shapes
    ///
    /// `xs`: (sequences, tokens, hidden), contiguous. Returns the same.
    ///
    /// # Errors
    ///
    /// When the width is another one.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = (xs + self.attention.forward(&self.norm_before.forward(xs)?)?)?;
        let inner = self.inner.forward(&self.norm_after.forward(&xs)?)?;
        xs + self.outer.forward(&inner)?
    }
}

#[derive(Debug, Clone)]
struct SelfAttention {
    query: Dense,
    key: Dense,
    value: Dense,
    output: Dense,
    heads: usize,
}

impl SelfAttention {
    fn load(shape: TransformerShape, vb: &VarBuilder<'static>) -> Result<Self> {
        let dense = |name: &str| Dense::load(shape.hidden, shape.hidden, Activation::Identity, &vb.pp(name));
        Ok(Self {
            query: dense("attention.query")?,
            key: dense("attention.key")?,
            value: dense("attention.value")?,
            output: dense("output.dense")?,
            heads: shape.heads,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (sequences, tokens, hidden) = xs.dims3()?;
        let head = hidden / self.heads;
        let split = |ys: Tensor| ys.reshape((sequences, tokens, self.heads, head))?.transpose(1, 2)?.contiguous();
        let query = split((self.query.forward(xs)? * (1.0 / (head as f64).sqrt()))?)?;
        let (key, value) = (split(self.key.forward(xs)?)?, split(self.value.forward(xs)?)?);
        let shares = candle_nn::ops::softmax_last_dim(&query.matmul(&key.t()?)?)?;
        let mixed = shares.matmul(&value)?.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)?;
        self.output.forward(&mixed)
    }
}
