//! Which segments go, and when.
//!
//! Only ever the oldest, so that what a record refers to, which is always older, goes before it; and
//! one removal is on disk before the next, so that no order of events leaves a batch behind whose
//! verdict is gone.

use std::sync::atomic::Ordering;

use crate::config::Retention;
use crate::disk::Disk;
use crate::log::Log;
use crate::segment::{Fate, Meta, mark_of, name_of, quarantine_of};

/// Damaged segments that are kept aside at most; beyond it the oldest is deleted.
const QUARANTINED_MAX: usize = 4;

impl<D: Disk> Log<D> {
    /// Notes that nothing waits to be written that a release depends on.
    pub(crate) fn take_releases(&mut self) {
        for meta in self.metas_mut() {
            meta.n_released += meta.n_released_by_unwritten;
            meta.n_released_by_unwritten = 0;
        }
    }

    /// Lets releases take effect and deletes what is not needed any more, if everything that was
    /// written is on disk.
    pub(crate) fn settle(&mut self) {
        if self.synced_seq < self.written_seq || !self.unsynced.is_empty() {
            return;
        }
        for meta in self.metas_mut() {
            meta.n_held -= meta.n_released;
            meta.n_released = 0;
        }
        let has_current = self.is_named && self.current.is_some();
        if !has_current && !self.begin_newer() {
            return;
        }
        while let Some(idx) = self.sealed.iter().position(|meta| meta.fate != Fate::LeaveAlone) {
            if !self.may_go(self.sealed[idx]) || !self.remove(idx) {
                return;
            }
        }
    }

    /// Begins a segment where there is none and the oldest could go if there were: a log that is full, its
    /// last segment sealed when it was opened, would else take nothing that begins one. Whether there is one
    /// now.
    fn begin_newer(&mut self) -> bool {
        let mut metas = self.sealed.iter().filter(|meta| meta.fate != Fate::LeaveAlone);
        if !metas.next().is_some_and(|&oldest| self.may_go(oldest)) {
            return false;
        }
        (self.current.is_some() || self.begin_segment().is_ok()) && self.sync_current().is_ok()
    }

    fn may_go(&self, oldest: Meta) -> bool {
        let has_cursors = !self.cursors.is_empty() && self.cursors.segment == Some(oldest.id);
        let is_due = match self.config.retention {
            Retention::Oldest => self.n_bytes() > self.config.log_bytes_max,
            Retention::Released => {
                !self.is_replaying
                    && oldest.n_held == 0
                    && self.cursors.have_passed(oldest.last_seq)
            }
        };
        is_due && !has_cursors
    }

    /// Removes a segment; whether that succeeded.
    fn remove(&mut self, idx: usize) -> bool {
        assert!(self.is_named && self.current.is_some(), "a newer segment is on disk");
        let Meta { id, fate, .. } = self.sealed[idx];
        if !self.is_removal_synced && self.disk.sync_dir().is_err() {
            self.counts.n_failed_removals += 1;
            return false;
        }
        self.is_removal_synced = true;
        let name = name_of(id);
        let removed = match fate {
            Fate::Quarantine => self.disk.rename(&name, &quarantine_of(id)),
            Fate::Delete | Fate::LeaveAlone => self.disk.remove(&name),
        };
        if removed.is_err() {
            self.counts.n_failed_removals += 1;
            return false;
        }
        self.is_removal_synced = false;
        self.sealed.remove(idx);
        if self.marked.remove(&id) {
            drop(self.disk.remove(&mark_of(id)));
        }
        if fate == Fate::Quarantine {
            self.counts.n_quarantined_segments += 1;
            self.quarantined.push_back(id);
            self.prune_quarantine();
        } else {
            self.counts.n_removed_segments += 1;
        }
        self.publish_lowest();
        true
    }

    /// Best effort: what cannot be deleted now is found again at the next start.
    pub(crate) fn prune_quarantine(&mut self) {
        while self.quarantined.len() > QUARANTINED_MAX {
            if let Some(id) = self.quarantined.pop_front() {
                drop(self.disk.remove(&quarantine_of(id)));
            }
        }
    }

    /// Tells readers which segments are gone.
    pub(crate) fn publish_lowest(&self) {
        let current = self.current.as_ref().map(|segment| segment.meta.id);
        let lowest = self.sealed.iter().map(|meta| meta.id).chain(current).next();
        self.lowest_id.store(lowest.unwrap_or(0), Ordering::Release);
    }
}
