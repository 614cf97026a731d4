//! Closed traces whose figures are computed the slow and obvious way.

use std::sync::Arc;

use spanwise_model::{
    Batch, CallSites, CloseReason, ClosedSpan, ClosedTrace, SpanHead, SpanKind, Timestamp,
};

use crate::span::{SpanSpec, batch};

/// The trace of `specs`, all of one trace id, closed at the end of its last span. `own_ns` and
/// `gap_ns` follow the definitions on [`ClosedSpan`].
pub fn closed_trace(sites: &mut CallSites, specs: &[SpanSpec]) -> ClosedTrace {
    let batch = batch(sites, specs);
    let heads = &batch.spans;
    assert!(heads.iter().all(|h| h.trace_id == heads[0].trace_id), "one trace at a time");
    let spans = (0..heads.len()).map(|idx| closed_span(&batch, idx)).collect();
    ClosedTrace {
        trace_id: heads.first().map(|h| h.trace_id).unwrap_or_default(),
        reason: CloseReason::RootEnded,
        closed_at: heads.iter().map(|h| h.end).max().unwrap_or_default(),
        overflowed: false,
        has_root: heads.iter().any(SpanHead::is_root),
        spans,
    }
}

fn closed_span(batch: &Arc<Batch>, idx: usize) -> ClosedSpan {
    let heads = &batch.spans;
    let parent = parent_of(heads, idx);
    let duration_ns = heads[idx].duration_ns();
    let children = children_of(heads, idx);
    let calls = if is_entry(heads, idx) { outgoing_calls(heads, idx) } else { children.clone() };
    let own_ns = duration_ns.map(|d| d - covered(heads, idx, &calls));
    let gap_ns = parent.and_then(|parent| {
        let (caller, callee) = (&heads[parent], &heads[idx]);
        let crosses = caller.kind == SpanKind::Client && caller.service != callee.service;
        let gap = caller.duration_ns()?.saturating_sub(callee.duration_ns()?);
        crosses.then_some(gap)
    });
    ClosedSpan {
        batch: Arc::clone(batch),
        span_idx: idx as u32,
        parent: parent.map_or(-1, |parent| i32::try_from(parent).expect("a test trace is small")),
        self_ns: duration_ns.map_or(0, |d| d - covered(heads, idx, &children)),
        own_ns: own_ns.unwrap_or(0),
        gap_ns,
        kept_early: false,
    }
}

fn parent_of(heads: &[SpanHead], idx: usize) -> Option<usize> {
    let wanted = heads[idx].parent_id;
    if wanted.is_zero() {
        return None;
    }
    heads.iter().position(|head| head.span_id == wanted).filter(|&parent| parent != idx)
}

fn children_of(heads: &[SpanHead], idx: usize) -> Vec<usize> {
    (0..heads.len()).filter(|&child| parent_of(heads, child) == Some(idx)).collect()
}

/// Server and consumer spans, and spans whose parent is absent or of another service.
fn is_entry(heads: &[SpanHead], idx: usize) -> bool {
    let head = &heads[idx];
    let serves = matches!(head.kind, SpanKind::Server | SpanKind::Consumer);
    serves || parent_of(heads, idx).is_none_or(|parent| heads[parent].service != head.service)
}

/// CLIENT spans of the same service reached through its INTERNAL spans, and callees of other
/// services that have no CLIENT span above them.
fn outgoing_calls(heads: &[SpanHead], idx: usize) -> Vec<usize> {
    let mut calls = Vec::new();
    let mut open = children_of(heads, idx);
    while let Some(child) = open.pop() {
        let same_service = heads[child].service == heads[idx].service;
        match heads[child].kind {
            SpanKind::Internal if same_service => open.extend(children_of(heads, child)),
            SpanKind::Client if same_service => calls.push(child),
            _ if !same_service => calls.push(child),
            _ => {}
        }
    }
    calls
}

/// Length of the union of the intervals of `parts`, clipped to the span `idx`.
fn covered(heads: &[SpanHead], idx: usize, parts: &[usize]) -> u64 {
    let (start, end) = (heads[idx].start, heads[idx].end);
    let valid = parts.iter().map(|&part| &heads[part]).filter(|head| head.duration_ns().is_some());
    let mut intervals: Vec<(Timestamp, Timestamp)> =
        valid.map(|head| (head.start.max(start), head.end.min(end))).collect();
    intervals.sort_unstable();
    let mut covered_ns = 0;
    let mut reached = start;
    for (from, to) in intervals {
        covered_ns += to.since(from.max(reached));
        reached = reached.max(to);
    }
    covered_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_children_count_once_and_end_with_their_parent() {
        let mut sites = CallSites::new(100, 100);
        let child = |id: u64, at: u64, ms: u64| {
            SpanSpec::new("a", "call")
                .id(id)
                .parent(1)
                .kind(SpanKind::Client)
                .at_ms(at)
                .lasting_ms(ms)
        };
        let root = SpanSpec::new("a", "serve").id(1).lasting_ms(100);
        let trace =
            closed_trace(&mut sites, &[root, child(2, 10, 20), child(3, 20, 20), child(4, 90, 50)]);
        assert_eq!(trace.spans[0].self_ns, 60_000_000);
        assert_eq!(trace.spans[0].own_ns, 60_000_000);
        assert_eq!(trace.spans[3].self_ns, 50_000_000);
    }

    #[test]
    fn internal_work_is_own_work_and_the_wait_for_a_callee_is_its_gap() {
        let mut sites = CallSites::new(100, 100);
        let trace = closed_trace(
            &mut sites,
            &[
                SpanSpec::new("a", "serve").id(1).lasting_ms(100),
                SpanSpec::new("a", "work")
                    .id(2)
                    .parent(1)
                    .kind(SpanKind::Internal)
                    .at_ms(0)
                    .lasting_ms(80),
                SpanSpec::new("a", "call")
                    .id(3)
                    .parent(2)
                    .kind(SpanKind::Client)
                    .at_ms(10)
                    .lasting_ms(50),
                SpanSpec::new("b", "serve").id(4).parent(3).at_ms(20).lasting_ms(30),
            ],
        );
        let root = &trace.spans[0];
        assert_eq!((root.self_ns, root.own_ns, root.gap_ns), (20_000_000, 50_000_000, None));
        assert_eq!(trace.spans[3].gap_ns, Some(20_000_000));
        assert_eq!(trace.spans[3].parent, 2);
    }
}
