//! The protobuf wire format, read from a slice without allocating: keys, varints, lengths, groups.
//!
//! Why by hand: a generated decoder builds structs, and building them costs ten times what reading
//! does. Verdicts are those of prost on any input (a fuzz target holds the two together), except
//! that unknown groups are followed to [`Limits::depth`](crate::Limits::depth) only.
//!
//! It knows nothing of OTLP: field numbers stand in [`crate::schema`].

use spanwise_model::ByteRange;

use crate::error::{DecodeError, Fault};
use crate::limits::Limits;

/// Wire types, as the low three bits of a key.
pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LEN: u32 = 2;
pub(crate) const GROUP: u32 = 3;
pub(crate) const GROUP_END: u32 = 4;
pub(crate) const FIXED32: u32 = 5;

/// A failure inside the walk, small enough to be returned from every step; becomes a
/// [`DecodeError`] at the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) cause: Cause,
    /// Offset in the request.
    pub(crate) at: u32,
}

/// Why the walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Malformed(Fault),
    TooDeep,
    TooManyItems,
}

/// A cursor over the payload of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of the end of `rest` in the request.
    end: u32,
}

impl Stop {
    pub(crate) fn into_error(self, limits: &Limits) -> DecodeError {
        let offset = u64::from(self.at);
        match self.cause {
            Cause::Malformed(fault) => DecodeError::Malformed { offset, fault },
            Cause::TooDeep => DecodeError::TooDeep { limit: limits.depth, offset },
            Cause::TooManyItems => DecodeError::TooManyItems { limit: limits.n_items },
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader of a whole request. Offsets are right only up to 4 GiB; callers see to it.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, end: bytes.len() as u32 }
    }

    /// Where the next byte lies in the request.
    pub(crate) fn offset(&self) -> u32 {
        self.end.wrapping_sub(self.rest.len() as u32)
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// What has not been read yet, as a range of the request.
    pub(crate) fn range(&self) -> ByteRange {
        ByteRange { start: self.offset(), len: self.rest.len() as u32 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next key (`number << 3 | wire type`), `None` at the end. Only its width is checked: a
    /// key nobody knows goes to [`skip`](Self::skip), which refuses the impossible ones.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the walk halves its speed when the optimiser splits it"
    )]
    pub(crate) fn key(&mut self) -> Result<Option<u32>, Stop> {
        match self.rest {
            [] => Ok(None),
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(Some(u32::from(*byte)))
            }
            _ => self.long_key().map(Some),
        }
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the walk halves its speed when the optimiser splits it"
    )]
    pub(crate) fn varint(&mut self) -> Result<u64, Stop> {
        match self.rest {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            [low, high, rest @ ..] if *high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    /// The payload of a length-delimited field, as a reader of its own.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the walk halves its speed when the optimiser splits it"
    )]
    pub(crate) fn payload(&mut self) -> Result<Reader<'a>, Stop> {
        let len = self.varint()?;
        let whole = self.rest;
        match usize::try_from(len).ok().and_then(|len| whole.split_at_checked(len)) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(Reader { rest: head, end: self.end.wrapping_sub(tail.len() as u32) })
            }
            None => Err(self.stop(Fault::Truncated)),
        }
    }

    /// The reader of `part`, which ends where this one ends.
    #[inline]
    pub(crate) fn tail(&self, part: &'a [u8]) -> Self {
        debug_assert!(self.rest.ends_with(part));
        Self { rest: part, end: self.end }
    }

    /// A string field: its payload, checked to be UTF-8.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Reader<'a>, Stop> {
        let payload = self.payload()?;
        if is_utf8(payload.rest) { Ok(payload) } else { Err(payload.stop(Fault::NotUtf8)) }
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, Stop> {
        match self.rest.split_first_chunk() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(u64::from_le_bytes(*chunk))
            }
            None => Err(self.stop(Fault::Truncated)),
        }
    }

    #[inline]
    pub(crate) fn fixed32(&mut self) -> Result<u32, Stop> {
        match self.rest.split_first_chunk() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(u32::from_le_bytes(*chunk))
            }
            None => Err(self.stop(Fault::Truncated)),
        }
    }

    /// Skips the value of a field that the caller does not handle. `known` has bit `n` set for each
    /// field number `n` of the message: such a field came with a wrong wire type.
    pub(crate) fn skip(&mut self, key: u32, known: u32, depth: u32) -> Result<(), Stop> {
        let number = key >> 3;
        if number < 32 && known & (1 << number) != 0 {
            return Err(self.stop(Fault::WrongWireType));
        }
        self.skip_value(key, depth)
    }

    /// Skips the value of `key`; `depth` more groups may be entered.
    fn skip_value(&mut self, key: u32, depth: u32) -> Result<(), Stop> {
        if key >> 3 == 0 {
            return Err(self.stop(Fault::BadKey));
        }
        match key & 7 {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            FIXED32 => self.fixed32().map(drop),
            LEN => self.payload().map(drop),
            GROUP => self.skip_group(key >> 3, depth),
            GROUP_END => Err(self.stop(Fault::UnmatchedGroup)),
            _ => Err(self.stop(Fault::BadKey)),
        }
    }

    fn skip_group(&mut self, number: u32, depth: u32) -> Result<(), Stop> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Stop { cause: Cause::TooDeep, at: self.offset() });
        };
        loop {
            let Some(key) = self.key()? else { return Err(self.stop(Fault::Truncated)) };
            if key == number << 3 | GROUP_END {
                return Ok(());
            }
            self.skip_value(key, depth)?;
        }
    }

    #[cold]
    fn long_key(&mut self) -> Result<u32, Stop> {
        let key = self.long_varint()?;
        u32::try_from(key).map_err(|_| self.stop(Fault::BadKey))
    }

    /// A varint of any width. The tenth byte may carry one bit only.
    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Stop> {
        let mut value = 0;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        let whole = self.rest.len() >= 10;
        Err(self.stop(if whole { Fault::VarintTooLong } else { Fault::Truncated }))
    }

    #[cold]
    pub(crate) fn stop(&self, fault: Fault) -> Stop {
        Stop { cause: Cause::Malformed(fault), at: self.offset() }
    }
}

/// Whether `bytes` are UTF-8. Most are ASCII, which is seen without looking at each character.
#[inline]
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    is_ascii(bytes) || std::str::from_utf8(bytes).is_ok()
}

/// Whether all bytes are ASCII. Faster than the standard library's on the short strings of spans: no
/// early return, and the rest of a division by 8 is covered by a word that overlaps.
#[inline(always)]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().fold(0, |bits, byte| bits | byte) < 0x80;
    };
    let words = bytes.as_chunks().0.iter();
    let bits = words.fold(u64::from_ne_bytes(*last), |bits, word| bits | u64::from_ne_bytes(*word));
    bits & HIGH_BITS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint_of(bytes: &[u8]) -> Result<u64, Fault> {
        Reader::new(bytes).varint().map_err(|stop| match stop.cause {
            Cause::Malformed(fault) => fault,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn varints_end_at_64_bits() {
        assert_eq!(varint_of(&[0x7f]), Ok(127));
        assert_eq!(varint_of(&[0x80, 0x01]), Ok(128));
        assert_eq!(varint_of(&[0x8a, 0x80, 0x00]), Ok(10));
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(varint_of(&longest), Ok(u64::MAX));
        let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(varint_of(&overflow), Err(Fault::VarintTooLong));
        assert_eq!(varint_of(&[0x80; 11]), Err(Fault::VarintTooLong));
        assert_eq!(varint_of(&[0x80, 0x80]), Err(Fault::Truncated));
        assert_eq!(varint_of(&[]), Err(Fault::Truncated));
    }

    #[test]
    fn ascii_is_told_from_the_rest_at_any_length_and_place() {
        for n in 0..40 {
            let mut bytes = vec![0x7f; n];
            assert!(is_ascii(&bytes) && is_utf8(&bytes));
            for at in 0..n {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes) && !is_utf8(&bytes), "{at} of {n}");
                bytes[at] = 0x7f;
            }
        }
        assert!(is_utf8("grüße aus köln".as_bytes()));
    }

    #[test]
    fn payloads_know_where_they_lie() {
        let mut reader = Reader::new(&[9, 2, 7, 8, 1]);
        assert_eq!(reader.key(), Ok(Some(9)));
        let payload = reader.payload().unwrap();
        assert_eq!(payload.range(), ByteRange { start: 2, len: 2 });
        assert_eq!((payload.rest(), reader.offset()), (&[7, 8][..], 4));
    }

    #[test]
    fn groups_are_skipped_whole_and_to_a_depth() {
        let group = [0x0b, 0x08, 0x01, 0x13, 0x14, 0x0c, 0x08];
        let mut reader = Reader::new(&group);
        let key = reader.key().unwrap().unwrap();
        reader.skip(key, 0, 2).unwrap();
        assert_eq!(reader.rest(), &[0x08]);

        let mut reader = Reader::new(&group[1..]);
        let stop = reader.skip(0x0b, 0, 1).unwrap_err();
        assert_eq!(stop.cause, Cause::TooDeep);
    }

    #[test]
    fn impossible_keys_are_refused() {
        for (key, fault) in [
            (0x00, Fault::BadKey),
            (0x0e, Fault::BadKey),
            (0x0f, Fault::BadKey),
            (0x0c, Fault::UnmatchedGroup),
        ] {
            let stop = Reader::new(&[0; 9]).skip(key, 0, 16).unwrap_err();
            assert_eq!(stop.cause, Cause::Malformed(fault), "{key}");
        }
        let stop = Reader::new(&[1]).skip(0x08, 1 << 1, 16).unwrap_err();
        assert_eq!(stop.cause, Cause::Malformed(Fault::WrongWireType));
    }
}
