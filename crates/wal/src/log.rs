//! The log: append, commit, hold and release. How records reach the disk is in `write`, how a log
//! is opened in `open`, how segments go in `retain`.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::bookmarks::Bookmarks;
use crate::config::{Config, Durability, Retention};
use crate::cursor::Cursors;
use crate::disk::{Disk, Space};
use crate::error::Error;
use crate::reader::Reader;
use crate::record::{Codec, HEADER_BYTES, Kind, Position, RECORD_BYTES_MAX, Unsynced};
use crate::recovery::Records;
use crate::segment::{Meta, SEQ_MAX, Segment};

/// An append-only log in one directory.
///
/// Not shared between threads and without a clock: whoever owns it decides when to commit. Dropping
/// it gives the directory free; what was not committed is lost, as it would be in a crash.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, none a state of another")]
pub struct Log<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) config: Config,
    pub(crate) _lock: D::Lock,
    /// Segments that are only read, oldest first.
    pub(crate) sealed: Vec<Meta>,
    /// Segments with a mark that a sync of them failed.
    pub(crate) marked: BTreeSet<u32>,
    /// Damaged segments that were put aside, oldest first.
    pub(crate) quarantined: VecDeque<u32>,
    pub(crate) current: Option<Segment<D::File>>,
    /// Whether the name of the current segment is on disk.
    pub(crate) is_named: bool,
    /// Whether the last removal is on disk.
    pub(crate) is_removal_synced: bool,
    pub(crate) unsynced: Unsynced,
    pub(crate) cursors: Cursors,
    pub(crate) next_seq: u64,
    pub(crate) written_seq: u64,
    pub(crate) synced_seq: u64,
    pub(crate) next_id: u32,
    /// Segments below are gone; readers look here.
    pub(crate) lowest_id: Arc<AtomicU32>,
    /// Numbers that miss in the last commit before the segment to be made next.
    pub(crate) n_forgiven: u32,
    pub(crate) is_stopped: bool,
    /// Between opening and [`Log::finish_replay`] nothing is released.
    pub(crate) is_replaying: bool,
    /// Counters only; the gauges in it are 0.
    pub(crate) counts: Stats,
}

/// Gauges and counters of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of all segments.
    pub n_bytes: u64,
    /// Segments on disk.
    pub n_segments: u64,
    /// What records hold, all together.
    pub n_held: u64,
    /// Bytes appended and not yet committed.
    pub n_unsynced_bytes: u64,
    /// Commits that wrote something.
    pub n_commits: u64,
    /// Syncs that failed, each of which sealed a segment.
    pub n_failed_syncs: u64,
    /// Segments deleted.
    pub n_removed_segments: u64,
    /// Damaged segments put aside instead of being deleted.
    pub n_quarantined_segments: u64,
    /// Deletions that failed and are tried again.
    pub n_failed_removals: u64,
    /// Records acknowledged without a sync whose sync failed later: they may be lost if power
    /// fails. Always 0 with [`Durability::Fsync`].
    pub n_unsure_records: u64,
    /// Records that were discarded before they were committed.
    pub n_discarded_records: u64,
    /// Releases of more than was held. Not 0 means that a caller counts wrongly.
    pub n_excess_releases: u64,
}

/// What a commit has written: numbers to positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    pub(crate) segment: u32,
    pub(crate) base: u32,
    pub(crate) first_seq: u64,
    pub(crate) starts: Vec<u32>,
}

impl Committed {
    /// Where record `seq` stands, if this commit has written it.
    pub fn position(&self, seq: u64) -> Option<Position> {
        let idx = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        let start = *self.starts.get(idx)?;
        Some(Position { segment: self.segment, offset: self.base + start })
    }

    /// Records written, the log's own included.
    pub const fn n_records(&self) -> u64 {
        self.starts.len() as u64
    }
}

impl<D: Disk> Log<D> {
    /// Adds a record that holds nothing and returns its number. It waits in memory until
    /// [`Log::commit`].
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Unsynced`] or [`Error::Stopped`]; then nothing was added.
    pub fn append(&mut self, kind: Kind, codec: Codec, payload: &[u8]) -> Result<u64, Error> {
        self.append_held(kind, codec, payload, 0)
    }

    /// Adds a record that holds `n` of something, say spans: with [`Retention::Released`] it stays
    /// on disk until as much was [released](Log::release) in its segment.
    ///
    /// # Errors
    /// As [`Log::append`], and [`Error::Full`] if `n` is not 0 and the log has reached its limit.
    /// Records that hold nothing are never refused for that, since they are what frees the others.
    pub fn append_held(
        &mut self,
        kind: Kind,
        codec: Codec,
        payload: &[u8],
        n: u32,
    ) -> Result<u64, Error> {
        if self.is_stopped {
            return Err(Error::Stopped);
        }
        if self.next_seq >= SEQ_MAX - 1 {
            return Err(Error::Config { problem: "numbers of records are used up" });
        }
        let n_bytes = payload.len() as u64;
        if n_bytes > u64::from(RECORD_BYTES_MAX) {
            return Err(Error::TooLarge { n_bytes });
        }
        let n_unsynced = self.unsynced.n_bytes();
        let n_after = n_unsynced + n_bytes + HEADER_BYTES as u64;
        if n_unsynced > 0 && n_after > self.config.unsynced_bytes_max {
            return Err(Error::Unsynced { n_bytes: n_unsynced });
        }
        let is_bounded = n > 0 && self.config.retention == Retention::Released;
        if is_bounded && self.n_bytes() + n_after > self.config.log_bytes_max {
            return Err(Error::Full { n_bytes: self.n_bytes() });
        }
        self.unsynced.n_held += u64::from(n);
        Ok(self.push(kind, codec, payload))
    }

    /// Writes every appended record, and with [`Durability::Fsync`] brings it to disk: one write
    /// and one `fdatasync` for all of them. After `Ok` they are acknowledged. Releases take effect
    /// as soon as everything is on disk.
    ///
    /// # Errors
    /// [`Error::Io`]: nothing is acknowledged and everything is still held; try again, a full disk
    /// may have room later. [`Error::Stopped`]: the disk failed twice, nothing more is possible.
    pub fn commit(&mut self) -> Result<Committed, Error> {
        self.flush(self.config.durability == Durability::Fsync)
    }

    /// As [`Log::commit`], and brings everything to disk whatever the durability.
    ///
    /// # Errors
    /// As [`Log::commit`].
    pub fn sync(&mut self) -> Result<Committed, Error> {
        self.flush(true)
    }

    /// Forgets what was appended and not committed, after a commit has failed: its senders were
    /// told to come again. Numbers are given out anew, and what was released since the last commit
    /// is held again: append the verdicts again, and release again. How many records were forgotten.
    pub fn discard_uncommitted(&mut self) -> u64 {
        let first_seq = self.unsynced.first_seq().unwrap_or(self.next_seq);
        let n_records = self.next_seq - first_seq;
        self.cursors.is_dirty |= self.unsynced.has_cursors;
        self.unsynced.clear();
        // Files that may still show these numbers were cut off, or are overruled by the header of
        // the next segment.
        self.next_seq = first_seq;
        for meta in self.metas_mut() {
            meta.n_released_by_unwritten = 0;
        }
        self.counts.n_discarded_records += n_records;
        n_records
    }

    /// Holds `n` more in segment `segment`, whose records were found when the log was opened.
    pub fn hold(&mut self, segment: u32, n: u64) {
        if let Some(meta) = self.meta_mut(segment) {
            meta.n_held += n;
        }
    }

    /// Gives up `n` of what is held in segment `segment`. It takes effect when everything appended
    /// so far is on disk: append what makes the records superfluous first.
    pub fn release(&mut self, segment: u32, n: u64) {
        let Some(meta) = self.meta_mut(segment) else { return };
        let n_held = meta.n_held - meta.n_released - meta.n_released_by_unwritten;
        meta.n_released_by_unwritten += n.min(n_held);
        self.counts.n_excess_releases += n.saturating_sub(n_held);
    }

    /// Ends the time in which records found at opening are given their holds. Before, nothing is
    /// deleted with [`Retention::Released`].
    pub const fn finish_replay(&mut self) {
        self.is_replaying = false;
    }

    /// Says that consumer `name` is done with every record up to `seq`; durable with the next
    /// commit. A cursor never goes back.
    ///
    /// # Errors
    /// [`Error::Cursor`].
    pub fn set_cursor(&mut self, name: &str, seq: u64) -> Result<(), Error> {
        self.cursors.set(name, seq)
    }

    /// Forgets a consumer; whether there was one.
    pub fn remove_cursor(&mut self, name: &str) -> bool {
        self.cursors.remove(name)
    }

    /// Number of the last record consumer `name` is done with.
    pub fn cursor(&self, name: &str) -> Option<u64> {
        self.cursors.get(name)
    }

    /// All consumers in the order of their names.
    pub fn cursors(&self) -> impl Iterator<Item = (&str, u64)> {
        self.cursors.iter()
    }

    /// Records that were deleted before consumer `name` was done with them. Only
    /// [`Retention::Oldest`] does that.
    pub fn n_missed(&self, name: &str) -> u64 {
        let done = self.cursor(name).unwrap_or(0);
        self.first_seq().saturating_sub(done.saturating_add(1))
    }

    /// Where consumers note between commits how far they are, on any thread.
    pub fn bookmarks(&self) -> Bookmarks<D> {
        let latest = self.cursors().map(|(name, done)| (name.to_owned(), done)).collect();
        Bookmarks::new(Arc::clone(&self.disk), latest)
    }

    /// Number of the first record that is still there; the next one's if there is none.
    pub fn first_seq(&self) -> u64 {
        let current = self.current.as_ref().map(|segment| segment.meta);
        let first = self.sealed.iter().copied().chain(current).find_map(|meta| meta.first_seq);
        first.unwrap_or(self.next_seq)
    }

    /// Number of the last record that is acknowledged.
    pub fn acknowledged_seq(&self) -> u64 {
        match self.config.durability {
            Durability::Fsync => self.synced_seq,
            Durability::Write => self.written_seq,
            Durability::Memory => self.next_seq - 1,
        }
    }

    /// Number of the last record that is known to be on disk; 0 if there is none.
    pub const fn synced_seq(&self) -> u64 {
        self.synced_seq
    }

    /// Number the next record will get.
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The committed records from number `from_seq` on, oldest first. The iterator is on its own:
    /// the log may be used meanwhile.
    pub fn records(&self, from_seq: u64) -> Records<D> {
        let current = self.current.as_ref().map(|segment| segment.meta);
        let segments = self.sealed.iter().copied().chain(current).collect();
        Records::new(Arc::clone(&self.disk), segments, from_seq)
    }

    /// Reads records at their positions, on any thread, with a cache of `cache_bytes`.
    pub fn reader(&self, cache_bytes: usize) -> Reader<D> {
        Reader::new(Arc::clone(&self.disk), Arc::clone(&self.lowest_id), cache_bytes)
    }

    /// Room on the disk; `None` where that is not known.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn space(&self) -> Result<Option<Space>, Error> {
        self.disk.space().map_err(Error::io("ask for the room of", &self.disk.describe()))
    }

    /// Gauges and counters. Cost: the number of segments.
    pub fn stats(&self) -> Stats {
        let held = self.sealed.iter().chain(self.current.as_ref().map(|segment| &segment.meta));
        Stats {
            n_bytes: self.n_bytes(),
            n_segments: self.sealed.len() as u64 + u64::from(self.current.is_some()),
            n_held: held.map(|meta| meta.n_held).sum(),
            n_unsynced_bytes: self.unsynced.n_bytes(),
            ..self.counts
        }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |segment| segment.meta.n_bytes);
        self.sealed.iter().map(|meta| meta.n_bytes).sum::<u64>() + current
    }

    pub(crate) fn push(&mut self, kind: Kind, codec: Codec, payload: &[u8]) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.unsynced.push(seq, kind, codec, payload);
        seq
    }

    pub(crate) fn metas_mut(&mut self) -> impl Iterator<Item = &mut Meta> {
        self.sealed.iter_mut().chain(self.current.as_mut().map(|segment| &mut segment.meta))
    }

    /// The segment with this id, if it is still there.
    fn meta_mut(&mut self, id: u32) -> Option<&mut Meta> {
        match &mut self.current {
            Some(segment) if segment.meta.id == id => Some(&mut segment.meta),
            _ => {
                let idx = self.sealed.binary_search_by_key(&id, |meta| meta.id).ok()?;
                self.sealed.get_mut(idx)
            }
        }
    }
}

impl<D: Disk> std::fmt::Debug for Log<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("Log");
        out.field("dir", &self.disk.describe()).field("next_seq", &self.next_seq);
        out.finish_non_exhaustive()
    }
}
