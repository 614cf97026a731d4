//! A caller of the log and what it may rely on: batches that hold spans, verdicts that free them, a
//! consumer with a cursor, faults and restarts in between. Everything follows from one seed.

use std::collections::BTreeMap;

use spanwise_wal::testing::SimDisk;
use spanwise_wal::{
    Codec, Config, Damage, Error, Kind, Log, Position, Record, Recovery, Retention,
};

/// The consumer of the kept.
const SINK: &str = "collector";

/// What is known of a record that was acknowledged.
#[derive(Clone, Debug)]
struct Known {
    kind: Kind,
    payload: Vec<u8>,
}

/// A batch whose spans are not all decided.
#[derive(Clone, Copy, Debug)]
struct Open {
    segment: u32,
    n_held: u32,
}

/// The caller. It outlives crashes of the log.
pub(crate) struct World {
    random: u64,
    /// For messages: where the disk fails.
    name: String,
    config: Config,
    acked: BTreeMap<u64, Known>,
    open: BTreeMap<u64, Open>,
    /// Verdict of each batch that has one on disk: batch to verdict.
    decided: BTreeMap<u64, u64>,
    /// The cursor as set, and as acknowledged.
    cursor: (u64, u64),
    /// What was appended and not acknowledged.
    waiting: BTreeMap<u64, Vec<u8>>,
    pub(crate) n_acked: u64,
    pub(crate) n_removed: u64,
}

/// How a life of the log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// The disk failed and the log has stopped.
    Stopped,
}

impl World {
    pub(crate) fn new(seed: u64, config: Config) -> Self {
        Self {
            random: seed,
            name: format!("seed {seed}"),
            config,
            acked: BTreeMap::new(),
            open: BTreeMap::new(),
            decided: BTreeMap::new(),
            cursor: (0, 0),
            waiting: BTreeMap::new(),
            n_acked: 0,
            n_removed: 0,
        }
    }

    pub(crate) fn at(mut self, call: u64) -> Self {
        self.name = format!("{}, call {call}", self.name);
        self
    }

    /// Opens the log, checks everything that was promised, and works for `n_steps`.
    pub(crate) fn live(&mut self, disk: &SimDisk, n_steps: u64) -> End {
        let Ok((mut log, recovery)) = Log::open(disk.clone(), self.config) else {
            return End::Stopped;
        };
        if !self.recover(disk, &mut log, &recovery) {
            return End::Stopped;
        }
        for _ in 0..n_steps {
            match self.step(&mut log) {
                Ok(()) => {}
                Err(Error::Stopped) => return End::Stopped,
                Err(Error::Io { .. }) => {
                    // A disk that is full or broken for a moment: come again, or give up.
                    if self.below(2) == 0 {
                        log.discard_uncommitted();
                        self.forget_unacked(log.next_seq());
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        self.n_removed += log.stats().n_removed_segments;
        assert_eq!(log.stats().n_excess_releases, 0);
        End::Done
    }

    /// Opens the log on a disk without faults, and checks everything; again, and it is the same.
    pub(crate) fn check(&mut self, disk: &SimDisk) {
        disk.heal();
        let (mut log, recovery) = Log::open(disk.clone(), self.config).unwrap();
        assert!(self.recover(disk, &mut log, &recovery));
        let first: Vec<Record> = log.records(0).map(Result::unwrap).collect();
        drop(log);
        let (log, again) = Log::open(disk.clone(), self.config).unwrap();
        assert_eq!((again.n_records, again.n_lost), (recovery.n_records, recovery.n_lost));
        assert!(log.records(0).map(Result::unwrap).eq(first));
    }

    fn step(&mut self, log: &mut Log<SimDisk>) -> Result<(), Error> {
        match self.below(10) {
            0..=3 => {
                let n_held = self.below(3) as u32;
                let payload = self.payload(n_held as u8);
                match log.append_held(Kind::BATCH, Codec::NONE, &payload, n_held) {
                    Ok(seq) => drop(self.waiting.insert(seq, payload)),
                    Err(Error::Full { .. } | Error::Unsynced { .. }) => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            }
            4..=5 => self.decide(log),
            6 => {
                self.cursor.0 = self.cursor.0.max(log.synced_seq());
                log.set_cursor(SINK, self.cursor.0)
            }
            _ => self.commit(log),
        }
    }

    /// Commits, and notes which spans the new batches hold.
    fn commit(&mut self, log: &mut Log<SimDisk>) -> Result<(), Error> {
        let first = log.synced_seq() + 1;
        let committed = log.commit()?;
        for seq in first..=log.acknowledged_seq() {
            let Position { segment, .. } = committed.position(seq).unwrap();
            // The log's own records of cursors are in no list.
            let Some(payload) = self.waiting.remove(&seq) else { continue };
            self.n_acked += 1;
            let kind = Kind(payload[0]);
            let n_held = u32::from(payload[1]);
            if kind == Kind::BATCH && n_held > 0 {
                self.open.insert(seq, Open { segment, n_held });
            }
            self.acked.insert(seq, Known { kind, payload });
        }
        self.cursor.1 = log.cursor(SINK).unwrap_or(0);
        Ok(())
    }

    /// Decides about some batch: a verdict first, on disk, then its spans are released.
    fn decide(&mut self, log: &mut Log<SimDisk>) -> Result<(), Error> {
        let idx = self.below(self.open.len().max(1) as u64) as usize;
        let Some((&batch, &Open { segment, n_held })) = self.open.iter().nth(idx) else {
            return Ok(());
        };
        let payload = [&[Kind::VERDICT.0, 0][..], &batch.to_le_bytes()].concat();
        let seq = log.append(Kind::VERDICT, Codec::NONE, &payload)?;
        self.waiting.insert(seq, payload);
        self.commit(log)?;
        self.decided.insert(batch, seq);
        self.open.remove(&batch);
        log.release(segment, u64::from(n_held));
        Ok(())
    }

    /// Checks what was found against what was promised, and takes it up. False if something could
    /// not be read for now.
    fn recover(&mut self, disk: &SimDisk, log: &mut Log<SimDisk>, recovery: &Recovery) -> bool {
        let harmless = [Damage::TornTail, Damage::NotSynced];
        let Ok(found) = log.records(0).collect::<Result<Vec<Record>, Error>>() else {
            return false;
        };
        let is_harmed = recovery.problems.iter().any(|problem| !harmless.contains(&problem.damage));
        if is_harmed {
            // Only a fault while it was read can be the reason.
            let reasons = recovery.problems.iter().map(|problem| problem.damage);
            assert!(
                reasons.clone().any(|reason| reason == Damage::Unreadable),
                "{recovery:?}, {}",
                self.name
            );
            return false;
        }
        assert_eq!(recovery.n_records, found.len() as u64);
        self.check_found(&found);
        self.check_cursor(log);
        let is_unsure = !recovery.problems.iter().all(|one| one.damage == Damage::TornTail)
            || disk.has_missed_mark();
        self.take_up(log, found, is_unsure);
        log.finish_replay();
        true
    }

    fn check_found(&self, found: &[Record]) {
        assert!(found.is_sorted_by(|a, b| a.seq < b.seq), "in order and once");
        let by_seq: BTreeMap<u64, &Record> = found.iter().map(|one| (one.seq, one)).collect();
        for (seq, known) in &self.acked {
            let is_needed = self.open.contains_key(seq);
            match by_seq.get(seq) {
                Some(record) => {
                    assert!(record.payload == known.payload, "record {seq} is another");
                    assert_eq!(record.kind, known.kind);
                }
                None => assert!(!is_needed, "record {seq} was promised, {}", self.name),
            }
        }
        for (batch, verdict) in &self.decided {
            let is_orphan = by_seq.contains_key(batch) && !by_seq.contains_key(verdict);
            assert!(!is_orphan, "batch {batch} came back without its verdict, {}", self.name);
        }
        for record in found.iter().filter(|one| one.kind != Kind::CURSOR) {
            let is_acked = self.acked.get(&record.seq).is_some_and(|k| k.payload == record.payload);
            let is_whole = record.payload.len() >= 2 && is_ours(&record.payload);
            assert!(is_acked || is_whole, "record {} is half there", record.seq);
        }
    }

    fn check_cursor(&self, log: &Log<SimDisk>) {
        let cursor = log.cursor(SINK).unwrap_or(0);
        let (set, acked) = self.cursor;
        assert!((acked..=set).contains(&cursor), "cursor {cursor} of {acked} to {set}");
    }

    /// Goes on from what was found: unacknowledged records that are there are as good as others,
    /// unless a sync of them has failed.
    fn take_up(&mut self, log: &mut Log<SimDisk>, found: Vec<Record>, is_unsure: bool) {
        self.waiting.clear();
        self.cursor = (self.cursor.0, log.cursor(SINK).unwrap_or(0));
        let mut open = BTreeMap::new();
        for Record { seq, kind, position, payload, .. } in found {
            if is_unsure && !self.acked.contains_key(&seq) {
                continue;
            }
            let segment = position.segment;
            let n_held = payload.get(1).copied().map_or(0, u32::from);
            if kind == Kind::BATCH && n_held > 0 {
                open.insert(seq, Open { segment, n_held });
            }
            if kind == Kind::VERDICT {
                let batch = u64::from_le_bytes(payload[2..].try_into().unwrap());
                open.remove(&batch);
                self.decided.insert(batch, seq);
            }
            if kind != Kind::CURSOR {
                self.acked.insert(seq, Known { kind, payload });
            }
        }
        for Open { segment, n_held } in open.values() {
            log.hold(*segment, u64::from(*n_held));
        }
        self.open = open;
    }

    fn forget_unacked(&mut self, next_seq: u64) {
        self.waiting.retain(|&seq, _| seq < next_seq);
    }

    /// `kind, spans held, length u16`, then one byte again and again.
    fn payload(&mut self, n_held: u8) -> Vec<u8> {
        let n = 5 + self.below(900) as u16;
        let fill = self.below(256) as u8;
        let mut payload = vec![fill; usize::from(n)];
        payload[0] = Kind::BATCH.0;
        payload[1] = n_held;
        payload[2..4].copy_from_slice(&n.to_le_bytes());
        payload
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Whether a payload is one of those the world makes, whole.
fn is_ours(payload: &[u8]) -> bool {
    if payload[0] == Kind::VERDICT.0 {
        return payload.len() == 10;
    }
    let (n, fill) = (u16::from_le_bytes([payload[2], payload[3]]), payload[4]);
    payload.len() == usize::from(n) && payload[4..].iter().all(|&byte| byte == fill)
}

/// Small segments that go when everything in them is decided.
pub(crate) fn released() -> Config {
    Config { retention: Retention::Released, log_bytes_max: 1 << 20, ..crate::small() }
}
