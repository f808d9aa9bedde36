//! A disk that is really full: a small tmpfs. Needs root to mount it; says so and does nothing otherwise.

mod support;

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::*;

use support::*;

/// A mounted tmpfs; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let options = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "none"])
            .arg(folder.path());
        match mount.output() {
            Ok(done) if done.status.success() => Ok(Self(folder)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.path()).status();
        if !std::thread::panicking() {
            assert!(done.expect("umount runs").success());
        }
    }
}

#[test]
fn no_space_fails_the_write_and_nothing_else() {
    let small = match SmallDisk::mount(24) {
        Ok(small) => small,
        Err(why) => return println!("skipped: no small disk can be mounted: {why}"),
    };
    let disk = Disk::in_folder(
        "disk-1",
        tempfile::tempdir_in(small.path()).expect("a folder"),
    );
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    let write = |seq: u64, at: u64, fill: u8| {
        let data = Bytes::from(vec![fill; REGION_BYTES as usize]);
        Request::Write {
            seq,
            offset: at * REGION_BYTES,
            data,
            fua: false,
        }
    };
    let mut seq = 0;
    let full = loop {
        seq += 1;
        assert!(seq < 64, "64 MiB do not fit into 24");
        match engine.ask(write(seq, seq - 1, seq as u8)) {
            Reply::Done => {}
            Reply::Failed {
                why: Failure::NoSpace,
                ..
            } => break seq - 1,
            other => panic!("{other:?}"),
        }
    };
    assert!(full > 2, "some room there is");
    let region = REGION_BYTES as u32;
    assert_eq!(
        engine.read(full * REGION_BYTES, region),
        vec![0; REGION_BYTES as usize],
        "nothing was applied"
    );
    assert_eq!(engine.read(0, region), vec![1; REGION_BYTES as usize]);
    // What has its space can be written, synced and recorded; what is given back can be used.
    assert_eq!(engine.ask(write(seq + 1, 0, 99)), Reply::Done);
    assert_eq!(engine.ask(Request::Flush { seq: seq + 1 }), Reply::Done);
    let member = Member {
        role: Role::Member,
        document: document(4, 2),
    };
    assert_eq!(engine.ask(Request::Member(member)), Reply::Done);
    let length = 2 * REGION_BYTES;
    let zero = Request::Zero {
        seq: seq + 2,
        offset: 0,
        length,
        punch: true,
        fua: false,
    };
    assert_eq!(engine.ask(zero), Reply::Done);
    assert_eq!(engine.ask(write(seq + 3, full, 7)), Reply::Done);
    assert_eq!(
        program.held("r1").standing.expect("a standing").failed,
        None
    );
    drop(program);
    drop(disk);
}
