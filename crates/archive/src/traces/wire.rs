//! Attributes and exception types out of the bytes of a span that `otlp` has checked.
//!
//! `otlp` hands out one attribute by its key; a window needs all of them, once. The bytes were
//! walked before, so whatever cannot be read here ends the message early instead of failing.

use spanwise_model::ValueRef;

/// One field of a message: its number and what it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message in order. Groups end it: nothing that is read here may hold one.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.0)?;
        let number = (key >> 3) as u32;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut self.0)?),
            1 => Field::Number(u64::from_le_bytes(take(&mut self.0, 8)?.try_into().ok()?)),
            2 => {
                let len = varint(&mut self.0)?;
                Field::Bytes(take(&mut self.0, usize::try_from(len).ok()?)?)
            }
            5 => {
                let bytes: [u8; 4] = take(&mut self.0, 4)?.try_into().ok()?;
                Field::Number(u64::from(u32::from_le_bytes(bytes)))
            }
            _ => return None,
        };
        Some((number, field))
    }
}

/// Key, value and the raw value message of a `KeyValue`.
pub(crate) fn key_value(message: &[u8]) -> (&[u8], ValueRef<'_>, &[u8]) {
    let (mut key, mut raw) = (&[][..], &[][..]);
    for field in Fields(message) {
        match field {
            (1, Field::Bytes(bytes)) => key = bytes,
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    (key, any_value(raw), raw)
}

fn any_value(message: &[u8]) -> ValueRef<'_> {
    let mut value = ValueRef::Other;
    for field in Fields(message) {
        value = match field {
            (1, Field::Bytes(text)) => {
                std::str::from_utf8(text).map_or(ValueRef::Other, ValueRef::Str)
            }
            (2, Field::Number(flag)) => ValueRef::Bool(flag != 0),
            (3, Field::Number(number)) => ValueRef::Int(number.cast_signed()),
            (4, Field::Number(bits)) => ValueRef::Double(f64::from_bits(bits)),
            (7, Field::Bytes(bytes)) => ValueRef::Bytes(bytes),
            _ => ValueRef::Other,
        };
    }
    value
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}
