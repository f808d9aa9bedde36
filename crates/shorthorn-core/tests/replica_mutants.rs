//! What the switches of the replica let through: the guards they take out are the ones that refuse it.

#![cfg(feature = "mutants")]

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use shorthorn_core::mutants::choose;
use shorthorn_core::replica::{
    ConnId, Durable, Effect, Event, Identity, Outcome, Replica, Start, Work,
};
use shorthorn_wire::message::*;
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES, WIRE_VERSION};

fn document(version: u64) -> Document {
    let chain = vec!["l".to_owned()];
    Document {
        era: 1,
        version,
        m: 1,
        size: REGION_BYTES,
        chain,
        head: "l".to_owned(),
        body: String::new(),
    }
}

/// Does all work at once; returns what was written or copied.
fn ask(replica: &mut Replica, conn: u64, request: Request) -> Vec<Work> {
    let (mut out, mut changes) = (Vec::new(), Vec::new());
    replica.handle(
        Event::Request {
            conn: ConnId(conn),
            tag: 1,
            request,
        },
        &mut out,
    );
    while !out.is_empty() {
        if let Effect::Do { token, work } = out.remove(0) {
            if matches!(work, Work::Write { .. } | Work::Copy { .. }) {
                changes.push(work);
            }
            replica.handle(
                Event::Done {
                    token,
                    outcome: Outcome::Done,
                },
                &mut out,
            );
        }
    }
    changes
}

/// The hello and the seal of the engine of an epoch.
fn sealing(epoch: u64) -> (Request, Request) {
    let text = |text: &str| text.to_owned();
    let hello = Hello {
        wire: WIRE_VERSION,
        cluster: text("c"),
        volume: text("v"),
        replica: text("r"),
        engine: format!("e{epoch}"),
    };
    let seal = Seal {
        epoch,
        attempt: 1,
        document: document(2),
    };
    (Request::Hello(hello), Request::Seal(seal))
}

fn seal(replica: &mut Replica, conn: u64, epoch: u64) {
    let (hello, seal) = sealing(epoch);
    ask(replica, conn, hello);
    ask(replica, conn, seal);
}

fn fresh() -> Durable {
    Durable {
        sealed: (0, 1),
        engine: String::new(),
        role: Role::Syncing,
        m: 0,
        epoch: 0,
        synced_through: None,
        open_boot: None,
        torn: false,
    }
}

fn start(boot: &str, durable: Durable, version: u64) -> Start {
    Start {
        identity: Identity {
            cluster: "c".into(),
            volume: "v".into(),
            replica: "r".into(),
        },
        boot: boot.to_owned(),
        durable,
        failed: None,
        document: document(version),
        marks: Vec::new(),
    }
}

/// What an older connection, opened or not, still gets applied after a newer seal.
fn late_changes() -> (usize, usize) {
    let mut replica = Replica::new(start("b", fresh(), 1));
    seal(&mut replica, 1, 5);
    let open = Open {
        epoch: 5,
        attempt: 1,
        role: Role::Syncing,
        document: document(2),
    };
    ask(&mut replica, 1, Request::Open(open));
    seal(&mut replica, 2, 6);
    let write = Request::Write {
        seq: 1,
        offset: 0,
        data: Bytes::from_static(&[1; 512]),
        fua: false,
    };
    let blocks = Blocks {
        states: vec![BlockState::Good { sum: 1 }],
        data: Bytes::from(vec![1; BLOCK_BYTES as usize]),
    };
    let copy = Request::Copy { offset: 0, blocks };
    (
        ask(&mut replica, 1, write).len(),
        ask(&mut replica, 1, copy).len(),
    )
}

/// A node with one replica: a page cache that outlives the program, and a disk that outlives the node.
struct Node {
    boot: u32,
    replica: Replica,
    durable: Durable,
    /// Changes that no sync has covered, and those that one has.
    cached: usize,
    on_disk: usize,
}

impl Node {
    fn new() -> Self {
        Self {
            boot: 1,
            replica: Replica::new(start("boot-1", fresh(), 1)),
            durable: fresh(),
            cached: 0,
            on_disk: 0,
        }
    }

    fn ask(&mut self, conn: u64, request: Request) {
        let event = Event::Request {
            conn: ConnId(conn),
            tag: 1,
            request,
        };
        let mut out = Vec::new();
        self.replica.handle(event, &mut out);
        while !out.is_empty() {
            if let Effect::Do { token, work } = out.remove(0) {
                match work {
                    Work::Record { durable, .. } => self.durable = *durable,
                    Work::Write { .. } => self.cached += 1,
                    Work::Sync => self.on_disk += std::mem::take(&mut self.cached),
                    _ => {}
                }
                let outcome = Outcome::Done;
                self.replica
                    .handle(Event::Done { token, outcome }, &mut out);
            }
        }
    }

    fn seal(&mut self, conn: u64, epoch: u64) {
        let (hello, seal) = sealing(epoch);
        self.ask(conn, hello);
        self.ask(conn, seal);
    }

    /// The program dies and is started again: what it had written is in the page cache still.
    fn restart(&mut self) {
        let boot = format!("boot-{}", self.boot);
        self.replica = Replica::new(start(&boot, self.durable.clone(), 2));
    }

    /// The node loses power and comes back; `torn` as the folder's reader finds it.
    fn lose_power(&mut self) {
        self.cached = 0;
        self.boot += 1;
        self.durable.torn |= self.durable.open_boot.is_some();
        self.restart();
    }
}

/// A write that nobody flushed; its program dies; a new seal; its node loses power. Whether the replica says that it may
/// lack something, and whether it does.
fn torn_and_lost() -> (bool, bool) {
    let mut node = Node::new();
    node.seal(1, 5);
    let open = Open {
        epoch: 5,
        attempt: 1,
        role: Role::Member,
        document: document(2),
    };
    node.ask(1, Request::Open(open));
    let write = Request::Write {
        seq: 1,
        offset: 0,
        data: Bytes::from_static(&[1; 512]),
        fua: false,
    };
    node.ask(1, write);
    node.restart();
    node.seal(2, 6);
    assert_eq!(node.replica.standing().sealed, (6, 1));
    node.lose_power();
    (node.replica.standing().torn, node.on_disk == 0)
}

/// One switch for the process: one test at a time.
static SWITCH: Mutex<()> = Mutex::new(());

#[test]
fn a_seal_without_a_sync_hides_a_loss() {
    let _alone = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(torn_and_lost(), (false, false));
    assert!(choose("seal-no-sync"));
    assert_eq!(
        torn_and_lost(),
        (false, true),
        "whole by its own word, and a write is gone"
    );
    assert!(choose(""));
}

#[test]
fn a_mutant_lets_through_what_its_rule_refuses() {
    let _alone = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(late_changes(), (0, 0));
    assert!(choose("no-epoch-check"));
    assert_eq!(late_changes(), (1, 0));
    assert!(choose("late-copier"));
    assert_eq!(late_changes(), (0, 1));
    assert!(choose(""));
    assert_eq!(late_changes(), (0, 0));
}
