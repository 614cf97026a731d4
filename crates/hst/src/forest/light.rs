//! Splits in half the space, for records of few features that are all there and no finer than `f32`.
//!
//! A walk through the literal splits, 16 bytes each, is bound by the second-level cache. For an `x` that an
//! `f32` holds exactly, `x >= t` is the same as `x >= u` with u the least `f32` that is not below t: so
//! these walks end in the same leaves, always.

use super::Split;
use super::walk::{Layout, N_LANES};
use crate::features::Features;

/// Most features of a record.
const N_FEATURES_MAX: usize = 16;

/// A split as these walks see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LightSplit {
    threshold: f32,
    feature_idx: u32,
}

/// A record, features beyond its own being 0.
pub(super) struct LightRecord([f32; N_FEATURES_MAX]);

impl LightSplit {
    pub(super) fn of(split: &Split) -> Self {
        let nearest = split.threshold as f32;
        let is_below = f64::from(nearest) < split.threshold;
        let threshold = if is_below { nearest.next_up() } else { nearest };
        Self { threshold, feature_idx: split.feature_idx }
    }
}

impl LightRecord {
    /// `None` if the record has too many features, lacks one, or has one that an `f32` rounds.
    pub(super) fn of<F: Features + ?Sized>(x: &F) -> Option<Self> {
        let mut record = [0.0; N_FEATURES_MAX];
        if x.n_features() > N_FEATURES_MAX {
            return None;
        }
        for (idx, slot) in record.iter_mut().enumerate().take(x.n_features()) {
            let value = x.feature(idx)?;
            *slot = value as f32;
            if f64::from(*slot).to_bits() != value.to_bits() {
                return None;
            }
        }
        Some(Self(record))
    }
}

/// [`super::walk::learn`] for such a record.
pub(super) fn learn(
    layout: Layout,
    splits: &[LightSplit],
    latest: &mut [u32],
    x: &LightRecord,
    mut leaf: impl FnMut(usize, usize),
) {
    let starts = layout.groups(layout.n_splits()).zip(layout.groups(layout.n_nodes()));
    for (group, ((split_start, n_lanes), (node_start, _))) in starts.enumerate() {
        let (splits, latest) = (&splits[split_start..], &mut latest[node_start..]);
        let mut places: [usize; N_LANES] = std::array::from_fn(|lane| lane);
        for _ in 0..layout.height {
            for (lane, place) in places[..n_lanes].iter_mut().enumerate() {
                latest[*place] += 1;
                let split = &splits[*place];
                let value = x.0[split.feature_idx as usize % N_FEATURES_MAX];
                let right = if value >= split.threshold { n_lanes } else { 0 };
                *place = 2 * *place + n_lanes - lane + right;
            }
        }
        for (lane, place) in places[..n_lanes].iter().enumerate() {
            latest[*place] += 1;
            leaf(group * N_LANES + lane, node_start + *place);
        }
    }
}
