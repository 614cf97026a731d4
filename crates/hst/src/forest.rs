//! The general forest: any number of features, two ways of drawing trees, three scores.
//!
//! Trees, masses and walks are the literal ones of the paper. In `River` construction the forest
//! is `anomaly.HalfSpaceTrees` of river 0.26 to the last bit of each score, which the tests show
//! on records made by river itself.

mod build;
mod config;
mod merge;
mod snapshot;

use crate::error::Error;
use crate::features::{Features, check_record};
use crate::score::{SIZE_LIMIT, ScoreKind};

pub use config::{Construction, ForestConfig, Limits};

/// The test of an inner node: a record whose feature is below the threshold goes left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Position of the feature that is compared.
    pub feature_idx: u32,
    /// The value it is compared with; finite.
    pub threshold: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mass {
    latest: u32,
    reference: u32,
}

/// Half-space trees over records of numbered features.
///
/// ```
/// use spanwise_hst::{Forest, ForestConfig, Limits};
///
/// let limits = [Limits::default(), Limits { low: 0.0, high: 5000.0 }];
/// let mut forest = Forest::new(ForestConfig { window: 100, ..ForestConfig::tan(7) }, &limits)?;
/// for i in 0..200 {
///     let wobble = f64::from(i % 10) / 100.0;
///     forest.learn(&[0.5 + wobble, 1000.0 * (1.0 + wobble)])?;
/// }
/// let usual = forest.score(&[0.54, 1050.0])?;
/// let odd = forest.score(&[0.54, 4000.0])?;
/// assert!(odd > usual);
/// # Ok::<(), spanwise_hst::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    config: ForestConfig,
    limits: Vec<Limits>,
    n_latest: u32,
    n_reference: u32,
    /// 0 while there are no trees.
    skeleton_id: u64,
    /// Per tree 2^h - 1 splits in level order: children of `i` are `2i + 1` and `2i + 2`.
    splits: Vec<Split>,
    /// Per tree 2^(h+1) - 1 nodes in the same order. A node's masses are the sums of its
    /// children's.
    masses: Vec<Mass>,
}

impl Forest {
    /// An empty forest of as many features as there are `limits`, at most 4,096.
    ///
    /// Where features have names and the trees must equal river's, number them in the order of
    /// their sorted names, because river draws from `sorted(x)`. With [`Construction::River`] the
    /// trees are drawn when the first record is learned, from the features *that record has*;
    /// others are never split on. With [`Construction::Tan`] they are drawn here.
    pub fn new(config: ForestConfig, limits: &[Limits]) -> Result<Self, Error> {
        config.validate(limits)?;
        let mut forest = Self {
            config,
            limits: limits.to_vec(),
            n_latest: 0,
            n_reference: 0,
            skeleton_id: 0,
            splits: Vec::new(),
            masses: Vec::new(),
        };
        if config.construction == Construction::Tan {
            forest.plant(build::tan(&config, limits));
        }
        Ok(forest)
    }

    fn plant(&mut self, splits: Vec<Split>) {
        assert_eq!(splits.len(), self.config.n_trees * self.config.n_splits());
        self.masses = vec![Mass::default(); self.config.n_trees * self.config.n_nodes()];
        self.skeleton_id = build::skeleton_id(self.config.height, &splits);
        self.splits = splits;
    }

    /// The score of a record against the reference window: high = anomalous, [`ScoreKind::cold`]
    /// until the first flip.
    ///
    /// A missing feature routes to the child with the larger *latest* mass, left if equal, as
    /// river does; such a score depends on what was learned since the flip.
    pub fn score<F: Features + ?Sized>(&self, x: &F) -> Result<f64, Error> {
        check_record(x, self.limits.len())?;
        if self.n_reference == 0 {
            return Ok(self.config.score.cold());
        }
        let sum: u64 = match self.config.score {
            ScoreKind::Tan => self.sum(x, |end, _| end),
            ScoreKind::River => self.sum(x, |_, path| path),
            ScoreKind::Scale => self.depths(x),
        };
        let ForestConfig { score, n_trees, height, .. } = self.config;
        Ok(score.of_sum(sum as f64, n_trees, height, f64::from(self.n_reference)))
    }

    /// Counts a record in every node on its path; flips when the window is full.
    pub fn learn<F: Features + ?Sized>(&mut self, x: &F) -> Result<(), Error> {
        check_record(x, self.limits.len())?;
        if self.splits.is_empty() {
            self.plant(build::river(&self.config, &self.limits, x)?);
        }
        let (n_splits, n_nodes) = (self.config.n_splits(), self.config.n_nodes());
        let trees = self.splits.chunks_exact(n_splits);
        for (splits, masses) in trees.zip(self.masses.chunks_exact_mut(n_nodes)) {
            let mut node = 0;
            masses[node].latest += 1;
            while let Some(split) = splits.get(node) {
                node = next(split, node, masses, x);
                masses[node].latest += 1;
            }
        }
        self.n_latest += 1;
        if self.n_latest >= self.config.window {
            self.flip();
        }
        Ok(())
    }

    /// Makes the latest masses the reference before the window is full; without any latest mass
    /// it does nothing.
    pub fn flip(&mut self) {
        if self.n_latest == 0 {
            return;
        }
        for mass in &mut self.masses {
            *mass = Mass { latest: 0, reference: mass.latest };
        }
        self.n_reference = std::mem::take(&mut self.n_latest);
    }

    /// Sum over the trees of `pick(r(v*) 2^k(v*), sum of r(v) 2^k(v) over the path)`.
    fn sum<F: Features + ?Sized>(&self, x: &F, pick: impl Fn(u64, u64) -> u64) -> u64 {
        let ends = self.ends(x, 0, |path, r, depth| path + (u64::from(r) << depth));
        ends.map(|(r, depth, path)| pick(u64::from(r) << depth, path)).sum()
    }

    fn depths<F: Features + ?Sized>(&self, x: &F) -> u64 {
        self.ends(x, (), |(), _, _| ()).map(|(_, depth, ())| u64::from(depth)).sum()
    }

    /// Per tree the reference mass and depth of the node where the walk of `x` ends, and `fold`
    /// of all nodes on the way, that one included.
    fn ends<F: Features + ?Sized, A: Copy>(
        &self,
        x: &F,
        init: A,
        fold: impl Fn(A, u32, u32) -> A,
    ) -> impl Iterator<Item = (u32, u32, A)> {
        let limit = SIZE_LIMIT * f64::from(self.n_reference);
        let trees = self.splits.chunks_exact(self.config.n_splits());
        trees.zip(self.masses.chunks_exact(self.config.n_nodes())).map(move |(splits, masses)| {
            let (mut node, mut depth, mut acc) = (0, 0, init);
            loop {
                let r = masses[node].reference;
                acc = fold(acc, r, depth);
                match splits.get(node) {
                    Some(split) if f64::from(r) >= limit => node = next(split, node, masses, x),
                    _ => return (r, depth, acc),
                }
                depth += 1;
            }
        })
    }

    /// The settings it was made with.
    pub const fn config(&self) -> &ForestConfig {
        &self.config
    }

    /// Number of features of a record.
    pub const fn n_features(&self) -> usize {
        self.limits.len()
    }

    /// Observations in the reference window; 0 until the first flip.
    pub const fn n_reference(&self) -> u32 {
        self.n_reference
    }

    /// Observations learned since the last flip.
    pub const fn n_latest(&self) -> u32 {
        self.n_latest
    }

    /// Names the trees, so that equal ids mean that masses may be added; `None` until there are
    /// trees.
    pub fn skeleton_id(&self) -> Option<u64> {
        (!self.splits.is_empty()).then_some(self.skeleton_id)
    }

    /// The splits of one tree in level order (children of `i` are `2i + 1` and `2i + 2`); empty
    /// if there is no such tree or it is not drawn yet.
    pub fn splits(&self, tree_idx: usize) -> &[Split] {
        self.splits.chunks_exact(self.config.n_splits()).nth(tree_idx).unwrap_or(&[])
    }
}

/// The child of `node` that a record goes to.
#[inline]
fn next<F: Features + ?Sized>(split: &Split, node: usize, masses: &[Mass], x: &F) -> usize {
    let left = 2 * node + 1;
    let goes_right = match x.feature(split.feature_idx as usize) {
        Some(value) => value >= split.threshold,
        None => masses[left].latest < masses[left + 1].latest,
    };
    left + usize::from(goes_right)
}
