//! A copier's connection to one replica: dialled and read by a thread of its own, written by the copier's.

use std::io;
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use shorthorn_core::ReplicaIndex;
use shorthorn_core::copier::Event;
use shorthorn_wire::message::{Reply, Request, Tag};
use shorthorn_wire::{Encoder, OutQueue, decode_reply};

use crate::listener::prepare;
use crate::log;
use crate::outbox::send_all;
use crate::receiver::Receiver;
use crate::task::Input;

/// A dial that takes longer has failed.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What happened on a connection.
#[derive(Debug)]
pub struct News {
    /// Whose.
    pub replica: ReplicaIndex,
    /// Of which dial.
    dial: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Connected(TcpStream),
    Unreachable(String),
    Reply(Tag, Reply),
    Ended(String),
}

/// The copier's end of a connection.
#[derive(Debug, Default)]
pub struct Peer {
    /// Counts dials and hang-ups: news of another one are of no interest.
    dial: u64,
    stream: Option<TcpStream>,
    out: OutQueue,
}

impl Peer {
    /// Dials; the news go to `sender`.
    pub fn dial(&mut self, replica: ReplicaIndex, address: String, sender: &SyncSender<Input>) {
        self.hang_up();
        let line = Line {
            replica,
            dial: self.dial,
            sender: sender.clone(),
        };
        let unsent = sender.clone();
        let thread = thread::Builder::new().name("task-peer".to_owned());
        if let Err(error) = thread.spawn(move || line.run(&address)) {
            let what = What::Unreachable(error.to_string());
            // The copier reads its own channel only later; there is room, or another event is there to wake it anyway.
            let _full = unsent.try_send(Input::Peer(News {
                replica,
                dial: self.dial,
                what,
            }));
        }
    }

    /// Ends the connection; nothing more of it is of interest.
    pub fn hang_up(&mut self) {
        self.dial += 1;
        self.out.clear();
        if let Some(stream) = self.stream.take() {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// Queues a request.
    pub fn send(&mut self, tag: Tag, request: &Request, encoder: &mut Encoder) {
        if let Err(error) = encoder.request(tag, request, &mut self.out) {
            log::error(
                "a request does not fit its frame: a bug",
                &[("what", &error)],
            );
            self.end();
        }
    }

    /// Sends what is queued. Who can't be sent to has its connection ended; its thread tells.
    pub fn flush(&mut self) {
        let Some(stream) = &self.stream else {
            return self.out.clear();
        };
        if let Err(error) = send_all(stream, &mut self.out) {
            log::info("a request could not be sent", &[("why", &error)]);
            self.out.clear();
            self.end();
        }
    }

    fn end(&self) {
        if let Some(stream) = &self.stream {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// What the news mean to the copier.
    pub fn take(&mut self, news: News) -> Option<Event> {
        let News {
            replica,
            dial,
            what,
        } = news;
        if dial != self.dial {
            return None;
        }
        Some(match what {
            What::Connected(stream) => {
                self.stream = Some(stream);
                Event::Connected { replica }
            }
            What::Unreachable(why) => Event::Unreachable { replica, why },
            What::Reply(tag, reply) => Event::Reply {
                replica,
                tag,
                reply,
            },
            What::Ended(why) => {
                self.stream = None;
                Event::Disconnected { replica, why }
            }
        })
    }
}

/// The thread of one dial.
struct Line {
    replica: ReplicaIndex,
    dial: u64,
    sender: SyncSender<Input>,
}

impl Line {
    fn run(self, address: &str) {
        let connected = connect(address).and_then(|stream| Ok((stream.try_clone()?, stream)));
        let (ours, stream) = match connected {
            Ok(both) => both,
            Err(error) => {
                self.tell(What::Unreachable(error.to_string()));
                return;
            }
        };
        if self.tell(What::Connected(ours)) {
            let why = self.read(&stream);
            self.tell(What::Ended(why));
        }
    }

    fn read(&self, stream: &TcpStream) -> String {
        let mut receiver = Receiver::new(decode_reply);
        loop {
            match receiver.take() {
                Ok(Some((tag, reply))) => {
                    if !self.tell(What::Reply(tag, reply)) {
                        return "the task is over".to_owned();
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    let _gone = stream.shutdown(Shutdown::Both);
                    return error.to_string();
                }
            }
            match receiver.read(stream) {
                Ok(true) => {}
                Ok(false) => return "the replica ended the connection".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// False: the task is over.
    fn tell(&self, what: What) -> bool {
        self.sender
            .send(Input::Peer(News {
                replica: self.replica,
                dial: self.dial,
                what,
            }))
            .is_ok()
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DIAL_TIMEOUT) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
