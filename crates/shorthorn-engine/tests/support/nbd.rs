//! A small blocking NBD client: fixed newstyle, simple replies.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const ZEROES: u16 = 6;
pub const FUA: u16 = 1;
pub const ESHUTDOWN: u32 = 108;

pub struct Nbd {
    pub stream: UnixStream,
    pub size: u64,
    pub flags: u16,
    handle: u64,
}

impl Nbd {
    /// Connects and names the default export.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(super::LIMIT))?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        stream.write_all(&3u32.to_be_bytes())?;
        stream.write_all(&OPTION_MAGIC.to_be_bytes())?;
        stream.write_all(&1u32.to_be_bytes())?;
        stream.write_all(&0u32.to_be_bytes())?;
        let mut export = [0; 10];
        stream.read_exact(&mut export)?;
        Ok(Self {
            stream,
            size: u64::from_be_bytes(export[..8].try_into().expect("8")),
            flags: u16::from_be_bytes(export[8..].try_into().expect("2")),
            handle: 0,
        })
    }

    /// A second hand on the same connection, for sending from another thread.
    pub fn sender(&self) -> Self {
        Self {
            stream: self.stream.try_clone().expect("clone"),
            ..*self
        }
    }

    /// Sends a request without waiting; its handle.
    pub fn send(&mut self, flags: u16, command: u16, offset: u64, length: u32, data: &[u8]) -> u64 {
        self.try_send(flags, command, offset, length, data)
            .expect("sent")
    }

    pub fn try_send(
        &mut self,
        flags: u16,
        command: u16,
        offset: u64,
        length: u32,
        data: &[u8],
    ) -> io::Result<u64> {
        self.handle += 1;
        let mut bytes = Vec::with_capacity(28 + data.len());
        bytes.extend(REQUEST_MAGIC.to_be_bytes());
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(self.handle.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(data);
        self.stream.write_all(&bytes)?;
        Ok(self.handle)
    }

    /// The next reply's handle and error number.
    pub fn reply(&mut self) -> io::Result<(u64, u32)> {
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        assert_eq!(reply[..4], REPLY_MAGIC.to_be_bytes());
        let error = u32::from_be_bytes(reply[4..8].try_into().expect("4"));
        Ok((u64::from_be_bytes(reply[8..].try_into().expect("8")), error))
    }

    fn done(&mut self, handle: u64) -> Result<(), u32> {
        let (answered, error) = self.reply().expect("a reply");
        assert_eq!(answered, handle);
        if error == 0 { Ok(()) } else { Err(error) }
    }

    pub fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> Result<(), u32> {
        let handle = self.send(flags, WRITE, offset, data.len() as u32, data);
        self.done(handle)
    }

    pub fn read(&mut self, offset: u64, length: u32) -> Result<Vec<u8>, u32> {
        let handle = self.send(0, READ, offset, length, &[]);
        self.done(handle)?;
        let mut data = vec![0; length as usize];
        self.stream.read_exact(&mut data).expect("data");
        Ok(data)
    }

    pub fn plain(&mut self, flags: u16, command: u16, offset: u64, length: u32) -> Result<(), u32> {
        let handle = self.send(flags, command, offset, length, &[]);
        self.done(handle)
    }

    /// Whether the other side ended the connection, with nothing more said.
    pub fn is_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}
