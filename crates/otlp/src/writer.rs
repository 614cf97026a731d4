//! Writes protobuf messages into one growing buffer.
//!
//! A nested message is written in place and its length put in front afterwards: one byte is kept
//! free for it, and the content moves only if it grew beyond 127 bytes. So nothing is measured
//! twice and no message needs a buffer of its own. Lengths come out in their shortest form.
//!
//! Every field is named by its key (number and wire type), as `schema` lists them.

/// A growing buffer of protobuf fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

/// Where a nested message starts: the position of its first content byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl Writer {
    pub(crate) fn with_capacity(n_bytes: usize) -> Self {
        Self { out: Vec::with_capacity(n_bytes) }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.out
    }

    /// Appends fields that are encoded already.
    pub(crate) fn raw(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn bytes(&mut self, key: u32, value: &[u8]) {
        self.put_varint(u64::from(key));
        self.put_varint(value.len() as u64);
        self.out.extend_from_slice(value);
    }

    pub(crate) fn varint(&mut self, key: u32, value: u64) {
        self.put_varint(u64::from(key));
        self.put_varint(value);
    }

    pub(crate) fn fixed64(&mut self, key: u32, value: u64) {
        self.put_varint(u64::from(key));
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, key: u32, value: u32) {
        self.put_varint(u64::from(key));
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// The key and length of a nested message whose `n_bytes` follow.
    pub(crate) fn header(&mut self, key: u32, n_bytes: usize) {
        self.put_varint(u64::from(key));
        self.put_varint(n_bytes as u64);
    }

    /// Starts a nested message; close it with [`close`](Self::close), inner ones first.
    pub(crate) fn open(&mut self, key: u32) -> Mark {
        self.put_varint(u64::from(key));
        self.out.push(0);
        Mark(self.out.len())
    }

    /// Ends a nested message: puts its length in front of it.
    pub(crate) fn close(&mut self, Mark(start): Mark) {
        debug_assert!(start <= self.out.len());
        let end = self.out.len();
        let length = (end - start) as u64;
        let n_extra = varint_len(length) - 1;
        if n_extra > 0 {
            self.out.resize(end + n_extra, 0);
            self.out.copy_within(start..end, start + n_extra);
        }
        let mut rest = length;
        let mut at = start - 1;
        while rest >= 0x80 {
            self.out[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        self.out[at] = rest as u8;
    }

    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

/// Bytes of a varint, 1 to 10.
pub(crate) const fn varint_len(value: u64) -> usize {
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{len, varint};
    use crate::wire::Reader;

    #[test]
    fn a_message_of_any_length_reads_back() {
        for n in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut writer = Writer::default();
            let outer = writer.open(len(3));
            let inner = writer.open(len(1));
            writer.raw(&vec![7; n]);
            writer.close(inner);
            writer.close(outer);
            writer.varint(varint(2), 5);

            let mut reader = Reader::new(writer.as_slice());
            assert_eq!(reader.key(), Ok(Some(len(3))));
            let mut message = reader.payload().unwrap();
            assert_eq!(message.key(), Ok(Some(len(1))));
            assert_eq!(message.payload().unwrap().rest(), vec![7; n]);
            assert!(message.is_empty());
            assert_eq!(reader.rest(), [16, 5]);
        }
    }

    #[test]
    fn varint_lengths_match_what_is_written() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let mut writer = Writer::default();
            writer.put_varint(value);
            assert_eq!(writer.len(), varint_len(value), "{value}");
            assert_eq!(Reader::new(writer.as_slice()).varint(), Ok(value));
        }
    }
}
