//! What a replica accepts from whom: docs/protocol.md, section 3, as a table and a few comparisons.

use shorthorn_wire::message::{Blocks, Document, Refusal, RegionRun, Request, Role};
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

use super::api::ConnId;
use super::machine::Replica;
use crate::mutants::{self, Mutant};

/// A request that is not accepted; nothing changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: Refusal,
    pub detail: String,
}

pub fn refused(why: Refusal, detail: impl Into<String>) -> Refused {
    Refused {
        why,
        detail: detail.into(),
    }
}

/// How far a connection must have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has said hello, and is not fenced.
    Hello,
    /// Its seal is the newest; whether opened or not ("own connection").
    Sealed,
    /// Its seal is the newest and was not opened.
    NotOpened,
    /// It is the one that was opened.
    Opened,
}

/// What the replica must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Any,
    Member,
    /// Syncing, once opened; before that any ("target syncing, or in equalising/settle").
    CopyTarget,
}

/// The table: request, how far its connection must be, what the replica must be.
fn needs(request: &Request) -> (State, Needs) {
    match request {
        Request::Hello(_) | Request::Seal(_) | Request::Probe { .. } => (State::Hello, Needs::Any),
        Request::Open(_) => (State::NotOpened, Needs::Any),
        Request::Member(_) | Request::Ping | Request::Flush { .. } => (State::Sealed, Needs::Any),
        Request::Hash { .. } | Request::Fetch { .. } | Request::Extents { .. } => {
            (State::Sealed, Needs::Any)
        }
        Request::Copy { .. } if mutants::active(Mutant::CopyToMember) => {
            (State::Sealed, Needs::Any)
        }
        Request::Copy { .. } => (State::Sealed, Needs::CopyTarget),
        Request::Clear { .. } if mutants::active(Mutant::ClearSyncing) => {
            (State::Sealed, Needs::Any)
        }
        Request::Clear { .. } => (State::Sealed, Needs::Member),
        Request::Close => (State::Sealed, Needs::Any),
        Request::Write { .. } | Request::Zero { .. } => (State::Opened, Needs::Any),
        Request::Read { .. } if mutants::active(Mutant::ReadSyncing) => (State::Opened, Needs::Any),
        Request::Read { .. } => (State::Opened, Needs::Member),
    }
}

/// A request that a mutant lets through on an older connection; `same`: of the epoch that is sealed now.
fn let_through(request: &Request, same: bool) -> bool {
    match request {
        Request::Write { .. }
        | Request::Zero { .. }
        | Request::Read { .. }
        | Request::Flush { .. }
        | Request::Ping => {
            mutants::active(Mutant::NoEpochCheck) || (same && mutants::active(Mutant::Reconnect))
        }
        Request::Copy { .. } => mutants::active(Mutant::LateCopier),
        _ => false,
    }
}

/// Whether older connections are ended when something newer seals: always, but for the mutants that need them alive.
pub fn ends_older() -> bool {
    !mutants::active(Mutant::NoEpochCheck)
        && !mutants::active(Mutant::LateCopier)
        && !mutants::active(Mutant::Reconnect)
}

impl Replica {
    /// The guards of one request, all but those of hello, seal, open and member that compare documents.
    pub(super) fn check(&self, conn: ConnId, request: &Request) -> Result<(), Refused> {
        self.check_connection(conn, request)?;
        self.check_order(conn, request)?;
        self.check_range(request)
    }

    fn check_connection(&self, conn: ConnId, request: &Request) -> Result<(), Refused> {
        let (state, needs) = needs(request);
        let known = self
            .conns
            .get(&conn)
            .ok_or_else(|| refused(Refusal::Unknown, "say hello first"))?;
        let own = self.holder == Some(conn);
        if !own && known.seal.is_some() {
            let epoch = |seal: Option<(u64, u64)>| seal.map(|(epoch, _)| epoch);
            let same = epoch(known.seal) == Some(self.durable.sealed.0);
            if let_through(request, same) {
                return Ok(());
            }
            let (epoch, attempt) = self.durable.sealed;
            let detail =
                format!("epoch {epoch}, attempt {attempt} or a newer connection is sealed");
            return Err(refused(Refusal::Fenced, detail));
        }
        match state {
            State::Hello => {}
            _ if !own => return Err(refused(Refusal::NotOpen, "seal first")),
            State::Opened if !known.opened => return Err(refused(Refusal::NotOpen, "not opened")),
            State::NotOpened if known.opened => {
                return Err(refused(Refusal::Invalid, "opened already"));
            }
            State::Sealed | State::Opened | State::NotOpened => {}
        }
        match (needs, self.durable.role) {
            (Needs::Member, Role::Syncing) => Err(refused(
                Refusal::Role,
                "for a member only, this one is syncing",
            )),
            (Needs::CopyTarget, Role::Member) if known.opened => Err(refused(
                Refusal::Role,
                "no copies to a member that serves a session",
            )),
            _ => Ok(()),
        }
    }

    /// Changes come in the order of their sequence; a flush or clear names one that was sent before it.
    fn check_order(&self, conn: ConnId, request: &Request) -> Result<(), Refused> {
        if self.holder != Some(conn) {
            return Ok(());
        }
        let ordered = !mutants::active(Mutant::SeqUnordered);
        let flushed = !mutants::active(Mutant::ClearUnflushed);
        let told = !mutants::active(Mutant::ClearBeyond);
        let clean = !mutants::active(Mutant::CloseMarked);
        let last = self.last_seq;
        match request {
            Request::Write { seq, .. } | Request::Zero { seq, .. } if ordered && *seq <= last => {
                Err(refused(
                    Refusal::Invalid,
                    format!("change {seq} after change {last}"),
                ))
            }
            Request::Flush { seq } if ordered && *seq < last => Err(refused(
                Refusal::Invalid,
                format!("flush of change {seq} after change {last}"),
            )),
            Request::Clear { seq, .. }
                if flushed && (*seq > self.synced_seq || self.copies > self.copies_synced) =>
            {
                Err(refused(
                    Refusal::Invalid,
                    format!("no flush has covered change {seq} and all copies"),
                ))
            }
            Request::Clear { m, .. } if told && *m > self.durable.m => {
                let detail = format!(
                    "membership number {m} is beyond the {} told",
                    self.durable.m
                );
                Err(refused(Refusal::Invalid, detail))
            }
            Request::Close if clean && !self.marks.is_clear() => {
                Err(refused(Refusal::MarksSet, "regions are marked"))
            }
            Request::Close if self.changes_under_way() => {
                Err(refused(Refusal::Invalid, "changes are under way"))
            }
            _ => Ok(()),
        }
    }

    fn check_range(&self, request: &Request) -> Result<(), Refused> {
        let size = self.document.size;
        match request {
            Request::Write { offset, data, .. } => inside(size, *offset, data.len() as u64),
            Request::Zero { offset, length, .. } | Request::Extents { offset, length } => {
                inside(size, *offset, *length)
            }
            Request::Read { offset, length } if *length > shorthorn_wire::PAYLOAD_BYTES_MAX => {
                Err(refused(
                    Refusal::Invalid,
                    format!("a read of {length} bytes at {offset} is too long"),
                ))
            }
            Request::Read { offset, length } => inside(size, *offset, u64::from(*length)),
            Request::Hash { offset, length } | Request::Fetch { offset, length } => {
                whole_blocks(size, *offset, u64::from(*length))
            }
            Request::Copy { offset, blocks } => whole_blocks(size, *offset, blocks_len(blocks)),
            Request::Clear { regions, .. } => regions_inside(size, regions),
            _ => Ok(()),
        }
    }

    /// Never go back to an older document, and take no layout that is not this replica's.
    pub(super) fn check_document(&self, document: &Document) -> Result<(), Refused> {
        let own = &self.document;
        let older = (document.era, document.version) < (own.era, own.version);
        if older && !mutants::active(Mutant::SealOldDocument) {
            let detail = format!(
                "the order's document {}.{} is older than this replica's {}.{}",
                document.era, document.version, own.era, own.version
            );
            return Err(refused(Refusal::OldDocument, detail));
        }
        if (document.size, &document.chain, &document.head) != (own.size, &own.chain, &own.head) {
            return Err(refused(
                Refusal::Invalid,
                "the document has other layers or another size",
            ));
        }
        Ok(())
    }

    /// A document that tells a membership: also that never goes back.
    pub(super) fn check_membership(&self, document: &Document) -> Result<(), Refused> {
        self.check_document(document)?;
        if document.m < self.durable.m && !mutants::active(Mutant::MemberOlder) {
            let detail = format!("membership number {} after {}", document.m, self.durable.m);
            return Err(refused(Refusal::OldDocument, detail));
        }
        Ok(())
    }
}

/// Bytes that blocks stand for in the volume.
pub fn blocks_len(blocks: &Blocks) -> u64 {
    blocks.states.len() as u64 * u64::from(BLOCK_BYTES)
}

fn inside(size: u64, offset: u64, length: u64) -> Result<(), Refused> {
    match offset.checked_add(length) {
        Some(end) if length > 0 && end <= size => Ok(()),
        _ if mutants::active(Mutant::BeyondSize) => Ok(()),
        _ => Err(refused(
            Refusal::Invalid,
            format!("{length} bytes at {offset} of a volume of {size}"),
        )),
    }
}

fn whole_blocks(size: u64, offset: u64, length: u64) -> Result<(), Refused> {
    inside(size, offset, length)?;
    let block = u64::from(BLOCK_BYTES);
    if offset % block != 0 || length % block != 0 || length > REGION_BYTES {
        let detail = format!("{length} bytes at {offset} are not whole blocks, at most a region's");
        return Err(refused(Refusal::Invalid, detail));
    }
    Ok(())
}

fn regions_inside(size: u64, regions: &[RegionRun]) -> Result<(), Refused> {
    let count = size.div_ceil(REGION_BYTES);
    let fits = |run: &RegionRun| {
        run.count > 0
            && run
                .first
                .checked_add(run.count)
                .is_some_and(|end| end <= count)
    };
    if regions.iter().all(fits) {
        Ok(())
    } else {
        Err(refused(Refusal::Invalid, "regions beyond the volume"))
    }
}
