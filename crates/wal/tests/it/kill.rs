//! The process is killed by the system, at any time: what it told its caller is on disk.
//!
//! A kill does not test durability, since the system's memory survives it; the simulated disk does
//! that. This tests the real file system, the lock, and that every start succeeds.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use spanwise_wal::{Codec, Config, Error, Kind, Log, Retention, StdDisk};
use tempfile::TempDir;

/// Names the directory for the child.
const DIR: &str = "SPANWISE_WAL_TEST_DIR";
/// How often; more by hand: `SPANWISE_KILLS=100 cargo test -p spanwise-wal kill`.
const N_KILLS: u32 = 10;

fn config() -> Config {
    let retention = Retention::Released;
    Config { segment_bytes: 64 << 10, retention, ..Config::default() }
}

fn payload(seq: u64) -> Vec<u8> {
    seq.to_le_bytes().repeat(1 + seq as usize % 200)
}

/// The child: writes for ever, and says which records are acknowledged. Every other one is released
/// at once.
#[test]
#[ignore = "run by the test that kills it"]
fn writer() {
    let dir = std::env::var(DIR).unwrap();
    let (mut log, _) = Log::open(StdDisk::new(Path::new(&dir)).unwrap(), config()).unwrap();
    let held: Vec<_> = log.records(0).map(Result::unwrap).collect();
    for record in &held {
        log.hold(record.position.segment, 1);
    }
    log.finish_replay();
    let mut out = std::io::stdout().lock();
    loop {
        let first = log.next_seq();
        for seq in first..first + 5 {
            log.append_held(Kind::BATCH, Codec::NONE, &payload(seq), 1).unwrap();
        }
        let committed = log.commit().unwrap();
        for seq in first..first + 5 {
            writeln!(out, "acked {seq}").unwrap();
            if seq % 2 == 0 {
                log.release(committed.position(seq).unwrap().segment, 1);
            }
        }
    }
}

/// Starts the child, kills it after `n_lines` of its words; the numbers it acknowledged.
fn run(dir: &Path, n_lines: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::writer", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acked = Vec::new();
    let mut lines = lines.filter_map(|line| line.rsplit_once("acked ")?.1.parse::<u64>().ok());
    acked.extend(lines.by_ref().take(n_lines));
    assert_eq!(acked.len(), n_lines, "the child ended by itself");
    if n_lines.is_multiple_of(3) {
        let error = Log::open(StdDisk::new(dir).unwrap(), config()).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "two at once: {error}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was said before the end is still in the pipe.
    acked.extend(lines);
    acked
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let n_kills = std::env::var("SPANWISE_KILLS").ok().and_then(|n| n.parse().ok());
    let dir = TempDir::new().unwrap();
    let mut acked = BTreeSet::new();
    for kill in 0..n_kills.unwrap_or(N_KILLS) {
        acked.extend(run(dir.path(), 1 + (kill as usize * 37) % 400));
        let (log, recovery) = Log::open(StdDisk::new(dir.path()).unwrap(), config()).unwrap();
        assert!(!recovery.is_degraded(), "{recovery:?}");
        let found: Vec<_> = log.records(0).map(Result::unwrap).collect();
        for record in &found {
            assert!(record.payload == payload(record.seq), "record {} is half there", record.seq);
        }
        // Odd ones are held for ever, so nothing behind the first of them is deleted.
        let found: BTreeSet<u64> = found.iter().map(|record| record.seq).collect();
        let n_lost = acked.iter().filter(|seq| !found.contains(seq)).count();
        assert_eq!(n_lost, 0, "kill {kill}: {} acknowledged", acked.len());
    }
    assert!(acked.len() > 500, "{}", acked.len());
}
