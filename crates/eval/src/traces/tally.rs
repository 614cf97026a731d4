//! What one sampler kept under one budget, counted against the truth.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use spanwise_model::Timestamp;

use super::truth::Truth;

/// Length of the windows whose rates are compared.
pub(super) const WINDOW_NS: u64 = 300 * 1_000_000_000;

/// Counts of traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub all: u64,
    /// Anomalous ones.
    pub anomalous: u64,
    /// With time lost.
    pub slow: u64,
    /// With an unusual structure.
    pub structure: u64,
    /// With a failed span.
    pub error: u64,
}

/// Seen and kept traces of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) seen: Counts,
    pub(super) kept: Counts,
    pub(super) faults: FxHashSet<u16>,
    pub(super) topologies: FxHashSet<u32>,
    pub(super) topologies_normal: FxHashSet<u32>,
    /// By window: seen and kept.
    pub(super) windows: BTreeMap<u64, (Counts, Counts)>,
    /// Whether kept <= B x seen was ever broken, by how much.
    pub(super) excess: f64,
}

impl Counts {
    pub(super) fn count(&mut self, truth: &Truth) {
        self.all += 1;
        self.anomalous += u64::from(truth.is_anomalous());
        self.slow += u64::from(truth.slow);
        self.structure += u64::from(truth.structure);
        self.error += u64::from(truth.error);
    }
}

impl Tally {
    pub(super) fn see(&mut self, truth: &Truth, now: Timestamp) {
        self.seen.count(truth);
        self.windows.entry(now.as_ns() / WINDOW_NS).or_default().0.count(truth);
    }

    /// Counts a keep in the window in which the trace ended at `now`.
    pub(super) fn keep(&mut self, truth: &Truth, now: Timestamp) {
        self.kept.count(truth);
        self.windows.entry(now.as_ns() / WINDOW_NS).or_default().1.count(truth);
        self.faults.extend(truth.touched());
        self.topologies.insert(truth.topology);
        if !truth.is_anomalous() {
            self.topologies_normal.insert(truth.topology);
        }
    }

    /// The largest share kept of what was seen in a window.
    pub(super) fn max_window_rate(&self) -> f64 {
        let rate = |(seen, kept): &(Counts, Counts)| kept.all as f64 / seen.all.max(1) as f64;
        self.windows.values().map(rate).fold(0.0, f64::max)
    }
}
