//! Reads the frame of a file, which comes from outside.

use crate::error::Error;
use crate::tag::Tag;

/// A cursor over the header, the table or the footer of a file. It allocates nothing.
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

    pub(crate) fn raw(&mut self, n: usize) -> Result<&'a [u8], Error> {
        match self.rest().get(..n) {
            Some(bytes) => {
                self.at += n;
                Ok(bytes)
            }
            None => Err(self.corrupt("the section ends early")),
        }
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
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
