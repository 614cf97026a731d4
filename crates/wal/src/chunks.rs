//! Payloads in chunks of LZ4, so that a few bytes of a large batch can be read without unpacking
//! all of it.
//!
//! Layout, little-endian: `raw length u32 | chunk length u32 | crc32c u32 of these two and the table
//! | table | chunks`. The table has `end u32 | crc32c u32` for each chunk: where it ends behind the
//! table, and the checksum of what it unpacks to. A chunk as long as what it unpacks to is stored as
//! it is. LZ4 and not zstd: every batch pays for packing, and few spans are ever unpacked.

use std::ops::Range;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};
use thiserror::Error;

use crate::record::{Codec, RECORD_BYTES_MAX};

/// Smaller chunks are read faster one by one; they pack slower (64 KiB: an eighth less time than
/// 16 KiB) and worse (.15 for .19).
const CHUNK_BYTES: u32 = 64 << 10;
pub(crate) const CHUNK_BYTES_MAX: u32 = 1 << 20;
/// Bytes before the table.
pub(crate) const HEAD_BYTES: usize = 12;
const ENTRY_BYTES: usize = 8;

/// Why a payload could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// Its lengths or checksums do not fit.
    #[error("packed payload is damaged")]
    Damaged,
    /// It was packed in a way unknown to this version.
    #[error("payload is packed by codec {0}, which this version does not know")]
    Unknown(u8),
}

/// Packs payloads; holds a table that is used again. One per thread.
pub struct Compressor {
    table: CompressTable,
}

/// The table of a packed payload.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) raw_bytes: u32,
    chunk_bytes: u32,
    entries: Bytes,
}

/// One chunk of a packed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Its bytes, counted from the start of the payload.
    pub(crate) start: usize,
    pub(crate) end: usize,
    raw_bytes: usize,
    crc: u32,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    /// A table of 8 KiB is made.
    pub fn new() -> Self {
        Self { table: CompressTable::small() }
    }

    /// Packs `raw` behind what is in `out`. `Codec::NONE` if that would not make it smaller: then
    /// `raw` itself was added. Packed payloads are never longer than `raw`.
    pub fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        let from = out.len();
        let n_chunks = raw.len().div_ceil(CHUNK_BYTES as usize);
        let data = from + HEAD_BYTES + n_chunks * ENTRY_BYTES;
        out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        out.extend_from_slice(&CHUNK_BYTES.to_le_bytes());
        out.resize(data, 0);
        for (idx, chunk) in raw.chunks(CHUNK_BYTES as usize).enumerate() {
            if out.len() - from >= raw.len() {
                break;
            }
            self.pack_chunk(chunk, out);
            let end = (out.len() - data) as u32;
            let entry = from + HEAD_BYTES + idx * ENTRY_BYTES;
            out[entry..entry + 4].copy_from_slice(&end.to_le_bytes());
            out[entry + 4..entry + 8].copy_from_slice(&crc32c::crc32c(chunk).to_le_bytes());
        }
        if out.len() - from >= raw.len() || raw.len() > RECORD_BYTES_MAX as usize {
            out.truncate(from);
            out.extend_from_slice(raw);
            return Codec::NONE;
        }
        let crc = checksum(&out[from..from + 8], &out[from + HEAD_BYTES..data]);
        out[from + 8..from + HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
        Codec::LZ4
    }

    fn pack_chunk(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + lz4_flex::block::get_maximum_output_size(chunk.len()), 0);
        let packed = compress_into_with_table(chunk, &mut out[start..], &mut self.table);
        match packed {
            Ok(n) if n < chunk.len() => out.truncate(start + n),
            _ => {
                out.truncate(start);
                out.extend_from_slice(chunk);
            }
        }
    }
}

/// What `payload` was before it was packed. Never more than 64 MiB, and never more memory than what
/// has been unpacked and checked so far, plus 1 MiB.
///
/// # Errors
/// It is damaged, or its codec is unknown.
pub fn unpack(codec: Codec, payload: &[u8]) -> Result<Vec<u8>, UnpackError> {
    match codec {
        Codec::NONE => Ok(payload.to_vec()),
        Codec::LZ4 => {
            let table = Table::parse(payload).ok_or(UnpackError::Damaged)?;
            let mut raw = Vec::new();
            for chunk in table.chunks(0..table.raw_bytes) {
                let packed = payload.get(chunk.start..chunk.end).ok_or(UnpackError::Damaged)?;
                chunk.unpack_to(packed, &mut raw)?;
            }
            let is_whole = table.n_packed_bytes() == payload.len();
            if is_whole { Ok(raw) } else { Err(UnpackError::Damaged) }
        }
        Codec(other) => Err(UnpackError::Unknown(other)),
    }
}

fn checksum(lengths: &[u8], entries: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(lengths), entries)
}

impl Table {
    /// Bytes up to the end of the table, by the first bytes of a payload.
    pub(crate) fn n_bytes(head: [u8; HEAD_BYTES]) -> Option<usize> {
        let [r0, r1, r2, r3, c0, c1, c2, c3, ..] = head;
        let raw_bytes = u32::from_le_bytes([r0, r1, r2, r3]);
        let chunk_bytes = u32::from_le_bytes([c0, c1, c2, c3]);
        let is_sane = raw_bytes <= RECORD_BYTES_MAX && (1..=CHUNK_BYTES_MAX).contains(&chunk_bytes);
        let n_entries = raw_bytes.checked_div_euclid(chunk_bytes)? as usize
            + usize::from(!raw_bytes.is_multiple_of(chunk_bytes));
        is_sane.then_some(HEAD_BYTES + n_entries * ENTRY_BYTES)
    }

    /// The table in the first bytes of a payload.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let head = *payload.first_chunk::<HEAD_BYTES>()?;
        let n_bytes = Self::n_bytes(head)?;
        let entries = payload.get(HEAD_BYTES..n_bytes)?;
        let [r0, r1, r2, r3, c0, c1, c2, c3, s0, s1, s2, s3] = head;
        if checksum(&head[..8], entries) != u32::from_le_bytes([s0, s1, s2, s3]) {
            return None;
        }
        Some(Self {
            raw_bytes: u32::from_le_bytes([r0, r1, r2, r3]),
            chunk_bytes: u32::from_le_bytes([c0, c1, c2, c3]),
            entries: Bytes::copy_from_slice(entries),
        })
    }

    /// Whole bytes of the payload.
    fn n_packed_bytes(&self) -> usize {
        let n = self.entries.len() / ENTRY_BYTES;
        HEAD_BYTES + self.entries.len() + n.checked_sub(1).map_or(0, |last| self.entry(last).0)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.len()
    }

    /// End behind the table, and checksum.
    fn entry(&self, idx: usize) -> (usize, u32) {
        let bytes = self.entries.get(idx * ENTRY_BYTES..).and_then(|rest| rest.first_chunk::<8>());
        let [e0, e1, e2, e3, c0, c1, c2, c3] = bytes.copied().unwrap_or_default();
        (u32::from_le_bytes([e0, e1, e2, e3]) as usize, u32::from_le_bytes([c0, c1, c2, c3]))
    }

    /// Numbers of the chunks that hold raw bytes `range`, which lies within the raw length.
    pub(crate) const fn chunks_of(&self, range: &Range<u32>) -> Range<u32> {
        if range.start >= range.end {
            return 0..0;
        }
        range.start / self.chunk_bytes..range.end.div_ceil(self.chunk_bytes)
    }

    /// Where in the raw bytes chunk `idx` begins.
    pub(crate) const fn raw_start(&self, idx: u32) -> u32 {
        idx * self.chunk_bytes
    }

    pub(crate) fn chunk(&self, idx: u32) -> Chunk {
        let base = HEAD_BYTES + self.entries.len();
        let (end, crc) = self.entry(idx as usize);
        let start = idx.checked_sub(1).map_or(0, |before| self.entry(before as usize).0);
        let raw_bytes = (self.raw_bytes - self.raw_start(idx)).min(self.chunk_bytes) as usize;
        Chunk { start: base + start, end: base + end, raw_bytes, crc }
    }

    fn chunks(&self, range: Range<u32>) -> impl Iterator<Item = Chunk> {
        self.chunks_of(&range).map(|idx| self.chunk(idx))
    }
}

impl Chunk {
    /// Unpacks `packed`, the chunk's bytes, behind what is in `out`.
    pub(crate) fn unpack_to(&self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
        let from = out.len();
        if packed.len() == self.raw_bytes {
            out.extend_from_slice(packed);
        } else {
            out.resize(from + self.raw_bytes, 0);
            let n = decompress_into(packed, &mut out[from..]).map_err(|_| UnpackError::Damaged)?;
            if n != self.raw_bytes {
                return Err(UnpackError::Damaged);
            }
        }
        let is_good = crc32c::crc32c(&out[from..]) == self.crc;
        if is_good { Ok(()) } else { Err(UnpackError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8]) -> (Codec, Vec<u8>) {
        let mut out = b"before".to_vec();
        let codec = Compressor::new().pack(raw, &mut out);
        let packed = out.split_off(6);
        assert_eq!(out, b"before");
        assert!(packed.len() <= raw.len());
        assert_eq!(unpack(codec, &packed).unwrap(), raw);
        (codec, packed)
    }

    /// Text that repeats, but never twice in a row.
    fn text(n: usize) -> Vec<u8> {
        (0..n).map(|i| b"GET /api/cart "[i % 14] ^ (i / 1000) as u8).collect()
    }

    #[test]
    fn what_is_packed_comes_back() {
        for n in [0, 1, 20, 65_535, 65_536, 65_537, 300_000] {
            check(&text(n));
        }
        let (codec, packed) = check(&text(100_000));
        assert_eq!(codec, Codec::LZ4);
        assert!(packed.len() < 10_000, "{}", packed.len());
    }

    #[test]
    fn what_cannot_be_packed_is_stored_as_it_is() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(CHUNK_BYTES as usize)
        .collect();
        assert_eq!(check(&noise), (Codec::NONE, noise.clone()));
        // One chunk of noise among others is stored within the packed payload.
        let (codec, packed) = check(&[noise.clone(), text(131_072)].concat());
        assert_eq!(codec, Codec::LZ4);
        assert!(packed[HEAD_BYTES + 3 * ENTRY_BYTES..].starts_with(&noise));
    }

    #[test]
    fn every_flipped_bit_is_found_or_changes_nothing() {
        let raw = text(40_000);
        let (codec, packed) = check(&raw);
        assert_eq!(codec, Codec::LZ4);
        let mut n_found = 0;
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 1 << (at % 8);
            let unpacked = unpack(Codec::LZ4, &damaged);
            n_found += usize::from(unpacked.is_err());
            // A repeated stretch may be copied from one place as well as from another.
            assert!(unpacked.is_err() || unpacked.as_ref() == Ok(&raw), "byte {at}");
        }
        assert!(n_found > packed.len() * 9 / 10);
        for cut in 0..packed.len() {
            assert!(unpack(Codec::LZ4, &packed[..cut]).is_err(), "cut at {cut}");
        }
        assert!(unpack(Codec::LZ4, &[&packed[..], b"x"].concat()).is_err());
    }

    #[test]
    fn another_codec_is_named() {
        let error = unpack(Codec(9), b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "payload is packed by codec 9, which this version does not know"
        );
    }

    #[test]
    fn chunks_are_found_by_raw_bytes() {
        let (_, packed) = check(&text(160_000));
        let table = Table::parse(&packed).unwrap();
        assert_eq!(table.chunks_of(&(0..1)), 0..1);
        assert_eq!(table.chunks_of(&(65_535..65_537)), 0..2);
        assert_eq!(table.chunks_of(&(65_536..160_000)), 1..3);
        assert_eq!(table.chunks_of(&(5..5)), 0..0);
    }
}
