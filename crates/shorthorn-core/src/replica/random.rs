//! Random requests of several connections over a disk that takes its time: what must hold after every step.
//!
//! Work is done in the order of its effects, at random moments; syncs end on their own, in any order. Each change carries
//! its connection and a number, so that the disk can tell what it was made to apply, for whom and when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use shorthorn_wire::message::*;
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES, WIRE_VERSION};

use super::tests::{document, start};
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Hello,
    /// Epoch, attempt: relative to what is sealed.
    Seal(u64, u64, bool),
    Open(Role),
    Write(u64, bool),
    Copy(u64),
    Flush,
    Clear,
    Member(Role),
    Close,
    Read,
    End,
    /// So much work is done.
    Work(usize),
    /// The sync with this index ends, well or not.
    Synced(usize),
    /// The next change meets a full disk.
    Full,
    /// The disk fails: whatever is done next.
    Break,
}

fn step() -> impl Strategy<Value = Step> {
    let role = || prop_oneof![3 => Just(Role::Member), 1 => Just(Role::Syncing)];
    prop_oneof![
        3 => Just(Step::Hello),
        3 => (0..3u64, 0..3u64, prop::bool::weighted(0.8)).prop_map(|(e, a, new)| Step::Seal(e, a, new)),
        4 => role().prop_map(Step::Open),
        10 => (0..8u64, prop::bool::weighted(0.2)).prop_map(|(region, fua)| Step::Write(region, fua)),
        3 => (0..8u64).prop_map(Step::Copy),
        5 => Just(Step::Flush),
        4 => Just(Step::Clear),
        2 => role().prop_map(Step::Member),
        1 => Just(Step::Close),
        2 => Just(Step::Read),
        1 => Just(Step::End),
        12 => (1..6usize).prop_map(Step::Work),
        8 => (0..3usize).prop_map(Step::Synced),
        1 => Just(Step::Full),
    ]
}

/// What is waited for on a connection.
#[derive(Clone, Debug)]
enum Asked {
    Change(u64, bool),
    Flush(BTreeSet<u64>),
    Seal((u64, u64)),
    Other,
}

#[derive(Default)]
struct Peer {
    next_seq: u64,
    /// Changes whose requests were sent, refused ones left out.
    sent: BTreeSet<u64>,
}

struct World {
    replica: Replica,
    queue: VecDeque<(Token, Work)>,
    syncs: Vec<(Token, BTreeSet<u64>)>,
    /// Changes on disk with their region, and those that a sync has covered.
    applied: BTreeMap<u64, u64>,
    durable: BTreeSet<u64>,
    marks: BTreeSet<u64>,
    recorded: Durable,
    peers: BTreeMap<ConnId, Peer>,
    ended: BTreeSet<ConnId>,
    asked: BTreeMap<Tag, (ConnId, Asked)>,
    /// Which connection a change came on.
    author: BTreeMap<u64, ConnId>,
    /// The connection that was answered its seal last, with the seal.
    seal_of: BTreeMap<ConnId, (u64, u64)>,
    /// Changes that were refused or failed.
    refused: BTreeSet<u64>,
    last_change: u64,
    last_tag: Tag,
    last_conn: u64,
    version: u64,
    full: bool,
    broken: bool,
}

impl World {
    fn new() -> Self {
        Self {
            replica: Replica::new(start()),
            queue: VecDeque::new(),
            syncs: Vec::new(),
            applied: BTreeMap::new(),
            durable: BTreeSet::new(),
            marks: BTreeSet::new(),
            recorded: start().durable,
            peers: BTreeMap::new(),
            ended: BTreeSet::new(),
            asked: BTreeMap::new(),
            author: BTreeMap::new(),
            seal_of: BTreeMap::new(),
            refused: BTreeSet::new(),
            last_change: 0,
            last_tag: 0,
            last_conn: 0,
            version: 1,
            full: false,
            broken: false,
        }
    }

    fn feed(&mut self, event: Event) {
        let mut out = Vec::new();
        self.replica.handle(event, &mut out);
        for effect in out {
            match effect {
                Effect::Do {
                    token,
                    work: Work::Sync,
                } => self.queue.push_back((token, Work::Sync)),
                Effect::Do { token, work } => {
                    self.check_author(&work);
                    self.queue.push_back((token, work));
                }
                Effect::Send { conn, tag, reply } => self.answered(conn, tag, &reply),
                Effect::End { conn, .. } => {
                    self.ended.insert(conn);
                    self.peers.remove(&conn);
                }
            }
        }
        assert_eq!(
            self.replica.durable.sealed, self.recorded.sealed,
            "what is durable is what it says"
        );
        let open = self
            .replica
            .conns
            .iter()
            .filter(|(_, conn)| conn.opened)
            .map(|(conn, _)| *conn);
        assert!(open.clone().count() <= 1 && open.clone().all(|conn| self.replica.is_holder(conn)));
    }

    /// A change is put on the disk's queue only under the seal that its connection was answered, while that is the newest.
    fn check_author(&self, work: &Work) {
        if let Some(change) = change_of(work) {
            let sealed = self.seal_of.get(&self.author[&change]);
            assert_eq!(
                sealed,
                Some(&self.recorded.sealed),
                "applied for a fenced connection"
            );
        }
    }

    fn answered(&mut self, conn: ConnId, tag: Tag, reply: &Reply) {
        assert!(
            !self.ended.contains(&conn),
            "a reply on an ended connection"
        );
        let (asker, asked) = self.asked.remove(&tag).expect("one reply a request");
        assert_eq!(asker, conn);
        match (asked, reply) {
            (Asked::Change(change, fua), Reply::Done) => {
                assert!(
                    self.applied.contains_key(&change),
                    "answered before it was applied"
                );
                assert!(
                    !fua || self.durable.contains(&change),
                    "FUA answered before it was durable"
                );
            }
            (Asked::Change(change, _), _) => {
                self.refused.insert(change);
            }
            (Asked::Flush(sent), Reply::Done) => {
                let lacks = sent.iter().find(|change| {
                    !self.refused.contains(change) && !self.durable.contains(change)
                });
                assert_eq!(lacks, None, "flush answered before this change was durable");
            }
            (Asked::Seal(sealed), Reply::Standing(standing)) => {
                assert_eq!((standing.sealed, self.recorded.sealed), (sealed, sealed));
                assert_eq!(self.recorded.open_boot, None);
                assert!(
                    self.queue.is_empty() && self.syncs.is_empty(),
                    "sealed while work is under way"
                );
                assert!(
                    self.applied
                        .keys()
                        .all(|change| self.durable.contains(change)),
                    "sealed without sync"
                );
                let marks: BTreeSet<u64> = standing
                    .marks
                    .iter()
                    .flat_map(|run| run.first..run.first + run.count)
                    .collect();
                assert_eq!(marks, self.marks);
                self.seal_of = BTreeMap::from([(conn, sealed)]);
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.next_seq = 0;
                }
            }
            _ => {}
        }
    }

    fn work(&mut self) {
        let Some((token, work)) = self.queue.pop_front() else {
            return;
        };
        if work == Work::Sync {
            self.syncs
                .push((token, self.applied.keys().copied().collect()));
            return;
        }
        let outcome = self.apply(work);
        self.feed(Event::Done { token, outcome });
    }

    fn apply(&mut self, work: Work) -> Outcome {
        if self.broken {
            return Outcome::Disk("EIO".into());
        }
        match &work {
            Work::Record { durable, .. } => {
                assert!(durable.sealed >= self.recorded.sealed && durable.m >= self.recorded.m);
                self.recorded = (**durable).clone();
            }
            Work::Mark(runs) => self
                .marks
                .extend(runs.iter().flat_map(|run| run.first..run.first + run.count)),
            Work::Clear { regions, .. } => {
                for region in regions
                    .iter()
                    .flat_map(|run| run.first..run.first + run.count)
                {
                    if self.marks.remove(&region) {
                        let lost = self
                            .applied
                            .iter()
                            .find(|(id, at)| **at == region && !self.durable.contains(id));
                        assert_eq!(
                            lost, None,
                            "the mark of a change that is not durable was cleared"
                        );
                    }
                }
            }
            Work::Write { offset, .. } | Work::Copy { offset, .. } => {
                let region = offset / REGION_BYTES;
                assert!(self.marks.contains(&region), "changed before it was marked");
                if std::mem::take(&mut self.full) {
                    return Outcome::NoSpace("full".into());
                }
                let change = change_of(&work).expect("a change");
                assert!(
                    self.recorded.open_boot.is_some(),
                    "changed while no boot is recorded"
                );
                self.applied.insert(change, region);
            }
            Work::Read { .. } => return Outcome::Data(Bytes::new()),
            _ => {}
        }
        Outcome::Done
    }

    fn synced(&mut self, index: usize) {
        if self.syncs.is_empty() {
            return;
        }
        let (token, covered) = self.syncs.remove(index % self.syncs.len());
        let outcome = if self.broken {
            Outcome::Disk("EIO".into())
        } else {
            Outcome::Done
        };
        if !self.broken {
            self.durable.extend(covered);
        }
        self.feed(Event::Done { token, outcome });
    }

    fn ask(&mut self, conn: ConnId, request: Request, asked: Asked) {
        self.last_tag += 1;
        self.asked.insert(self.last_tag, (conn, asked));
        self.feed(Event::Request {
            conn,
            tag: self.last_tag,
            request,
        });
    }

    fn step(&mut self, pick: usize, step: Step) {
        let conns: Vec<ConnId> = self.peers.keys().copied().collect();
        let conn = if conns.is_empty() {
            None
        } else {
            Some(conns[pick % conns.len()])
        };
        match (step, conn) {
            (Step::Work(count), _) => (0..count).for_each(|_| self.work()),
            (Step::Synced(index), _) => self.synced(index),
            (Step::Full, _) => self.full = true,
            (Step::Break, _) => self.broken = true,
            (Step::Hello, _) => self.hello(),
            (_, None) => {}
            (Step::End, Some(conn)) => {
                self.peers.remove(&conn);
                self.ended.insert(conn);
                self.feed(Event::Ended { conn });
            }
            (step, Some(conn)) => self.request(conn, step),
        }
    }

    fn hello(&mut self) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.peers.insert(conn, Peer::default());
        let (cluster, volume, replica) = ("c".to_owned(), "v".to_owned(), "r".to_owned());
        let engine = format!("e{}", conn.0 % 4);
        self.ask(
            conn,
            Request::Hello(Hello {
                wire: WIRE_VERSION,
                cluster,
                volume,
                replica,
                engine,
            }),
            Asked::Other,
        );
    }

    fn request(&mut self, conn: ConnId, step: Step) {
        let sealed = self.recorded.sealed;
        let own = self.seal_of.get(&conn).copied().unwrap_or_default();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let (request, asked) = match step {
            Step::Seal(e, a, newer) => {
                self.version += u64::from(newer);
                let asked = (sealed.0 + e, (sealed.1 + a).saturating_sub(1));
                let document = document(self.version, 0);
                (
                    Request::Seal(Seal {
                        epoch: asked.0,
                        attempt: asked.1,
                        document,
                    }),
                    Asked::Seal(asked),
                )
            }
            Step::Open(role) => {
                self.version += 1;
                let document = document(self.version, self.version);
                (
                    Request::Open(Open {
                        epoch: own.0,
                        attempt: own.1,
                        role,
                        document,
                    }),
                    Asked::Other,
                )
            }
            Step::Member(role) => {
                self.version += 1;
                (
                    Request::Member(Member {
                        role,
                        document: document(self.version, self.version),
                    }),
                    Asked::Other,
                )
            }
            Step::Write(region, fua) => {
                peer.next_seq += 1;
                self.last_change += 1;
                let (seq, offset) = (peer.next_seq, region * REGION_BYTES);
                let data = Bytes::from(self.last_change.to_le_bytes().to_vec());
                (
                    Request::Write {
                        seq,
                        offset,
                        data,
                        fua,
                    },
                    Asked::Change(self.last_change, fua),
                )
            }
            Step::Copy(region) => {
                self.last_change += 1;
                let mut data = vec![0; BLOCK_BYTES as usize];
                data[..8].copy_from_slice(&self.last_change.to_le_bytes());
                let blocks = Blocks {
                    states: vec![BlockState::Good { sum: 0 }],
                    data: Bytes::from(data),
                };
                (
                    Request::Copy {
                        offset: region * REGION_BYTES,
                        blocks,
                    },
                    Asked::Change(self.last_change, false),
                )
            }
            Step::Flush => (
                Request::Flush { seq: peer.next_seq },
                Asked::Flush(peer.sent.clone()),
            ),
            Step::Clear => {
                let regions = vec![RegionRun { first: 0, count: 8 }];
                (
                    Request::Clear {
                        m: self.recorded.m,
                        seq: peer.next_seq,
                        regions,
                    },
                    Asked::Other,
                )
            }
            Step::Close => (Request::Close, Asked::Other),
            _ => (
                Request::Read {
                    offset: 0,
                    length: 512,
                },
                Asked::Other,
            ),
        };
        if let Asked::Change(change, _) = asked {
            peer.sent.insert(change);
            self.author.insert(change, conn);
        }
        self.ask(conn, request, asked);
    }
}

fn change_of(work: &Work) -> Option<u64> {
    let data = match work {
        Work::Write { data, .. } => data,
        Work::Copy { blocks, .. } => &blocks.data,
        _ => return None,
    };
    data.first_chunk::<8>()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

fn run(steps: Vec<(usize, Step)>) {
    let mut world = World::new();
    for (pick, step) in steps {
        world.step(pick, step);
    }
    while !world.queue.is_empty() || !world.syncs.is_empty() {
        world.work();
        world.synced(0);
    }
    let open = world
        .asked
        .values()
        .filter(|(conn, _)| world.peers.contains_key(conn))
        .count();
    assert_eq!(open, 0, "every request of a living connection is answered");
    assert!(!world.replica.is_busy());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_comes_nothing_is_applied_or_answered_too_early(
        steps in proptest::collection::vec((any::<usize>(), step()), 1..120),
    ) {
        run(steps);
    }

    #[test]
    fn neither_when_the_disk_fails(
        before in proptest::collection::vec((any::<usize>(), step()), 1..60),
        after in proptest::collection::vec((any::<usize>(), step()), 1..30),
    ) {
        run([before, vec![(0, Step::Break)], after].concat());
    }

    #[test]
    fn neither_in_a_session_that_begins_as_it_should(
        steps in proptest::collection::vec((Just(0), step()), 1..120),
    ) {
        let begin = [Step::Hello, Step::Seal(1, 1, true), Step::Work(9), Step::Synced(0), Step::Work(9)];
        let open = [Step::Open(Role::Member), Step::Work(9), Step::Synced(0), Step::Work(9)];
        let begin = begin.into_iter().chain(open).map(|step| (0, step));
        run(begin.chain(steps).collect());
    }
}
