//! Ids as they are, each kind in a plane of its own: random ones do not compress, and those that do
//! (zeros in front, counters) are left to the codec of the section.

use super::Broken;
use crate::varint;

/// Planes of a block: halves of trace ids, span ids, ids of unknown parents and of links.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    high: Vec<u8>,
    low: Vec<u8>,
    spans: Vec<u8>,
    others: Vec<u8>,
}

/// The planes of a block that is read, and how far each was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    high: &'a [u8],
    low: &'a [u8],
    spans: &'a [u8],
    others: &'a [u8],
}

impl Writer {
    pub(super) fn trace(&mut self, id: u128) {
        let bytes = id.to_be_bytes();
        self.high.extend_from_slice(&bytes[..8]);
        self.low.extend_from_slice(&bytes[8..]);
    }

    pub(super) fn span(&mut self, id: u64) {
        self.spans.extend_from_slice(&id.to_be_bytes());
    }

    /// An id of a parent or a link.
    pub(super) fn other(&mut self, id: &[u8]) {
        self.others.extend_from_slice(id);
    }

    /// Appends counts alone, for ids that are made anew.
    pub(super) fn finish_counts(&self, out: &mut Vec<u8>) {
        varint::put(out, (self.high.len() / 8) as u64);
        varint::put(out, (self.spans.len() / 8) as u64);
    }

    /// Appends counts and planes.
    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        varint::put(out, (self.high.len() / 8) as u64);
        varint::put(out, (self.spans.len() / 8) as u64);
        varint::put(out, self.others.len() as u64);
        for plane in [&self.high, &self.low, &self.spans, &self.others] {
            out.extend_from_slice(plane);
        }
    }
}

fn split<'a>(rest: &mut &'a [u8], n: u64, width: u64) -> Result<&'a [u8], Broken> {
    let n = n.checked_mul(width).and_then(|n| usize::try_from(n).ok());
    let halves = n.and_then(|n| rest.split_at_checked(n));
    let (plane, tail) = halves.ok_or(Broken("ids end early"))?;
    *rest = tail;
    Ok(plane)
}

/// Takes traces and spans of a block whose ids are made anew.
pub(super) fn counts(rest: &mut &[u8]) -> Result<(u64, u64), Broken> {
    Ok((count(rest)?, count(rest)?))
}

fn count(rest: &mut &[u8]) -> Result<u64, Broken> {
    let (value, n) = varint::take(rest).ok_or(Broken("counts end early"))?;
    *rest = &rest[n..];
    Ok(value)
}

impl<'a> Reader<'a> {
    /// Takes counts and planes from the front of `rest`.
    pub(super) fn new(rest: &mut &'a [u8]) -> Result<Self, Broken> {
        let (n_traces, n_spans, n_others) = (count(rest)?, count(rest)?, count(rest)?);
        Ok(Self {
            high: split(rest, n_traces, 8)?,
            low: split(rest, n_traces, 8)?,
            spans: split(rest, n_spans, 8)?,
            others: split(rest, n_others, 1)?,
        })
    }

    /// Traces not read yet.
    pub(super) fn n_traces(&self) -> usize {
        self.high.len() / 8
    }

    /// Spans not read yet.
    pub(super) fn n_spans(&self) -> usize {
        self.spans.len() / 8
    }

    pub(super) fn trace(&mut self) -> Result<[u8; 16], Broken> {
        let mut id = [0; 16];
        id[..8].copy_from_slice(split(&mut self.high, 1, 8)?);
        id[8..].copy_from_slice(split(&mut self.low, 1, 8)?);
        Ok(id)
    }

    pub(super) fn span(&mut self) -> Result<[u8; 8], Broken> {
        let mut id = [0; 8];
        id.copy_from_slice(split(&mut self.spans, 1, 8)?);
        Ok(id)
    }

    /// An id of a parent or a link, 8 or 16 bytes.
    pub(super) fn other(&mut self, n: usize) -> Result<&'a [u8], Broken> {
        split(&mut self.others, n as u64, 1)
    }

    /// Whether everything was read.
    pub(super) fn is_done(&self) -> bool {
        self.high.is_empty() && self.spans.is_empty() && self.others.is_empty()
    }
}
