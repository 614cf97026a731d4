//! What is true of each trace of a stream. No sampler sees any of it.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::stream::Stream;

/// The truth about one trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Time was lost somewhere in it.
    pub slow: bool,
    /// Its structure is unusual.
    pub structure: bool,
    /// A span failed.
    pub error: bool,
    /// The largest number of a fault in whose window one of its spans starts.
    pub fault: Option<u16>,
    /// Which multiset of call sites it is, numbered by first appearance.
    pub topology: u32,
    /// Its spans.
    pub n_spans: u32,
}

impl Truth {
    /// Whether it should be kept.
    pub const fn is_anomalous(&self) -> bool {
        self.slow || self.structure || self.error
    }

    /// The fault that a keep of this trace touches.
    pub fn touched(&self) -> Option<u16> {
        self.fault.filter(|_| self.slow || self.structure)
    }
}

/// The truth about every trace, by its number.
pub fn of(stream: &Stream) -> Vec<Truth> {
    let mut truths = vec![Truth::default(); stream.n_traces()];
    // Sums of scattered names: the same multiset gives the same sum in any order.
    let mut multisets = vec![0_u64; stream.n_traces()];
    for row in 0..stream.len() as u32 {
        let labels = stream.labels(row);
        let number = stream.trace(row) as usize;
        let truth = &mut truths[number];
        truth.slow |= labels.slow_path;
        truth.structure |= labels.trace_struct;
        truth.error |= labels.error;
        truth.fault = truth.fault.max(labels.fault);
        truth.n_spans += 1;
        multisets[number] = multisets[number].wrapping_add(scattered(stream.name_idx(row)));
    }
    let mut numbers: FxHashMap<u64, u32> = FxHashMap::default();
    for (truth, multiset) in truths.iter_mut().zip(multisets) {
        let next = numbers.len() as u32;
        truth.topology = *numbers.entry(multiset).or_insert(next);
    }
    truths
}

/// The faults that some traces could touch.
pub(super) fn faults(truths: impl Iterator<Item = Truth>) -> FxHashSet<u16> {
    truths.filter_map(|truth| truth.touched()).collect()
}

/// `SplitMix64`.
const fn scattered(number: u32) -> u64 {
    let n = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
