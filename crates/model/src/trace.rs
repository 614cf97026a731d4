//! A trace after its window closed: what only the whole trace can tell about a span.

use std::sync::Arc;

use crate::ids::TraceId;
use crate::span::{Batch, SpanHead, SpanRef};
use crate::time::Timestamp;

/// Why the window of a trace closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The root ended and the grace period passed.
    RootEnded,
    /// No span arrived for the idle time.
    Idle,
    /// The trace reached its greatest age.
    Age,
    /// Memory ran short, so it was closed early.
    Evicted,
    /// It reached the greatest number of spans; what comes later forms a further part.
    Full,
    /// The application is shutting down or the input ended.
    Drained,
}

/// A span with the figures that need its family.
#[derive(Clone, Debug)]
pub struct ClosedSpan {
    /// The batch that holds the span.
    pub batch: Arc<Batch>,
    /// Position in [`Batch::spans`].
    pub span_idx: u32,
    /// Position of the parent in [`ClosedTrace::spans`], -1 for a root or an orphan.
    pub parent: i32,
    /// Self time: duration minus the union of the children's intervals, clipped to the span.
    /// 0 if the span's times are invalid.
    pub self_ns: u64,
    /// X of an entry span: duration minus the union of its outgoing-call intervals, where INTERNAL
    /// children of the same service count as own work. Equals `self_ns` on other spans.
    pub own_ns: u64,
    /// G: duration of the calling CLIENT span minus that of this span, at least 0; `None` if the
    /// parent is not a CLIENT span of another service or the times are invalid.
    pub gap_ns: Option<u64>,
    /// Whether the sampler kept the span on arrival.
    pub kept_early: bool,
}

/// A trace whose window closed. Spans stand in order of arrival.
#[derive(Clone, Debug)]
pub struct ClosedTrace {
    /// Trace id.
    pub trace_id: TraceId,
    /// Why it closed.
    pub reason: CloseReason,
    /// When it closed.
    pub closed_at: Timestamp,
    /// Whether spans beyond the cap of a trace were left out.
    pub overflowed: bool,
    /// Whether a root (a span without parent) is among the spans.
    pub has_root: bool,
    /// The spans.
    pub spans: Vec<ClosedSpan>,
}

impl ClosedSpan {
    /// The span's head. `span_idx` comes from the batch itself, so it is in range.
    pub fn head(&self) -> &SpanHead {
        &self.batch.spans[self.span_idx as usize]
    }

    /// The span as a reference into its batch.
    pub fn span_ref(&self) -> SpanRef<'_> {
        SpanRef { batch: &self.batch, span_idx: self.span_idx }
    }
}
