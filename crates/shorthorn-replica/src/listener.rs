//! Takes connections of engines and copiers; a thread each.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};

use crate::connection;
use crate::log;
use crate::outbox::SEND_TIMEOUT;
use crate::store::Store;

/// Most connections at once: a disk with a thousand replicas, and some to spare.
const CONNECTIONS_MAX: usize = 1024;
/// Frames are decoded without deep recursion; JSON is at most 128 deep.
const STACK_BYTES: usize = 512 << 10;
/// Sent and not taken by the other host for so long, milliseconds: the connection is over.
const UNSENT_MS_MAX: u32 = 30_000;
/// Before accepting is tried again when the system has no descriptors or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// Accepts for ever.
pub fn run(listener: &TcpListener, store: &Arc<Store>) {
    let count = Arc::new(AtomicUsize::new(0));
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                if count.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
                    log::warn("connection refused, there are too many", &[("peer", &peer)]);
                    count.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                if let Err(error) = start(stream, store, &count) {
                    log::warn(
                        "connection could not be taken",
                        &[("peer", &peer), ("why", &error)],
                    );
                    count.fetch_sub(1, Ordering::SeqCst);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                log::error("connections can't be accepted", &[("why", &error)]);
                thread::sleep(EXHAUSTED_PAUSE);
            }
        }
    }
}

fn start(stream: TcpStream, store: &Arc<Store>, count: &Arc<AtomicUsize>) -> io::Result<()> {
    prepare(&stream)?;
    let (store, count) = (Arc::clone(store), Arc::clone(count));
    let serve = move || {
        connection::serve(&store, stream);
        count.fetch_sub(1, Ordering::SeqCst);
    };
    thread::Builder::new()
        .name("connection".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(serve)?;
    Ok(())
}

/// Batches are written at once (docs: Nagle's algorithm costs 40 ms here); a peer that is gone without a word is noticed
/// by the kernel in a minute or two, so that its thread does not stay for ever.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SEND_TIMEOUT))?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, Duration::from_secs(60))?;
    set_tcp_keepintvl(stream, Duration::from_secs(20))?;
    // A copier's requests and a peer's replies alike: what the other host does not take for so long never arrives. It counts
    // for the questions of keepalive, too (tcp(7)).
    set_tcp_user_timeout(stream, UNSENT_MS_MAX)?;
    Ok(())
}
