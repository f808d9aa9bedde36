//! The record with the guards of docs/protocol.md that sessions and copiers meet: one volume, one step a commit.

use shorthorn_wire::agent::{Answer, Ask, CopyWork, Target};
use shorthorn_wire::message::Document;

#[derive(Clone, Debug)]
pub struct Recorded {
    pub in_sync: bool,
    pub attempt: u64,
    pub stored_m: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    Open,
}

#[derive(Debug)]
pub struct Record {
    pub epoch: u64,
    pub opened_epoch: u64,
    pub m: u64,
    pub version: u64,
    pub settled: bool,
    pub replicas: Vec<Recorded>,
    /// Epoch and phase.
    pub session: Option<(u64, Phase)>,
    pub size: u64,
}

/// What a commit means for those who watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    Opened { broken: bool },
    Closed { clean: bool },
    Lost,
    Nothing,
}

impl Record {
    pub fn document(&self) -> Document {
        Document {
            era: 1,
            version: self.version,
            m: self.m,
            size: self.size,
            chain: vec!["l1".to_owned()],
            head: "l1".to_owned(),
            body: "{}".to_owned(),
        }
    }

    pub fn targets(&self, local: usize) -> Vec<Target> {
        let indexed = self.replicas.iter().enumerate();
        indexed
            .map(|(index, known)| Target {
                replica: format!("r{index}"),
                node: format!("n{index}"),
                address: Some(format!("n{index}:1")),
                attempt: known.attempt,
                in_sync: known.in_sync,
                stored_m: known.stored_m,
                local: index == local,
            })
            .collect()
    }

    pub fn in_sync(&self) -> Vec<usize> {
        let all = 0..self.replicas.len();
        all.filter(|index| self.replicas[*index].in_sync).collect()
    }

    fn remove(&mut self, index: usize) {
        self.replicas[index].in_sync = false;
        self.replicas[index].attempt += 1;
    }

    fn find(&self, replica: &str) -> usize {
        replica[1..].parse().expect("replicas are r0, r1, …")
    }

    fn commit(&mut self) -> Answer {
        self.commit_opened(false)
    }

    /// Clients of before are always there in these worlds: what the engine calls broken, is.
    fn commit_opened(&mut self, broken: bool) -> Answer {
        self.version += 1;
        let document = self.document();
        Answer::Committed { document, broken }
    }

    /// An engine asks.
    pub fn ask(&mut self, ask: &Ask) -> (Answer, Committed) {
        let refused = |why: &str| {
            let why = why.to_owned();
            (Answer::Refused { why }, Committed::Nothing)
        };
        match ask {
            Ask::SessionOpened {
                epoch,
                members,
                broken,
                ..
            } => {
                let members: Vec<usize> = members.iter().map(|name| self.find(name)).collect();
                let kept = members.iter().all(|index| self.replicas[*index].in_sync);
                match self.session {
                    Some((session, Phase::Opening))
                        if session == *epoch && self.epoch == *epoch =>
                    {
                        if members.is_empty() || !kept {
                            return refused("members are not in-sync");
                        }
                    }
                    Some((session, Phase::Open)) if session == *epoch => {
                        // It was answered before, and the answer got lost.
                        let document = self.document();
                        let broken = *broken;
                        return (Answer::Committed { document, broken }, Committed::Nothing);
                    }
                    _ => return refused("no such session"),
                }
                for index in self.in_sync() {
                    if !members.contains(&index) {
                        self.remove(index);
                    }
                }
                self.m += 1;
                self.settled = false;
                self.opened_epoch = *epoch;
                self.session = Some((*epoch, Phase::Open));
                let broken = *broken;
                (self.commit_opened(broken), Committed::Opened { broken })
            }
            Ask::ReplicaLost {
                epoch,
                replica,
                attempt,
                witness,
                ..
            } => {
                let (index, witness) = (self.find(replica), self.find(witness));
                if self.session != Some((*epoch, Phase::Open)) || self.epoch != *epoch {
                    return refused("no such session, or it is fenced");
                }
                let known = &self.replicas[index];
                if !known.in_sync && known.attempt == attempt + 1 {
                    let document = self.document();
                    let broken = false;
                    return (Answer::Committed { document, broken }, Committed::Nothing);
                }
                let witnessed = witness != index && self.replicas[witness].in_sync;
                if !known.in_sync || known.attempt != *attempt || !witnessed {
                    return refused("attempt or witness");
                }
                self.remove(index);
                self.m += 1;
                (self.commit(), Committed::Lost)
            }
            Ask::ReplicaSynced {
                epoch,
                replica,
                attempt,
                ..
            } => {
                let index = self.find(replica);
                let known = &self.replicas[index];
                if self.session != Some((*epoch, Phase::Open)) || self.epoch != *epoch {
                    return refused("no such session, or it is fenced");
                }
                if known.attempt != *attempt {
                    return refused("attempt");
                }
                if known.in_sync {
                    let document = self.document();
                    let broken = false;
                    return (Answer::Committed { document, broken }, Committed::Nothing);
                }
                self.replicas[index].in_sync = true;
                self.m += 1;
                (self.commit(), Committed::Nothing)
            }
            Ask::SessionClosed { epoch, clean, .. } => {
                if self.session.is_none_or(|(session, _)| session != *epoch) {
                    return refused("no such session");
                }
                let committed = self.close(*clean);
                (self.commit(), committed)
            }
        }
    }

    /// The session ends, by its engine's word or by its death.
    pub fn close(&mut self, clean: bool) -> Committed {
        self.session = None;
        if clean {
            self.settled = true;
            for index in self.in_sync() {
                self.replicas[index].stored_m = self.m;
            }
        }
        Committed::Closed { clean }
    }

    /// A copier is ready. The document after the commit, or none: it came too late.
    pub fn copied(&mut self, epoch: u64, attempt: u64, work: &CopyWork) -> Option<Document> {
        if self.session.is_some() || self.epoch != epoch {
            return None;
        }
        match work {
            CopyWork::Settle if !self.settled => self.settled = true,
            CopyWork::Settle => return None,
            CopyWork::Move { target, .. } => {
                let index = self.find(target);
                let known = &mut self.replicas[index];
                if !self.settled || known.in_sync || known.attempt != attempt {
                    return None;
                }
                known.in_sync = true;
                self.m += 1;
            }
        }
        self.version += 1;
        Some(self.document())
    }
}
