//! Bytes rot: the log opens, loses only what is damaged, and says what it lost.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spanwise_wal::{Damage, Problem, VERSION};

use crate::{contents, open, read, write};
use spanwise_wal::testing::{Fault, SimDisk};

/// The files of a log of `n` records of 40 bytes, some 68 of them in a segment.
fn files(n: u64) -> BTreeMap<String, Vec<u8>> {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    for i in 0..n {
        write(&mut log, &[&[i as u8; 40]]);
    }
    disk.files()
}

/// Scenario: one bit of a log of four records flips, at every byte in turn.
/// Guarantees: at most one record is lost, none is wrong, and the loss is reported.
#[test]
fn a_flipped_bit_costs_at_most_one_record() {
    let whole = files(4);
    let (name, bytes) = whole.first_key_value().unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let (log, recovery) = open(SimDisk::with_files(&BTreeMap::from([(name.clone(), damaged)])));
        let lost = at.checked_sub(36).map(|behind| behind as u64 / 60 + 1);
        let expected: Vec<u64> = (1..=4).filter(|&seq| Some(seq) != lost).collect();
        let got: Vec<u64> = contents(&log).iter().map(|record| record.0).collect();
        assert_eq!(got, expected, "byte {at}");
        assert!(contents(&log).iter().all(|(seq, payload)| *payload == [*seq as u8 - 1; 40]));
        // The last record of all may as well have been cut short by a crash.
        assert_eq!(recovery.is_degraded(), lost != Some(4), "byte {at}: {recovery:?}");
        assert_eq!(recovery.problems.len(), 1);
    }
}

#[test]
fn damage_in_the_middle_is_skipped_and_described() {
    let mut files = files(100);
    let name = "0000000000000001.wal".to_owned();
    files.get_mut(&name).unwrap()[36 + 60 * 9 + 30..36 + 60 * 12].fill(0xff);
    let (mut log, recovery) = open(SimDisk::with_files(&files));
    let problem =
        Problem { file: name, offset: 36 + 60 * 9, n_bytes: 180, damage: Damage::Corrupt };
    assert_eq!((recovery.n_records, recovery.n_lost, recovery.n_damaged), (97, 3, 1));
    assert_eq!(recovery.problems, [problem]);
    write(&mut log, &[b"next"]);
    assert_eq!(contents(&log).last(), Some(&(101, b"next".to_vec())));
    assert_eq!(contents(&log).len(), 98);
}

/// A bound on sequence numbers that shrank with the bytes left once hid the last records.
#[test]
fn the_last_record_is_found_behind_many_small_ones_that_are_damaged() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    write(&mut log, &[b"".as_slice(); 8]);
    let mut files = disk.files();
    files.get_mut("0000000000000001.wal").unwrap()[36 + 20..36 + 7 * 20].fill(0);
    let (log, recovery) = open(SimDisk::with_files(&files));
    assert_eq!(contents(&log), [(1, vec![]), (8, vec![])]);
    assert_eq!((recovery.n_lost, recovery.n_damaged), (6, 1));
}

#[test]
fn a_missing_segment_is_a_gap() {
    let mut files = files(300);
    assert_eq!(files.len(), 5);
    files.remove("0000000000000003.wal");
    let (log, recovery) = open(SimDisk::with_files(&files));
    assert_eq!((recovery.n_records, recovery.n_lost), (300 - 67, 67));
    assert!(recovery.is_degraded());
    assert_eq!(read(&log).len(), 300 - 67);
}

/// Scenario: one call fails while the log opens, whichever it is.
/// Guarantees: it opens, and once the disk is well again nothing is missing.
#[test]
fn an_unreadable_segment_is_passed_over_and_its_numbers_are_not_used_again() {
    let whole = files(100);
    let mut n_unreadable = 0;
    for call in 0..24 {
        let disk = SimDisk::with_files(&whole);
        disk.fail(call, Fault::Io);
        let (mut log, recovery) = open(disk.clone());
        disk.heal();
        assert!(recovery.problems.len() <= 1 && recovery.n_damaged <= 1);
        n_unreadable += recovery.n_damaged;
        write(&mut log, &[b"next"]);
        drop(log);
        let (log, recovery) = open(disk);
        assert_eq!(recovery.n_records, 101, "call {call}");
        assert_eq!(contents(&log).last().unwrap().1, b"next");
    }
    assert!(n_unreadable > 10);
}

#[test]
fn files_that_are_no_segments_are_left_alone() {
    let mut files = files(1);
    files.insert("notes.txt".to_owned(), b"hello".to_vec());
    files.insert("1.wal".to_owned(), b"hello".to_vec());
    let disk = SimDisk::with_files(&files);
    let (log, recovery) = open(disk.clone());
    assert_eq!((recovery.n_segments, recovery.n_records), (1, 1));
    drop(log);
    assert_eq!(disk.files(), files);
}

/// Scenario: a log that a later version wrote, with segments of a layout unknown to this one.
/// Guarantees: its files are left as they are, and this version goes on beside them.
#[test]
fn segments_of_another_version_are_neither_cut_nor_removed() {
    let mut files = files(100);
    for bytes in files.values_mut() {
        bytes[8] = VERSION as u8 + 1;
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes[36..].fill(0x5a);
    }
    let disk = SimDisk::with_files(&files);
    let (mut log, recovery) = open(disk.clone());
    assert_eq!((recovery.n_records, recovery.n_damaged), (0, 2));
    assert!(recovery.problems.iter().all(|problem| problem.damage == Damage::OtherVersion));
    write(&mut log, &[b"next"]);
    // Its numbers are not known, and none is given out twice.
    assert_eq!(contents(&log), [(3 << 32, b"next".to_vec())]);
    let after = disk.files();
    assert_eq!(after.len(), 3);
    assert!(files.iter().all(|(name, bytes)| after[name] == *bytes));
}

#[test]
fn bytes_of_another_segment_never_pass_for_records() {
    let whole = files(100);
    let (first, second) = (&whole["0000000000000001.wal"], &whole["0000000000000002.wal"]);
    // As if the file system had given the blocks of the first segment to the second one.
    let mut mixed = second[..36 + 60].to_vec();
    mixed.extend_from_slice(&first[36..]);
    let mut files = whole.clone();
    files.insert("0000000000000002.wal".to_owned(), mixed);
    let (log, recovery) = open(SimDisk::with_files(&files));
    assert_eq!((recovery.n_records, recovery.n_lost), (68, 0));
    assert_eq!(read(&log).len(), 68);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_damage_opens_and_never_makes_up_a_record(
        changes in prop::collection::vec((0..3_usize, any::<prop::sample::Index>(), any::<u8>()), 1..20),
        n_cut in 0..200_usize,
    ) {
        let mut files = files(150);
        let names: Vec<String> = files.keys().cloned().collect();
        for (file, at, value) in changes {
            let bytes = files.get_mut(&names[file]).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let cut = files.get_mut(&names[1]).unwrap();
        cut.truncate(cut.len() - n_cut);
        let (mut log, recovery) = open(SimDisk::with_files(&files));
        let found = contents(&log);
        prop_assert_eq!(recovery.n_records, found.len() as u64);
        for (seq, payload) in &found {
            prop_assert_eq!(payload, &[*seq as u8 - 1; 40]);
        }
        write(&mut log, &[b"next"]);
        prop_assert_eq!(contents(&log).len(), found.len() + 1);
    }
}
