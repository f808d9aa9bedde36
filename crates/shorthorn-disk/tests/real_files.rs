//! The format on real files: what comes back, what takes space, what a damaged folder says.

mod common;

use common::*;
use shorthorn_disk::{
    DiskError, FORMAT_VERSION, RealDisk, ReplicaFiles, block_sum, delete, list, sweep,
};
use shorthorn_wire::message::{BlockState, Blocks};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SIZE: u64 = 3 << 20 | 4096;

struct Place {
    folder: tempfile::TempDir,
    disk: Arc<RealDisk>,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            disk: Arc::new(RealDisk),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("r1")
    }

    fn create(&self) -> ReplicaFiles<RealDisk> {
        create(&self.disk, &self.root(), SIZE).expect("create")
    }

    fn open(&self) -> Result<ReplicaFiles<RealDisk>, DiskError> {
        ReplicaFiles::open(Arc::clone(&self.disk), &self.root(), BOOT)
    }
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("write");
}

#[test]
fn what_was_written_is_read_after_opening_again() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    let data = pattern(3, 2 * 1024 * 1024 + 777);
    files.write(1000, &data).expect("write");
    assert_eq!(read(&mut files, 1000, data.len()).expect("read"), data);
    files.sync().expect("sync");
    drop(files);
    let mut files = place.open().expect("open");
    assert_eq!(read(&mut files, 1000, data.len()).expect("read"), data);
    assert_eq!(read(&mut files, 0, 1000).expect("read"), vec![0; 1000]);
    assert_eq!(files.marks(), [run(0, 4)]);
}

#[test]
fn a_new_replica_is_thin_and_gives_punched_space_back() {
    let place = Place::new();
    let mut files = place.create();
    let data_space = || {
        fs::metadata(place.root().join("layers/l1.data"))
            .expect("stat")
            .blocks()
            * 512
    };
    assert_eq!(data_space(), 0);
    mark_all(&mut files);
    files.write(0, &pattern(1, 1 << 20)).expect("write");
    files.sync().expect("sync");
    assert!(data_space() >= 1 << 20);
    let used = files.used_bytes().expect("used");
    files.zero(0, 1 << 20, true).expect("zero");
    assert_eq!(data_space(), 0);
    assert!(files.used_bytes().expect("used") + (1 << 20) <= used);
    assert_eq!(
        read(&mut files, 0, 1 << 20).expect("read"),
        vec![0; 1 << 20]
    );
}

#[test]
fn write_zeroes_without_punch_keeps_the_space() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    files.write(0, &pattern(1, 64 << 10)).expect("write");
    files.sync().expect("sync");
    files.zero(100, 50_000, false).expect("zero");
    files.sync().expect("sync");
    let space = fs::metadata(place.root().join("layers/l1.data"))
        .expect("stat")
        .blocks()
        * 512;
    assert!(space >= 64 << 10, "{space}");
    assert_eq!(
        read(&mut files, 100, 50_000).expect("read"),
        vec![0; 50_000]
    );
    assert_eq!(read(&mut files, 0, 100).expect("read"), pattern(1, 100));
    assert_eq!(
        read(&mut files, 50_100, 10).expect("read"),
        pattern(1, 64 << 10)[50_100..50_110]
    );
}

#[test]
fn an_unmarked_region_takes_no_change() {
    let place = Place::new();
    let mut files = place.create();
    files.mark(&[run(0, 1)]).expect("mark");
    let over_the_edge = (1 << 20) - 10;
    assert!(matches!(
        files.write(over_the_edge, &[1; 20]),
        Err(DiskError::Unmarked { region: 1 })
    ));
    assert!(matches!(
        files.zero(1 << 20, 4096, true),
        Err(DiskError::Unmarked { region: 1 })
    ));
    let blocks = Blocks {
        states: vec![BlockState::Zero],
        ..Blocks::default()
    };
    assert!(matches!(
        files.copy(1 << 20, &blocks),
        Err(DiskError::Unmarked { region: 1 })
    ));
    assert_eq!(read(&mut files, over_the_edge, 10).expect("read"), [0; 10]);
}

#[test]
fn a_flipped_bit_is_corrupt_and_a_partial_write_over_it_is_refused() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    files.write(8192, &pattern(9, 8192)).expect("write");
    files.sync().expect("sync");
    files.clear(1, &[run(0, 4)]).expect("clear");
    flip(&place.root().join("layers/l1.data"), 12288 + 5);
    assert!(matches!(
        read(&mut files, 0, 1 << 20),
        Err(DiskError::Corrupt { offset: 12288 })
    ));
    mark_all(&mut files);
    assert!(matches!(
        files.write(12290, &[1; 3]),
        Err(DiskError::Corrupt { offset: 12288 })
    ));
    assert!(matches!(
        files.zero(12290, 3, true),
        Err(DiskError::Corrupt { offset: 12288 })
    ));
    assert!(files.hash(0, 1 << 20).expect("hash").bad);
    let fetched = files.fetch(8192, 8192).expect("fetch");
    assert!(matches!(
        fetched.states[..],
        [BlockState::Good { .. }, BlockState::Bad { .. }]
    ));
    // Its badness travels with a copy, and a whole write ends it.
    files.copy(1 << 20, &fetched).expect("copy");
    assert_eq!(files.fetch(1 << 20, 8192).expect("fetch"), fetched);
    files.write(12288, &pattern(2, BLOCK)).expect("write");
    assert_eq!(
        read(&mut files, 12288, BLOCK).expect("read"),
        pattern(2, BLOCK)
    );
}

#[test]
fn extents_say_where_data_is() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    files.write(8192, &pattern(9, 8192)).expect("write");
    files.write(2 << 20, &pattern(9, 100)).expect("write");
    files.write(1 << 20, &[0; 8192]).expect("write");
    let lengths = |limit| -> Vec<(u64, bool)> {
        let mut files = place.open().expect("open");
        files.mark(&[run(0, 4)]).expect("mark");
        files.write(0, &[]).expect("write");
        let extents = files.extents(1, SIZE - 1, limit).expect("extents");
        extents
            .iter()
            .map(|extent| (extent.length, extent.data))
            .collect()
    };
    drop(files);
    let all = lengths(100);
    assert_eq!(all[..2], [(8191, false), (8192, true)]);
    assert_eq!(all.iter().map(|extent| extent.0).sum::<u64>(), SIZE - 1);
    assert_eq!(all.last(), Some(&(SIZE - (2 << 20) - 4096, false)));
    assert_eq!(lengths(2), all[..2]);
}

#[test]
fn header_and_document_come_back_and_never_go_back() {
    let place = Place::new();
    let mut files = place.create();
    assert_eq!(files.header().sealed, (0, 1));
    let mut header = files.header().clone();
    header.sealed = (1 << 32 | 7, 2);
    header.m = 3;
    header.engine = "e1".into();
    header.open_boot = Some(BOOT.into());
    let mut document = document(SIZE);
    document.version = 5;
    document.body = "x".repeat(200_000);
    files.commit(header.clone(), &document).expect("commit");
    let mut older = header.clone();
    older.sealed = (1 << 32 | 6, 9);
    assert!(matches!(
        files.set_header(older),
        Err(DiskError::Invalid { .. })
    ));
    let mut other = header.clone();
    other.identity.replica = "r2".into();
    assert!(matches!(
        files.set_header(other),
        Err(DiskError::Invalid { .. })
    ));
    let mut old = document.clone();
    old.version = 4;
    assert!(matches!(
        files.store_document(&old),
        Err(DiskError::Invalid { .. })
    ));
    let mut larger = document.clone();
    larger.size += 4096;
    assert!(matches!(
        files.store_document(&larger),
        Err(DiskError::OtherLayout { what: "size" })
    ));
    let files = place.open().expect("open");
    assert_eq!((files.header(), files.document()), (&header, &document));
}

#[test]
fn another_boot_finds_an_open_replica_torn() {
    let place = Place::new();
    let mut files = place.create();
    files
        .set_header(shorthorn_disk::Header {
            open_boot: Some(BOOT.into()),
            ..files.header().clone()
        })
        .expect("set");
    assert!(!place.open().expect("open").header().torn);
    let open =
        || ReplicaFiles::open(Arc::clone(&place.disk), &place.root(), "boot-2").expect("open");
    assert!(open().header().torn);
    assert!(
        place.open().expect("open").header().torn,
        "torn stays until it is ended"
    );
}

#[test]
fn one_damaged_header_slot_takes_nothing_back_and_both_are_refused() {
    for slot in [0, 1] {
        let place = Place::new();
        let mut files = place.create();
        let header = shorthorn_disk::Header {
            sealed: (9, 9),
            ..files.header().clone()
        };
        files.set_header(header.clone()).expect("set");
        let path = place.root().join("header");
        flip(&path, slot * 4096 + 40);
        assert_eq!(place.open().expect("open").header(), &header);
        // The open has mended it.
        flip(&path, (1 - slot) * 4096 + 40);
        assert_eq!(place.open().expect("open").header(), &header);
        flip(&path, 40);
        flip(&path, 4096 + 40);
        assert!(matches!(
            place.open().map(drop),
            Err(DiskError::Damaged { .. })
        ));
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let place = Place::new();
    drop(place.create());
    let path = place.root().join("header");
    let mut bytes = fs::read(&path).expect("read");
    for slot in bytes.chunks_exact_mut(4096) {
        slot[8..12].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
        slot[12..16].fill(0);
        let crc = crc32c::crc32c(slot);
        slot[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, bytes).expect("write");
    let error = place.open().map(drop).expect_err("refused");
    assert!(matches!(error, DiskError::NewerFormat { .. }));
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn missing_and_truncated_files_are_told_apart() {
    let damaged = |file: &str, length: Option<u64>| {
        let place = Place::new();
        drop(place.create());
        let path = place.root().join(file);
        match length {
            None => fs::remove_file(&path).expect("remove"),
            Some(length) => {
                OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("open")
                    .set_len(length)
                    .expect("set_len");
            }
        }
        place.open().map(drop)
    };
    for file in ["layers/l1.data", "layers/l1.sums", "regions", "document.0"] {
        assert!(
            matches!(damaged(file, None), Err(DiskError::Damaged { .. })),
            "{file}"
        );
    }
    assert!(matches!(
        damaged("header", None),
        Err(DiskError::Missing { .. })
    ));
    assert!(matches!(
        damaged("header", Some(100)),
        Err(DiskError::Damaged { .. })
    ));
    assert!(matches!(
        damaged("layers/l1.sums", Some(100)),
        Err(DiskError::Damaged { .. })
    ));
    assert!(matches!(
        damaged("document.0", Some(10)),
        Err(DiskError::Damaged { .. })
    ));
    assert!(matches!(
        Place::new().open().map(drop),
        Err(DiskError::Missing { .. })
    ));
}

#[test]
fn truncated_data_is_torn_and_bad_not_zero() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    files.write(2 << 20, &pattern(1, BLOCK)).expect("write");
    files.sync().expect("sync");
    files.clear(1, &[run(0, 4)]).expect("clear");
    drop(files);
    let data = OpenOptions::new()
        .write(true)
        .open(place.root().join("layers/l1.data"))
        .expect("open");
    data.set_len(1 << 20).expect("set_len");
    let mut files = place.open().expect("open");
    assert!(files.header().torn);
    assert!(matches!(
        read(&mut files, 2 << 20, 1),
        Err(DiskError::Corrupt { .. })
    ));
}

#[test]
fn a_damaged_or_missing_region_entry_reads_as_dirty_with_the_greatest_stamp() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    files.sync().expect("sync");
    files.clear(4, &[run(0, 4)]).expect("clear");
    assert_eq!((files.marks(), files.stamp(2)), (vec![], 4));
    drop(files);
    flip(&place.root().join("regions"), 16 + 3);
    let files = place.open().expect("open");
    assert_eq!(files.marks(), [run(1, 1)]);
    assert_eq!((files.stamp(0), files.stamp(1)), (4, u64::MAX));
    drop(files);
    let table = OpenOptions::new()
        .write(true)
        .open(place.root().join("regions"))
        .expect("open");
    table.set_len(40).expect("set_len");
    assert_eq!(place.open().expect("open").marks(), [run(1, 3)]);
}

#[test]
fn folders_appear_and_disappear_whole() {
    let place = Place::new();
    let parent = place.folder.path();
    fs::create_dir_all(parent.join("r1.new/layers")).expect("mkdir");
    fs::write(parent.join("r1.new/header"), "half").expect("write");
    fs::create_dir_all(parent.join("r2.dead/layers")).expect("mkdir");
    fs::write(parent.join("stray"), "").expect("write");
    assert_eq!(list(&RealDisk, parent).expect("list"), [""; 0]);
    let mut files = place.create();
    let again = create(&place.disk, &place.root(), SIZE).map(drop);
    assert!(matches!(again, Err(DiskError::Exists { .. })));
    mark_all(&mut files);
    assert_eq!(list(&RealDisk, parent).expect("list"), ["r1"]);
    sweep(&RealDisk, parent).expect("sweep");
    assert!(!parent.join("r2.dead").exists());
    delete(&RealDisk, &place.root()).expect("delete");
    delete(&RealDisk, &place.root()).expect("deleting again is fine");
    let left: Vec<_> = fs::read_dir(parent)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert_eq!(left, ["stray"]);
}

#[test]
fn names_from_other_machines_cannot_leave_the_folder() {
    let place = Place::new();
    for id in ["../x", "a/b", "", ".", "..", "x\0", &"x".repeat(300)] {
        let document = document_of(SIZE, &[id]);
        let made = ReplicaFiles::create(
            Arc::clone(&place.disk),
            &place.root(),
            identity(),
            1,
            &document,
            BOOT,
        );
        assert!(
            matches!(made.map(drop), Err(DiskError::Invalid { .. })),
            "{id:?}"
        );
    }
    assert_eq!(fs::read_dir(place.folder.path()).expect("list").count(), 0);
}

#[test]
fn a_copy_that_contradicts_itself_changes_nothing() {
    let place = Place::new();
    let mut files = place.create();
    mark_all(&mut files);
    let data = pattern(5, BLOCK);
    let good = BlockState::Good {
        sum: block_sum(&data),
    };
    let blocks = |states: Vec<BlockState>, data: &[u8]| Blocks {
        states,
        data: data.to_vec().into(),
    };
    let wrong = [
        blocks(vec![good], &pattern(6, BLOCK)),
        blocks(
            vec![good, BlockState::Zero],
            &[data.clone(), data.clone()].concat(),
        ),
        blocks(vec![BlockState::Bad { sum: 0 }], &data),
        blocks(vec![good], &data[1..]),
    ];
    for blocks in wrong {
        assert!(matches!(
            files.copy(0, &blocks),
            Err(DiskError::Invalid { .. })
        ));
    }
    assert!(matches!(
        files.copy(100, &blocks(vec![good], &data)),
        Err(DiskError::Misaligned { .. })
    ));
    assert!(matches!(
        files.copy(SIZE, &blocks(vec![good], &data)),
        Err(DiskError::OutOfRange { .. })
    ));
    assert_eq!(read(&mut files, 0, BLOCK).expect("read"), [0; BLOCK]);
    let mixed = blocks(
        vec![BlockState::Zero, good, BlockState::Zero, good],
        &[data.clone(), data.clone()].concat(),
    );
    files.copy(0, &mixed).expect("copy");
    assert_eq!(files.fetch(0, 4 * BLOCK as u64).expect("fetch"), mixed);
}

#[test]
fn an_upper_layer_masks_the_lower_ones() {
    let place = Place::new();
    let create = |root: &Path, chain: &[&str]| {
        let document = document_of(SIZE, chain);
        ReplicaFiles::create(
            Arc::clone(&place.disk),
            root,
            identity(),
            1,
            &document,
            BOOT,
        )
        .expect("create")
    };
    let below_root = place.folder.path().join("below");
    let mut below = create(&below_root, &["l1"]);
    mark_all(&mut below);
    below.write(0, &pattern(1, 4 * BLOCK)).expect("write");
    below.sync().expect("sync");
    let mut files = create(&place.root(), &["l1", "l2"]);
    for name in ["l1.data", "l1.sums"] {
        fs::copy(
            below_root.join("layers").join(name),
            place.root().join("layers").join(name),
        )
        .expect("copy");
    }
    drop(files);
    files = place.open().expect("open");
    mark_all(&mut files);
    assert_eq!(
        read(&mut files, 0, 4 * BLOCK).expect("read"),
        pattern(1, 4 * BLOCK)
    );
    // A partial write takes the rest from below; a zeroed block hides what is below.
    files.write(100, &[7; 10]).expect("write");
    files.zero(BLOCK as u64, BLOCK as u64, true).expect("zero");
    files.zero(2 * BLOCK as u64 + 5, 5, true).expect("zero");
    let mut expected = pattern(1, 4 * BLOCK);
    expected[100..110].fill(7);
    expected[BLOCK..2 * BLOCK].fill(0);
    expected[2 * BLOCK + 5..2 * BLOCK + 10].fill(0);
    assert_eq!(read(&mut files, 0, 4 * BLOCK).expect("read"), expected);
    let extents = files.extents(0, 5 * BLOCK as u64, 9).expect("extents");
    let kinds: Vec<bool> = extents.iter().map(|extent| extent.data).collect();
    assert_eq!(kinds, [true, false, true, false]);
}
