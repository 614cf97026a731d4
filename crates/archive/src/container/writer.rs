//! Builds the bytes of a section.

use super::file::Section;
use super::tag::Tag;
use crate::varint;

/// A growing section. Integers are little-endian or LEB128.
#[derive(Clone, Debug, Default)]
pub(crate) struct SectionWriter {
    bytes: Vec<u8>,
}

impl SectionWriter {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// An unsigned LEB128 integer.
    pub(crate) fn varint(&mut self, value: u64) {
        varint::put(&mut self.bytes, value);
    }

    /// A signed integer, zigzag LEB128.
    pub(crate) fn zigzag(&mut self, value: i64) {
        varint::put(&mut self.bytes, varint::zigzag(value));
    }

    /// Bytes without their length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// A float by its bits.
    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The section; readers refuse a `version` they do not know.
    pub(crate) fn finish(self, tag: Tag, version: u16) -> Section {
        Section { tag, version, bytes: self.bytes }
    }
}
