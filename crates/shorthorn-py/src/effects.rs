//! Effects as the machines give them, and as Python gets them.

use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_core::engine::{ClientAnswer, ClientError};
use shorthorn_core::{copier, engine, replica};

use crate::convert::{name_of, to_json};
use crate::messages::{Reply, Request};
use crate::records::records;
use crate::work::Work;

records! {
    /// Connect.
    Dial { replica: u8, address: String }
    /// End the connection, or stop dialling.
    HangUp { replica: u8 }
    /// Send a request.
    Send { replica: u8, tag: u32, request: Py<Request> }
    /// Deliver Timer then.
    WakeAt { at_ns: u64 }
    /// A client's request is done.
    ClientDone { client: u64, cookie: u64 }
    /// What a client has read.
    ClientData { client: u64, cookie: u64, data: Py<PyBytes> }
    /// Data and holes for a client.
    ClientExtents { client: u64, cookie: u64, extents: Vec<(u64, bool)> }
    /// A client's request was not done.
    ClientRefused { client: u64, cookie: u64, error: String }
    /// Ask for an event of the record.
    Ask { ask_id: u64, ask: Py<PyBytes> }
    /// Start to accept clients.
    Serve { endpoint: String }
    /// Accept no clients any more.
    StopServing { break_clients: bool }
    /// What the agent is to know.
    Status { phase: String, waits_for: Option<String>, needed: Vec<String>, resyncs: Py<PyBytes> }
    /// The engine is over.
    Exit { clean: bool, why: String }
    /// How far a copier is.
    Progress { done: u64, total: u64, waits_for: Option<String> }
    /// The record may say so.
    Ready { sealed: Vec<String> }
    /// The copier is over: the members have stored the document.
    Finished {}
    /// The copier is over, without an effect.
    Failed { why: String }
    /// Do something on disk.
    Do { token: u64, work: Py<Work> }
    /// Send a reply.
    SendReply { conn: u64, tag: u32, reply: Py<Reply> }
    /// End a connection.
    End { conn: u64, why: String }
}

/// An effect as Python gets it.
type Object = Py<PyAny>;

fn object<T: PyClass + Into<PyClassInitializer<T>>>(py: Python<'_>, record: T) -> PyResult<Object> {
    Ok(Py::new(py, record)?.into_any())
}

fn send(
    py: Python<'_>,
    replica: u8,
    tag: u32,
    request: shorthorn_wire::message::Request,
) -> PyResult<Object> {
    let request = Py::new(py, Request(request))?;
    object(
        py,
        Send {
            replica,
            tag,
            request,
        },
    )
}

fn answer(
    py: Python<'_>,
    client: u64,
    cookie: u64,
    result: Result<ClientAnswer, ClientError>,
) -> PyResult<Object> {
    match result {
        Ok(ClientAnswer::Done) => object(py, ClientDone { client, cookie }),
        Ok(ClientAnswer::Data(data)) => {
            let data = PyBytes::new(py, &data).unbind();
            object(
                py,
                ClientData {
                    client,
                    cookie,
                    data,
                },
            )
        }
        Ok(ClientAnswer::Extents(extents)) => {
            let extents = extents
                .iter()
                .map(|extent| (extent.length, extent.data))
                .collect();
            object(
                py,
                ClientExtents {
                    client,
                    cookie,
                    extents,
                },
            )
        }
        Err(error) => {
            let error = match error {
                ClientError::Invalid => "invalid",
                ClientError::ReadOnly => "read_only",
                ClientError::NoSpace => "no_space",
                ClientError::Io => "io",
                ClientError::NotServing => "not_serving",
            };
            let error = error.to_owned();
            object(
                py,
                ClientRefused {
                    client,
                    cookie,
                    error,
                },
            )
        }
    }
}

/// Of an engine.
pub fn of_engine(py: Python<'_>, effect: engine::Effect) -> PyResult<Object> {
    use engine::Effect;
    match effect {
        Effect::Dial { replica, address } => object(
            py,
            Dial {
                replica: replica.0,
                address,
            },
        ),
        Effect::HangUp { replica } => object(py, HangUp { replica: replica.0 }),
        Effect::Send {
            replica,
            tag,
            request,
        } => send(py, replica.0, tag, request),
        Effect::Answer {
            client,
            cookie,
            result,
        } => answer(py, client.0, cookie, result),
        Effect::Ask { id, ask } => object(
            py,
            Ask {
                ask_id: id,
                ask: to_json(py, &ask)?,
            },
        ),
        Effect::Serve { endpoint } => object(py, Serve { endpoint }),
        Effect::StopServing { break_clients } => object(py, StopServing { break_clients }),
        Effect::Status(status) => {
            let phase = name_of(&status.phase)?;
            let (waits_for, needed) = (status.waits_for, status.needed);
            let resyncs = to_json(py, &status.resyncs)?;
            object(
                py,
                Status {
                    phase,
                    waits_for,
                    needed,
                    resyncs,
                },
            )
        }
        Effect::Exit { clean, why } => object(py, Exit { clean, why }),
        Effect::WakeAt(at) => object(py, WakeAt { at_ns: at.0 }),
    }
}

/// Of a copier.
pub fn of_copier(py: Python<'_>, effect: copier::Effect) -> PyResult<Object> {
    use copier::Effect;
    match effect {
        Effect::Dial { replica, address } => object(
            py,
            Dial {
                replica: replica.0,
                address,
            },
        ),
        Effect::HangUp { replica } => object(py, HangUp { replica: replica.0 }),
        Effect::Send {
            replica,
            tag,
            request,
        } => send(py, replica.0, tag, request),
        Effect::Progress {
            done,
            total,
            waits_for,
        } => object(
            py,
            Progress {
                done,
                total,
                waits_for,
            },
        ),
        Effect::Ready { sealed } => object(py, Ready { sealed }),
        Effect::Finished => object(py, Finished {}),
        Effect::Failed { why } => object(py, Failed { why }),
        Effect::WakeAt(at) => object(py, WakeAt { at_ns: at.0 }),
    }
}

/// Of a replica.
pub fn of_replica(py: Python<'_>, effect: replica::Effect) -> PyResult<Object> {
    use replica::Effect;
    match effect {
        Effect::Do { token, work } => {
            let work = Py::new(py, Work(work))?;
            object(
                py,
                Do {
                    token: token.0,
                    work,
                },
            )
        }
        Effect::Send { conn, tag, reply } => {
            let reply = Py::new(py, Reply(reply))?;
            object(
                py,
                SendReply {
                    conn: conn.0,
                    tag,
                    reply,
                },
            )
        }
        Effect::End { conn, why } => object(py, End { conn: conn.0, why }),
    }
}
