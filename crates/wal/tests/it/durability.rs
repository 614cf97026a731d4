//! What an acknowledgement is worth, by choice; and a disk that is full or slow for a while.

use spanwise_wal::testing::{Fault, SimDisk};
use spanwise_wal::{Codec, Config, Durability, Error, Kind, Log, Retention};

use crate::{contents, small};

fn with(durability: Durability) -> Config {
    Config { durability, ..small() }
}

/// Appends and commits records of 100 bytes.
fn fill(log: &mut Log<SimDisk>, n: u8) {
    for i in 0..n {
        log.append(Kind::BATCH, Codec::NONE, &[i; 100]).unwrap();
        log.commit().unwrap();
    }
}

fn n_found(disk: SimDisk) -> usize {
    contents(&Log::open(disk, small()).unwrap().0).len()
}

#[test]
fn written_records_survive_a_kill_and_not_a_power_cut() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), with(Durability::Write)).unwrap();
    fill(&mut log, 20);
    assert_eq!((log.acknowledged_seq(), log.synced_seq(), disk.n_syncs()), (20, 0, 0));
    assert_eq!(n_found(disk.after_crash(|n| n - 1)), 0);
    log.sync().unwrap();
    assert_eq!((log.synced_seq(), disk.n_syncs()), (20, 1));
    assert_eq!(n_found(disk.after_crash(|n| n - 1)), 20);
    fill(&mut log, 1);
    drop(log);
    assert_eq!(n_found(disk), 21);
}

#[test]
fn a_segment_is_on_disk_before_the_next_begins_whatever_the_durability() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), with(Durability::Write)).unwrap();
    fill(&mut log, 100);
    assert_eq!((log.stats().n_segments, disk.n_syncs()), (4, 3));
    let n_kept = n_found(disk.after_crash(|n| n - 1));
    assert_eq!(n_kept as u64, log.synced_seq());
    assert!(n_kept > 90, "{n_kept}");
}

#[test]
fn in_memory_a_record_is_acknowledged_when_it_is_appended() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), with(Durability::Memory)).unwrap();
    let n_calls = disk.n_calls();
    log.append(Kind::BATCH, Codec::NONE, b"x").unwrap();
    assert_eq!((log.acknowledged_seq(), disk.n_calls()), (1, n_calls));
    log.commit().unwrap();
    drop(log);
    assert_eq!(n_found(disk), 1);
}

/// Scenario: a verdict is written and not synced; commits go on with nothing to write.
/// Guarantees: what it releases stays until it is on disk.
#[test]
fn a_release_waits_for_a_sync_whatever_the_durability() {
    let config = Config { retention: Retention::Released, ..with(Durability::Write) };
    let (mut log, _) = Log::open(SimDisk::default(), config).unwrap();
    log.finish_replay();
    let seq = log.append_held(Kind::BATCH, Codec::NONE, &[7; 4000], 1).unwrap();
    let batch = log.commit().unwrap().position(seq).unwrap();
    fill(&mut log, 1);
    log.sync().unwrap();
    log.append(Kind::VERDICT, Codec::NONE, b"drop").unwrap();
    log.release(batch.segment, 1);
    for _ in 0..3 {
        log.commit().unwrap();
        assert_eq!((log.stats().n_held, log.stats().n_segments), (1, 2));
    }
    log.sync().unwrap();
    assert_eq!((log.stats().n_held, log.stats().n_segments), (0, 1));
}

/// Scenario: records were acknowledged without a sync, and the sync that comes later fails.
/// Guarantees: that is said, and the log goes on in another file.
#[test]
fn a_late_sync_that_fails_leaves_records_in_doubt_and_says_so() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), with(Durability::Write)).unwrap();
    fill(&mut log, 3);
    disk.fail(disk.n_calls(), Fault::Io);
    assert!(matches!(log.sync(), Err(Error::Io { action: "sync", .. })));
    assert_eq!((log.stats().n_unsure_records, log.stats().n_failed_syncs), (3, 1));
    fill(&mut log, 1);
    log.sync().unwrap();
    assert_eq!(log.synced_seq(), 4);
    let (log, recovery) = Log::open(disk.after_crash(|n| n - 1), small()).unwrap();
    assert_eq!((contents(&log).len(), recovery.n_records), (1, 1));
}

/// Scenario: 64 requests wait while a commit runs; each commit takes as many as have come.
/// Guarantees: one sync for all of them.
#[test]
fn one_sync_serves_all_that_wait() {
    let disk = SimDisk::default();
    let config = Config { segment_bytes: 1 << 20, ..small() };
    let (mut log, _) = Log::open(disk.clone(), config).unwrap();
    disk.set_slow(0, 4_000_000);
    for round in 0..10 {
        let seqs: Vec<u64> =
            (0..64).map(|i| log.append(Kind::BATCH, Codec::NONE, &[i; 100]).unwrap()).collect();
        assert!(log.acknowledged_seq() < seqs[0]);
        let committed = log.commit().unwrap();
        assert_eq!((log.acknowledged_seq(), committed.n_records()), (seqs[63], 64));
        assert!(seqs.iter().all(|&seq| committed.position(seq).is_some()));
        assert_eq!(committed.position(seqs[63] + 1), None);
        assert_eq!(disk.n_syncs(), round + 1);
    }
    // A sync of the directory when the file was made.
    assert_eq!(disk.elapsed_ns(), 11 * 4_000_000);
}

/// Scenario: the disk fills up for a while; callers are told to come again; then there is room.
/// Guarantees: nothing acknowledged is lost, reading goes on, and so does the log by itself.
#[test]
fn a_full_disk_is_waited_out() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
    fill(&mut log, 30);
    let mut reader = log.reader(1 << 16);
    let position = log.records(0).next().unwrap().unwrap().position;
    disk.set_capacity(Some(9_000));
    let mut n_refused = 0;
    for i in 0..200_u8 {
        log.append(Kind::BATCH, Codec::NONE, &[i; 100]).unwrap();
        if let Err(error) = log.commit() {
            assert!(error.is_disk_full(), "{error}");
            assert_eq!(log.discard_uncommitted(), 1);
            n_refused += 1;
            assert_eq!(reader.read(position).unwrap().bytes, [0; 100].as_slice());
        }
    }
    let n_acked = log.synced_seq() as usize;
    assert!(n_refused > 100 && n_acked == 30 + 200 - n_refused, "{n_refused} {n_acked}");
    assert_eq!(log.stats().n_discarded_records, n_refused as u64);
    disk.set_capacity(None);
    fill(&mut log, 1);
    assert_eq!(contents(&log).len(), n_acked + 1);
    let (log, recovery) = Log::open(disk.after_crash(|n| n - 1), small()).unwrap();
    assert_eq!((contents(&log).len(), recovery.is_degraded()), (n_acked + 1, false));
}

/// Scenario: a failed write cannot be undone, its sender is told to come again, and its number is
/// given to another record.
/// Guarantees: the file that still shows the first one is overruled.
#[test]
fn a_number_given_out_anew_means_the_new_record() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
    fill(&mut log, 1);
    log.append(Kind::BATCH, Codec::NONE, b"refused").unwrap();
    log.append(Kind::BATCH, Codec::NONE, &[1; 200]).unwrap();
    // Half of the write arrives, and with it the first record; then it cannot be cut off.
    disk.fail(disk.n_calls(), Fault::Io);
    disk.fail(disk.n_calls() + 1, Fault::Io);
    assert!(log.commit().is_err());
    assert_eq!(log.discard_uncommitted(), 2);
    assert_eq!(log.append(Kind::BATCH, Codec::NONE, b"taken").unwrap(), 2);
    log.commit().unwrap();
    drop(log);
    for disk in [disk.clone(), disk.after_crash(|_| 0)] {
        let (log, recovery) = Log::open(disk, small()).unwrap();
        assert_eq!(contents(&log)[1..], [(2, b"taken".to_vec())]);
        assert!(!recovery.is_degraded());
    }
}
