//! Spans, traces and rules for tests.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_analyzer::rules::{Context, Matched, Predicates, RuleConfig, RuleSet};
use spanwise_model::{
    AttributeSource, Batch, ByteRange, CallSites, CloseReason, ClosedSpan, ClosedTrace,
    ResourceHead, RuleCount, SpanHead, SpanId, SpanKind, SpanRef, Timestamp, TraceId, ValueRef,
};

pub(crate) const MS: u64 = 1_000_000;

/// Seconds after an arbitrary start.
pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + secs)
}

/// Compiles rules that name no target.
pub(crate) fn rules(yaml: &str) -> Arc<RuleSet> {
    let configs: Vec<RuleConfig> = serde_saphyr::from_str(yaml).unwrap();
    let (set, problems) = RuleSet::compile_for_counting(&configs);
    assert_eq!(problems, []);
    Arc::new(set.unwrap())
}

/// One rule on `cart` with the condition given, that needs a single breach over 80 ms.
pub(crate) fn rule(when: &str) -> Arc<RuleSet> {
    rules(&format!(
        "- {{name: r, when: {{service: cart, over: 80ms, count: 1, window: 30s, {when}}}, \
         do: {{alert: a}}}}"
    ))
}

/// One span as a test states it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) operation: &'static str,
    pub(crate) kind: SpanKind,
    pub(crate) end: Timestamp,
    pub(crate) duration_ns: u64,
    pub(crate) self_ns: u64,
    pub(crate) gap_ns: Option<u64>,
    pub(crate) instance: String,
    pub(crate) is_sampled: bool,
    pub(crate) trace_id: u128,
    /// Last changes to the head.
    pub(crate) change: fn(&mut SpanHead),
}

impl Default for Span {
    fn default() -> Self {
        Self {
            operation: "GetCart",
            kind: SpanKind::Server,
            end: at(0),
            duration_ns: 100 * MS,
            self_ns: 100 * MS,
            gap_ns: None,
            instance: "one".to_owned(),
            is_sampled: false,
            trace_id: 1,
            change: |_| {},
        }
    }
}

/// Predicates and the dictionary they need.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) sites: CallSites,
    pub(crate) predicates: Predicates,
    pub(crate) now: Timestamp,
}

impl Rig {
    pub(crate) fn new(rules: Arc<RuleSet>) -> Self {
        Self { sites: CallSites::new(100, 100), predicates: Predicates::new(rules), now: at(0) }
    }

    /// Lets a span arrive and its trace close at once.
    pub(crate) fn send(&mut self, span: &Span) -> Matched {
        let trace = self.trace(span);
        let ctx = Context { sites: &self.sites, attributes: &Fixed, now: self.now };
        let idx = trace.spans.len() - 1;
        let closed = &trace.spans[idx];
        let span_ref = SpanRef { batch: &closed.batch, span_idx: closed.span_idx };
        let early = self.predicates.arrived(span_ref, &ctx);
        let late = self.predicates.closed(closed, &trace, span.is_sampled, &ctx);
        Matched {
            n_breached: early.n_breached + late.n_breached,
            is_example: early.is_example || late.is_example,
        }
    }

    pub(crate) fn drain(&mut self) -> Vec<RuleCount> {
        let mut counts = Vec::new();
        assert_eq!(self.predicates.drain(&mut counts), 0, "counts were dropped");
        counts
    }

    /// A span of `cart`, called by a client span of `web` if it has a gap.
    fn trace(&mut self, span: &Span) -> ClosedTrace {
        let mut bytes = Vec::new();
        let service = append(&mut bytes, "cart");
        let instance = append(&mut bytes, &span.instance);
        let resource = ResourceHead { service, instance, ..ResourceHead::default() };
        let start = span.end.minus_ns(span.duration_ns);
        let trace_id = TraceId(span.trace_id.to_be_bytes());
        let site = self.sites.intern("cart", span.operation, span.kind, self.now);
        let caller = self.sites.intern("web", "call cart", SpanKind::Client, self.now);
        let (kind, end) = (span.kind, span.end);
        let span_id = SpanId([2; 8]);
        let mut head =
            SpanHead { trace_id, span_id, start, end, site, kind, ..SpanHead::default() };
        (span.change)(&mut head);
        let parent_head =
            SpanHead { span_id: SpanId([1; 8]), site: caller, kind: SpanKind::Client, ..head };
        let batch = Arc::new(Batch {
            bytes: Bytes::from(bytes),
            spans: vec![parent_head, head],
            resources: vec![resource],
            scopes: Vec::new(),
            ..Batch::default()
        });
        let closed = |span_idx, parent, self_ns, gap_ns| ClosedSpan {
            batch: Arc::clone(&batch),
            span_idx,
            parent,
            self_ns,
            own_ns: self_ns,
            gap_ns,
            kept_early: false,
        };
        let parent = if span.gap_ns.is_some() { 0 } else { -1 };
        ClosedTrace {
            trace_id,
            reason: CloseReason::RootEnded,
            closed_at: self.now,
            overflowed: false,
            has_root: true,
            spans: vec![closed(0, -1, 0, None), closed(1, parent, span.self_ns, span.gap_ns)],
        }
    }
}

fn append(bytes: &mut Vec<u8>, text: &str) -> ByteRange {
    let start = bytes.len() as u32;
    bytes.extend_from_slice(text.as_bytes());
    ByteRange { start, len: text.len() as u32 }
}

/// Every span has the same attributes.
struct Fixed;

impl AttributeSource for Fixed {
    fn attribute<'b>(&self, _: &'b Batch, _: u32, key: &str) -> Option<ValueRef<'b>> {
        match key {
            "tier" => Some(ValueRef::Str("gold")),
            "http.response.status_code" => Some(ValueRef::Int(500)),
            _ => None,
        }
    }
}
