//! What the window holds and what it has counted since it was made.

use spanwise_model::CloseReason;

/// Gauges and counters of an assembler. Counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Traces open now.
    pub n_open_traces: u64,
    /// Spans open now.
    pub n_open_spans: u64,
    /// Bytes charged now: retained batches and index.
    pub bytes: u64,
    /// Of these, the retained batches.
    pub batch_bytes: u64,
    /// Of these, requests that still have the bytes of their spans.
    pub full_bytes: u64,
    /// Requests whose spans lost their bytes: they stand elsewhere.
    pub n_lightened: u64,
    /// Spans that came in.
    pub n_spans: u64,
    /// Spans that duplicated another of their trace and were dropped at close.
    pub n_duplicates: u64,
    /// Spans that named a parent which was not in the trace when it closed.
    pub n_orphans: u64,
    /// Cycles cut, self-parents included.
    pub n_cycles: u64,
    /// Spans beyond the first `n_spans_per_trace` of their trace.
    pub n_overflow_spans: u64,
    /// Closed because the root had ended.
    pub n_closed_root_ended: u64,
    /// Closed because nothing came any more.
    pub n_closed_idle: u64,
    /// Closed because of age.
    pub n_closed_age: u64,
    /// Closed because memory ran short.
    pub n_closed_evicted: u64,
    /// Parts closed because they were full.
    pub n_closed_full: u64,
    /// Closed by `drain`.
    pub n_closed_drained: u64,
}

impl Stats {
    pub(crate) fn count_close(&mut self, reason: CloseReason) {
        let counter = match reason {
            CloseReason::RootEnded => &mut self.n_closed_root_ended,
            CloseReason::Idle => &mut self.n_closed_idle,
            CloseReason::Age => &mut self.n_closed_age,
            CloseReason::Evicted => &mut self.n_closed_evicted,
            CloseReason::Full => &mut self.n_closed_full,
            CloseReason::Drained => &mut self.n_closed_drained,
        };
        *counter += 1;
    }
}
