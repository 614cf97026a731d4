//! Records of the kept log in bytes. See `docs/formats/kept.md`.

use bytes::Bytes;
use spanwise_assembler::Note;
use spanwise_model::TraceId;

use super::message::{Entry, KeptPack};

/// Version of both payloads.
const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 16 + 8 + 8 + 2;

/// A record that was read back.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) is_stamped: bool,
    pub(super) n_spans: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) request: Bytes,
}

/// Payload of kept traces.
pub(super) fn kept(pack: &KeptPack) -> Vec<u8> {
    let mut out = Vec::with_capacity(10 + pack.entries.len() * ENTRY_BYTES + pack.request.len());
    out.extend_from_slice(&[VERSION, u8::from(pack.is_stamped)]);
    out.extend_from_slice(&(pack.n_spans as u32).to_le_bytes());
    write_entries(&mut out, &pack.entries);
    out.extend_from_slice(&pack.request);
    out
}

/// Payload of verdicts.
pub(super) fn verdicts(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(5 + entries.len() * ENTRY_BYTES);
    out.push(VERSION);
    write_entries(&mut out, entries);
    out
}

/// Reads kept traces; `None` if they are of another version or damaged.
pub(super) fn read_kept(payload: &Bytes) -> Option<Kept> {
    let mut input = Input(payload);
    let [version, is_stamped] = input.take()?;
    if version != VERSION {
        return None;
    }
    let n_spans = u64::from(u32::from_le_bytes(input.take()?));
    let entries = input.entries()?;
    let request = payload.slice(payload.len() - input.0.len()..);
    Some(Kept { is_stamped: is_stamped != 0, n_spans, entries, request })
}

/// Reads verdicts; `None` if they are of another version or damaged.
pub(super) fn read_verdicts(payload: &[u8]) -> Option<Vec<Entry>> {
    let mut input = Input(payload);
    let [version] = input.take()?;
    let entries = (version == VERSION).then(|| input.entries()).flatten()?;
    input.0.is_empty().then_some(entries)
}

fn write_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        let note = entry.kept.unwrap_or_default();
        let flags = u8::from(entry.kept.is_some()) | u8::from(note.erase_threshold) << 1;
        out.extend_from_slice(&entry.trace_id.0);
        out.extend_from_slice(&entry.through.to_le_bytes());
        out.extend_from_slice(&note.threshold.to_le_bytes());
        out.extend_from_slice(&[flags, note.reason]);
    }
}

/// What has not been read yet.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn entries(&mut self) -> Option<Vec<Entry>> {
        let n = u32::from_le_bytes(self.take()?) as usize;
        if n > self.0.len() / ENTRY_BYTES {
            return None;
        }
        (0..n)
            .map(|_| {
                let trace_id = TraceId(self.take()?);
                let through = u64::from_le_bytes(self.take()?);
                let threshold = u64::from_le_bytes(self.take()?);
                let [flags, reason] = self.take()?;
                let note = Note { threshold, erase_threshold: flags & 2 != 0, reason };
                Some(Entry { trace_id, through, kept: (flags & 1 != 0).then_some(note) })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let note = Note { threshold: 1 << 55, erase_threshold: true, reason: 3 };
        vec![
            Entry { trace_id: TraceId([1; 16]), through: 7, kept: Some(note) },
            Entry { trace_id: TraceId([2; 16]), through: u64::MAX, kept: None },
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pack = KeptPack {
            request: Bytes::from_static(b"request"),
            n_spans: 9,
            is_stamped: true,
            is_whole: true,
            entries: entries(),
        };
        let read = read_kept(&kept(&pack).into()).unwrap();
        assert_eq!((read.n_spans, read.is_stamped), (9, true));
        assert_eq!((read.request, read.entries), (pack.request, entries()));
        assert_eq!(read_verdicts(&verdicts(&entries())).unwrap(), entries());
    }

    #[test]
    fn records_have_the_documented_bytes() {
        let payload = verdicts(&entries()[..1]);
        let expected = [&[1, 1, 0, 0, 0][..], &[1; 16], &[7, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(payload[..29], expected);
        assert_eq!(payload[29..], [0, 0, 0, 0, 0, 0, 0x80, 0, 3, 3]);
    }

    #[test]
    fn damaged_records_are_none() {
        let whole = verdicts(&entries());
        for cut in 0..whole.len() {
            assert!(read_verdicts(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(read_verdicts(&[&whole[..], &[0]].concat()).is_none());
        assert!(read_kept(&Bytes::from_static(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0])).is_none());
        assert!(read_kept(&Bytes::from_static(&[1, 0, 0, 0, 0, 0, 9, 0, 0, 0])).is_none());
    }
}
