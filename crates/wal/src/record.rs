//! A record in bytes. Layout, little-endian: `len u32 | crc32c u32 | seq u64 | kind u8 | codec u8 |
//! reserved u16 | payload`. The checksum covers the segment's id too, so that bytes left over from
//! another segment never pass for a record of this one.

/// Largest payload: 64 MiB.
pub const RECORD_BYTES_MAX: u32 = 64 << 20;

/// Bytes in front of the payload.
pub(crate) const HEADER_BYTES: usize = 20;

/// What a record is about. Numbers are never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

/// How a payload is encoded. The log does not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Codec(pub u8);

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: 1 for the first record of a log, then one more for each.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// How the payload is encoded.
    pub codec: Codec,
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
}

impl Kind {
    /// A scaling decision or non-decision.
    pub const DECISION: Self = Self(5);
}

impl Codec {
    /// The payload is what was appended.
    pub const NONE: Self = Self(0);
}

impl Header {
    /// The header in the first bytes of `bytes`; `None` if they are too few or cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, s @ .., kind, codec, r0, r1] = *bytes;
        let n_bytes = u32::from_le_bytes([l0, l1, l2, l3]);
        let is_reserved_zero = [r0, r1] == [0, 0];
        (is_reserved_zero && n_bytes <= RECORD_BYTES_MAX).then_some(Self {
            n_bytes,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
            seq: u64::from_le_bytes(s),
            kind: Kind(kind),
            codec: Codec(codec),
        })
    }

    pub(crate) const fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.n_bytes as u64
    }

    /// Whether the checksum fits this header and payload in segment `segment_id`.
    pub(crate) fn fits(&self, segment_id: u64, payload: &[u8]) -> bool {
        self.crc == checksum(segment_id, self, payload)
    }
}

fn checksum(segment_id: u64, header: &Header, payload: &[u8]) -> u32 {
    let mut fixed = [0; 18];
    fixed[..8].copy_from_slice(&segment_id.to_le_bytes());
    fixed[8..16].copy_from_slice(&header.seq.to_le_bytes());
    fixed[16] = header.kind.0;
    fixed[17] = header.codec.0;
    crc32c::crc32c_append(crc32c::crc32c(&fixed), payload)
}

/// Records that wait to be written, encoded but for their checksums.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    bytes: Vec<u8>,
    first_seq: Option<u64>,
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

    /// `payload` is at most [`RECORD_BYTES_MAX`] long.
    pub(crate) fn push(&mut self, seq: u64, kind: Kind, codec: Codec, payload: &[u8]) {
        self.bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&seq.to_le_bytes());
        self.bytes.extend_from_slice(&[kind.0, codec.0, 0, 0]);
        self.bytes.extend_from_slice(payload);
        self.first_seq.get_or_insert(seq);
    }

    /// All records as they stand in segment `segment_id`.
    pub(crate) fn encoded(&mut self, segment_id: u64) -> &[u8] {
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
        self.first_seq = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_documented_bytes() {
        let mut unsynced = Unsynced::default();
        unsynced.push(7, Kind(5), Codec(1), b"abc");
        let bytes = unsynced.encoded(2).to_vec();
        assert_eq!(bytes[..4], [3, 0, 0, 0]);
        assert_eq!(bytes[8..], [7, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, b'a', b'b', b'c']);
        let covered = [&2_u64.to_le_bytes()[..], &7_u64.to_le_bytes(), &[5, 1], b"abc"].concat();
        assert_eq!(bytes[4..8], crc32c::crc32c(&covered).to_le_bytes());
    }

    #[test]
    fn a_record_fits_its_own_segment_only() {
        let mut unsynced = Unsynced::default();
        unsynced.push(1, Kind(1), Codec(0), b"x");
        unsynced.push(2, Kind(1), Codec(0), b"");
        let bytes = unsynced.encoded(4).to_vec();
        let header = Header::parse(&bytes).unwrap();
        assert!(header.fits(4, b"x") && !header.fits(5, b"x") && !header.fits(4, b"y"));
        let second = Header::parse(&bytes[21..]).unwrap();
        assert!(second.seq == 2 && second.fits(4, b""));
        assert_ne!(bytes, unsynced.encoded(5));
    }

    #[test]
    fn bytes_that_cannot_be_a_header_are_none() {
        assert_eq!(Header::parse(&[0; 19]), None);
        let mut bytes = [0; 20];
        assert!(Header::parse(&bytes).is_some());
        bytes[19] = 1;
        assert_eq!(Header::parse(&bytes), None);
        bytes[19] = 0;
        bytes[3] = 0x80;
        assert_eq!(Header::parse(&bytes), None);
    }
}
