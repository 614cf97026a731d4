//! A record in bytes. Layout, little-endian: `len u32 | crc32c u32 | seq u64 | kind u8 | codec u8 |
//! group u16 | payload`. The checksum covers the segment's id too, so that bytes left over from
//! another segment never pass for a record of this one.
//!
//! `group` is the record's place among those written by one commit. It tells a commit that power
//! cut short (some of its records are there, others not) from damage to what was acknowledged.

/// Largest payload: 64 MiB.
pub const RECORD_BYTES_MAX: u32 = 64 << 20;

/// Bytes in front of the payload.
pub(crate) const HEADER_BYTES: usize = 20;

/// What a record is about. Numbers are never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

/// How a payload is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Codec(pub u8);

/// Where a committed record stands. Ordered as written; never reused in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Id of its segment.
    pub segment: u32,
    /// Byte of the segment's file at which it starts.
    pub offset: u32,
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1 for the first record of a log, then one more for each.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// How the payload is encoded.
    pub codec: Codec,
    /// Where it stands.
    pub position: Position,
    /// The payload as it was appended.
    pub payload: Vec<u8>,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) n_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    /// Place in its commit, at most `u16::MAX`; 0 in version 1.
    pub(crate) group: u16,
}

impl Kind {
    /// A batch of spans.
    pub const BATCH: Self = Self(1);
    /// What was decided about traces.
    pub const VERDICT: Self = Self(2);
    /// How far consumers have come; written by the log itself.
    pub const CURSOR: Self = Self(3);
    /// State that stands for the records before it.
    pub const CHECKPOINT: Self = Self(4);
    /// A scaling decision or non-decision.
    pub const DECISION: Self = Self(5);
    /// Kept traces on their way to destinations.
    pub const KEPT: Self = Self(6);
}

impl Codec {
    /// The payload is what was appended.
    pub const NONE: Self = Self(0);
    /// The payload is in chunks of LZ4: see [`Compressor`](crate::Compressor).
    pub const LZ4: Self = Self(2);
}

impl Header {
    /// The header in the first bytes of `bytes`; `None` if they are too few or cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, s @ .., kind, codec, g0, g1] = *bytes;
        let n_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        (n_bytes <= RECORD_BYTES_MAX).then_some(Self {
            n_bytes,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            seq: u64::from_le_bytes(s),
            kind: Kind(kind),
            codec: Codec(codec),
            group: u16::from_le_bytes([g0, g1]),
        })
    }

    pub(crate) const fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.n_bytes as u64
    }

    /// Whether the checksum fits this header and payload in segment `segment_id`, by the rules of
    /// `version`, or by those of any version if it is not known.
    pub(crate) fn fits(&self, version: Option<u32>, segment_id: u32, payload: &[u8]) -> bool {
        let is_old = version != Some(2) && self.group == 0;
        let is_new = version != Some(1);
        (is_new && self.crc == checksum(segment_id, self, payload))
            || (is_old && self.crc == checksum_of_version_1(segment_id, self, payload))
    }

    /// Number of the first record of its commit, as far as `group` can tell.
    pub(crate) const fn group_first(&self) -> u64 {
        self.seq.saturating_sub(self.group as u64)
    }
}

fn checksum(segment_id: u32, header: &Header, payload: &[u8]) -> u32 {
    let mut fixed = [0; 20];
    fixed[..18].copy_from_slice(&fixed_of_version_1(segment_id, header));
    fixed[18..].copy_from_slice(&header.group.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&fixed), payload)
}

fn checksum_of_version_1(segment_id: u32, header: &Header, payload: &[u8]) -> u32 {
    let fixed = fixed_of_version_1(segment_id, header);
    crc32c::crc32c_append(crc32c::crc32c(&fixed), payload)
}

fn fixed_of_version_1(segment_id: u32, header: &Header) -> [u8; 18] {
    let mut fixed = [0; 18];
    fixed[..8].copy_from_slice(&u64::from(segment_id).to_le_bytes());
    fixed[8..16].copy_from_slice(&header.seq.to_le_bytes());
    fixed[16] = header.kind.0;
    fixed[17] = header.codec.0;
    fixed
}

/// Records that wait to be written, encoded but for their checksums.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    bytes: Vec<u8>,
    first_seq: Option<u64>,
    /// Where each record starts in `bytes`.
    starts: Vec<u32>,
    /// What they hold, all together.
    pub(crate) n_held: u64,
    /// Whether one of them is a record of cursors.
    pub(crate) has_cursors: bool,
}

impl Unsynced {
    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) const fn n_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) const fn first_seq(&self) -> Option<u64> {
        self.first_seq
    }

    /// Takes where the records start, counted from the first one.
    pub(crate) fn take_starts(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.starts)
    }

    /// `payload` is at most [`RECORD_BYTES_MAX`] long.
    pub(crate) fn push(&mut self, seq: u64, kind: Kind, codec: Codec, payload: &[u8]) {
        let group = self.starts.len().min(usize::from(u16::MAX)) as u16;
        self.starts.push(self.bytes.len() as u32);
        self.bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&[kind.0, codec.0]);
        self.bytes.extend_from_slice(&group.to_le_bytes());
        self.bytes.extend_from_slice(payload);
        self.first_seq.get_or_insert(seq);
    }

    /// All records as they stand in segment `segment_id`.
    pub(crate) fn encoded(&mut self, segment_id: u32) -> &[u8] {
        let mut rest = self.bytes.as_mut_slice();
        while let Some(header) = Header::parse(rest) {
            let (record, behind) = rest.split_at_mut(header.record_bytes() as usize);
            let crc = checksum(segment_id, &header, &record[HEADER_BYTES..]);
            record[4..8].copy_from_slice(&crc.to_le_bytes());
            rest = behind;
        }
        &self.bytes
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
        self.first_seq = None;
        self.n_held = 0;
        self.has_cursors = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_documented_bytes() {
        let mut unsynced = Unsynced::default();
        unsynced.push(7, Kind(5), Codec(1), b"abc");
        unsynced.push(8, Kind(5), Codec(1), b"");
        let bytes = unsynced.encoded(2).to_vec();
        assert_eq!(bytes[..4], [3, 0, 0, 0]);
        assert_eq!(bytes[8..23], [7, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, b'a', b'b', b'c']);
        assert_eq!(bytes[31..], [8, 0, 0, 0, 0, 0, 0, 0, 5, 1, 1, 0]);
        let covered = [&2_u64.to_le_bytes()[..], &7_u64.to_le_bytes(), &[5, 1, 0, 0], b"abc"];
        assert_eq!(bytes[4..8], crc32c::crc32c(&covered.concat()).to_le_bytes());
    }

    #[test]
    fn a_record_fits_its_own_segment_only() {
        let mut unsynced = Unsynced::default();
        unsynced.push(1, Kind(1), Codec(0), b"x");
        unsynced.push(2, Kind(1), Codec(0), b"");
        let bytes = unsynced.encoded(4).to_vec();
        let header = Header::parse(&bytes).unwrap();
        let fits = |segment_id, payload| header.fits(Some(2), segment_id, payload);
        assert!(fits(4, b"x") && !fits(5, b"x") && !fits(4, b"y"));
        let second = Header::parse(&bytes[21..]).unwrap();
        assert!(second.seq == 2 && second.group_first() == 1 && second.fits(None, 4, b""));
        assert!(!second.fits(Some(1), 4, b""));
        assert_ne!(bytes, unsynced.encoded(5));
    }

    #[test]
    fn bytes_that_cannot_be_a_header_are_none() {
        assert_eq!(Header::parse(&[0; 19]), None);
        let mut bytes = [0; 20];
        assert!(Header::parse(&bytes).is_some());
        bytes[3] = 0x80;
        assert_eq!(Header::parse(&bytes), None);
    }
}
