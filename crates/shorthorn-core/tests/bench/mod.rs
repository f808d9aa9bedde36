//! One engine on a bench: a test plays replicas, agent and clients by hand, or lets the replicas agree to everything.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod joiners;

use bytes::Bytes;
use shorthorn_core::engine::{
    ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Effect, Engine, Event, Status,
};
use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::agent::{Answer, Ask, SessionOrder, Target};
use shorthorn_wire::message::{
    BlockState, Blocks, Document, Refusal, RegionRun, Reply, Request, Role, Standing, Tag,
};

pub const MIB: u64 = 1 << 20;
pub const BLOCK: u64 = 4096;

/// A request that a replica has not answered.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: usize,
    pub tag: Tag,
    pub request: Request,
}

pub struct Bench {
    pub engine: Engine,
    pub now: Nanos,
    pub sent: Vec<Sent>,
    pub dialled: Vec<usize>,
    pub hung_up: Vec<usize>,
    pub asked: Vec<(u64, Ask)>,
    pub answers: Vec<(u64, Result<ClientAnswer, ClientError>)>,
    pub served: bool,
    pub stopped: Option<bool>,
    pub status: Option<Status>,
    pub exit: Option<(bool, String)>,
    pub wake: Option<Nanos>,
    next_cookie: u64,
    size: u64,
}

pub fn document(m: u64) -> Document {
    Document {
        era: 1,
        version: m,
        m,
        size: 4 * MIB,
        chain: vec!["l1".to_owned()],
        head: "l1".to_owned(),
        body: "{}".to_owned(),
    }
}

/// Session 5 of a volume with so many in-sync replicas; the first is local.
pub fn order(replicas: usize) -> SessionOrder {
    let targets = (0..replicas).map(|index| Target {
        replica: format!("r{index}"),
        node: format!("n{index}"),
        address: Some(format!("n{index}:7")),
        attempt: 1,
        in_sync: true,
        stored_m: 2,
        local: index == 0,
    });
    SessionOrder {
        cluster: "c".to_owned(),
        volume: "v".to_owned(),
        name: "v1".to_owned(),
        epoch: 5,
        opened_epoch: 4,
        settled: false,
        read_only: false,
        targets: targets.collect(),
        document: document(2),
        endpoint: "/run/v1.sock".to_owned(),
        agent: "/run/agent.sock".to_owned(),
        open_grace_ms: 1000,
        open_grace_torn_ms: 5000,
        grant_ms: 2000,
        silence_ms: 4000,
        close_ms: 10_000,
        space_wait_ms: Some(0),
        strict_reads: false,
    }
}

/// A whole replica without marks.
pub fn standing() -> Standing {
    Standing {
        sealed_before: (4, 1),
        sealed: (5, 1),
        role: Role::Member,
        m: 2,
        synced_through: Some(2),
        torn: false,
        failed: None,
        boot: "b".to_owned(),
        marks: vec![],
    }
}

pub fn marked(torn: bool, first: u64) -> Standing {
    Standing {
        torn,
        marks: vec![RegionRun { first, count: 1 }],
        ..standing()
    }
}

/// One block of content.
pub fn good(byte: u8) -> Blocks {
    let data = Bytes::from(vec![byte; BLOCK as usize]);
    let sum = crc32c::crc32c(&data);
    Blocks {
        states: vec![BlockState::Good { sum }],
        data,
    }
}

pub fn bad(byte: u8) -> Blocks {
    Blocks {
        states: vec![BlockState::Bad { sum: 1 }],
        ..good(byte)
    }
}

pub fn fenced() -> Reply {
    Reply::Refused {
        why: Refusal::Fenced,
        detail: "epoch 6 is sealed".to_owned(),
    }
}

impl Bench {
    pub fn new(order: SessionOrder) -> Self {
        let size = order.document.size;
        let mut bench = Self {
            engine: Engine::new(order, "e1".to_owned()).expect("a legal order"),
            now: Nanos::from_millis(1_000_000),
            sent: vec![],
            dialled: vec![],
            hung_up: vec![],
            asked: vec![],
            answers: vec![],
            served: false,
            stopped: None,
            status: None,
            exit: None,
            wake: None,
            next_cookie: 0,
            size,
        };
        bench.event(Event::AgentConnected);
        bench.event(Event::Start);
        bench
    }

    /// A session with so many members that serves, and then so many syncing replicas.
    pub fn with_joiners(members: usize, joiners: usize) -> Self {
        let mut order = order(members + joiners);
        for target in &mut order.targets[members..] {
            target.in_sync = false;
        }
        let mut bench = Self::new(order);
        for replica in 0..members {
            bench.connect(replica);
            bench.seal(replica, standing());
        }
        bench.commit(3);
        bench.agree();
        assert!(bench.served);
        bench
    }

    /// A syncing replica that was dialled is sealed and opened.
    pub fn open_joiner(&mut self, replica: usize, marks: Vec<RegionRun>) {
        assert!(self.dialled.contains(&replica), "r{replica} is not dialled");
        self.connect(replica);
        let standing = Standing {
            marks,
            ..standing()
        };
        self.seal(replica, standing);
        self.done(replica, |request| matches!(request, Request::Open(_)));
    }

    /// Whatever is compared is equal, until nothing is.
    pub fn all_equal(&mut self) {
        while let Some(sent) = self.sent.iter().find(|sent| is_hash(&sent.request)) {
            let to = sent.to;
            self.answer(to, is_hash, equal());
        }
    }

    /// The same, but for the last range of all.
    pub fn all_equal_but_last(&mut self, joiner: usize) {
        for _ in 0..3 {
            let region = self
                .waiting(joiner, is_hash)
                .first()
                .cloned()
                .expect("a range");
            let same = |request: &Request| *request == region;
            let to: Vec<usize> = self
                .sent
                .iter()
                .filter(|sent| same(&sent.request))
                .map(|sent| sent.to)
                .collect();
            for replica in to {
                self.answer(replica, same, equal());
            }
        }
    }

    /// What was asked last about a syncing replica.
    pub fn synced(&self) -> Option<(String, u64)> {
        match &self.asked.last()?.1 {
            Ask::ReplicaSynced {
                replica, attempt, ..
            } => Some((replica.clone(), *attempt)),
            _ => None,
        }
    }

    /// A joiner that was opened becomes a member.
    pub fn join(&mut self, replica: usize, m: u64) {
        self.all_equal();
        self.done(replica, is_flush);
        assert_eq!(
            self.synced().map(|(name, _)| name),
            Some(format!("r{replica}"))
        );
        self.commit(m);
        while let Some(to) = self.sent.iter().find(|sent| is_member(&sent.request)) {
            self.done(to.to, is_member);
        }
    }

    /// A session that serves, with all replicas whole.
    pub fn serving(replicas: usize) -> Self {
        let mut bench = Self::new(order(replicas));
        for replica in 0..replicas {
            bench.connect(replica);
            bench.seal(replica, standing());
        }
        bench.commit(3);
        bench.agree();
        assert!(bench.served);
        bench
    }

    pub fn event(&mut self, event: Event) {
        let mut out = Vec::new();
        self.engine.handle(self.now, event, &mut out);
        for effect in out {
            self.effect(effect);
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { replica, .. } => self.dialled.push(replica.index()),
            Effect::HangUp { replica } => {
                self.hung_up.push(replica.index());
                self.sent.retain(|sent| sent.to != replica.index());
            }
            Effect::Send {
                replica,
                tag,
                request,
            } => {
                let to = replica.index();
                let taken = |sent: &Sent| sent.to == to && sent.tag == tag;
                assert!(!self.sent.iter().any(taken), "a tag is used twice");
                self.sent.push(Sent { to, tag, request });
            }
            Effect::Answer { cookie, result, .. } => self.answers.push((cookie, result)),
            Effect::Ask { id, ask } => self.asked.push((id, ask)),
            Effect::Serve { .. } => self.served = true,
            Effect::StopServing { break_clients } => self.stopped = Some(break_clients),
            Effect::Status(status) => self.status = Some(status),
            Effect::Exit { clean, why } => self.exit = Some((clean, why)),
            Effect::WakeAt(moment) => self.wake = Some(moment),
        }
    }

    pub fn later(&mut self, millis: u64) {
        self.now = self.now + Nanos::from_millis(millis);
    }

    /// The timer comes when it was set for, until none is set or the time is over.
    pub fn sleep(&mut self, millis: u64) {
        let end = self.now + Nanos::from_millis(millis);
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.wake = None;
            self.event(Event::Timer);
        }
        self.now = end;
    }

    pub fn connect(&mut self, replica: usize) {
        self.dialled.retain(|dialled| *dialled != replica);
        let replica = ReplicaIndex(replica as u8);
        self.event(Event::Connected { replica });
    }

    pub fn disconnect(&mut self, replica: usize) {
        self.sent.retain(|sent| sent.to != replica);
        let replica = ReplicaIndex(replica as u8);
        let why = "reset".to_owned();
        self.event(Event::Disconnected { replica, why });
    }

    /// A replica that is connected takes the hello and says what it is.
    pub fn greet(&mut self, replica: usize, standing: Standing) {
        self.done(replica, |request| matches!(request, Request::Hello(_)));
        let is_probe = |request: &Request| matches!(request, Request::Probe { .. });
        self.answer(replica, is_probe, Reply::Standing(standing));
    }

    /// Answers hello, probe and, if the probe did not end it, seal.
    pub fn seal(&mut self, replica: usize, standing: Standing) {
        self.greet(replica, standing.clone());
        let is_seal = |request: &Request| matches!(request, Request::Seal(_));
        if !self.waiting(replica, is_seal).is_empty() {
            self.answer(replica, is_seal, Reply::Standing(standing));
        }
    }

    /// What a replica has not answered, of a kind.
    pub fn waiting(&self, replica: usize, kind: impl Fn(&Request) -> bool) -> Vec<Request> {
        let sent = self.sent.iter();
        let of_kind = sent.filter(|sent| sent.to == replica && kind(&sent.request));
        of_kind.map(|sent| sent.request.clone()).collect()
    }

    /// Answers the oldest request of a kind.
    pub fn answer(&mut self, replica: usize, kind: impl Fn(&Request) -> bool, reply: Reply) {
        let found = |sent: &Sent| sent.to == replica && kind(&sent.request);
        let at = self.sent.iter().position(found);
        let at = at.unwrap_or_else(|| panic!("r{replica} was asked only {:?}", self.sent));
        let tag = self.sent.remove(at).tag;
        let replica = ReplicaIndex(replica as u8);
        self.event(Event::Reply {
            replica,
            tag,
            reply,
        });
    }

    pub fn done(&mut self, replica: usize, kind: impl Fn(&Request) -> bool) {
        self.answer(replica, kind, Reply::Done);
    }

    /// Every request that `Done` answers is answered so, and so on with what follows.
    pub fn agree(&mut self) {
        let plain = |request: &Request| {
            !matches!(
                request,
                Request::Seal(_)
                    | Request::Probe { .. }
                    | Request::Read { .. }
                    | Request::Extents { .. }
                    | Request::Hash { .. }
                    | Request::Fetch { .. }
            )
        };
        while let Some(sent) = self.sent.iter().find(|sent| plain(&sent.request)).cloned() {
            self.done(sent.to, |request| *request == sent.request);
        }
    }

    /// The record commits what was asked last.
    pub fn commit(&mut self, m: u64) {
        let (_, ask) = self.asked.last().expect("something was asked");
        let broken = matches!(ask, Ask::SessionOpened { broken: true, .. });
        self.commit_as(m, broken);
    }

    /// The same, with the record's own word on whether the session is broken.
    pub fn commit_as(&mut self, m: u64, broken: bool) {
        let (id, _) = self.asked.pop().expect("something was asked");
        let size = self.size;
        let document = Document {
            size,
            ..document(m)
        };
        let answer = Answer::Committed { document, broken };
        self.event(Event::Answer { id, answer });
    }

    /// The last ask, if it is one for a removal: who, and the witness.
    pub fn lost(&self) -> Option<(String, String)> {
        match &self.asked.last()?.1 {
            Ask::ReplicaLost {
                replica, witness, ..
            } => Some((replica.clone(), witness.clone())),
            _ => None,
        }
    }

    /// A removal is carried out: somebody is a witness, the record commits it, and the others store it.
    pub fn remove(&mut self, replica: &str, m: u64) {
        while let Some(to) = self.sent.iter().find(|sent| is_ping(&sent.request)) {
            self.done(to.to, is_ping);
        }
        let lost = self.lost().map(|(lost, _)| lost);
        assert_eq!(lost.as_deref(), Some(replica));
        self.commit(m);
        while let Some(to) = self.sent.iter().find(|sent| is_member(&sent.request)) {
            self.done(to.to, is_member);
        }
    }

    pub fn waits_for(&self) -> String {
        let status = self.status.as_ref();
        status
            .and_then(|status| status.waits_for.clone())
            .unwrap_or_default()
    }

    pub fn needed(&self) -> Vec<String> {
        self.status
            .as_ref()
            .map(|status| status.needed.clone())
            .unwrap_or_default()
    }

    pub fn call_from(&mut self, client: u64, offset: u64, length: u64, op: ClientOp) -> u64 {
        self.next_cookie += 1;
        let cookie = self.next_cookie;
        self.event(Event::Client {
            client: ClientId(client),
            cookie,
            request: ClientRequest { offset, length, op },
        });
        cookie
    }

    pub fn call(&mut self, offset: u64, length: u64, op: ClientOp) -> u64 {
        self.call_from(1, offset, length, op)
    }

    pub fn write(&mut self, block: u64, byte: u8) -> u64 {
        let data = Bytes::from(vec![byte; BLOCK as usize]);
        self.call(block * BLOCK, BLOCK, ClientOp::Write { data, fua: false })
    }

    pub fn read(&mut self, block: u64) -> u64 {
        self.call(block * BLOCK, BLOCK, ClientOp::Read)
    }

    /// The answer to a call, if there is one.
    pub fn result(&self, cookie: u64) -> Option<&Result<ClientAnswer, ClientError>> {
        let mut found = self.answers.iter().filter(|answer| answer.0 == cookie);
        found.next().map(|answer| &answer.1)
    }

    pub fn is_done(&self, cookie: u64) -> bool {
        self.result(cookie) == Some(&Ok(ClientAnswer::Done))
    }
}

pub fn equal() -> Reply {
    Reply::Hash {
        digest: [0; 32],
        bad: false,
    }
}

pub fn data(byte: u8) -> Reply {
    Reply::Data(Bytes::from(vec![byte; BLOCK as usize]))
}

pub fn is_read(request: &Request) -> bool {
    matches!(request, Request::Read { .. })
}

pub fn is_write(request: &Request) -> bool {
    matches!(request, Request::Write { .. })
}

pub fn is_ping(request: &Request) -> bool {
    matches!(request, Request::Ping)
}

pub fn is_member(request: &Request) -> bool {
    matches!(request, Request::Member(_))
}

pub fn is_flush(request: &Request) -> bool {
    matches!(request, Request::Flush { .. })
}

pub fn is_clear(request: &Request) -> bool {
    matches!(request, Request::Clear { .. })
}

pub fn is_fetch(request: &Request) -> bool {
    matches!(request, Request::Fetch { .. })
}

pub fn is_hash(request: &Request) -> bool {
    matches!(request, Request::Hash { .. })
}

pub fn is_copy(request: &Request) -> bool {
    matches!(request, Request::Copy { .. })
}
