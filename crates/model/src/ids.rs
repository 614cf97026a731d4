//! Trace and span ids, as OpenTelemetry defines them: 16 and 8 opaque bytes, all-zero means absent.
//!
//! They are compared and printed, never interpreted, except that the low 56 bits of a trace id are
//! the randomness of OpenTelemetry's consistent probability sampling when no `rv` is given.

use std::fmt;

/// A 16-byte trace id. All-zero is invalid on the wire and stands for "none" here.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// An 8-byte span id. All-zero stands for "no parent" in [`SpanHead::parent_id`](crate::SpanHead).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

impl TraceId {
    /// Whether every byte is zero.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }

    /// The last 8 bytes, big-endian: what shards are chosen by.
    pub fn low64(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Which of `n` parts, 1 at least, the id belongs to, counted from 0: parts are even whatever ids
    /// look like, for the multiplier spreads those that are not random, and each is a range of a hash,
    /// so that parts of other sizes overlap with few of them.
    pub fn part_of(self, n: u32) -> u32 {
        let spread = self.low64().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((spread * u64::from(n)) >> 32) as u32
    }

    /// The last 7 bytes: the default randomness value R of `OpenTelemetry` probability sampling.
    pub fn low56(self) -> u64 {
        self.low64() & 0x00ff_ffff_ffff_ffff
    }

    /// Parses 1 to 32 hexadecimal digits of either case; shorter ids are padded with zeros on the
    /// left. `None` when the text is empty, longer, or holds anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|v| Self(v.to_be_bytes()))
    }
}

impl SpanId {
    /// Whether every byte is zero.
    pub fn is_zero(self) -> bool {
        self.0 == [0; 8]
    }

    /// Parses 1 to 16 hexadecimal digits of either case, padded on the left. `None` otherwise.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(|v| Self(v.to_be_bytes()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_pads_on_the_left() {
        let id = TraceId::from_hex("290330A0c0c6eac69a60720d51026620").unwrap();
        assert_eq!(id.to_string(), "290330a0c0c6eac69a60720d51026620");
        assert_eq!(TraceId::from_hex("ff").unwrap().low64(), 255);
        assert_eq!(SpanId::from_hex("1").unwrap().to_string(), "0000000000000001");
    }

    #[test]
    fn text_that_is_not_an_id_is_refused() {
        for text in ["", "xyz", "+1", "290330a0c0c6eac69a60720d510266201"] {
            assert_eq!(TraceId::from_hex(text), None, "{text}");
        }
        assert_eq!(SpanId::from_hex("00112233445566778"), None);
    }

    #[test]
    fn low_bits_are_the_last_bytes() {
        let id = TraceId::from_hex("00000000000000ffaa112233445566").unwrap();
        assert_eq!(id.low56(), id.low64() & ((1 << 56) - 1));
    }
}
