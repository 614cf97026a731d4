//! The log: append, sync, open again.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::record::{Codec, HEADER_BYTES, Kind, RECORD_BYTES_MAX, Unsynced};
use crate::recovery::{Damage, Records, Recovery, Sequence};
use crate::scan::{Scan, Step};
use crate::segment::{
    SEGMENT_HEADER_BYTES, Sealed, Segment, encode_header, id_of, mark_of, name_of,
};

/// An append-only log in one directory.
///
/// Not thread-safe and without a clock: whoever owns it decides when to sync. Dropping it gives the
/// directory free; what was not synced is lost, as it would be in a crash.
pub struct Log<D: Disk> {
    disk: D,
    config: Config,
    _lock: D::Lock,
    /// Segments that are only read, oldest first.
    sealed: Vec<Sealed>,
    /// Segments with a mark that a sync of them failed.
    marked: BTreeSet<u64>,
    current: Option<Segment<D::File>>,
    /// Whether the name of the current segment is on disk.
    is_named: bool,
    unsynced: Unsynced,
    next_seq: u64,
    synced_seq: u64,
    next_id: u64,
    is_stopped: bool,
    n_failed_syncs: u64,
    n_removed_segments: u64,
    n_failed_removals: u64,
}

/// Gauges and counters of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all segments.
    pub n_bytes: u64,
    /// Segments on disk.
    pub n_segments: u64,
    /// Bytes appended and not yet synced.
    pub n_unsynced_bytes: u64,
    /// Syncs that failed, each of which sealed a segment.
    pub n_failed_syncs: u64,
    /// Segments deleted because the log was full.
    pub n_removed_segments: u64,
    /// Deletions that failed and are tried again.
    pub n_failed_removals: u64,
}

/// Why records could not be brought to disk.
enum Failure {
    /// Nothing is known to be wrong but that it could not be written.
    Write(Error),
    /// A sync failed: the file at hand cannot be trusted any more.
    Sync,
}

impl<D: Disk> Log<D> {
    /// Opens the log on `disk`, or begins one. Every record is read and checked; a torn tail is cut
    /// off. Damage does not prevent opening: it is described in the [`Recovery`].
    ///
    /// # Errors
    /// [`Error::Locked`], a setting out of range, or the directory itself cannot be used.
    pub fn open(disk: D, config: Config) -> Result<(Self, Recovery), Error> {
        config.validate()?;
        let dir = disk.describe();
        let lock = disk.lock().map_err(Error::io("lock", &dir))?;
        let lock = lock.map_err(|holder| Error::Locked { dir: dir.clone(), holder })?;
        let names = disk.list().map_err(Error::io("list", &dir))?;
        let mut ids: Vec<u64> = names.iter().filter_map(|name| id_of(name)).collect();
        ids.sort_unstable();
        let is_marked = |id: &u64| names.contains(&mark_of(*id));
        let marked = ids.iter().copied().filter(is_marked).collect();
        let mut log = Self {
            disk,
            config,
            _lock: lock,
            sealed: Vec::new(),
            marked,
            current: None,
            is_named: false,
            unsynced: Unsynced::default(),
            next_seq: 1,
            synced_seq: 0,
            next_id: ids.last().map_or(1, |last| last.saturating_add(1)),
            is_stopped: false,
            n_failed_syncs: 0,
            n_removed_segments: 0,
            n_failed_removals: 0,
        };
        let recovery = log.recover(&ids);
        Ok((log, recovery))
    }

    /// Adds a record and returns its number. It is held in memory until [`Log::sync`].
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Unsynced`] or [`Error::Stopped`]; then nothing was added.
    pub fn append(&mut self, kind: Kind, codec: Codec, payload: &[u8]) -> Result<u64, Error> {
        if self.is_stopped {
            return Err(Error::Stopped);
        }
        let n_bytes = payload.len() as u64;
        if n_bytes > u64::from(RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { n_bytes });
        }
        let n_held = self.unsynced.n_bytes();
        let n_after = n_held + n_bytes + HEADER_BYTES as u64;
        if n_held > 0 && n_after > self.config.unsynced_bytes_max {
            return Err(Error::Unsynced { n_bytes: n_held });
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.unsynced.push(seq, kind, codec, payload);
        Ok(seq)
    }

    /// Brings every appended record to disk, then deletes the oldest segments if the log is too
    /// large. After `Ok` the records survive a loss of power.
    ///
    /// # Errors
    /// [`Error::Io`]: nothing is acknowledged and everything is still held; try again, a full disk
    /// may have room later. [`Error::Stopped`]: the disk failed twice, nothing more is possible.
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.is_stopped {
            return Err(Error::Stopped);
        }
        if self.unsynced.is_empty() {
            return Ok(());
        }
        self.seal_if_full();
        match self.write_unsynced() {
            Ok(()) => {}
            Err(Failure::Write(error)) => {
                self.undo_write();
                return Err(error);
            }
            Err(Failure::Sync) => {
                self.n_failed_syncs += 1;
                self.seal_failed();
                if self.write_unsynced().is_err() {
                    self.seal_failed();
                    self.is_stopped = true;
                    return Err(Error::Stopped);
                }
            }
        }
        self.unsynced.clear();
        self.synced_seq = self.next_seq - 1;
        self.remove_oldest();
        Ok(())
    }

    /// Number of the last record that is known to be on disk; 0 if there is none.
    pub const fn synced_seq(&self) -> u64 {
        self.synced_seq
    }

    /// Number the next record will get.
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The synced records from number `from_seq` on, oldest first.
    pub fn records(&self, from_seq: u64) -> Records<'_, D> {
        let current = self.current.as_ref().map(Segment::sealed);
        let segments = self.sealed.iter().copied().chain(current).collect();
        Records::new(&self.disk, segments, from_seq)
    }

    /// Gauges and counters. Cost: the number of segments.
    pub fn stats(&self) -> Stats {
        Stats {
            n_bytes: self.n_bytes(),
            n_segments: self.sealed.len() as u64 + u64::from(self.current.is_some()),
            n_unsynced_bytes: self.unsynced.n_bytes(),
            n_failed_syncs: self.n_failed_syncs,
            n_removed_segments: self.n_removed_segments,
            n_failed_removals: self.n_failed_removals,
        }
    }

    fn n_bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |segment| segment.n_bytes);
        self.sealed.iter().map(|segment| segment.n_bytes).sum::<u64>() + current
    }

    // ---- writing ----

    fn write_unsynced(&mut self) -> Result<(), Failure> {
        if self.current.is_none() {
            self.begin_segment().map_err(Failure::Write)?;
        }
        let Some(segment) = &mut self.current else { return Ok(()) };
        let bytes = self.unsynced.encoded(segment.id);
        let written = segment.file.write_at(segment.n_bytes, bytes);
        written.map_err(|e| Failure::Write(Error::io("write", &name_of(segment.id))(e)))?;
        segment.file.sync().map_err(|_| Failure::Sync)?;
        if !self.is_named {
            self.disk.sync_dir().map_err(|_| Failure::Sync)?;
            self.is_named = true;
        }
        segment.n_bytes += bytes.len() as u64;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<(), Error> {
        let id = self.next_id;
        let name = name_of(id);
        let first_seq = self.unsynced.first_seq().unwrap_or(self.next_seq);
        let mut file = self.disk.create(&name).map_err(Error::io("create", &name))?;
        // Whatever happens to this file, its number is never used again.
        self.next_id += 1;
        if let Err(error) = file.write_at(0, &encode_header(id, first_seq)) {
            drop(file);
            // Best effort: recovery removes what is left of a segment that never began.
            drop(self.disk.remove(&name));
            return Err(Error::io("write", &name)(error));
        }
        let n_bytes = SEGMENT_HEADER_BYTES as u64;
        self.current = Some(Segment { id, file, n_bytes, first_seq });
        self.is_named = false;
        Ok(())
    }

    /// After a failed write: takes off what of it reached the file, or leaves the file alone.
    fn undo_write(&mut self) {
        if let Some(segment) = &mut self.current
            && segment.file.truncate(segment.n_bytes).is_err()
        {
            self.seal();
        }
    }

    fn seal_if_full(&mut self) {
        let n_new = self.unsynced.n_bytes();
        let is_full = |segment: &Segment<D::File>| {
            segment.n_bytes > SEGMENT_HEADER_BYTES as u64
                && segment.n_bytes + n_new > self.config.segment_bytes
        };
        if self.current.as_ref().is_some_and(is_full) {
            self.seal();
        }
    }

    fn seal(&mut self) {
        if let Some(segment) = self.current.take() {
            self.sealed.push(segment.sealed());
        }
    }

    /// Seals a segment whose sync failed, and leaves a mark for whoever opens the log next.
    fn seal_failed(&mut self) {
        if let Some(segment) = &self.current {
            let id = segment.id;
            self.mark(id);
        }
        self.seal();
    }

    /// Best effort: without the mark, records that were never acknowledged may seem to be on disk
    /// until power fails.
    fn mark(&mut self, id: u64) {
        self.marked.insert(id);
        drop(self.disk.create(&mark_of(id)));
    }

    /// Deletes the oldest segments while the log is too large. Only called when the current segment
    /// and its name are on disk.
    fn remove_oldest(&mut self) {
        assert!(self.is_named && self.current.is_some(), "a newer segment is on disk");
        while self.n_bytes() > self.config.log_bytes_max {
            let Some(oldest) = self.sealed.first() else { return };
            if self.disk.remove(&name_of(oldest.id)).is_err() {
                self.n_failed_removals += 1;
                return;
            }
            if self.marked.remove(&oldest.id) {
                drop(self.disk.remove(&mark_of(oldest.id)));
            }
            self.sealed.remove(0);
            self.n_removed_segments += 1;
        }
    }

    // ---- opening ----

    /// Reads every segment; the last one is continued if nothing is wrong with it.
    fn recover(&mut self, ids: &[u64]) -> Recovery {
        let mut recovery = Recovery { n_segments: ids.len() as u64, ..Recovery::default() };
        let mut sequence = Sequence::default();
        for &id in ids {
            let is_last = Some(&id) == ids.last();
            let opened = self.disk.open(&name_of(id));
            let Ok(mut scan) = opened.and_then(|file| Scan::new(file, id, u64::MAX)) else {
                recovery.note(id, 0, 0, Damage::Unreadable);
                sequence.note_unread();
                self.sealed.push(Sealed { id, n_bytes: 0, first_seq: None });
                continue;
            };
            sequence.begin(id, scan.first_seq);
            let walked = walk(&mut scan, id, &mut sequence, &mut recovery);
            let sealed = Sealed { id, n_bytes: scan.n_bytes(), first_seq: scan.first_seq };
            if is_last && scan.is_unborn && walked.is_empty() {
                // Power cut it short before its header was on disk: nothing is in it.
                recovery.note(id, 0, sealed.n_bytes, Damage::TornTail);
                drop(self.disk.remove(&name_of(id)));
                continue;
            }
            note_leftovers(sealed, &walked, &mut recovery);
            // A record is only accepted if it continues the numbers of its segment.
            let continues = is_last && scan.first_seq.is_some() && scan.next_seq() == sequence.next;
            self.keep(sealed, scan.into_file(), &walked, continues);
            if self.marked.contains(&id) {
                recovery.note(id, 0, sealed.n_bytes, Damage::NotSynced);
            }
        }
        self.sync_names(&mut recovery);
        if sequence.has_unread {
            // Numbers go on with a jump, which only the header of a new segment can tell.
            self.seal();
        }
        recovery.n_lost = sequence.n_lost;
        self.next_seq = sequence.next_new(self.next_id);
        self.synced_seq = self.next_seq - 1;
        recovery
    }

    /// Keeps a segment that was read: as the current one if the log can go on in it and it is sound,
    /// after its torn tail is cut off, else sealed.
    ///
    /// Every segment is synced again: what another process wrote may still be in the system's memory
    /// only. That costs nothing where it is not.
    fn keep(&mut self, segment: Sealed, mut file: D::File, walked: &Walked, continues: bool) {
        let Sealed { id, .. } = segment;
        let n_bytes = segment.n_bytes - walked.n_torn;
        let is_cut = walked.n_torn == 0 || (continues && file.truncate(n_bytes).is_ok());
        if !self.marked.contains(&id) && file.sync().is_err() {
            self.mark(id);
        }
        let is_sound = is_cut && !walked.is_damaged && !self.marked.contains(&id);
        match segment.first_seq {
            Some(first_seq) if continues && is_sound => {
                self.current = Some(Segment { id, file, n_bytes, first_seq });
                self.is_named = true;
            }
            _ => self.sealed.push(Sealed { n_bytes, ..segment }),
        }
    }

    /// Makes sure of the names of all segments that were found.
    fn sync_names(&mut self, recovery: &mut Recovery) {
        if self.disk.sync_dir().is_ok() {
            return;
        }
        let last = self.current.as_ref().map(|segment| segment.id);
        if let Some(id) = last.or_else(|| self.sealed.last().map(|segment| segment.id)) {
            self.mark(id);
            recovery.note(id, 0, 0, Damage::NotSynced);
        }
        self.seal();
    }
}

/// What is odd about a segment that others follow.
fn note_leftovers(segment: Sealed, walked: &Walked, recovery: &mut Recovery) {
    if segment.first_seq.is_none() {
        recovery.note(segment.id, 0, SEGMENT_HEADER_BYTES as u64, Damage::BadHeader);
    }
    if walked.n_torn > 0 {
        let offset = segment.n_bytes - walked.n_torn;
        recovery.note(segment.id, offset, walked.n_torn, Damage::TornTail);
    }
}

/// What a walk over one segment found.
#[derive(Default)]
struct Walked {
    n_records: u64,
    /// Bytes behind the last good record.
    n_torn: u64,
    /// Whether something is wrong in front of them.
    is_damaged: bool,
}

impl Walked {
    const fn is_empty(&self) -> bool {
        self.n_records == 0 && !self.is_damaged
    }
}

fn walk<F: DiskFile>(
    scan: &mut Scan<F>,
    id: u64,
    sequence: &mut Sequence,
    recovery: &mut Recovery,
) -> Walked {
    let mut walked = Walked::default();
    loop {
        match scan.next() {
            Ok(Some(Step::Record(record))) => {
                walked.n_records += 1;
                let is_new = sequence.advance(record.seq);
                recovery.n_records += u64::from(is_new);
                recovery.n_duplicates += u64::from(!is_new);
            }
            Ok(Some(Step::Bad { n_bytes, is_tail: true, .. })) => walked.n_torn = n_bytes,
            Ok(Some(Step::Bad { at, n_bytes, is_tail: false })) => {
                walked.is_damaged = true;
                recovery.note(id, at, n_bytes, Damage::Corrupt);
            }
            Ok(None) => return walked,
            Err(_) => {
                walked.is_damaged = true;
                recovery.note(id, scan.at(), 0, Damage::Unreadable);
                sequence.note_unread();
                return walked;
            }
        }
    }
}

impl<F> Segment<F> {
    const fn sealed(&self) -> Sealed {
        Sealed { id: self.id, n_bytes: self.n_bytes, first_seq: Some(self.first_seq) }
    }
}

impl<D: Disk> std::fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Log");
        out.field("dir", &self.disk.describe()).field("next_seq", &self.next_seq);
        out.finish_non_exhaustive()
    }
}
