//! Reads the bytes of a section, which come from outside.

use super::tag::Tag;
use crate::error::Error;
use crate::varint;

/// A cursor over a decompressed section. Nothing it returns was allocated on the word of the file:
/// [`count`](Self::count) holds counts against the bytes left.
#[derive(Clone, Debug)]
pub(crate) struct SectionReader<'a> {
    tag: Tag,
    whole: &'a [u8],
    at: usize,
}

impl<'a> SectionReader<'a> {
    pub(crate) fn new(tag: Tag, bytes: &'a [u8]) -> Self {
        Self { tag, whole: bytes, at: 0 }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        match varint::take(self.rest()) {
            Some((value, n)) => {
                self.at += n;
                Ok(value)
            }
            None => Err(self.corrupt("a number does not end")),
        }
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, Error> {
        self.varint().map(varint::unzigzag)
    }

    /// A varint of at most `max`, for positions and codes.
    pub(crate) fn varint_up_to(&mut self, max: u64, what: &'static str) -> Result<u64, Error> {
        match self.varint()? {
            value if value <= max => Ok(value),
            _ => Err(self.corrupt(what)),
        }
    }

    /// A count of items that take at least `n_bytes_each` bytes of what is left and are at most
    /// `limit`: room for that many may be reserved.
    pub(crate) fn count(
        &mut self,
        n_bytes_each: usize,
        limit: u64,
        what: &'static str,
    ) -> Result<usize, Error> {
        let value = self.varint()?;
        if value > limit {
            return Err(Error::Limit { what, value, limit });
        }
        let n_fit = (self.rest().len() / n_bytes_each.max(1)) as u64;
        if value > n_fit {
            return Err(self.corrupt("a count exceeds the bytes left"));
        }
        Ok(value as usize)
    }

    pub(crate) fn raw(&mut self, n: usize) -> Result<&'a [u8], Error> {
        match self.rest().get(..n) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => Err(self.corrupt("the section ends early")),
        }
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let n = self.varint()?;
        match usize::try_from(n) {
            Ok(n) => self.raw(n),
            Err(_) => Err(self.corrupt("a length exceeds the section")),
        }
    }

    /// A string behind its length.
    pub(crate) fn str(&mut self) -> Result<&'a str, Error> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("a string is not utf-8"))
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
    }

    /// Refuses what stands behind the last field.
    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.corrupt("bytes behind the end")) }
    }

    /// An error at the cursor.
    pub(crate) fn corrupt(&self, problem: &'static str) -> Error {
        Error::corrupt(self.tag, self.at, problem)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.rest().first_chunk() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.corrupt("the section ends early")),
        }
    }
}
