//! A real replica program on a temporary disk, a pretended agent, and a client that speaks the wire.
//!
//! Each test file uses a part of it.
#![allow(dead_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use shorthorn_wire::agent::{Held, Hello as AgentHello, ToAgent, ToProgram};
use shorthorn_wire::lines::{Lines, encode};
use shorthorn_wire::message::*;
use shorthorn_wire::{Encoder, OutQueue, REGION_BYTES, WIRE_VERSION, decode_reply};

pub const CLUSTER: &str = "cluster-1";
pub const VOLUME: &str = "volume-1";
pub const SIZE: u64 = 64 * REGION_BYTES;
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn document(version: u64, m: u64) -> Document {
    let chain = vec!["layer-1".to_owned()];
    Document {
        era: 1,
        version,
        m,
        size: SIZE,
        chain,
        head: "layer-1".to_owned(),
        body: "{}".to_owned(),
    }
}

/// A disk and the place where its agent listens.
pub struct Disk {
    folder: tempfile::TempDir,
    pub uid: String,
    agent: UnixListener,
}

impl Disk {
    pub fn new(uid: &str) -> Self {
        Self::in_folder(uid, tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn in_folder(uid: &str, folder: tempfile::TempDir) -> Self {
        std::fs::create_dir(folder.path().join("disk")).expect("a folder");
        let agent = UnixListener::bind(folder.path().join("agent")).expect("a socket");
        Self {
            folder,
            uid: uid.to_owned(),
            agent,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    pub fn command(&self, boot: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shorthorn-replica"));
        command.arg("--disk").arg(self.path()).args([
            "--disk-uid",
            &self.uid,
            "--cluster",
            CLUSTER,
        ]);
        command
            .args(["--boot-id", boot])
            .arg("--agent")
            .arg(self.folder.path().join("agent"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    pub fn start(&self, boot: &str) -> Program {
        let log_path = self.folder.path().join("log");
        let log = File::create(&log_path).expect("a log");
        let child = self
            .command(boot)
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut program = Program {
            child,
            link: None,
            address: String::new(),
            log: log_path,
            last_id: 0,
        };
        program.accept(self);
        program
    }
}

/// A running program. Killed when dropped.
pub struct Program {
    pub child: Child,
    link: Option<Link>,
    pub address: String,
    log: PathBuf,
    last_id: u64,
}

struct Link {
    stream: UnixStream,
    lines: Lines,
}

impl Program {
    /// Takes the program's next link.
    pub fn accept(&mut self, disk: &Disk) {
        disk.agent.set_nonblocking(true).expect("a socket");
        let stream = until("the program dials its agent", || disk.agent.accept().ok()).0;
        stream.set_nonblocking(false).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut link = Link {
            stream,
            lines: Lines::new(),
        };
        match link.line::<AgentHello>() {
            AgentHello::Replica {
                wire,
                disk: uid,
                address,
                pid,
            } => {
                assert_eq!(
                    (wire, uid, pid),
                    (WIRE_VERSION, disk.uid.clone(), self.child.id())
                );
                self.address = address;
            }
            other => panic!("not a replica program: {other:?}"),
        }
        self.link = Some(link);
    }

    /// The agent dies.
    pub fn drop_link(&mut self) {
        self.link = None;
    }

    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.link
            .as_mut()
            .expect("a link")
            .stream
            .write_all(bytes)
            .expect("sent");
    }

    pub fn say(&mut self, order: &ToProgram) {
        self.say_raw(&encode(order).expect("a line"));
    }

    pub fn hear(&mut self) -> ToAgent {
        self.link.as_mut().expect("a link").line()
    }

    /// Whether the program ends the link.
    pub fn link_ends(&mut self) -> bool {
        let link = self.link.as_mut().expect("a link");
        loop {
            match link.stream.read(&mut [0; 4096]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends an order and waits for its result.
    pub fn order(&mut self, order: impl Fn(u64) -> ToProgram) -> Result<Vec<Held>, String> {
        self.last_id += 1;
        let wanted = self.last_id;
        self.say(&order(wanted));
        loop {
            if let ToAgent::Result {
                id,
                error,
                replicas,
            } = self.hear()
            {
                if id == wanted {
                    return error.map_or(Ok(replicas), Err);
                }
            }
        }
    }

    pub fn list(&mut self) -> Vec<Held> {
        self.order(|id| ToProgram::List { id }).expect("a list")
    }

    pub fn held(&mut self, replica: &str) -> Held {
        self.list()
            .into_iter()
            .find(|held| held.replica == replica)
            .expect("it is held")
    }

    pub fn create(&mut self, replica: &str) -> Result<Vec<Held>, String> {
        self.order(|id| ToProgram::Create {
            id,
            replica: replica.to_owned(),
            cluster: CLUSTER.to_owned(),
            volume: VOLUME.to_owned(),
            attempt: 1,
            document: document(1, 0),
        })
    }

    pub fn delete(&mut self, replica: &str, version: u64) -> Result<Vec<Held>, String> {
        self.order(|id| ToProgram::Delete {
            id,
            replica: replica.to_owned(),
            era: 1,
            version,
        })
    }

    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited");
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(done.success());
    }

    pub fn ended(&mut self) -> ExitStatus {
        until("the program ends", || {
            self.child.try_wait().expect("waited")
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    pub fn logs(&self, text: &str) {
        until(&format!("the log says {text:?}"), || {
            self.log().contains(text).then_some(())
        });
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).expect("the program listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Client {
            stream,
            buffer: BytesMut::new(),
            tag: 0,
        }
    }

    /// A connection that said hello.
    pub fn hello(&self, replica: &str, engine: &str) -> Client {
        let mut client = self.connect();
        assert_eq!(client.ask(hello(replica, engine)), Reply::Done);
        client
    }

    /// A connection that is sealed.
    pub fn sealed(
        &self,
        replica: &str,
        epoch: u64,
        attempt: u64,
        version: u64,
    ) -> (Client, Standing) {
        let mut client = self.hello(replica, &format!("engine-{epoch}"));
        let seal = Seal {
            epoch,
            attempt,
            document: document(version, 0),
        };
        match client.ask(Request::Seal(seal)) {
            Reply::Standing(standing) => (client, standing),
            other => panic!("not sealed: {other:?}"),
        }
    }

    /// A connection that is opened as member.
    pub fn opened(&self, replica: &str, epoch: u64, version: u64) -> Client {
        let (mut client, _) = self.sealed(replica, epoch, 1, version);
        let open = Open {
            epoch,
            attempt: 1,
            role: Role::Member,
            document: document(version + 1, 1),
        };
        assert_eq!(client.ask(Request::Open(open)), Reply::Done);
        client
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped_before = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the program:\n{}", self.log());
        }
    }
}

impl Link {
    fn line<T: serde::de::DeserializeOwned>(&mut self) -> T {
        loop {
            if let Some(message) = self.lines.take().expect("a line of the language") {
                return message;
            }
            let mut buffer = [0; 4096];
            let count = self
                .stream
                .read(&mut buffer)
                .expect("the program says something");
            assert!(count > 0, "the program ended its link");
            self.lines.extend(&buffer[..count]);
        }
    }
}

pub fn hello(replica: &str, engine: &str) -> Request {
    Request::Hello(Hello {
        wire: WIRE_VERSION,
        cluster: CLUSTER.to_owned(),
        volume: VOLUME.to_owned(),
        replica: replica.to_owned(),
        engine: engine.to_owned(),
    })
}

pub fn bytes_of(tag: Tag, request: &Request) -> Vec<u8> {
    let mut out = OutQueue::new();
    Encoder::new()
        .request(tag, request, &mut out)
        .expect("within limits");
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    let filled = out.slices(&mut slices);
    slices[..filled]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

/// One connection to a replica program.
pub struct Client {
    pub stream: TcpStream,
    buffer: BytesMut,
    tag: Tag,
}

impl Client {
    pub fn tell(&mut self, request: &Request) -> Tag {
        self.tag += 1;
        self.stream
            .write_all(&bytes_of(self.tag, request))
            .expect("sent");
        self.tag
    }

    pub fn hear(&mut self) -> Option<(Tag, Reply)> {
        loop {
            if let Some(reply) = decode_reply(&mut self.buffer).expect("a reply") {
                return Some(reply);
            }
            let mut bytes = vec![0; 256 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no reply: {error}"),
            }
        }
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        let asked = self.tell(&request);
        let (tag, reply) = self.hear().expect("a reply");
        assert_eq!(tag, asked);
        reply
    }

    /// Whether the program has ended the connection.
    pub fn is_ended(&mut self) -> bool {
        self.hear().is_none()
    }

    pub fn write(&mut self, seq: u64, offset: u64, fill: u8, length: usize) {
        let data = Bytes::from(vec![fill; length]);
        assert_eq!(
            self.ask(Request::Write {
                seq,
                offset,
                data,
                fua: false
            }),
            Reply::Done
        );
    }

    pub fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        match self.ask(Request::Read { offset, length }) {
            Reply::Data(data) => data.to_vec(),
            other => panic!("not read: {other:?}"),
        }
    }
}

/// Looks again and again until there is something, for as long as [`PATIENCE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// PSS of a process, KiB.
pub fn pss_kib(pid: u32) -> u64 {
    let path = Path::new("/proc")
        .join(pid.to_string())
        .join("smaps_rollup");
    let text = std::fs::read_to_string(path).expect("its memory can be read");
    let line = text
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .expect("a line");
    line.split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("a number")
}
