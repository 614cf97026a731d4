//! The real file system.

use spanwise_wal::{Codec, Config, Error, Kind, Log, StdDisk};
use tempfile::TempDir;

use crate::{contents, open, write};

#[test]
fn a_log_lives_in_a_directory() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("made").join("by the log");
    let (mut log, _) = open(StdDisk::new(&path).unwrap());
    for i in 0..200_u32 {
        write(&mut log, &[&[i as u8; 60]]);
    }
    drop(log);
    let (mut log, recovery) = open(StdDisk::new(&path).unwrap());
    assert_eq!((recovery.n_records, recovery.n_segments), (200, 4));
    write(&mut log, &[b"next"]);
    assert_eq!(contents(&log).last(), Some(&(201, b"next".to_vec())));
    // Continued, not begun anew.
    assert_eq!(log.stats().n_segments, 4);
}

#[test]
fn two_logs_cannot_share_a_directory() {
    let dir = TempDir::new().unwrap();
    let (log, _) = open(StdDisk::new(dir.path()).unwrap());
    let error = Log::open(StdDisk::new(dir.path()).unwrap(), Config::default()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }));
    let expected = format!(
        "{} is used by another process (pid {}); stop it or choose another directory",
        dir.path().display(),
        std::process::id()
    );
    assert_eq!(error.to_string(), expected);
    drop(log);
    assert!(Log::open(StdDisk::new(dir.path()).unwrap(), Config::default()).is_ok());
}

#[test]
fn a_torn_tail_is_cut_off_on_disk() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = open(StdDisk::new(dir.path()).unwrap());
    write(&mut log, &[b"whole", b"torn"]);
    drop(log);
    let file = dir.path().join("0000000000000001.wal");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let (log, recovery) = open(StdDisk::new(dir.path()).unwrap());
    assert_eq!((recovery.n_records, recovery.n_torn_bytes), (1, 23));
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 36 + 25);
    assert_eq!(contents(&log), [(1, b"whole".to_vec())]);
}

#[test]
fn every_byte_of_a_payload_may_have_any_value() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = open(StdDisk::new(dir.path()).unwrap());
    let payload: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    log.append(Kind(255), Codec(255), &payload).unwrap();
    log.append(Kind(0), Codec(0), &[]).unwrap();
    log.sync().unwrap();
    let records: Vec<_> = log.records(0).map(Result::unwrap).collect();
    assert_eq!((records[0].kind, records[0].codec), (Kind(255), Codec(255)));
    assert_eq!(records[0].payload, payload);
    assert_eq!((records[1].seq, records[1].payload.len()), (2, 0));
}
