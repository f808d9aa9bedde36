//! Engine and replica as state machines without I/O.
//!
//! Each machine takes the time and one event and leaves its effects in a list; the programs around it do what the list
//! says. Nothing here reads a clock, a file, a socket or chance. Source of every rule: docs/protocol.md.

pub mod mutants;
