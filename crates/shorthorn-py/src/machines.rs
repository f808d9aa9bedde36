//! The three cores: an event goes in, effects come out.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_core::replica::{Effect, Event, Work};
use shorthorn_core::{Nanos, ReplicaIndex, copier, engine, replica, why_behind};
use shorthorn_wire::agent::{CopyOrder, SessionOrder};

use crate::carry_out::{carry_out, start_of};
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
        self.targets = self.core.target_count();
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

    /// Id and node of a replica, for people.
    fn target(&self, replica: u8) -> (String, String) {
        let target = self.core.target(ReplicaIndex(replica));
        (target.replica.clone(), target.node.clone())
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

    /// Takes one event and does all its work with the files at once, syncs apart: as the replica program does under its
    /// lock. What is left to be done, in order.
    fn deliver(
        &mut self,
        event: &Bound<'_, PyAny>,
        files: &mut ReplicaFiles,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let (mut effects, mut next, py) = (Vec::new(), Vec::new(), event.py());
        let mut left = Vec::new();
        self.core.handle(events::to_replica(event)?, &mut effects);
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Do { token, work } if !matches!(work, Work::Sync) => {
                        let outcome = carry_out(&mut files.files, work);
                        self.core.handle(Event::Done { token, outcome }, &mut next);
                    }
                    other => left.push(effects::of_replica(py, other)?),
                }
            }
            std::mem::swap(&mut effects, &mut next);
        }
        Ok(left)
    }

    /// Cluster, volume and replica.
    fn identity(&self) -> (String, String, String) {
        let it = self.core.identity();
        (it.cluster.clone(), it.volume.clone(), it.replica.clone())
    }

    /// Whether this engine's seal is the one that holds.
    fn is_sealed(&self, epoch: u64, attempt: u64, engine: &str) -> bool {
        self.core.is_sealed(epoch, attempt, engine)
    }

    /// Why its content is older than the record requires.
    fn why_behind(&self, opened_epoch: u64, attempt: u64, stored_m: u64) -> Option<String> {
        why_behind(&self.core.standing(), opened_epoch, attempt, stored_m)
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
