//! Addresses of replica programs: `host:port`, where the host may be a name.
//!
//! Asking the resolver can take seconds and there is no way to ask it without waiting: a thread of its own does it, for
//! names only, and wakes the loop. Numbers are understood at once.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

/// Most questions at once. A resolver that hangs is asked again with each dial; its threads must not pile up.
const ASKED_MAX: usize = 32;

/// What became of a name.
#[derive(Debug)]
pub struct Resolved {
    /// Given with the question.
    pub ticket: u64,
    /// The first address.
    pub address: io::Result<SocketAddr>,
}

/// Asks for addresses.
#[derive(Debug)]
pub struct Names {
    sender: Sender<Resolved>,
    receiver: Receiver<Resolved>,
    waker: Arc<Waker>,
    /// Questions without an answer.
    asked: usize,
}

impl Names {
    /// `waker` wakes the loop when something was found out.
    pub fn new(waker: Waker) -> Self {
        let (sender, receiver) = channel();
        Self {
            sender,
            receiver,
            waker: Arc::new(waker),
            asked: 0,
        }
    }

    /// The address, if it is given in numbers.
    pub fn numeric(address: &str) -> Option<SocketAddr> {
        address.parse().ok()
    }

    /// Asks the resolver; its answer comes out of [`Names::next`].
    pub fn ask(&mut self, ticket: u64, name: String) -> io::Result<()> {
        if self.asked >= ASKED_MAX {
            return Err(io::Error::other("the resolver does not answer"));
        }
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let resolve = move || {
            let address = name.to_socket_addrs().and_then(|mut found| {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                found.next().ok_or_else(none)
            });
            // If nobody listens any more the program is ending.
            let _ending = sender.send(Resolved { ticket, address });
            let _ending = waker.wake();
        };
        let thread = thread::Builder::new().name("resolve".to_owned());
        thread.spawn(resolve)?;
        self.asked += 1;
        Ok(())
    }

    /// The next answer that came.
    pub fn next(&mut self) -> Option<Resolved> {
        let resolved = self.receiver.try_recv().ok()?;
        self.asked -= 1;
        Some(resolved)
    }
}
