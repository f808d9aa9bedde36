//! Serves a disk in memory on a unix socket, for trying real NBD clients against the state machine.
//!
//! `cargo run -p shorthorn-nbd --example memory -- SOCKET SIZE_BYTES [--read-only]`
//!
//! The simplest shell that is right: one thread per connection, each request done before the next is taken.
//! Ends when it is killed; the socket file is the caller's to remove.

use std::io::{self, IoSlice, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, process, thread};

use bytes::Bytes;
use shorthorn_nbd::{
    Answer, Command, Connection, Errno, Export, Extent, InBuffer, OutQueue, Progress, Request,
};

/// Unit of allocation.
const BLOCK_BYTES: u64 = 4096;
/// Requests taken from the input at once.
const ROOM: usize = 64;

/// Thin: a block is there once it was written.
struct Disk {
    bytes: Vec<u8>,
    allocated: Vec<bool>,
}

impl Disk {
    fn new(size: u64) -> Disk {
        let blocks = size.div_ceil(BLOCK_BYTES) as usize;
        Disk {
            bytes: vec![0; size as usize],
            allocated: vec![false; blocks],
        }
    }

    fn perform(&mut self, request: &Request) -> Result<Answer, Errno> {
        let start = request.offset as usize;
        let range = start..start + request.length as usize;
        match &request.command {
            Command::Read => return Ok(Answer::Data(Bytes::copy_from_slice(&self.bytes[range]))),
            Command::BlockStatus { .. } => return Ok(Answer::Extents(self.extents(request))),
            Command::Write { data } => {
                self.bytes[range].copy_from_slice(data);
                self.allocate(request);
            }
            Command::WriteZeroes { no_hole: true } => {
                self.bytes[range].fill(0);
                self.allocate(request);
            }
            Command::WriteZeroes { no_hole: false } | Command::Trim => {
                self.bytes[range].fill(0);
                self.free(request);
            }
            Command::Flush => {}
        }
        Ok(Answer::Done)
    }

    fn allocate(&mut self, request: &Request) {
        let end = request.offset + u64::from(request.length);
        let blocks = request.offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        self.allocated[blocks.start as usize..blocks.end as usize].fill(true);
    }

    /// Only whole blocks; the edges are zeroed but stay.
    fn free(&mut self, request: &Request) {
        let end = request.offset + u64::from(request.length);
        let first = request.offset.div_ceil(BLOCK_BYTES);
        let last = (end / BLOCK_BYTES).max(first);
        self.allocated[first as usize..last as usize].fill(false);
    }

    /// One extent per block: joining neighbours is the reply's work.
    fn extents(&self, request: &Request) -> Vec<Extent> {
        let end = request.offset + u64::from(request.length);
        let mut at = request.offset;
        let mut extents = Vec::new();
        while at < end {
            let block = at / BLOCK_BYTES;
            let next = ((block + 1) * BLOCK_BYTES).min(end);
            let hole = !self.allocated[block as usize];
            extents.push(Extent {
                length: (next - at) as u32,
                hole,
                zero: hole,
            });
            at = next;
        }
        extents
    }
}

fn serve(mut socket: UnixStream, export: Export, disk: &Mutex<Disk>) -> io::Result<()> {
    let mut out = OutQueue::new();
    let mut input = InBuffer::new();
    let mut requests = Vec::with_capacity(ROOM);
    let mut connection = Connection::new(export, &mut out);
    loop {
        write_out(&mut socket, &mut out)?;
        let received = input.received().len();
        let read = socket.read(input.room(connection.read_size(received)))?;
        if read == 0 {
            return Ok(());
        }
        input.fill(read);
        loop {
            let progress = connection
                .receive(input.received(), ROOM, &mut requests, &mut out)
                .map_err(io::Error::other)?;
            let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
            for request in requests.drain(..) {
                connection.answer(request.cookie, disk.perform(&request), &mut out);
            }
            drop(disk);
            match progress {
                Progress::Waiting { .. } => break,
                Progress::Full => write_out(&mut socket, &mut out)?,
                Progress::Closing => {
                    // Many clients close right after their goodbye: not an error to be told.
                    let _gone = write_out(&mut socket, &mut out);
                    return Ok(());
                }
            }
        }
    }
}

fn write_out(socket: &mut UnixStream, out: &mut OutQueue) -> io::Result<()> {
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = out.slices(&mut slices);
        let written = socket.write_vectored(&slices[..filled])?;
        out.advance(written);
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (socket, size, read_only) = match arguments.as_slice() {
        [socket, size] => (socket, size.parse(), false),
        [socket, size, flag] if flag == "--read-only" => (socket, size.parse(), true),
        _ => usage(),
    };
    let Ok(size) = size else { usage() };
    let export = Export {
        name: "memory".into(),
        size,
        read_only,
    };
    let disk = Arc::new(Mutex::new(Disk::new(size)));
    let listener = UnixListener::bind(socket)?;
    for client in listener.incoming() {
        let client = client?;
        let (export, disk) = (export.clone(), Arc::clone(&disk));
        thread::spawn(move || {
            if let Err(error) = serve(client, export, &disk) {
                eprintln!("memory: connection ended: {error}");
            }
        });
    }
    Ok(())
}

fn usage() -> ! {
    eprintln!("usage: memory SOCKET SIZE_BYTES [--read-only]");
    process::exit(2);
}
