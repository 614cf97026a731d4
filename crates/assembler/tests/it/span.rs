//! Short ways to write spans.

use std::sync::Arc;

use spanwise_assembler::{Assembler, Config};
use spanwise_model::{
    Batch, ClosedTrace, ServiceId, SpanHead, SpanId, SpanKind, Timestamp, TraceId,
};

/// Times in tests count from here, since a start of 0 is invalid.
pub(crate) const EPOCH: u64 = 1_000;

pub(crate) fn trace_id(n: u64) -> TraceId {
    TraceId((u128::from(n) + 1).to_be_bytes())
}

pub(crate) fn span_id(n: u64) -> SpanId {
    SpanId(n.to_be_bytes())
}

/// A span of trace 0 and service 0; `parent` 0 means none.
pub(crate) fn span(id: u64, parent: u64, kind: SpanKind, start: u64, end: u64) -> SpanHead {
    SpanHead {
        trace_id: trace_id(0),
        span_id: span_id(id),
        parent_id: span_id(parent),
        kind,
        service: ServiceId(0),
        start: Timestamp(EPOCH + start),
        end: Timestamp(EPOCH + end),
        ..SpanHead::default()
    }
}

pub(crate) fn batch(spans: Vec<SpanHead>) -> Arc<Batch> {
    Arc::new(Batch { spans, ..Batch::default() })
}

pub(crate) fn roomy() -> Config {
    Config { memory_bytes: 4 << 30, n_spans_per_trace: 1_000_000, ..Config::default() }
}

pub(crate) fn push_all(
    assembler: &mut Assembler,
    batch: &Arc<Batch>,
    now: Timestamp,
    out: &mut Vec<ClosedTrace>,
) {
    for span_idx in 0..batch.spans.len() as u32 {
        assembler.push(batch, span_idx, false, now, out);
    }
}

/// All spans in one batch at one time, then drained.
pub(crate) fn assemble(spans: Vec<SpanHead>) -> Vec<ClosedTrace> {
    let mut assembler = Assembler::new(roomy()).unwrap();
    let mut out = Vec::new();
    push_all(&mut assembler, &batch(spans), Timestamp(1), &mut out);
    assembler.drain(Timestamp(1), &mut out);
    out
}
