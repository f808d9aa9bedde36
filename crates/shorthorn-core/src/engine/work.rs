//! What a call of the engine is for.

use bytes::Bytes;
use shorthorn_wire::PAYLOAD_BYTES_MAX;
use shorthorn_wire::message::{Blocks, Extent};

use super::api::{ClientAnswer, ClientError, ClientId, ClientOp};
use super::mend::{Piece, Tally};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Everything that an engine asks replicas for.
#[derive(Debug)]
pub(super) enum Work {
    /// Open: first on a connection.
    Hello,
    /// Open: what it is before its seal.
    Probe,
    /// Open.
    Seal,
    /// Open: a range is made equal.
    Equalise(usize),
    /// Open: what was copied becomes durable.
    EqualiseFlush,
    /// Open: the members store SessionOpened.
    Open,
    /// A client's request.
    Client(ClientCall),
    /// A bad block gets the content of a good one.
    Repair(Repair),
    /// A change for syncing replicas.
    Mirror(Mirror),
    /// Resync: a range is made equal.
    Lane(Box<Lane>),
    /// Resync: it opens as syncing.
    JoinOpen(ReplicaIndex),
    /// Resync: what it has becomes durable.
    JoinFlush(ReplicaIndex),
    /// Resync: it and the members store that it is one.
    JoinStore(ReplicaIndex),
    /// Renews grants.
    Ping,
    /// Marks: the flush before a clear.
    MarksFlush,
    /// Marks: the clear.
    MarksClear,
    /// For strict reads: everybody answers something sent after they came.
    Round,
    /// Leave: the others flush.
    LeaveFlush(u64),
    /// A failure: the others are asked for a sign of life, in this turn.
    Witness(u64),
    /// A removal: the others store the new membership.
    RemovalStore(u64),
    /// Close, step by step.
    CloseFlush,
    /// Close: no mark is left.
    CloseClear,
    /// Close: the replicas are told.
    Close,
}

impl Work {
    /// It waits for a disk, which may take much longer than an answer from memory.
    pub fn syncs(&self) -> bool {
        let fua = match self {
            Self::Client(call) => {
                matches!(&call.step, Step::Change(change) if change.op.fua())
            }
            _ => false,
        };
        fua || self.is_flush() || self.blocks()
    }

    /// It waits for a disk, and its replica answers nothing else on the connection meanwhile: a mark, a clear or a record of what
    /// it is comes before the answer. A flush, and the sync of a change with FUA, is done beside other requests.
    pub fn blocks(&self) -> bool {
        match self {
            Self::Client(call) => {
                // A zero may cover a whole volume, mark by mark.
                let large = call.length > u64::from(PAYLOAD_BYTES_MAX);
                let step = &call.step;
                large
                    || matches!(
                        step,
                        Step::Change(Change { marks: true, .. }) | Step::Mend(_)
                    )
            }
            // A copy's first step makes a mark durable, so equalising and repairs wait for the disk too.
            Self::Mirror(mirror) => mirror.marks,
            Self::Lane(lane) => matches!(lane.step, LaneStep::Copying),
            Self::Hello | Self::Probe | Self::Ping | Self::Round | Self::Witness(_) => false,
            other => !other.is_flush(),
        }
    }

    fn is_flush(&self) -> bool {
        match self {
            Self::Client(call) => matches!(call.step, Step::Flush),
            Self::EqualiseFlush | Self::MarksFlush | Self::CloseFlush => true,
            Self::JoinFlush(_) | Self::LeaveFlush(_) => true,
            _ => false,
        }
    }

    /// Another can be asked instead, or it means nothing without who was asked: it does not wait for that one's removal.
    pub fn lets_go(&self) -> bool {
        match self {
            Self::Client(call) => match &call.step {
                Step::Read(_) => true,
                Step::Mend(mend) => mend.pieces.is_none(),
                _ => false,
            },
            Self::Repair(repair) => !repair.writing,
            Self::Lane(_) | Self::JoinStore(_) => true,
            Self::Ping | Self::Witness(_) | Self::RemovalStore(_) => true,
            _ => false,
        }
    }
}

/// A client's request on its way.
#[derive(Debug)]
pub(super) struct ClientCall {
    pub client: ClientId,
    pub cookie: u64,
    pub offset: u64,
    pub length: u64,
    /// Bytes that it keeps in memory.
    pub payload: u64,
    /// It is read once more, after repairs.
    pub again: bool,
    /// Syncing replicas that a change was mirrored to.
    pub mirrors: ReplicaSet,
    /// A replica had no space for it, first then.
    pub refused: Option<Nanos>,
    /// Its client is gone.
    pub gone: bool,
    /// Some member did not apply the change as it was sent.
    pub mixed: bool,
    pub step: Step,
}

/// Where a client's request is.
#[derive(Debug)]
pub(super) enum Step {
    /// It waits for its range.
    Queued(ClientOp),
    Read(Read),
    /// A write or zero is under way.
    Change(Change),
    /// A change that only some applied is made whole.
    Mend(Box<Mend>),
    /// A change of which nothing was left waits for space.
    Parked(ClientOp),
    Flush,
}

/// A write or zero under way.
#[derive(Debug)]
pub(super) struct Change {
    /// What it is; sent once more when who kept it from being decided is gone.
    pub op: ClientOp,
    /// It has to be marked first.
    pub marks: bool,
    pub tally: Tally,
}

/// A read or block status under way.
#[derive(Debug)]
pub(super) struct Read {
    /// Block status.
    pub extents: bool,
    /// Strict: the round of pings that must be over.
    pub round: u64,
    pub from: ReplicaIndex,
    /// Who has a bad block there.
    pub tried: ReplicaSet,
    /// What came; it waits for grants.
    pub found: Option<Found>,
}

/// What a replica returned for a read.
#[derive(Debug)]
pub(super) enum Found {
    Data(Bytes),
    Extents(Vec<Extent>),
}

/// Making a change whole: chunk by chunk the content of one replica is written to others.
#[derive(Debug)]
pub(super) struct Mend {
    /// Whose content it is: the same on all of them.
    pub sources: ReplicaSet,
    /// Who gets it.
    pub to: ReplicaSet,
    /// What the client is told afterwards.
    pub result: Result<ClientAnswer, ClientError>,
    /// The change.
    pub op: ClientOp,
    /// The chunk under way, bytes; whole blocks inside one region.
    pub offset: u64,
    pub length: u32,
    /// What of the chunk is still to be written, the last first; none while it is fetched.
    pub pieces: Option<Vec<Piece>>,
}

/// A change that syncing replicas get.
#[derive(Debug)]
pub(super) struct Mirror {
    pub offset: u64,
    pub length: u64,
    /// That it keeps in memory.
    pub bytes: u64,
    /// It has to be marked first.
    pub marks: bool,
}

/// A range of a resync.
#[derive(Debug)]
pub(super) struct Lane {
    /// Who gets the content.
    pub replica: ReplicaIndex,
    pub offset: u64,
    pub length: u32,
    /// Who was asked for it, all of them and the first.
    pub tried: ReplicaSet,
    pub source: ReplicaIndex,
    pub step: LaneStep,
}

/// A strong hash, and whether a block is bad.
pub(super) type Digest = ([u8; 32], bool);

/// Where a range of a resync is.
#[derive(Debug)]
pub(super) enum LaneStep {
    /// It waits for the range, or for changes of it that were mirrored.
    Queued,
    /// Of the source and of the joiner.
    Hashing(Option<Digest>, Option<Digest>),
    /// What came so far: with bad blocks, if it goes on.
    Fetching(Option<Blocks>),
    Copying,
}

/// Repair of one block under its range lock.
#[derive(Debug)]
pub(super) struct Repair {
    /// Of the block.
    pub offset: u64,
    /// Who has it bad.
    pub bad: ReplicaSet,
    /// Whose content is fetched; none while it waits for the range.
    pub from: Option<ReplicaIndex>,
    /// The good content is being written; else it is fetched.
    pub writing: bool,
}
