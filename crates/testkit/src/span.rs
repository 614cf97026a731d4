//! Spans in a line each, and batches of them.
//!
//! A batch made here has the fixed fields of its spans and their names, but no protobuf: `raw` is
//! empty everywhere. What needs the wire format is tested in `otlp`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{
    Batch, ByteRange, CallSites, ResourceHead, ScopeHead, SpanFlags, SpanHead, SpanId, SpanKind,
    StatusCode, Timestamp, TraceId,
};

/// The moment that [`SpanSpec::at_ms`] counts from: 2025-01-01T00:00:00Z. Not 0, which OTLP takes
/// for "not set".
pub const EPOCH: Timestamp = Timestamp::from_secs(1_735_689_600);

/// A span to be built. Starts as a root of trace 1 with id 1, kind server, at [`EPOCH`], 1 ms long.
#[derive(Clone, Debug)]
pub struct SpanSpec {
    /// Service name.
    pub service: String,
    /// Operation, as sent.
    pub operation: String,
    /// Instance id of the resource; empty if it has none.
    pub instance: String,
    /// Head to be completed with ranges and call site.
    pub head: SpanHead,
}

impl SpanSpec {
    /// A span of an operation of a service.
    pub fn new(service: &str, operation: &str) -> Self {
        let head = SpanHead {
            trace_id: TraceId(1_u128.to_be_bytes()),
            span_id: SpanId(1_u64.to_be_bytes()),
            start: EPOCH,
            end: EPOCH.plus_ns(1_000_000),
            kind: SpanKind::Server,
            ..SpanHead::default()
        };
        Self {
            service: service.to_owned(),
            operation: operation.to_owned(),
            instance: String::new(),
            head,
        }
    }

    /// Sets the trace id.
    #[must_use]
    pub fn trace(mut self, id: u128) -> Self {
        self.head.trace_id = TraceId(id.to_be_bytes());
        self
    }

    /// Sets the span id.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.head.span_id = SpanId(id.to_be_bytes());
        self
    }

    /// Sets the parent's span id; 0 makes it a root.
    #[must_use]
    pub fn parent(mut self, id: u64) -> Self {
        self.head.parent_id = SpanId(id.to_be_bytes());
        self
    }

    /// Moves the start to so many milliseconds after [`EPOCH`]; the duration stays.
    #[must_use]
    pub fn at_ms(self, ms: u64) -> Self {
        let duration_ns = self.head.end.since(self.head.start);
        self.between(EPOCH.plus_ns(ms * 1_000_000), EPOCH.plus_ns(ms * 1_000_000 + duration_ns))
    }

    /// Sets the duration; the start stays.
    #[must_use]
    pub fn lasting_ms(self, ms: u64) -> Self {
        self.lasting_ns(ms * 1_000_000)
    }

    /// Sets the duration in nanoseconds; the start stays.
    #[must_use]
    pub fn lasting_ns(self, ns: u64) -> Self {
        let start = self.head.start;
        self.between(start, start.plus_ns(ns))
    }

    /// Sets start and end as they are, valid or not.
    #[must_use]
    pub fn between(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.head.start = start;
        self.head.end = end;
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.head.kind = kind;
        self
    }

    /// Sets the status to error.
    #[must_use]
    pub fn error(mut self) -> Self {
        self.head.status = StatusCode::Error;
        self
    }

    /// Sets the instance that sent it.
    #[must_use]
    pub fn instance(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.instance);
        self
    }

    /// Sets the rejection threshold of head sampling, out of 2^56.
    #[must_use]
    pub fn threshold(mut self, threshold: u64) -> Self {
        self.head.threshold = threshold;
        self
    }

    /// Sets facts beside those that the times imply.
    #[must_use]
    pub fn flags(mut self, flags: SpanFlags) -> Self {
        self.head.flags.insert(flags);
        self
    }
}

/// A batch of `specs` in their order, interned into `sites` at the end of each span. Resources are
/// one per (service, instance), in order of first sight.
pub fn batch(sites: &mut CallSites, specs: &[SpanSpec]) -> Arc<Batch> {
    let mut text = Vec::new();
    let mut resources = Vec::new();
    let mut known = BTreeMap::new();
    let mut spans = Vec::new();
    for spec in specs {
        let key = (spec.service.clone(), spec.instance.clone());
        let resource_idx = *known.entry(key).or_insert_with(|| {
            resources.push(ResourceHead {
                service: put(&mut text, &spec.service),
                instance: put(&mut text, &spec.instance),
                ..ResourceHead::default()
            });
            resources.len() as u32 - 1
        });
        let name = put(&mut text, &spec.operation);
        let site = sites.intern(&spec.service, &spec.operation, spec.head.kind, spec.head.end);
        let service = sites.get(site).service_id;
        let mut head = SpanHead { name, resource_idx, site, service, ..spec.head };
        if head.duration_ns().is_none() {
            head.flags.insert(SpanFlags::INVALID_TIME);
        }
        spans.push(head);
    }
    let scopes = vec![ScopeHead::default()];
    Arc::new(Batch { bytes: Bytes::from(text), spans, resources, scopes, ..Batch::default() })
}

fn put(text: &mut Vec<u8>, piece: &str) -> ByteRange {
    let start = text.len() as u32;
    text.extend_from_slice(piece.as_bytes());
    ByteRange { start, len: piece.len() as u32 }
}
