//! The other way: a protobuf request as OTLP/JSON, by the same table of messages.

use std::fmt::Write as _;

use super::schema::{ANY_VALUE, Field, Message, REQUEST, Shape, Width};
use crate::error::{DecodeError, Fault};
use crate::limits::{DEPTH_MAX, Limits};
use crate::transport::base64;
use crate::wire::{Cause, FIXED32, FIXED64, LEN, Reader, Stop, VARINT};

/// Messages inside each other: the envelopes, an attribute, and two for each level of a nested value.
const NESTED_MAX: u32 = 8 + 2 * DEPTH_MAX;

/// Turns a protobuf `ExportTraceServiceRequest` into one line of OTLP/JSON with the same meaning.
/// Fields that OTLP/JSON does not name are left out; ids are lower-case hexadecimal, 64-bit integers
/// strings.
///
/// # Errors
/// The bytes are not such a request, or values are nested too deeply.
pub fn protobuf_to_json(request: &[u8]) -> Result<String, DecodeError> {
    let mut text = String::with_capacity(2 * request.len() + 32);
    let written = write_message(&mut text, &REQUEST, &[Reader::new(request)], NESTED_MAX);
    written.map_err(|stop| stop.into_error(&Limits::default()))?;
    Ok(text)
}

/// One occurrence of a field.
#[derive(Clone, Copy)]
enum Found<'a> {
    Number(u64),
    Payload(Reader<'a>),
}

/// Writes a message that was sent in `pieces`, which protobuf reads as one.
fn write_message(
    text: &mut String,
    message: &Message,
    pieces: &[Reader<'_>],
    depth: u32,
) -> Result<(), Stop> {
    let mut found = Vec::new();
    for piece in pieces {
        read_fields(*piece, message, &mut found)?;
    }
    if std::ptr::eq(message, &raw const ANY_VALUE) {
        // A oneof: the last one counts, and the pieces of that one.
        let last = found.last().map(|(idx, _)| *idx);
        found.retain(|(idx, _)| Some(*idx) == last);
    }
    let Some(depth) = depth.checked_sub(1) else {
        let at = pieces.first().map_or(0, Reader::offset);
        return Err(Stop { cause: Cause::TooDeep, at });
    };
    text.push('{');
    let mut is_first = true;
    for (idx, field) in message.fields.iter().enumerate() {
        let of_field = found.iter().filter(|(at, _)| *at == idx).map(|(_, found)| *found);
        let values: Vec<Found<'_>> = of_field.collect();
        if values.is_empty() {
            continue;
        }
        let separator = if is_first { "" } else { "," };
        is_first = false;
        // Writing into a string cannot fail.
        let _ = write!(text, "{separator}\"{}\":", field.name);
        write_field(text, field, &values, depth)?;
    }
    text.push('}');
    Ok(())
}

/// Positions in the message's table with what stands there, in order.
fn read_fields<'a>(
    mut reader: Reader<'a>,
    message: &Message,
    found: &mut Vec<(usize, Found<'a>)>,
) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        let Some(idx) = message.fields.iter().position(|field| field.key == key) else {
            reader.skip(key, 0, DEPTH_MAX)?;
            continue;
        };
        let value = match key & 7 {
            VARINT => Found::Number(reader.varint()?),
            FIXED64 => Found::Number(reader.fixed64()?),
            FIXED32 => Found::Number(u64::from(reader.fixed32()?)),
            LEN => Found::Payload(reader.payload()?),
            _ => return Err(reader.stop(Fault::BadKey)),
        };
        found.push((idx, value));
    }
    Ok(())
}

fn write_field(
    text: &mut String,
    field: &Field,
    values: &[Found<'_>],
    depth: u32,
) -> Result<(), Stop> {
    let payloads = || values.iter().filter_map(|value| value.payload());
    match field.shape {
        Shape::One(message) => {
            write_message(text, message, &payloads().collect::<Vec<_>>(), depth)?;
        }
        Shape::Many(_) | Shape::Texts => {
            text.push('[');
            for (idx, payload) in payloads().enumerate() {
                if idx > 0 {
                    text.push(',');
                }
                match field.shape {
                    Shape::Many(message) => write_message(text, message, &[payload], depth)?,
                    _ => write_text(text, payload)?,
                }
            }
            text.push(']');
        }
        _ => {
            if let Some(last) = values.last() {
                write_scalar(text, field.shape, *last)?;
            }
        }
    }
    Ok(())
}

fn write_scalar(text: &mut String, shape: Shape, value: Found<'_>) -> Result<(), Stop> {
    // Writing into a string cannot fail.
    match (shape, value) {
        (Shape::Text, Found::Payload(payload)) => write_text(text, payload)?,
        (Shape::Id(_), Found::Payload(payload)) => {
            text.push('"');
            for byte in payload.rest() {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('"');
        }
        (Shape::Base64, Found::Payload(payload)) => {
            let digits = base64::encode(payload.rest());
            let padding = "=".repeat((4 - digits.len() % 4) % 4);
            let _ = write!(text, "\"{digits}{padding}\"");
        }
        (Shape::Bool, Found::Number(number)) => {
            text.push_str(if number == 0 { "false" } else { "true" });
        }
        (Shape::Double, Found::Number(bits)) => write_double(text, f64::from_bits(bits)),
        (Shape::Enum, Found::Number(number)) => {
            let _ = write!(text, "{}", number as i32);
        }
        (Shape::Integer(width), Found::Number(number)) => match width {
            Width::Fixed64 => drop(write!(text, "\"{number}\"")),
            Width::Int64 => drop(write!(text, "\"{}\"", number.cast_signed())),
            Width::Fixed32 | Width::Uint32 => drop(write!(text, "{}", number as u32)),
        },
        _ => text.push_str("null"),
    }
    Ok(())
}

fn write_double(text: &mut String, number: f64) {
    match number {
        _ if number.is_nan() => text.push_str("\"NaN\""),
        f64::INFINITY => text.push_str("\"Infinity\""),
        f64::NEG_INFINITY => text.push_str("\"-Infinity\""),
        // The shortest text that is read back as the same number; writing it cannot fail.
        _ => drop(write!(text, "{number:?}")),
    }
}

fn write_text(text: &mut String, payload: Reader<'_>) -> Result<(), Stop> {
    let string = std::str::from_utf8(payload.rest()).map_err(|_| payload.stop(Fault::NotUtf8))?;
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // Writing into a string cannot fail.
            c if c < ' ' => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    Ok(())
}

impl<'a> Found<'a> {
    const fn payload(self) -> Option<Reader<'a>> {
        match self {
            Self::Payload(payload) => Some(payload),
            Self::Number(_) => None,
        }
    }
}
