//! Attributes on the wire: `KeyValue` and `AnyValue`, read in place.
//!
//! One pair of functions serves two callers: the walk over a request, which must check every string
//! (`CHECK` = true), and the later look-up of one key in bytes that were checked before.

use spanwise_model::ValueRef;

use crate::error::Fault;
use crate::schema::{any_value, key_value, list};
use crate::wire::{Cause, Reader, Stop, is_ascii, is_utf8};

const KEY_BYTE: u8 = key_value::KEY as u8;
const VALUE_BYTE: u8 = key_value::VALUE as u8;
const STRING_BYTE: u8 = any_value::STRING as u8;

/// An attribute value where it lies. Strings are bytes here: the walk has seen that they are UTF-8,
/// and turning them into `&str` is for those who look at one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawValue<'a> {
    Str(Reader<'a>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// An array, a key-value list, a profile string index, or nothing.
    Other,
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: RawValue<'a>,
}

impl<'a> RawValue<'a> {
    /// The string, as bytes; empty if the value is no string.
    pub(crate) fn as_str_bytes(&self) -> &'a [u8] {
        if let Self::Str(text) = self { text.rest() } else { &[] }
    }

    pub(crate) fn to_value_ref(self) -> ValueRef<'a> {
        match self {
            Self::Str(text) => {
                std::str::from_utf8(text.rest()).map_or(ValueRef::Other, ValueRef::Str)
            }
            Self::Bool(value) => ValueRef::Bool(value),
            Self::Int(value) => ValueRef::Int(value),
            Self::Double(value) => ValueRef::Double(value),
            Self::Bytes(value) => ValueRef::Bytes(value),
            Self::Other => ValueRef::Other,
        }
    }
}

/// Reads a `KeyValue`. A repeated key: the last wins; a repeated value merges, which for a oneof
/// means that its last member wins. `depth` more values may be entered, at least one.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the walk halves its speed when the optimiser splits it")]
pub(crate) fn read_attribute<const CHECK: bool>(
    reader: Reader<'_>,
    depth: u32,
) -> Result<Attribute<'_>, Stop> {
    match read_short_attribute::<CHECK>(reader) {
        Some(attribute) => Ok(attribute),
        None => read_any_attribute::<CHECK>(reader, depth),
    }
}

/// The form that nearly all attributes have: a key and one scalar in this order, each below 128
/// bytes, and text all ASCII if it is to be checked. For a string, one comparison of the whole
/// message then stands for the checks of its parts. `None` for any other form, good or bad.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the walk halves its speed when the optimiser splits it")]
fn read_short_attribute<const CHECK: bool>(reader: Reader<'_>) -> Option<Attribute<'_>> {
    let whole = reader.rest();
    let [KEY_BYTE, key_len, rest @ ..] = whole else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*key_len))?;
    let [VALUE_BYTE, value_len, member, value @ ..] = rest else { return None };
    if (key_len | value_len) >= 0x80 || value.len() + 1 != usize::from(*value_len) {
        return None;
    }
    if let (STRING_BYTE, [text_len, text @ ..]) = (*member, value) {
        let fits = text.len() == usize::from(*text_len) && *text_len < 0x80;
        let value = RawValue::Str(reader.tail(text));
        return (fits && (!CHECK || is_ascii(whole))).then_some(Attribute { key, value });
    }
    let mut rest = reader.tail(value);
    let value = match u32::from(*member) {
        any_value::INT => RawValue::Int(rest.varint().ok()?.cast_signed()),
        any_value::BOOL => RawValue::Bool(rest.varint().ok()? != 0),
        any_value::DOUBLE => RawValue::Double(f64::from_bits(rest.fixed64().ok()?)),
        _ => return None,
    };
    (rest.is_empty() && (!CHECK || is_ascii(key))).then_some(Attribute { key, value })
}

fn read_any_attribute<const CHECK: bool>(
    mut reader: Reader<'_>,
    depth: u32,
) -> Result<Attribute<'_>, Stop> {
    let mut attribute = Attribute { key: &[], value: RawValue::Other };
    while let Some(key) = reader.key()? {
        match key {
            key_value::KEY => attribute.key = string::<CHECK>(&mut reader)?.rest(),
            key_value::VALUE => {
                let payload = reader.payload()?;
                attribute.value = read_value::<CHECK>(payload, attribute.value, depth)?;
            }
            key_value::KEY_STRINDEX => drop(reader.varint()?),
            _ => reader.skip(key, key_value::KNOWN, depth)?,
        }
    }
    Ok(attribute)
}

/// Reads an `AnyValue` over `value`, which stays if the message sets nothing.
#[inline]
fn read_value<'a, const CHECK: bool>(
    mut reader: Reader<'a>,
    mut value: RawValue<'a>,
    depth: u32,
) -> Result<RawValue<'a>, Stop> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Stop { cause: Cause::TooDeep, at: reader.offset() });
    };
    while let Some(key) = reader.key()? {
        value = match key {
            any_value::STRING => RawValue::Str(string::<CHECK>(&mut reader)?),
            any_value::BOOL => RawValue::Bool(reader.varint()? != 0),
            any_value::INT => RawValue::Int(reader.varint()?.cast_signed()),
            any_value::DOUBLE => RawValue::Double(f64::from_bits(reader.fixed64()?)),
            any_value::BYTES => RawValue::Bytes(reader.payload()?.rest()),
            any_value::ARRAY => {
                let payload = reader.payload()?;
                if CHECK {
                    check_array(payload, depth)?;
                }
                RawValue::Other
            }
            any_value::KVLIST => {
                let payload = reader.payload()?;
                if CHECK {
                    check_kvlist(payload, depth)?;
                }
                RawValue::Other
            }
            any_value::STRINDEX => {
                reader.varint()?;
                RawValue::Other
            }
            _ => {
                reader.skip(key, any_value::KNOWN, depth)?;
                value
            }
        };
    }
    Ok(value)
}

#[inline(never)]
fn check_array(mut reader: Reader<'_>, depth: u32) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            list::VALUE => {
                read_value::<true>(reader.payload()?, RawValue::Other, depth)?;
            }
            _ => reader.skip(key, list::KNOWN, depth)?,
        }
    }
    Ok(())
}

#[inline(never)]
fn check_kvlist(mut reader: Reader<'_>, depth: u32) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            list::VALUE => {
                read_attribute::<true>(reader.payload()?, depth)?;
            }
            _ => reader.skip(key, list::KNOWN, depth)?,
        }
    }
    Ok(())
}

#[inline]
fn string<'a, const CHECK: bool>(reader: &mut Reader<'a>) -> Result<Reader<'a>, Stop> {
    let payload = reader.payload()?;
    if CHECK && !is_utf8(payload.rest()) {
        return Err(payload.stop(Fault::NotUtf8));
    }
    Ok(payload)
}
