//! How fast one connection is: not a test of anything, so it runs only when asked (`--ignored --nocapture`, release).

mod support;

use std::time::Instant;

use bytes::Bytes;
use shorthorn_wire::message::*;

use support::*;

const REQUESTS: u64 = 20_000;

fn write(seq: u64) -> Request {
    let data = Bytes::from(vec![seq as u8; 4096]);
    Request::Write {
        seq,
        offset: (seq * 7919 % (SIZE / 4096)) * 4096,
        data,
        fua: false,
    }
}

fn read(seq: u64) -> Request {
    Request::Read {
        offset: (seq * 7919 % (SIZE / 4096)) * 4096,
        length: 4096,
    }
}

#[test]
#[ignore = "a measurement"]
fn four_kib_requests_a_second() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    let mut seq = 0;
    for (name, make) in [("write", write as fn(u64) -> Request), ("read", read)] {
        for depth in [1, 32] {
            let started = Instant::now();
            for _ in 0..REQUESTS / depth {
                for _ in 0..depth {
                    seq += 1;
                    engine.tell(&make(seq));
                }
                for _ in 0..depth {
                    engine.hear().expect("a reply");
                }
            }
            let rate = REQUESTS as f64 / started.elapsed().as_secs_f64();
            println!("{name} depth {depth}: {rate:.0} a second");
        }
    }
}
