//! Each guard: what is accepted and each refusal. The disk here does everything at once, in order.

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

// Hello

#[test]
fn a_hello_for_somebody_else_is_refused_and_ends_the_connection() {
    let Request::Hello(right) = hello("e") else {
        unreachable!()
    };
    for (wrong, expected) in [
        (
            Hello {
                wire: 2,
                ..right.clone()
            },
            Refusal::Version,
        ),
        (
            Hello {
                cluster: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
        (
            Hello {
                volume: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
        (
            Hello {
                replica: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
    ] {
        let mut rig = Rig::new(start());
        assert_eq!(rig.why(A, Request::Hello(wrong)), expected);
        assert_eq!(rig.ended, [A]);
    }
}

#[test]
fn anything_before_a_hello_and_a_second_hello_end_the_connection() {
    let mut rig = Rig::new(start());
    rig.tell(A, Request::Ping);
    rig.hello(B, "e");
    rig.tell(B, hello("e"));
    assert_eq!(rig.ended, [A, B]);
    assert!(rig.replies.is_empty());
}

// Seal

#[test]
fn a_seal_syncs_then_records_then_answers() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    let Reply::Standing(standing) = rig.seal(A, 5, 1) else {
        panic!("a standing")
    };
    assert_eq!((standing.sealed_before, standing.sealed), ((0, 1), (5, 1)));
    assert_eq!(rig.log[0], Work::Sync);
    let Work::Record { durable, document } = &rig.log[1] else {
        panic!("a record")
    };
    assert_eq!(
        (durable.sealed, durable.engine.as_str(), &durable.open_boot),
        ((5, 1), "e5", &None)
    );
    assert_eq!(
        document.as_deref().map(|document| document.version),
        Some(2)
    );
    assert_eq!(rig.log.len(), 2);
}

#[test]
fn a_seal_takes_only_greater_ones_or_the_same_engine_before_it_was_opened() {
    let sealed = |open_it: bool, engine: &str, epoch, attempt| {
        let mut rig = Rig::new(start());
        rig.hello(A, "e5");
        rig.seal(A, 5, 2);
        if open_it {
            assert_eq!(rig.ask(A, open(5, 2, Role::Member, 2, 1)), Reply::Done);
        }
        rig.hello(B, engine);
        matches!(rig.seal(B, epoch, attempt), Reply::Standing(_))
    };
    assert!(sealed(true, "e6", 6, 1));
    assert!(sealed(true, "e6", 5, 3));
    assert!(sealed(false, "e5", 5, 2));
    assert!(
        !sealed(false, "e6", 5, 2),
        "another engine of the same epoch"
    );
    assert!(!sealed(true, "e5", 5, 2), "opened before");
    assert!(!sealed(false, "e5", 5, 1));
    assert!(!sealed(false, "e4", 4, 9));
}

#[test]
fn a_seal_with_an_older_document_is_refused_for_ever() {
    let mut rig = Rig::new(Start {
        document: document(7, 1),
        ..start()
    });
    rig.hello(A, "e9");
    assert_eq!(rig.why(A, seal(9, 9, 6)), Refusal::OldDocument);
    let older_era = Document {
        era: 0,
        ..document(99, 1)
    };
    assert_eq!(
        rig.why(
            A,
            Request::Seal(Seal {
                epoch: 9,
                attempt: 9,
                document: older_era
            })
        ),
        Refusal::OldDocument
    );
    assert!(matches!(rig.ask(A, seal(9, 9, 7)), Reply::Standing(_)));
}

#[test]
fn a_seal_with_other_layers_is_refused_and_ends_nobody() {
    let mut rig = Rig::opened();
    rig.hello(B, "e6");
    let shrunk = Document {
        size: SIZE / 2,
        ..document(9, 1)
    };
    assert_eq!(
        rig.why(
            B,
            Request::Seal(Seal {
                epoch: 6,
                attempt: 1,
                document: shrunk
            })
        ),
        Refusal::Invalid
    );
    assert_eq!(rig.ask(A, read()), Reply::Data(Bytes::from(vec![7; 512])));
}

/// Changes of one connection are applied in their order where they overlap: an engine mirrors changes to a syncing replica
/// without waiting for each (docs/protocol.md, A9).
#[test]
fn a_change_does_not_overtake_one_that_waits_for_its_mark() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, write(1, 0)), Reply::Done);
    rig.log.clear();
    rig.slow_marks = true;
    // Of two regions, the second clean; then of the first alone, which is marked; then of one beside them.
    let both = rig.tell(A, write_of(2, REGION_BYTES - 4096, 8192));
    let first = rig.tell(A, write(3, REGION_BYTES - 4096));
    let behind = rig.tell(A, write(4, REGION_BYTES));
    let flush = rig.tell(A, Request::Flush { seq: 4 });
    let apart = rig.tell(A, write(5, 3 * REGION_BYTES));
    assert!(rig.log.is_empty(), "{:?}", rig.log);
    assert_eq!(rig.marking.len(), 2);
    rig.finish_marks(Outcome::Done);
    let written = |work: &Work| match work {
        Work::Write { offset, data } => Some((*offset, data.len())),
        _ => None,
    };
    let order: Vec<_> = rig.log.iter().filter_map(written).collect();
    let edge = REGION_BYTES - 4096;
    assert_eq!(
        order,
        [
            (edge, 8192),
            (edge, 512),
            (REGION_BYTES, 512),
            (3 * REGION_BYTES, 512)
        ]
    );
    for tag in [both, first, behind, flush, apart] {
        assert_eq!(rig.reply(tag), Some(Reply::Done));
    }
}

/// A mark that fails fails its own change; what waited behind it is tried for itself.
#[test]
fn what_waited_behind_a_mark_without_space_goes_on() {
    let mut rig = Rig::opened();
    rig.slow_marks = true;
    let first = rig.tell(A, write(1, 0));
    let second = rig.tell(A, write(2, 0));
    rig.finish_marks(Outcome::NoSpace("full".to_owned()));
    assert!(matches!(rig.reply(first), Some(Reply::Failed { .. })));
    assert!(rig.reply(second).is_none(), "its own mark is under way");
    rig.finish_marks(Outcome::Done);
    assert_eq!(rig.reply(second), Some(Reply::Done));
}

#[test]
fn a_seal_ends_the_older_connection_at_once_and_waits_for_what_is_under_way() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let flush = rig.tell(A, Request::Flush { seq: 1 });
    rig.hello(B, "e6");
    rig.log.clear();
    let sealing = rig.tell(B, seal(6, 1, 3));
    assert_eq!(rig.ended, [A]);
    rig.tell(A, write(2, 0));
    assert!(
        rig.log.is_empty() && rig.reply(sealing).is_none(),
        "the older sync is under way"
    );
    rig.finish_syncs(Outcome::Done);
    assert!(rig.reply(sealing).is_none(), "its own sync is under way");
    rig.finish_syncs(Outcome::Done);
    assert!(matches!(rig.reply(sealing), Some(Reply::Standing(_))));
    assert!(rig.reply(flush).is_none(), "its connection has ended");
    assert!(matches!(
        rig.log[..],
        [Work::Sync, Work::Sync, Work::Record { .. }]
    ));
}

#[test]
fn a_seal_answers_with_the_marks_of_what_was_drained() {
    let mut rig = Rig::opened();
    rig.tell(A, write(1, 3 * REGION_BYTES));
    rig.hello(B, "e6");
    let Reply::Standing(standing) = rig.ask(B, seal(6, 1, 3)) else {
        panic!("a standing")
    };
    assert_eq!(standing.marks, [RegionRun { first: 3, count: 1 }]);
}

#[test]
fn a_newer_connection_of_the_same_engine_ends_the_older() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.hello(B, "e5");
    assert!(matches!(rig.seal(B, 5, 1), Reply::Standing(_)));
    assert_eq!(rig.ended, [A]);
}

#[test]
fn a_seal_that_can_not_be_recorded_seals_nothing() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.next = Some(("Record", Outcome::NoSpace("full".into())));
    assert!(matches!(
        rig.seal(A, 5, 1),
        Reply::Failed {
            why: Failure::NoSpace,
            ..
        }
    ));
    assert_eq!(rig.replica.standing().sealed, (0, 1));
    assert_eq!(rig.why(A, Request::Ping), Refusal::NotOpen);
    assert!(matches!(rig.seal(A, 5, 1), Reply::Standing(_)));
}

// Open

#[test]
fn an_open_records_this_boot_and_ends_torn() {
    let durable = Durable {
        torn: true,
        role: Role::Member,
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    let Reply::Standing(standing) = rig.seal(A, 5, 1) else {
        panic!("a standing")
    };
    assert!(
        standing.torn && rig.replica.standing().torn,
        "not before SessionOpened"
    );
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 3, 4)), Reply::Done);
    let Some(Work::Record { durable, document }) = rig.log.last() else {
        panic!("a record")
    };
    assert_eq!(
        (&durable.open_boot, durable.torn),
        (&Some("boot1".to_owned()), false)
    );
    assert_eq!(
        (durable.m, durable.epoch, durable.synced_through),
        (4, 5, Some(4))
    );
    assert_eq!(document.as_ref().map(|document| document.version), Some(3));
}

#[test]
fn a_syncing_replica_stays_torn_and_its_content_is_complete_up_to_what_it_was() {
    let durable = Durable {
        torn: true,
        synced_through: Some(2),
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    assert_eq!(rig.ask(A, open(5, 1, Role::Syncing, 3, 4)), Reply::Done);
    let standing = rig.replica.standing();
    assert_eq!(
        (standing.torn, standing.synced_through, standing.m),
        (true, Some(2), 4)
    );
}

#[test]
fn an_open_must_be_exactly_what_is_sealed_once_on_its_connection() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    assert_eq!(rig.why(A, open(5, 1, Role::Member, 2, 1)), Refusal::NotOpen);
    rig.seal(A, 5, 1);
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, open(5, 1, Role::Member, 2, 1)), Refusal::NotOpen);
    assert_eq!(rig.why(A, open(5, 2, Role::Member, 2, 1)), Refusal::Fenced);
    assert_eq!(rig.why(A, open(6, 1, Role::Member, 2, 1)), Refusal::Fenced);
    assert_eq!(
        rig.why(A, open(5, 1, Role::Member, 1, 1)),
        Refusal::OldDocument
    );
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 2, 1)), Reply::Done);
    assert_eq!(rig.why(A, open(5, 1, Role::Member, 2, 1)), Refusal::Invalid);
}

#[test]
fn a_restarted_replica_that_was_opened_takes_only_something_greater() {
    for open_boot in [Some("boot1".to_owned()), None] {
        let durable = Durable {
            sealed: (5, 1),
            engine: "e5".into(),
            epoch: 5,
            open_boot,
            ..start().durable
        };
        let mut rig = Rig::new(Start { durable, ..start() });
        rig.hello(A, "e5");
        assert_eq!(rig.why(A, seal(5, 1, 2)), Refusal::Fenced);
        assert!(matches!(rig.seal(A, 5, 2), Reply::Standing(_)));
    }
    let durable = Durable {
        sealed: (5, 1),
        engine: "e5".into(),
        epoch: 4,
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    assert!(
        matches!(rig.seal(A, 5, 1), Reply::Standing(_)),
        "it was sealed and not opened"
    );
}

#[test]
fn a_replica_that_becomes_a_member_gets_stamps_that_are_durable_first() {
    let mut rig = Rig::new(Start {
        marks: vec![RegionRun { first: 2, count: 1 }],
        ..start()
    });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.log.clear();
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 3, 6)), Reply::Done);
    let regions = vec![
        RegionRun { first: 0, count: 2 },
        RegionRun { first: 3, count: 5 },
    ];
    assert_eq!(rig.log[..2], [Work::Clear { m: 6, regions }, Work::Sync]);
    assert!(matches!(rig.log[2..], [Work::Record { .. }]));
}

/// A member that was removed while it was away comes back by a copy. Nobody told it of its removal, so it still took
/// itself for a member: it kept the old stamps of regions that the copy had filled, and a later delta resync from it
/// would have left those out (A6).
#[test]
fn a_member_sealed_with_a_greater_attempt_has_left_the_set_and_joins_with_new_stamps() {
    let mut rig = Rig::opened();
    rig.hello(B, "copier");
    let Reply::Standing(standing) = ({
        let tag = rig.tell(B, seal(6, 2, 4));
        rig.reply(tag).expect("an answer")
    }) else {
        panic!("sealed");
    };
    assert_eq!(
        (standing.role, standing.synced_through),
        (Role::Syncing, Some(1))
    );
    rig.log.clear();
    assert_eq!(rig.ask(B, member(Role::Member, 5, 9)), Reply::Done);
    assert!(
        matches!(&rig.log[0], Work::Clear { m: 9, .. }),
        "{:?}",
        rig.log
    );
}

// Who may do what, by state

#[test]
fn the_table_of_states() {
    use Refusal::{NotOpen, Role as WrongRole};
    let range = || (0, BLOCK_BYTES);
    // Request; answer after hello only; sealed; opened as member; opened as syncing.
    let rows: Vec<(Request, [Option<Refusal>; 4])> = vec![
        (
            Request::Probe { drop: "d".into() },
            [None, None, None, None],
        ),
        (Request::Ping, [Some(NotOpen), None, None, None]),
        (Request::Flush { seq: 0 }, [Some(NotOpen), None, None, None]),
        (write(1, 0), [Some(NotOpen), Some(NotOpen), None, None]),
        (
            Request::Zero {
                seq: 1,
                offset: 0,
                length: 512,
                punch: true,
                fua: false,
            },
            [Some(NotOpen), Some(NotOpen), None, None],
        ),
        (
            read(),
            [Some(NotOpen), Some(NotOpen), None, Some(WrongRole)],
        ),
        (
            Request::Extents {
                offset: 0,
                length: SIZE,
            },
            [Some(NotOpen), None, None, None],
        ),
        (
            Request::Hash {
                offset: range().0,
                length: range().1,
            },
            [Some(NotOpen), None, None, None],
        ),
        (
            Request::Fetch {
                offset: range().0,
                length: range().1,
            },
            [Some(NotOpen), None, None, None],
        ),
        (copy(0), [Some(NotOpen), None, Some(WrongRole), None]),
        (
            clear(1, 0),
            [Some(NotOpen), Some(WrongRole), None, Some(WrongRole)],
        ),
        (
            member(Role::Syncing, 3, 1),
            [Some(NotOpen), None, None, None],
        ),
        (Request::Close, [Some(NotOpen), None, None, None]),
    ];
    for (request, expected) in rows {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut rig = Rig::new(start());
            rig.hello(A, "e5");
            if state > 0 {
                rig.seal(A, 5, 1);
            }
            if state > 1 {
                let role = if state == 2 {
                    Role::Member
                } else {
                    Role::Syncing
                };
                assert_eq!(rig.ask(A, open(5, 1, role, 2, 1)), Reply::Done);
            }
            let why = match rig.ask(A, request.clone()) {
                Reply::Refused { why, .. } => Some(why),
                _ => None,
            };
            assert_eq!(why, expected, "{request:?} in state {state}");
        }
    }
}

#[test]
fn a_broken_connection_is_the_end_of_what_was_opened_on_it() {
    let mut rig = Rig::opened();
    assert!(rig.replica.is_open());
    rig.feed(Event::Ended { conn: A });
    assert!(!rig.replica.is_open());
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, write(1, 0)), Refusal::NotOpen);
    assert_eq!(rig.why(B, seal(5, 1, 3)), Refusal::Fenced);
    assert!(matches!(rig.ask(B, seal(5, 2, 3)), Reply::Standing(_)));
}

// Changes

#[test]
fn the_first_change_of_a_region_is_marked_first_and_later_ones_are_not() {
    let mut rig = Rig::opened();
    let at = REGION_BYTES - 256;
    assert_eq!(rig.ask(A, write(1, at)), Reply::Done);
    assert_eq!(
        rig.log[0],
        Work::Mark(vec![RegionRun { first: 0, count: 2 }])
    );
    assert!(matches!(rig.log[1..], [Work::Write { .. }]));
    assert_eq!(rig.ask(A, write(2, 0)), Reply::Done);
    assert!(matches!(rig.log[2..], [Work::Write { .. }]));
}

#[test]
fn a_change_with_fua_is_synced_before_its_answer() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    let data = Bytes::from_static(&[1; 512]);
    let tag = rig.tell(
        A,
        Request::Write {
            seq: 1,
            offset: 0,
            data,
            fua: true,
        },
    );
    assert!(rig.reply(tag).is_none());
    rig.finish_syncs(Outcome::Done);
    assert_eq!(rig.reply(tag), Some(Reply::Done));
}

#[test]
fn reads_and_writes_go_on_beside_a_sync_and_flushes_share_the_next() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let first = rig.tell(A, Request::Flush { seq: 1 });
    assert_eq!(rig.ask(A, write(2, 0)), Reply::Done);
    let second = rig.tell(A, Request::Flush { seq: 2 });
    let third = rig.tell(A, Request::Flush { seq: 2 });
    assert!(matches!(rig.ask(A, read()), Reply::Data(_)));
    assert_eq!(rig.kept.len(), 1);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        (rig.reply(first), rig.reply(second)),
        (Some(Reply::Done), None)
    );
    assert_eq!(rig.kept.len(), 1);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        (rig.reply(second), rig.reply(third)),
        (Some(Reply::Done), Some(Reply::Done))
    );
    assert!(rig.kept.is_empty());
}

#[test]
fn changes_must_come_in_order() {
    let mut rig = Rig::opened();
    assert_eq!(rig.why(A, write(0, 0)), Refusal::Invalid);
    assert_eq!(rig.ask(A, write(3, 0)), Reply::Done);
    assert_eq!(rig.why(A, write(3, 0)), Refusal::Invalid);
    assert_eq!(rig.why(A, Request::Flush { seq: 2 }), Refusal::Invalid);
    rig.flush(A, 5);
    assert_eq!(
        rig.why(A, write(5, 0)),
        Refusal::Invalid,
        "the flush has covered it"
    );
    assert_eq!(rig.ask(A, write(6, 0)), Reply::Done);
}

#[test]
fn ranges_must_lie_inside_the_volume() {
    let mut rig = Rig::opened();
    let zero = |offset, length| Request::Zero {
        seq: 1,
        offset,
        length,
        punch: true,
        fua: false,
    };
    for request in [
        write(1, SIZE),
        write(1, SIZE - 511),
        write(1, u64::MAX),
        Request::Write {
            seq: 1,
            offset: 0,
            data: Bytes::new(),
            fua: false,
        },
        zero(0, 0),
        zero(1, SIZE),
        zero(u64::MAX, u64::MAX),
        Request::Read {
            offset: SIZE,
            length: 1,
        },
        Request::Read {
            offset: 0,
            length: PAYLOAD_BYTES_MAX + 1,
        },
        Request::Extents {
            offset: 1,
            length: SIZE,
        },
        Request::Hash {
            offset: 1,
            length: BLOCK_BYTES,
        },
        Request::Hash {
            offset: 0,
            length: 512,
        },
        Request::Fetch {
            offset: 0,
            length: 0,
        },
        Request::Fetch {
            offset: 0,
            length: REGION_BYTES as u32 + BLOCK_BYTES,
        },
        Request::Clear {
            m: 1,
            seq: 0,
            regions: vec![RegionRun { first: 8, count: 1 }],
        },
        Request::Clear {
            m: 1,
            seq: 0,
            regions: vec![RegionRun {
                first: u64::MAX,
                count: 2,
            }],
        },
    ] {
        assert_eq!(rig.why(A, request.clone()), Refusal::Invalid, "{request:?}");
    }
    assert_eq!(rig.ask(A, write(1, SIZE - 512)), Reply::Done);
}

#[test]
fn no_space_and_a_bad_block_fail_the_request_only() {
    let mut rig = Rig::opened();
    rig.next = Some(("Write", Outcome::NoSpace("full".into())));
    assert!(matches!(
        rig.ask(A, write(1, 0)),
        Reply::Failed {
            why: Failure::NoSpace,
            ..
        }
    ));
    rig.next = Some(("Write", Outcome::Corrupt { offset: 4096 }));
    assert_eq!(rig.ask(A, write(2, 4096)), Reply::Corrupt { offset: 4096 });
    rig.next = Some(("Read", Outcome::Corrupt { offset: 0 }));
    assert_eq!(rig.ask(A, read()), Reply::Corrupt { offset: 0 });
    assert_eq!(rig.ask(A, write(3, 0)), Reply::Done);
    assert_eq!(rig.replica.standing().failed, None);
}

#[test]
fn a_failed_sync_is_never_retried_into_an_ok() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let first = rig.tell(A, Request::Flush { seq: 1 });
    let second = rig.tell(A, Request::Flush { seq: 1 });
    rig.finish_syncs(Outcome::Disk("fdatasync: EIO".into()));
    assert!(matches!(
        rig.reply(first),
        Some(Reply::Failed {
            why: Failure::Disk,
            ..
        })
    ));
    assert!(rig.log.contains(&Work::NoteFailed("fdatasync: EIO".into())));
    rig.finish_syncs(Outcome::Done);
    assert!(matches!(
        rig.reply(second),
        Some(Reply::Failed {
            why: Failure::Disk,
            ..
        })
    ));
    let reply = rig.ask(A, Request::Flush { seq: 1 });
    assert!(matches!(
        reply,
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
}

#[test]
fn a_failed_replica_serves_nothing_and_says_so_to_a_probe() {
    let mut rig = Rig::opened();
    rig.next = Some(("Mark", Outcome::Disk("EIO".into())));
    assert!(matches!(
        rig.ask(A, write(1, 0)),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
    assert!(
        !rig.log
            .iter()
            .any(|work| matches!(work, Work::Write { .. })),
        "never without its mark"
    );
    for request in [
        read(),
        write(2, 0),
        Request::Close,
        member(Role::Member, 4, 4),
    ] {
        assert!(matches!(
            rig.ask(A, request),
            Reply::Failed {
                why: Failure::Disk,
                ..
            }
        ));
    }
    rig.hello(B, "e6");
    assert!(matches!(
        rig.ask(B, seal(6, 1, 3)),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
    let Reply::Standing(standing) = rig.ask(B, Request::Probe { drop: "d".into() }) else {
        panic!("a standing")
    };
    assert_eq!(standing.failed.as_deref(), Some("EIO"));
}

#[test]
fn a_replica_that_failed_in_this_boot_stays_failed_after_a_restart() {
    let mut rig = Rig::new(Start {
        failed: Some("EIO".into()),
        ..start()
    });
    rig.hello(A, "e5");
    assert!(matches!(
        rig.seal(A, 5, 1),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
}

// Clear

#[test]
fn a_clear_skips_what_was_written_after_its_flush() {
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    rig.ask(A, write(2, REGION_BYTES));
    rig.flush(A, 2);
    rig.ask(A, write(3, 0));
    rig.log.clear();
    assert_eq!(rig.ask(A, clear(1, 2)), Reply::Done);
    assert_eq!(
        rig.log,
        [Work::Clear {
            m: 1,
            regions: vec![RegionRun { first: 1, count: 1 }]
        }]
    );
    assert_eq!(rig.why(A, Request::Close), Refusal::MarksSet);
}

#[test]
fn a_clear_needs_a_finished_flush_here() {
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    assert_eq!(rig.why(A, clear(1, 1)), Refusal::Invalid);
    rig.slow_sync = true;
    rig.tell(A, Request::Flush { seq: 1 });
    assert_eq!(rig.why(A, clear(1, 1)), Refusal::Invalid);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        rig.why(A, clear(2, 1)),
        Refusal::Invalid,
        "a membership nobody told"
    );
    assert_eq!(rig.ask(A, clear(1, 1)), Reply::Done);
}

#[test]
fn marks_of_an_older_session_can_be_cleared_by_the_next() {
    let mut rig = Rig::opened();
    rig.ask(A, write(900, 0));
    rig.hello(B, "e6");
    rig.ask(B, seal(6, 1, 3));
    assert_eq!(rig.ask(B, open(6, 1, Role::Member, 4, 2)), Reply::Done);
    assert_eq!(rig.ask(B, clear(2, 0)), Reply::Done);
    assert_eq!(rig.ask(B, Request::Close), Reply::Done);
}

#[test]
fn a_clear_after_copies_needs_a_flush_after_them() {
    let durable = Durable {
        role: Role::Member,
        m: 1,
        synced_through: Some(1),
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    assert_eq!(rig.why(A, clear(1, 0)), Refusal::Invalid);
    rig.flush(A, 0);
    assert_eq!(rig.ask(A, clear(1, 0)), Reply::Done);
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
}

#[test]
fn a_write_while_a_clear_is_being_done_marks_again() {
    // The clear is first on disk, the mark second: effects are done in order.
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    rig.flush(A, 1);
    rig.log.clear();
    let mut out = Vec::new();
    rig.replica.handle(
        Event::Request {
            conn: A,
            tag: 90,
            request: clear(1, 1),
        },
        &mut out,
    );
    rig.replica.handle(
        Event::Request {
            conn: A,
            tag: 91,
            request: write(2, 0),
        },
        &mut out,
    );
    let work: Vec<_> = out
        .iter()
        .filter_map(|effect| {
            if let Effect::Do { work, .. } = effect {
                Some(work)
            } else {
                None
            }
        })
        .collect();
    assert!(matches!(work[..], [Work::Clear { .. }, Work::Mark(_)]));
}

// Copy

#[test]
fn a_copy_before_open_records_this_boot_and_marks_first() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.log.clear();
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    let [
        Work::Record {
            durable,
            document: None,
        },
        Work::Mark(_),
        Work::Copy { .. },
    ] = &rig.log[..]
    else {
        panic!("{:?}", rig.log)
    };
    assert_eq!(durable.open_boot.as_deref(), Some("boot1"));
    rig.log.clear();
    assert_eq!(rig.ask(A, copy(4096)), Reply::Done);
    assert!(matches!(rig.log[..], [Work::Copy { .. }]));
}

#[test]
fn a_late_copy_is_not_taken() {
    let mut rig = Rig::new(start());
    rig.hello(A, "copier");
    rig.seal(A, 5, 1);
    rig.hello(B, "e6");
    rig.seal(B, 6, 1);
    rig.log.clear();
    rig.tell(A, copy(0));
    assert!(rig.log.is_empty() && rig.replies.is_empty());
    assert!(rig.ended.contains(&A));
}

// Member, close, probe

#[test]
fn a_membership_is_durable_before_its_answer_and_never_goes_back() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, member(Role::Member, 4, 2)), Reply::Done);
    assert!(
        matches!(&rig.log[..], [Work::Record { durable, document: Some(_) }] if durable.m == 2)
    );
    assert_eq!(rig.why(A, member(Role::Member, 3, 3)), Refusal::OldDocument);
    assert_eq!(rig.why(A, member(Role::Member, 5, 1)), Refusal::OldDocument);
    assert_eq!(rig.ask(A, member(Role::Member, 4, 2)), Reply::Done);
}

#[test]
fn a_joiner_becomes_a_member_and_is_read_from() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.ask(A, open(5, 1, Role::Syncing, 2, 1));
    assert_eq!(rig.why(A, read()), Refusal::Role);
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    rig.flush(A, 0);
    assert_eq!(rig.ask(A, member(Role::Member, 3, 2)), Reply::Done);
    assert_eq!(rig.replica.standing().synced_through, Some(2));
    assert!(matches!(rig.ask(A, read()), Reply::Data(_)));
    assert_eq!(rig.why(A, copy(0)), Refusal::Role);
    assert_eq!(rig.ask(A, clear(2, 0)), Reply::Done);
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
}

#[test]
fn a_close_empties_the_boot_answers_and_ends_the_connection() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
    assert!(matches!(&rig.log[..], [Work::Record { durable, .. }] if durable.open_boot.is_none()));
    assert_eq!(rig.ended, [A]);
    assert!(!rig.replica.is_open());
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, seal(5, 1, 3)), Refusal::Fenced);
}

#[test]
fn a_probe_changes_nothing() {
    let mut rig = Rig::opened();
    rig.hello(B, "probe");
    let Reply::Standing(standing) = rig.ask(B, Request::Probe { drop: "d".into() }) else {
        panic!("a standing")
    };
    assert_eq!(
        (standing.sealed, standing.role, standing.m),
        ((5, 1), Role::Member, 1)
    );
    assert!(rig.log.is_empty() && rig.ended.is_empty());
    assert_eq!(rig.ask(A, Request::Ping), Reply::Done);
}

#[test]
fn a_folder_is_deleted_only_for_a_tombstone_that_is_not_older() {
    let rig = Rig::opened();
    assert_eq!(rig.replica.document().version, 3);
    assert!(rig.replica.may_delete(1, 3) && rig.replica.may_delete(2, 1));
    assert!(!rig.replica.may_delete(1, 2) && !rig.replica.may_delete(0, 9));
}

#[test]
fn what_an_agent_should_hear_of_changes_the_revision() {
    let mut rig = Rig::new(start());
    let mut seen = rig.replica.revision();
    let mut grew =
        |rig: &Rig| std::mem::replace(&mut seen, rig.replica.revision()) < rig.replica.revision();
    rig.hello(A, "e5");
    assert!(!grew(&rig));
    rig.seal(A, 5, 1);
    assert!(grew(&rig));
    rig.ask(A, open(5, 1, Role::Member, 2, 1));
    assert!(grew(&rig));
    rig.ask(A, write(1, 0));
    assert!(!grew(&rig));
    rig.feed(Event::Ended { conn: A });
    assert!(grew(&rig));
}
