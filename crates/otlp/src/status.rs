//! What a receiver answers and what an exporter reads of it: `ExportTraceServiceResponse` and
//! `google.rpc.Status`, in protobuf and in JSON.
//!
//! Both are a handful of fields, so they are written by hand like everything else here; texts are
//! cut to 256 bytes, because they may end in an HTTP/2 header.

use std::time::Duration;

use crate::schema::{len, varint};
use crate::wire::Reader;
use crate::writer::Writer;

mod json;

/// Longest text sent back, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

const PARTIAL_SUCCESS: u32 = len(1);
const REJECTED_SPANS: u32 = varint(1);
const ERROR_MESSAGE: u32 = len(2);

const CODE: u32 = varint(1);
const MESSAGE: u32 = len(2);
const DETAILS: u32 = len(3);
const TYPE_URL: u32 = len(1);
const VALUE: u32 = len(2);
const FIELD_VIOLATIONS: u32 = len(1);
const VIOLATION_DESCRIPTION: u32 = len(2);
const RETRY_DELAY: u32 = len(1);
const SECONDS: u32 = varint(1);
const NANOS: u32 = varint(2);

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The longest pause taken from another side: a `RetryInfo` beyond it is cut.
const RETRY_DELAY_MAX: Duration = Duration::from_hours(24);

/// How a body is encoded: always as the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Binary protobuf, `application/x-protobuf`.
    Protobuf,
    /// Protobuf's JSON mapping, `application/json`.
    Json,
}

/// OTLP's partial success: spans rejected, or a warning when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Spans that were not accepted.
    pub n_rejected: u64,
    /// Why, or what to look into; never empty when sent.
    pub message: String,
}

/// A `google.rpc.Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Code of `google.rpc.Code`: 3 is `INVALID_ARGUMENT`, 8 `RESOURCE_EXHAUSTED`, 14 `UNAVAILABLE`.
    pub code: u8,
    /// Text for people. Sent cut to 256 bytes.
    pub message: String,
    /// What a client can act on.
    pub detail: Option<Detail>,
}

/// A detail of a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The request is at fault; retrying it is of no use. The text says where.
    BadRequest(String),
    /// Try again after this pause.
    RetryInfo(Duration),
}

/// A response body: full success without `partial_success`, otherwise an `ExportTraceServiceResponse`
/// with the counts and the text.
pub fn export_response(partial: Option<&PartialSuccess>, encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::Json {
        return json::export_response(partial);
    }
    let mut writer = Writer::default();
    if let Some(partial) = partial {
        let mark = writer.open(PARTIAL_SUCCESS);
        if partial.n_rejected > 0 {
            writer.varint(REJECTED_SPANS, partial.n_rejected);
        }
        writer.bytes(ERROR_MESSAGE, cut(&partial.message).as_bytes());
        writer.close(mark);
    }
    writer.into_bytes()
}

/// Reads a protobuf `ExportTraceServiceResponse`: the partial success if it says anything. `None`
/// for full success and for what is no such response. The text is cut to 256 bytes.
pub fn parse_export_response(bytes: &[u8]) -> Option<PartialSuccess> {
    let mut partial = PartialSuccess::default();
    let mut reader = Reader::new(bytes);
    while let Some(key) = reader.key().ok()? {
        if key != PARTIAL_SUCCESS {
            reader.skip(key, 0, 1).ok()?;
            continue;
        }
        let mut fields = reader.payload().ok()?;
        while let Some(key) = fields.key().ok()? {
            match key {
                REJECTED_SPANS => partial.n_rejected = fields.varint().ok()?,
                ERROR_MESSAGE => {
                    let text = String::from_utf8_lossy(fields.payload().ok()?.rest());
                    cut(&text).clone_into(&mut partial.message);
                }
                _ => fields.skip(key, 0, 1).ok()?,
            }
        }
    }
    (partial.n_rejected > 0 || !partial.message.is_empty()).then_some(partial)
}

/// The pause that a protobuf `google.rpc.Status` asks for, at most a day; `None` without `RetryInfo`.
pub fn parse_retry_delay(bytes: &[u8]) -> Option<Duration> {
    let mut status = Reader::new(bytes);
    while let Some(key) = status.key().ok()? {
        if key != DETAILS {
            status.skip(key, 0, 1).ok()?;
            continue;
        }
        let (url, value) = parse_any(status.payload().ok()?)?;
        if url.rest().ends_with(b"/google.rpc.RetryInfo") {
            return parse_retry_info(value);
        }
    }
    None
}

fn parse_any(mut reader: Reader<'_>) -> Option<(Reader<'_>, Reader<'_>)> {
    let (mut url, mut value) = (Reader::new(&[]), Reader::new(&[]));
    while let Some(key) = reader.key().ok()? {
        match key {
            TYPE_URL => url = reader.payload().ok()?,
            VALUE => value = reader.payload().ok()?,
            _ => reader.skip(key, 0, 1).ok()?,
        }
    }
    Some((url, value))
}

/// `RetryInfo{Duration retry_delay}`; a negative duration is no pause.
fn parse_retry_info(mut reader: Reader<'_>) -> Option<Duration> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    while let Some(key) = reader.key().ok()? {
        if key != RETRY_DELAY {
            reader.skip(key, 0, 1).ok()?;
            continue;
        }
        let mut duration = reader.payload().ok()?;
        while let Some(key) = duration.key().ok()? {
            match key {
                SECONDS => seconds = duration.varint().ok()?.cast_signed(),
                NANOS => nanos = duration.varint().ok()?.cast_signed(),
                _ => duration.skip(key, 0, 1).ok()?,
            }
        }
    }
    let seconds = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    Some(seconds.saturating_add(nanos).min(RETRY_DELAY_MAX))
}

impl Status {
    /// The body of an error response, or the details of a gRPC status.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        if encoding == Encoding::Json {
            return json::status(self);
        }
        let mut writer = Writer::default();
        writer.varint(CODE, u64::from(self.code));
        writer.bytes(MESSAGE, cut(&self.message).as_bytes());
        if let Some(detail) = &self.detail {
            let mark = writer.open(DETAILS);
            writer.bytes(TYPE_URL, detail.type_url().as_bytes());
            let value = writer.open(VALUE);
            detail.write(&mut writer);
            writer.close(value);
            writer.close(mark);
        }
        writer.into_bytes()
    }
}

impl Detail {
    const fn type_url(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => BAD_REQUEST,
            Self::RetryInfo(_) => RETRY_INFO,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::BadRequest(text) => {
                let mark = writer.open(FIELD_VIOLATIONS);
                writer.bytes(VIOLATION_DESCRIPTION, cut(text).as_bytes());
                writer.close(mark);
            }
            Self::RetryInfo(delay) => {
                let mark = writer.open(RETRY_DELAY);
                writer.varint(SECONDS, delay.as_secs());
                writer.varint(NANOS, u64::from(delay.subsec_nanos()));
                writer.close(mark);
            }
        }
    }
}

/// At most [`TEXT_BYTES_MAX`] bytes of `text`, cut between characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
