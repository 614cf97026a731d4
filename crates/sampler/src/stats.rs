//! Counters and gauges of a sampler.

use crate::latency::Flipped;

/// What a sampler has done since it was made. Plain numbers, cheap to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Spans: those with valid times when they arrived, the others when their trace closed.
    pub n_seen: u64,
    /// Spans kept on arrival.
    pub n_kept_early: u64,
    /// Spans kept when their trace closed.
    pub n_kept_late: u64,
    /// Spans judged at the close by their service or all sites, their own site being cold.
    pub n_cold: u64,
    /// Spans rare enough to be kept for which the budget did not suffice.
    pub n_over_budget: u64,
    /// Windows that became references.
    pub n_flips: u64,
    /// Steps accepted as the new normal.
    pub n_rebaselined: u64,
    /// Models that made room for others.
    pub n_evicted: u64,
    /// Models held.
    pub n_models: u64,
    /// Models past their cold start.
    pub n_warm: u64,
    /// Bytes held by the models on the heap.
    pub heap_bytes: u64,
    /// Greatest tail probability now kept.
    pub threshold: f64,
    /// Greatest distance of the tails handed out from uniform, in [0, 1]; small is good.
    pub calibration_ks: f64,
}

impl Stats {
    /// Share of the spans seen that were kept; 0 before there are any.
    pub fn kept_share(&self) -> f64 {
        if self.n_seen == 0 {
            return 0.0;
        }
        (self.n_kept_early + self.n_kept_late) as f64 / self.n_seen as f64
    }

    pub(crate) fn flipped(&mut self, flipped: Flipped) {
        self.n_flips += 1;
        self.n_rebaselined += u64::from(flipped.rebaselined);
    }
}
