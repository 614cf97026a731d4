//! Consumers with cursors: what is sent again after a crash, and what is never left out.

use std::collections::BTreeMap;

use spanwise_wal::testing::SimDisk;
use spanwise_wal::{Codec, Config, Error, Kind, Log};

use crate::small;

/// Destinations, and how often each record has reached them.
#[derive(Default)]
struct Sinks(BTreeMap<&'static str, BTreeMap<u64, u32>>);

impl Sinks {
    /// Sends up to `n` records behind the cursor; the last one sent.
    fn send(&mut self, log: &Log<SimDisk>, name: &'static str, n: usize) -> Result<u64, Error> {
        let done = log.cursor(name).unwrap_or(0);
        let mut last = done;
        let batches = log.records(done + 1).collect::<Result<Vec<_>, _>>()?.into_iter();
        for record in batches.filter(|record| record.kind == Kind::BATCH).take(n) {
            *self.0.entry(name).or_default().entry(record.seq).or_default() += 1;
            last = record.seq;
        }
        Ok(last)
    }

    fn n_received(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, BTreeMap::len)
    }

    fn n_sent(&self, name: &str) -> u32 {
        self.0.get(name).map_or(0, |received| received.values().sum())
    }
}

fn keep(log: &mut Log<SimDisk>, n: u8) {
    for i in 0..n {
        log.append(Kind::BATCH, Codec::NONE, &[i; 100]).unwrap();
    }
    log.commit().unwrap();
}

/// Scenario: one destination is down for long, another is well.
/// Guarantees: the other gets everything at once; the first one everything when it is back.
#[test]
fn a_dead_destination_holds_up_nobody_and_misses_nothing() {
    let (mut log, _) = Log::open(SimDisk::default(), small()).unwrap();
    let mut sinks = Sinks::default();
    for name in ["well", "down"] {
        log.set_cursor(name, 0).unwrap();
    }
    for round in 1..=50 {
        keep(&mut log, 10);
        let last = sinks.send(&log, "well", usize::MAX).unwrap();
        log.set_cursor("well", last).unwrap();
        assert_eq!(sinks.n_received("well"), round * 10);
        // Memory does not grow with what waits.
        assert_eq!(log.stats().n_unsynced_bytes, 0);
    }
    while sinks.n_received("down") < 500 {
        let last = sinks.send(&log, "down", 64).unwrap();
        log.set_cursor("down", last).unwrap();
        log.commit().unwrap();
    }
    assert_eq!((sinks.n_sent("down"), sinks.n_sent("well")), (500, 500));
}

/// Scenario: a destination is down until the log is full.
/// Guarantees: what it misses is the oldest, and counted.
#[test]
fn a_destination_that_is_down_too_long_misses_the_oldest_and_that_is_counted() {
    let config = Config { log_bytes_max: 20_000, ..small() };
    let (mut log, _) = Log::open(SimDisk::default(), config).unwrap();
    let mut sinks = Sinks::default();
    log.set_cursor("down", 0).unwrap();
    for _ in 0..50 {
        keep(&mut log, 10);
    }
    let n_missed = log.n_missed("down");
    assert!(n_missed > 300, "{n_missed}");
    sinks.send(&log, "down", usize::MAX).unwrap();
    // Records of cursors take numbers too.
    let n_accounted = n_missed as usize + sinks.n_received("down");
    assert!((500..530).contains(&n_accounted), "{n_accounted}");
}

/// Scenario: the process is killed, or power fails, between sending and writing the cursor, at
/// every call in turn.
/// Guarantees: everything is delivered; sent twice is at most what was in flight.
#[test]
fn a_crash_between_sending_and_the_cursor_sends_again_and_loses_nothing() {
    for call in 0..130 {
        for is_power_cut in [false, true] {
            let mut disk = SimDisk::new(call);
            let mut sinks = Sinks::default();
            let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
            keep(&mut log, 100);
            disk.cut_power_at(disk.n_calls() + call);
            for restarts in 0..200 {
                let sent = sinks.send(&log, "sink", 7);
                let moved = sent.and_then(|last| log.set_cursor("sink", last));
                if moved.and_then(|()| log.commit()).is_err() {
                    drop(log);
                    disk.heal();
                    disk = if is_power_cut { disk.after_power_cut() } else { disk };
                    let (again, recovery) = Log::open(disk.clone(), small()).unwrap();
                    assert!(!recovery.is_degraded());
                    log = again;
                }
                if sinks.n_received("sink") == 100 && restarts > 20 {
                    break;
                }
            }
            assert_eq!(sinks.n_received("sink"), 100);
            assert!(sinks.n_sent("sink") <= 107, "{} sent", sinks.n_sent("sink"));
        }
    }
}

/// Scenario: a consumer is done with records and notes it; no commit follows, and the process is killed.
/// Guarantees: the next one knows, and so does the one after it; who was never a consumer is none.
#[test]
fn what_was_noted_between_commits_outlives_the_process() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
    log.set_cursor("a", 0).unwrap();
    log.set_cursor("b", 0).unwrap();
    keep(&mut log, 9);
    let mut bookmarks = log.bookmarks();
    for (name, seq) in [("a", 3), ("b", 5), ("a", 4), ("nobody", 7)] {
        bookmarks.set(name, seq).unwrap();
    }
    drop((log, bookmarks));
    for _ in 0..2 {
        let (log, recovery) = Log::open(disk.clone(), small()).unwrap();
        assert!(!recovery.is_degraded());
        assert!(log.cursors().eq([("a", 4), ("b", 5)]));
        // Begun anew, the file still knows the others.
        log.bookmarks().set("b", 5).unwrap();
    }
}

/// Scenario: a consumer notes after each of many records how far it is, past what the file may hold.
/// Guarantees: the file stays small, and the last note counts.
#[test]
fn notes_do_not_pile_up() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
    log.set_cursor("sink", 0).unwrap();
    for _ in 0..100 {
        keep(&mut log, 100);
    }
    let mut bookmarks = log.bookmarks();
    for seq in 1..=10_000 {
        bookmarks.set("sink", seq).unwrap();
    }
    let n_bytes = disk.files()["cursors"].len();
    assert!((1..=65 << 10).contains(&n_bytes), "{n_bytes}");
    drop((log, bookmarks));
    let (log, _) = Log::open(disk, small()).unwrap();
    assert_eq!(log.cursor("sink"), Some(10_000));
}

/// Scenario: with `Durability::Write` a consumer is done with records that power takes, while the note
/// of it stays; other records are appended then.
/// Guarantees: the note does not count for those.
#[test]
fn a_note_on_records_that_power_took_does_not_count_for_others() {
    let config = Config { durability: spanwise_wal::Durability::Write, ..small() };
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), config).unwrap();
    log.set_cursor("sink", 0).unwrap();
    keep(&mut log, 2);
    log.sync().unwrap();
    let before = disk.files();
    keep(&mut log, 20);
    log.bookmarks().set("sink", 20).unwrap();
    let mut files = before;
    files.insert("cursors".to_owned(), disk.files()["cursors"].clone());
    drop(log);

    let mut disk = SimDisk::with_files(&files);
    for _ in 0..2 {
        let (mut log, recovery) = Log::open(disk.clone(), config).unwrap();
        assert!(!recovery.is_degraded());
        let mut sinks = Sinks::default();
        keep(&mut log, 3);
        let last = sinks.send(&log, "sink", usize::MAX).unwrap();
        assert_eq!(sinks.n_received("sink"), 3);
        log.bookmarks().set("sink", last).unwrap();
        drop(log);
        disk = SimDisk::with_files(&disk.files());
    }
}

/// Scenario: the file of notes cannot be written for a while, by a note at every call.
/// Guarantees: that is said, nothing else suffers, and later notes are taken again.
#[test]
fn a_note_that_fails_spoils_no_later_one() {
    for call in 0..8 {
        let disk = SimDisk::default();
        let (mut log, _) = Log::open(disk.clone(), small()).unwrap();
        log.set_cursor("sink", 0).unwrap();
        keep(&mut log, 9);
        let mut bookmarks = log.bookmarks();
        disk.fail(disk.n_calls() + call, spanwise_wal::testing::Fault::Io);
        let n_failed = (1..=6).filter(|&seq| bookmarks.set("sink", seq).is_err()).count();
        assert_eq!(n_failed, 1, "{call}");
        drop((log, bookmarks));
        let (log, _) = Log::open(disk, small()).unwrap();
        assert_eq!(log.cursor("sink"), Some(6));
    }
}
