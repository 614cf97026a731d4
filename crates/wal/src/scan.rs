//! Reads one segment record by record, and finds the next good record behind damage.
//!
//! Behind damage any byte may be the start of a record. Sequence numbers make the search cheap: a
//! record here can only have one of few numbers, so a checksum is computed for real candidates and
//! hardly ever for anything else. Payloads come from outside, though, and may be full of bytes that
//! look like records; so the damaged record's own header is tried first, and the search has a
//! budget, behind which the rest of a segment is damage.

use std::io;

use crate::disk::DiskFile;
use crate::record::{HEADER_BYTES, Header, Position, Record};
use crate::segment::{SEGMENT_HEADER_BYTES, SEQ_MAX, SegmentHeader, read_full, read_header};

/// Bytes read from disk at a time, unless a record is larger.
const WINDOW_BYTES: u64 = 1 << 16;
/// How often the size of a segment is spent on checksums that do not fit, before the search ends.
/// True damage costs less than once.
const SEARCH_FACTOR: u64 = 8;
/// The least budget of a search.
const SEARCH_BYTES_MIN: u64 = 1 << 20;

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Scan<F> {
    file: F,
    segment_id: u32,
    n_bytes: u64,
    /// Where the next record should start.
    at: u64,
    /// Where the last good record ended.
    good_end: u64,
    /// The lowest sequence number the next record can have.
    next_seq: u64,
    /// Bytes that may still be spent on checksums that do not fit.
    budget: u64,
    window: Vec<u8>,
    window_at: u64,
    pub(crate) header: SegmentHeader,
}

/// What the walk met.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good record, and the number of the first one of its commit.
    Record(Record, u64),
    /// Bytes from `at` up to a good record, or up to the end if `is_tail`.
    Bad { at: u64, n_bytes: u64, is_tail: bool },
}

impl<F: DiskFile> Scan<F> {
    /// Starts behind the header. A bad header is noted and the records are read all the same: the
    /// file's name tells the id, and that is all their checksums need. What lies behind
    /// `n_bytes_max` is not read.
    pub(crate) fn new(mut file: F, segment_id: u32, n_bytes_max: u64) -> io::Result<Self> {
        let n_bytes = file.n_bytes()?.min(n_bytes_max);
        let header = read_header(segment_id, &mut file)?;
        Ok(Self {
            file,
            segment_id,
            n_bytes,
            at: (SEGMENT_HEADER_BYTES as u64).min(n_bytes),
            good_end: (SEGMENT_HEADER_BYTES as u64).min(n_bytes),
            next_seq: header.first_seq().unwrap_or(0),
            budget: (n_bytes * SEARCH_FACTOR).max(SEARCH_BYTES_MIN),
            window: Vec::new(),
            window_at: 0,
            header,
        })
    }

    pub(crate) const fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Where the next record should start.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// The lowest number the next record can have.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(crate) fn into_file(self) -> F {
        self.file
    }

    /// The next record or stretch of damage; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Step>> {
        if self.at >= self.n_bytes {
            return Ok(None);
        }
        if let Some(header) = self.record_at(self.at)? {
            let record = self.take(header)?;
            return Ok(Some(Step::Record(record, header.group_first())));
        }
        let from = self.at;
        self.at = self.end_by_header(from)?.unwrap_or(from + 1);
        while self.at < self.n_bytes && self.record_at(self.at)?.is_none() {
            self.at = if self.budget == 0 { self.n_bytes } else { self.at + 1 };
        }
        let n_bytes = self.at - from;
        let is_tail = self.at == self.n_bytes && self.budget > 0;
        Ok(Some(Step::Bad { at: from, n_bytes, is_tail }))
    }

    /// Where the damaged record at `at` ends by its own header, if a good record starts there. It
    /// saves the search when only a payload is damaged.
    fn end_by_header(&mut self, at: u64) -> io::Result<Option<u64>> {
        let header = Header::parse(self.bytes(at, HEADER_BYTES as u64)?);
        let is_next = |header: &Header| header.seq == self.next_seq && self.next_seq > 0;
        let Some(header) = header.filter(is_next) else { return Ok(None) };
        let end = at + header.record_bytes();
        if end >= self.n_bytes {
            return Ok(None);
        }
        Ok(self.record_at(end)?.map(|_| end))
    }

    /// The header of a good record that starts at `at`.
    fn record_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let n_left = self.n_bytes - at;
        let Some(header) = Header::parse(self.bytes(at, HEADER_BYTES as u64)?) else {
            return Ok(None);
        };
        // Without a segment header the first number is unknown, and any will do.
        let highest = match self.next_seq {
            0 => SEQ_MAX,
            next => (next + (at - self.good_end) / HEADER_BYTES as u64).min(SEQ_MAX),
        };
        // Offsets are 32 bits; the log writes no longer segments.
        let may_stand = header.record_bytes() <= n_left && u32::try_from(at).is_ok();
        if !may_stand || !(self.next_seq..=highest).contains(&header.seq) {
            return Ok(None);
        }
        let (version, segment_id) = (self.header.version(), self.segment_id);
        let record = self.bytes(at, header.record_bytes())?;
        let payload = record.get(HEADER_BYTES..);
        let is_good = payload.is_some_and(|payload| header.fits(version, segment_id, payload));
        if !is_good {
            self.budget = self.budget.saturating_sub(header.record_bytes());
        }
        Ok(is_good.then_some(header))
    }

    /// The record at `self.at`, whose header is good.
    fn take(&mut self, header: Header) -> io::Result<Record> {
        let at = self.at;
        self.at += header.record_bytes();
        self.good_end = self.at;
        self.next_seq = header.seq + 1;
        let payload = self.bytes(at, header.record_bytes())?.get(HEADER_BYTES..);
        let payload = payload.unwrap_or_default().to_vec();
        let position = Position { segment: self.segment_id, offset: at as u32 };
        let Header { seq, kind, codec, .. } = header;
        Ok(Record { seq, kind, codec, position, payload })
    }

    /// `n` bytes from `at`, fewer at the end of the file.
    fn bytes(&mut self, at: u64, n: u64) -> io::Result<&[u8]> {
        let end = (at + n).min(self.n_bytes);
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || end > window_end {
            let n_wanted = n.max(WINDOW_BYTES).min(self.n_bytes - at) as usize;
            self.window.resize(n_wanted, 0);
            let n_read = read_full(&mut self.file, at, &mut self.window)?;
            self.window.truncate(n_read);
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        let to = ((end - self.window_at) as usize).min(self.window.len());
        Ok(self.window.get(from..to).unwrap_or_default())
    }
}
