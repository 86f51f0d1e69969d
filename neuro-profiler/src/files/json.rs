use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, Result};
use neuro_data::files::write_atomic;

/// The top-level object of a JSON file.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let text = fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let value = serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(refuse(path, "top level", format!("must be an object, but is {other}"))),
    }
}

/// Writes pretty JSON with a final newline.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    text.push(b'\n');
    Ok(write_atomic(path, &text)?)
}

pub(crate) fn refuse(path: &Path, key: impl Into<String>, problem: impl Into<String>) -> Error {
    Error::Key { path: path.to_owned(), key: key.into(), problem: problem.into() }
}
