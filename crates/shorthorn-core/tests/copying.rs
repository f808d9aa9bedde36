//! Work without a session, step by step; whole runs with crashes are in the worlds.

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::{document, fenced, marked, standing};
use shorthorn_core::copier::{Copier, Effect, Event};
use shorthorn_core::{BadOrder, Nanos, ReplicaIndex};
use shorthorn_wire::agent::{CopyOrder, CopyWork, Target};
use shorthorn_wire::message::{BlockState, Blocks, RegionRun, Reply, Request, Role, Standing, Tag};

struct Bench {
    copier: Copier,
    now: Nanos,
    sent: Vec<(usize, Tag, Request)>,
    dialled: Vec<usize>,
    hung_up: Vec<usize>,
    progress: Option<(u64, u64, Option<String>)>,
    ready: Option<Vec<String>>,
    finished: bool,
    failed: Option<String>,
    wake: Option<Nanos>,
}

fn order(work: CopyWork) -> CopyOrder {
    let targets = (0..3).map(|index| Target {
        replica: format!("r{index}"),
        node: format!("n{index}"),
        address: Some(format!("n{index}:7")),
        attempt: 1,
        in_sync: index < 2,
        stored_m: if index < 2 { 2 } else { 0 },
        local: index == 0,
    });
    CopyOrder {
        task: "t1".to_owned(),
        cluster: "c".to_owned(),
        volume: "v".to_owned(),
        epoch: 5,
        opened_epoch: 4,
        work,
        targets: targets.collect(),
        without: vec![],
        document: document(2),
    }
}

fn to_r2() -> CopyWork {
    CopyWork::Move {
        source: "r0".to_owned(),
        target: "r2".to_owned(),
    }
}

impl Bench {
    fn new(work: CopyWork) -> Self {
        Self::with(order(work))
    }

    fn with(order: CopyOrder) -> Self {
        let mut bench = Self {
            copier: Copier::new(order, "k1".to_owned()).expect("a legal order"),
            now: Nanos::from_millis(1),
            sent: vec![],
            dialled: vec![],
            hung_up: vec![],
            progress: None,
            ready: None,
            finished: false,
            failed: None,
            wake: None,
        };
        bench.event(Event::Start);
        bench
    }

    fn event(&mut self, event: Event) {
        let mut out = vec![];
        self.copier.handle(self.now, event, &mut out);
        for effect in out {
            match effect {
                Effect::Dial { replica, .. } => self.dialled.push(replica.index()),
                Effect::HangUp { replica } => self.hung_up.push(replica.index()),
                Effect::Send {
                    replica,
                    tag,
                    request,
                } => self.sent.push((replica.index(), tag, request)),
                Effect::Progress {
                    done,
                    total,
                    waits_for,
                } => self.progress = Some((done, total, waits_for)),
                Effect::Ready { sealed } => self.ready = Some(sealed),
                Effect::Finished => self.finished = true,
                Effect::Failed { why } => self.failed = Some(why),
                Effect::WakeAt(moment) => self.wake = Some(moment),
            }
        }
    }

    /// Connects and answers hello, probe and seal.
    fn seal(&mut self, replica: usize, standing: Standing) {
        let index = ReplicaIndex(replica as u8);
        self.event(Event::Connected { replica: index });
        self.answer(replica, Reply::Done);
        self.answer(replica, Reply::Standing(standing.clone()));
        self.answer(replica, Reply::Standing(standing));
    }

    /// Answers what the replica was asked first.
    fn answer(&mut self, replica: usize, reply: Reply) {
        let at = self.sent.iter().position(|sent| sent.0 == replica);
        let (_, tag, _) = self.sent.remove(at.expect("it was asked something"));
        let replica = ReplicaIndex(replica as u8);
        self.event(Event::Reply {
            replica,
            tag,
            reply,
        });
    }

    fn asked(&self, replica: usize) -> Vec<&Request> {
        let sent = self.sent.iter().filter(|sent| sent.0 == replica);
        sent.map(|sent| &sent.2).collect()
    }
}

fn hash(byte: u8) -> Reply {
    Reply::Hash {
        digest: [byte; 32],
        bad: false,
    }
}

#[test]
fn settle_makes_equal_syncs_clears_and_then_says_so() {
    let mut bench = Bench::new(CopyWork::Settle);
    assert_eq!(bench.dialled, [0, 1], "in-sync ones only");
    bench.seal(0, marked(true, 2));
    assert!(bench.sent.is_empty(), "r1 is waited for");
    let waits_for = bench
        .progress
        .as_ref()
        .and_then(|progress| progress.2.clone());
    assert_eq!(waits_for.as_deref(), Some("r1 on n1: not reached yet"));
    bench.seal(1, marked(false, 2));
    bench.answer(0, hash(1));
    bench.answer(1, hash(2));
    assert!(
        matches!(bench.asked(1)[..], [Request::Fetch { .. }]),
        "r0 is torn"
    );
    let blocks = Blocks {
        states: vec![BlockState::Zero; 256],
        data: bytes::Bytes::new(),
    };
    bench.answer(1, Reply::Blocks(blocks));
    assert!(matches!(bench.asked(0)[..], [Request::Copy { .. }]));
    bench.answer(0, Reply::Done);
    for replica in 0..2 {
        assert!(matches!(bench.asked(replica)[..], [Request::Flush { .. }]));
        bench.answer(replica, Reply::Done);
    }
    let regions = vec![RegionRun { first: 2, count: 1 }];
    let clear = Request::Clear {
        m: 2,
        seq: 0,
        regions,
    };
    for replica in 0..2 {
        assert_eq!(bench.asked(replica), [&clear]);
        bench.answer(replica, Reply::Done);
    }
    assert_eq!(bench.ready, None, "the clear is not durable");
    for replica in 0..2 {
        bench.answer(replica, Reply::Done);
    }
    assert_eq!(bench.ready, Some(vec!["r0".to_owned(), "r1".to_owned()]));
    let document = document(2);
    bench.event(Event::Committed { document });
    for replica in 0..2 {
        assert!(matches!(bench.asked(replica)[..], [Request::Member(_)]));
        bench.answer(replica, Reply::Done);
    }
    assert!(bench.finished);
    assert_eq!(bench.hung_up, [0, 1]);
}

#[test]
fn settle_tells_the_membership_first_to_who_has_not_heard_of_it() {
    let mut bench = Bench::new(CopyWork::Settle);
    bench.copier = {
        let mut order = order(CopyWork::Settle);
        order.document = document(3);
        Copier::new(order, "k1".to_owned()).expect("a legal order")
    };
    bench.event(Event::Start);
    bench.seal(0, marked(false, 1));
    let told = Standing {
        m: 3,
        ..marked(false, 1)
    };
    bench.seal(1, told);
    for _ in 0..2 {
        for replica in 0..2 {
            let reply = match bench.asked(replica)[0] {
                Request::Hash { .. } => hash(1),
                _ => Reply::Done,
            };
            bench.answer(replica, reply);
        }
    }
    assert!(bench.asked(1).is_empty());
    match bench.asked(0)[..] {
        [Request::Member(member)] => {
            assert_eq!((member.role, member.document.m), (Role::Member, 3))
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_move_compares_everything_and_copies_what_differs() {
    let mut bench = Bench::new(to_r2());
    assert_eq!(bench.dialled, [0, 2]);
    let fresh = Standing {
        sealed_before: (0, 1),
        role: Role::Syncing,
        m: 0,
        synced_through: None,
        ..standing()
    };
    bench.seal(2, fresh);
    bench.seal(0, standing());
    for region in 0..4u64 {
        let offset = region << 20;
        let length = 1 << 20;
        assert_eq!(
            bench.asked(0)[region as usize],
            &Request::Hash { offset, length }
        );
    }
    for _ in 0..4 {
        bench.answer(0, hash(1));
        bench.answer(2, hash(1));
    }
    assert_eq!(
        bench.progress.as_ref().map(|progress| progress.0),
        Some(4 << 20)
    );
    bench.answer(0, Reply::Done);
    bench.answer(2, Reply::Done);
    assert_eq!(bench.ready, Some(vec!["r0".to_owned(), "r2".to_owned()]));
    let document = document(3);
    bench.event(Event::Committed { document });
    bench.answer(0, Reply::Done);
    bench.answer(2, Reply::Done);
    assert!(
        matches!(bench.asked(2)[..], [Request::Clear { m: 3, .. }]),
        "its stamps"
    );
    bench.answer(2, Reply::Done);
    assert!(!bench.finished, "its marks would come back by a power loss");
    assert_eq!(bench.asked(2), [&Request::Flush { seq: 0 }]);
    bench.answer(2, Reply::Done);
    assert!(bench.finished);
}

/// Marks come back when power is lost soon after a clean close, and stay on a new member whose copier died before it had
/// cleared them. That the members are equal is the record's word (settled), asked before the copy and at its commit: a
/// copy that waited for marks to go would wait for ever, for nothing clears them while nobody attaches.
#[test]
fn a_source_with_marks_of_a_settled_volume_is_copied_from() {
    let mut bench = Bench::new(to_r2());
    bench.seal(2, standing());
    bench.seal(0, marked(false, 1));
    assert_eq!(bench.failed, None);
    assert!(matches!(bench.asked(0)[0], Request::Hash { offset: 0, .. }));
}

#[test]
fn refusals_broken_connections_and_silence_end_it() {
    let ends: [fn(&mut Bench); 4] = [
        |bench| bench.answer(0, fenced()),
        |bench| {
            let replica = ReplicaIndex(1);
            let why = "reset".to_owned();
            bench.event(Event::Disconnected { replica, why });
        },
        |bench| {
            bench.now = bench.now + Nanos::from_millis(61_000);
            bench.event(Event::Timer);
        },
        |bench| bench.event(Event::Cancel),
    ];
    for end in ends {
        let mut bench = Bench::new(CopyWork::Settle);
        bench.seal(0, marked(false, 1));
        bench.seal(1, marked(false, 1));
        assert_eq!(bench.failed, None);
        end(&mut bench);
        assert!(bench.failed.is_some());
        assert!(bench.hung_up.contains(&0));
    }
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    let new = |work| Copier::new(order(work), "k1".to_owned()).err();
    let back = CopyWork::Move {
        source: "r2".to_owned(),
        target: "r0".to_owned(),
    };
    let nobody = CopyWork::Move {
        source: "r0".to_owned(),
        target: "r9".to_owned(),
    };
    assert_eq!(new(back), Some(BadOrder::Roles));
    assert_eq!(new(nobody), Some(BadOrder::NoTarget));
    let mut twice = order(CopyWork::Settle);
    twice.targets[1].replica = "r0".to_owned();
    let twice = Copier::new(twice, "k1".to_owned()).err();
    assert_eq!(twice, Some(BadOrder::Twice("r0".to_owned())));
}

/// docs/protocol.md, Settle: r1 is on a node declared dead.
#[test]
fn a_settle_goes_without_a_member_only_if_a_sealed_one_is_not_torn() {
    let without = || CopyOrder {
        without: vec!["r1".to_owned()],
        ..order(CopyWork::Settle)
    };
    let mut bench = Bench::with(without());
    bench.seal(0, marked(true, 1));
    let why = bench.failed.expect("it may have lost what r1 has");
    assert!(why.contains("lost power"), "{why}");

    for standing in [
        marked(false, 1),
        Standing {
            torn: true,
            ..standing()
        },
    ] {
        let mut bench = Bench::with(without());
        assert_eq!(bench.dialled, [0], "r1 is not waited for");
        bench.seal(0, standing);
        assert_eq!(bench.failed, None);
        assert!(!bench.sent.is_empty(), "it goes on");
    }
}

#[test]
fn a_settle_without_anybody_is_no_order() {
    let order = CopyOrder {
        without: vec!["r0".to_owned(), "r1".to_owned()],
        ..order(CopyWork::Settle)
    };
    let refused = Copier::new(order, "k1".to_owned()).err();
    assert_eq!(refused, Some(BadOrder::NoTarget));
}

/// Until the record has removed who was left out, the marks are all that says where it differs: if it comes back before
/// that, the next settle or session compares those regions.
#[test]
fn a_settle_without_a_member_clears_only_what_the_record_has_decided() {
    let mut order = order(CopyWork::Settle);
    order.targets[2].in_sync = true;
    order.without = vec!["r1".to_owned()];
    let mut bench = Bench::with(order);
    for replica in [0, 2] {
        bench.seal(replica, marked(false, 2));
    }
    for _ in 0..2 {
        for replica in [0, 2] {
            let reply = match bench.asked(replica)[0] {
                Request::Hash { .. } => hash(1),
                _ => Reply::Done,
            };
            bench.answer(replica, reply);
        }
    }
    assert_eq!(bench.ready, Some(vec!["r0".to_owned(), "r2".to_owned()]));
    assert!(bench.sent.is_empty(), "nothing was cleared");
    let document = document(3);
    bench.event(Event::Committed { document });
    for replica in [0, 2] {
        assert!(matches!(bench.asked(replica)[..], [Request::Member(_)]));
        bench.answer(replica, Reply::Done);
    }
    let regions = vec![RegionRun { first: 2, count: 1 }];
    let clear = Request::Clear {
        m: 3,
        seq: 0,
        regions,
    };
    for replica in [0, 2] {
        assert_eq!(bench.asked(replica), [&clear]);
        bench.answer(replica, Reply::Done);
    }
    for replica in [0, 2] {
        assert_eq!(bench.asked(replica), [&Request::Flush { seq: 0 }]);
        bench.answer(replica, Reply::Done);
    }
    assert!(bench.finished);
}

/// Cut off before the record says so, it leaves the marks: else the next open would not say that something may be gone.
#[test]
fn a_settle_of_what_lost_power_clears_only_what_the_record_has_decided() {
    let mut bench = Bench::new(CopyWork::Settle);
    for replica in 0..2 {
        bench.seal(replica, marked(true, 2));
    }
    for _ in 0..2 {
        for replica in 0..2 {
            let reply = match bench.asked(replica)[0] {
                Request::Hash { .. } => hash(1),
                _ => Reply::Done,
            };
            bench.answer(replica, reply);
        }
    }
    assert_eq!(bench.ready, Some(vec!["r0".to_owned(), "r1".to_owned()]));
    assert!(bench.sent.is_empty(), "nothing was cleared");
    let document = document(2);
    bench.event(Event::Committed { document });
    for step in 0..3 {
        for replica in 0..2 {
            let asked = bench.asked(replica);
            let right = match step {
                0 => matches!(asked[..], [Request::Member(_)]),
                1 => matches!(asked[..], [Request::Clear { m: 2, .. }]),
                _ => matches!(asked[..], [Request::Flush { .. }]),
            };
            assert!(right, "{asked:?}");
            bench.answer(replica, Reply::Done);
        }
    }
    assert!(bench.finished);
}
