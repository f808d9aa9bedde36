//! The cores of engine, copier and replica, and the disk code on simulated disks, for Python.
//!
//! Conversion only: no rule, no clock, no I/O lives here. What the boundary looks like and why:
//! docs/decisions/0008-native-boundary.md. What each class means: `_native.pyi`.

mod carry_out;
mod convert;
mod disk;
// The program's own file: what the simulator tries is what ships. The program is no library, so it can't be depended on.
#[path = "../../shorthorn-replica/src/disk_work.rs"]
mod disk_work;
mod effects;
mod errors;
mod events;
mod machines;
mod messages;
mod records;
mod unions;
mod work;

use pyo3::prelude::*;

/// What `disk_work` finds in the place of the program's log.
mod log {
    /// Nothing is told here: the outcome says the same to whoever drives the replica.
    pub fn error(_message: &str, _fields: &[(&str, &dyn std::fmt::Display)]) {}
}

/// Version of this package, of the wire languages and of the on-disk format.
#[pyfunction]
fn versions() -> (&'static str, u32, u32) {
    (
        env!("CARGO_PKG_VERSION"),
        shorthorn_wire::WIRE_VERSION,
        shorthorn_disk::FORMAT_VERSION,
    )
}

/// Takes the named rule out of this process; an empty name puts all rules back. False: no such name.
#[cfg(feature = "mutants")]
#[pyfunction]
fn choose_mutant(name: &str) -> bool {
    shorthorn_core::mutants::choose(name)
}

/// Engine, copier and replica cores and simulated disks.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(versions, module)?)?;
    #[cfg(feature = "mutants")]
    module.add_function(wrap_pyfunction!(choose_mutant, module)?)?;
    errors::register(module)?;
    events::register(module)?;
    effects::register(module)?;
    unions::register(module)?;
    module.add_class::<messages::Request>()?;
    module.add_class::<messages::Reply>()?;
    module.add_class::<work::Work>()?;
    module.add_class::<work::Outcome>()?;
    module.add_class::<machines::Engine>()?;
    module.add_class::<machines::Copier>()?;
    module.add_class::<machines::Replica>()?;
    module.add_class::<disk::SimDisk>()?;
    module.add_class::<disk::SyncHandle>()?;
    module.add_class::<disk::ReplicaFiles>()
}
