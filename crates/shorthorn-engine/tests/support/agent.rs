//! An agent with a record of one volume: commits what it is asked, or keeps silent, or is away.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use shorthorn_wire::agent::{Answer, Ask, Hello, Phase, Resync, ToAgent, ToProgram};
use shorthorn_wire::lines;
use shorthorn_wire::message::Document;

/// What was said to the agent, and how it answers.
#[derive(Default)]
pub struct Heard {
    pub hellos: Vec<Hello>,
    pub messages: Vec<ToAgent>,
    /// Asks get no answer.
    pub silent: bool,
    document: Option<Document>,
    streams: Vec<UnixStream>,
    over: bool,
}

impl Heard {
    /// The asks so far.
    pub fn asks(&self) -> Vec<(u64, Ask)> {
        let asks = self.messages.iter().filter_map(|message| match message {
            ToAgent::Ask { id, ask } => Some((*id, ask.clone())),
            _ => None,
        });
        asks.collect()
    }

    /// How the session was closed, if it was.
    pub fn closed(&self) -> Option<bool> {
        self.asks().into_iter().find_map(|(_, ask)| match ask {
            Ask::SessionClosed { clean, .. } => Some(clean),
            _ => None,
        })
    }

    /// Every resync that was told, in order.
    pub fn resyncs(&self) -> Vec<Resync> {
        let of = |message: &ToAgent| match message {
            ToAgent::Status { resyncs, .. } => resyncs.clone(),
            _ => Vec::new(),
        };
        self.messages.iter().flat_map(of).collect()
    }

    /// The replicas whose removal was asked, each once, in order.
    pub fn lost(&self) -> Vec<String> {
        let mut lost = Vec::new();
        for (_, ask) in self.asks() {
            if let Ask::ReplicaLost { replica, .. } = ask {
                if !lost.contains(&replica) {
                    lost.push(replica);
                }
            }
        }
        lost
    }

    /// The engine said that it serves.
    pub fn serves(&self) -> bool {
        let serves = |message: &ToAgent| {
            matches!(
                message,
                ToAgent::Status {
                    phase: Phase::Serving,
                    ..
                }
            )
        };
        self.messages.iter().any(serves)
    }

    /// Clients in the last status.
    pub fn clients(&self) -> Option<u32> {
        self.messages
            .iter()
            .rev()
            .find_map(|message| match message {
                ToAgent::Status { clients, .. } => Some(*clients),
                _ => None,
            })
    }
}

/// The agent of the engine's node.
pub struct FakeAgent {
    path: PathBuf,
    heard: Arc<Mutex<Heard>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeAgent {
    pub fn start(path: &Path, document: Document) -> Self {
        let heard = Heard {
            document: Some(document),
            ..Heard::default()
        };
        let mut agent = Self {
            path: path.to_owned(),
            heard: Arc::new(Mutex::new(heard)),
            thread: None,
        };
        agent.begin();
        agent
    }

    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        lock(&self.heard)
    }

    /// Comes (back) to life.
    pub fn begin(&mut self) {
        let _stale = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).expect("bind");
        self.heard().over = false;
        let heard = Arc::clone(&self.heard);
        self.thread = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("accept");
                if lock(&heard).over {
                    return;
                }
                let clone = stream.try_clone().expect("clone");
                lock(&heard).streams.push(clone);
                let heard = Arc::clone(&heard);
                thread::spawn(move || listen(stream, &heard));
            }
        }));
    }

    /// Dies.
    pub fn end(&mut self) {
        let mut heard = self.heard();
        heard.over = true;
        for stream in heard.streams.drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        drop(heard);
        let _wakes_the_listener = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("listener");
        }
        std::fs::remove_file(&self.path).expect("its socket");
    }

    /// Says something to the engine.
    pub fn say(&self, message: &ToProgram) {
        let line = lines::encode(message).expect("short");
        self.say_bytes(&line);
    }

    pub fn say_bytes(&self, bytes: &[u8]) {
        let mut heard = self.heard();
        let stream = heard.streams.last_mut().expect("connected");
        stream.write_all(bytes).expect("said");
    }

    /// Answers an ask that was kept waiting.
    pub fn commit(&self, id: u64) {
        let answer = lock(&self.heard).commit();
        self.say(&ToProgram::Answer { id, answer });
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
        }
    }
}

impl Heard {
    fn commit(&mut self) -> Answer {
        let document = self.document.as_mut().expect("given at start");
        document.version += 1;
        document.m += 1;
        Answer::Committed {
            document: document.clone(),
            broken: false,
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(stream: UnixStream, heard: &Mutex<Heard>) {
    let mut to = stream.try_clone().expect("clone");
    let mut lines_in = BufReader::new(stream).split(b'\n');
    let Some(Ok(first)) = lines_in.next() else {
        return;
    };
    let hello = lines::decode(&first).expect("a hello comes first");
    lock(heard).hellos.push(hello);
    while let Some(Ok(line)) = lines_in.next() {
        let message: ToAgent = lines::decode(&line).expect("the engine says messages");
        let mut heard = lock(heard);
        heard.messages.push(message.clone());
        if let (ToAgent::Ask { id, .. }, false) = (message, heard.silent) {
            let answer = heard.commit();
            let answer = lines::encode(&ToProgram::Answer { id, answer }).expect("short");
            if to.write_all(&answer).is_err() {
                return;
            }
        }
    }
}
