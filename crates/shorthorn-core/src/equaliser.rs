//! Making ranges equal on a set of sealed replicas, from one source (docs/protocol.md, Open, Settle, Move).
//!
//! A few ranges are under way at once, each on its lane: hash everywhere, and only where that differs (or a block is bad)
//! fetch from the source and copy to the others. It says what to send and takes the replies; its owner sends.

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{Blocks, RegionRun, Reply, Request};

use crate::blocks;
use crate::mutants::{self, Mutant};
use crate::post::complaint;
use crate::{ReplicaIndex, ReplicaSet};

/// Ranges under way at once: hides the round trips, and keeps at most this many regions a replica in memory.
pub(crate) const LANES: usize = 4;

/// Who gives content to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles {
    /// Everybody, with the source.
    pub members: ReplicaSet,
    /// Whose content it becomes.
    pub source: ReplicaIndex,
    /// Whose blocks are taken where the source's are bad.
    pub trusted: ReplicaSet,
    /// Where no block fits: its data becomes the content (A14); else its badness is copied.
    pub accept: bool,
}

impl Roles {
    /// For replicas of which some may be torn: the source isn't torn if any isn't (A1), and never takes blocks from a torn
    /// one unless it is torn itself: those may be older than an acknowledged write.
    ///
    /// `prefer`: the source if it may be; else the first that may. None: there is nobody.
    pub fn choose(members: ReplicaSet, torn: ReplicaSet, prefer: ReplicaSet) -> Option<Self> {
        let whole = members.without(torn);
        let any = whole.is_empty() || mutants::active(Mutant::AnySource);
        let trusted = if any { members } else { whole };
        let source = trusted.both(prefer).first().or(trusted.first())?;
        Some(Self {
            members,
            source,
            trusted: trusted.without(ReplicaSet::only(source)),
            accept: torn.contains(source),
        })
    }
}

/// What a lane wants to be sent.
#[derive(Debug)]
pub(crate) struct Sending {
    pub lane: usize,
    pub to: ReplicaSet,
    pub request: Request,
}

/// A replica that can't be made equal.
#[derive(Debug)]
pub(crate) struct Fault {
    pub replica: ReplicaIndex,
    pub why: String,
}

#[derive(Debug)]
struct Range {
    offset: u64,
    length: u32,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// Digests so far.
    Hashing(Vec<(ReplicaIndex, [u8; 32], bool)>),
    /// From the source; who differs from it.
    Fetching(ReplicaSet),
    /// From the trusted: the source's content, who differs from it, and what came.
    Patching(Blocks, ReplicaSet, Vec<(ReplicaIndex, Blocks)>),
    Copying,
}

#[derive(Debug)]
struct Lane {
    range: Range,
    step: Step,
}

/// The work on a list of regions.
#[derive(Debug)]
pub(crate) struct Equaliser {
    roles: Roles,
    size: u64,
    /// What is left; the next at the end.
    runs: Vec<RegionRun>,
    lanes: [Lane; LANES],
    done_bytes: u64,
}

impl Equaliser {
    /// `runs`: in order, not empty ones.
    pub fn new(roles: Roles, size: u64, mut runs: Vec<RegionRun>) -> Self {
        runs.reverse();
        let idle = || Lane {
            range: Range {
                offset: 0,
                length: 0,
            },
            step: Step::Idle,
        };
        Self {
            roles,
            size,
            runs,
            lanes: std::array::from_fn(|_| idle()),
            done_bytes: 0,
        }
    }

    /// First requests of every lane.
    pub fn start(&mut self) -> Vec<Sending> {
        (0..LANES).filter_map(|lane| self.next(lane)).collect()
    }

    /// Nothing is left and nothing under way.
    pub fn finished(&self) -> bool {
        self.runs.is_empty()
            && self
                .lanes
                .iter()
                .all(|lane| matches!(lane.step, Step::Idle))
    }

    /// Bytes that were looked at and are equal.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes
    }

    /// A replica's answer on a lane; `last`: all that were asked have answered. What the lane sends next.
    pub fn reply(
        &mut self,
        lane: usize,
        replica: ReplicaIndex,
        reply: Reply,
        last: bool,
    ) -> Result<Option<Sending>, Fault> {
        let state = &mut self.lanes[lane];
        let length = state.range.length;
        let wrong = |reply: &Reply| Fault {
            replica,
            why: complaint(reply),
        };
        match (&mut state.step, reply) {
            (Step::Hashing(digests), Reply::Hash { digest, bad }) => {
                digests.push((replica, digest, bad));
            }
            (Step::Fetching(differing), Reply::Blocks(content))
                if blocks::fits(&content, length) =>
            {
                state.step = Step::Patching(content, *differing, Vec::new());
            }
            (Step::Patching(_, _, others), Reply::Blocks(content))
                if blocks::fits(&content, length) =>
            {
                others.push((replica, content));
            }
            (Step::Copying, Reply::Done) => {}
            (_, reply) => return Err(wrong(&reply)),
        }
        Ok(if last { self.advance(lane) } else { None })
    }

    /// All of a step have answered.
    fn advance(&mut self, lane: usize) -> Option<Sending> {
        match std::mem::replace(&mut self.lanes[lane].step, Step::Idle) {
            Step::Idle => None,
            Step::Hashing(digests) => self.compared(lane, &digests),
            // `reply` has made it Patching.
            Step::Fetching(_) => None,
            Step::Patching(content, differing, others) => {
                self.fetched(lane, content, differing, others)
            }
            Step::Copying => self.next(lane),
        }
    }

    /// Begins the next region on a lane that is free.
    fn next(&mut self, lane: usize) -> Option<Sending> {
        self.done_bytes += u64::from(self.lanes[lane].range.length);
        self.lanes[lane].range.length = 0;
        let run = self.runs.last_mut()?;
        let offset = run.first * REGION_BYTES;
        run.first += 1;
        run.count -= 1;
        if run.count == 0 {
            self.runs.pop();
        }
        if offset >= self.size {
            // A mark past the end: the volume never had that region.
            return self.next(lane);
        }
        let length = REGION_BYTES.min(self.size - offset) as u32;
        self.lanes[lane] = Lane {
            range: Range { offset, length },
            step: Step::Hashing(Vec::new()),
        };
        Some(Sending {
            lane,
            to: self.roles.members,
            request: Request::Hash { offset, length },
        })
    }

    fn compared(
        &mut self,
        lane: usize,
        digests: &[(ReplicaIndex, [u8; 32], bool)],
    ) -> Option<Sending> {
        let source = digests.iter().find(|seen| seen.0 == self.roles.source)?;
        let differing: ReplicaSet = digests
            .iter()
            .filter(|seen| seen.1 != source.1)
            .map(|seen| seen.0)
            .collect();
        if differing.is_empty() && !source.2 {
            return self.next(lane);
        }
        self.lanes[lane].step = Step::Fetching(differing);
        let Range { offset, length } = self.lanes[lane].range;
        Some(Sending {
            lane,
            to: ReplicaSet::only(self.roles.source),
            request: Request::Fetch { offset, length },
        })
    }

    /// The source's content is there, and perhaps the others'.
    fn fetched(
        &mut self,
        lane: usize,
        mut content: Blocks,
        differing: ReplicaSet,
        mut others: Vec<(ReplicaIndex, Blocks)>,
    ) -> Option<Sending> {
        let Range { offset, length } = self.lanes[lane].range;
        let mut to = differing;
        if blocks::has_bad(&content) {
            if others.is_empty() && !self.roles.trusted.is_empty() {
                self.lanes[lane].step = Step::Patching(content, differing, others);
                return Some(Sending {
                    lane,
                    to: self.roles.trusted,
                    request: Request::Fetch { offset, length },
                });
            }
            // In the order of the replicas, not of their answers.
            others.sort_by_key(|(replica, _)| *replica);
            let others: Vec<Blocks> = others.into_iter().map(|(_, content)| content).collect();
            let mut changed = blocks::patch(&mut content, &others);
            if self.roles.accept {
                changed += blocks::accept(&mut content);
            }
            if changed > 0 {
                to = self.roles.members;
            }
        }
        if to.is_empty() {
            return self.next(lane);
        }
        self.lanes[lane].step = Step::Copying;
        Some(Sending {
            lane,
            to,
            request: Request::Copy {
                offset,
                blocks: content,
            },
        })
    }
}
