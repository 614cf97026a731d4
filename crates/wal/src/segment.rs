//! A segment: one file of the log. Its name is its id, its first bytes say so again.

use std::io;

use crate::disk::DiskFile;

/// Version of the format, in the header of every segment.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SPANWAL\n";
/// `magic [8] | version u32 | reserved u32 | segment id u64 | first seq u64 | crc32c u32`.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 36;
const SUFFIX: &str = ".wal";

/// The file at hand, written to at its end.
#[derive(Debug)]
pub(crate) struct Segment<F> {
    pub(crate) id: u64,
    pub(crate) file: F,
    /// Bytes that belong to the log; anything behind them is left over from a failed write.
    pub(crate) n_bytes: u64,
    /// Number of its first record.
    pub(crate) first_seq: u64,
}

/// A segment that is only read from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) id: u64,
    pub(crate) n_bytes: u64,
    /// Number of its first record, as far as its header tells.
    pub(crate) first_seq: Option<u64>,
}

pub(crate) fn name_of(id: u64) -> String {
    format!("{id:016x}{SUFFIX}")
}

/// Name of an empty file that says: a sync of this segment has failed.
///
/// The system may go on showing what the disk never got, and say that all is well when the file is
/// synced again. That lasts as long as the system's memory does, and so does this file, though it
/// is not synced itself.
pub(crate) fn mark_of(id: u64) -> String {
    format!("{id:016x}{SUFFIX}.failed")
}

/// The id of a segment by its file name; `None` for files that are no segments.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_suffix(SUFFIX)?, 16).ok()?;
    (name_of(id) == name).then_some(id)
}

pub(crate) fn encode_header(id: u64, first_seq: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&id.to_le_bytes());
    bytes[24..32].copy_from_slice(&first_seq.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The first sequence number a header names; `None` if the header is damaged, of another segment or
/// of another version.
pub(crate) fn decode_header(id: u64, bytes: &[u8]) -> Option<u64> {
    let first_seq = u64::from_le_bytes(*bytes.get(24..32)?.first_chunk()?);
    (bytes == encode_header(id, first_seq)).then_some(first_seq)
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
    }

    #[test]
    fn a_header_is_known_by_every_byte() {
        let header = encode_header(3, 40);
        assert_eq!(decode_header(3, &header), Some(40));
        assert_eq!(decode_header(4, &header), None);
        assert_eq!(decode_header(3, &header[..35]), None);
        for at in 0..header.len() {
            let mut damaged = header;
            damaged[at] ^= 0x40;
            assert_eq!(decode_header(3, &damaged), None, "byte {at}");
        }
    }
}
