//! A segment: one file of the log. Its name is its id, its first bytes say so again.

use std::io;

use crate::disk::DiskFile;

/// Version of the format, in the header of every segment this version writes. Version 1 is read
/// too.
pub const VERSION: u32 = 2;

const VERSION_OLDEST: u32 = 1;
const MAGIC: [u8; 8] = *b"SPANWAL\n";
/// `magic [8] | version u32 | forgiven u32 | segment id u64 | first seq u64 | crc32c u32`.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 36;
const SUFFIX: &str = ".wal";
/// Ids and sequence numbers stay below, so that no sum of them overflows. At 64 MiB a segment
/// that is 128 PiB.
pub(crate) const ID_MAX: u32 = i32::MAX as u32;
pub(crate) const SEQ_MAX: u64 = i64::MAX as u64;
const QUARANTINE_SUFFIX: &str = ".wal.quarantined";

/// The file at hand, written to at its end.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) file: F,
    pub(crate) meta: Meta,
}

/// What the log knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: u32,
    /// Bytes that belong to the log; anything behind them is left over from a failed write.
    pub(crate) n_bytes: u64,
    /// Number of its first record, as far as its header tells.
    pub(crate) first_seq: Option<u64>,
    /// Number of its last record; 0 if it has none.
    pub(crate) last_seq: u64,
    /// Records from this number on were written again to a later segment, and do not count here.
    pub(crate) end_seq: u64,
    /// What its records hold.
    pub(crate) n_held: u64,
    /// How much of that is released when what is written is on disk.
    pub(crate) n_released: u64,
    /// How much more of it is, when what was appended is written.
    pub(crate) n_released_by_unwritten: u64,
    pub(crate) fate: Fate,
}

/// What happens to a segment that is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Delete,
    /// It is damaged: people may want to look.
    Quarantine,
    /// It cannot be read, now or by this version: perhaps another time.
    LeaveAlone,
}

/// What the first bytes of a segment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// `n_forgiven`: how many numbers miss in the last commit of the segment before, because power
    /// cut it short.
    Good {
        version: u32,
        first_seq: u64,
        n_forgiven: u32,
    },
    /// Whole, of a version this one cannot read.
    OtherVersion,
    /// It never reached the disk: too short, or nothing but zeros.
    Unborn,
    Damaged,
}

impl Meta {
    pub(crate) const fn new(id: u32, first_seq: Option<u64>) -> Self {
        Self {
            id,
            n_bytes: 0,
            first_seq,
            last_seq: 0,
            end_seq: u64::MAX,
            n_held: 0,
            n_released: 0,
            n_released_by_unwritten: 0,
            fate: Fate::Delete,
        }
    }
}

pub(crate) fn name_of(id: u32) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// Name of an empty file that says: a sync of this segment has failed.
///
/// The system may go on showing what the disk never got, and say that all is well when the file is
/// synced again. That lasts as long as the system's memory does, and so does this file, though it
/// is not synced itself.
pub(crate) fn mark_of(id: u32) -> String {
    format!("{id:016x}{SUFFIX}.failed")
}

pub(crate) fn quarantine_of(id: u32) -> String {
    format!("{id:016x}{QUARANTINE_SUFFIX}")
}

/// The id of a segment by its file name; `None` for files that are no segments.
pub(crate) fn id_of(name: &str) -> Option<u32> {
    let id = u32::from_str_radix(name.strip_suffix(SUFFIX)?, 16).ok()?;
    (id <= ID_MAX && name_of(id) == name).then_some(id)
}

/// The id of a quarantined segment by its file name.
pub(crate) fn quarantined_id_of(name: &str) -> Option<u32> {
    let id = u32::from_str_radix(name.strip_suffix(QUARANTINE_SUFFIX)?, 16).ok()?;
    (id <= ID_MAX && quarantine_of(id) == name).then_some(id)
}

pub(crate) fn encode_header(
    id: u32,
    first_seq: u64,
    n_forgiven: u32,
) -> [u8; SEGMENT_HEADER_BYTES] {
    encode(VERSION, id, first_seq, n_forgiven)
}

fn encode(version: u32, id: u32, first_seq: u64, n_forgiven: u32) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12..16].copy_from_slice(&n_forgiven.to_le_bytes());
    bytes[16..24].copy_from_slice(&u64::from(id).to_le_bytes());
    bytes[24..32].copy_from_slice(&first_seq.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What the first bytes of segment `id` say.
pub(crate) fn decode_header(id: u32, bytes: &[u8]) -> SegmentHeader {
    let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
        return SegmentHeader::Unborn;
    };
    if bytes.iter().all(|&byte| byte == 0) {
        return SegmentHeader::Unborn;
    }
    let number = |at: usize| {
        let number = bytes[at..].first_chunk().copied().unwrap_or_default();
        u32::from_le_bytes(number)
    };
    let (version, n_forgiven) = (number(8), number(12));
    let first_seq = u64::from(number(24)) | u64::from(number(28)) << 32;
    let is_whole = bytes[..8] == MAGIC && number(32) == crc32c::crc32c(&bytes[..32]);
    let is_known = (VERSION_OLDEST..=VERSION).contains(&version)
        && (version > VERSION_OLDEST || n_forgiven == 0)
        && first_seq <= SEQ_MAX;
    if is_known && *bytes == encode(version, id, first_seq, n_forgiven) {
        SegmentHeader::Good { version, first_seq, n_forgiven }
    } else if is_whole && version > VERSION {
        SegmentHeader::OtherVersion
    } else {
        SegmentHeader::Damaged
    }
}

impl SegmentHeader {
    pub(crate) const fn first_seq(self) -> Option<u64> {
        match self {
            Self::Good { first_seq, .. } => Some(first_seq),
            _ => None,
        }
    }

    pub(crate) const fn version(self) -> Option<u32> {
        match self {
            Self::Good { version, .. } => Some(version),
            _ => None,
        }
    }

    pub(crate) const fn n_forgiven(self) -> u32 {
        match self {
            Self::Good { n_forgiven, .. } => n_forgiven,
            _ => 0,
        }
    }
}

/// Reads and decodes the header of segment `id`.
pub(crate) fn read_header(id: u32, file: &mut impl DiskFile) -> io::Result<SegmentHeader> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let n_read = read_full(file, 0, &mut bytes)?;
    Ok(decode_header(id, &bytes[..n_read]))
}

/// Reads until `buf` is full or the file ends, and tells how much there was.
pub(crate) fn read_full(
    file: &mut impl DiskFile,
    offset: u64,
    buf: &mut [u8],
) -> io::Result<usize> {
    let mut n_read = 0;
    while n_read < buf.len() {
        match file.read_at(offset + n_read as u64, &mut buf[n_read..]) {
            Ok(0) => break,
            Ok(n) => n_read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n_read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ids() {
        assert_eq!(name_of(0x1f), "000000000000001f.wal");
        assert_eq!(id_of("000000000000001f.wal"), Some(0x1f));
        for name in ["LOCK", "1f.wal", "000000000000001F.wal", "+00000000000001f.wal", ".wal"] {
            assert_eq!(id_of(name), None, "{name}");
        }
        assert_eq!(id_of("0000000100000000.wal"), None);
        assert_eq!(id_of("0000000080000000.wal"), None);
        assert_eq!(id_of("000000000000001f.wal.quarantined"), None);
        assert_eq!(quarantined_id_of("000000000000001f.wal.quarantined"), Some(0x1f));
        assert_eq!(quarantined_id_of("000000000000001f.wal"), None);
    }

    #[test]
    fn a_header_is_known_by_every_byte() {
        let header = encode_header(3, 40, 2);
        let good = SegmentHeader::Good { version: VERSION, first_seq: 40, n_forgiven: 2 };
        assert_eq!(decode_header(3, &header), good);
        assert_eq!(decode_header(4, &header), SegmentHeader::Damaged);
        assert_eq!(decode_header(3, &header[..35]), SegmentHeader::Unborn);
        assert_eq!(decode_header(3, &[0; 36]), SegmentHeader::Unborn);
        for at in 0..header.len() {
            let mut damaged = header;
            damaged[at] ^= 0x40;
            assert_eq!(decode_header(3, &damaged), SegmentHeader::Damaged, "byte {at}");
        }
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        assert_eq!(decode_header(3, &encode(3, 3, 40, 9)), SegmentHeader::OtherVersion);
        let good = SegmentHeader::Good { version: 1, first_seq: 40, n_forgiven: 0 };
        assert_eq!(decode_header(3, &encode(1, 3, 40, 0)), good);
        assert_eq!(decode_header(3, &encode(0, 3, 40, 0)), SegmentHeader::Damaged);
    }
}
