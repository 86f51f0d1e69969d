//! Weights from a safetensors file, checked name by name.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result as TensorResult, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::{SimpleBackend, VarBuilder};
use safetensors::tensor::Metadata;

use crate::error::{Error, Result};

/// Endings of the names of tensors that checkpoints carry and inference has no use for: the counter of batch norm's training steps
/// (PyTorch) and the positions 0, 1, 2, … (older releases of Hugging Face transformers).
const NOT_WEIGHTS: [&str; 2] = [".num_batches_tracked", ".position_ids"];
/// The length of a file's header, in bytes, stands in so many bytes at its beginning.
const HEADER_LENGTH: usize = 8;
/// The longest header of the format, in bytes.
const HEADER_LIMIT: u64 = 100_000_000;

/// A safetensors file whose tensors a model asks for one after another; afterwards [`check_used`](Self::check_used) tells whether
/// file and model fit.
///
/// Tensors are read from the file when they are asked for, so that a model needs the memory of its weights once. Half-precision
/// tensors become 32-bit floats.
///
/// ```no_run
/// use neuro_apps::apps::iclf_mnet::MobileNetV3;
/// use neuro_apps::weights::Checkpoint;
///
/// # fn main() -> neuro_apps::error::Result<()> {
/// let checkpoint = Checkpoint::open("mobilenet_v3_large.safetensors".as_ref())?;
/// let model = MobileNetV3::load(checkpoint.var_builder())?;
/// checkpoint.check_used()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoint {
    file: Arc<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Position of the first tensor's bytes in the file.
    data_start: u64,
    asked: Mutex<Asked>,
}

/// What a model has asked for, and what of that the file could not give.
#[derive(Debug, Default)]
struct Asked {
    names: BTreeSet<String>,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl Checkpoint {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`] when it cannot be read, is no safetensors file or has been cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |reason: String| Error::Checkpoint { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|e| failed(format!("cannot be opened: {e}")))?;
        let length = file.metadata().map_err(|e| failed(e.to_string()))?.len();
        let mut bytes = [0; HEADER_LENGTH];
        file.read_exact_at(&mut bytes, 0).map_err(|_| failed("is shorter than a safetensors header".to_owned()))?;
        let header = u64::from_le_bytes(bytes);
        if header > HEADER_LIMIT || header > length {
            return Err(failed("is no safetensors file: the length of its header is impossible".to_owned()));
        }
        let mut bytes = vec![0; header as usize];
        file.read_exact_at(&mut bytes, HEADER_LENGTH as u64)
            .map_err(|_| failed("ends within its header".to_owned()))?;
        let metadata: Metadata =
            serde_json::from_slice(&bytes).map_err(|e| failed(format!("is no safetensors file: {e}")))?;
        let data_start = HEADER_LENGTH as u64 + header;
        let end = data_start.saturating_add(metadata.data_len() as u64);
        if end != length {
            return Err(failed(format!("has {length} bytes, but its header speaks of {end}")));
        }
        let path = path.to_owned();
        Ok(Self { file: Arc::new(OpenFile { path, file, metadata, data_start, asked: Mutex::default() }) })
    }

    /// A [`VarBuilder`] over the file: 32-bit floats in main memory. A tensor that is missing or has another shape is answered
    /// with zeros and told by [`check_used`](Self::check_used), so that one error names all of them.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, Device::Cpu)
    }

    /// Checks that every tensor asked for was there in the shape expected, and that every tensor of the file was asked for. Training
    /// counters and position numbers may stand in the file all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Checkpoint`], which names the missing, the unexpected and the misshapen tensors.
    pub fn check_used(&self) -> Result<()> {
        let asked = self.file.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let weights = |name: &String| !NOT_WEIGHTS.iter().any(|ending| name.ends_with(ending));
        let mut unexpected: Vec<String> = self.file.metadata.offset_keys();
        unexpected.retain(|name| weights(name) && !asked.names.contains(name));
        let faults: Vec<String> =
            [("missing", &asked.missing), ("unexpected", &unexpected), ("of another shape", &asked.misshapen)]
                .into_iter()
                .filter(|(_, names)| !names.is_empty())
                .map(|(fault, names)| format!("{fault}: {}", listed(names)))
                .collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::Checkpoint {
            path: self.file.path.clone(),
            reason: format!("does not fit the model; {}", faults.join("; ")),
        })
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

impl SimpleBackend for Checkpoint {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> TensorResult<Tensor> {
        let file = &self.file;
        let mut asked = file.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.names.insert(name.to_owned());
        let Some(info) = file.metadata.info(name) else {
            asked.missing.push(name.to_owned());
            return Tensor::zeros(shape, dtype, device);
        };
        if info.shape != shape.dims() {
            asked.misshapen.push(format!("{name} is {:?}, expected {:?}", info.shape, shape.dims()));
            return Tensor::zeros(shape, dtype, device);
        }
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end - start];
        file.file.read_exact_at(&mut bytes, file.data_start + start as u64).map_err(candle_core::Error::wrap)?;
        Tensor::from_raw_buffer(&bytes, info.dtype.try_into()?, &info.shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> TensorResult<Tensor> {
        candle_core::bail!("tensor `{name}` was asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.file.metadata.info(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::fs;

    fn file(name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("neuro-checkpoint-{}-{name}", std::process::id()));
        let tensors: HashMap<String, Tensor> = tensors.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        path
    }

    fn ramp(count: usize) -> Tensor {
        Tensor::arange(0f32, count as f32, &Device::Cpu).unwrap()
    }

    #[test]
    fn tensors_are_read_and_converted() {
        let matrix = ramp(6).reshape((2, 3)).unwrap();
        let half = ramp(4).to_dtype(DType::BF16).unwrap();
        let steps = Tensor::new(7i64, &Device::Cpu).unwrap();
        let path = file("fits", &[("a.weight", matrix.clone()), ("a.bias", half), ("a.num_batches_tracked", steps)]);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let vb = checkpoint.var_builder().pp("a");
        assert_eq!(vb.get((2, 3), "weight").unwrap().to_vec2::<f32>().unwrap(), matrix.to_vec2::<f32>().unwrap());
        assert_eq!(vb.get(4, "bias").unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 2.0, 3.0]);
        assert!(vb.contains_tensor("weight") && !vb.contains_tensor("wait"));
        checkpoint.check_used().unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn missing_extra_and_misshapen_tensors_are_all_named() {
        let path = file("differs", &[("kept", ramp(2)), ("left.over", ramp(3)), ("turned", ramp(4))]);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let vb = checkpoint.var_builder();
        vb.get(2, "kept").unwrap();
        vb.get((2, 2), "turned").unwrap();
        for i in 0..10 {
            vb.get(1, &format!("gone.{i}")).unwrap();
        }
        let message = checkpoint.check_used().unwrap_err().to_string();
        for part in [
            "differs",
            "missing: gone.0, gone.1",
            "and 2 more",
            "unexpected: left.over",
            "turned is [4], expected [2, 2]",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("kept"), "{message}");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn damaged_files_are_refused() {
        let path = file("whole", &[("x", ramp(8))]);
        let whole = fs::read(&path).unwrap();
        let mut header_too_long = whole.clone();
        header_too_long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        let mut no_json = whole.clone();
        no_json[8] = b'!';
        let text = String::from_utf8_lossy(&whole[8..]).into_owned();
        let mut other_shape = whole.clone();
        other_shape[8 + text.find("[8]").unwrap() + 1] = b'7';
        for (bytes, reason) in [
            (&whole[..0], "shorter"),
            (&whole[..20], "impossible"),
            (&whole[..whole.len() - 1], "bytes"),
            (&header_too_long[..], "impossible"),
            (&no_json[..], "no safetensors"),
            (&other_shape[..], "invalid shape"),
        ] {
            fs::write(&path, bytes).unwrap();
            let message = Checkpoint::open(&path).unwrap_err().to_string();
            assert!(message.contains(reason), "{reason}: {message}");
        }
        fs::remove_file(&path).unwrap();
        assert!(Checkpoint::open(&path).unwrap_err().to_string().contains("cannot be opened"));
    }
}
