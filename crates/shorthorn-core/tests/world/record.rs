//! The record with the guards of docs/protocol.md that sessions and copiers meet: one volume, one step a commit.

use shorthorn_wire::agent::{Answer, Ask, CopyWork, Target};
use shorthorn_wire::message::Document;

/// The replica of one node.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub name: String,
    /// False: the node has no replica by the record, and what lies there is to be removed.
    pub placed: bool,
    pub in_sync: bool,
    pub attempt: u64,
    pub stored_m: u64,
    /// It is to leave: once it is syncing it is given up.
    pub leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    Open,
    /// A close was ordered; `opened`: SessionOpened was committed.
    Closing {
        opened: bool,
    },
}

#[derive(Debug)]
pub struct Record {
    pub epoch: u64,
    pub opened_epoch: u64,
    pub m: u64,
    pub version: u64,
    pub settled: bool,
    /// One a node, in the order of the nodes.
    pub replicas: Vec<Recorded>,
    /// Epoch and phase.
    pub session: Option<(u64, Phase)>,
    pub size: u64,
    /// Names of replicas that are no more.
    pub tombstones: Vec<String>,
}

/// What a commit means for those who watch.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    Opened { broken: bool },
    Closed { clean: bool },
    Lost,
    AttemptBroke,
    Synced,
    Nothing,
}

type Ruling = Result<(Answer, Committed), String>;

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
            .filter(|(_, known)| known.placed)
            .map(|(index, known)| Target {
                replica: known.name.clone(),
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

    /// Replicas that are placed and not in-sync.
    pub fn syncing(&self) -> Vec<usize> {
        let all = 0..self.replicas.len();
        all.filter(|index| self.replicas[*index].placed && !self.replicas[*index].in_sync)
            .collect()
    }

    fn remove(&mut self, index: usize) {
        self.replicas[index].in_sync = false;
        self.replicas[index].attempt += 1;
    }

    pub fn find(&self, replica: &str) -> Option<usize> {
        let named = |known: &Recorded| known.placed && known.name == replica;
        self.replicas.iter().position(named)
    }

    fn known(&self, replica: &str) -> Result<usize, String> {
        self.find(replica)
            .ok_or_else(|| format!("no replica {replica}"))
    }

    /// Planning gives a syncing replica up.
    pub fn give_up(&mut self, index: usize) {
        assert!(!self.replicas[index].in_sync, "only a syncing one");
        self.replicas[index].placed = false;
        self.tombstones.push(self.replicas[index].name.clone());
        self.version += 1;
    }

    /// Planning places a new replica.
    pub fn place(&mut self, index: usize, name: String) {
        self.replicas[index] = Recorded {
            name,
            placed: true,
            in_sync: false,
            attempt: 1,
            stored_m: 0,
            leaving: false,
        };
        self.version += 1;
    }

    fn answer(&self, broken: bool) -> Answer {
        let document = self.document();
        Answer::Committed { document, broken }
    }

    fn commit(&mut self, what: Committed) -> Ruling {
        self.version += 1;
        // Clients of before are always there in these worlds: what the engine calls broken, is.
        let broken = what == (Committed::Opened { broken: true });
        Ok((self.answer(broken), what))
    }

    /// It was committed before: the answer is yes again.
    fn again(&self, broken: bool) -> Ruling {
        Ok((self.answer(broken), Committed::Nothing))
    }

    /// An engine asks.
    pub fn ask(&mut self, ask: &Ask) -> (Answer, Committed) {
        let ruling = match ask {
            Ask::SessionOpened {
                epoch,
                members,
                broken,
                ..
            } => self.opened(*epoch, members, *broken),
            Ask::ReplicaLost {
                epoch,
                replica,
                attempt,
                witness,
                ..
            } => self.lost(*epoch, replica, *attempt, witness),
            Ask::ReplicaSynced {
                epoch,
                replica,
                attempt,
                base,
            } => {
                let own = self.document();
                if (&base.chain, base.size) == (&own.chain, own.size) {
                    self.synced(*epoch, replica, *attempt)
                } else {
                    Err("another base".to_owned())
                }
            }
            Ask::SessionClosed { epoch, clean, .. } => self.closed(*epoch, *clean),
        };
        ruling.unwrap_or_else(|why| (Answer::Refused { why }, Committed::Nothing))
    }

    fn phase(&self, epoch: u64) -> Result<Phase, String> {
        match self.session {
            Some((session, phase)) if session == epoch => Ok(phase),
            _ => Err("no such session".to_owned()),
        }
    }

    fn not_fencing(&self, epoch: u64) -> Result<(), String> {
        if self.epoch == epoch {
            Ok(())
        } else {
            Err("it is fenced".to_owned())
        }
    }

    fn opened(&mut self, epoch: u64, members: &[String], broken: bool) -> Ruling {
        match self.phase(epoch)? {
            // It was answered before, and the answer got lost.
            Phase::Open | Phase::Closing { opened: true } => return self.again(broken),
            Phase::Closing { opened: false } => return Err("it is closing".to_owned()),
            Phase::Opening => self.not_fencing(epoch)?,
        }
        let members: Result<Vec<usize>, _> = members.iter().map(|name| self.known(name)).collect();
        let members = members?;
        if members.is_empty() || !members.iter().all(|index| self.replicas[*index].in_sync) {
            return Err("members are not in-sync".to_owned());
        }
        for index in self.in_sync() {
            if !members.contains(&index) {
                self.remove(index);
            }
        }
        self.m += 1;
        self.settled = false;
        self.opened_epoch = epoch;
        self.session = Some((epoch, Phase::Open));
        self.commit(Committed::Opened { broken })
    }

    fn lost(&mut self, epoch: u64, replica: &str, attempt: u64, witness: &str) -> Ruling {
        self.phase(epoch)?;
        if self.tombstones.iter().any(|gone| gone == replica) {
            // Nobody counts on one that was given up meanwhile.
            return self.again(false);
        }
        let index = self.known(replica)?;
        let known = &self.replicas[index];
        if !known.in_sync && known.attempt == attempt + 1 {
            return self.again(false);
        }
        self.not_fencing(epoch)?;
        if known.attempt != attempt {
            return Err("another attempt".to_owned());
        }
        if !known.in_sync {
            self.replicas[index].attempt += 1;
            return self.commit(Committed::AttemptBroke);
        }
        let witness = self.known(witness)?;
        if witness == index || !self.replicas[witness].in_sync {
            return Err("no witness".to_owned());
        }
        self.remove(index);
        self.m += 1;
        self.commit(Committed::Lost)
    }

    fn synced(&mut self, epoch: u64, replica: &str, attempt: u64) -> Ruling {
        let phase = self.phase(epoch)?;
        let index = self.known(replica)?;
        let known = &self.replicas[index];
        if known.attempt != attempt {
            return Err("another attempt".to_owned());
        }
        if known.in_sync {
            return self.again(false);
        }
        self.not_fencing(epoch)?;
        if phase != Phase::Open {
            return Err("it is not open".to_owned());
        }
        self.replicas[index].in_sync = true;
        self.m += 1;
        self.commit(Committed::Synced)
    }

    fn closed(&mut self, epoch: u64, clean: bool) -> Ruling {
        self.phase(epoch)?;
        let committed = self.close(clean);
        self.commit(committed)
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

    /// A close is ordered.
    pub fn closing(&mut self) {
        if let Some((_, phase)) = &mut self.session {
            *phase = match *phase {
                Phase::Opening => Phase::Closing { opened: false },
                Phase::Open => Phase::Closing { opened: true },
                closing => closing,
            };
        }
    }

    /// A copier is ready. The document after the commit, or none: it came too late.
    pub fn copied(&mut self, epoch: u64, work: &CopyWork) -> Option<Document> {
        if self.session.is_some() || self.epoch != epoch {
            return None;
        }
        match work {
            CopyWork::Settle if !self.settled => self.settled = true,
            CopyWork::Settle => return None,
            CopyWork::Move { target, .. } => {
                let index = self.find(target)?;
                let known = &mut self.replicas[index];
                if !self.settled || known.in_sync {
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
