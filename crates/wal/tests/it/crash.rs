//! Power fails: what was synced is there, what was not is there whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use spanwise_wal::{Codec, Damage, Kind, Log, Recovery};

use crate::{contents, open, read, small, write};
use spanwise_wal::testing::{Fault, SimDisk};

/// Scenario: three records, the last file cut off at every byte in turn.
/// Guarantees: the records that are whole come back, and the log goes on.
#[test]
fn a_file_cut_at_any_byte_gives_the_records_before_the_cut() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    let payloads: [&[u8]; 3] = [b"one", b"", b"three"];
    write(&mut log, &payloads);
    drop(log);
    let files = disk.files();
    let (name, bytes) = files.first_key_value().unwrap();
    let ends = [59, 79, 104];
    assert_eq!(bytes.len(), 104);
    for cut in 0..=bytes.len() {
        let disk = SimDisk::with_files(&BTreeMap::from([(name.clone(), bytes[..cut].to_vec())]));
        let (mut log, recovery) = open(disk);
        let n_whole = ends.iter().filter(|&&end| end <= cut).count();
        let last_end = ends[..n_whole].last().copied().unwrap_or(36);
        let n_torn = if cut < 36 { cut } else { cut - last_end };
        assert_eq!((recovery.n_records, recovery.n_torn_bytes), (n_whole as u64, n_torn as u64));
        assert!(!recovery.is_degraded(), "cut at {cut}: {recovery:?}");
        write(&mut log, &[b"next"]);
        let mut expected: Vec<&[u8]> = payloads[..n_whole].to_vec();
        expected.push(b"next");
        let got: Vec<Vec<u8>> = read(&log).into_iter().map(|record| record.payload).collect();
        assert_eq!(got, expected, "cut at {cut}");
    }
}

/// What the test knows of a log that lives through crashes.
#[derive(Default)]
struct Ledger {
    /// Every payload that was ever appended under a number.
    appended: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    /// What must be there.
    promised: BTreeMap<u64, Vec<u8>>,
    unsynced: BTreeMap<u64, Vec<u8>>,
}

impl Ledger {
    fn check(&self, found: &[(u64, Vec<u8>)]) {
        assert!(found.is_sorted_by(|a, b| a.0 < b.0), "in order and once");
        for (seq, payload) in found {
            assert!(self.appended[seq].contains(payload), "record {seq} was never appended");
        }
        let found: BTreeMap<u64, &Vec<u8>> = found.iter().map(|(s, p)| (*s, p)).collect();
        for (seq, payload) in &self.promised {
            // Not assert_eq: payloads would fill the screen.
            assert!(found.get(seq) == Some(&payload), "record {seq} was promised");
        }
    }

    fn synced(&mut self) {
        self.promised.append(&mut self.unsynced);
    }

    /// What a recovery without complaint shows is on disk from now on.
    fn recovered(&mut self, found: Vec<(u64, Vec<u8>)>, recovery: &Recovery) {
        if recovery.problems.iter().all(|p| p.damage == Damage::TornTail) {
            self.promised.extend(found);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    /// Power fails.
    Crash,
    /// The process is killed; what it wrote is still in the system's memory.
    Kill,
    /// The call so many calls from now fails.
    Fail(u64, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..900_usize).prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => Just(Step::Crash),
        1 => Just(Step::Kill),
        1 => (0..6_u64, any::<bool>()).prop_map(|(after, full)| Step::Fail(after, full)),
    ]
}

fn reopen(disk: &SimDisk, ledger: &mut Ledger) -> Log<SimDisk> {
    let (log, recovery) = open(disk.clone());
    disk.heal();
    let found = contents(&log);
    let is_readable = recovery.problems.iter().all(|p| p.damage != Damage::Unreadable);
    if is_readable {
        ledger.check(&found);
        assert_eq!(recovery.n_records, found.len() as u64);
    }
    if !disk.has_missed_mark() {
        ledger.recovered(found, &recovery);
    }
    ledger.unsynced.clear();
    log
}

/// Steele's `splitmix64`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_was_synced_survives_any_mix_of_faults_and_crashes(
        steps in prop::collection::vec(any_step(), 1..80),
        mut seed in any::<u64>(),
    ) {
        let mut ledger = Ledger::default();
        let mut disk = SimDisk::default();
        let mut log = Log::open(disk.clone(), small()).unwrap().0;
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(n_bytes) => {
                    let payload = vec![i as u8; n_bytes];
                    if let Ok(seq) = log.append(Kind(1), Codec::NONE, &payload) {
                        ledger.appended.entry(seq).or_default().insert(payload.clone());
                        ledger.unsynced.insert(seq, payload);
                    }
                }
                Step::Sync => {
                    if log.sync().is_ok() {
                        ledger.synced();
                        prop_assert_eq!(log.synced_seq() + 1, log.next_seq());
                    }
                }
                Step::Crash => {
                    drop(log);
                    disk.heal();
                    disk = disk.after_crash(|n| next(&mut seed) as usize % n);
                    log = reopen(&disk, &mut ledger);
                }
                Step::Kill => {
                    drop(log);
                    log = reopen(&disk, &mut ledger);
                }
                Step::Fail(after, full) => {
                    let fault = if full { Fault::Full } else { Fault::Io };
                    disk.fail(disk.n_calls() + after, fault);
                }
            }
        }
        drop(log);
        disk.heal();
        let disk = disk.after_crash(|n| next(&mut seed) as usize % n);
        drop(reopen(&disk, &mut ledger));
        drop(reopen(&disk, &mut ledger));
    }
}
