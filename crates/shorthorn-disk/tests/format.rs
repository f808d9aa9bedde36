//! Format version 1, written here by hand from docs/formats/disk.md: what this version of the code writes, every later
//! one has to read. If a change makes this test fail, it needs a new format version, not a new test.

mod common;

use common::*;
use shorthorn_disk::{DiskError, RealDisk, ReplicaFiles};
use shorthorn_wire::message::Role;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const HEADER: &str = r#"{"header":{"identity":{"cluster":"c1","volume":"v1","replica":"r1","disk":"d1","era":1},"sealed":[4294967303,2],"engine":"e1","role":"member","m":3,"epoch":4294967303,"synced_through":3,"open_boot":"boot-1","torn":false,"failed":null},"document":{"file":1,"length":LENGTH,"crc":CRC}}"#;
const DOCUMENT: &str = r#"{"layout":{"chain":["l0","l1"],"head":"l1","size":2097152},"document":{"era":1,"version":9,"m":3,"size":2097152,"chain":["l0","l1"],"head":"l1","body":"{\"name\":\"v\"}"}}"#;

fn slot(sequence: u64, json: &str) -> Vec<u8> {
    let mut slot = b"SHORTHRN".to_vec();
    slot.extend(1u32.to_le_bytes());
    slot.extend([0; 4]);
    slot.extend(sequence.to_le_bytes());
    slot.extend((json.len() as u32).to_le_bytes());
    slot.extend([0; 4]);
    slot.extend(json.as_bytes());
    slot.resize(4096, 0);
    let crc = crc32c::crc32c(&slot);
    slot[12..16].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn region(index: u64, stamp: u64, dirty: u32) -> Vec<u8> {
    let mut entry = stamp.to_le_bytes().to_vec();
    entry.extend(dirty.to_le_bytes());
    let crc = crc32c::crc32c(&[&index.to_le_bytes(), &entry[..]].concat());
    entry.extend(crc.to_le_bytes());
    entry
}

fn entry(sum: u32, previous: u32) -> Vec<u8> {
    [sum.to_le_bytes(), previous.to_le_bytes()].concat()
}

/// Two regions, the second dirty. Block 0: in the head; 1: masked by a zeroed one; 2: only below; 3: nowhere; 256: its
/// write was cut, so that its data fits `previous`.
fn write_folder(root: &Path) {
    fs::create_dir_all(root.join("layers")).expect("mkdir");
    let header = HEADER
        .replace("LENGTH", &DOCUMENT.len().to_string())
        .replace("CRC", &crc32c::crc32c(DOCUMENT.as_bytes()).to_string());
    fs::write(
        root.join("header"),
        [slot(6, &header), slot(6, &header)].concat(),
    )
    .expect("write");
    fs::write(root.join("document.0"), "left over").expect("write");
    fs::write(root.join("document.1"), [DOCUMENT, "left over"].concat()).expect("write");
    fs::write(
        root.join("regions"),
        [region(0, 3, 0), region(1, 2, 1)].concat(),
    )
    .expect("write");
    let sum = |seed| crc32c::crc32c(&pattern(seed, BLOCK));
    let sums = |entries: &[(usize, Vec<u8>)]| {
        let mut sums = vec![0; 512 * 8];
        entries
            .iter()
            .for_each(|(block, entry)| sums[block * 8..block * 8 + 8].copy_from_slice(entry));
        sums
    };
    let data = |blocks: &[(usize, u8)]| {
        let mut data = vec![0; 2 << 20];
        blocks.iter().for_each(|(block, seed)| {
            data[block * BLOCK..][..BLOCK].copy_from_slice(&pattern(*seed, BLOCK))
        });
        data
    };
    let files = [
        ("l0.data", data(&[(0, 10), (1, 11), (2, 12), (3, 13)])),
        (
            "l0.sums",
            sums(&[
                (0, entry(sum(10), 0)),
                (1, entry(sum(11), 0)),
                (2, entry(sum(12), 7)),
            ]),
        ),
        ("l1.data", data(&[(0, 20), (256, 21)])),
        (
            "l1.sums",
            sums(&[
                (0, entry(sum(20), 0)),
                (1, entry(0x98f9_4189, 0)),
                (256, entry(sum(22), sum(21))),
            ]),
        ),
    ];
    files
        .iter()
        .for_each(|(name, bytes)| fs::write(root.join("layers").join(name), bytes).expect("write"));
}

#[test]
fn version_1_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("r1");
    write_folder(&root);
    let mut files = ReplicaFiles::open(Arc::new(RealDisk), &root, BOOT).expect("open");
    let header = files.header().clone();
    assert_eq!(
        (header.identity, header.sealed, header.engine.as_str()),
        (identity(), (4_294_967_303, 2), "e1")
    );
    assert_eq!(
        (header.role, header.m, header.synced_through),
        (Role::Member, 3, Some(3))
    );
    assert_eq!(
        (header.open_boot.as_deref(), header.torn, header.failed),
        (Some(BOOT), false, None)
    );
    assert_eq!(
        (files.document().version, files.document().body.as_str()),
        (9, r#"{"name":"v"}"#)
    );
    assert_eq!(files.layout().chain, ["l0", "l1"]);
    assert_eq!(
        (files.marks(), files.stamp(0), files.stamp(1)),
        (vec![run(1, 1)], 3, 2)
    );
    let mut expected = [
        pattern(20, BLOCK),
        vec![0; BLOCK],
        pattern(12, BLOCK),
        vec![0; BLOCK],
    ]
    .concat();
    assert!(read(&mut files, 0, 4 * BLOCK).expect("read") == expected);
    assert!(read(&mut files, 1 << 20, BLOCK).expect("read") == pattern(21, BLOCK));
    // And goes on from there.
    files.write((1 << 20) + 5, &[7; 9]).expect("write");
    expected = pattern(21, BLOCK);
    expected[5..14].fill(7);
    assert!(read(&mut files, 1 << 20, BLOCK).expect("read") == expected);
}

#[test]
fn in_a_clean_region_or_a_frozen_layer_previous_does_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("r1");
    write_folder(&root);
    fs::write(
        root.join("regions"),
        [region(0, 3, 1), region(1, 2, 0)].concat(),
    )
    .expect("write");
    let below = [
        crc32c::crc32c(&pattern(9, BLOCK)),
        crc32c::crc32c(&pattern(12, BLOCK)),
    ];
    let path = root.join("layers/l0.sums");
    let mut sums = fs::read(&path).expect("read");
    sums[16..24].copy_from_slice(&entry(below[0], below[1]));
    fs::write(&path, sums).expect("write");
    let mut files = ReplicaFiles::open(Arc::new(RealDisk), &root, BOOT).expect("open");
    assert!(matches!(
        read(&mut files, 1 << 20, 1),
        Err(DiskError::Corrupt { offset: 1_048_576 })
    ));
    assert!(matches!(
        read(&mut files, 8192, 1),
        Err(DiskError::Corrupt { offset: 8192 })
    ));
}

#[test]
fn version_1_is_written_as_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("r1");
    let mut files = create(&Arc::new(RealDisk), &root, 2 << 20).expect("create");
    files.mark(&[run(1, 1)]).expect("mark");
    files.write(1 << 20, &pattern(1, BLOCK)).expect("write");
    files.write(1 << 20, &pattern(2, BLOCK)).expect("write");
    let sums = fs::read(root.join("layers/l1.sums")).expect("read");
    let sum = |seed| crc32c::crc32c(&pattern(seed, BLOCK));
    assert_eq!(sums[256 * 8..257 * 8], entry(sum(2), sum(1)));
    assert!(sums[..256 * 8].iter().all(|&byte| byte == 0));
    assert_eq!(
        fs::read(root.join("regions")).expect("read"),
        [region(0, 0, 0), region(1, 0, 1)].concat()
    );
    let header = fs::read(root.join("header")).expect("read");
    assert_eq!(header[..4096], header[4096..]);
    let length = u32::from_le_bytes([header[24], header[25], header[26], header[27]]) as usize;
    let json = std::str::from_utf8(&header[32..32 + length]).expect("text");
    assert_eq!(header[..4096], slot(1, json));
    let document = fs::read_to_string(root.join("document.0")).expect("read");
    assert_eq!(
        document,
        r#"{"layout":{"chain":["l1"],"head":"l1","size":2097152},"document":{"era":1,"version":1,"m":0,"size":2097152,"chain":["l1"],"head":"l1","body":"{}"}}"#
    );
    let crc = crc32c::crc32c(document.as_bytes());
    assert!(
        json.contains(&format!(
            r#""document":{{"file":0,"length":{},"crc":{crc}}}"#,
            document.len()
        )),
        "{json}"
    );
}
