//! Real files, by the system calls of Linux. Nothing else in this crate touches the operating system.

/// The file systems of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// An open file of [`RealDisk`].
#[derive(Debug)]
pub struct RealFile(#[allow(dead_code)] std::fs::File);
