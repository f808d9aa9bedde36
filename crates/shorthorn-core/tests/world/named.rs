//! Worlds by name: what may happen in each, so that a table can say which of them misses which rule.

use super::Chances;

/// What may happen in this world; some let the seed choose.
pub fn named(name: &str, seed: u64) -> Chances {
    let losses = Chances {
        quiet: false,
        strict: false,
        ..Chances::losses(seed)
    };
    match name {
        "crashes" => Chances::default(),
        // Two replicas, two blocks, no power loss: what differs is the protocol's fault.
        "hot" => Chances {
            nodes: 2,
            engine_dies: 100,
            replica_dies: 200,
            power: 0,
            hot: 2,
            ..Chances::default()
        },
        "copies" => Chances {
            nodes: 2,
            engine_dies: 120,
            copier_dies: 15,
            late: 400,
            close: 100,
            power: 0,
            ..Chances::default()
        },
        "losses" => losses,
        "joins" => Chances {
            power: 150,
            engine_dies: 300,
            hot: 2,
            ..losses
        },
        "fences" => Chances {
            nodes: 2,
            fence: 60,
            partition: 100,
            sleep: 200,
            engine_dies: 0,
            replica_dies: 0,
            power: 0,
            close: 0,
            held: true,
            hot: 1,
            silence_ms: 400,
            ..Chances::default()
        },
        "full" => Chances {
            full: 60,
            space_wait_ms: Some(0),
            hot: 2,
            ..Chances::default()
        },
        "power" => Chances {
            nodes: 2,
            engine_dies: 60,
            power: 100,
            held: true,
            hot: 2,
            ..Chances::default()
        },
        "moves" => Chances {
            nodes: 3,
            syncing: 1,
            engine_dies: 150,
            copier_dies: 100,
            power: 120,
            close: 60,
            hot: 2,
            ..Chances::default()
        },
        "leaves" => Chances {
            nodes: 4,
            syncing: 1,
            leave: 60,
            engine_dies: 300,
            ..Chances::default()
        },
        "syncs" => Chances {
            sync_fails: 150,
            power: 300,
            hot: 2,
            ..Chances::default()
        },
        "rewinds" => Chances {
            nodes: 2,
            rewind: 20,
            engine_dies: 50,
            copier_dies: 60,
            close: 150,
            power: 0,
            hot: 2,
            ..Chances::default()
        },
        "lies" => Chances { lie: 10, ..losses },
        // Long enough without writes for marks to be cleared while a session serves.
        "idle" => Chances {
            nodes: 2,
            clients: 2,
            calls: 20,
            grant_ms: 20_000,
            pace_ms: 400,
            silence_ms: 60_000,
            engine_dies: 0,
            replica_dies: 0,
            power: 150,
            close: 0,
            hot: 1,
            held: true,
            ..Chances::default()
        },
        "whole" => Chances::losses(seed),
        other => panic!("there is no world {other}"),
    }
}
