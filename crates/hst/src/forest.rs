//! The general forest: any number of features, two ways of drawing trees, three scores.
//!
//! Trees and masses are the literal ones of the paper. In `River` construction the forest
//! is `anomaly.HalfSpaceTrees` of river 0.26 to the last bit of each score, which the tests show
//! on streams that river itself scored.

mod build;
mod config;
mod light;
mod merge;
mod snapshot;
mod walk;

use crate::error::Error;
use crate::features::{Features, check_record};
use crate::score::{SIZE_LIMIT, ScoreKind};
use light::{LightRecord, LightSplit};

pub use config::{Construction, ForestConfig, Limits};

/// The test of an inner node: a record whose feature is below the threshold goes left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Position of the feature that is compared.
    pub feature_idx: u32,
    /// The value it is compared with; finite.
    pub threshold: f64,
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
    /// All four lie as `walk::Layout::place` says: splits with 2^h - 1 nodes a tree, the others with
    /// 2^(h+1) - 1. A node's mass is the sum of its children's.
    splits: Vec<Split>,
    /// The same splits, lighter.
    light: Vec<LightSplit>,
    latest: Vec<u32>,
    reference: Vec<u32>,
    /// What the formula adds up from the root to each node; see `walk::tabulate`.
    table: Vec<u64>,
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
        let mut forest = Self::untaught(config, limits.to_vec());
        if config.construction == Construction::Tan {
            forest.plant(&build::tan(&config, limits));
        }
        Ok(forest)
    }

    fn untaught(config: ForestConfig, limits: Vec<Limits>) -> Self {
        Self {
            config,
            limits,
            n_latest: 0,
            n_reference: 0,
            skeleton_id: 0,
            splits: Vec::new(),
            light: Vec::new(),
            latest: Vec::new(),
            reference: Vec::new(),
            table: Vec::new(),
        }
    }

    /// Sets trees, given in level order one after the other, with masses of 0.
    fn plant(&mut self, drawn: &[Split]) {
        let layout = self.config.layout();
        let (n_splits, n_nodes) = (layout.n_splits(), layout.n_nodes());
        assert_eq!(drawn.len(), layout.n_trees * n_splits);
        self.skeleton_id = build::skeleton_id(layout.height, drawn);
        self.splits = drawn.to_vec();
        for (tree, splits) in drawn.chunks_exact(n_splits).enumerate() {
            for (node, split) in splits.iter().enumerate() {
                self.splits[layout.place(n_splits, tree, node)] = *split;
            }
        }
        self.light = self.splits.iter().map(LightSplit::of).collect();
        self.latest = vec![0; layout.n_trees * n_nodes];
        self.reference = self.latest.clone();
        self.table = vec![0; layout.n_trees * n_nodes];
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
        let sum = walk::sum(self.config.layout(), &self.splits, &self.latest, &self.table, x);
        let ForestConfig { score, n_trees, height, .. } = self.config;
        Ok(score.of_sum(sum as f64, n_trees, height, f64::from(self.n_reference)))
    }

    /// What the formula gives in each tree by itself, `r 2^k` for [`ScoreKind::Tan`], written to `out`
    /// (one place per tree): the distribution of the mass of a record over the forest. `false`,
    /// and `out` untouched, until the first flip.
    ///
    /// # Panics
    /// If `out` has another length than there are trees.
    pub fn masses<F: Features + ?Sized>(&self, x: &F, out: &mut [f64]) -> Result<bool, Error> {
        check_record(x, self.limits.len())?;
        assert_eq!(out.len(), self.config.n_trees, "one place per tree");
        if self.n_reference == 0 {
            return Ok(false);
        }
        walk::each(self.config.layout(), &self.splits, &self.latest, &self.table, x, out);
        Ok(true)
    }

    /// [`Forest::masses`], then [`Forest::learn`], in one walk. `false`, and `out` untouched, until the
    /// first flip; the record is learned in any case.
    ///
    /// # Panics
    /// If `out` has another length than there are trees.
    pub fn masses_then_learn<F: Features + ?Sized>(
        &mut self,
        x: &F,
        out: &mut [f64],
    ) -> Result<bool, Error> {
        check_record(x, self.limits.len())?;
        assert_eq!(out.len(), self.config.n_trees, "one place per tree");
        if self.splits.is_empty() {
            let drawn = build::river(&self.config, &self.limits, x)?;
            self.plant(&drawn);
        }
        let is_known = self.n_reference > 0;
        let (layout, latest, table) = (self.config.layout(), &mut self.latest, &self.table);
        let leaf = |tree: usize, place: usize| {
            if is_known {
                out[tree] = table[place] as f64;
            }
        };
        match LightRecord::of(x) {
            Some(x) => light::learn(layout, &self.light, latest, &x, leaf),
            None => walk::learn(layout, &self.splits, latest, x, leaf),
        }
        self.count();
        Ok(is_known)
    }

    /// Counts a record in every node on its path; flips when the window is full.
    pub fn learn<F: Features + ?Sized>(&mut self, x: &F) -> Result<(), Error> {
        check_record(x, self.limits.len())?;
        if self.splits.is_empty() {
            let drawn = build::river(&self.config, &self.limits, x)?;
            self.plant(&drawn);
        }
        walk::learn(self.config.layout(), &self.splits, &mut self.latest, x, |_, _| ());
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        self.n_latest += 1;
        if self.n_latest >= self.config.window {
            self.flip();
        }
    }

    /// Makes the latest masses the reference before the window is full; without any latest mass
    /// it does nothing.
    pub fn flip(&mut self) {
        if self.n_latest == 0 {
            return;
        }
        std::mem::swap(&mut self.latest, &mut self.reference);
        self.latest.fill(0);
        self.n_reference = std::mem::take(&mut self.n_latest);
        self.tabulate();
    }

    fn tabulate(&mut self) {
        let (layout, reference, table) = (self.config.layout(), &self.reference, &mut self.table);
        let limit = SIZE_LIMIT * f64::from(self.n_reference);
        match self.config.score {
            ScoreKind::Tan => walk::tabulate(layout, reference, limit, table, |_, r, k| r << k),
            ScoreKind::River => {
                walk::tabulate(layout, reference, limit, table, |sum, r, k| sum + (r << k));
            }
            ScoreKind::Scale => walk::tabulate(layout, reference, limit, table, |_, _, k| k as u64),
        }
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

    /// The splits of one tree in level order (children of `i` are `2i + 1` and `2i + 2`); none if
    /// there is no such tree or it is not drawn yet.
    pub fn splits(&self, tree_idx: usize) -> impl Iterator<Item = Split> {
        let layout = self.config.layout();
        let is_drawn = tree_idx < layout.n_trees && !self.splits.is_empty();
        let nodes = 0..if is_drawn { layout.n_splits() } else { 0 };
        nodes.map(move |node| self.splits[layout.place(layout.n_splits(), tree_idx, node)])
    }
}
