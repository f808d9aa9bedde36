//! One replica of one volume: who may do what to it, and in which order things become durable.
//!
//! The replica never reads or writes anything itself and never decides who is in-sync: it is told, remembers, and refuses
//! whatever is older. The program around it delivers [`Event`]s one at a time and carries out [`Effect`]s in order.
//! Start at [`Replica::handle`]; the guards are a table in `guard.rs`. Source: docs/protocol.md, sections 1 to 3.

mod api;
mod content;
mod gate;
mod guard;
mod machine;
mod marks;
mod sync;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

pub use api::{ConnId, Durable, Effect, Event, Identity, Outcome, Start, Token, Work};
pub use machine::Replica;
