//! OTLP/JSON to protobuf, so that everything behind it knows one encoding only.
//!
//! A table of the messages drives one visitor, which writes each member as it is read: no tree and
//! no structs are built, and the result is hardly longer than the text (1.1 times at worst), so the
//! text's own limit bounds the memory. Why not the generated serde code of opentelemetry-proto: it
//! refuses `null` and the strings for infinite numbers, builds everything, and checks no depth.
//!
//! The rules of OTLP/JSON as they are kept here: ids are hexadecimal in either case and never
//! base64; enums are numbers, names are refused; unknown members are ignored, and `snake_case` ones
//! are unknown; integers are numbers or strings; `null` is an absent member, and an empty message
//! inside an array; doubles may be `"NaN"`, `"Infinity"`, `"-Infinity"`; of two members of one oneof
//! the last wins. An id that is not hexadecimal or has the wrong length becomes an id that
//! [`decode`](crate::decode()) rejects with its span alone.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use crate::error::DecodeError;
use crate::limits::{DEPTH_MAX, Limits};
use crate::writer::Writer;

mod emit;
mod scalar;
mod schema;

pub use emit::protobuf_to_json;

use scalar::Number;
use schema::{ANY_VALUE, Field, Message, REQUEST, Shape};

/// Turns an OTLP/JSON `ExportTraceServiceRequest` into protobuf with the same meaning.
///
/// Ids and nesting are checked, times and UTF-8 are what the text says; hand the result to
/// [`decode`](crate::decode()). Item and depth limits hold here too, before anything more is written.
///
/// # Errors
/// Text that is no OTLP/JSON, with line and column, and each excess of `limits`.
pub fn json_to_protobuf(text: &[u8], limits: &Limits) -> Result<Bytes, DecodeError> {
    let n_bytes = text.len() as u64;
    if n_bytes > limits.request_bytes {
        return Err(DecodeError::TooLarge { n_bytes, limit: limits.request_bytes });
    }
    let mut transcoder = Transcoder {
        writer: Writer::with_capacity(text.len()),
        depth_left: limits.depth.clamp(1, DEPTH_MAX),
        items_left: limits.n_items,
        refusal: None,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let whole = Root { transcoder: &mut transcoder };
    let result = whole.deserialize(&mut json).and_then(|()| json.end());
    match result {
        Ok(()) => {
            let mut bytes = transcoder.writer.into_bytes();
            bytes.shrink_to_fit();
            Ok(bytes.into())
        }
        Err(error) => Err(transcoder.explain(&error, text, limits)),
    }
}

/// Why the transcoder itself stopped, rather than the JSON parser.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Fault(&'static str),
    TooDeep,
    TooManyItems,
}

struct Transcoder {
    writer: Writer,
    depth_left: u32,
    items_left: u32,
    refusal: Option<Refusal>,
}

impl Transcoder {
    /// Notes the reason and returns the error that makes the parser stop. Its own text is never
    /// shown, since the parser's texts repeat the input.
    fn refuse<E: Error>(&mut self, refusal: Refusal) -> E {
        self.refusal = Some(refusal);
        E::custom("refused")
    }

    fn fault<E: Error>(&mut self, text: &'static str) -> E {
        self.refuse(Refusal::Fault(text))
    }

    fn explain(&self, error: &serde_json::Error, text: &[u8], limits: &Limits) -> DecodeError {
        let (line, column) = (error.line() as u64, error.column() as u64);
        let fault = match (self.refusal, error.classify()) {
            (Some(Refusal::Fault(fault)), _) => fault,
            (Some(Refusal::TooDeep), _) => {
                let offset = offset_of(text, error.line(), error.column());
                return DecodeError::TooDeep { limit: limits.depth.clamp(1, DEPTH_MAX), offset };
            }
            (Some(Refusal::TooManyItems), _) => {
                return DecodeError::TooManyItems { limit: limits.n_items };
            }
            (None, Category::Data) => "value of the wrong type",
            (None, Category::Eof) => "the text ends too early",
            (None, Category::Syntax | Category::Io) => "not valid json",
        };
        DecodeError::MalformedJson { line, column, fault }
    }

    /// Writes the members of `message`.
    fn members<'de, A>(&mut self, message: &'static Message, mut map: A) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        while let Some(field) = map.next_key_seed(Member { message })? {
            match field {
                Some(field) => {
                    let is_element = false;
                    map.next_value_seed(Value { transcoder: self, field, is_element })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    /// Writes one nested message.
    fn message<'de, A>(
        &mut self,
        field: &Field,
        of: &'static Message,
        map: A,
    ) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        if of.is_item {
            let Some(left) = self.items_left.checked_sub(1) else {
                return Err(self.refuse(Refusal::TooManyItems));
            };
            self.items_left = left;
        }
        let is_value = std::ptr::eq(of, &raw const ANY_VALUE);
        if is_value {
            let Some(left) = self.depth_left.checked_sub(1) else {
                return Err(self.refuse(Refusal::TooDeep));
            };
            self.depth_left = left;
        }
        let mark = self.writer.open(field.key);
        self.members(of, map)?;
        self.writer.close(mark);
        self.depth_left += u32::from(is_value);
        Ok(())
    }

    fn text<E: Error>(&mut self, field: &Field, text: &str) -> Result<(), E> {
        match field.shape {
            Shape::Text | Shape::Texts => self.writer.bytes(field.key, text.as_bytes()),
            Shape::Id(n_bytes) => scalar::write_id(&mut self.writer, field.key, text, n_bytes),
            Shape::Base64 => scalar::write_base64(&mut self.writer, field.key, text)
                .map_err(|fault| self.fault(fault))?,
            Shape::Enum => return Err(self.fault("enum given by name; otlp/json wants its number")),
            Shape::Integer(_) | Shape::Double => {
                let number = scalar::parse_number(text, matches!(field.shape, Shape::Double))
                    .map_err(|fault| self.fault(fault))?;
                return self.number(field, number);
            }
            Shape::Bool | Shape::One(_) | Shape::Many(_) => return Err(self.fault(WRONG_TYPE)),
        }
        Ok(())
    }

    fn number<E: Error>(&mut self, field: &Field, number: Number) -> Result<(), E> {
        let result = match field.shape {
            Shape::Integer(width) => {
                scalar::write_integer(&mut self.writer, field.key, width, number)
            }
            Shape::Enum => scalar::write_enum(&mut self.writer, field.key, number),
            Shape::Double => {
                self.writer.fixed64(field.key, number.as_f64().to_bits());
                Ok(())
            }
            _ => Err(WRONG_TYPE),
        };
        result.map_err(|fault| self.fault(fault))
    }
}

const WRONG_TYPE: &str = "value of the wrong type";

/// Byte offset of a line and column, both from 1.
fn offset_of(text: &[u8], line: usize, column: usize) -> u64 {
    let before = text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    (before.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)) as u64
}

/// The whole request.
struct Root<'t> {
    transcoder: &'t mut Transcoder,
}

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.transcoder.members(&REQUEST, map)
    }
}

/// The name of a member: the field it stands for, `None` if nobody knows it.
struct Member {
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Member {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Member {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.message.fields.iter().find(|field| field.name == name))
    }
}

/// The value of a member, or one element of it.
struct Value<'t> {
    transcoder: &'t mut Transcoder,
    field: &'static Field,
    is_element: bool,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.is_element {
            self.transcoder.writer.bytes(self.field.key, &[]);
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.shape, Shape::Bool) {
            return Err(self.transcoder.fault(WRONG_TYPE));
        }
        self.transcoder.writer.varint(self.field.key, u64::from(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.transcoder.number(self.field, Number::Integer(i128::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.transcoder.number(self.field, Number::Integer(i128::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.transcoder.number(self.field, Number::Double(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.field.shape.is_repeated() && !self.is_element {
            return Err(self.transcoder.fault(WRONG_TYPE));
        }
        self.transcoder.text(self.field, text)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.field.shape {
            Shape::One(message) => self.transcoder.message(self.field, message, map),
            Shape::Many(message) if self.is_element => {
                self.transcoder.message(self.field, message, map)
            }
            _ => Err(self.transcoder.fault(WRONG_TYPE)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if !self.field.shape.is_repeated() || self.is_element {
            return Err(self.transcoder.fault(WRONG_TYPE));
        }
        let field = self.field;
        loop {
            let element = Value { transcoder: &mut *self.transcoder, field, is_element: true };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
