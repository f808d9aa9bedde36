//! Simulated disks, and the real disk code on them.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_disk::{self as disk, Disk, Identity};
use std::path::PathBuf;
use std::sync::Arc;

use crate::carry_out::{carry_out, sync};
use crate::convert::{from_json, to_json};
use crate::errors::disk_error;
use crate::work::{Outcome, Work};

/// A disk in memory that loses, tears, rots, fills up and fails.
#[pyclass(frozen, module = "shorthorn.native._native")]
pub struct SimDisk(Arc<disk::SimDisk>);

#[pymethods]
impl SimDisk {
    #[new]
    fn new() -> Self {
        Self(Arc::new(disk::SimDisk::new()))
    }

    /// Calls so far that change or sync something.
    #[getter]
    fn steps(&self) -> u64 {
        self.0.steps()
    }

    /// The process dies in the middle of the step with this number.
    fn crash_at(&self, step: u64) {
        self.0.crash_at(step);
    }

    /// Whether that step has come.
    #[getter]
    fn is_down(&self) -> bool {
        self.0.is_down()
    }

    /// The process is gone; the page cache stays.
    fn crash_process(&self) {
        self.0.crash_process();
    }

    /// The power is gone: what was not synced is there or not.
    fn power_loss(&self, seed: u64) {
        self.0.power_loss(seed);
    }

    /// The kernel writes back some of what is not synced.
    fn writeback(&self, seed: u64) {
        self.0.writeback(seed);
    }

    /// Syncs of files and folders so far.
    #[getter]
    fn syncs(&self) -> u64 {
        self.0.syncs()
    }

    /// How many bytes fit; None: any number.
    fn set_capacity(&self, capacity_bytes: Option<u64>) {
        self.0.set_capacity(capacity_bytes);
    }

    /// Bytes that its files take.
    #[getter]
    fn used(&self) -> u64 {
        self.0.used()
    }

    /// The write after `skip` others fails.
    fn fail_write(&self, skip: u64) {
        self.0.fail_write(skip);
    }

    /// The file sync after `skip` others fails.
    fn fail_sync(&self, skip: u64) {
        self.0.fail_sync(skip);
    }

    /// Flips bits of one byte.
    fn rot(&self, path: PathBuf, offset: u64, mask: u8) -> PyResult<()> {
        Ok(self.0.rot(&path, offset, mask)?)
    }

    /// Flips a bit somewhere in what a file holds.
    fn rot_somewhere(&self, path: PathBuf, seed: u64) -> PyResult<Option<u64>> {
        Ok(self.0.rot_somewhere(&path, seed)?)
    }

    /// Makes a folder.
    fn create_dir(&self, path: PathBuf) -> PyResult<()> {
        Ok(self.0.create_dir(&path)?)
    }

    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: PathBuf) -> PyResult<()> {
        Ok(self.0.sync_dir(&path)?)
    }

    /// Names in a folder.
    fn names(&self, path: PathBuf) -> PyResult<Vec<String>> {
        Ok(self.0.list(&path)?)
    }

    /// Names of the replica folders in a folder.
    fn replicas(&self, folder: PathBuf) -> PyResult<Vec<String>> {
        disk::list(&*self.0, &folder).map_err(|error| disk_error(&error))
    }

    /// Removes what crashes left of folders that were being made or deleted.
    fn sweep(&self, folder: PathBuf) -> PyResult<()> {
        disk::sweep(&*self.0, &folder).map_err(|error| disk_error(&error))
    }

    /// Deletes a replica folder for good.
    fn delete(&self, root: PathBuf) -> PyResult<()> {
        disk::delete(&*self.0, &root).map_err(|error| disk_error(&error))
    }
}

/// A sync to be done, as the replica program's thread does it.
#[pyclass(frozen, module = "shorthorn.native._native")]
pub struct SyncHandle(disk::SyncHandle<disk::SimDisk>);

#[pymethods]
impl SyncHandle {
    /// Syncs.
    fn sync(&self) -> Outcome {
        Outcome(sync(&self.0))
    }
}

/// One replica's files on a simulated disk.
#[pyclass(module = "shorthorn.native._native")]
pub struct ReplicaFiles {
    pub files: disk::ReplicaFiles<disk::SimDisk>,
    pub boot: String,
}

#[pymethods]
impl ReplicaFiles {
    /// Makes a new, empty, durable replica folder.
    #[staticmethod]
    #[pyo3(signature = (sim, root, *, identity, attempt, document, boot))]
    fn create(
        sim: &SimDisk,
        root: PathBuf,
        identity: &[u8],
        attempt: u64,
        document: &[u8],
        boot: String,
    ) -> PyResult<Self> {
        let identity: Identity = from_json("identity", identity)?;
        let document = from_json("document", document)?;
        let sim = Arc::clone(&sim.0);
        let files = disk::ReplicaFiles::create(sim, &root, identity, attempt, &document, &boot);
        Ok(Self {
            files: files.map_err(|error| disk_error(&error))?,
            boot,
        })
    }

    /// Opens a replica folder.
    #[staticmethod]
    #[pyo3(signature = (sim, root, *, boot))]
    fn open(sim: &SimDisk, root: PathBuf, boot: String) -> PyResult<Self> {
        let files = disk::ReplicaFiles::open(Arc::clone(&sim.0), &root, &boot);
        Ok(Self {
            files: files.map_err(|error| disk_error(&error))?,
            boot,
        })
    }

    /// Does a replica's work.
    fn carry_out(&mut self, work: &Work) -> Outcome {
        Outcome(carry_out(&mut self.files, work.0.clone()))
    }

    /// All that was written before this call, to be synced beside other work.
    fn sync_handle(&self) -> SyncHandle {
        SyncHandle(self.files.sync_handle())
    }

    /// What is durable: JSON.
    fn header(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        to_json(py, self.files.header())
    }

    /// The volume's last known document: JSON.
    fn document(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        to_json(py, self.files.document())
    }

    /// Size of the volume, bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.files.size()
    }

    /// Dirty regions: first and count.
    fn marks(&self) -> Vec<(u64, u64)> {
        self.files
            .marks()
            .iter()
            .map(|run| (run.first, run.count))
            .collect()
    }

    /// Membership number of a region's last clear.
    fn stamp(&self, region: u64) -> u64 {
        self.files.stamp(region)
    }

    /// Bytes of content.
    fn read(&mut self, py: Python<'_>, offset: u64, length: u64) -> PyResult<Py<PyBytes>> {
        let mut data = Vec::new();
        let read = self.files.read(offset, length, &mut data);
        read.map_err(|error| disk_error(&error))?;
        Ok(PyBytes::new(py, &data).unbind())
    }

    /// Space that the folder takes, bytes.
    fn used_bytes(&self) -> PyResult<u64> {
        self.files.used_bytes().map_err(|error| disk_error(&error))
    }
}
