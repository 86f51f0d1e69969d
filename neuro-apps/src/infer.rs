//! One inference on given tensors, to compare a model with its original.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};

use crate::app::Tensors;
use crate::error::{Error, Result};
use crate::registry::App;

/// The name of the output tensor.
pub const OUTPUT: &str = "output";

/// What to infer on, and where the answer goes.
#[cfg_attr(feature = "serve", derive(clap::Args))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferArgs {
    /// Application whose model infers
    #[cfg_attr(feature = "serve", arg(long, value_name = "ID"))]
    pub app: String,

    /// Checkpoint to load, under the names of the Python original; random weights if left out
    #[cfg_attr(feature = "serve", arg(long, value_name = "FILE.safetensors"))]
    pub weights: Option<PathBuf>,

    /// Input tensors; the application's own fixed input of one batch if left out
    #[cfg_attr(feature = "serve", arg(long, value_name = "FILE.safetensors"))]
    pub input: Option<PathBuf>,

    /// File to write, with the one tensor `output`
    #[cfg_attr(feature = "serve", arg(long, value_name = "FILE.safetensors"))]
    pub output: PathBuf,

    /// Seed of random weights and of the application's own input
    #[cfg_attr(feature = "serve", arg(long, value_name = "S", default_value_t = 0))]
    pub seed: u64,
}

/// Runs one inference of `app` and writes its output; returns the output's shape. The file is written aside and renamed.
///
/// # Errors
///
/// [`Error::Checkpoint`] or [`Error::Input`] when a file does not fit, [`Error::Tensor`] when an input has a shape that the model
/// cannot take, [`Error::Io`] when the output cannot be written.
pub fn infer(args: &InferArgs, app: &App) -> Result<Vec<usize>> {
    let model = app.load(args.seed, args.weights.as_deref())?;
    let inputs = match &args.input {
        Some(path) => read_inputs(app, path, &model.example(args.seed, 1)?)?,
        None => model.example(args.seed, app.default_batch)?,
    };
    let output = model.forward(&inputs)?;
    let aside = args.output.with_extension(format!("{}.part", std::process::id()));
    let written = safetensors::save(&[(OUTPUT, output.clone())].into(), &aside);
    let renamed = written.and_then(|()| std::fs::rename(&aside, &args.output).map_err(candle_core::Error::wrap));
    if let Err(error) = renamed {
        let _ = std::fs::remove_file(&aside);
        let source = std::io::Error::other(format!("{}: {error}", args.output.display()));
        return Err(Error::Io { action: "writing the output", source });
    }
    Ok(output.dims().to_vec())
}

/// The tensors of a file in the data types of the `example`, whose names they must have.
fn read_inputs(app: &App, path: &Path, example: &Tensors) -> Result<Tensors> {
    let wrong =
        |reason: String| Error::Input { app: app.id.to_owned(), reason: format!("{}: {reason}", path.display()) };
    let expected = || {
        let one = |(name, tensor): (&String, &Tensor)| format!("`{name}` {:?} of {:?}", tensor.dims(), tensor.dtype());
        format!("expected {} (for a batch of 1)", example.iter().map(one).collect::<Vec<_>>().join(" and "))
    };
    let given = safetensors::load(path, &Device::Cpu).map_err(|e| wrong(e.to_string()))?;
    if let Some(unknown) = given.keys().find(|name| !example.contains_key(*name)) {
        return Err(wrong(format!("there is a tensor `{unknown}`; {}", expected())));
    }
    let mut inputs = Tensors::new();
    for (name, like) in example {
        let tensor = given.get(name).ok_or_else(|| wrong(format!("there is no tensor `{name}`; {}", expected())))?;
        if tensor.rank() != like.rank() || tensor.elem_count() == 0 {
            return Err(wrong(format!("`{name}` has shape {:?}; {}", tensor.dims(), expected())));
        }
        inputs.insert(name.clone(), tensor.to_dtype(like.dtype())?);
    }
    Ok(inputs)
}
