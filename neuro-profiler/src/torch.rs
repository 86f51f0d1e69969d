//! The prototype's weights: four PyTorch state dicts and two scaling files.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::pickle::read_all;
use candle_core::{DType, Tensor};
use ndarray::{Array1, Array2};
use neuro_data::Catalogue;
use serde_json::Value;

use crate::deep_sets::{DeepSets, DeepSetsParts, DeepSetsShape, Pooling};
use crate::files::json;
use crate::network::{Activation, Dense, Network};
use crate::{Error, Result};

/// The files of a profiler of the prototype.
#[derive(Clone, Debug, PartialEq)]
pub struct TorchFiles<'a> {
    /// The folder with `weights_embedding.pth`, `weights_feature_extractor.pth`, `weights_regressor.pth` and, where it has a head of
    /// counters, `weights_embedding_lm_head.pth`.
    pub weights: &'a Path,
    /// Scales of the targets, `{"min": …, "max": {app: [mean, p75, p95]}}`, seconds; the maxima are used.
    pub stats: &'a Path,
    /// Scales of the counters, `{"low_metrics": {event: constant}}`.
    pub norma: &'a Path,
    /// Applications in the order of the embedding's rows; that of the catalogue where empty.
    pub apps: &'a [String],
}

/// Reads a profiler of the prototype. Widths are those of the tensors; layers are taken in the order of the numbers in their names.
///
/// # Errors
///
/// [`Error::Io`], [`Error::Json`] and [`Error::Key`] for the scaling files; [`Error::Torch`] for a state dict that cannot be read,
/// [`Error::InvalidTensor`] for tensors that are no layers, [`Error::InvalidNetwork`] if they do not fit together,
/// [`Error::InvalidSetting`] if applications and rows differ in number.
pub fn import_torch(files: &TorchFiles<'_>, catalogue: &Catalogue) -> Result<DeepSets> {
    let scales = scales(files.stats)?;
    let apps = if files.apps.is_empty() { in_order(&scales, catalogue) } else { files.apps.to_vec() };
    let scale = |app: &String| {
        scales.get(app).copied().ok_or_else(|| json::refuse(files.stats, format!("max.{app}"), "is missing"))
    };
    let scale_s: Vec<[f64; 3]> = apps.iter().map(scale).collect::<Result<_>>()?;

    let embedding = embedding(&files.weights.join("weights_embedding.pth"))?;
    if embedding.nrows() != apps.len() {
        return Err(Error::InvalidSetting {
            name: "apps",
            value: apps.join(","),
            required: "one application for each row of the embedding: name them in its order",
        });
    }
    let phi = network(&files.weights.join("weights_feature_extractor.pth"))?;
    let rho = network(&files.weights.join("weights_regressor.pth"))?;
    let head = files.weights.join("weights_embedding_lm_head.pth");
    let counters = if head.exists() { Some(network(&head)?) } else { None };
    let hidden = |network: &Network| -> Vec<usize> {
        let layers = network.layers();
        layers[..layers.len() - 1].iter().map(Dense::outputs).collect()
    };
    let shape = DeepSetsShape {
        embedding: embedding.ncols(),
        phi: hidden(&phi),
        context: phi.outputs(),
        rho: hidden(&rho),
        counters: counters.as_ref().map(hidden).unwrap_or_default(),
        pooling: if rho.inputs() == 2 * phi.outputs() + embedding.ncols() + 2 { Pooling::SumMax } else { Pooling::Sum },
    };
    let counter_scale = counter_scales(files.norma)?;
    DeepSets::new(DeepSetsParts { shape, apps, scale_s, embedding, phi: Some(phi), rho, counters, counter_scale })
}

/// The applications of the scaling file in the order of the catalogue, others behind them by name.
fn in_order(scales: &BTreeMap<String, [f64; 3]>, catalogue: &Catalogue) -> Vec<String> {
    let known = catalogue.apps().iter().map(|app| &app.id).filter(|id| scales.contains_key(*id));
    let others = scales.keys().filter(|id| catalogue.get(id).is_err());
    known.chain(others).cloned().collect()
}

fn scales(path: &Path) -> Result<BTreeMap<String, [f64; 3]>> {
    let object = json::read_object(path)?;
    let Some(Value::Object(max)) = object.get("max") else {
        return Err(json::refuse(path, "max", "must be an object of applications"));
    };
    let scale = |(app, value): (&String, &Value)| {
        let figure = |k: usize| value.get(k).and_then(Value::as_f64).filter(|s| s.is_finite() && *s > 0.0);
        match (figure(0), figure(1), figure(2)) {
            (Some(mean), Some(p75), Some(p95)) => Ok((app.clone(), [mean, p75, p95])),
            _ => {
                let problem = format!("must be three numbers of seconds above 0, but is {value}");
                Err(json::refuse(path, format!("max.{app}"), problem))
            }
        }
    };
    max.iter().map(scale).collect()
}

/// Of cpu-clock, cache-misses and page-faults; 1 of those that are not there.
fn counter_scales(path: &Path) -> Result<[f64; 3]> {
    let object = json::read_object(path)?;
    let Some(Value::Object(metrics)) = object.get("low_metrics") else {
        return Err(json::refuse(path, "low_metrics", "must be an object of events"));
    };
    let mut scales = [1.0; 3];
    for (scale, event) in scales.iter_mut().zip(["cpu-clock", "cache-misses", "page-faults"]) {
        if let Some(value) = metrics.get(event) {
            let figure = value.as_f64().filter(|s| s.is_finite() && *s > 0.0);
            let problem = || format!("must be a number above 0, but is {value}");
            *scale = figure.ok_or_else(|| json::refuse(path, format!("low_metrics.{event}"), problem()))?;
        }
    }
    Ok(scales)
}

fn state_dict(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let torch = |source| Error::Torch { path: path.to_owned(), source: Box::new(source) };
    if !path.exists() {
        return Err(Error::Io { path: path.to_owned(), source: std::io::ErrorKind::NotFound.into() });
    }
    let tensors = read_all(path).map_err(torch)?;
    tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.to_dtype(DType::F64).map_err(torch)?))).collect()
}

fn embedding(path: &Path) -> Result<Array2<f64>> {
    let mut tensors = state_dict(path)?;
    match (tensors.pop(), tensors.is_empty()) {
        (Some((name, tensor)), true) => matrix(&name, &tensor),
        _ => Err(Error::InvalidTensor {
            tensor: path.display().to_string(),
            problem: "must hold one matrix, the embedding".to_owned(),
        }),
    }
}

/// What was found of a layer.
type LayerParts = (Option<Array2<f64>>, Option<Array1<f64>>);

/// The dense layers of a state dict, GELU between them.
fn network(path: &Path) -> Result<Network> {
    let mut layers: BTreeMap<(u64, String), LayerParts> = BTreeMap::new();
    for (name, tensor) in state_dict(path)? {
        let (layer, kind) = name.rsplit_once('.').unwrap_or(("", &name));
        let number = layer.rsplit('.').find_map(|part| part.parse().ok()).unwrap_or_default();
        let entry = layers.entry((number, layer.to_owned())).or_default();
        match kind {
            "weight" => entry.0 = Some(matrix(&name, &tensor)?),
            "bias" => entry.1 = Some(tensor.to_vec1().map(Array1::from).map_err(|e| invalid(&name, e.to_string()))?),
            _ => return Err(invalid(&name, "is neither a weight nor a bias".to_owned())),
        }
    }
    let count = layers.len();
    let mut dense = Vec::new();
    for (i, ((_, name), parts)) in layers.into_iter().enumerate() {
        let (Some(weights), Some(bias)) = parts else {
            return Err(invalid(&name, "has no weight or no bias".to_owned()));
        };
        dense.push(Dense::new(weights, bias, if i + 1 == count { Activation::Identity } else { Activation::Gelu })?);
    }
    Network::new(dense)
}

fn matrix(name: &str, tensor: &Tensor) -> Result<Array2<f64>> {
    let figures = || {
        let (rows, columns) = tensor.dims2()?;
        Ok::<_, candle_core::Error>((rows, columns, tensor.flatten_all()?.to_vec1()?))
    };
    let (rows, columns, values) = figures().map_err(|e| invalid(name, e.to_string()))?;
    Array2::from_shape_vec((rows, columns), values).map_err(|e| invalid(name, e.to_string()))
}

fn invalid(tensor: &str, problem: String) -> Error {
    Error::InvalidTensor { tensor: tensor.to_owned(), problem }
}
