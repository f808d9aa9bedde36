//! JSON and bytes, both ways.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::errors::JsonError;

/// What `json` says, as the type that is wanted.
pub fn from_json<T: DeserializeOwned>(what: &str, json: &[u8]) -> PyResult<T> {
    serde_json::from_slice(json).map_err(|error| JsonError::new_err(format!("{what}: {error}")))
}

/// JSON of a value.
pub fn to_json<T: Serialize>(py: Python<'_>, value: &T) -> PyResult<Py<PyBytes>> {
    let json = serde_json::to_vec(value).map_err(|error| JsonError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &json).unbind())
}

/// A copy of Python's bytes, to be shared from here on.
pub fn shared(py: Python<'_>, data: &Py<PyBytes>) -> Bytes {
    Bytes::copy_from_slice(data.as_bytes(py))
}

/// The name that JSON has for a value without fields.
pub fn name_of<T: Serialize>(value: &T) -> PyResult<String> {
    let quoted = serde_json::to_string(value);
    let quoted = quoted.map_err(|error| JsonError::new_err(error.to_string()))?;
    Ok(quoted.trim_matches('"').to_owned())
}
