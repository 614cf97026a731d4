//! Settings of a forest and their ranges.

use super::walk::Layout;
use crate::error::Error;
use crate::score::ScoreKind;

const N_TREES_MAX: usize = 1024;
const HEIGHT_MAX: usize = 15;
const N_FEATURES_MAX: usize = 4096;
/// Bounds one forest to about 70 MiB of splits and masses.
const N_NODES_MAX: usize = 1 << 22;

/// How trees are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Construction {
    /// Tan, Ting and Liu: each tree gets a work range around a random point `s` of each feature,
    /// `s - 2 max(s, 1-s) ..= s + 2 max(s, 1-s)` in units of the limits; a node halves the range
    /// of a feature chosen uniformly.
    Tan,
    /// river 0.26: the work range is the limits; a node chooses a feature with the weight of its
    /// current range and cuts uniformly in the middle 70 % of it.
    River,
}

/// The range in which a feature is expected. Values outside are legal and fall into the outermost
/// half-spaces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Lower end; of magnitude 10^300 at most.
    pub low: f64,
    /// Upper end, above `low`; of magnitude 10^300 at most.
    pub high: f64,
}

impl Limits {
    /// Beyond this a work range of four times the width might overflow.
    const MAGNITUDE_MAX: f64 = 1e300;

    fn is_usable(&self) -> bool {
        let in_range = |end: f64| end.abs() <= Self::MAGNITUDE_MAX;
        in_range(self.low) && in_range(self.high) && self.low < self.high
    }
}

impl Default for Limits {
    /// 0 to 1.
    fn default() -> Self {
        Self { low: 0.0, high: 1.0 }
    }
}

/// Settings of a [`Forest`](crate::Forest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForestConfig {
    /// Trees, 1 ..= 1024. More trees smooth the score and cost time in proportion.
    pub n_trees: usize,
    /// Tests from root to leaf, 1 ..= 15. Memory doubles with each: `2^(h+1) - 1` nodes a tree, at
    /// most 2^22 nodes in all. `SampleHST`-like uses gain nothing beyond 12.
    pub height: usize,
    /// Observations after which the latest masses become the reference, 1 or more.
    pub window: u32,
    /// Seed of the generator that draws the trees, Python's `random.Random(seed)`.
    pub seed: u64,
    /// How trees are drawn.
    pub construction: Construction,
    /// Formula of the score.
    pub score: ScoreKind,
}

impl ForestConfig {
    /// The defaults of the paper: 25 trees of height 15, window 250.
    pub const fn tan(seed: u64) -> Self {
        Self {
            n_trees: 25,
            height: 15,
            window: 250,
            seed,
            construction: Construction::Tan,
            score: ScoreKind::Tan,
        }
    }

    /// The defaults of river's `HalfSpaceTrees`: 10 trees of height 8, window 250.
    pub const fn river(seed: u64) -> Self {
        Self {
            n_trees: 10,
            height: 8,
            window: 250,
            seed,
            construction: Construction::River,
            score: ScoreKind::River,
        }
    }

    pub(super) const fn layout(&self) -> Layout {
        Layout { n_trees: self.n_trees, height: self.height }
    }

    pub(super) fn validate(&self, limits: &[Limits]) -> Result<(), Error> {
        let fail = |name, expected| Err(Error::Setting { name, expected });
        if !(1..=N_TREES_MAX).contains(&self.n_trees) {
            return fail("n_trees", "1 to 1024");
        }
        if !(1..=HEIGHT_MAX).contains(&self.height) {
            return fail("height", "1 to 15");
        }
        if self.n_trees * self.layout().n_nodes() > N_NODES_MAX {
            return fail("n_trees", "fewer, or height smaller: at most 2^22 nodes in all");
        }
        if self.window == 0 || u64::from(self.window) > self.layout().exact_total_max() {
            return fail("window", "1 to 2^53 / (T * 2^(h+1))");
        }
        if !(1..=N_FEATURES_MAX).contains(&limits.len()) {
            return fail("limits", "1 to 4096, one per feature");
        }
        if !limits.iter().all(Limits::is_usable) {
            return fail("limits", "of magnitude below 10^300, low below high");
        }
        Ok(())
    }
}
