//! Single values of OTLP/JSON: ids, numbers, base64.

use super::schema::Width;
use crate::writer::Writer;

const NOT_A_NUMBER: &str = "not a number";
const OUT_OF_RANGE: &str = "number out of range";
const NOT_BASE64: &str = "bytes are not base64";

/// A number as JSON gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Integer(i128),
    Double(f64),
}

impl Number {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    /// The integer, also of a double without a fraction such as `1e3`.
    fn as_integer(self) -> Result<i128, &'static str> {
        match self {
            Self::Integer(value) => Ok(value),
            // Beyond 2^64 no field can hold the value.
            Self::Double(value) if value.fract() == 0.0 && value.abs() < 2_f64.powi(64) => {
                Ok(value as i128)
            }
            Self::Double(_) => Err(OUT_OF_RANGE),
        }
    }
}

/// A number inside a string. Doubles also have names for what JSON cannot write.
pub(super) fn parse_number(text: &str, is_double: bool) -> Result<Number, &'static str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        if let Ok(value) = text.parse() {
            return Ok(Number::Integer(value));
        }
        return text.parse().map(Number::Double).map_err(|_| NOT_A_NUMBER);
    }
    match text {
        "NaN" if is_double => Ok(Number::Double(f64::NAN)),
        "Infinity" if is_double => Ok(Number::Double(f64::INFINITY)),
        "-Infinity" if is_double => Ok(Number::Double(f64::NEG_INFINITY)),
        _ => Err(NOT_A_NUMBER),
    }
}

pub(super) fn write_integer(
    writer: &mut Writer,
    key: u32,
    width: Width,
    number: Number,
) -> Result<(), &'static str> {
    let value = number.as_integer()?;
    match width {
        Width::Fixed64 => writer.fixed64(key, narrow(value)?),
        Width::Fixed32 => writer.fixed32(key, narrow(value)?),
        Width::Uint32 => writer.varint(key, u64::from(narrow::<u32>(value)?)),
        Width::Int64 => writer.varint(key, narrow::<i64>(value)?.cast_unsigned()),
    }
    Ok(())
}

/// An enum value; those nobody knows are legal.
pub(super) fn write_enum(
    writer: &mut Writer,
    key: u32,
    number: Number,
) -> Result<(), &'static str> {
    let value: i32 = narrow(number.as_integer()?)?;
    writer.varint(key, i64::from(value).cast_unsigned());
    Ok(())
}

fn narrow<T: TryFrom<i128>>(value: i128) -> Result<T, &'static str> {
    T::try_from(value).map_err(|_| OUT_OF_RANGE)
}

/// An id of `n_bytes` from its hexadecimal digits. What is no such id is written as one byte: an id
/// of a wrong length, which the walk rejects with its span.
pub(super) fn write_id(writer: &mut Writer, key: u32, text: &str, n_bytes: usize) {
    let mut id = [0; 16];
    match parse_hex(text.as_bytes(), &mut id[..n_bytes]) {
        Some(()) => writer.bytes(key, &id[..n_bytes]),
        None if text.is_empty() => writer.bytes(key, &[]),
        None => writer.bytes(key, &[0xff]),
    }
}

fn parse_hex(text: &[u8], id: &mut [u8]) -> Option<()> {
    if text.len() != 2 * id.len() {
        return None;
    }
    for (byte, digits) in id.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
    }
    Some(())
}

/// Base64 of either alphabet, with or without padding, as protobuf's JSON mapping accepts it.
pub(super) fn write_base64(writer: &mut Writer, key: u32, text: &str) -> Result<(), &'static str> {
    let digits = text.trim_end_matches('=');
    if digits.len() % 4 == 1 || text.len() - digits.len() > 2 {
        return Err(NOT_BASE64);
    }
    let mark = writer.open(key);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | sextet(*digit).ok_or(NOT_BASE64)?;
        }
        bits <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        writer.raw(&bytes[..group.len() * 6 / 8]);
    }
    writer.close(mark);
    Ok(())
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}
