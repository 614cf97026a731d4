//! Spans that come after the verdict on their trace: they follow it. A verdict changes from drop to
//! keep only, when a late span is an anomaly and all bytes of the trace are still held.

use std::sync::Arc;

use rustc_hash::FxHashSet;
use spanwise_assembler::Note;
use spanwise_model::{Batch, ClosedTrace, SpanId, Timestamp};
use spanwise_sampler::trace::{Cost, Unit};

use super::Stage;
use super::kept::{Decision, KeptTrace, Why};
use crate::config::TraceMode;

/// Spans that came late, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateCounters {
    /// Sent after their kept trace.
    pub n_followed_keep: u64,
    /// Dropped like their trace.
    pub n_followed_drop: u64,
    /// Joined a trace that waits for budget.
    pub n_joined: u64,
    /// Traces promoted from dropped to kept.
    pub n_promoted: u64,
    /// Spans of kept traces that no budget was left for.
    pub n_over_budget: u64,
    /// Traces that would have been promoted but for the budget.
    pub n_promotions_over_budget: u64,
    /// Traces that would have been promoted, but their bytes are gone.
    pub n_promotions_too_late: u64,
}

impl LateCounters {
    /// Spans that came after the verdict on their trace.
    pub const fn n_late_spans(&self) -> u64 {
        self.n_followed_keep + self.n_followed_drop + self.n_over_budget
    }

    /// Adds what another shard has counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.n_followed_keep += other.n_followed_keep;
        self.n_followed_drop += other.n_followed_drop;
        self.n_joined += other.n_joined;
        self.n_promoted += other.n_promoted;
        self.n_over_budget += other.n_over_budget;
        self.n_promotions_over_budget += other.n_promotions_over_budget;
        self.n_promotions_too_late += other.n_promotions_too_late;
    }
}

impl Stage {
    /// Late spans of a kept trace leave as it did. The trace itself is paid for; where the budget
    /// counts spans or bytes, these are not.
    pub(super) fn follow_keep(&mut self, trace: &ClosedTrace, note: Note, now: Timestamp) {
        let n_spans = trace.spans.len() as u64;
        let is_tagged = self.config.traces.mode == TraceMode::Tag;
        let bound = self.ledger.bound();
        let is_charged = bound.total.unit != Unit::Traces
            || bound.per_tenant.is_some_and(|budget| budget.unit != Unit::Traces);
        let spans = KeptTrace::spans_of(trace);
        if is_charged && !is_tagged && !self.pay(&spans, self.tenant(trace, now), now) {
            self.counters.late.n_over_budget += n_spans;
            return;
        }
        self.counters.late.n_followed_keep += n_spans;
        self.hand_out(KeptTrace::new(trace.trace_id, spans, Why::late(note), now));
    }

    pub(super) fn follow_drop(&mut self, trace: &ClosedTrace, is_anomalous: bool, now: Timestamp) {
        let n_spans = trace.spans.len();
        self.counters.late.n_followed_drop += n_spans as u64;
        if !(is_anomalous && self.promote(trace, now)) {
            self.decided.drop_more(trace.trace_id, u32::try_from(n_spans).unwrap_or(u32::MAX));
        }
    }

    /// Keeps a dropped trace of which late spans are anomalous, if all of it is still held; whether that
    /// went well.
    fn promote(&mut self, trace: &ClosedTrace, now: Timestamp) -> bool {
        let mut spans = self.recent.spans_of(trace.trace_id);
        let mut known: FxHashSet<SpanId> = FxHashSet::default();
        spans.retain(|(batch, idx)| known.insert(batch.spans[*idx as usize].span_id));
        let late: FxHashSet<SpanId> = trace.spans.iter().map(|late| late.head().span_id).collect();
        let n_earlier = known.difference(&late).count();
        let n_dropped = self.decided.n_dropped_spans(trace.trace_id);
        // All of it or nothing.
        if n_dropped.is_none_or(|n_dropped| n_earlier < n_dropped as usize) {
            self.counters.late.n_promotions_too_late += 1;
            return false;
        }
        for late in trace.spans.iter().filter(|late| !known.contains(&late.head().span_id)) {
            spans.push((Arc::clone(&late.batch), late.span_idx));
        }
        if !self.pay(&spans, self.tenant(trace, now), now) {
            self.counters.late.n_promotions_over_budget += 1;
            return false;
        }
        self.counters.late.n_promoted += 1;
        self.counters.late.n_followed_drop -= trace.spans.len() as u64;
        self.counters.n_dropped = self.counters.n_dropped.saturating_sub(1);
        let mut why = Why::late(Note::default());
        why.decision = (self.config.traces.mode == TraceMode::Tag).then_some(Decision::Keep);
        self.keep(KeptTrace::new(trace.trace_id, spans, why, now));
        true
    }

    /// Pays for spans as for a trace; whether that was allowed.
    pub(super) fn pay(&self, spans: &[(Arc<Batch>, u32)], tenant: u32, now: Timestamp) -> bool {
        let bytes = spans.iter().map(|(batch, idx)| u64::from(batch.spans[*idx as usize].raw.len));
        let cost = Cost { n_spans: spans.len() as u64, n_bytes: bytes.sum() };
        self.ledger.pay(cost, tenant, now)
    }
}
