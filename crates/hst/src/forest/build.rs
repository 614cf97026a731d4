//! Drawing the trees of a forest, in the order in which river and the paper draw them.

use super::Split;
use super::config::{ForestConfig, Limits};
use crate::error::Error;
use crate::features::Features;
use crate::mt19937::Mt19937;
use crate::score::SIZE_LIMIT;
use crate::skeleton::hash_words;

/// Share of a range, on either side, in which river cuts nothing.
const PADDING: f64 = 0.15;
/// Changes when the meaning of a tree changes; part of the id.
const DRAWING_REVISION: u64 = 1;

/// A feature and the part of its range that the current node covers.
#[derive(Clone, Copy)]
struct Range {
    feature_idx: u32,
    low: f64,
    high: f64,
}

/// The trees of `river.tree.padded.make_padded_tree` over the features that `first` has, one
/// generator for all trees.
pub(super) fn river<F: Features + ?Sized>(
    config: &ForestConfig,
    limits: &[Limits],
    first: &F,
) -> Result<Vec<Split>, Error> {
    let present = limits.iter().enumerate().filter(|(idx, _)| first.feature(*idx).is_some());
    let mut ranges: Vec<Range> = present.map(|(idx, limits)| range(idx, limits)).collect();
    if ranges.is_empty() {
        return Err(Error::NoFeature);
    }
    let mut rng = Mt19937::new(config.seed);
    let mut splits = vec![EMPTY; config.n_trees * config.layout().n_splits()];
    for tree in splits.chunks_exact_mut(config.layout().n_splits()) {
        river_node(&mut rng, tree, 0, &mut ranges);
    }
    Ok(splits)
}

fn river_node(rng: &mut Mt19937, tree: &mut [Split], node: usize, ranges: &mut [Range]) {
    if node >= tree.len() {
        return;
    }
    let chosen = weighted_choice(rng, ranges);
    let Range { feature_idx, low, high } = ranges[chosen];
    let threshold = rng.uniform(low + PADDING * (high - low), high - PADDING * (high - low));
    tree[node] = Split { feature_idx, threshold };
    ranges[chosen].high = threshold;
    river_node(rng, tree, 2 * node + 1, ranges);
    ranges[chosen].high = high;
    ranges[chosen].low = threshold;
    river_node(rng, tree, 2 * node + 2, ranges);
    ranges[chosen].low = low;
}

/// Python's `random.choices(population, weights)[0]`: the first position whose cumulative weight
/// exceeds `random() * total`, at most the last. It draws even if there is no choice.
fn weighted_choice(rng: &mut Mt19937, ranges: &[Range]) -> usize {
    let total: f64 = ranges.iter().map(|r| r.high - r.low).sum();
    let at = rng.random() * total;
    let mut cumulative = 0.0;
    let exceeds = |r: &Range| {
        cumulative += r.high - r.low;
        cumulative > at
    };
    ranges.iter().position(exceeds).unwrap_or(ranges.len() - 1)
}

/// The trees of Tan et al., algorithm 1: per tree a work range for each feature, then midpoints.
pub(super) fn tan(config: &ForestConfig, limits: &[Limits]) -> Vec<Split> {
    let mut rng = Mt19937::new(config.seed);
    let mut splits = vec![EMPTY; config.n_trees * config.layout().n_splits()];
    for tree in splits.chunks_exact_mut(config.layout().n_splits()) {
        let mut ranges: Vec<Range> = limits
            .iter()
            .enumerate()
            .map(|(idx, limits)| work_range(&mut rng, range(idx, limits)))
            .collect();
        tan_node(&mut rng, tree, 0, &mut ranges);
    }
    splits
}

/// `s +- 2 max(s, 1 - s)` with `s` uniform in [0, 1), in units of the limits.
fn work_range(rng: &mut Mt19937, limits: Range) -> Range {
    let s = rng.random();
    let reach = 2.0 * s.max(1.0 - s);
    let at = |unit: f64| limits.low + unit * (limits.high - limits.low);
    Range { low: at(s - reach), high: at(s + reach), ..limits }
}

fn tan_node(rng: &mut Mt19937, tree: &mut [Split], node: usize, ranges: &mut [Range]) {
    if node >= tree.len() {
        return;
    }
    let chosen = ((rng.random() * ranges.len() as f64) as usize).min(ranges.len() - 1);
    let Range { feature_idx, low, high } = ranges[chosen];
    let threshold = low + (high - low) / 2.0;
    tree[node] = Split { feature_idx, threshold };
    ranges[chosen].high = threshold;
    tan_node(rng, tree, 2 * node + 1, ranges);
    ranges[chosen].high = high;
    ranges[chosen].low = threshold;
    tan_node(rng, tree, 2 * node + 2, ranges);
    ranges[chosen].low = low;
}

/// Hash of shape and splits: forests with equal ids have equal trees.
pub(super) fn skeleton_id(height: usize, splits: &[Split]) -> u64 {
    let of_split = |split: &Split| [u64::from(split.feature_idx), split.threshold.to_bits()];
    let head = [DRAWING_REVISION, SIZE_LIMIT.to_bits(), height as u64];
    hash_words(head.into_iter().chain(splits.iter().flat_map(of_split)))
}

const EMPTY: Split = Split { feature_idx: 0, threshold: 0.0 };

fn range(idx: usize, limits: &Limits) -> Range {
    Range { feature_idx: idx as u32, low: limits.low, high: limits.high }
}
