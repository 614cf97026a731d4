//! A kept trace, why it was kept, and its bytes as they leave.

use std::sync::Arc;

use bytes::Bytes;
use spanwise_assembler::Note;
use spanwise_model::{
    Batch, CallSites, ClosedTrace, SpanHead, SpanRef, Timestamp, TraceId, ValueRef,
};
use spanwise_otlp::{KeptSpan, reframe};
use spanwise_sampler::trace::{Claim, Keep, Reason};

use super::stamp::{Stamps, stamps};

/// Bytes of one forwarded request. Receivers commonly take 4 MiB.
const PACK_BYTES: usize = 1 << 20;

/// What the sampler would have done, where everything is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It would have been kept.
    Keep,
    /// It would have been dropped.
    Drop,
}

/// Why a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Why {
    /// Lane or other reason: `latency`, `structure`, ..., `late`, `tag`.
    pub reason: &'static str,
    /// Score and where it comes from; `None` where nothing was scored.
    pub claim: Option<Claim>,
    /// Share of recent traces that score at least as high, or the probability of the keep; `None`
    /// where there is none.
    pub tail: Option<f64>,
    /// Rejection threshold that the keep adds, out of 2^56; 0 = none.
    pub threshold: u64,
    /// Thresholds that came in must go.
    pub erase_threshold: bool,
    /// Whether these are spans that came after the verdict.
    pub late: bool,
    /// The verdict, where everything is kept.
    pub decision: Option<Decision>,
}

/// A trace to be sent, or late spans of one.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// Trace id.
    pub trace_id: TraceId,
    /// Its spans: requests and positions in them, in order of arrival.
    pub spans: Vec<(Arc<Batch>, u32)>,
    /// Position of the root among the spans, else of the first span.
    pub root: usize,
    /// Why.
    pub why: Why,
    /// Name of the policy that keeps it, if one does.
    pub policy: Option<Arc<str>>,
    /// When it was decided.
    pub at: Timestamp,
    /// Spans of the trace in requests up to this number of a log are among these, or left before.
    pub through: u64,
}

/// A request with kept traces.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The request.
    pub bytes: Bytes,
    /// Spans in it.
    pub n_spans: u64,
    /// Positions of the traces that have spans in it.
    pub traces: std::ops::Range<usize>,
    /// Whether the last of them ends in it.
    pub is_whole: bool,
}

impl Decision {
    /// Name as it stands on spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
        }
    }
}

impl Why {
    const NOTHING: Self = Self {
        reason: "",
        claim: None,
        tail: None,
        threshold: 0,
        erase_threshold: false,
        late: false,
        decision: None,
    };

    /// Of a keep because the budget allows everything.
    pub const EVERYTHING: Self =
        Self { reason: Reason::Probability.as_str(), tail: Some(1.0), ..Self::NOTHING };

    /// Of a keep by the sampler.
    pub fn kept(keep: Keep) -> Self {
        Self {
            reason: keep.reason.as_str(),
            claim: Some(keep.claim),
            tail: Some(keep.tail),
            threshold: keep.threshold,
            erase_threshold: keep.erase_threshold,
            ..Self::NOTHING
        }
    }

    /// Of a trace that is kept because everything is.
    pub fn tagged(decision: Decision) -> Self {
        Self { reason: "tag", decision: Some(decision), ..Self::NOTHING }
    }

    /// Of late spans of a kept trace, or of a trace promoted by a late span: content keeps it.
    pub fn late(note: Note) -> Self {
        let Note { threshold, erase_threshold, .. } = note;
        Self { reason: "late", threshold, erase_threshold, late: true, ..Self::NOTHING }
    }

    /// What late spans of this trace need to know.
    pub fn note(&self) -> Note {
        let names = REASONS.iter().position(|name| *name == self.reason).unwrap_or(REASONS.len());
        Note {
            threshold: self.threshold,
            erase_threshold: self.erase_threshold,
            reason: names as u8,
        }
    }
}

/// Reasons in the order of their numbers in [`Note`]; the numbers stand in logs.
const REASONS: [&str; 8] = [
    Reason::Latency.as_str(),
    Reason::Structure.as_str(),
    Reason::Error.as_str(),
    Reason::Cluster.as_str(),
    Reason::Probability.as_str(),
    "late",
    "tag",
    Reason::Policy.as_str(),
];

impl KeptTrace {
    /// A trace of these spans, at least one.
    pub fn new(trace_id: TraceId, spans: Vec<(Arc<Batch>, u32)>, why: Why, at: Timestamp) -> Self {
        let is_root = |(batch, idx): &(Arc<Batch>, u32)| batch.spans[*idx as usize].is_root();
        let root = spans.iter().position(is_root).unwrap_or(0);
        Self { trace_id, spans, root, why, policy: None, at, through: 0 }
    }

    /// Spans of a closed trace.
    pub fn spans_of(trace: &ClosedTrace) -> Vec<(Arc<Batch>, u32)> {
        trace.spans.iter().map(|span| (Arc::clone(&span.batch), span.span_idx)).collect()
    }

    /// Every span of a request.
    pub fn all_of(batch: &Arc<Batch>) -> Vec<(Arc<Batch>, u32)> {
        (0..batch.spans.len() as u32).map(|idx| (Arc::clone(batch), idx)).collect()
    }

    /// The spans.
    pub fn refs(&self) -> impl Iterator<Item = SpanRef<'_>> {
        self.spans.iter().map(|(batch, span_idx)| SpanRef { batch, span_idx: *span_idx })
    }

    /// Raw bytes of the spans.
    pub fn n_bytes(&self) -> u64 {
        self.refs().map(|span| u64::from(span.head().raw.len)).sum()
    }
}

/// Frames traces as requests of about a mebibyte. A larger trace is spread over several; the order
/// stays. With `is_stamped` each carries why it was kept.
pub fn pack(kept: &[KeptTrace], sites: &CallSites, is_stamped: bool) -> Vec<Pack> {
    let all_stamps: Vec<Stamps> = kept
        .iter()
        .map(|trace| if is_stamped { stamps(trace, sites) } else { Vec::new() })
        .collect();
    let mut packs = Vec::new();
    let mut spans: Vec<KeptSpan<'_>> = Vec::new();
    let mut n_bytes = 0;
    let mut from = 0;
    // What surrounds a span is counted once where spans follow each other.
    let mut around = None;
    for (number, (trace, stamps)) in kept.iter().zip(&all_stamps).enumerate() {
        let mut stamps = stamps.iter().peekable();
        for (idx, (batch, span_idx)) in trace.spans.iter().enumerate() {
            let stamp = stamps.next_if(|(at, _)| *at == idx).map_or(&[][..], |(_, bytes)| bytes);
            let head = &batch.spans[*span_idx as usize];
            let place = Some((Arc::as_ptr(batch), head.resource_idx, head.scope_idx));
            let is_around = std::mem::replace(&mut around, place) == place;
            let n_around = if is_around { 0 } else { context_bytes(batch, head) };
            let n_span_bytes = head.raw.len as usize + stamp.len() + n_around;
            if n_bytes > 0 && n_bytes + n_span_bytes > PACK_BYTES {
                let is_whole = idx == 0;
                let end = if is_whole { number } else { number + 1 };
                packs.push(framed(&spans, from..end, is_whole));
                spans.clear();
                (n_bytes, from) = (0, number);
            }
            n_bytes += n_span_bytes;
            spans.push(KeptSpan { batch, span_idx: *span_idx, stamp });
        }
    }
    if !spans.is_empty() {
        packs.push(framed(&spans, from..kept.len(), true));
    }
    packs
}

/// Bytes of a span's resource and scope.
fn context_bytes(batch: &Batch, head: &SpanHead) -> usize {
    let resource = batch.resources.get(head.resource_idx as usize);
    let scope = batch.scopes.get(head.scope_idx as usize);
    let n_bytes = resource.map_or(0, |one| one.raw.len) + scope.map_or(0, |one| one.raw.len);
    n_bytes as usize
}

fn framed(spans: &[KeptSpan<'_>], traces: std::ops::Range<usize>, is_whole: bool) -> Pack {
    let reframed = reframe(spans);
    Pack { bytes: reframed.bytes, n_spans: reframed.order.len() as u64, traces, is_whole }
}

/// Appends what names a tenant, texts and numbers told apart; whether the value names one.
pub(super) fn tenant_name(value: ValueRef<'_>, name: &mut Vec<u8>) -> bool {
    match value {
        ValueRef::Str(text) => {
            name.push(b's');
            name.extend_from_slice(text.as_bytes());
        }
        ValueRef::Int(number) => {
            name.push(b'i');
            name.extend_from_slice(&number.to_le_bytes());
        }
        ValueRef::Bool(flag) => name.extend([b'b', u8::from(flag)]),
        ValueRef::Bytes(bytes) => {
            name.push(b'x');
            name.extend_from_slice(bytes);
        }
        _ => return false,
    }
    true
}
