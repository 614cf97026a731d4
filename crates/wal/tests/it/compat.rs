//! Stored logs of every version must still open, and today's bytes must not change unnoticed.

use std::path::{Path, PathBuf};

use spanwise_wal::{Codec, Kind, Log, StdDisk, VERSION};
use tempfile::TempDir;

use crate::{open, read, small};

fn stored(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("v{version}"))
}

/// A record but for its position.
type Stored = (u64, Kind, Codec, Vec<u8>);

fn records() -> Vec<Stored> {
    let record =
        |seq, kind, codec, payload: &[u8]| (seq, Kind(kind), Codec(codec), payload.to_vec());
    vec![
        record(1, 5, 0, b"scale cartservice by 1"),
        record(2, 5, 0, b""),
        record(3, 1, 1, &[0xaa; 5000]),
        record(4, 5, 0, "ä".as_bytes()),
    ]
}

/// Writes the log of `records` as this version does.
fn write_log(dir: &Path) {
    let (mut log, _) = Log::open(StdDisk::new(dir).unwrap(), small()).unwrap();
    for (_, kind, codec, payload) in records() {
        log.append(kind, codec, &payload).unwrap();
        log.sync().unwrap();
    }
}

/// The segments of a directory by name.
fn segments(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn check_opens(version: u32) {
    // Opening writes, so a copy is opened.
    let dir = TempDir::new().unwrap();
    for (name, bytes) in segments(&stored(version)) {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (mut log, recovery) = open(StdDisk::new(dir.path()).unwrap());
    let found = |log: &Log<StdDisk>| -> Vec<Stored> {
        read(log).into_iter().map(|one| (one.seq, one.kind, one.codec, one.payload)).collect()
    };
    assert_eq!(found(&log), records());
    assert_eq!((recovery.n_segments, recovery.problems.len()), (3, 0));
    // It goes on, in the format of today.
    log.append(Kind(5), Codec(0), b"next").unwrap();
    log.sync().unwrap();
    drop(log);
    let (log, recovery) = open(StdDisk::new(dir.path()).unwrap());
    assert_eq!((found(&log).len(), recovery.problems.len()), (5, 0));
}

#[test]
fn logs_of_version_1_open() {
    check_opens(1);
}

#[test]
fn logs_of_version_2_open() {
    check_opens(2);
}

#[test]
fn this_version_writes_the_stored_bytes() {
    let dir = TempDir::new().unwrap();
    write_log(dir.path());
    assert_eq!(segments(dir.path()), segments(&stored(VERSION)));
}

/// Run once for each new version: `cargo test -p spanwise-wal -- --ignored`.
#[test]
#[ignore = "writes the stored log of a new version"]
fn store_this_version() {
    let dir = stored(VERSION);
    assert!(!dir.exists(), "stored versions never change");
    write_log(&dir);
    std::fs::remove_file(dir.join("LOCK")).unwrap();
}
