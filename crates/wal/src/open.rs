//! Opening a log: every segment is read and checked, and what is wrong is told apart.
//!
//! A commit that power cut short leaves its last bytes torn, or, since disks write in any order,
//! some of its records and not others. That is no damage: none of it was acknowledged. So what is
//! missing inside the last commit of the last segment counts as torn, everything else as lost.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::bookmarks;
use crate::config::Config;
use crate::cursor::Cursors;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::log::{Log, Stats};
use crate::record::{Kind, Record, Unsynced};
use crate::recovery::{Damage, Recovery, Sequence, jump};
use crate::scan::{Scan, Step};
use crate::segment::{
    Fate, Meta, SEGMENT_HEADER_BYTES, Segment, SegmentHeader, VERSION, id_of, mark_of, name_of,
    quarantined_id_of,
};

impl<D: Disk> Log<D> {
    /// Opens the log on `disk`, or begins one. Every record is read and checked; a torn tail is cut
    /// off. Damage does not prevent opening: it is described in the [`Recovery`].
    ///
    /// With [`Retention::Released`](crate::Retention::Released) read [`Log::records`] next, tell
    /// with [`Log::hold`] what is still needed, and call [`Log::finish_replay`].
    ///
    /// # Errors
    /// [`Error::Locked`], a setting out of range, or the directory itself cannot be used.
    pub fn open(disk: D, config: Config) -> Result<(Self, Recovery), Error> {
        config.validate()?;
        let dir = disk.describe();
        let lock = disk.lock().map_err(Error::io("lock", &dir))?;
        let lock = lock.map_err(|holder| Error::Locked { dir: dir.clone(), holder })?;
        let names = disk.list().map_err(Error::io("list", &dir))?;
        let mut ids: Vec<u32> = names.iter().filter_map(|name| id_of(name)).collect();
        ids.sort_unstable();
        let mut quarantined: Vec<u32> =
            names.iter().filter_map(|name| quarantined_id_of(name)).collect();
        quarantined.sort_unstable();
        let last_id = ids.last().max(quarantined.last());
        let is_marked = |id: &u32| names.contains(&mark_of(*id));
        let marked = ids.iter().copied().filter(is_marked).collect();
        let mut log = Self {
            disk: Arc::new(disk),
            config,
            _lock: lock,
            sealed: Vec::new(),
            marked,
            next_id: last_id.map_or(1, |last| last + 1),
            quarantined: quarantined.into(),
            current: None,
            is_named: false,
            is_removal_synced: false,
            unsynced: Unsynced::default(),
            cursors: Cursors::default(),
            next_seq: 1,
            written_seq: 0,
            synced_seq: 0,
            lowest_id: Arc::new(AtomicU32::new(0)),
            n_forgiven: 0,
            is_stopped: false,
            is_replaying: true,
            counts: Stats::default(),
        };
        let recovery = log.recover(&ids);
        log.prune_quarantine();
        log.publish_lowest();
        Ok((log, recovery))
    }

    /// Reads every segment; the last one is continued if nothing is wrong with it.
    fn recover(&mut self, ids: &[u32]) -> Recovery {
        let mut recovery = Recovery { n_segments: ids.len() as u64, ..Recovery::default() };
        let mut sequence = Sequence::default();
        let mut places: Vec<Place> = ids.iter().map(|&id| self.place(id)).collect();
        let last = places.iter().rposition(|place| place.is_born);
        let (mut end_seq, mut n_forgiven) = (u64::MAX, 0);
        for (idx, place) in places.iter_mut().enumerate().rev() {
            (place.end_seq, place.n_forgiven) = (end_seq, n_forgiven);
            place.is_last = last == Some(idx);
            end_seq = place.first_seq.unwrap_or(u64::MAX).min(end_seq);
            n_forgiven = place.header_forgives;
        }
        for place in places {
            self.recover_segment(place, &mut sequence, &mut recovery);
        }
        self.take_bookmarks(&mut sequence);
        self.sync_names(&mut recovery);
        if sequence.has_unread {
            // Numbers go on with a jump, which only the header of a new segment can tell.
            self.seal();
        }
        self.next_seq = sequence.next_new(self.next_id);
        self.written_seq = self.next_seq - 1;
        self.synced_seq = self.written_seq;
        recovery
    }

    /// Moves cursors on to what was noted since they were written.
    fn take_bookmarks(&mut self, sequence: &mut Sequence) {
        let notes = bookmarks::read(&*self.disk);
        if notes.iter().any(|(_, seq)| *seq >= jump(self.next_id)) {
            // No record of this log ever had that number, but one may have it some day.
            bookmarks::remove(&*self.disk);
            return;
        }
        for (name, seq) in notes {
            if seq >= sequence.next.max(1) {
                // Power took the record; its number must not be given out again.
                sequence.note_unread();
            }
            self.cursors.advance(&name, seq);
        }
    }

    /// What the beginning of a segment tells about it and the ones before.
    fn place(&self, id: u32) -> Place {
        let unknown = Place { is_born: true, ..Place::of(id) };
        let opened = self.disk.open(&name_of(id));
        let Ok(mut scan) = opened.and_then(|file| Scan::new(file, id, u64::MAX)) else {
            return Place { is_readable: false, ..unknown };
        };
        let first_seq = match scan.header {
            SegmentHeader::Good { first_seq, .. } => Some(first_seq),
            SegmentHeader::Unborn => {
                // The header may be missing and records behind it be there.
                let is_born = std::iter::from_fn(|| scan.next().ok().flatten())
                    .any(|step| matches!(step, Step::Record(..)));
                // It was never synced, so the one before was the last that was.
                return Place { is_born, header_forgives: u32::MAX, ..Place::of(id) };
            }
            SegmentHeader::OtherVersion => None,
            SegmentHeader::Damaged => match scan.next() {
                Ok(Some(Step::Record(record, _))) => Some(record.seq),
                _ => None,
            },
        };
        Place { first_seq, header_forgives: scan.header.n_forgiven(), ..unknown }
    }

    fn recover_segment(&mut self, place: Place, sequence: &mut Sequence, recovery: &mut Recovery) {
        let Place { id, end_seq, is_last, .. } = place;
        let mut meta = Meta { end_seq, ..Meta::new(id, None) };
        // If only the second try succeeds, its numbers did not overrule earlier ones: leave it be.
        let opened = self.disk.open(&name_of(id)).ok().filter(|_| place.is_readable);
        let Some(mut scan) = opened.and_then(|file| Scan::new(file, id, u64::MAX).ok()) else {
            recovery.note(id, 0, 0, Damage::Unreadable);
            sequence.note_unread();
            self.sealed.push(Meta { fate: Fate::LeaveAlone, ..meta });
            return;
        };
        if scan.header == SegmentHeader::OtherVersion {
            recovery.note(id, 0, scan.n_bytes(), Damage::OtherVersion);
            sequence.note_unread();
            self.sealed.push(Meta { fate: Fate::LeaveAlone, ..meta });
            return;
        }
        meta.first_seq = scan.header.first_seq();
        recovery.n_lost += sequence.begin(meta.first_seq);
        let mut walk = Walk::new(place, sequence, recovery, &mut self.cursors);
        walk.run(&mut scan);
        let walked = walk.finish();
        if is_last {
            self.n_forgiven = walked.n_missing_in_tail;
        }
        meta.n_bytes = scan.n_bytes();
        meta.last_seq = walked.last_seq;
        if scan.header == SegmentHeader::Unborn && walked.is_empty() {
            // Power cut it short before its header was on disk: nothing is in it.
            recovery.note(id, 0, meta.n_bytes, Damage::TornTail);
            drop(self.disk.remove(&name_of(id)));
            return;
        }
        if meta.first_seq.is_none() {
            let is_unborn = scan.header == SegmentHeader::Unborn;
            let damage = if is_unborn { Damage::TornTail } else { Damage::BadHeader };
            recovery.note(id, 0, SEGMENT_HEADER_BYTES as u64, damage);
        }
        if walked.n_torn > 0 {
            recovery.note(id, meta.n_bytes - walked.n_torn, walked.n_torn, Damage::TornTail);
        }
        if walked.is_unreadable {
            meta.fate = Fate::LeaveAlone;
        } else if walked.is_damaged || meta.first_seq.is_none() {
            meta.fate = Fate::Quarantine;
        }
        // A record is only accepted if it continues the numbers of its segment.
        let continues = is_last
            && scan.header.version() == Some(VERSION)
            && scan.next_seq() == sequence.next
            && !walked.has_holes;
        self.keep(meta, scan.into_file(), &walked, continues);
        if self.marked.contains(&id) {
            recovery.note(id, 0, meta.n_bytes, Damage::NotSynced);
        }
    }

    /// Keeps a segment that was read: as the current one if the log can go on in it and it is sound,
    /// after its torn tail is cut off, else sealed.
    ///
    /// Every segment is synced again: what another process wrote may still be in the system's memory
    /// only. That costs nothing where it is not.
    fn keep(&mut self, mut meta: Meta, mut file: D::File, walked: &Walked, continues: bool) {
        let id = meta.id;
        meta.n_bytes -= walked.n_torn;
        let is_cut = walked.n_torn == 0 || (continues && file.truncate(meta.n_bytes).is_ok());
        if !self.marked.contains(&id) && file.sync().is_err() {
            self.mark(id);
        }
        let is_sound = is_cut && !walked.is_damaged && !self.marked.contains(&id);
        if continues && is_sound {
            self.current = Some(Segment { file, meta });
            self.is_named = true;
        } else {
            self.sealed.push(meta);
        }
    }

    /// Makes sure of the names of all segments that were found.
    fn sync_names(&mut self, recovery: &mut Recovery) {
        if self.disk.sync_dir().is_ok() {
            self.is_removal_synced = true;
            return;
        }
        let last = self.current.as_ref().map(|segment| segment.meta.id);
        if let Some(id) = last.or_else(|| self.sealed.last().map(|meta| meta.id)) {
            self.mark(id);
            recovery.note(id, 0, 0, Damage::NotSynced);
        }
        self.seal();
    }
}

/// A segment among the others.
#[derive(Clone, Copy)]
struct Place {
    id: u32,
    /// Whether anything of it ever reached the disk.
    is_born: bool,
    /// Whether its beginning could be read.
    is_readable: bool,
    /// Its first number, by its header or else its first record.
    first_seq: Option<u64>,
    header_forgives: u32,
    /// Where the numbers of later segments begin.
    end_seq: u64,
    /// How many numbers may miss in its last commit, by the header of the next segment.
    n_forgiven: u32,
    is_last: bool,
}

impl Place {
    const fn of(id: u32) -> Self {
        Self {
            id,
            is_born: false,
            is_readable: true,
            first_seq: None,
            header_forgives: 0,
            end_seq: u64::MAX,
            n_forgiven: 0,
            is_last: false,
        }
    }
}

/// What a walk over one segment found.
#[derive(Default)]
struct Walked {
    n_records: u64,
    last_seq: u64,
    /// Bytes behind the last good record.
    n_torn: u64,
    /// Whether something is wrong in front of them.
    has_holes: bool,
    /// Whether that is damage.
    is_damaged: bool,
    is_unreadable: bool,
    /// Numbers that miss in the last commit.
    n_missing_in_tail: u32,
}

impl Walked {
    const fn is_empty(&self) -> bool {
        self.n_records == 0 && !self.has_holes
    }
}

/// Bytes that are no good, with good ones of the same commit behind them.
#[derive(Clone, Copy)]
struct Suspect {
    at: u64,
    n_bytes: u64,
    n_missing: u64,
    group_first: u64,
}

/// The walk over one segment.
struct Walk<'a> {
    place: Place,
    sequence: &'a mut Sequence,
    recovery: &'a mut Recovery,
    cursors: &'a mut Cursors,
    walked: Walked,
    /// A stretch of bad bytes just passed.
    hole: Option<(u64, u64)>,
    suspect: Option<Suspect>,
}

impl<'a> Walk<'a> {
    fn new(
        place: Place,
        sequence: &'a mut Sequence,
        recovery: &'a mut Recovery,
        cursors: &'a mut Cursors,
    ) -> Self {
        let walked = Walked::default();
        Self { place, sequence, recovery, cursors, walked, hole: None, suspect: None }
    }

    fn run<F: DiskFile>(&mut self, scan: &mut Scan<F>) {
        loop {
            match scan.next() {
                Ok(Some(Step::Record(record, group_first))) => self.record(&record, group_first),
                Ok(Some(Step::Bad { n_bytes, is_tail: true, .. })) => self.walked.n_torn = n_bytes,
                Ok(Some(Step::Bad { at, n_bytes, is_tail: false })) => {
                    self.walked.has_holes = true;
                    self.hole = Some((at, n_bytes));
                }
                Ok(None) => return,
                Err(_) => {
                    self.walked.has_holes = true;
                    self.walked.is_damaged = true;
                    self.walked.is_unreadable = true;
                    self.recovery.note(self.place.id, scan.at(), 0, Damage::Unreadable);
                    self.sequence.note_unread();
                    return;
                }
            }
        }
    }

    fn record(&mut self, record: &Record, group_first: u64) {
        if self.suspect.is_some_and(|suspect| suspect.group_first != group_first) {
            self.condemn();
        }
        let expected = self.sequence.next;
        self.walked.n_records += 1;
        let is_overruled = record.seq >= self.place.end_seq;
        let next_here = record.seq.min(self.place.end_seq);
        let n_missing = self.sequence.skip_to(next_here);
        if let Some((at, n_bytes)) = self.hole.take() {
            let n_before = self.suspect.map_or(0, |suspect| suspect.n_missing);
            let first = self.suspect.map_or(at, |suspect| suspect.at);
            let n_bytes = n_bytes + self.suspect.map_or(0, |suspect| suspect.n_bytes);
            let n_missing = n_before + n_missing;
            self.suspect = Some(Suspect { at: first, n_bytes, n_missing, group_first });
            if n_missing > 0 && group_first > expected {
                self.condemn();
            }
        } else {
            self.recovery.n_lost += n_missing;
        }
        if is_overruled {
            self.recovery.n_duplicates += 1;
            return;
        }
        let is_new = self.sequence.advance(record.seq);
        self.recovery.n_records += u64::from(is_new);
        self.recovery.n_duplicates += u64::from(!is_new);
        self.walked.last_seq = self.walked.last_seq.max(record.seq);
        if is_new && record.kind == Kind::CURSOR {
            self.cursors.restore(&record.payload, self.place.id);
        }
    }

    /// The suspect was acknowledged: others came behind its commit.
    fn condemn(&mut self) {
        let Some(Suspect { at, n_bytes, n_missing, .. }) = self.suspect.take() else { return };
        self.walked.is_damaged = true;
        self.recovery.n_lost += n_missing;
        self.recovery.note(self.place.id, at, n_bytes, Damage::Corrupt);
    }

    fn finish(mut self) -> Walked {
        if let Some((at, n_bytes)) = self.hole.take() {
            // The search was given up.
            let group_first = u64::MAX;
            self.condemn();
            self.suspect = Some(Suspect { at, n_bytes, n_missing: 0, group_first });
            self.condemn();
        }
        let n_forgiven = u64::from(self.place.n_forgiven);
        let is_torn = self.suspect.is_some_and(|suspect| suspect.n_missing <= n_forgiven);
        if !self.place.is_last && !is_torn {
            self.condemn();
        }
        if let Some(Suspect { at, n_bytes, n_missing, .. }) = self.suspect.take() {
            self.walked.n_missing_in_tail = u32::try_from(n_missing).unwrap_or(u32::MAX);
            self.recovery.note(self.place.id, at, n_bytes, Damage::TornTail);
        }
        self.walked
    }
}
