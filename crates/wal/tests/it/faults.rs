//! The disk refuses: nothing is acknowledged, nothing is lost, and a failed fsync is never retried
//! on the same file (the simulated disk asserts that).

use spanwise_wal::{Codec, Config, Error, Kind, Log};

use crate::{contents, open, small, write};
use spanwise_wal::testing::{Fault, SimDisk};

const ONE: &[u8] = b"one";
const TWO: &[u8] = b"two";

/// A log with one synced record and one that waits.
fn one_and_a_half() -> (SimDisk, Log<SimDisk>) {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    write(&mut log, &[ONE]);
    log.append(Kind(1), Codec::NONE, TWO).unwrap();
    (disk, log)
}

fn both() -> Vec<(u64, Vec<u8>)> {
    vec![(1, ONE.to_vec()), (2, TWO.to_vec())]
}

#[test]
fn a_full_disk_is_tried_again_later() {
    let (disk, mut log) = one_and_a_half();
    for _ in 0..3 {
        disk.fail(disk.n_calls(), Fault::Full);
        let error = log.sync().unwrap_err();
        let Error::Io { source, .. } = &error else { panic!("{error}") };
        assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("cannot write 0000000000000001.wal: "));
        assert_eq!((log.synced_seq(), log.stats().n_unsynced_bytes), (1, 23));
        assert_eq!(contents(&log).len(), 1);
    }
    disk.heal();
    log.sync().unwrap();
    assert_eq!(contents(&log), both());
    assert_eq!(log.stats().n_segments, 1);
}

#[test]
fn a_failed_write_that_cannot_be_undone_goes_on_in_a_new_segment() {
    let (disk, mut log) = one_and_a_half();
    disk.fail(disk.n_calls(), Fault::Full);
    disk.fail(disk.n_calls() + 1, Fault::Io);
    assert!(matches!(log.sync(), Err(Error::Io { .. })));
    log.sync().unwrap();
    assert_eq!((contents(&log), log.stats().n_segments), (both(), 2));
    drop(log);
    let (log, recovery) = open(disk);
    assert_eq!((contents(&log), recovery.is_degraded()), (both(), false));
    assert_eq!(recovery.n_torn_bytes, 11);
}

#[test]
fn after_a_failed_fsync_the_records_go_to_a_new_file() {
    let (disk, mut log) = one_and_a_half();
    disk.fail(disk.n_calls() + 1, Fault::Io);
    log.sync().unwrap();
    let stats = log.stats();
    assert_eq!((stats.n_failed_syncs, stats.n_segments), (1, 2));
    assert_eq!(contents(&log), both());
    write(&mut log, &[b"three"]);
    drop(log);
    // The old file still shows the record that could not be synced.
    let (log, recovery) = open(disk.clone());
    assert_eq!((recovery.n_records, recovery.n_duplicates, recovery.n_lost), (3, 1, 0));
    assert_eq!(contents(&log).len(), 3);
    drop(log);
    // After power failed it may have forgotten it.
    let (log, recovery) = open(disk.after_crash(|n| n - 1));
    assert_eq!((recovery.n_records, recovery.is_degraded()), (3, false));
    assert_eq!(contents(&log).len(), 3);
}

#[test]
fn a_name_that_cannot_be_synced_counts_as_a_failed_fsync() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    log.append(Kind(1), Codec::NONE, ONE).unwrap();
    // create, header, records, sync, then the directory.
    disk.fail(disk.n_calls() + 4, Fault::Io);
    log.sync().unwrap();
    assert_eq!(log.stats().n_failed_syncs, 1);
    let (log, _) = open(disk.after_crash(|n| n - 1));
    assert_eq!(contents(&log), [(1, ONE.to_vec())]);
}

#[test]
fn a_disk_that_fails_twice_stops_the_log() {
    let (disk, mut log) = one_and_a_half();
    disk.fail(disk.n_calls() + 1, Fault::Io);
    disk.fail(disk.n_calls() + 6, Fault::Io);
    assert!(matches!(log.sync(), Err(Error::Stopped)));
    disk.heal();
    assert!(matches!(log.sync(), Err(Error::Stopped)));
    assert!(matches!(log.append(Kind(1), Codec::NONE, b""), Err(Error::Stopped)));
    assert_eq!(log.synced_seq(), 1);
    drop(log);
    let (log, _) = open(disk.after_crash(|n| n - 1));
    assert_eq!(contents(&log)[0], (1, ONE.to_vec()));
}

#[test]
fn the_unsynced_part_and_a_record_are_bounded() {
    let config = Config { unsynced_bytes_max: 100, ..small() };
    let (mut log, _) = Log::open(SimDisk::default(), config).unwrap();
    let big = vec![0; 1000];
    assert_eq!(log.append(Kind(1), Codec::NONE, &big).unwrap(), 1);
    let error = log.append(Kind(1), Codec::NONE, b"").unwrap_err();
    assert!(matches!(error, Error::Unsynced { n_bytes: 1020 }));
    log.sync().unwrap();
    assert_eq!(log.append(Kind(1), Codec::NONE, b"").unwrap(), 2);
    let huge = vec![0; (64 << 20) + 1];
    let error = log.append(Kind(1), Codec::NONE, &huge).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert_eq!(log.next_seq(), 3);
}

#[test]
fn the_oldest_segments_go_when_the_log_is_full() {
    let config = Config { segment_bytes: 4096, log_bytes_max: 12_288, ..small() };
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), config).unwrap();
    for i in 0..1_000_u32 {
        write(&mut log, &[&[i as u8; 100]]);
        assert!(log.stats().n_bytes <= 12_288 || log.stats().n_segments == 1);
    }
    let stats = log.stats();
    assert!(stats.n_removed_segments > 20 && stats.n_segments <= 3, "{stats:?}");
    let kept = contents(&log);
    assert_eq!(kept.last().unwrap().0, 1_000);
    assert_eq!(disk.files().len() as u64, stats.n_segments);
}

#[test]
fn a_deletion_that_fails_is_tried_again() {
    let config = Config { segment_bytes: 4096, log_bytes_max: 12_288, ..small() };
    let mut n_failed = 0;
    for after in 0..100 {
        let disk = SimDisk::default();
        let (mut log, _) = Log::open(disk.clone(), config).unwrap();
        for _ in 0..120 {
            write(&mut log, &[&[7; 100]]);
        }
        disk.fail(disk.n_calls() + after, Fault::Io);
        for _ in 0..120 {
            let Ok(_) = log.append(Kind(1), Codec::NONE, &[8; 100]) else { break };
            let Ok(_) = log.sync() else { break };
        }
        n_failed += log.stats().n_failed_removals;
        disk.heal();
        write(&mut log, &[b"x"]);
        assert!(log.stats().n_bytes <= 12_288, "{after}: {:?}", log.stats());
        let n_marks = disk.files().keys().filter(|name| name.ends_with("failed")).count();
        assert_eq!(disk.files().len() as u64 - n_marks as u64, log.stats().n_segments);
    }
    assert!(n_failed > 0);
}

#[test]
fn records_are_read_from_a_number_on() {
    let (mut log, _) = open(SimDisk::default());
    for i in 0..300_u32 {
        write(&mut log, &[&[i as u8; 40]]);
    }
    for from in [0, 1, 67, 68, 69, 150, 300, 301] {
        let seqs: Vec<u64> = log.records(from).map(|record| record.unwrap().seq).collect();
        assert_eq!(seqs, (from.max(1)..=300).collect::<Vec<u64>>(), "from {from}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let config = Config { segment_bytes: 10, ..small() };
    let error = Log::open(SimDisk::default(), config).unwrap_err();
    assert_eq!(error.to_string(), "log configuration: segment_bytes is not between 4096 and 1 GiB");
    let config = Config { log_bytes_max: 10, ..small() };
    assert!(Log::open(SimDisk::default(), config).is_err());
}
