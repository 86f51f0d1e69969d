use std::path::Path;

use ::safetensors::tensor::TensorView;
use ::safetensors::{Dtype, SafeTensors};
use ndarray::{Array1, Array2};
use neuro_profiler::network::{Activation, Dense, Network};
use serde::Deserialize;

use super::{fault, read};
use crate::Result;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    /// Name of W, out × in.
    weight: String,
    /// Name of b; zeros without.
    bias: Option<String>,
    activation: Activation,
}

/// Reads a network whose layers are in the JSON file `architecture`, `{"layers":[{"weight":"0.weight","bias":"0.bias",
/// "activation":"relu"},…]}`, and whose tensors (F32 or F64, W as out × in, the way PyTorch keeps it) are in the file `weights`.
///
/// # Errors
///
/// [`Error::File`](crate::Error::File) with what is missing or has the wrong type or shape, and what [`Network::new`] refuses.
pub fn read_safetensors(architecture: &Path, weights: &Path) -> Result<Network> {
    let layers: Architecture =
        serde_json::from_slice(&read(architecture)?).map_err(|error| fault(architecture, error))?;
    let bytes = read(weights)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| fault(weights, error))?;
    let tensor = |name: &str, sides: usize| {
        let view = tensors.tensor(name).map_err(|error| fault(weights, error))?;
        if view.shape().len() != sides {
            let shape = view.shape();
            return Err(fault(
                weights,
                format!("tensor {name:?} has the shape {shape:?}, but {sides} sides are needed"),
            ));
        }
        let figures = figures(&view).ok_or_else(|| {
            fault(weights, format!("tensor {name:?} is {:?}, but F32 or F64 is needed", view.dtype()))
        })?;
        Ok((view.shape().to_vec(), figures))
    };
    let layers = layers.layers.into_iter().map(|layer| {
        let (shape, figures) = tensor(&layer.weight, 2)?;
        let matrix = Array2::from_shape_vec((shape[0], shape[1]), figures).map_err(|error| fault(weights, error))?;
        let bias = match &layer.bias {
            Some(name) => Array1::from(tensor(name, 1)?.1),
            None => Array1::zeros(shape[0]),
        };
        Ok(Dense::new(matrix, bias, layer.activation)?)
    });
    Ok(Network::new(layers.collect::<Result<_>>()?)?)
}

fn figures(view: &TensorView<'_>) -> Option<Vec<f64>> {
    match view.dtype() {
        Dtype::F32 => {
            let figures = view.data().as_chunks::<4>().0.iter();
            Some(figures.map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect())
        }
        Dtype::F64 => Some(view.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()),
        _ => None,
    }
}
