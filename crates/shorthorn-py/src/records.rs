//! Frozen classes with named fields: what events and effects are on Python's side.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Declares frozen classes with positional and keyword construction, readable fields, patterns for `match`, and a
/// `repr` that is the same in every run; and `register`, which adds them to the module.
macro_rules! records {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[pyo3::pyclass(frozen, get_all, module = "shorthorn.native._native")]
            pub struct $name {
                $(pub $field: $type,)*
            }

            #[pyo3::pymethods]
            impl $name {
                #[new]
                fn new($($field: $type),*) -> Self {
                    Self { $($field),* }
                }

                #[classattr]
                fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, pyo3::types::PyTuple>> {
                    $crate::records::names(py, &[$(stringify!($field)),*])
                }

                fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
                    let fields = &[$(stringify!($field)),*];
                    $crate::records::repr(slf.as_any(), stringify!($name), fields)
                }
            }
        )*

        /// Adds all of them to the module.
        pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(module.add_class::<$name>()?;)*
            Ok(())
        }
    };
}
pub(crate) use records;

/// Names of fields, for `match`.
pub fn names<'py>(py: Python<'py>, fields: &[&'static str]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, fields)
}

/// `Name(field=value, …)`.
pub fn repr(record: &Bound<'_, PyAny>, name: &str, fields: &[&str]) -> PyResult<String> {
    let mut parts = Vec::with_capacity(fields.len());
    for field in fields {
        parts.push(format!("{field}={}", record.getattr(*field)?.repr()?));
    }
    Ok(format!("{name}({})", parts.join(", ")))
}
