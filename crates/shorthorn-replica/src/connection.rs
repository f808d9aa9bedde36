//! One connection of an engine or copier: read a batch, have it done under the replica's lock, write all replies at once.
//!
//! Bytes that are no request end the connection with one line in the log, and nothing else.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shorthorn_core::replica::{ConnId, Event};
use shorthorn_wire::message::{Hello, Refusal, Reply, Request, Tag};
use shorthorn_wire::{Encoder, WireError, decode_request};

use crate::log;
use crate::outbox::Outbox;
use crate::receiver::Receiver;
use crate::slot::{Replies, Slot};
use crate::store::Store;

/// Who has not said hello by then is not one of us.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Payload of requests that are taken together under one lock.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Requests that are taken together under one lock.
const BATCH_MAX: usize = 256;
/// Replies are sent before more requests are done once this much waits.
const REPLIES_BYTES_MAX: usize = 1 << 20;

/// Why a connection ends that its peer did not end.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("no hello in {} seconds", HELLO_TIMEOUT.as_secs())]
    NoHello,
    #[error("the first message is no hello")]
    FirstMessage,
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Serves a connection until it ends.
pub fn serve(store: &Store, stream: TcpStream) {
    let conn = store.next_conn();
    let peer = stream
        .peer_addr()
        .map_or_else(|error| error.to_string(), |peer| peer.to_string());
    if let Err(end) = talk(store, conn, &stream) {
        log::warn(
            "connection given up",
            &[("conn", &conn.0), ("peer", &peer), ("why", &end)],
        );
    }
}

fn talk(store: &Store, conn: ConnId, stream: &TcpStream) -> Result<(), End> {
    let mut receiver = Receiver::new(decode_request);
    let Some((tag, hello)) = hello(&mut receiver, stream)? else {
        return Ok(());
    };
    let outbox = Arc::new(Outbox::new(conn, stream.try_clone()?));
    let slot = match store.find(&hello.replica) {
        Ok(slot) if slot.join(&outbox) => slot,
        Ok(_) => return refuse(&outbox, tag, "this replica is being deleted".to_owned()),
        Err(error) => return refuse(&outbox, tag, error.to_string()),
    };
    let engine = hello.engine.clone();
    log::info(
        "connected",
        &[
            ("replica", &slot.name),
            ("conn", &conn.0),
            ("engine", &engine),
        ],
    );
    let mut connection = Connection {
        slot: &slot,
        outbox: &outbox,
    };
    let end = connection.run(&mut receiver, stream, (tag, Request::Hello(hello)));
    slot.leave(conn);
    if end.is_ok() {
        log::info(
            "disconnected",
            &[
                ("replica", &slot.name),
                ("conn", &conn.0),
                ("engine", &engine),
            ],
        );
    }
    end
}

/// The first message. None: the peer went away before.
fn hello(
    receiver: &mut Receiver<Request>,
    stream: &TcpStream,
) -> Result<Option<(Tag, Hello)>, End> {
    let until = Instant::now() + HELLO_TIMEOUT;
    loop {
        match receiver.take()? {
            Some((tag, Request::Hello(hello))) => {
                stream.set_read_timeout(None)?;
                return Ok(Some((tag, hello)));
            }
            Some(_) => return Err(End::FirstMessage),
            None => {}
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(End::NoHello);
        }
        stream.set_read_timeout(Some(left))?;
        match receiver.read(stream) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(End::NoHello),
            Err(error) => return Err(error.into()),
        }
    }
}

fn refuse(outbox: &Outbox, tag: Tag, detail: String) -> Result<(), End> {
    log::info(
        "hello refused",
        &[("conn", &outbox.conn.0), ("why", &detail)],
    );
    let reply = Reply::Refused {
        why: Refusal::Unknown,
        detail,
    };
    // Details are cut to a length that fits.
    let _fits = Encoder::new().reply(tag, &reply, &mut outbox.queue());
    Ok(outbox.flush()?)
}

/// A connection that said hello.
struct Connection<'a> {
    slot: &'a Arc<Slot>,
    outbox: &'a Arc<Outbox>,
}

impl Connection<'_> {
    fn run(
        &mut self,
        receiver: &mut Receiver<Request>,
        stream: &TcpStream,
        first: (Tag, Request),
    ) -> Result<(), End> {
        let mut batch = vec![first];
        loop {
            fill(receiver, &mut batch)?;
            if batch.is_empty() {
                if !receiver.read(stream)? {
                    // Replies that were queued before it was ended are still to go out.
                    return Ok(self.outbox.flush()?);
                }
                continue;
            }
            if !self.serve(&mut batch)? {
                return Ok(self.outbox.flush()?);
            }
        }
    }

    /// Has a batch done and sends the replies. False: the connection has ended.
    fn serve(&self, batch: &mut Vec<(Tag, Request)>) -> Result<bool, End> {
        let conn = self.outbox.conn;
        let mut requests = batch.drain(..).peekable();
        while requests.peek().is_some() {
            let mut replies = Replies::default();
            let mut inner = self.slot.lock();
            let mut ready = true;
            while let Some((tag, request)) =
                requests.next_if(|_| self.outbox.queue().len() < REPLIES_BYTES_MAX)
            {
                (inner, ready) = self.slot.wait_ready(inner, conn);
                if !ready {
                    break;
                }
                replies.add(inner.deliver(self.slot, Event::Request { conn, tag, request }));
                if inner.core().is_busy() {
                    break;
                }
            }
            drop(inner);
            replies.flush(Some(conn));
            if !ready {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Adds what came whole already.
fn fill(receiver: &mut Receiver<Request>, batch: &mut Vec<(Tag, Request)>) -> Result<(), End> {
    let mut bytes = 0;
    while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
        let Some((tag, request)) = receiver.take()? else {
            break;
        };
        bytes += match &request {
            Request::Write { data, .. } => data.len(),
            Request::Copy { blocks, .. } => blocks.data.len(),
            _ => 0,
        };
        batch.push((tag, request));
    }
    Ok(())
}
