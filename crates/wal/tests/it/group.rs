//! A commit that power cut short is told from damage to what was acknowledged.

use spanwise_wal::testing::SimDisk;
use spanwise_wal::{Codec, Config, Damage, Kind, Log};

use crate::{contents, open, small, write};

/// Commits `n` records of 80 bytes on disk each, as one.
fn commit(log: &mut Log<SimDisk>, n: u8) {
    for i in 0..n {
        log.append(Kind(1), Codec::NONE, &[i; 60]).unwrap();
    }
    log.commit().unwrap();
}

/// A log of two commits of five records, with record `seq` overwritten.
fn damaged(seq: usize) -> SimDisk {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    commit(&mut log, 5);
    commit(&mut log, 5);
    let mut files = disk.files();
    let bytes = files.get_mut("0000000000000001.wal").unwrap();
    bytes[36 + 80 * (seq - 1)..36 + 80 * seq].fill(0);
    SimDisk::with_files(&files)
}

fn seqs(log: &Log<SimDisk>) -> Vec<u64> {
    contents(log).iter().map(|(seq, _)| *seq).collect()
}

#[test]
fn a_hole_in_the_last_commit_is_a_write_cut_short() {
    for seq in 6..=9 {
        let disk = damaged(seq);
        for _ in 0..3 {
            let (log, recovery) = open(disk.clone());
            assert!(!recovery.is_degraded(), "{recovery:?}");
            assert_eq!((recovery.n_torn_bytes, recovery.n_records), (80, 9));
            assert_eq!(recovery.problems[0].damage, Damage::TornTail);
            // Records of it that did arrive are kept: it may have been damage after all.
            assert_eq!(seqs(&log).len(), 9);
        }
        // So it stays when the log has gone on.
        let (mut log, _) = open(disk.clone());
        write(&mut log, &[b"next"]);
        drop(log);
        let (log, recovery) = open(disk);
        assert_eq!((recovery.is_degraded(), recovery.n_records), (false, 10));
        assert_eq!(seqs(&log).last(), Some(&11));
    }
}

#[test]
fn a_hole_in_an_earlier_commit_is_damage() {
    for seq in 1..=5 {
        let (log, recovery) = open(damaged(seq));
        assert_eq!((recovery.n_lost, recovery.n_damaged, recovery.n_torn_bytes), (1, 1, 0));
        assert_eq!(recovery.problems[0].damage, Damage::Corrupt);
        assert_eq!(seqs(&log).len(), 9);
    }
}

#[test]
fn a_hole_that_another_segment_follows_is_damage() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    commit(&mut log, 40);
    commit(&mut log, 40);
    assert_eq!(log.stats().n_segments, 2);
    let mut files = disk.files();
    files.get_mut("0000000000000001.wal").unwrap()[36 + 80 * 20] ^= 1;
    let (_, recovery) = open(SimDisk::with_files(&files));
    assert_eq!((recovery.n_lost, recovery.n_damaged), (1, 1));
}

/// A log in one segment: two records, one full of what looks like headers of records, one behind
/// it; byte `at` of the third is damaged.
fn forged(at: usize) -> SimDisk {
    let disk = SimDisk::default();
    let config = Config { segment_bytes: 16 << 20, unsynced_bytes_max: 16 << 20, ..small() };
    let (mut log, _) = Log::open(disk.clone(), config).unwrap();
    commit(&mut log, 2);
    let forged: Vec<u8> = (1..=100_000_u32)
        .flat_map(|i| {
            let n_left = 2_000_000 - 20 * i;
            let header = [n_left.to_le_bytes(), [9; 4], 4_u32.to_le_bytes(), [0; 4], [0; 4]];
            header.concat()
        })
        .collect();
    write(&mut log, &[&forged, b"behind"]);
    assert_eq!(log.stats().n_segments, 1);
    let mut files = disk.files();
    files.get_mut("0000000000000001.wal").unwrap()[36 + 2 * 80 + at] ^= 1;
    SimDisk::with_files(&files)
}

/// Payloads come from outside. Searching one for records once took hours.
#[test]
fn a_payload_full_of_record_headers_does_not_hold_up_the_search() {
    // The payload is damaged: the header still tells where the next record is.
    let (log, recovery) = open(forged(100));
    assert_eq!((recovery.n_damaged, recovery.n_lost), (1, 1));
    assert_eq!(seqs(&log), [1, 2, 4]);
    // The header is damaged: the search is given up, and that is said.
    let (log, recovery) = open(forged(1));
    assert_eq!(recovery.n_damaged, 1);
    assert_eq!(seqs(&log), [1, 2]);
}
