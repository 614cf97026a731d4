//! A span as owned values: what generators yield, what columns in a file hold, what tests build.
//!
//! Never on the hot path: a received span stays raw bytes under a [`SpanHead`](crate::SpanHead). A
//! record becomes one only by being encoded at the border.

use std::sync::Arc;

use crate::ids::{SpanId, TraceId};
use crate::kind::{SpanKind, StatusCode};
use crate::time::Timestamp;

/// An owned attribute value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Str(Arc<str>),
    /// A boolean.
    Bool(bool),
    /// A 64-bit signed integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// When it happened.
    pub at: Timestamp,
    /// Its name.
    pub name: Arc<str>,
    /// Its attributes.
    pub attributes: Vec<(Arc<str>, Value)>,
}

/// A whole span, owned.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanRecord {
    /// Trace id.
    pub trace_id: TraceId,
    /// Span id.
    pub span_id: SpanId,
    /// Parent span id, all-zero for a root.
    pub parent_id: SpanId,
    /// `service.name` of the resource.
    pub service: Arc<str>,
    /// `service.instance.id` of the resource; empty if there is none.
    pub instance: Arc<str>,
    /// The span's name.
    pub operation: Arc<str>,
    /// Span kind.
    pub kind: SpanKind,
    /// Start.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// Status code.
    pub status: StatusCode,
    /// W3C `tracestate`; empty if there is none.
    pub trace_state: Arc<str>,
    /// Attributes of the span.
    pub attributes: Vec<(Arc<str>, Value)>,
    /// Events of the span.
    pub events: Vec<EventRecord>,
}
