//! What policies ask of a trace again and again, found in one pass over its heads.

use spanwise_model::{ClosedTrace, StatusCode, Timestamp};

/// Figures of one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) n_spans: u64,
    /// From the first start to the last end, in whole milliseconds, rounded down; 0 if no span has
    /// valid times.
    pub(super) duration_ms: u64,
    /// Bit `1 << code` for each status code that occurs.
    pub(super) statuses: u8,
}

impl Facts {
    pub(super) fn of(trace: &ClosedTrace) -> Self {
        let (mut first, mut last) = (Timestamp(u64::MAX), Timestamp(0));
        let mut statuses = 0;
        for span in &trace.spans {
            let head = span.head();
            statuses |= status_bit(head.status);
            if head.duration_ns().is_some() {
                first = first.min(head.start);
                last = last.max(head.end);
            }
        }
        Self {
            n_spans: trace.spans.len() as u64,
            duration_ms: last.since(first) / 1_000_000,
            statuses,
        }
    }
}

pub(super) const fn status_bit(status: StatusCode) -> u8 {
    1 << status as u8
}

/// Bytes of the trace as OTLP: spans, and for each run of spans of one request that share resource and
/// scope these once more.
pub(super) fn n_bytes(trace: &ClosedTrace) -> u64 {
    let mut total = 0;
    let mut resource_spans = 0;
    let mut scope_spans = 0;
    let mut before = None;
    for span in &trace.spans {
        let head = span.head();
        let batch = &span.batch;
        let place = (std::sync::Arc::as_ptr(batch), head.resource_idx, head.scope_idx);
        let same_resource = before.is_some_and(|(b, r, _)| (b, r) == (place.0, place.1));
        if before != Some(place) {
            resource_spans += framed(scope_spans);
            let scope = batch.scopes.get(head.scope_idx as usize).copied().unwrap_or_default();
            scope_spans = framed(u64::from(scope.raw.len)) + optional(scope.schema_url.len);
        }
        if !same_resource {
            total += framed(resource_spans);
            let idx = head.resource_idx as usize;
            let resource = batch.resources.get(idx).copied().unwrap_or_default();
            resource_spans =
                framed(u64::from(resource.raw.len)) + optional(resource.schema_url.len);
        }
        scope_spans += framed(u64::from(head.raw.len));
        before = Some(place);
    }
    total + framed(resource_spans + framed(scope_spans))
}

fn optional(len: u32) -> u64 {
    if len == 0 { 0 } else { framed(u64::from(len)) }
}

/// A message behind its one-byte key and its length; nothing if there is no message yet.
const fn framed(len: u64) -> u64 {
    if len == 0 {
        return 0;
    }
    1 + (64 - len.leading_zeros() as u64).div_ceil(7) + len
}
