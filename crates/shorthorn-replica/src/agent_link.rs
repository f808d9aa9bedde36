//! The link to the agent of this node: dialled again whenever it ends. Nothing a connection does waits for it.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::agent::{Hello, ToAgent, ToProgram};
use shorthorn_wire::lines::{LineError, Lines, encode};

use crate::log;
use crate::orders::Orders;
use crate::reports::Next;
use crate::store::Store;

/// Before the first dial of a row, and what it grows to.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// An agent that takes nothing for this long hangs.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Line(#[from] LineError),
    #[error("it takes no answers")]
    Full,
}

/// Keeps the link for ever.
pub fn run(store: &Arc<Store>, address: SocketAddr, mut orders: Orders) {
    let mut backoff = BACKOFF_MIN;
    let mut away = false;
    loop {
        match UnixStream::connect(&store.settings.agent) {
            Ok(stream) => {
                log::info("agent linked", &[]);
                let end = talk(store, address, &stream, &mut orders);
                match end {
                    Ok(()) => log::info("agent's link ended", &[]),
                    Err(why) => log::warn("agent's link given up", &[("why", &why)]),
                }
                (backoff, away) = (BACKOFF_MIN, false);
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    log::info("agent is away, serving on", &[("why", &error)]);
                }
            }
        }
        thread::sleep(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

fn talk(
    store: &Arc<Store>,
    address: SocketAddr,
    stream: &UnixStream,
    orders: &mut Orders,
) -> Result<(), LinkError> {
    stream.set_write_timeout(Some(SEND_TIMEOUT))?;
    let hello = Hello::Replica {
        wire: WIRE_VERSION,
        disk: store.settings.disk_uid.clone(),
        address: address.to_string(),
        pid: std::process::id(),
    };
    (&*stream).write_all(&encode(&hello)?)?;
    let link = store.reports.link_up();
    thread::scope(|scope| {
        let sender = thread::Builder::new().name("agent-sender".to_owned());
        let sender = sender.spawn_scoped(scope, || send(store, link, stream));
        let end = match sender {
            Ok(_) => receive(stream, orders),
            Err(error) => Err(error.into()),
        };
        store.reports.link_down();
        end
    })
}

fn receive(mut stream: &UnixStream, orders: &mut Orders) -> Result<(), LinkError> {
    let (mut lines, mut buffer) = (Lines::new(), vec![0; 16 << 10]);
    loop {
        while let Some(order) = lines.take::<ToProgram>()? {
            if !orders.take(order) {
                return Err(LinkError::Full);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => lines.extend(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends until the link is over; ends it if it can't be sent to.
fn send(store: &Store, link: u64, mut stream: &UnixStream) {
    loop {
        let line = match store.reports.next(link) {
            Next::Over => return,
            Next::Line(line) => line,
            Next::List => ToAgent::Result {
                id: 0,
                error: None,
                replicas: store.held(),
            },
        };
        let sent = encode(&line)
            .map_err(LinkError::from)
            .and_then(|line| Ok(stream.write_all(&line)?));
        if let Err(why) = sent {
            log::warn("agent can't be told", &[("why", &why)]);
            // Ends the receiving side too, so that the link is dialled again.
            let _gone = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}
