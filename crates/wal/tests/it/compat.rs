//! Stored logs of every version must still open, and today's bytes must not change unnoticed.

use std::path::{Path, PathBuf};

use spanwise_wal::{Codec, Kind, Log, Record, StdDisk, VERSION};
use tempfile::TempDir;

use crate::{open, read, small};

fn stored(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format!("v{version}"))
}

fn records() -> Vec<Record> {
    let record = |seq, kind, codec, payload: &[u8]| Record {
        seq,
        kind: Kind(kind),
        codec: Codec(codec),
        payload: payload.to_vec(),
    };
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
    for record in records() {
        log.append(record.kind, record.codec, &record.payload).unwrap();
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

#[test]
fn logs_of_version_1_open() {
    // Opening writes, so a copy is opened.
    let dir = TempDir::new().unwrap();
    for (name, bytes) in segments(&stored(1)) {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (log, recovery) = open(StdDisk::new(dir.path()).unwrap());
    assert_eq!(read(&log), records());
    assert_eq!((recovery.n_segments, recovery.problems.len()), (3, 0));
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
