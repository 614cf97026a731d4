//! How records reach the disk, and what happens when they do not.
//!
//! After a failed fsync the system may count pages as clean that never reached the disk, so that a
//! second fsync of the same file succeeds and means nothing. Such a file is sealed and never synced
//! again; what was not acknowledged is still in memory and goes to a new file. The header of that
//! file names its first record, which overrules whatever the old one shows from there on.

use std::io;

use crate::disk::{Disk, DiskFile};
use crate::error::{Error, is_full};
use crate::log::{Committed, Log};
use crate::record::{Codec, Kind};
use crate::segment::{
    ID_MAX, Meta, SEGMENT_HEADER_BYTES, Segment, encode_header, mark_of, name_of,
};

/// Why records could not be brought to disk.
enum Failure {
    /// Nothing is known to be wrong but that it could not be written.
    Write(Error),
    /// A sync failed: the file at hand cannot be trusted any more.
    Sync(io::Error),
}

impl<D: Disk> Log<D> {
    pub(crate) fn flush(&mut self, is_synced: bool) -> Result<Committed, Error> {
        if self.is_stopped {
            return Err(Error::Stopped);
        }
        let is_behind = is_synced && self.synced_seq < self.written_seq;
        if self.unsynced.is_empty() && !self.cursors.is_dirty && !is_behind {
            self.take_releases();
            self.settle();
            return Ok(Committed::default());
        }
        self.seal_if_full();
        self.stage_cursors();
        match self.write_out(is_synced) {
            Ok(()) => {}
            Err(Failure::Write(error)) => {
                self.undo_write();
                return Err(error);
            }
            Err(Failure::Sync(error)) => {
                self.seal_failed();
                if self.unsynced.is_empty() {
                    return Err(Error::io("sync", &self.disk.describe())(error));
                }
                self.write_elsewhere(is_synced)?;
            }
        }
        Ok(self.accept(is_synced))
    }

    /// Writes what was not acknowledged to a new segment, after a sync has failed.
    fn write_elsewhere(&mut self, is_synced: bool) -> Result<(), Error> {
        match self.write_out(is_synced) {
            Ok(()) => Ok(()),
            Err(Failure::Write(error)) => {
                self.undo_write();
                Err(error)
            }
            Err(Failure::Sync(error)) => {
                self.seal_failed();
                if is_full(&error) {
                    // Some systems find out only now that there is no room.
                    return Err(Error::io("sync", &self.disk.describe())(error));
                }
                self.is_stopped = true;
                Err(Error::Stopped)
            }
        }
    }

    fn write_out(&mut self, is_synced: bool) -> Result<(), Failure> {
        if !self.unsynced.is_empty() {
            if self.current.is_none() {
                self.begin_segment().map_err(Failure::Write)?;
            }
            if let Some(Segment { file, meta }) = &mut self.current {
                let bytes = self.unsynced.encoded(meta.id);
                let written = file.write_at(meta.n_bytes, bytes);
                written.map_err(|e| Failure::Write(Error::io("write", &name_of(meta.id))(e)))?;
            }
        }
        if is_synced { self.sync_current().map_err(Failure::Sync) } else { Ok(()) }
    }

    pub(crate) fn sync_current(&mut self) -> io::Result<()> {
        let Some(segment) = &mut self.current else { return Ok(()) };
        segment.file.sync()?;
        if !self.is_named {
            self.disk.sync_dir()?;
            self.is_named = true;
        }
        Ok(())
    }

    /// Notes that everything appended is written, and on disk if `is_synced`.
    fn accept(&mut self, is_synced: bool) -> Committed {
        let mut committed = Committed::default();
        if let Some(segment) = self.current.as_mut().filter(|_| !self.unsynced.is_empty()) {
            let meta = &mut segment.meta;
            committed = Committed {
                segment: meta.id,
                base: meta.n_bytes as u32,
                first_seq: self.unsynced.first_seq().unwrap_or(self.next_seq),
                starts: self.unsynced.take_starts(),
            };
            meta.n_bytes += self.unsynced.n_bytes();
            meta.n_held += self.unsynced.n_held;
            meta.last_seq = self.next_seq - 1;
            if self.unsynced.has_cursors {
                self.cursors.segment = Some(meta.id);
            }
            self.unsynced.clear();
            self.n_forgiven = 0;
            self.counts.n_commits += 1;
        }
        self.written_seq = self.next_seq - 1;
        self.take_releases();
        if is_synced {
            self.synced_seq = self.written_seq;
            self.settle();
        }
        committed
    }

    /// Adds a record of the cursors if they have changed, or if this segment has none.
    fn stage_cursors(&mut self) {
        let current = self.current.as_ref().map(|segment| segment.meta.id);
        let is_missing = !self.cursors.is_empty()
            && (current.is_none() || self.cursors.segment != current)
            && !self.unsynced.has_cursors
            && !self.unsynced.is_empty();
        if self.cursors.is_dirty || is_missing {
            let payload = self.cursors.encode();
            self.push(Kind::CURSOR, Codec::NONE, &payload);
            self.cursors.is_dirty = false;
            self.unsynced.has_cursors = true;
        }
    }

    pub(crate) fn begin_segment(&mut self) -> Result<(), Error> {
        let id = self.next_id;
        let name = name_of(id);
        if id > ID_MAX {
            let source = io::Error::other("numbers of segments are used up");
            return Err(Error::Io { action: "create", file: name, source });
        }
        let first_seq = self.unsynced.first_seq().unwrap_or(self.next_seq);
        let mut file = self.disk.create(&name).map_err(Error::io("create", &name))?;
        // Whatever happens to this file, its number is never used again.
        self.next_id += 1;
        if let Err(error) = file.write_at(0, &encode_header(id, first_seq, self.n_forgiven)) {
            drop(file);
            // Best effort: recovery removes what is left of a segment that never began.
            drop(self.disk.remove(&name));
            return Err(Error::io("write", &name)(error));
        }
        let n_bytes = SEGMENT_HEADER_BYTES as u64;
        self.current =
            Some(Segment { file, meta: Meta { n_bytes, ..Meta::new(id, Some(first_seq)) } });
        self.is_named = false;
        Ok(())
    }

    /// After a failed write: takes off what of it reached the file, or leaves the file alone.
    fn undo_write(&mut self) {
        if let Some(Segment { file, meta }) = &mut self.current
            && file.truncate(meta.n_bytes).is_err()
        {
            self.seal();
        }
    }

    /// Ends a segment that has no room for what is to be written. It is on disk before another
    /// begins, whatever the durability.
    fn seal_if_full(&mut self) {
        let n_new = self.unsynced.n_bytes();
        let is_full = |segment: &Segment<D::File>| {
            segment.meta.n_bytes > SEGMENT_HEADER_BYTES as u64
                && segment.meta.n_bytes + n_new > self.config.segment_bytes
        };
        if !self.current.as_ref().is_some_and(is_full) {
            return;
        }
        if self.synced_seq < self.written_seq && self.sync_current().is_err() {
            self.seal_failed();
        } else {
            self.synced_seq = self.written_seq;
            self.seal();
        }
    }

    pub(crate) fn seal(&mut self) {
        if let Some(segment) = self.current.take() {
            self.sealed.push(segment.meta);
        }
    }

    /// Seals a segment whose sync failed, and leaves a mark for whoever opens the log next. What
    /// was acknowledged without a sync is in doubt from now on.
    fn seal_failed(&mut self) {
        self.counts.n_failed_syncs += 1;
        self.counts.n_unsure_records += self.written_seq - self.synced_seq;
        self.synced_seq = self.written_seq;
        let Some(segment) = self.current.take() else { return };
        let id = segment.meta.id;
        // Nothing in it was acknowledged: it need not stay.
        let is_gone = segment.meta.last_seq == 0 && self.disk.remove(&name_of(id)).is_ok();
        if !is_gone {
            self.mark(id);
            self.sealed.push(segment.meta);
        }
    }

    /// Best effort: without the mark, records that were never acknowledged may seem to be on disk
    /// until power fails.
    pub(crate) fn mark(&mut self, id: u32) {
        self.marked.insert(id);
        drop(self.disk.create(&mark_of(id)));
    }
}
