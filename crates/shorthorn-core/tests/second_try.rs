//! A replica whose disk went back in time stays no source, however often somebody tries (docs/protocol.md, A17).
//!
//! The replicas are real cores on disks that do at once what they are told; engine and copier are killed where it hurts.

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::{document, order, standing};
use shorthorn_core::replica::{self, ConnId, Durable, Identity, Outcome, Replica, Start};
use shorthorn_core::{Nanos, copier, engine};
use shorthorn_wire::agent::{Ask, CopyOrder, CopyWork};
use shorthorn_wire::message::{Reply, Request, Role, Tag};

/// In-sync by the record, whose last open session was 4.
fn in_sync(name: &str, sealed: u64, m: u64) -> Replica {
    Replica::new(Start {
        identity: Identity {
            cluster: "c".to_owned(),
            volume: "v".to_owned(),
            replica: name.to_owned(),
        },
        boot: "b".to_owned(),
        durable: Durable {
            sealed: (sealed, 1),
            engine: "e0".to_owned(),
            role: Role::Member,
            m,
            epoch: sealed,
            synced_through: Some(m),
            open_boot: None,
            torn: false,
        },
        failed: None,
        document: document(m),
        marks: vec![],
    })
}

/// Two replicas and connections to them, numbered through.
struct Disks {
    replicas: Vec<Replica>,
    conn: u64,
    conns: Vec<ConnId>,
}

impl Disks {
    /// r0 is as the record says. r1 was copied back from before session 4; the membership has not changed since.
    fn new() -> Self {
        Self {
            replicas: vec![in_sync("r0", 4, 2), in_sync("r1", 3, 2)],
            conn: 0,
            conns: vec![ConnId(0); 2],
        }
    }

    fn dial(&mut self, index: usize) {
        self.conn += 1;
        self.conns[index] = ConnId(self.conn);
    }

    fn send(&mut self, index: usize, tag: Tag, request: Request) -> Vec<(Tag, Reply)> {
        let conn = self.conns[index];
        let event = replica::Event::Request { conn, tag, request };
        let mut replies = vec![];
        let (mut effects, mut next) = (vec![], vec![]);
        self.replicas[index].handle(event, &mut effects);
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                match effect {
                    replica::Effect::Do { token, .. } => {
                        let outcome = Outcome::Done;
                        let done = replica::Event::Done { token, outcome };
                        self.replicas[index].handle(done, &mut next);
                    }
                    replica::Effect::Send {
                        conn: to,
                        tag,
                        reply,
                    } if to == conn => replies.push((tag, reply)),
                    _ => {}
                }
            }
            std::mem::swap(&mut effects, &mut next);
        }
        replies
    }
}

/// A session that is killed when it asks to open: with which members.
fn session(disks: &mut Disks, epoch: u64) -> Vec<String> {
    let order = shorthorn_wire::agent::SessionOrder { epoch, ..order(2) };
    let mut core = engine::Engine::new(order, format!("e{epoch}")).expect("a legal order");
    let now = Nanos::from_millis(1_000_000);
    let mut events = std::collections::VecDeque::from([engine::Event::Start]);
    while let Some(event) = events.pop_front() {
        let mut out = vec![];
        core.handle(now, event, &mut out);
        for effect in out {
            match effect {
                engine::Effect::Dial { replica, .. } => {
                    disks.dial(replica.index());
                    events.push_back(engine::Event::Connected { replica });
                }
                engine::Effect::Send {
                    replica,
                    tag,
                    request,
                } => {
                    let replies = disks.send(replica.index(), tag, request);
                    events.extend(
                        replies
                            .into_iter()
                            .map(|(tag, reply)| engine::Event::Reply {
                                replica,
                                tag,
                                reply,
                            }),
                    );
                }
                engine::Effect::Ask {
                    ask: Ask::SessionOpened { members, .. },
                    ..
                } => return members,
                _ => {}
            }
        }
    }
    vec![]
}

/// How a settling ends: ready, or why not.
fn settle(disks: &mut Disks, epoch: u64) -> Result<Vec<String>, String> {
    let session = order(2);
    let order = CopyOrder {
        task: format!("t{epoch}"),
        cluster: session.cluster,
        volume: session.volume,
        epoch,
        opened_epoch: session.opened_epoch,
        targets: session.targets,
        without: vec![],
        document: session.document,
        work: CopyWork::Settle,
    };
    let mut core = copier::Copier::new(order, format!("c{epoch}")).expect("a legal order");
    let now = Nanos::from_millis(1_000_000);
    let mut events = std::collections::VecDeque::from([copier::Event::Start]);
    while let Some(event) = events.pop_front() {
        let mut out = vec![];
        core.handle(now, event, &mut out);
        for effect in out {
            match effect {
                copier::Effect::Dial { replica, .. } => {
                    disks.dial(replica.index());
                    events.push_back(copier::Event::Connected { replica });
                }
                copier::Effect::Send {
                    replica,
                    tag,
                    request,
                } => {
                    let replies = disks.send(replica.index(), tag, request);
                    events.extend(
                        replies
                            .into_iter()
                            .map(|(tag, reply)| copier::Event::Reply {
                                replica,
                                tag,
                                reply,
                            }),
                    );
                }
                copier::Effect::Ready { sealed } => return Ok(sealed),
                copier::Effect::Failed { why } => return Err(why),
                _ => {}
            }
        }
    }
    Err("it waits".to_owned())
}

#[test]
fn a_second_session_does_not_take_what_the_first_refused() {
    let mut disks = Disks::new();
    assert_eq!(session(&mut disks, 5), ["r0"]);
    // Killed before the record heard of it: r1 is in-sync still.
    assert_eq!(session(&mut disks, 6), ["r0"]);
}

#[test]
fn a_second_settling_does_not_take_what_the_first_refused() {
    let mut disks = Disks::new();
    for epoch in 5..8 {
        let why = settle(&mut disks, epoch).expect_err("r1 has not what session 4 wrote");
        assert!(why.contains("older"), "{why}");
    }
}

/// The guard must not keep out a replica that is as the record says.
#[test]
fn a_whole_replica_is_taken_by_every_session() {
    let mut disks = Disks::new();
    disks.replicas[1] = in_sync("r1", standing().sealed_before.0, 2);
    for epoch in 5..8 {
        assert_eq!(session(&mut disks, epoch), ["r0", "r1"]);
    }
}
