//! What a replica must refuse, whatever state it is in: late, misdirected or garbled requests, and those of who may not ask.
//!
//! Each row of docs/protocol.md section 3 that is about a replica is asked for in every state that a run comes through. A
//! refusal changes nothing, so the run goes on as if nobody had lied.

use bytes::Bytes;
use shorthorn_core::replica::{ConnId, Effect, Event, Replica};
use shorthorn_wire::message::*;
use shorthorn_wire::{BLOCK_BYTES, WIRE_VERSION};

use super::{Violation, World};

/// The connection of a liar: no link has it.
const LIAR: ConnId = ConnId(u64::MAX);
const TAG: Tag = Tag::MAX;

/// A number of a change that no engine comes to.
const FAR: u64 = u64::MAX >> 1;

impl World {
    /// One replica is lied to.
    pub(super) fn lie(&mut self, node: usize) -> Result<(), Violation> {
        let holder = self.links.iter().find(|(id, link)| {
            let replica = self.nodes[node].replica.as_ref();
            link.node == node && replica.is_some_and(|replica| replica.is_holder(ConnId(**id)))
        });
        let holder = holder.map(|(id, _)| ConnId(*id));
        let Some(replica) = self.nodes[node].replica.as_mut() else {
            return Ok(());
        };
        if replica.is_busy() {
            // It would only wait.
            return Ok(());
        }
        if let Some(holder) = holder {
            for request in of_its_holder(replica) {
                refuses(replica, holder, request)?;
            }
        }
        of_strangers(replica)
    }
}

fn refuses(replica: &mut Replica, conn: ConnId, request: Request) -> Result<(), Violation> {
    let mut out = Vec::new();
    let shown = format!("{request:?}");
    let event = Event::Request {
        conn,
        tag: TAG,
        request,
    };
    replica.handle(event, &mut out);
    match out.as_slice() {
        // One that failed in this boot may say that first.
        [
            Effect::Send {
                reply: Reply::Refused { .. } | Reply::Failed { .. },
                ..
            },
        ] => Ok(()),
        other => {
            let shown: String = shown.chars().take(120).collect();
            let other: String = format!("{other:?}").chars().take(120).collect();
            Err(Violation(format!("a lie is taken: {shown}: {other}")))
        }
    }
}

fn write(seq: u64, offset: u64) -> Request {
    Request::Write {
        seq,
        offset,
        data: Bytes::from_static(&[0; BLOCK_BYTES as usize]),
        fua: false,
    }
}

/// On the connection that sealed it last, opened or not.
fn of_its_holder(replica: &Replica) -> Vec<Request> {
    let (standing, document) = (replica.standing(), replica.document().clone());
    let (epoch, attempt) = standing.sealed;
    let size = document.size;
    let first = vec![RegionRun { first: 0, count: 1 }];
    let block = Blocks {
        states: vec![BlockState::Zero],
        data: Bytes::new(),
    };
    let clear = |m, seq| Request::Clear {
        m,
        seq,
        regions: first.clone(),
    };
    let open = |epoch, attempt| {
        Request::Open(Open {
            epoch,
            attempt,
            role: standing.role,
            document: document.clone(),
        })
    };
    let mut lies = vec![
        open(epoch + 1, attempt),
        open(epoch, attempt + 1),
        write(FAR, size),
        Request::Extents {
            offset: size,
            length: u64::from(BLOCK_BYTES),
        },
        clear(standing.m, FAR),
        clear(standing.m + 1, 0),
    ];
    if standing.m > 0 {
        let mut older = document.clone();
        (older.m, older.version) = (standing.m - 1, document.version + 1);
        lies.push(Request::Member(Member {
            role: standing.role,
            document: older,
        }));
    }
    if replica.is_open() {
        lies.extend([open(epoch, attempt), write(0, 0)]);
        if standing.role == Role::Member {
            lies.push(Request::Copy {
                offset: 0,
                blocks: block,
            });
        }
    } else {
        lies.push(write(FAR, 0));
    }
    if standing.role == Role::Syncing {
        lies.push(clear(standing.m, 0));
        lies.push(Request::Read {
            offset: 0,
            length: BLOCK_BYTES,
        });
    }
    if !standing.marks.is_empty() {
        lies.push(Request::Close);
    }
    lies
}

/// On a connection of somebody else, who sealed nothing.
fn of_strangers(replica: &mut Replica) -> Result<(), Violation> {
    let (standing, document) = (replica.standing(), replica.document().clone());
    if replica.may_delete(document.era, document.version.saturating_sub(1)) && document.version > 0
    {
        let why = "a folder may be deleted for an older tombstone than its document";
        return Err(Violation(why.to_owned()));
    }
    let identity = replica.identity();
    let hello = Hello {
        wire: WIRE_VERSION,
        cluster: identity.cluster.clone(),
        volume: identity.volume.clone(),
        replica: identity.replica.clone(),
        engine: "liar".to_owned(),
    };
    let mut out = Vec::new();
    let event = Event::Request {
        conn: LIAR,
        tag: TAG,
        request: Request::Hello(hello),
    };
    replica.handle(event, &mut out);
    let (epoch, attempt) = standing.sealed;
    let seal = |epoch, attempt, document: &Document| {
        Request::Seal(Seal {
            epoch,
            attempt,
            document: document.clone(),
        })
    };
    let mut older = document.clone();
    older.version = document.version.saturating_sub(1);
    let mut lies = vec![
        seal(epoch, attempt, &document),
        seal(epoch, attempt.saturating_sub(1), &document),
        seal(epoch.saturating_sub(1), attempt + 1, &document),
        write(FAR, 0),
        Request::Read {
            offset: 0,
            length: BLOCK_BYTES,
        },
        Request::Flush { seq: FAR },
        Request::Close,
    ];
    if document.version > 0 {
        lies.push(seal(epoch + 1, attempt, &older));
    }
    for lie in lies {
        refuses(replica, LIAR, lie)?;
    }
    replica.handle(Event::Ended { conn: LIAR }, &mut out);
    Ok(())
}
