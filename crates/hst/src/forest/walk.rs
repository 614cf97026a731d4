//! Trees laid out and walked side by side, so that their loads overlap.
//!
//! One walk is a chain of dependent loads: split, feature, next node. Trees are independent, so a
//! *group* of up to 32 takes each step together and the processor works on all chains at once.
//! Nodes of a group lie node by node, within a node tree by tree; from a place the children's
//! follow without multiplying.
//!
//! A leaf names its path, missing features or not. What a formula adds up along the path is
//! therefore known for each leaf as soon as the reference is ([`tabulate`]), and scoring is a walk
//! that looks at no mass and one look at a table. All sums are integers: order and grouping change
//! no bit of a score.

use super::Split;
use crate::exact;
use crate::features::Features;

/// Trees that step together: far more than the loads a core keeps in flight, few enough for the
/// stack.
pub(super) const N_LANES: usize = 32;

/// Number and height of trees, and where their nodes lie.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) n_trees: usize,
    pub(super) height: usize,
}

impl Layout {
    /// Inner nodes per tree.
    pub(super) const fn n_splits(self) -> usize {
        (1 << self.height) - 1
    }

    /// Inner nodes and leaves per tree.
    pub(super) const fn n_nodes(self) -> usize {
        (2 << self.height) - 1
    }

    /// The largest total mass up to which all sums of a score are exact.
    pub(super) const fn exact_total_max(self) -> u64 {
        exact::total_max(self.n_trees, self.height)
    }

    /// Place of a node (in level order) of a tree, in an array with `per_tree` nodes a tree:
    /// `n_splits` for splits, `n_nodes` for masses.
    pub(super) fn place(self, per_tree: usize, tree: usize, node: usize) -> usize {
        let first = tree / N_LANES * N_LANES;
        let n_lanes = N_LANES.min(self.n_trees - first);
        first * per_tree + node * n_lanes + (tree - first)
    }

    /// Places of the leaves among the nodes, left to right, tree after tree.
    pub(super) fn leaves(self) -> impl Iterator<Item = usize> {
        let places = move |tree| {
            let leaves = self.n_splits()..self.n_nodes();
            leaves.map(move |node| self.place(self.n_nodes(), tree, node))
        };
        (0..self.n_trees).flat_map(places)
    }

    /// Where each group starts in an array with `per_tree` nodes a tree, and how many trees it has.
    pub(super) fn groups(self, per_tree: usize) -> impl Iterator<Item = (usize, usize)> {
        let firsts = (0..self.n_trees).step_by(N_LANES);
        firsts.map(move |first| (first * per_tree, N_LANES.min(self.n_trees - first)))
    }
}

/// Sum over the trees of `table` at the leaf of `x`. `latest` routes missing features.
pub(super) fn sum<F: Features + ?Sized>(
    layout: Layout,
    splits: &[Split],
    latest: &[u32],
    table: &[u64],
    x: &F,
) -> u64 {
    let mut sum = 0;
    let starts = layout.groups(layout.n_splits()).zip(layout.groups(layout.n_nodes()));
    for ((split_start, n_lanes), (node_start, _)) in starts {
        let (splits, latest) = (&splits[split_start..], &latest[node_start..]);
        let mut places: [usize; N_LANES] = std::array::from_fn(|lane| lane);
        for _ in 0..layout.height {
            for (lane, place) in places[..n_lanes].iter_mut().enumerate() {
                *place = child(&splits[*place], *place, (lane, n_lanes), latest, x);
            }
        }
        let table = &table[node_start..];
        sum += places[..n_lanes].iter().map(|place| table[*place]).sum::<u64>();
    }
    sum
}

/// `table` at the leaf of `x` in each tree, in their order.
pub(super) fn each<F: Features + ?Sized>(
    layout: Layout,
    splits: &[Split],
    latest: &[u32],
    table: &[u64],
    x: &F,
    out: &mut [f64],
) {
    let starts = layout.groups(layout.n_splits()).zip(layout.groups(layout.n_nodes()));
    for (((split_start, n_lanes), (node_start, _)), out) in starts.zip(out.chunks_mut(N_LANES)) {
        let (splits, latest) = (&splits[split_start..], &latest[node_start..]);
        let mut places: [usize; N_LANES] = std::array::from_fn(|lane| lane);
        for _ in 0..layout.height {
            for (lane, place) in places[..n_lanes].iter_mut().enumerate() {
                *place = child(&splits[*place], *place, (lane, n_lanes), latest, x);
            }
        }
        for (slot, place) in out.iter_mut().zip(&places) {
            *slot = table[node_start + *place] as f64;
        }
    }
}

/// Adds 1 to the latest mass of each node on the path of `x`, in every tree, and tells the place of
/// each tree's leaf.
pub(super) fn learn<F: Features + ?Sized>(
    layout: Layout,
    splits: &[Split],
    latest: &mut [u32],
    x: &F,
    mut leaf: impl FnMut(usize, usize),
) {
    let starts = layout.groups(layout.n_splits()).zip(layout.groups(layout.n_nodes()));
    for (group, ((split_start, n_lanes), (node_start, _))) in starts.enumerate() {
        let (splits, latest) = (&splits[split_start..], &mut latest[node_start..]);
        let mut places: [usize; N_LANES] = std::array::from_fn(|lane| lane);
        for _ in 0..layout.height {
            for (lane, place) in places[..n_lanes].iter_mut().enumerate() {
                latest[*place] += 1;
                *place = child(&splits[*place], *place, (lane, n_lanes), latest, x);
            }
        }
        for (lane, place) in places[..n_lanes].iter().enumerate() {
            latest[*place] += 1;
            leaf(group * N_LANES + lane, node_start + *place);
        }
    }
}

/// Fills `table`: `fold(acc, r, depth)` applied along the path from the root (`acc` 0) to each
/// node, but not below a node whose reference mass `r` is under `limit`, where walks end.
pub(super) fn tabulate(
    layout: Layout,
    reference: &[u32],
    limit: f64,
    table: &mut [u64],
    fold: impl Fn(u64, u64, usize) -> u64,
) {
    // r < limit as integers: r below the least integer that is not.
    let limit = limit.ceil() as u32;
    for (start, n_lanes) in layout.groups(layout.n_nodes()) {
        let (reference, table) = (&reference[start..], &mut table[start..]);
        for (r, sum) in reference.iter().zip(table.iter_mut()).take(n_lanes) {
            *sum = fold(0, u64::from(*r), 0);
        }
        for node in 1..layout.n_nodes() {
            let parent = (node - 1) / 2;
            let depth = (node + 1).ilog2() as usize;
            let (above, sums) = table.split_at_mut(node * n_lanes);
            let rows = sums.iter_mut().zip(&reference[node * n_lanes..]);
            let parent_rows = above[parent * n_lanes..].iter().zip(&reference[parent * n_lanes..]);
            for ((sum, r), (before, of_parent)) in rows.zip(parent_rows).take(n_lanes) {
                let after = fold(*before, u64::from(*r), depth);
                *sum = if *of_parent < limit { *before } else { after };
            }
        }
    }
}

/// The place of the child that a record goes to. Node `i` of lane `l` of `n` lies at `i n + l`,
/// its children `2i + 1` and `2i + 2` hence at `2 (i n + l) + n - l` and `n` further.
#[inline]
fn child<F: Features + ?Sized>(
    split: &Split,
    place: usize,
    (lane, n_lanes): (usize, usize),
    latest: &[u32],
    x: &F,
) -> usize {
    let left = 2 * place + n_lanes - lane;
    let right = left + n_lanes;
    let goes_right = match x.feature(split.feature_idx as usize) {
        Some(value) => value >= split.threshold,
        None => latest[left] < latest[right],
    };
    if goes_right { right } else { left }
}
