//! The spans of a test, in the order in which they end.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_model::{
    AttributeSource, Batch, ByteRange, CallSites, CloseReason, ClosedSpan, ClosedTrace,
    ResourceHead, SpanHead, SpanId, SpanKind, StatusCode, Timestamp, TraceId, ValueRef,
};

use super::{START, SpanPattern, SpanStatus, TestCase};
use crate::rules::config::AttributeValue;
use crate::rules::predicates::{Context, Predicates};

/// Spans that will end, and the dictionary and attributes they refer to.
#[derive(Debug)]
pub struct Stream {
    sites: CallSites,
    attributes: Attributes,
    /// One-span traces in order of their ends, with what the sampler did.
    traces: Vec<(ClosedTrace, bool)>,
    next: usize,
}

/// Attributes per pattern; spans point to their pattern through the resource.
#[derive(Debug)]
struct Attributes(Vec<Vec<(String, AttributeValue)>>);

impl Stream {
    /// The spans of a test that [`TestCase::check`] found nothing wrong with, beginning at
    /// [`START`].
    pub fn new(case: &TestCase) -> Self {
        let mut sites = CallSites::new(10_000, 1_000);
        let mut batch = Batch::default();
        let mut bytes = Vec::new();
        let mut ends: Vec<(Timestamp, u32, usize)> = Vec::new();
        for (pattern_idx, pattern) in case.spans.iter().enumerate() {
            let head = head(pattern, pattern_idx as u32, &mut sites, &mut bytes);
            batch.resources.push(ResourceHead {
                service: append(&mut bytes, &pattern.service),
                instance: append(&mut bytes, &pattern.instance),
                ..ResourceHead::default()
            });
            for n in 0..pattern.n_spans() {
                let span_idx = batch.spans.len() as u32;
                let start = START.plus_ns(pattern.start.0 + n * pattern.every.0);
                let end = start.plus_ns(pattern.duration.0);
                let (trace_id, span_id) = ids(span_idx);
                batch.spans.push(SpanHead { trace_id, span_id, start, end, ..head });
                ends.push((end, span_idx, pattern_idx));
            }
        }
        batch.bytes = Bytes::from(bytes);
        ends.sort_unstable();
        let batch = Arc::new(batch);
        let trace = |(end, span_idx, idx): (Timestamp, u32, usize)| {
            let pattern = &case.spans[idx];
            (closed(&batch, span_idx, end, pattern), pattern.sampled)
        };
        let traces = ends.into_iter().map(trace).collect();
        let list = |pattern: &SpanPattern| pattern.attributes.clone().into_iter().collect();
        let attributes = Attributes(case.spans.iter().map(list).collect());
        Self { sites, attributes, traces, next: 0 }
    }

    /// Plays every span that ends by `until` and was not played yet.
    pub fn feed(&mut self, until: Timestamp, predicates: &mut Predicates) {
        while let Some((trace, is_sampled)) = self.traces.get(self.next)
            && trace.closed_at <= until
        {
            let (sites, attributes) = (&self.sites, &self.attributes);
            let ctx = Context { sites, attributes, now: trace.closed_at };
            for span in &trace.spans {
                predicates.arrived(span.span_ref(), &ctx);
                predicates.closed(span, trace, *is_sampled, &ctx);
            }
            self.next += 1;
        }
    }
}

impl AttributeSource for Attributes {
    fn attribute<'b>(&self, batch: &'b Batch, span_idx: u32, key: &str) -> Option<ValueRef<'b>> {
        let resource_idx = batch.spans.get(span_idx as usize)?.resource_idx;
        let list = self.0.get(resource_idx as usize)?;
        let value = &list.iter().find(|(name, _)| name == key)?.1;
        Some(match value {
            AttributeValue::Bool(value) => ValueRef::Bool(*value),
            AttributeValue::Int(value) => ValueRef::Int(*value),
            AttributeValue::Double(value) => ValueRef::Double(*value),
            AttributeValue::Str(text) => find_text(&batch.bytes, text),
        })
    }
}

/// The text inside the batch, where [`Stream::new`] put it: the port lends from the batch only.
fn find_text<'b>(bytes: &'b [u8], text: &str) -> ValueRef<'b> {
    let at = bytes.windows(text.len().max(1)).position(|window| window == text.as_bytes());
    let found = at.and_then(|at| std::str::from_utf8(&bytes[at..at + text.len()]).ok());
    ValueRef::Str(found.unwrap_or_default())
}

fn head(
    pattern: &SpanPattern,
    resource_idx: u32,
    sites: &mut CallSites,
    bytes: &mut Vec<u8>,
) -> SpanHead {
    for value in pattern.attributes.values() {
        if let AttributeValue::Str(text) = value {
            append(bytes, text);
        }
    }
    let kind = pattern.kind.unwrap_or(SpanKind::Server);
    let site = sites.intern(&pattern.service, &pattern.operation, kind, START);
    SpanHead {
        name: append(bytes, &pattern.operation),
        resource_idx,
        site,
        service: sites.get(site).service_id,
        kind,
        status: match pattern.status {
            SpanStatus::Unset => StatusCode::Unset,
            SpanStatus::Ok => StatusCode::Ok,
            SpanStatus::Error => StatusCode::Error,
        },
        ..SpanHead::default()
    }
}

fn closed(batch: &Arc<Batch>, span_idx: u32, end: Timestamp, pattern: &SpanPattern) -> ClosedTrace {
    let self_ns = (pattern.duration.0 as f64 * pattern.self_share) as u64;
    let span = ClosedSpan {
        batch: Arc::clone(batch),
        span_idx,
        parent: -1,
        self_ns,
        own_ns: self_ns,
        gap_ns: Some(pattern.gap.0),
        kept_early: pattern.sampled,
    };
    ClosedTrace {
        trace_id: ids(span_idx).0,
        reason: CloseReason::RootEnded,
        closed_at: end,
        overflowed: false,
        has_root: true,
        spans: vec![span],
    }
}

/// Ids of the n-th span, never zero.
fn ids(span_idx: u32) -> (TraceId, SpanId) {
    let n = u64::from(span_idx) + 1;
    (TraceId(u128::from(n).to_be_bytes()), SpanId(n.to_be_bytes()))
}

fn append(bytes: &mut Vec<u8>, text: &str) -> ByteRange {
    let start = bytes.len() as u32;
    bytes.extend_from_slice(text.as_bytes());
    ByteRange { start, len: text.len() as u32 }
}
