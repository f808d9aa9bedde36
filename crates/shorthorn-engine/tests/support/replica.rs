//! A replica program in memory: one replica, any number of connections, no rules beyond what the engine's tests need.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::{Bytes, BytesMut};
use shorthorn_wire::message::{
    Attempt, BlockState, Blocks, Epoch, Extent, Refusal, RegionRun, Reply, Request, Role, Standing,
    Tag,
};
use shorthorn_wire::{BLOCK_BYTES, Encoder, OutQueue, REGION_BYTES, decode_request};

/// What a replica holds and was asked.
#[derive(Default)]
pub struct State {
    pub bytes: Vec<u8>,
    pub marks: std::collections::BTreeSet<u64>,
    pub opened: u32,
    pub closed: u32,
    pub flushes: u32,
    pub changes: u32,
    pub pings: u32,
    /// Says this in place of its next reply.
    pub garbage: Option<Vec<u8>>,
    /// Was never in-sync, and says so.
    pub joins: bool,
    pub copies: u32,
    streams: Vec<TcpStream>,
    over: bool,
}

/// A replica with its listener.
pub struct FakeReplica {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl FakeReplica {
    pub fn start(size: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            bytes: vec![0; size as usize],
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("accept");
                let mut locked = lock(&shared);
                if locked.over {
                    return;
                }
                locked.streams.push(stream.try_clone().expect("clone"));
                drop(locked);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Ends every connection, as a crash of its program would.
    pub fn cut(&self) {
        for stream in self.state().streams.drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for FakeReplica {
    fn drop(&mut self) {
        self.cut();
        self.state().over = true;
        let _wakes_the_listener = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    stream.set_nodelay(true).expect("nodelay");
    let (mut input, mut chunk) = (BytesMut::new(), vec![0; 256 << 10]);
    let mut encoder = Encoder::new();
    loop {
        let read = match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(read) => read,
        };
        input.extend_from_slice(&chunk[..read]);
        let mut out = OutQueue::new();
        let mut said = Vec::new();
        while let Some((tag, request)) = decode_request(&mut input).expect("the engine says frames")
        {
            let mut state = lock(state);
            if let Some(garbage) = state.garbage.take() {
                said = garbage;
                break;
            }
            reply(tag, request, &mut state, &mut encoder, &mut out);
        }
        drain(&mut out, &mut said);
        if stream.write_all(&said).is_err() {
            return;
        }
    }
}

fn drain(out: &mut OutQueue, to: &mut Vec<u8>) {
    while !out.is_empty() {
        let mut slices = [std::io::IoSlice::new(&[]); 64];
        let filled = out.slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
        out.advance(bytes.len());
        to.extend(bytes);
    }
}

fn reply(tag: Tag, request: Request, state: &mut State, encoder: &mut Encoder, out: &mut OutQueue) {
    let reply = answer(request, state);
    encoder.reply(tag, &reply, out).expect("small enough");
}

fn standing(sealed: (Epoch, Attempt), state: &State) -> Reply {
    let marks = state.marks.iter();
    Reply::Standing(Standing {
        sealed_before: (0, 0),
        sealed,
        role: if state.joins {
            Role::Syncing
        } else {
            Role::Member
        },
        m: u64::from(!state.joins),
        synced_through: (!state.joins).then_some(1),
        torn: false,
        failed: None,
        boot: "boot".into(),
        marks: marks
            .map(|first| RegionRun {
                first: *first,
                count: 1,
            })
            .collect(),
    })
}

fn answer(request: Request, state: &mut State) -> Reply {
    match request {
        Request::Probe { .. } => return standing((0, 0), state),
        Request::Seal(seal) => return standing((seal.epoch, seal.attempt), state),
        Request::Write { offset, data, .. } => {
            let start = offset as usize;
            state.bytes[start..start + data.len()].copy_from_slice(&data);
            mark(state, offset, data.len() as u64);
        }
        Request::Zero { offset, length, .. } => {
            let start = offset as usize;
            state.bytes[start..start + length as usize].fill(0);
            mark(state, offset, length);
        }
        Request::Read { offset, length } => {
            let start = offset as usize;
            let bytes = &state.bytes[start..start + length as usize];
            return Reply::Data(Bytes::copy_from_slice(bytes));
        }
        Request::Extents { length, .. } => {
            let half = length / 2;
            return Reply::Extents(vec![
                Extent {
                    length: half,
                    data: true,
                },
                Extent {
                    length: length - half,
                    data: false,
                },
            ]);
        }
        Request::Hash { offset, length } => {
            let (mut digest, bytes) = (
                [0u8; 32],
                &state.bytes[offset as usize..][..length as usize],
            );
            for (index, byte) in bytes.iter().enumerate() {
                digest[index % 31] = byte.wrapping_add(digest[index % 31].wrapping_mul(3));
            }
            return Reply::Hash { digest, bad: false };
        }
        Request::Fetch { offset, length } => {
            let bytes = &state.bytes[offset as usize..][..length as usize];
            let states = vec![BlockState::Good { sum: 1 }; length as usize / BLOCK_BYTES as usize];
            let data = Bytes::copy_from_slice(bytes);
            return Reply::Blocks(Blocks { states, data });
        }
        Request::Copy { offset, blocks } => {
            let start = offset as usize;
            state.bytes[start..start + blocks.data.len()].copy_from_slice(&blocks.data);
            state.copies += 1;
            mark(state, offset, blocks.data.len() as u64);
        }
        Request::Clear { regions, .. } => {
            for run in regions {
                state
                    .marks
                    .retain(|mark| *mark < run.first || *mark >= run.first + run.count);
            }
        }
        Request::Close if !state.marks.is_empty() => {
            return Reply::Refused {
                why: Refusal::MarksSet,
                detail: String::new(),
            };
        }
        Request::Close => state.closed += 1,
        Request::Open(_) => state.opened += 1,
        Request::Flush { .. } => state.flushes += 1,
        Request::Ping => state.pings += 1,
        Request::Hello(_) | Request::Member(_) => {}
    }
    Reply::Done
}

fn mark(state: &mut State, offset: u64, length: u64) {
    state.changes += 1;
    let regions = offset / REGION_BYTES..=(offset + length - 1) / REGION_BYTES;
    state.marks.extend(regions);
}
