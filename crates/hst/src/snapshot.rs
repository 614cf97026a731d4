//! The frame around a snapshot and the coding of numbers in it; `docs/formats/hst-snapshot.md`
//! has the layout in bytes.
//!
//! A snapshot is opened whole or refused: the checksum covers every byte, and no length found
//! inside is believed before the bytes it speaks of are there, so that damaged or hostile input
//! costs no more memory than its own size calls for.

use crate::error::Error;
use crate::score::ScoreKind;

const MAGIC: [u8; 4] = *b"HSTF";
/// Version written, and the only one read.
const VERSION: u16 = 1;
const HEADER_LEN: usize = 20;
const CHECKSUM_LEN: usize = 4;

/// Which forest a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Step = 1,
    Forest = 2,
}

/// Appends one snapshot to a buffer; [`Writer::finish`] completes it.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        out: &'a mut Vec<u8>,
        model: Model,
        score: ScoreKind,
        skeleton_id: u64,
    ) -> Self {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.push(model as u8);
        out.push(score_code(score));
        out.extend_from_slice(&skeleton_id.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, start }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// Seven bits a byte, least significant first, the top bit set on all but the last (LEB128).
    pub(crate) fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Fills in the length of the body and appends the checksum.
    pub(crate) fn finish(self) {
        let body_len = self.out.len() - self.start - HEADER_LEN;
        // The largest forest has 2^22 nodes of at most 18 bytes each.
        debug_assert!(u32::try_from(body_len).is_ok(), "body of {body_len} bytes");
        let at = self.start + HEADER_LEN - 4;
        self.out[at..at + 4].copy_from_slice(&(body_len as u32).to_le_bytes());
        let checksum = crc32c(&self.out[self.start..]);
        self.out.extend_from_slice(&checksum.to_le_bytes());
    }
}

/// What the header of an intact snapshot says, and a reader of its body.
pub(crate) struct Opened<'a> {
    pub(crate) score: ScoreKind,
    pub(crate) skeleton_id: u64,
    pub(crate) body: Reader<'a>,
}

/// Checks frame, version and checksum of a snapshot that is all of `bytes`.
pub(crate) fn open(bytes: &[u8], model: Model) -> Result<Opened<'_>, Error> {
    let mut header = Reader { bytes, at: 0 };
    if header.take()? != MAGIC {
        return Err(corrupt(0, "no snapshot of a forest"));
    }
    let version = u16::from_le_bytes(header.take()?);
    if version != VERSION {
        return Err(Error::SnapshotVersion { found: version });
    }
    let [model_code, score] = header.take()?;
    let skeleton_id = header.u64()?;
    let body_len = header.u32()? as usize;
    if bytes.len() - HEADER_LEN < CHECKSUM_LEN
        || bytes.len() - HEADER_LEN - CHECKSUM_LEN != body_len
    {
        return Err(corrupt(HEADER_LEN - 4, "length differs from the bytes given"));
    }
    let (checked, checksum) = bytes.split_at(bytes.len() - CHECKSUM_LEN);
    if crc32c(checked).to_le_bytes() != checksum {
        return Err(corrupt(checked.len(), "checksum differs"));
    }
    if model_code != model as u8 {
        return Err(corrupt(6, "another kind of forest"));
    }
    let score = score_of_code(score).ok_or(corrupt(7, "unknown score"))?;
    Ok(Opened { score, skeleton_id, body: Reader { bytes: checked, at: HEADER_LEN } })
}

/// Reads the body front to back; each method fails at the end of the bytes.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let chunk = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let chunk = *chunk.ok_or(corrupt(self.at, "ends too early"))?;
        self.at += N;
        Ok(chunk)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.take().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn varint(&mut self) -> Result<u32, Error> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let value = u32::try_from(value);
                return value.map_err(|_| corrupt(start, "number above 32 bits"));
            }
        }
        Err(corrupt(start, "number above 32 bits"))
    }

    /// Fails unless at least `n` more bytes are there: to be asked before allocating for `n`
    /// elements.
    pub(crate) fn expect_at_least(&self, n: usize) -> Result<(), Error> {
        if self.bytes.len() - self.at < n {
            return Err(self.corrupt("ends too early"));
        }
        Ok(())
    }

    /// Fails unless all bytes were read.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(self.corrupt("goes on after its end"))
    }

    /// An error at the current position.
    pub(crate) fn corrupt(&self, problem: &'static str) -> Error {
        corrupt(self.at, problem)
    }
}

fn corrupt(offset: usize, problem: &'static str) -> Error {
    Error::SnapshotCorrupt { offset, problem }
}

const fn score_code(score: ScoreKind) -> u8 {
    match score {
        ScoreKind::Tan => 0,
        ScoreKind::River => 1,
        ScoreKind::Scale => 2,
    }
}

const fn score_of_code(code: u8) -> Option<ScoreKind> {
    match code {
        0 => Some(ScoreKind::Tan),
        1 => Some(ScoreKind::River),
        2 => Some(ScoreKind::Scale),
        _ => None,
    }
}

/// CRC-32C (Castagnoli, reflected, as in RFC 3720), a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes
        .iter()
        .fold(u32::MAX, |crc, &byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)]);
    !crc
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_equals_the_published_check_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn numbers_come_back_from_varints() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1 << 28, u32::MAX] {
            let mut out = Vec::new();
            Writer { out: &mut out, start: 0 }.varint(value);
            assert_eq!(Reader { bytes: &out, at: 0 }.varint(), Ok(value));
        }
        let too_large = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert!(Reader { bytes: &too_large, at: 0 }.varint().is_err());
        let endless = [0x80; 9];
        assert!(Reader { bytes: &endless, at: 0 }.varint().is_err());
    }
}
