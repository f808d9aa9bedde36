//! A client written by hand: bytes as the NBD document lays them out, independent of the crate's own tables.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::IoSlice;

use bytes::BytesMut;
use shorthorn_nbd::{Connection, Export, OutQueue, Progress, ProtocolError, Request};

pub const SIZE: u64 = 1 << 20;
/// Client flags: fixed newstyle and no zeroes.
pub const MODERN: [u8; 4] = [0, 0, 0, 3];
/// "No zeroes" only.
pub const NOT_FIXED: [u8; 4] = [0, 0, 0, 2];

pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;
pub const DF: u16 = 4;
pub const REQ_ONE: u16 = 8;
pub const FAST_ZERO: u16 = 16;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const DISC: u16 = 2;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const CACHE: u16 = 5;
pub const WRITE_ZEROES: u16 = 6;
pub const BLOCK_STATUS: u16 = 7;

pub const EPERM: u32 = 1;
pub const EIO: u32 = 5;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const EOVERFLOW: u32 = 75;

pub const ERR_UNSUP: u32 = 0x8000_0001;
pub const ERR_POLICY: u32 = 0x8000_0002;
pub const ERR_INVALID: u32 = 0x8000_0003;
pub const ERR_UNKNOWN: u32 = 0x8000_0006;
pub const ERR_TOO_BIG: u32 = 0x8000_0009;

pub fn export() -> Export {
    Export {
        name: "v1".into(),
        size: SIZE,
        read_only: false,
    }
}

/// An option: magic, number, length, data.
pub fn option(number: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"IHAVEOPT".to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// A string behind its 32-bit length.
pub fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
    bytes.extend(text);
    bytes
}

/// Data of INFO and GO.
pub fn info(name: &str, items: &[u16]) -> Vec<u8> {
    let mut bytes = string(name.as_bytes());
    bytes.extend((items.len() as u16).to_be_bytes());
    bytes.extend(items.iter().flat_map(|item| item.to_be_bytes()));
    bytes
}

/// Data of LIST_META_CONTEXT and SET_META_CONTEXT.
pub fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut bytes = string(name.as_bytes());
    bytes.extend((queries.len() as u32).to_be_bytes());
    bytes.extend(queries.iter().flat_map(|query| string(query.as_bytes())));
    bytes
}

/// An option's reply as the client must see it.
pub fn option_reply(number: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x00, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9];
    bytes.extend(number.to_be_bytes());
    bytes.extend(kind.to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// A request header.
pub fn request(flags: u16, command: u16, handle: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = vec![0x25, 0x60, 0x95, 0x13];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(handle.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// A write with its payload.
pub fn write(flags: u16, handle: u64, offset: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = request(flags, WRITE, handle, offset, payload.len() as u32);
    bytes.extend(payload);
    bytes
}

/// A simple reply without data.
pub fn simple(error: u32, handle: u64) -> Vec<u8> {
    let mut bytes = vec![0x67, 0x44, 0x66, 0x98];
    bytes.extend(error.to_be_bytes());
    bytes.extend(handle.to_be_bytes());
    bytes
}

/// The only chunk of a structured reply.
pub fn chunk(kind: u16, handle: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x66, 0x8e, 0x33, 0xef, 0x00, 0x01];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(handle.to_be_bytes());
    bytes.extend((payload.len() as u32).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An error chunk, whatever its message: checks the lengths and gives back (handle, error, message).
pub fn parse_error_chunk(bytes: &[u8]) -> (u64, u32, String) {
    let number = |at: usize, len: usize| {
        bytes[at..at + len]
            .iter()
            .fold(0u64, |n, b| n << 8 | u64::from(*b))
    };
    assert_eq!(
        bytes[..8],
        [0x66, 0x8e, 0x33, 0xef, 0x00, 0x01, 0x80, 0x01],
        "an error chunk, and the last"
    );
    assert_eq!(
        number(16, 4) as usize,
        bytes.len() - 20,
        "the chunk's length"
    );
    assert_eq!(
        number(24, 2) as usize,
        bytes.len() - 26,
        "the message's length"
    );
    (
        number(8, 8),
        number(20, 4) as u32,
        String::from_utf8(bytes[26..].to_vec()).unwrap(),
    )
}

/// The same for an option's error reply: (option, kind).
pub fn parse_option_error(bytes: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(bytes[..8], [0x00, 0x03, 0xe8, 0x89, 0x04, 0x55, 0x65, 0xa9]);
    assert_eq!(
        number(16) as usize,
        bytes.len() - 20,
        "one reply and nothing else"
    );
    (number(8), number(12))
}

/// A connection with the shell's part played by the test.
pub struct Peer {
    pub connection: Connection,
    pub input: BytesMut,
    pub requests: Vec<Request>,
    pub out: OutQueue,
}

impl Peer {
    pub fn new(export: Export) -> Peer {
        let mut out = OutQueue::new();
        let connection = Connection::new(export, &mut out);
        Peer {
            connection,
            input: BytesMut::new(),
            requests: Vec::new(),
            out,
        }
    }

    /// Past the greeting and the client flags.
    pub fn haggling() -> Peer {
        let mut peer = Peer::new(export());
        peer.feed(&MODERN).unwrap();
        peer.sent();
        peer
    }

    /// In transmission with simple replies.
    pub fn simple(export: Export) -> Peer {
        let mut peer = Peer::new(export);
        peer.feed(&[&MODERN[..], &option(7, &info("", &[]))].concat())
            .unwrap();
        assert!(peer.connection.is_transmitting());
        peer.sent();
        peer
    }

    /// In transmission with structured replies and `base:allocation`.
    pub fn structured(export: Export) -> Peer {
        let mut peer = Peer::new(export);
        let options = [
            option(8, &[]),
            option(10, &contexts("", &["base:allocation"])),
            option(7, &info("", &[])),
        ];
        peer.feed(&[&MODERN[..], &options.concat()].concat())
            .unwrap();
        assert!(peer.connection.is_transmitting());
        peer.sent();
        peer
    }

    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, ProtocolError> {
        self.input.extend_from_slice(bytes);
        self.connection.receive(
            &mut self.input,
            usize::MAX,
            &mut self.requests,
            &mut self.out,
        )
    }

    /// Everything queued, taken as a socket would that accepts `at_most` bytes at a time.
    pub fn sent_in_bites(&mut self, at_most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !self.out.is_empty() {
            let before = self.out.len();
            let mut slices = [IoSlice::new(&[]); 2];
            let filled = self.out.slices(&mut slices);
            assert!(filled > 0 && slices[..filled].iter().all(|slice| !slice.is_empty()));
            let bite: Vec<u8> = slices[..filled]
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .take(at_most)
                .collect();
            self.out.advance(bite.len());
            assert_eq!(self.out.len(), before - bite.len());
            bytes.extend(bite);
        }
        bytes
    }

    pub fn sent(&mut self) -> Vec<u8> {
        self.sent_in_bites(usize::MAX)
    }

    /// The one request that arrived.
    pub fn request(&mut self) -> Request {
        assert_eq!(self.requests.len(), 1, "one request");
        self.requests.remove(0)
    }
}
