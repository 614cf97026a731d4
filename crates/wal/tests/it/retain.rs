//! Which segments go: only what is released and passed by every cursor, only when what released it
//! is on disk, and damaged ones are put aside.

use spanwise_wal::testing::{Fault, SimDisk};
use spanwise_wal::{Codec, Config, Error, Kind, Log, Position};

use crate::world::released;
use crate::{contents, small};

/// A new log that frees what is released.
fn log(disk: &SimDisk) -> Log<SimDisk> {
    let (mut log, _) = Log::open(disk.clone(), released()).unwrap();
    log.finish_replay();
    log
}

/// Appends and commits a record of `n_bytes` that holds `n`.
fn hold(log: &mut Log<SimDisk>, n_bytes: usize, n: u32) -> Position {
    let seq = log.append_held(Kind::BATCH, Codec::NONE, &vec![7; n_bytes], n).unwrap();
    log.commit().unwrap().position(seq).unwrap()
}

/// Fills segments with `n` records that hold nothing.
fn fill(log: &mut Log<SimDisk>, n: usize) {
    for _ in 0..n {
        hold(log, 1000, 0);
    }
}

#[test]
fn a_segment_stays_until_all_it_holds_is_released() {
    let mut log = log(&SimDisk::default());
    let first = hold(&mut log, 10, 2);
    let second = hold(&mut log, 10, 1);
    assert_eq!(first.segment, second.segment);
    fill(&mut log, 20);
    let n_segments = log.stats().n_segments;
    assert!(n_segments > 5, "segments behind it wait too");
    log.release(first.segment, 2);
    log.commit().unwrap();
    assert_eq!((log.stats().n_held, log.first_seq()), (1, 1));
    log.release(second.segment, 1);
    log.commit().unwrap();
    let stats = log.stats();
    assert_eq!((stats.n_held, stats.n_segments, stats.n_removed_segments), (0, 1, n_segments - 1));
    assert!(log.first_seq() > 20);
}

#[test]
fn a_release_waits_for_what_was_appended_before_it() {
    let disk = SimDisk::default();
    let mut log = log(&disk);
    let batch = hold(&mut log, 10, 1);
    fill(&mut log, 4);
    log.append(Kind::VERDICT, Codec::NONE, b"drop").unwrap();
    log.release(batch.segment, 1);
    disk.fail(disk.n_calls(), Fault::Full);
    assert!(log.commit().unwrap_err().is_disk_full());
    assert_eq!(log.stats().n_removed_segments, 0);
    log.commit().unwrap();
    assert_eq!(log.stats().n_removed_segments, 1);
}

#[test]
fn a_release_whose_verdict_was_discarded_counts_for_nothing() {
    let disk = SimDisk::default();
    let mut log = log(&disk);
    let batch = hold(&mut log, 10, 1);
    fill(&mut log, 4);
    for is_discarded in [true, false] {
        log.append(Kind::VERDICT, Codec::NONE, b"drop").unwrap();
        log.release(batch.segment, 1);
        if is_discarded {
            disk.fail(disk.n_calls(), Fault::Full);
            log.commit().unwrap_err();
            log.discard_uncommitted();
        }
        fill(&mut log, 1);
        assert_eq!(log.stats().n_held, u64::from(is_discarded));
    }
    assert_eq!(log.stats().n_excess_releases, 0);
}

#[test]
fn releasing_more_than_is_held_is_counted_and_harmless() {
    let mut log = log(&SimDisk::default());
    let first = hold(&mut log, 10, 2);
    log.release(first.segment, 5);
    log.release(99, 5);
    log.commit().unwrap();
    assert_eq!((log.stats().n_held, log.stats().n_excess_releases), (0, 3));
}

#[test]
fn nothing_goes_before_the_replay_is_finished() {
    let disk = SimDisk::default();
    let mut old = log(&disk);
    let held = hold(&mut old, 10, 1);
    fill(&mut old, 8);
    drop(old);
    let (mut log, recovery) = Log::open(disk, released()).unwrap();
    let n_segments = recovery.n_segments;
    fill(&mut log, 4);
    assert!(log.stats().n_segments > n_segments);
    log.hold(held.segment, 1);
    log.finish_replay();
    log.commit().unwrap();
    assert_eq!(log.first_seq(), 1, "it is held again");
    log.release(held.segment, 1);
    log.commit().unwrap();
    assert_eq!(log.stats().n_segments, 1);
}

#[test]
fn at_the_limit_only_what_holds_nothing_is_taken() {
    let config = Config { log_bytes_max: 8192, ..released() };
    let (mut log, _) = Log::open(SimDisk::default(), config).unwrap();
    log.finish_replay();
    let mut held = Vec::new();
    let error = loop {
        match log.append_held(Kind::BATCH, Codec::NONE, &[1; 500], 1) {
            Ok(seq) => held.push(log.commit().unwrap().position(seq).unwrap()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { n_bytes } if n_bytes <= 8192 && n_bytes > 7000));
    assert!(error.to_string().ends_with("bytes that nobody has released yet; come again later"));
    // The verdict that frees the oldest is taken.
    for position in &held {
        log.append(Kind::VERDICT, Codec::NONE, &[1; 8]).unwrap();
        log.release(position.segment, 1);
    }
    log.commit().unwrap();
    assert!(log.append_held(Kind::BATCH, Codec::NONE, &[1; 500], 1).is_ok());
}

/// Scenario: a log at its limit is opened again, a call to the disk fails meanwhile, and nothing of it is
/// needed any more.
/// Guarantees: it takes requests again, also if its last segment was sealed for that.
#[test]
fn a_full_log_that_is_opened_again_is_freed() {
    let config = Config { log_bytes_max: 8192, ..released() };
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), config).unwrap();
    while log.append_held(Kind::BATCH, Codec::NONE, &[1; 500], 1).is_ok() {
        log.commit().unwrap();
    }
    let files = disk.files();
    let open = |failing: u64| {
        let disk = SimDisk::with_files(&files);
        disk.fail(failing, Fault::Io);
        let opened = Log::open(disk.clone(), config).ok();
        (opened, disk.n_calls())
    };
    let (_, n_calls) = open(u64::MAX);
    let mut n_opened = 0;
    for failing in 0..=n_calls {
        let Some((mut log, _)) = open(failing).0 else { continue };
        n_opened += 1;
        log.finish_replay();
        // The first may fail to delete.
        log.commit().unwrap();
        log.commit().unwrap();
        let taken = log.append_held(Kind::BATCH, Codec::NONE, &[1; 500], 1);
        assert!(taken.is_ok(), "call {failing}: {taken:?}");
        log.commit().unwrap();
    }
    assert!(n_opened > 5, "{n_opened} of {n_calls}");
}

#[test]
fn the_slowest_cursor_holds_the_log_and_a_removed_one_does_not() {
    let mut log = log(&SimDisk::default());
    log.set_cursor("fast", 0).unwrap();
    log.set_cursor("slow", 0).unwrap();
    fill(&mut log, 20);
    log.set_cursor("fast", log.synced_seq()).unwrap();
    log.commit().unwrap();
    assert_eq!(log.first_seq(), 1);
    log.set_cursor("slow", 12).unwrap();
    log.commit().unwrap();
    assert!((2..=13).contains(&log.first_seq()));
    assert!(log.remove_cursor("slow") && !log.remove_cursor("slow"));
    log.commit().unwrap();
    assert!(log.first_seq() > 12);
}

/// Scenario: cursors are set once, then segments come and go for long.
/// Guarantees: the record of them moves along.
#[test]
fn cursors_outlive_the_segment_they_were_written_to() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), Config { log_bytes_max: 8192, ..small() }).unwrap();
    log.set_cursor("a", 3).unwrap();
    log.set_cursor("b", 0).unwrap();
    for _ in 0..50 {
        log.append(Kind::BATCH, Codec::NONE, &[7; 1000]).unwrap();
        log.commit().unwrap();
        let (again, recovery) = Log::open(disk.after_crash(|n| n - 1), small()).unwrap();
        assert_eq!(recovery.n_lost, 0);
        assert!(again.cursors().eq([("a", 3), ("b", 0)]));
    }
    let first = log.first_seq();
    assert!(first > 40);
    assert_eq!((log.n_missed("a"), log.n_missed("b")), (first - 4, first - 1));
    log.set_cursor("a", first).unwrap();
    assert_eq!(log.n_missed("a"), 0);
}

/// Scenario: the segment with the cursors cannot be synced, and nothing else is needed of it.
/// Guarantees: it stays until they are written again.
#[test]
fn the_only_record_of_cursors_is_not_deleted() {
    let disk = SimDisk::default();
    let mut log = log(&disk);
    log.set_cursor("a", 1_000).unwrap();
    fill(&mut log, 1);
    log.append(Kind::BATCH, Codec::NONE, b"x").unwrap();
    disk.fail(disk.n_calls() + 1, Fault::Io);
    log.commit().unwrap();
    assert_eq!((log.stats().n_failed_syncs, log.stats().n_segments), (1, 2));
    let (again, _) = Log::open(disk.after_crash(|n| n - 1), released()).unwrap();
    assert_eq!(again.cursor("a"), Some(1_000));
    fill(&mut log, 1);
    assert_eq!(log.stats().n_segments, 1);
    let (again, _) = Log::open(disk.after_crash(|n| n - 1), released()).unwrap();
    assert_eq!(again.cursor("a"), Some(1_000));
}

#[test]
fn a_damaged_segment_is_put_aside_and_not_deleted() {
    let disk = SimDisk::default();
    let mut old = log(&disk);
    old.set_cursor("a", 0).unwrap();
    fill(&mut old, 12);
    drop(old);
    let mut files = disk.files();
    let second = files.get_mut("0000000000000002.wal").unwrap();
    second[500] ^= 1;
    let damaged = second.clone();
    let disk = SimDisk::with_files(&files);
    let (mut log, recovery) = Log::open(disk.clone(), released()).unwrap();
    assert_eq!((recovery.n_lost, recovery.n_damaged), (1, 1));
    assert_eq!(
        recovery.problems[0].to_string(),
        "0000000000000002.wal: corrupt records, 1020 bytes at offset 36"
    );
    let n_found = contents(&log).len();
    log.finish_replay();
    log.set_cursor("a", log.synced_seq()).unwrap();
    fill(&mut log, 4);
    log.set_cursor("a", log.synced_seq()).unwrap();
    log.commit().unwrap();
    let stats = log.stats();
    assert_eq!((stats.n_quarantined_segments, stats.n_segments), (1, 1));
    assert_eq!(disk.files()["0000000000000002.wal.quarantined"], damaged);
    drop(log);
    // It is no part of the log any more, and its number is not used again.
    let (log, recovery) = Log::open(disk, released()).unwrap();
    assert!(!recovery.is_degraded() && n_found > 10);
    assert!(log.stats().n_segments == 1);
}

#[test]
fn at_most_four_segments_stay_aside() {
    let mut files = SimDisk::default().files();
    for id in 1..=6 {
        files.insert(format!("{id:016x}.wal"), vec![0xaa; 100]);
    }
    let disk = SimDisk::with_files(&files);
    let mut log = log(&disk);
    fill(&mut log, 1);
    let names: Vec<String> = disk.files().into_keys().collect();
    let aside = |id: u64| format!("{id:016x}.wal.quarantined");
    let expected = [aside(3), aside(4), aside(5), aside(6), "0000000000000007.wal".to_owned()];
    assert_eq!(names, expected);
    assert_eq!(log.stats().n_quarantined_segments, 6);
}

/// Scenario: power fails after segments were deleted; the directory may remember some of it.
/// Guarantees: what is left begins at one segment and misses none behind it.
#[test]
fn deletions_come_back_from_the_end_only() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let mut log = log(&disk);
        let held = hold(&mut log, 10, 1);
        fill(&mut log, 20);
        log.release(held.segment, 1);
        log.commit().unwrap();
        assert_eq!(log.stats().n_segments, 1);
        let last = log.next_seq() - 1;
        drop(log);
        let (log, recovery) = Log::open(disk.after_power_cut(), released()).unwrap();
        assert_eq!(recovery.n_lost, 0);
        assert_eq!(contents(&log).last().unwrap().0, last);
        assert!(log.stats().n_segments <= 2);
    }
}
