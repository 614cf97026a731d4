//! Why a request cannot be read. One bad span is not an error: see [`Report`](crate::Report).

use std::fmt;

/// Why a whole request was refused. The texts are at most 256 bytes and repeat nothing of the input,
/// so they may be sent back to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The request is longer than [`Limits::request_bytes`](crate::Limits::request_bytes).
    #[error("request of {n_bytes} bytes exceeds the limit of {limit}; send smaller batches")]
    TooLarge {
        /// Bytes of the request.
        n_bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// What would be built from the request exceeds
    /// [`Limits::decoded_cost_bytes`](crate::Limits::decoded_cost_bytes).
    #[error("decoding would take {n_bytes} bytes, limit {limit}; send fewer spans per request")]
    TooCostly {
        /// Bytes it would take, as far as counted.
        n_bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// More spans, events and links than [`Limits::n_items`](crate::Limits::n_items).
    #[error("more than {limit} spans, events and links; send fewer spans per request")]
    TooManyItems {
        /// The limit in force.
        limit: u32,
    },
    /// Attribute values, or unknown groups, lie deeper inside each other than
    /// [`Limits::depth`](crate::Limits::depth).
    #[error("values nested deeper than {limit} at byte {offset}; flatten the attribute")]
    TooDeep {
        /// The limit in force.
        limit: u32,
        /// Where in the request.
        offset: u64,
    },
    /// The bytes are not an `ExportTraceServiceRequest`.
    #[error("malformed protobuf at byte {offset}: {fault}; check the exporter's protocol setting")]
    Malformed {
        /// Where in the request.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },
    /// The text is not an OTLP/JSON request.
    #[error("malformed otlp/json at line {line} column {column}: {fault}")]
    MalformedJson {
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong there, and the remedy.
        fault: &'static str,
    },
}

/// What is wrong with protobuf bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The message ends inside a field.
    Truncated,
    /// A varint of more than 64 bits.
    VarintTooLong,
    /// A field key with number 0, over 32 bits, or with wire type 6 or 7.
    BadKey,
    /// A known field with another wire type than its own.
    WrongWireType,
    /// The end of a group that was not started.
    UnmatchedGroup,
    /// A string field that is not UTF-8.
    NotUtf8,
}

impl DecodeError {
    /// Whether a limit was exceeded (HTTP 413, gRPC `RESOURCE_EXHAUSTED` without `RetryInfo`).
    /// Otherwise the input is malformed (HTTP 400, gRPC `INVALID_ARGUMENT`), deep nesting included.
    pub const fn is_oversize(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooCostly { .. } | Self::TooManyItems { .. })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "message ends inside a field",
            Self::VarintTooLong => "varint longer than 64 bits",
            Self::BadKey => "invalid field key",
            Self::WrongWireType => "field has the wrong wire type",
            Self::UnmatchedGroup => "group end without a start",
            Self::NotUtf8 => "string is not utf-8",
        })
    }
}
