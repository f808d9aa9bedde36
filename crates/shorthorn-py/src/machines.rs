//! The three cores: an event goes in, effects come out.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_core::{Nanos, copier, engine, replica};
use shorthorn_wire::agent::{CopyOrder, SessionOrder};

use crate::carry_out::start_of;
use crate::convert::{from_json, to_json};
use crate::disk::ReplicaFiles;
use crate::errors::bad_order;
use crate::{effects, events};

/// One session of one volume.
#[pyclass(module = "shorthorn.native._native")]
pub struct Engine {
    core: engine::Engine,
    targets: usize,
    out: Vec<engine::Effect>,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(order_json: &[u8], engine_id: String) -> PyResult<Self> {
        let order: SessionOrder = from_json("order", order_json)?;
        let targets = order.targets.len();
        let core = engine::Engine::new(order, engine_id).map_err(|error| bad_order(&error))?;
        Ok(Self {
            core,
            targets,
            out: Vec::new(),
        })
    }

    /// Takes one event; what is to be done, in order.
    fn handle(&mut self, now_ns: u64, event: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
        let given = events::to_engine(event, self.targets)?;
        self.core.handle(Nanos(now_ns), given, &mut self.out);
        let py = event.py();
        self.out
            .drain(..)
            .map(|effect| effects::of_engine(py, effect))
            .collect()
    }

    /// Whether more client requests may be delivered now.
    #[getter]
    fn can_take(&self) -> bool {
        self.core.can_take()
    }
}

/// Work on a detached volume without a session.
#[pyclass(module = "shorthorn.native._native")]
pub struct Copier {
    core: copier::Copier,
    targets: usize,
    out: Vec<copier::Effect>,
}

#[pymethods]
impl Copier {
    #[new]
    fn new(order_json: &[u8], engine_id: String) -> PyResult<Self> {
        let order: CopyOrder = from_json("order", order_json)?;
        let targets = order.targets.len();
        let core = copier::Copier::new(order, engine_id).map_err(|error| bad_order(&error))?;
        Ok(Self {
            core,
            targets,
            out: Vec::new(),
        })
    }

    /// Takes one event; what is to be done, in order.
    fn handle(&mut self, now_ns: u64, event: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
        let given = events::to_copier(event, self.targets)?;
        self.core.handle(Nanos(now_ns), given, &mut self.out);
        let py = event.py();
        self.out
            .drain(..)
            .map(|effect| effects::of_copier(py, effect))
            .collect()
    }
}

/// One replica of one volume.
#[pyclass(module = "shorthorn.native._native")]
pub struct Replica {
    core: replica::Replica,
    out: Vec<replica::Effect>,
}

#[pymethods]
impl Replica {
    #[new]
    fn new(files: &ReplicaFiles) -> Self {
        Self {
            core: replica::Replica::new(start_of(&files.files, &files.boot)),
            out: Vec::new(),
        }
    }

    /// Takes one event; what is to be done, in order.
    fn handle(&mut self, event: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
        let given = events::to_replica(event)?;
        self.core.handle(given, &mut self.out);
        let py = event.py();
        self.out
            .drain(..)
            .map(|effect| effects::of_replica(py, effect))
            .collect()
    }

    /// What it durably is, and its dirty regions: JSON.
    fn standing(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        to_json(py, &self.core.standing())
    }

    /// The document that it keeps: JSON.
    fn document(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        to_json(py, self.core.document())
    }

    /// Whether a connection is open for a session now.
    #[getter]
    fn is_open(&self) -> bool {
        self.core.is_open()
    }

    /// Whether requests only wait.
    #[getter]
    fn is_busy(&self) -> bool {
        self.core.is_busy()
    }

    /// Grows with everything that an agent should hear of.
    #[getter]
    fn revision(&self) -> u64 {
        self.core.revision()
    }

    /// Whether a tombstone of this document allows to delete the folder.
    fn may_delete(&self, era: u64, version: u64) -> bool {
        self.core.may_delete(era, version)
    }
}
