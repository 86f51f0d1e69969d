//! Named tensors, and how they lie in a `weights.safetensors`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use ndarray::{Array1, Array2, Array3, ArrayD, Ix1, Ix2, Ix3, IxDyn};
use safetensors::{Dtype, SafeTensors, View};

use crate::network::{Activation, Dense, Network};
use crate::{Error, Result};

/// Tensors by name, in double precision.
///
/// In a file a tensor is stored in single precision where that loses nothing, as with weights that were trained so, else in
/// double precision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, ArrayD<f64>>,
}

struct Stored {
    shape: Vec<usize>,
    dtype: Dtype,
    data: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

impl Stored {
    fn of(tensor: &ArrayD<f64>) -> Self {
        let shape = tensor.shape().to_vec();
        if tensor.iter().all(|x| f64::from(*x as f32) == *x) {
            let data = tensor.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
            Self { shape, dtype: Dtype::F32, data }
        } else {
            Self { shape, dtype: Dtype::F64, data: tensor.iter().flat_map(|x| x.to_le_bytes()).collect() }
        }
    }
}

impl Weights {
    /// Puts a tensor in.
    pub fn insert(&mut self, name: impl Into<String>, tensor: impl Into<ArrayD<f64>>) {
        self.tensors.insert(name.into(), tensor.into());
    }

    /// Puts a network in, as `<name>.<layer>.weight` (out × in) and `<name>.<layer>.bias` (out).
    pub fn insert_network(&mut self, name: &str, network: &Network) {
        for (i, layer) in network.layers().iter().enumerate() {
            self.insert(format!("{name}.{i}.weight"), layer.weights().clone().into_dyn());
            self.insert(format!("{name}.{i}.bias"), layer.bias().clone().into_dyn());
        }
    }

    /// The names and shapes of all tensors.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape()))
    }

    /// Takes the tensor of a name out, whatever its shape.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if there is none.
    pub fn take(&mut self, name: &str) -> Result<ArrayD<f64>> {
        self.tensors
            .remove(name)
            .ok_or_else(|| Error::InvalidTensor { tensor: name.to_owned(), problem: "is missing".to_owned() })
    }

    /// Takes a vector of known length out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if it is missing or has another shape.
    pub fn take_vector(&mut self, name: &str, length: usize) -> Result<Array1<f64>> {
        let tensor = self.take(name)?;
        let shape = tensor.shape().to_vec();
        let vector = tensor.into_dimensionality::<Ix1>().ok().filter(|vector| vector.len() == length);
        vector.ok_or_else(|| mismatch(name, &shape, &[length]))
    }

    /// Takes a matrix of known shape out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if it is missing or has another shape.
    pub fn take_matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Array2<f64>> {
        let tensor = self.take(name)?;
        let shape = tensor.shape().to_vec();
        let matrix = tensor.into_dimensionality::<Ix2>().ok().filter(|matrix| matrix.dim() == (rows, columns));
        matrix.ok_or_else(|| mismatch(name, &shape, &[rows, columns]))
    }

    /// Takes a matrix of known columns out, whatever its rows.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if it is missing or has another shape.
    pub fn take_table(&mut self, name: &str, columns: usize) -> Result<Array2<f64>> {
        let rows = self.tensors.get(name).and_then(|tensor| tensor.shape().first().copied()).unwrap_or_default();
        self.take_matrix(name, rows, columns)
    }

    /// Takes a tensor of three dimensions of known shape out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if it is missing or has another shape.
    pub fn take_cube(&mut self, name: &str, shape: [usize; 3]) -> Result<Array3<f64>> {
        let tensor = self.take(name)?;
        let found = tensor.shape().to_vec();
        let cube = tensor.into_dimensionality::<Ix3>().ok().filter(|cube| cube.shape() == shape);
        cube.ok_or_else(|| mismatch(name, &found, &shape))
    }

    /// Takes a network of known widths, input first, out.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] if a tensor is missing or has another shape, [`Error::InvalidLayer`] if one is not finite.
    pub fn take_network(
        &mut self,
        name: &str,
        widths: &[usize],
        hidden: Activation,
        last: Activation,
    ) -> Result<Network> {
        let count = widths.len().saturating_sub(1);
        let mut layers = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            let weights = self.take_matrix(&format!("{name}.{i}.weight"), pair[1], pair[0])?;
            let bias = self.take_vector(&format!("{name}.{i}.bias"), pair[1])?;
            layers.push(Dense::new(weights, bias, if i + 1 == count { last } else { hidden })?);
        }
        Network::new(layers)
    }

    /// Refuses tensors that nobody took.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] with the first one.
    pub fn finish(self) -> Result<()> {
        match self.tensors.into_keys().next() {
            Some(tensor) => Err(Error::InvalidTensor { tensor, problem: "belongs to nothing".to_owned() }),
            None => Ok(()),
        }
    }

    /// The bytes of a `.safetensors` file, with `metadata` in its header.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTensor`] for a figure that is not finite.
    pub fn to_bytes(&self, metadata: HashMap<String, String>) -> Result<Vec<u8>> {
        self.check_finite()?;
        let stored: Vec<(&String, Stored)> =
            self.tensors.iter().map(|(name, tensor)| (name, Stored::of(tensor))).collect();
        safetensors::serialize(stored.iter().map(|(name, stored)| (name, stored)), Some(metadata))
            .map_err(|e| Error::InvalidTensor { tensor: "all".to_owned(), problem: format!("cannot be stored: {e}") })
    }

    /// Reads the bytes of a `.safetensors` file, with the metadata of its header.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong: no such file format, a type that is no float, or a figure that is not finite.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, HashMap<String, String>)> {
        let whole = |e: safetensors::SafeTensorError| Error::InvalidTensor {
            tensor: "all".to_owned(),
            problem: format!("cannot be read: {e}"),
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(whole)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let mut weights = Self::default();
        for (name, view) in SafeTensors::deserialize(bytes).map_err(whole)?.tensors() {
            let invalid = |problem: String| Error::InvalidTensor { tensor: name.clone(), problem };
            let values: Vec<f64> = match view.dtype() {
                Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
                Dtype::F64 => view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
                other => return Err(invalid(format!("is of type {other:?}, not of floats"))),
            };
            let tensor =
                ArrayD::from_shape_vec(IxDyn(view.shape()), values).map_err(|e| invalid(format!("is cut off: {e}")))?;
            weights.tensors.insert(name, tensor);
        }
        weights.check_finite()?;
        Ok((weights, metadata))
    }

    fn check_finite(&self) -> Result<()> {
        match self.tensors.iter().find(|(_, tensor)| !tensor.iter().all(|x| x.is_finite())) {
            Some((name, _)) => Err(Error::InvalidTensor {
                tensor: name.clone(),
                problem: "holds a figure that is not finite".to_owned(),
            }),
            None => Ok(()),
        }
    }
}

fn mismatch(tensor: &str, found: &[usize], needed: &[usize]) -> Error {
    Error::InvalidTensor {
        tensor: tensor.to_owned(),
        problem: format!("has shape {found:?}, but {needed:?} is needed"),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn both_precisions_come_back_exactly() {
        let mut weights = Weights::default();
        weights.insert("single", array![[0.5, -3.0]].into_dyn());
        weights.insert("double", array![0.1, 1e300].into_dyn());
        let notes = HashMap::from([("apps".to_owned(), "a,b".to_owned())]);
        let bytes = weights.to_bytes(notes.clone()).unwrap();
        assert_eq!(Weights::from_bytes(&bytes).unwrap(), (weights.clone(), notes));
        let view = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(view.tensor("single").unwrap().dtype(), Dtype::F32);
        assert_eq!(view.tensor("double").unwrap().dtype(), Dtype::F64);
        weights.insert("broken", array![f64::NAN].into_dyn());
        assert!(matches!(weights.to_bytes(HashMap::new()), Err(Error::InvalidTensor { .. })));
    }

    #[test]
    fn shapes_are_checked_and_nothing_is_left() {
        let mut weights = Weights::default();
        weights.insert("a", array![1.0, 2.0].into_dyn());
        let message = weights.clone().take_matrix("a", 1, 2).unwrap_err().to_string();
        assert!(message.contains("[2]") && message.contains("[1, 2]"), "{message}");
        assert!(weights.take_vector("b", 2).is_err());
        assert!(weights.clone().finish().is_err());
        weights.take_vector("a", 2).unwrap();
        weights.finish().unwrap();
    }
}
