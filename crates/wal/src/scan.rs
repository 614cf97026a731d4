//! Reads one segment record by record, and finds the next good record behind damage.
//!
//! Behind damage any byte may be the start of a record. Sequence numbers make the search cheap: a
//! record here can only have one of few numbers, so a checksum is computed for real candidates and
//! hardly ever for anything else.

use std::io;

use crate::disk::DiskFile;
use crate::record::{HEADER_BYTES, Header, Record};
use crate::segment::{SEGMENT_HEADER_BYTES, decode_header, read_full};

/// Bytes read from disk at a time, unless a record is larger.
const WINDOW_BYTES: u64 = 1 << 16;

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Scan<F> {
    file: F,
    segment_id: u64,
    n_bytes: u64,
    /// Where the next record should start.
    at: u64,
    /// Where the last good record ended.
    good_end: u64,
    /// The lowest sequence number the next record can have.
    next_seq: u64,
    window: Vec<u8>,
    window_at: u64,
    /// First number of the header, if the header is good.
    pub(crate) first_seq: Option<u64>,
    /// Whether the header never reached the disk: too short, or nothing but zeros.
    pub(crate) is_unborn: bool,
}

/// What the walk met.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good record.
    Record(Record),
    /// Bytes from `at` up to a good record, or up to the end if `is_tail`.
    Bad { at: u64, n_bytes: u64, is_tail: bool },
}

impl<F: DiskFile> Scan<F> {
    /// Starts behind the header. A bad header is noted and the records are read all the same: the
    /// file's name tells the id, and that is all their checksums need. What lies behind
    /// `n_bytes_max` is not read.
    pub(crate) fn new(mut file: F, segment_id: u64, n_bytes_max: u64) -> io::Result<Self> {
        let n_bytes = file.n_bytes()?.min(n_bytes_max);
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let n_read = read_full(&mut file, 0, &mut header)?;
        let header = &header[..n_read];
        let first_seq = decode_header(segment_id, header);
        let is_short = n_read < SEGMENT_HEADER_BYTES;
        let is_unborn = is_short || header.iter().all(|&byte| byte == 0);
        Ok(Self {
            file,
            segment_id,
            n_bytes,
            at: (SEGMENT_HEADER_BYTES as u64).min(n_bytes),
            good_end: (SEGMENT_HEADER_BYTES as u64).min(n_bytes),
            next_seq: first_seq.unwrap_or(0),
            window: Vec::new(),
            window_at: 0,
            first_seq,
            is_unborn,
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
            return self.take(header).map(|record| Some(Step::Record(record)));
        }
        let from = self.at;
        self.at += 1;
        while self.at < self.n_bytes && self.record_at(self.at)?.is_none() {
            self.at += 1;
        }
        let n_bytes = self.at - from;
        Ok(Some(Step::Bad { at: from, n_bytes, is_tail: self.at == self.n_bytes }))
    }

    /// The header of a good record that starts at `at`.
    fn record_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let n_left = self.n_bytes - at;
        let Some(header) = Header::parse(self.bytes(at, HEADER_BYTES as u64)?) else {
            return Ok(None);
        };
        // Without a segment header the first number is unknown, and any will do.
        let highest = match self.next_seq {
            0 => u64::MAX,
            next => next.saturating_add((at - self.good_end) / HEADER_BYTES as u64),
        };
        if header.record_bytes() > n_left || !(self.next_seq..=highest).contains(&header.seq) {
            return Ok(None);
        }
        let segment_id = self.segment_id;
        let record = self.bytes(at, header.record_bytes())?;
        let is_good = record.get(HEADER_BYTES..).is_some_and(|p| header.fits(segment_id, p));
        Ok(is_good.then_some(header))
    }

    /// The record at `self.at`, whose header is good.
    fn take(&mut self, header: Header) -> io::Result<Record> {
        let at = self.at;
        self.at += header.record_bytes();
        self.good_end = self.at;
        self.next_seq = header.seq.saturating_add(1);
        let payload = self.bytes(at, header.record_bytes())?.get(HEADER_BYTES..);
        let payload = payload.unwrap_or_default().to_vec();
        Ok(Record { seq: header.seq, kind: header.kind, codec: header.codec, payload })
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
