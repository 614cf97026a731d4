//! The shape of a one-feature forest over `n_bins` bins, shared by any number of models.
//!
//! Drawn as river draws its trees (a cut is uniform in the middle 70 % of its node's range), then
//! each cut is rounded to the edge of a bin. All values of one bin therefore answer every test of
//! every tree alike, and a node of a tree is visited by an interval of bins `[lo, hi)` and by no
//! other. That interval is all that is kept of a node: its mass is a difference of prefix sums.
//! A rounded cut may equal a limit of its node; the child on that side is empty, and no bin
//! reaches it.

use crate::error::Error;
use crate::exact;
use crate::mt19937::Mt19937;

/// Changes when the drawing of trees or the meaning of a bin changes; part of [`Skeleton::id`].
const DRAWING_REVISION: u64 = 1;
/// Stands where a drawn skeleton has its seed, so that the two kinds get different ids.
const GIVEN_CUTS: u64 = 0x6769_7665_6e20_6375;
/// Share of a range, on either side, in which no cut falls: river's padding.
const PADDING: f64 = 0.15;
const N_TREES_MAX: usize = 1024;
const HEIGHT_MAX: usize = 15;
const N_BINS_MAX: usize = 65_535;
/// Bounds the memory of one skeleton to 64 MiB of intervals.
const N_NODES_MAX: usize = 1 << 24;

/// The bins that visit a node: `lo .. hi`, empty if `lo == hi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) lo: u16,
    pub(crate) hi: u16,
}

/// `n_trees` trees of `height` over bins `0 .. n_bins`: cuts, and no mass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skeleton {
    n_trees: usize,
    height: usize,
    n_bins: usize,
    id: u64,
    /// Per tree 2^(height+1) - 1 nodes in preorder, left before right.
    intervals: Vec<Interval>,
    /// Depth of each node of one tree, in the same preorder.
    depths: Vec<u8>,
    /// Per tree 2^height - 1 cuts in level order: children of `i` are `2i + 1` and `2i + 2`. A bin
    /// below the cut goes left. Kept for the literal walk only.
    cuts: Vec<u16>,
}

impl Skeleton {
    /// Draws a skeleton; the same arguments give the same one on every machine, forever.
    ///
    /// Accepted are 1 ..= 1024 trees, heights 1 ..= 15 and 2 ..= 65,535 bins, at most 2^24 nodes
    /// in all. Costs about 20 ns and 6 bytes a node.
    pub fn new(seed: u64, n_trees: usize, height: usize, n_bins: usize) -> Result<Self, Error> {
        check_shape(n_trees, height, n_bins)?;
        let id = hash_words([DRAWING_REVISION, seed, n_trees as u64, height as u64, n_bins as u64]);
        let n_cuts = (1 << height) - 1;
        let mut rng = Mt19937::new(seed);
        let mut cuts = vec![0; n_trees * n_cuts];
        for tree in cuts.chunks_exact_mut(n_cuts) {
            draw(&mut rng, tree, 0, 0.0, n_bins as f64);
        }
        Ok(Self::assemble(n_trees, height, n_bins, id, cuts))
    }

    /// A skeleton of given cuts, to reproduce trees that were drawn elsewhere: per tree
    /// `2^height - 1` cuts in level order (children of `i` are `2i + 1` and `2i + 2`), a bin below
    /// the cut goes left. A cut outside its node's range leaves one child empty.
    pub fn from_cuts(height: usize, n_bins: usize, cuts: Vec<u16>) -> Result<Self, Error> {
        let n_cuts = (1_usize << height.min(HEIGHT_MAX)) - 1;
        check_shape(cuts.len() / n_cuts.max(1), height, n_bins)?;
        if !cuts.len().is_multiple_of(n_cuts) {
            return Err(Error::Setting { name: "cuts", expected: "2^height - 1 per tree" });
        }
        if cuts.iter().any(|&cut| usize::from(cut) > n_bins) {
            return Err(Error::Setting { name: "cuts", expected: "at most n_bins" });
        }
        let head = [DRAWING_REVISION, GIVEN_CUTS, height as u64, n_bins as u64];
        let id = hash_words(head.into_iter().chain(cuts.iter().map(|&cut| u64::from(cut))));
        Ok(Self::assemble(cuts.len() / n_cuts, height, n_bins, id, cuts))
    }

    fn assemble(n_trees: usize, height: usize, n_bins: usize, id: u64, cuts: Vec<u16>) -> Self {
        let n_nodes = (2 << height) - 1;
        let n_cuts = (1 << height) - 1;
        let mut intervals = Vec::with_capacity(n_trees * n_nodes);
        let whole = Interval { lo: 0, hi: n_bins as u16 };
        for tree in cuts.chunks_exact(n_cuts) {
            push_preorder(tree, 0, whole, &mut intervals);
        }
        let mut depths = Vec::with_capacity(n_nodes);
        push_depths(0, height, &mut depths);
        debug_assert_eq!(intervals.len(), n_trees * n_nodes);
        Self { n_trees, height, n_bins, id, intervals, depths, cuts }
    }

    /// Names this skeleton: equal ids mean equal trees, so that masses may be added.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Number of trees `T`.
    pub const fn n_trees(&self) -> usize {
        self.n_trees
    }

    /// Height `h`: tests on the way from root to leaf.
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Number of bins.
    pub const fn n_bins(&self) -> usize {
        self.n_bins
    }

    /// The largest total mass up to which sums over integer masses are exact: `2^53 / (T 2^(h+1))`,
    /// 7 * 10^11 observations for 25 trees of height 8.
    pub const fn exact_total_max(&self) -> u64 {
        exact::total_max(self.n_trees, self.height)
    }

    /// Cuts of all trees in level order, see [`Skeleton::from_cuts`].
    pub fn cuts(&self) -> &[u16] {
        &self.cuts
    }

    pub(crate) fn trees(&self) -> std::slice::ChunksExact<'_, Interval> {
        self.intervals.chunks_exact(self.depths.len())
    }

    pub(crate) fn depths(&self) -> &[u8] {
        &self.depths
    }
}

fn check_shape(n_trees: usize, height: usize, n_bins: usize) -> Result<(), Error> {
    let fail = |name, expected| Err(Error::Setting { name, expected });
    if n_trees == 0 || n_trees > N_TREES_MAX {
        return fail("n_trees", "1 to 1024");
    }
    if height == 0 || height > HEIGHT_MAX {
        return fail("height", "1 to 15");
    }
    if !(2..=N_BINS_MAX).contains(&n_bins) {
        return fail("n_bins", "2 to 65535");
    }
    if n_trees * ((2 << height) - 1) > N_NODES_MAX {
        return fail("n_trees", "fewer, or height smaller: at most 2^24 nodes in all");
    }
    Ok(())
}

/// Cuts of the subtree at `node`, drawn in preorder. The range is halved at the drawn place, not
/// at the rounded one, so that rounding never bends the distribution further down.
fn draw(rng: &mut Mt19937, cuts: &mut [u16], node: usize, low: f64, high: f64) {
    if node >= cuts.len() {
        return;
    }
    let padding = PADDING * (high - low);
    let cut = rng.uniform(low + padding, high - padding);
    cuts[node] = cut.round_ties_even() as u16;
    draw(rng, cuts, 2 * node + 1, low, cut);
    draw(rng, cuts, 2 * node + 2, cut, high);
}

fn push_preorder(cuts: &[u16], node: usize, here: Interval, out: &mut Vec<Interval>) {
    out.push(here);
    let Some(&cut) = cuts.get(node) else { return };
    let cut = cut.clamp(here.lo, here.hi);
    push_preorder(cuts, 2 * node + 1, Interval { hi: cut, ..here }, out);
    push_preorder(cuts, 2 * node + 2, Interval { lo: cut, ..here }, out);
}

fn push_depths(depth: usize, height: usize, out: &mut Vec<u8>) {
    out.push(depth as u8);
    if depth < height {
        push_depths(depth + 1, height, out);
        push_depths(depth + 1, height, out);
    }
}

/// FNV-1a over the words' little-endian bytes: fixed here, since std's hashers are not promised.
pub(crate) fn hash_words(words: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = words.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
