//! What is found when a log is opened, and reading it back.

use std::fmt;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Error;
use crate::record::Record;
use crate::scan::{Scan, Step};
use crate::segment::{Meta, name_of};

/// Problems described one by one at most; beyond it they are only counted.
const N_PROBLEMS_MAX: usize = 32;

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments in the directory.
    pub n_segments: u64,
    /// Good records, duplicates not counted.
    pub n_records: u64,
    /// Records that are missing, by their sequence numbers; at least as many.
    pub n_lost: u64,
    /// Records that stand in two segments, because the first could not be synced. They are read
    /// once.
    pub n_duplicates: u64,
    /// Stretches of damage with good records behind them, bad headers, unreadable segments and
    /// segments of a later version.
    pub n_damaged: u64,
    /// Bytes of commits that power cut short: they were not acknowledged.
    pub n_torn_bytes: u64,
    /// Up to 32 of the places, in order.
    pub problems: Vec<Problem>,
}

/// One place that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The segment's file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes; 0 if unknown.
    pub n_bytes: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A commit that power cut short: nothing good behind it, or only records of the same commit.
    /// Expected after a crash.
    TornTail,
    /// Good records of later commits behind it.
    Corrupt,
    /// The segment's header is damaged; its records were read all the same.
    BadHeader,
    /// The system cannot read the file. It stays, and is tried again at the next start.
    Unreadable,
    /// A sync of this segment failed, now or before. Its last records, which were not acknowledged,
    /// may not last.
    NotSynced,
    /// A later version of the program wrote it. It stays as it is.
    OtherVersion,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TornTail => "torn tail",
            Self::Corrupt => "corrupt records",
            Self::BadHeader => "damaged header",
            Self::Unreadable => "unreadable",
            Self::NotSynced => "failed sync",
            Self::OtherVersion => "later version",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, n_bytes, damage } = self;
        write!(f, "{file}: {damage}, {n_bytes} bytes at offset {offset}")
    }
}

/// One sentence for the log: what there is, what is missing, and the first place.
impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_segments, n_records, n_lost, n_damaged, .. } = self;
        write!(
            f,
            "{n_records} good records in {n_segments} files, at least {n_lost} lost, \
             {n_damaged} damaged places"
        )?;
        match self.problems.first() {
            Some(problem) => write!(f, ", first {problem}"),
            None => Ok(()),
        }
    }
}

impl Recovery {
    /// Whether something is wrong that a crash does not explain.
    pub const fn is_degraded(&self) -> bool {
        self.n_lost > 0 || self.n_damaged > 0
    }

    pub(crate) fn note(&mut self, id: u32, offset: u64, n_bytes: u64, damage: Damage) {
        match damage {
            Damage::TornTail => self.n_torn_bytes += n_bytes,
            Damage::NotSynced => {}
            _ => self.n_damaged += 1,
        }
        if self.problems.len() < N_PROBLEMS_MAX {
            self.problems.push(Problem { file: name_of(id), offset, n_bytes, damage });
        }
    }
}

/// Keeps track of sequence numbers over all segments.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    /// The number that should come next; 0 while none is known.
    pub(crate) next: u64,
    /// Whether there are records that cannot be read now but perhaps later.
    pub(crate) has_unread: bool,
}

/// Where the numbers go on after a jump, in the segment to be made next.
///
/// Some records could not be read when it was made, so their numbers are unknown. Given out again,
/// the new records would pass for duplicates once the old ones can be read. Numbers in segment k
/// stay below (k + 1) 2^32, since a segment holds far fewer records than that.
pub(crate) const fn jump(segment_id: u32) -> u64 {
    (segment_id as u64) << 32
}

impl Sequence {
    /// Takes the first number that a segment's header names; how many are missing before it.
    pub(crate) fn begin(&mut self, first_seq: Option<u64>) -> u64 {
        first_seq.map_or(0, |first| self.skip_to(first))
    }

    /// The number for the next new record, which will stand in segment `next_id`.
    pub(crate) fn next_new(&self, next_id: u32) -> u64 {
        self.next.max(if self.has_unread { jump(next_id) } else { 1 })
    }

    /// Notes that something cannot be read now.
    pub(crate) const fn note_unread(&mut self) {
        self.has_unread = true;
    }

    /// Whether a record is new; else it was seen in an earlier segment.
    pub(crate) fn advance(&mut self, seq: u64) -> bool {
        let is_new = seq >= self.next;
        self.next = self.next.max(seq + 1);
        is_new
    }

    /// Goes on to number `seq`, if that is ahead; how many numbers are missing before it. A jump
    /// counts for nothing.
    pub(crate) fn skip_to(&mut self, seq: u64) -> u64 {
        let after_jump = seq & !u64::from(u32::MAX);
        let n_missing = match self.next {
            0 => 0,
            next => seq.saturating_sub(next.max(after_jump)),
        };
        self.next = self.next.max(seq);
        n_missing
    }
}

/// Iterator over the records of a log, oldest first, each once. Damage is passed over, as when the
/// log was opened; a segment that cannot be read is one error, and the next one follows.
///
/// Memory: one record, and a window of 64 KiB.
pub struct Records<D: Disk> {
    disk: Arc<D>,
    segments: std::vec::IntoIter<Meta>,
    scan: Option<(Meta, Scan<D::File>)>,
    sequence: Sequence,
    from_seq: u64,
}

impl<D: Disk> Records<D> {
    /// Records of `segments` from number `from_seq` on.
    pub(crate) fn new(disk: Arc<D>, mut segments: Vec<Meta>, from_seq: u64) -> Self {
        // A segment is not needed if the next one begins early enough.
        let needed = segments
            .windows(2)
            .take_while(|pair| pair[1].first_seq.is_some_and(|next_first| next_first <= from_seq));
        let n_skipped = needed.count();
        segments.drain(..n_skipped);
        let (segments, sequence) = (segments.into_iter(), Sequence::default());
        Self { disk, segments, scan: None, sequence, from_seq }
    }

    fn open(&self, segment: Meta) -> Result<Scan<D::File>, Error> {
        let name = name_of(segment.id);
        let file = self.disk.open(&name);
        file.and_then(|file| Scan::new(file, segment.id, segment.n_bytes))
            .map_err(Error::io("read", &name))
    }
}

impl<D: Disk> Iterator for Records<D> {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((segment, scan)) = &mut self.scan else {
                let segment = self.segments.next()?;
                match self.open(segment) {
                    Ok(scan) => self.scan = Some((segment, scan)),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            match scan.next() {
                Ok(Some(Step::Record(record, _))) => {
                    let counts = record.seq < segment.end_seq && self.sequence.advance(record.seq);
                    if counts && record.seq >= self.from_seq {
                        return Some(Ok(record));
                    }
                }
                Ok(Some(Step::Bad { .. })) => {}
                Ok(None) => self.scan = None,
                Err(source) => {
                    let error = Error::io("read", &name_of(segment.id))(source);
                    self.scan = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<D: Disk> fmt::Debug for Records<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("from_seq", &self.from_seq).finish_non_exhaustive()
    }
}
