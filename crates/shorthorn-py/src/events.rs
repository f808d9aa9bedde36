//! Events as Python makes them, and as the machines take them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_core::engine::{ClientId, ClientOp, ClientRequest};
use shorthorn_core::replica::{ConnId, Token};
use shorthorn_core::{ReplicaIndex, copier, engine, replica};

use crate::convert::{from_json, shared};
use crate::errors::UnknownReplicaError;
use crate::messages::{Reply, Request};
use crate::records::records;
use crate::work::Outcome;

records! {
    /// First event, once.
    Start {}
    /// A connection stands.
    Connected { replica: u8 }
    /// A dial failed.
    Unreachable { replica: u8, why: String }
    /// A connection ended.
    Disconnected { replica: u8, why: String }
    /// A replica's reply arrived.
    Replied { replica: u8, tag: u32, reply: Py<Reply> }
    /// The targets are to be found here now.
    Targets { targets: Py<PyBytes>, document: Option<Py<PyBytes>> }
    /// The time of the last WakeAt has come.
    Timer {}
    /// A client reads.
    ClientRead { client: u64, cookie: u64, offset: u64, length: u64 }
    /// A client writes.
    ClientWrite { client: u64, cookie: u64, offset: u64, data: Py<PyBytes>, fua: bool }
    /// A client zeroes.
    ClientZero { client: u64, cookie: u64, offset: u64, length: u64, punch: bool, fua: bool }
    /// A client flushes.
    ClientFlush { client: u64, cookie: u64 }
    /// A client asks for data and holes.
    ClientBlockStatus { client: u64, cookie: u64, offset: u64, length: u64 }
    /// A client's connection ended.
    ClientGone { client: u64 }
    /// The link to the agent stands.
    AgentConnected {}
    /// The record's answer.
    Answered { ask_id: u64, answer: Py<PyBytes> }
    /// Order: close.
    Close {}
    /// Order: remove a replica.
    Leave { replica: String }
    /// Order: end now.
    Stop {}
    /// The record says so now.
    Committed { document: Py<PyBytes> }
    /// The task is no longer wanted.
    Cancel {}
    /// A request arrived.
    Requested { conn: u64, tag: u32, request: Py<Request> }
    /// Work is done.
    Done { token: u64, outcome: Py<Outcome> }
    /// A connection ended.
    Ended { conn: u64 }
}

/// Returns what one of the arms makes of an event, or says that the machine takes no such thing.
macro_rules! choose {
    ($machine:literal, $event:ident { $($name:ident($one:pat_param) => $made:expr,)* }) => {{
        $(
            if let Ok(found) = $event.cast::<$name>() {
                let $one = found.get();
                return Ok($made);
            }
        )*
        let given = $event.get_type().name()?;
        Err(PyTypeError::new_err(format!("{} takes no {given}", $machine)))
    }};
}

/// An index that the machine has: the cores use it without a check.
fn known(replica: u8, targets: usize) -> PyResult<ReplicaIndex> {
    if usize::from(replica) < targets {
        return Ok(ReplicaIndex(replica));
    }
    Err(UnknownReplicaError::new_err(format!(
        "replica {replica} of an order with {targets}"
    )))
}

fn client(client: u64, cookie: u64, offset: u64, length: u64, op: ClientOp) -> engine::Event {
    engine::Event::Client {
        client: ClientId(client),
        cookie,
        request: ClientRequest { offset, length, op },
    }
}

/// For an engine with so many targets.
pub fn to_engine(event: &Bound<'_, PyAny>, targets: usize) -> PyResult<engine::Event> {
    use engine::Event;
    let py = event.py();
    choose!("an engine", event {
        Replied(Replied { replica, tag, reply }) => Event::Reply {
            replica: known(*replica, targets)?,
            tag: *tag,
            reply: reply.get().0.clone(),
        },
        ClientWrite(ClientWrite { client: id, cookie, offset, data, fua }) => {
            let data = shared(py, data);
            client(*id, *cookie, *offset, data.len() as u64, ClientOp::Write { data, fua: *fua })
        },
        ClientRead(it) => client(it.client, it.cookie, it.offset, it.length, ClientOp::Read),
        ClientFlush(it) => client(it.client, it.cookie, 0, 0, ClientOp::Flush),
        ClientZero(it) => {
            let op = ClientOp::Zero { punch: it.punch, fua: it.fua };
            client(it.client, it.cookie, it.offset, it.length, op)
        },
        ClientBlockStatus(it) => {
            client(it.client, it.cookie, it.offset, it.length, ClientOp::BlockStatus)
        },
        Timer(_) => Event::Timer,
        Start(_) => Event::Start,
        Connected(it) => Event::Connected { replica: known(it.replica, targets)? },
        Unreachable(it) => {
            Event::Unreachable { replica: known(it.replica, targets)?, why: it.why.clone() }
        },
        Disconnected(it) => {
            Event::Disconnected { replica: known(it.replica, targets)?, why: it.why.clone() }
        },
        ClientGone(it) => Event::ClientGone { client: ClientId(it.client) },
        AgentConnected(_) => Event::AgentConnected,
        Answered(it) => {
            Event::Answer { id: it.ask_id, answer: from_json("answer", it.answer.as_bytes(py))? }
        },
        Close(_) => Event::Close,
        Leave(it) => Event::Leave { replica: it.replica.clone() },
        Targets(it) => Event::Targets {
            targets: from_json("targets", it.targets.as_bytes(py))?,
            document: match &it.document {
                Some(document) => Some(from_json("document", document.as_bytes(py))?),
                None => None,
            },
        },
        Stop(_) => Event::Stop,
    })
}

/// For a copier with so many targets.
pub fn to_copier(event: &Bound<'_, PyAny>, targets: usize) -> PyResult<copier::Event> {
    use copier::Event;
    let py = event.py();
    choose!("a copier", event {
        Replied(Replied { replica, tag, reply }) => Event::Reply {
            replica: known(*replica, targets)?,
            tag: *tag,
            reply: reply.get().0.clone(),
        },
        Timer(_) => Event::Timer,
        Start(_) => Event::Start,
        Connected(it) => Event::Connected { replica: known(it.replica, targets)? },
        Unreachable(it) => {
            Event::Unreachable { replica: known(it.replica, targets)?, why: it.why.clone() }
        },
        Disconnected(it) => {
            Event::Disconnected { replica: known(it.replica, targets)?, why: it.why.clone() }
        },
        Targets(it) => Event::Targets { targets: from_json("targets", it.targets.as_bytes(py))? },
        Committed(it) => {
            Event::Committed { document: from_json("document", it.document.as_bytes(py))? }
        },
        Cancel(_) => Event::Cancel,
    })
}

/// For a replica.
pub fn to_replica(event: &Bound<'_, PyAny>) -> PyResult<replica::Event> {
    use replica::Event;
    choose!("a replica", event {
        Requested(Requested { conn, tag, request }) => Event::Request {
            conn: ConnId(*conn),
            tag: *tag,
            request: request.get().0.clone(),
        },
        Done(it) => Event::Done { token: Token(it.token), outcome: it.outcome.get().0.clone() },
        Ended(it) => Event::Ended { conn: ConnId(it.conn) },
    })
}
