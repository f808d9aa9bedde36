//! The replica's state, and where each event goes.

use std::collections::{BTreeMap, VecDeque};

use shorthorn_wire::frame::RUNS_MAX;
use shorthorn_wire::message::{
    Attempt, Document, Epoch, Failure, Hello, Refusal, RegionRun, Reply, Request, Sequence,
    Standing, Tag,
};
use shorthorn_wire::{REGION_BYTES, WIRE_VERSION};

use super::api::{ConnId, Durable, Effect, Event, Identity, Start, Token, Work};
use super::content::Task;
use super::gate::Gate;
use super::guard::refused;
use super::marks::{Marks, regions_of};
use super::sync::Syncs;
use crate::mutants::{self, Mutant};

/// Requests that wait while something exclusive is recorded; a connection that sends more is ended.
const HELD_MAX: usize = 4096;

/// A connection that said hello.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    /// Who is at its other end.
    pub engine: String,
    /// What it sealed.
    pub seal: Option<(Epoch, Attempt)>,
    /// It is, or (mutants only) was, the one that was opened.
    pub opened: bool,
}

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub conn: ConnId,
    pub tag: Tag,
    pub request: Request,
}

/// One replica. See the module.
#[derive(Debug)]
pub struct Replica {
    pub(super) identity: Identity,
    pub(super) boot: String,
    pub(super) durable: Durable,
    pub(super) document: Document,
    pub(super) failed: Option<String>,
    pub(super) marks: Marks,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    /// The connection whose seal is the newest.
    pub(super) holder: Option<ConnId>,
    /// What is sealed was opened: nobody may seal the same again.
    pub(super) opened_once: bool,
    /// Sequence of the last change that was accepted since the seal.
    pub(super) last_seq: Sequence,
    /// The last change that a finished sync covers.
    pub(super) synced_seq: Sequence,
    /// Copies that were accepted, and those of them that a finished sync covers.
    pub(super) copies: u64,
    pub(super) copies_synced: u64,
    pub(super) syncs: Syncs,
    pub(super) gate: Option<Gate>,
    pub(super) held: VecDeque<Held>,
    pub(super) tasks: VecDeque<(Token, Task)>,
    /// Changes among them that are not handed out yet: they wait for a mark, their own or an earlier one's.
    pub(super) waiting_for_marks: usize,
    last_token: u64,
    revision: u64,
}

impl Replica {
    /// A replica as its folder says it is, with no connections.
    pub fn new(start: Start) -> Self {
        // A restarted replica is a lost one: what was opened can't be sealed again as the same. Role and m are told in
        // open and by members of a sealed settle only, so their epoch says whether that happened.
        let opened_once =
            start.durable.epoch == start.durable.sealed.0 || start.durable.open_boot.is_some();
        Self {
            identity: start.identity,
            boot: start.boot,
            durable: start.durable,
            document: start.document,
            failed: start.failed,
            marks: Marks::found(&start.marks),
            conns: BTreeMap::new(),
            holder: None,
            opened_once,
            last_seq: 0,
            synced_seq: 0,
            copies: 0,
            copies_synced: 0,
            syncs: Syncs::default(),
            gate: None,
            held: VecDeque::new(),
            tasks: VecDeque::new(),
            waiting_for_marks: 0,
            last_token: 0,
            revision: 0,
        }
    }

    /// Takes one event; appends what is to be done to `out`.
    pub fn handle(&mut self, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Request { conn, tag, request } if self.gate.is_some() => {
                self.hold(conn, tag, request, out)
            }
            Event::Request { conn, tag, request } => self.request(conn, tag, request, out),
            Event::Done { token, outcome } => self.done(token, outcome, out),
            Event::Ended { conn } => self.ended(conn),
        }
        self.go_on(out);
    }

    /// What it durably is, and its dirty regions (joined if they are many, so that they may cover clean ones).
    pub fn standing(&self) -> Standing {
        Standing {
            sealed_before: self.durable.sealed,
            sealed: self.durable.sealed,
            role: self.durable.role,
            m: self.durable.m,
            synced_through: self.durable.synced_through,
            torn: self.durable.torn,
            failed: self.failed.clone(),
            boot: self.boot.clone(),
            marks: self.marks.runs(RUNS_MAX),
        }
    }

    /// Whether a connection is open for a session now.
    pub fn is_open(&self) -> bool {
        self.holder
            .is_some_and(|holder| self.conns.get(&holder).is_some_and(|conn| conn.opened))
    }

    /// Whether exactly this is durably sealed, by this engine.
    pub fn is_sealed(&self, epoch: Epoch, attempt: Attempt, engine: &str) -> bool {
        self.durable.sealed == (epoch, attempt) && self.durable.engine == engine
    }

    /// Whether this connection has the newest seal.
    pub fn is_holder(&self, conn: ConnId) -> bool {
        self.holder == Some(conn)
    }

    /// The document it keeps.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Grows whenever something changed that an agent should hear of: sealed, opened, closed, told, failed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether a tombstone whose document is (era, version) allows to delete the folder: nothing newer is stored or
    /// sealed here (a seal stores its document).
    pub fn may_delete(&self, era: u64, version: u64) -> bool {
        let older = (self.document.era, self.document.version) <= (era, version);
        older || mutants::active(Mutant::DeleteNewer)
    }

    pub(super) fn changed(&mut self) {
        self.revision += 1;
    }

    pub(super) fn token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }

    pub(super) fn send(&self, conn: ConnId, tag: Tag, reply: Reply, out: &mut Vec<Effect>) {
        if self.conns.contains_key(&conn) {
            out.push(Effect::Send { conn, tag, reply });
        }
    }

    pub(super) fn end(&mut self, conn: ConnId, why: String, out: &mut Vec<Effect>) {
        self.ended(conn);
        out.push(Effect::End { conn, why });
    }

    /// Whether requests only wait: something exclusive is being recorded. A program then reads no more of them.
    pub fn is_busy(&self) -> bool {
        self.gate.is_some()
    }

    /// Nothing is being done, and no flush waits.
    pub(super) fn is_drained(&self) -> bool {
        self.tasks.is_empty() && self.syncs.is_idle()
    }

    fn hold(&mut self, conn: ConnId, tag: Tag, request: Request, out: &mut Vec<Effect>) {
        if self.held.len() >= HELD_MAX {
            return self.end(
                conn,
                "too many requests while the replica is being sealed".to_owned(),
                out,
            );
        }
        self.held.push_back(Held { conn, tag, request });
    }

    /// What became possible: the next step of what is exclusive, then what waited for it.
    fn go_on(&mut self, out: &mut Vec<Effect>) {
        self.start_sync(out);
        self.advance_gate(out);
        while self.gate.is_none() {
            let Some(Held { conn, tag, request }) = self.held.pop_front() else {
                return;
            };
            self.request(conn, tag, request, out);
            self.start_sync(out);
            self.advance_gate(out);
        }
    }

    fn ended(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        self.held.retain(|held| held.conn != conn);
        if self.holder == Some(conn) {
            // A connection is a membership: what was opened on it is over (docs/protocol.md).
            self.holder = None;
            self.changed();
        }
    }

    fn request(&mut self, conn: ConnId, tag: Tag, request: Request, out: &mut Vec<Effect>) {
        match (self.conns.contains_key(&conn), &request) {
            (false, Request::Hello(hello)) => return self.hello(conn, tag, hello, out),
            (false, _) => return self.end(conn, "the first message is no hello".to_owned(), out),
            (true, Request::Hello(_)) => return self.end(conn, "a second hello".to_owned(), out),
            (true, _) => {}
        }
        if let Err(no) = self.check(conn, &request) {
            return self.send(
                conn,
                tag,
                Reply::Refused {
                    why: no.why,
                    detail: no.detail,
                },
                out,
            );
        }
        if let Some(reason) = &self.failed {
            if !matches!(request, Request::Probe { .. } | Request::Ping) {
                let detail = format!("failed in this boot: {reason}");
                return self.send(
                    conn,
                    tag,
                    Reply::Failed {
                        why: Failure::Disk,
                        detail,
                    },
                    out,
                );
            }
        }
        match request {
            Request::Hello(_) => {}
            Request::Seal(seal) => self.seal(conn, tag, seal, out),
            Request::Open(open) => self.open(conn, tag, open, out),
            Request::Member(member) => self.member(conn, tag, member, out),
            Request::Close => self.close(conn, tag),
            Request::Probe { .. } => self.send(conn, tag, Reply::Standing(self.standing()), out),
            Request::Ping => self.send(conn, tag, Reply::Done, out),
            Request::Flush { seq } => {
                self.accept_seq(conn, seq);
                self.flush(conn, tag, seq);
            }
            Request::Clear { m, seq, regions } => self.clear(conn, tag, m, &regions, seq, out),
            Request::Write {
                seq,
                offset,
                data,
                fua,
            } => {
                let regions = regions_of(offset, data.len() as u64);
                self.accept_seq(conn, seq);
                self.change(
                    conn,
                    tag,
                    regions,
                    seq,
                    Work::Write { offset, data },
                    fua,
                    out,
                );
            }
            Request::Zero {
                seq,
                offset,
                length,
                punch,
                fua,
            } => {
                self.accept_seq(conn, seq);
                let work = Work::Zero {
                    offset,
                    length,
                    punch,
                };
                self.change(conn, tag, regions_of(offset, length), seq, work, fua, out);
            }
            Request::Copy { offset, blocks } => self.copy(conn, tag, offset, blocks, out),
            Request::Read { offset, length } => {
                self.look(conn, tag, Work::Read { offset, length }, out)
            }
            Request::Extents { offset, length } => {
                self.look(conn, tag, Work::Extents { offset, length }, out)
            }
            Request::Hash { offset, length } => {
                self.look(conn, tag, Work::Hash { offset, length }, out)
            }
            Request::Fetch { offset, length } => {
                self.look(conn, tag, Work::Fetch { offset, length }, out)
            }
        }
    }

    fn hello(&mut self, conn: ConnId, tag: Tag, hello: &Hello, out: &mut Vec<Effect>) {
        let own = &self.identity;
        let known = (&hello.cluster, &hello.volume, &hello.replica)
            == (&own.cluster, &own.volume, &own.replica);
        let problem = if hello.wire != WIRE_VERSION {
            refused(
                Refusal::Version,
                format!(
                    "wire version {}, this program speaks {WIRE_VERSION}",
                    hello.wire
                ),
            )
        } else if !known {
            refused(
                Refusal::Unknown,
                "another cluster, volume or replica lives here",
            )
        } else {
            self.conns.insert(
                conn,
                Conn {
                    engine: hello.engine.clone(),
                    seal: None,
                    opened: false,
                },
            );
            return self.send(conn, tag, Reply::Done, out);
        };
        let end = problem.detail.clone();
        out.push(Effect::Send {
            conn,
            tag,
            reply: Reply::Refused {
                why: problem.why,
                detail: problem.detail,
            },
        });
        self.end(conn, end, out);
    }

    /// Every region of the volume.
    pub(super) fn all_regions(&self) -> RegionRun {
        RegionRun {
            first: 0,
            count: self.document.size.div_ceil(REGION_BYTES),
        }
    }
}
