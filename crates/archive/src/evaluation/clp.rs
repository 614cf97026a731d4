//! CLP's stream format over spans as lines of JSON: what the paper's baseline does, without Python.
//!
//! Each message becomes a *log type* (its text with placeholders), its variables, and the distance to
//! the last timestamp; integers and decimals that fit into 32 bits are stored as such, other tokens
//! with digits as strings. The stream then goes through zstd at its default level. "Like", because it
//! is written after the format's description (4-byte encoding), not with CLP's own code;
//! `benches/rivals/clp_size.py` runs that, and prints both sizes.

use std::fmt::Write as _;
use std::io::Write as _;

use bytes::Bytes;
use spanwise_model::ValueRef;
use spanwise_otlp::{Limits, decode};

use super::codec::Counter;
use super::error::Error;
use crate::traces::wire::{Field, Fields, key_value};

/// What `clp-logging` uses.
const ZSTD_LEVEL: i32 = 3;

const VAR_INT: u8 = 0x11;
const VAR_TEXT: u8 = 0x12;
const VAR_FLOAT: u8 = 0x13;
const TAG_TEXT: u8 = 0x11;
const TAG_INT: u8 = 0x18;
const TAG_FLOAT: u8 = 0x1a;
const TAG_LOG_TYPE: u8 = 0x21;
const TAG_TIME: u8 = 0x31;
const TAG_END: u8 = 0x00;
/// Digits that the mantissa of an encoded decimal may have, and its largest value.
const FLOAT_DIGITS_MAX: usize = 8;
const FLOAT_MANTISSA_MAX: u32 = (1 << 25) - 1;

/// Size of the stream.
pub(super) fn n_bytes(requests: &[Bytes]) -> Result<u64, Error> {
    let mut encoder = zstd::stream::Encoder::new(Counter(0), ZSTD_LEVEL)?;
    let (mut line, mut out) = (String::new(), Vec::new());
    let mut last_ms = 0;
    for (number, request) in requests.iter().enumerate() {
        let decoded = decode(request.clone(), &Limits::default())
            .map_err(|source| Error::Request { number: number as u64, source })?;
        let batch = &decoded.batch;
        for span in &batch.spans {
            let resource = batch.resources[span.resource_idx as usize];
            line.clear();
            render(&mut line, span.raw.of(&batch.bytes), resource.raw.of(&batch.bytes));
            out.clear();
            encode(line.as_bytes(), &mut out);
            let end_ms = span.end.as_ns() / 1_000_000;
            put_sized(&mut out, TAG_TIME, end_ms.wrapping_sub(last_ms).cast_signed());
            last_ms = end_ms;
            encoder.write_all(&out)?;
        }
    }
    encoder.write_all(&[TAG_END])?;
    Ok(encoder.finish()?.0)
}

/// A span as a line of JSON in the words of OTLP/JSON.
fn render(line: &mut String, span: &[u8], resource: &[u8]) {
    line.push('{');
    for field in Fields(span) {
        match field {
            (1, Field::Bytes(id)) => hex(line, "traceId", id),
            (2, Field::Bytes(id)) => hex(line, "spanId", id),
            (4, Field::Bytes(id)) => hex(line, "parentSpanId", id),
            (3, Field::Bytes(text)) => text_member(line, "traceState", text),
            (5, Field::Bytes(text)) => text_member(line, "name", text),
            (6, Field::Number(kind)) => number(line, "kind", kind),
            (7, Field::Number(ns)) => number(line, "startTimeUnixNano", ns),
            (8, Field::Number(ns)) => number(line, "endTimeUnixNano", ns),
            (15, Field::Bytes(status)) => {
                for field in Fields(status) {
                    match field {
                        (2, Field::Bytes(text)) => text_member(line, "message", text),
                        (3, Field::Number(code)) => number(line, "code", code),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    attributes(line, "attributes", span, 9);
    for field in Fields(span) {
        if let (11, Field::Bytes(event)) = field {
            line.push_str("\"event\": {");
            for field in Fields(event) {
                match field {
                    (1, Field::Number(ns)) => number(line, "timeUnixNano", ns),
                    (2, Field::Bytes(text)) => text_member(line, "name", text),
                    _ => {}
                }
            }
            attributes(line, "attributes", event, 3);
            line.push_str("}, ");
        }
    }
    attributes(line, "resource", resource, 1);
    line.push('}');
}

// Writing into a String cannot fail.

fn hex(line: &mut String, key: &str, bytes: &[u8]) {
    let _ = write!(line, "\"{key}\": \"");
    for byte in bytes {
        let _ = write!(line, "{byte:02x}");
    }
    line.push_str("\", ");
}

fn number(line: &mut String, key: &str, value: u64) {
    let _ = write!(line, "\"{key}\": {value}, ");
}

fn text_member(line: &mut String, key: &str, text: &[u8]) {
    let _ = write!(line, "\"{key}\": {:?}, ", String::from_utf8_lossy(text));
}

fn attributes(line: &mut String, name: &str, message: &[u8], wanted: u32) {
    let _ = write!(line, "\"{name}\": {{");
    for field in Fields(message) {
        let (field, Field::Bytes(attribute)) = field else { continue };
        if field != wanted {
            continue;
        }
        let (key, value, _) = key_value(attribute);
        let key = String::from_utf8_lossy(key);
        let _ = match value {
            ValueRef::Str(text) => write!(line, "\"{key}\": {text:?}, "),
            ValueRef::Bool(flag) => write!(line, "\"{key}\": {flag}, "),
            ValueRef::Int(number) => write!(line, "\"{key}\": {number}, "),
            ValueRef::Double(number) => write!(line, "\"{key}\": {number:?}, "),
            ValueRef::Bytes(_) | ValueRef::Other => write!(line, "\"{key}\": null, "),
        };
    }
    line.push_str("}, ");
}

/// Whether CLP cuts tokens at this byte.
const fn is_delimiter(byte: u8) -> bool {
    !matches!(byte, b'+' | b'-'..=b'9' | b'@'..=b'Z' | b'\\' | b'_' | b'a'..=b'z')
}

/// Appends a message: its variables, then its log type.
fn encode(message: &[u8], out: &mut Vec<u8>) {
    let mut log_type = Vec::with_capacity(message.len());
    let mut at = 0;
    while at < message.len() {
        if is_delimiter(message[at]) {
            log_type.push(message[at]);
            at += 1;
            continue;
        }
        let len = message[at..].iter().take_while(|byte| !is_delimiter(**byte)).count();
        let token = &message[at..at + len];
        let follows_equals = at > 0 && message[at - 1] == b'=';
        at += len;
        if let Some(value) = as_int(token) {
            log_type.push(VAR_INT);
            out.push(TAG_INT);
            out.extend_from_slice(&value.to_be_bytes());
        } else if let Some(value) = as_float(token) {
            log_type.push(VAR_FLOAT);
            out.push(TAG_FLOAT);
            out.extend_from_slice(&value.to_be_bytes());
        } else if is_variable(token, follows_equals) {
            log_type.push(VAR_TEXT);
            put_text(out, TAG_TEXT, token);
        } else {
            log_type.extend_from_slice(token);
        }
    }
    put_text(out, TAG_LOG_TYPE, &log_type);
}

fn is_variable(token: &[u8], follows_equals: bool) -> bool {
    let has_digit = token.iter().any(u8::is_ascii_digit);
    let has_letter = token.iter().any(u8::is_ascii_alphabetic);
    let is_hex = token.len() > 1 && token.iter().all(u8::is_ascii_hexdigit);
    has_digit || is_hex || (follows_equals && has_letter)
}

/// An integer whose text can be restored from its value.
fn as_int(token: &[u8]) -> Option<i32> {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let is_plain = digits.first()? != &b'0' || token == b"0";
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    if !(is_plain && all_digits) {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// A decimal as sign, mantissa of 25 bits, number of digits and place of the point.
fn as_float(token: &[u8]) -> Option<u32> {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    let point = digits.iter().position(|byte| *byte == b'.')?;
    let n_digits = digits.len() - 1;
    let is_decimal =
        digits.iter().enumerate().all(|(at, byte)| at == point || byte.is_ascii_digit());
    let n_decimals = digits.len() - 1 - point;
    if !is_decimal || !(1..=FLOAT_DIGITS_MAX).contains(&n_digits) || n_decimals == 0 {
        return None;
    }
    let mut mantissa = 0_u32;
    for byte in digits.iter().filter(|byte| **byte != b'.') {
        mantissa = mantissa * 10 + u32::from(byte - b'0');
    }
    if mantissa > FLOAT_MANTISSA_MAX {
        return None;
    }
    let sign = u32::from(digits.len() < token.len());
    Some(sign << 31 | mantissa << 6 | (n_digits as u32 - 1) << 3 | (n_decimals as u32 - 1))
}

/// A tag that says how long the length is, the length, and the text.
fn put_text(out: &mut Vec<u8>, tag: u8, text: &[u8]) {
    if let Ok(len) = u8::try_from(text.len()) {
        out.extend_from_slice(&[tag, len]);
    } else if let Ok(len) = u16::try_from(text.len()) {
        out.push(tag + 1);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(tag + 2);
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    }
    out.extend_from_slice(text);
}

/// A signed number in as few bytes as hold it, behind a tag that says how many.
fn put_sized(out: &mut Vec<u8>, tag: u8, value: i64) {
    if let Ok(value) = i8::try_from(value) {
        out.push(tag);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        out.push(tag + 1);
        out.extend_from_slice(&value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        out.push(tag + 2);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        out.push(tag + 3);
        out.extend_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, log_type: &str, variables: &[u8]) {
        let mut out = Vec::new();
        encode(message.as_bytes(), &mut out);
        let mut expected = variables.to_vec();
        put_text(&mut expected, TAG_LOG_TYPE, log_type.as_bytes());
        assert_eq!(out, expected, "{message}");
    }

    #[test]
    fn words_stay_in_the_log_type_and_what_varies_leaves_it() {
        check("took 12 ms", "took \x11 ms", &[TAG_INT, 0, 0, 0, 12]);
        check("id a1b2 ok", "id \x12 ok", b"\x11\x04a1b2");
        check("user=bob", "user=\x12", b"\x11\x03bob");
        check("-7 007", "\x11 \x12", b"\x18\xff\xff\xff\xf9\x11\x03007");
        check("cafe now", "\x12 now", b"\x11\x04cafe");
        check("99999999999", "\x12", b"\x11\x0b99999999999");
    }

    #[test]
    fn decimals_are_packed_into_four_bytes() {
        assert_eq!(as_float(b"1.5"), Some(15 << 6 | 1 << 3));
        assert_eq!(as_float(b"-0.25"), Some(1 << 31 | 25 << 6 | 2 << 3 | 1));
        for token in ["1.", "1.2.3", "x.1", "12345678.9", "99999.999", "15"] {
            assert_eq!(as_float(token.as_bytes()), None, "{token}");
        }
    }

    #[test]
    fn lengths_and_times_take_as_few_bytes_as_hold_them() {
        let mut out = Vec::new();
        put_sized(&mut out, TAG_TIME, -3);
        put_sized(&mut out, TAG_TIME, 300);
        put_sized(&mut out, TAG_TIME, 1 << 40);
        assert_eq!(out.len(), 2 + 3 + 9);
        out.clear();
        put_text(&mut out, TAG_TEXT, &[b'x'; 300]);
        assert_eq!(out[..3], [TAG_TEXT + 1, 1, 44]);
    }
}
