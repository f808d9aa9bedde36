//! Each guard: what is accepted and each refusal. The disk here does everything at once, in order.

mod changes;
mod clear;
mod copy;
mod hello;
mod member;
mod open;
mod seal;
mod states;

use bytes::Bytes;
use shorthorn_wire::message::*;
use shorthorn_wire::{BLOCK_BYTES, PAYLOAD_BYTES_MAX, REGION_BYTES, WIRE_VERSION};

use super::*;

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const SIZE: u64 = 8 * REGION_BYTES;

pub fn document(version: u64, m: u64) -> Document {
    let chain = vec!["l1".to_owned()];
    Document {
        era: 1,
        version,
        m,
        size: SIZE,
        chain,
        head: "l1".to_owned(),
        body: "{}".to_owned(),
    }
}

pub fn start() -> Start {
    Start {
        identity: Identity {
            cluster: "c".into(),
            volume: "v".into(),
            replica: "r".into(),
        },
        boot: "boot1".into(),
        durable: Durable {
            sealed: (0, 1),
            engine: String::new(),
            role: Role::Syncing,
            m: 0,
            epoch: 0,
            synced_through: None,
            open_boot: None,
            torn: false,
        },
        failed: None,
        document: document(1, 0),
        marks: Vec::new(),
    }
}

struct Rig {
    replica: Replica,
    /// Work done, in order.
    log: Vec<Work>,
    replies: Vec<(ConnId, Tag, Reply)>,
    ended: Vec<ConnId>,
    tag: Tag,
    /// What the next work whose name starts so gives.
    next: Option<(&'static str, Outcome)>,
    /// Syncs are kept back until `finish_syncs`.
    slow_sync: bool,
    kept: Vec<Token>,
    /// Marks are kept back until `finish_marks`.
    slow_marks: bool,
    marking: Vec<(Token, Work)>,
}

impl Rig {
    fn new(start: Start) -> Self {
        let (log, replies, ended, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let replica = Replica::new(start);
        Self {
            replica,
            log,
            replies,
            ended,
            tag: 0,
            next: None,
            slow_sync: false,
            kept,
            slow_marks: false,
            marking: Vec::new(),
        }
    }

    /// Member in an open session at (5, 1), nothing marked, on connection A.
    fn opened() -> Self {
        let mut rig = Self::new(start());
        rig.hello(A, "e5");
        assert!(matches!(rig.seal(A, 5, 1), Reply::Standing(_)));
        assert_eq!(rig.ask(A, open(5, 1, Role::Member, 3, 1)), Reply::Done);
        rig.log.clear();
        rig
    }

    fn feed(&mut self, event: Event) {
        let mut out = Vec::new();
        self.replica.handle(event, &mut out);
        for effect in out {
            match effect {
                Effect::Send { conn, tag, reply } => self.replies.push((conn, tag, reply)),
                Effect::End { conn, .. } => self.ended.push(conn),
                Effect::Do {
                    token,
                    work: Work::Sync,
                } if self.slow_sync => self.kept.push(token),
                Effect::Do {
                    token,
                    work: work @ Work::Mark(_),
                } if self.slow_marks => self.marking.push((token, work)),
                Effect::Do { token, work } => {
                    let outcome = self.outcome(&work);
                    self.log.push(work);
                    self.feed(Event::Done { token, outcome });
                }
            }
        }
    }

    fn outcome(&mut self, work: &Work) -> Outcome {
        let name = format!("{work:?}");
        match self.next.take_if(|(start, _)| name.starts_with(*start)) {
            Some((_, outcome)) => outcome,
            None => match work {
                Work::Read { length, .. } => Outcome::Data(Bytes::from(vec![7; *length as usize])),
                Work::Extents { length, .. } => Outcome::Extents(vec![Extent {
                    length: *length,
                    data: true,
                }]),
                Work::Hash { .. } => Outcome::Hash {
                    digest: [1; 32],
                    bad: false,
                },
                Work::Fetch { .. } => Outcome::Blocks(Blocks::default()),
                _ => Outcome::Done,
            },
        }
    }

    fn finish_marks(&mut self, outcome: Outcome) {
        for (token, work) in std::mem::take(&mut self.marking) {
            self.log.push(work);
            self.feed(Event::Done {
                token,
                outcome: outcome.clone(),
            });
        }
    }

    fn finish_syncs(&mut self, outcome: Outcome) {
        for token in std::mem::take(&mut self.kept) {
            self.log.push(Work::Sync);
            self.feed(Event::Done {
                token,
                outcome: outcome.clone(),
            });
        }
    }

    fn tell(&mut self, conn: ConnId, request: Request) -> Tag {
        self.tag += 1;
        self.feed(Event::Request {
            conn,
            tag: self.tag,
            request,
        });
        self.tag
    }

    fn reply(&mut self, tag: Tag) -> Option<Reply> {
        let at = self
            .replies
            .iter()
            .position(|(_, known, _)| *known == tag)?;
        Some(self.replies.remove(at).2)
    }

    fn ask(&mut self, conn: ConnId, request: Request) -> Reply {
        let tag = self.tell(conn, request);
        self.reply(tag).expect("answered at once")
    }

    fn why(&mut self, conn: ConnId, request: Request) -> Refusal {
        let work = self.log.len();
        match self.ask(conn, request) {
            Reply::Refused { why, .. } => {
                assert_eq!(self.log.len(), work, "a refusal changes nothing");
                why
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn hello(&mut self, conn: ConnId, engine: &str) {
        assert_eq!(self.ask(conn, hello(engine)), Reply::Done);
    }

    fn seal(&mut self, conn: ConnId, epoch: u64, attempt: u64) -> Reply {
        self.ask(conn, seal(epoch, attempt, 2))
    }

    fn flush(&mut self, conn: ConnId, seq: u64) {
        assert_eq!(self.ask(conn, Request::Flush { seq }), Reply::Done);
    }
}

fn hello(engine: &str) -> Request {
    let text = |text: &str| text.to_owned();
    let (cluster, volume, replica, engine) = (text("c"), text("v"), text("r"), text(engine));
    Request::Hello(Hello {
        wire: WIRE_VERSION,
        cluster,
        volume,
        replica,
        engine,
    })
}

fn seal(epoch: u64, attempt: u64, version: u64) -> Request {
    Request::Seal(Seal {
        epoch,
        attempt,
        document: document(version, 1),
    })
}

fn open(epoch: u64, attempt: u64, role: Role, version: u64, m: u64) -> Request {
    Request::Open(Open {
        epoch,
        attempt,
        role,
        document: document(version, m),
    })
}

fn member(role: Role, version: u64, m: u64) -> Request {
    Request::Member(Member {
        role,
        document: document(version, m),
    })
}

fn write(seq: u64, offset: u64) -> Request {
    Request::Write {
        seq,
        offset,
        data: Bytes::from_static(&[1; 512]),
        fua: false,
    }
}

fn write_of(seq: u64, offset: u64, length: usize) -> Request {
    Request::Write {
        seq,
        offset,
        data: Bytes::from(vec![1; length]),
        fua: false,
    }
}

fn copy(offset: u64) -> Request {
    let data = Bytes::from(vec![1; BLOCK_BYTES as usize]);
    Request::Copy {
        offset,
        blocks: Blocks {
            states: vec![BlockState::Good { sum: 1 }],
            data,
        },
    }
}

fn clear(m: u64, seq: u64) -> Request {
    Request::Clear {
        m,
        seq,
        regions: vec![RegionRun { first: 0, count: 8 }],
    }
}

fn read() -> Request {
    Request::Read {
        offset: 0,
        length: 512,
    }
}
