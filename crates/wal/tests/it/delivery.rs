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
