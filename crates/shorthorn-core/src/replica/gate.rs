//! Changes of what a replica is: seal, open, member, close. One at a time, and nothing else is begun beside them.
//!
//! Each goes through the same steps, as far as it needs them: drain what is being applied, give stamps, sync, record
//! durably; only then its answer.

use shorthorn_wire::message::{
    Attempt, Document, Epoch, Failure, Member, Open, Refusal, Reply, Role, Seal, Standing, Tag,
};

use super::api::{ConnId, Durable, Effect, Outcome, Token, Work};
use super::content::reply_to;
use super::guard::{ends_older, refused};
use super::machine::{Held, Replica};
use crate::mutants::{self, Mutant};

/// What is being recorded.
#[derive(Debug)]
pub(super) struct Gate {
    conn: ConnId,
    tag: Tag,
    next: Durable,
    document: Option<Document>,
    then: Then,
    drain: bool,
    /// Raise the stamp of every clean region to this membership number.
    stamp: Option<u64>,
    sync: bool,
    recorded: bool,
    /// The step under way.
    token: Option<Token>,
}

/// What follows when it is durable.
#[derive(Debug)]
enum Then {
    /// With what was sealed before.
    Sealed((Epoch, Attempt)),
    Opened,
    Told,
    Closed,
    /// This boot may have changes that no sync covers; now do this.
    Dirtied(Box<Held>),
}

impl Replica {
    /// docs/protocol.md, Seal: only what is greater, or the same from the same engine before it was opened; never for an
    /// older document. From here on everything older is refused.
    pub(super) fn seal(&mut self, conn: ConnId, tag: Tag, seal: Seal, out: &mut Vec<Effect>) {
        let engine = self
            .conns
            .get(&conn)
            .map(|known| known.engine.clone())
            .unwrap_or_default();
        let asked = (seal.epoch, seal.attempt);
        let again =
            asked == self.durable.sealed && engine == self.durable.engine && !self.opened_once;
        let again = again || self.lets_seal(asked);
        let problem = if let Err(no) = self.check_document(&seal.document) {
            Some(no)
        } else if seal.epoch == 0 || (asked <= self.durable.sealed && !again) {
            let (epoch, attempt) = self.durable.sealed;
            let detail = format!(
                "epoch {epoch}, attempt {attempt} is sealed; asked for {}, {}",
                asked.0, asked.1
            );
            Some(refused(Refusal::Fenced, detail))
        } else {
            None
        };
        if let Some(no) = problem {
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
        self.end_older(conn, asked, out);
        let then = Then::Sealed(self.durable.sealed);
        let next = Durable {
            sealed: asked,
            engine,
            role: self.role_of(asked.1),
            open_boot: None,
            torn: self.durable.torn && !mutants::active(Mutant::TornForgotten),
            ..self.durable.clone()
        };
        let document = Some(seal.document);
        self.begin(Gate {
            drain: !mutants::active(Mutant::SealUndrained),
            recorded: mutants::active(Mutant::EpochNotDurable),
            // A program that died may have left what nobody synced (A13).
            sync: !mutants::active(Mutant::SealNoSync),
            ..Gate::new(conn, tag, next, document, then)
        });
    }

    /// A seal that a mutant takes although something else is sealed.
    fn lets_seal(&self, asked: (Epoch, Attempt)) -> bool {
        mutants::active(Mutant::SealAnyEpoch)
            || (asked == self.durable.sealed && mutants::active(Mutant::SealAgain))
    }

    /// An attempt grows only when a replica leaves the in-sync set, or while it is outside: whoever is asked for a greater
    /// one has left, whether or not it was told.
    fn role_of(&self, attempt: u64) -> Role {
        if attempt > self.durable.sealed.1 {
            Role::Syncing
        } else {
            self.durable.role
        }
    }

    /// A new connection ends the old, also one of the same engine.
    fn end_older(&mut self, conn: ConnId, asked: (u64, u64), out: &mut Vec<Effect>) {
        if let Some(old) = self.holder.filter(|old| *old != conn) {
            if ends_older() {
                self.end(
                    old,
                    format!("epoch {}, attempt {} seals", asked.0, asked.1),
                    out,
                );
            }
        }
        self.holder = Some(conn);
        if let Some(known) = self.conns.get_mut(&conn) {
            known.seal = Some(asked);
            known.opened = false;
        }
    }

    /// Opens exactly what is sealed, for this connection alone.
    pub(super) fn open(&mut self, conn: ConnId, tag: Tag, open: Open, out: &mut Vec<Effect>) {
        let exact = (open.epoch, open.attempt) == self.durable.sealed;
        let checked = match self.check_membership(&open.document) {
            Ok(()) if mutants::active(Mutant::OpenUnsealed) => Ok(()),
            Ok(()) if !exact => Err(refused(Refusal::Fenced, "this is not what is sealed")),
            Ok(()) if self.opened_once => {
                Err(refused(Refusal::Fenced, "what is sealed was opened before"))
            }
            other => other,
        };
        if let Err(no) = checked {
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
        let told = self.told(open.role, &open.document);
        let boot = Some(self.boot.clone());
        let next = Durable {
            open_boot: boot.filter(|_| !mutants::active(Mutant::OpenUnrecorded)),
            ..told
        };
        let joins = self.joins(open.role, &open.document);
        let gate = Gate::new(conn, tag, next, Some(open.document), Then::Opened);
        self.begin(Gate {
            drain: joins.is_some(),
            stamp: joins,
            sync: joins.is_some(),
            ..gate
        });
    }

    /// The membership changed; durable before the answer (docs/protocol.md, The store).
    pub(super) fn member(&mut self, conn: ConnId, tag: Tag, member: Member, out: &mut Vec<Effect>) {
        if let Err(no) = self.check_membership(&member.document) {
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
        let next = self.told(member.role, &member.document);
        let joins = self.joins(member.role, &member.document);
        let gate = Gate::new(conn, tag, next, Some(member.document), Then::Told);
        self.begin(Gate {
            drain: joins.is_some(),
            recorded: mutants::active(Mutant::MemberNotDurable),
            stamp: joins,
            sync: joins.is_some(),
            ..gate
        });
    }

    /// Everything is clean. The marks were checked.
    pub(super) fn close(&mut self, conn: ConnId, tag: Tag) {
        let next = Durable {
            open_boot: None,
            ..self.durable.clone()
        };
        self.begin(Gate {
            drain: true,
            ..Gate::new(conn, tag, next, None, Then::Closed)
        });
    }

    /// Records that this boot may leave changes that no sync covers, then does the request.
    pub(super) fn record_boot(&mut self, held: Held) {
        let next = Durable {
            open_boot: Some(self.boot.clone()),
            ..self.durable.clone()
        };
        let (conn, tag) = (held.conn, held.tag);
        self.begin(Gate::new(
            conn,
            tag,
            next,
            None,
            Then::Dirtied(Box::new(held)),
        ));
    }

    /// What the replica is once told so. A member's content is complete up to the document's m, and SessionOpened or
    /// Settled, which this follows, end torn (A1); a syncing one's content is still what it was.
    fn told(&self, role: Role, document: &Document) -> Durable {
        let member = role == Role::Member;
        Durable {
            role,
            m: document.m,
            epoch: self.durable.sealed.0,
            synced_through: if member {
                Some(document.m)
            } else {
                self.durable.synced_through
            },
            torn: self.durable.torn && !member,
            ..self.durable.clone()
        }
    }

    /// The stamp for all regions of a replica that becomes a member: the m at which it became in-sync, never too low
    /// (docs/protocol.md, A6 and C). What is being marked meanwhile would lose its mark, so that is drained first.
    fn joins(&self, role: Role, document: &Document) -> Option<u64> {
        (role == Role::Member && self.durable.role == Role::Syncing).then_some(document.m)
    }

    fn begin(&mut self, gate: Gate) {
        debug_assert!(
            self.gate.is_none(),
            "requests are held while something is recorded"
        );
        self.gate = Some(gate);
    }

    /// The next step of what is being recorded, if the one before is done.
    pub(super) fn advance_gate(&mut self, out: &mut Vec<Effect>) {
        let drained = self.is_drained();
        let all = self.all_regions();
        let Some(gate) = &mut self.gate else { return };
        if gate.token.is_some() || (gate.drain && !drained) {
            return;
        }
        if let Some(reason) = self.failed.clone() {
            return self.abort(
                Reply::Failed {
                    why: Failure::Disk,
                    detail: reason,
                },
                out,
            );
        }
        let work = if let Some(m) = gate.stamp.take() {
            let regions = self.marks.clean_in(all);
            if regions.is_empty() {
                return self.advance_gate(out);
            }
            Work::Clear { m, regions }
        } else if std::mem::take(&mut gate.sync) {
            Work::Sync
        } else if !std::mem::replace(&mut gate.recorded, true) {
            Work::Record {
                durable: Box::new(gate.next.clone()),
                document: gate.document.clone().map(Box::new),
            }
        } else {
            return self.finish(out);
        };
        let token = self.token();
        if let Some(gate) = &mut self.gate {
            gate.token = Some(token);
        }
        out.push(Effect::Do { token, work });
    }

    /// Whether this was the end of a step of what is being recorded.
    pub(super) fn gate_done(
        &mut self,
        token: Token,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(gate) = self.gate.as_mut().filter(|gate| gate.token == Some(token)) else {
            return false;
        };
        gate.token = None;
        if *outcome != Outcome::Done {
            self.abort(reply_to(outcome.clone()), out);
        }
        true
    }

    /// It could not be recorded: nothing durable changed. A connection that sealed in vain holds nothing.
    fn abort(&mut self, reply: Reply, out: &mut Vec<Effect>) {
        let Some(gate) = self.gate.take() else { return };
        self.send(gate.conn, gate.tag, reply, out);
        if matches!(gate.then, Then::Sealed(_)) {
            if let Some(known) = self.conns.get_mut(&gate.conn) {
                known.seal = None;
            }
            if self.holder == Some(gate.conn) {
                self.holder = None;
            }
        }
    }

    /// It is durable: from now on this is what the replica is.
    fn finish(&mut self, out: &mut Vec<Effect>) {
        let Some(gate) = self.gate.take() else { return };
        self.durable = gate.next;
        if let Some(document) = gate.document {
            self.document = document;
        }
        self.changed();
        match gate.then {
            Then::Sealed(sealed_before) => {
                self.start_attempt();
                self.opened_once = false;
                let standing = Standing {
                    sealed_before,
                    ..self.standing()
                };
                self.send(gate.conn, gate.tag, Reply::Standing(standing), out);
            }
            Then::Opened => {
                self.opened_once = true;
                if let Some(known) = self.conns.get_mut(&gate.conn) {
                    known.opened = true;
                }
                self.send(gate.conn, gate.tag, Reply::Done, out);
            }
            Then::Told => self.send(gate.conn, gate.tag, Reply::Done, out),
            Then::Closed => {
                self.send(gate.conn, gate.tag, Reply::Done, out);
                self.opened_once = true;
                self.end(gate.conn, "closed".to_owned(), out);
            }
            Then::Dirtied(held) if self.conns.contains_key(&held.conn) => {
                self.held.push_front(*held)
            }
            Then::Dirtied(_) => {}
        }
    }

    /// The requests of a new attempt count from 1, and nothing of it is synced but what the seal has synced.
    fn start_attempt(&mut self) {
        self.last_seq = 0;
        self.synced_seq = 0;
        self.copies_synced = self.copies;
        self.marks.forget_sequences();
    }
}

impl Gate {
    fn new(conn: ConnId, tag: Tag, next: Durable, document: Option<Document>, then: Then) -> Self {
        let (drain, stamp, sync, recorded, token) = (false, None, false, false, None);
        Self {
            conn,
            tag,
            next,
            document,
            then,
            drain,
            stamp,
            sync,
            recorded,
            token,
        }
    }
}
