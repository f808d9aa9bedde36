//! What tests of joiners ask of the bench, and answers that they give.

use shorthorn_core::engine::Event;
use shorthorn_wire::agent::{Ask, Target};
use shorthorn_wire::message::{BlockState, Blocks, Failure, Reply, Request};

use super::{Bench, MIB, is_hash};

pub fn no_space() -> Reply {
    Reply::Failed {
        why: Failure::NoSpace,
        detail: "full".to_owned(),
    }
}

pub fn differs() -> Reply {
    Reply::Hash {
        digest: [9; 32],
        bad: false,
    }
}

pub fn region(first: Blocks) -> Reply {
    let mut blocks = first;
    blocks.states.resize(256, BlockState::Zero);
    Reply::Blocks(blocks)
}

pub fn hashes(bench: &Bench, replica: usize) -> Vec<u64> {
    let asked = bench.waiting(replica, is_hash);
    let offsets = asked.iter().map(|request| match request {
        Request::Hash { offset, .. } => *offset / MIB,
        _ => unreachable!(),
    });
    offsets.collect()
}

pub fn targets(list: &[(&str, u64, bool)]) -> Event {
    let targets = list.iter().map(|(name, attempt, in_sync)| Target {
        replica: (*name).to_owned(),
        node: format!("n-{name}"),
        address: Some(format!("{name}:8")),
        attempt: *attempt,
        in_sync: *in_sync,
        stored_m: 0,
        local: false,
    });
    Event::Targets {
        targets: targets.collect(),
        document: None,
    }
}

pub fn lost(bench: &Bench) -> Option<(String, u64, String)> {
    match &bench.asked.last()?.1 {
        Ask::ReplicaLost {
            replica,
            attempt,
            witness,
            ..
        } => Some((replica.clone(), *attempt, witness.clone())),
        _ => None,
    }
}

pub fn waits(bench: &Bench) -> String {
    let status = bench.status.as_ref().expect("it was told");
    let waits = status.resyncs.iter().map(|resync| resync.waits_for.clone());
    waits.flatten().collect::<Vec<_>>().join("; ")
}
