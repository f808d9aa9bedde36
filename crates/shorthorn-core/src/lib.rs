//! Engine, copier and replica as state machines without I/O.
//!
//! Each machine takes the time and one event and leaves its effects in a list; the programs around it do what the list
//! says. Nothing here reads a clock, a file, a socket or chance. Source of every rule: docs/protocol.md.
//!
//! - [`engine`]: one session of one volume;
//! - [`copier`]: work on a detached volume without a session.

pub mod copier;
pub mod engine;
pub mod mutants;
pub mod replica;

mod blocks;
mod calls;
mod equaliser;
mod nanos;
mod order;
mod post;
mod ranges;
mod replica_set;
mod sealer;

pub use nanos::Nanos;
pub use order::BadOrder;
pub use replica_set::{REPLICAS_MAX, ReplicaIndex, ReplicaSet};
pub use sealer::why_behind;
