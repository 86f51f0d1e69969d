//! ONNX graphs that are a chain of dense layers, as PyTorch exports them.

mod message;

use std::collections::HashMap;
use std::path::{Component, Path};

use ndarray::{Array1, Array2, Axis};
use neuro_profiler::network::{Activation, Dense, Network};
use prost::Message;

use super::{fault, read};
use crate::{Error, Result};
use message::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

const FLOAT: i32 = 1;
const DOUBLE: i32 = 11;
const EXTERNAL: i32 = 1;

/// Reads an ONNX file: see [`onnx_network`]. Weights may lie in a file beside it.
///
/// # Errors
///
/// [`Error::File`] if it cannot be read, and those of [`onnx_network`].
pub fn read_onnx(path: &Path) -> Result<Network> {
    network(&read(path)?, path.parent(), |problem| fault(path, problem))
}

/// The network of an ONNX model: a chain of `Gemm`, `MatMul`, `Add`, `Sub`, `Mul` by a constant, `Relu`, `Gelu` (exact), with `Identity`,
/// `Dropout` and operators of shape (`Flatten`, `Reshape`, `Squeeze`, `Unsqueeze`) passed over,
/// and `Constant` and `Transpose` on weights. Weights are float or double.
///
/// # Errors
///
/// [`Error::Onnx`] that names the first operator, type or shape which is not among these.
pub fn onnx_network(bytes: &[u8]) -> Result<Network> {
    network(bytes, None, |problem| Error::Onnx { problem })
}

/// A weight: its shape and figures.
#[derive(Clone, Debug)]
struct Tensor {
    shape: Vec<usize>,
    figures: Vec<f64>,
}

/// What the chain has become so far: layers, and the affine map after them that no activation has closed.
struct Chain {
    layers: Vec<Dense>,
    affine: Option<(Array2<f64>, Array1<f64>)>,
    /// The name of the value that comes out.
    value: String,
}

fn network(bytes: &[u8], folder: Option<&Path>, wrong: impl Fn(String) -> Error) -> Result<Network> {
    let model = ModelProto::decode(bytes).map_err(|error| wrong(format!("is no ONNX model: {error}")))?;
    let graph = model.graph.ok_or_else(|| wrong("holds no graph".to_owned()))?;
    let mut constants: HashMap<String, Tensor> = HashMap::new();
    for tensor in &graph.initializer {
        // Shapes and axes are integers: what operators do with them is checked where they are used.
        if let Some(read) = figures(tensor, folder).map_err(&wrong)? {
            constants.insert(tensor.name.clone(), read);
        }
    }
    let mut chain = Chain { layers: Vec::new(), affine: None, value: input(&graph, &constants).map_err(&wrong)? };
    for node in &graph.node {
        chain
            .take(node, &mut constants)
            .map_err(|problem| wrong(format!("operator {} {:?}: {problem}", node.op_type, node.name)))?;
    }
    if let [output] = &graph.output[..]
        && output.name == chain.value
    {
        chain.close(Activation::Identity).map_err(&wrong)?;
        return Ok(Network::new(chain.layers)?);
    }
    Err(wrong("the graph is no chain from one input to one output".to_owned()))
}

/// The graph's one input that is no weight.
fn input(graph: &GraphProto, constants: &HashMap<String, Tensor>) -> Result<String, String> {
    let initializer = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| !constants.contains_key(*name) && !initializer(name))
        .collect();
    match inputs[..] {
        [input] => Ok(input.to_owned()),
        _ => Err(format!("the graph has {} inputs, but one is needed", inputs.len())),
    }
}

/// A tensor's figures; `None` if it is of integers.
fn figures(tensor: &TensorProto, folder: Option<&Path>) -> Result<Option<Tensor>, String> {
    let name = &tensor.name;
    if !matches!(tensor.data_type, FLOAT | DOUBLE) {
        // int32, int64, bool: shapes.
        return if matches!(tensor.data_type, 6 | 7 | 9) {
            Ok(None)
        } else {
            Err(format!("tensor {name:?} has the type {}, but float or double is needed", tensor.data_type))
        };
    }
    let shape = tensor
        .dims
        .iter()
        .map(|side| usize::try_from(*side).map_err(|_| format!("tensor {name:?} has a side of {side}")))
        .collect::<Result<Vec<_>, _>>()?;
    let raw = if tensor.data_location == EXTERNAL { external(tensor, folder)? } else { tensor.raw_data.clone() };
    let figures: Vec<f64> = match tensor.data_type {
        FLOAT if raw.is_empty() => tensor.float_data.iter().map(|figure| f64::from(*figure)).collect(),
        FLOAT => raw.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        _ if raw.is_empty() => tensor.double_data.clone(),
        _ => raw.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
    };
    let needed = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    if needed != Some(figures.len()) {
        return Err(format!("tensor {name:?} of shape {shape:?} has {} figures", figures.len()));
    }
    Ok(Some(Tensor { shape, figures }))
}

/// Bytes that lie in a file beside the model.
fn external(tensor: &TensorProto, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let name = &tensor.name;
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let Some(location) = entry("location").map(Path::new) else {
        return Err(format!("tensor {name:?} lies in another file, which is not named"));
    };
    let Some(folder) = folder else { return Err(format!("tensor {name:?} lies in the file {}", location.display())) };
    let beside = location.components().all(|part| matches!(part, Component::Normal(_)));
    if !beside || location.as_os_str().is_empty() {
        return Err(format!("tensor {name:?} lies in {}, which is not beside the model", location.display()));
    }
    let bytes = std::fs::read(folder.join(location)).map_err(|error| format!("{}: {error}", location.display()))?;
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| format!("tensor {name:?}: {key} is {text:?}")),
    };
    let offset = number("offset")?.unwrap_or(0);
    let end = number("length")?.map_or(Some(bytes.len()), |length| offset.checked_add(length));
    let part = end.and_then(|end| bytes.get(offset..end));
    part.map(<[u8]>::to_vec).ok_or_else(|| format!("tensor {name:?} lies outside {}", location.display()))
}

impl Tensor {
    fn matrix(&self) -> Result<Array2<f64>, String> {
        match self.shape[..] {
            [rows, columns] => {
                Array2::from_shape_vec((rows, columns), self.figures.clone()).map_err(|error| error.to_string())
            }
            _ => Err(format!("a weight of shape {:?}, but a matrix is needed", self.shape)),
        }
    }

    /// As a vector of `width` figures: one for all, or sides of 1 before.
    fn vector(&self, width: usize) -> Result<Array1<f64>, String> {
        match self.figures[..] {
            [figure] => Ok(Array1::from_elem(width, figure)),
            _ if self.figures.len() == width && self.shape.last() == Some(&width) => {
                Ok(Array1::from(self.figures.clone()))
            }
            _ => Err(format!("a constant of shape {:?}, but {width} figures are needed", self.shape)),
        }
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

impl Chain {
    /// Goes on with one operator.
    fn take(&mut self, node: &NodeProto, constants: &mut HashMap<String, Tensor>) -> Result<(), String> {
        if !matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(format!("is of the domain {:?}, which is not supported", node.domain));
        }
        let output = node.output.first().cloned().ok_or("has no output")?;
        if self.fold(node, &output, constants)? {
            return Ok(());
        }
        let at = |index: usize| node.input.get(index).map_or("", String::as_str);
        let constant = |index: usize| {
            constants.get(at(index)).ok_or_else(|| format!("input {:?} is no constant weight", at(index)))
        };
        let both = matches!(node.op_type.as_str(), "Add" | "Mul");
        let own = if both && at(1) == self.value { 1 } else { 0 };
        if at(own) != self.value {
            return Err(format!("takes {:?}, but only chains are supported", at(own)));
        }
        match node.op_type.as_str() {
            "Gemm" => {
                let number = |name, default| attribute(node, name).map_or(default, |attribute| f64::from(attribute.f));
                let flag = |name| attribute(node, name).is_some_and(|attribute| attribute.i != 0);
                if flag("transA") {
                    return Err("transA is not supported".to_owned());
                }
                let matrix = constant(1)?.matrix()?;
                let weights = if flag("transB") { matrix } else { matrix.reversed_axes() } * number("alpha", 1.0);
                let bias = match at(2) {
                    "" => Array1::zeros(weights.nrows()),
                    _ => constant(2)?.vector(weights.nrows())? * number("beta", 1.0),
                };
                self.compose(weights, bias)?;
            }
            "MatMul" => {
                let weights = constant(1)?.matrix()?.reversed_axes();
                let bias = Array1::zeros(weights.nrows());
                self.compose(weights, bias)?;
            }
            "Add" | "Sub" | "Mul" => {
                let (weights, bias) =
                    self.affine.as_mut().ok_or("comes before any matrix, so that its width is not known")?;
                let figures = constant(1 - own)?.vector(weights.nrows())?;
                match node.op_type.as_str() {
                    "Add" => *bias += &figures,
                    "Sub" => *bias -= &figures,
                    _ => {
                        *weights *= &figures.view().insert_axis(Axis(1));
                        *bias *= &figures;
                    }
                }
            }
            "Relu" => self.close(Activation::Relu)?,
            "Gelu" => match attribute(node, "approximate").map_or(&b"none"[..], |attribute| &attribute.s) {
                b"none" => self.close(Activation::Gelu)?,
                other => return Err(format!("approximate {:?} is not supported", String::from_utf8_lossy(other))),
            },
            "Identity" | "Dropout" => {}
            "Flatten" if attribute(node, "axis").is_none_or(|attribute| matches!(attribute.i, 1 | -1)) => {}
            "Reshape" | "Squeeze" | "Unsqueeze" => {}
            _ => {
                return Err(
                    "is not supported; dense layers (Gemm, MatMul, Add, Sub, Mul), Relu and Gelu are".to_owned()
                );
            }
        }
        self.value = output;
        Ok(())
    }

    /// Operators on weights alone; whether it was one.
    fn fold(&self, node: &NodeProto, output: &str, constants: &mut HashMap<String, Tensor>) -> Result<bool, String> {
        match node.op_type.as_str() {
            "Constant" => {
                let tensor = attribute(node, "value").and_then(|attribute| attribute.t.as_ref());
                if let Some(tensor) = tensor
                    && let Some(read) = figures(tensor, None)?
                {
                    constants.insert(output.to_owned(), read);
                }
                Ok(true)
            }
            "Transpose" => {
                let Some(tensor) = node.input.first().and_then(|input| constants.get(input)) else { return Ok(false) };
                let matrix = tensor.matrix()?;
                if attribute(node, "perm").is_some_and(|attribute| attribute.ints == [0, 1]) {
                    return Err("a permutation that permutes nothing is not supported".to_owned());
                }
                let (shape, turned) = (vec![matrix.ncols(), matrix.nrows()], matrix.t());
                let figures = turned.iter().copied().collect();
                constants.insert(output.to_owned(), Tensor { shape, figures });
                Ok(true)
            }
            "Identity" => {
                let Some(tensor) = node.input.first().and_then(|input| constants.get(input)) else { return Ok(false) };
                let tensor = tensor.clone();
                constants.insert(output.to_owned(), tensor);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// W·(what is there) + b.
    fn compose(&mut self, weights: Array2<f64>, bias: Array1<f64>) -> Result<(), String> {
        if let Some((before, bias_before)) = self.affine.take() {
            // Two affine maps in a row stay two layers, so that the network computes what the graph does, rounding included.
            let layer = Dense::new(before, bias_before, Activation::Identity).map_err(|error| error.to_string())?;
            self.layers.push(layer);
        }
        if let Some(given) = self.layers.last().map(Dense::outputs).filter(|given| *given != weights.ncols()) {
            return Err(format!("takes {} figures, but {given} are given", weights.ncols()));
        }
        self.affine = Some((weights, bias));
        Ok(())
    }

    /// Ends a layer with its activation.
    fn close(&mut self, activation: Activation) -> Result<(), String> {
        let (weights, bias) = match (self.affine.take(), self.layers.last()) {
            (Some(affine), _) => affine,
            (None, None) => return Err("comes before any matrix".to_owned()),
            (None, Some(_)) if activation == Activation::Identity => return Ok(()),
            (None, Some(last)) => (Array2::eye(last.outputs()), Array1::zeros(last.outputs())),
        };
        self.layers.push(Dense::new(weights, bias, activation).map_err(|error| error.to_string())?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::message::StringStringEntryProto;
    use super::*;

    /// The bytes of a model whose first weight lies in the file `location`, and that weight's bytes.
    fn with_external(location: &str) -> (Vec<u8>, Vec<u8>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/relu.onnx");
        let mut model = ModelProto::decode(&*std::fs::read(path).unwrap()).unwrap();
        let tensor = &mut model.graph.as_mut().unwrap().initializer[0];
        let bytes = std::mem::take(&mut tensor.raw_data);
        tensor.data_location = EXTERNAL;
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        let length = bytes.len().to_string();
        tensor.external_data =
            vec![entry("location", location.to_owned()), entry("offset", "3".to_owned()), entry("length", length)];
        (model.encode_to_vec(), bytes)
    }

    #[test]
    fn weights_beside_the_model_are_read_and_others_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relu.onnx");
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/relu.onnx");
        let (model, weights) = with_external("relu.bin");
        std::fs::write(&path, &model).unwrap();
        let missing = read_onnx(&path).unwrap_err().to_string();
        assert!(missing.contains("relu.onnx") && missing.contains("relu.bin"), "{missing}");
        std::fs::write(folder.path().join("relu.bin"), [&[0; 3], &weights[..]].concat()).unwrap();
        assert_eq!(read_onnx(&path).unwrap(), read_onnx(&whole).unwrap());
        std::fs::write(folder.path().join("relu.bin"), &weights).unwrap();
        let short = read_onnx(&path).unwrap_err().to_string();
        assert!(short.contains("outside relu.bin"), "{short}");

        // Bytes alone have nothing beside them, and nothing is read from other folders.
        let alone = onnx_network(&model).unwrap_err().to_string();
        assert!(alone.contains("relu.bin") && alone.contains("0.weight"), "{alone}");
        for outside in ["../relu.bin", "/etc/hostname", ""] {
            std::fs::write(&path, with_external(outside).0).unwrap();
            let error = read_onnx(&path).unwrap_err().to_string();
            assert!(error.contains("not beside the model") && error.contains("0.weight"), "{outside:?}: {error}");
        }
    }
}
