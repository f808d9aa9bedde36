//! What the two switches of the replica let through: the guards they take out are the ones that refuse it.

#![cfg(feature = "mutants")]

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

fn seal(replica: &mut Replica, conn: u64, epoch: u64) {
    let text = |text: &str| text.to_owned();
    let engine = format!("e{epoch}");
    let hello = Hello {
        wire: WIRE_VERSION,
        cluster: text("c"),
        volume: text("v"),
        replica: text("r"),
        engine,
    };
    ask(replica, conn, Request::Hello(hello));
    ask(
        replica,
        conn,
        Request::Seal(Seal {
            epoch,
            attempt: 1,
            document: document(2),
        }),
    );
}

/// What an older connection, opened or not, still gets applied after a newer seal.
fn late_changes() -> (usize, usize) {
    let durable = Durable {
        sealed: (0, 1),
        engine: String::new(),
        role: Role::Syncing,
        m: 0,
        epoch: 0,
        synced_through: None,
        open_boot: None,
        torn: false,
    };
    let identity = Identity {
        cluster: "c".into(),
        volume: "v".into(),
        replica: "r".into(),
    };
    let boot = "b".to_owned();
    let start = Start {
        identity,
        boot,
        durable,
        failed: None,
        document: document(1),
        marks: Vec::new(),
    };
    let mut replica = Replica::new(start);
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

#[test]
fn a_mutant_lets_through_what_its_rule_refuses() {
    assert_eq!(late_changes(), (0, 0));
    assert!(choose("no-epoch-check"));
    assert_eq!(late_changes(), (1, 0));
    assert!(choose("late-copier"));
    assert_eq!(late_changes(), (0, 1));
    assert!(choose(""));
    assert_eq!(late_changes(), (0, 0));
}
