//! A ready model of one feature: one counter and one score per bin.
//!
//! Scoring reads one number and learning adds one; only a flip, once per window, looks at trees,
//! and then at nodes, not at observations. The flip allocates nothing: the full counters become
//! prefix sums in place, the table is built in the memory of the scores.

mod merge;
mod snapshot;

use std::sync::Arc;

use crate::error::Error;
use crate::score::ScoreKind;
use crate::skeleton::Skeleton;

/// How a [`StepForest`] windows and scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepConfig {
    /// Observations after which the latest counts become the reference, 1 or more. Larger windows
    /// are steadier and slower to follow.
    pub window: u32,
    /// Length of the very first window, 1 ..= `window`; each later one is twice as long until
    /// `window` is reached. A small value (32) ends the cold start early; `window` switches the
    /// doubling off.
    pub window_first: u32,
    /// Formula of the score.
    pub score: ScoreKind,
}

impl Default for StepConfig {
    /// Windows of 1000 observations that start at 32 and double; Tan's formula.
    fn default() -> Self {
        Self { window: 1000, window_first: 32, score: ScoreKind::Tan }
    }
}

impl StepConfig {
    fn validate(&self, skeleton: &Skeleton) -> Result<(), Error> {
        if self.window == 0 || u64::from(self.window) > skeleton.exact_total_max() {
            return Err(Error::Setting { name: "window", expected: "1 to 2^53 / (T * 2^(h+1))" });
        }
        if self.window_first == 0 || self.window_first > self.window {
            return Err(Error::Setting { name: "window_first", expected: "1 to window" });
        }
        Ok(())
    }
}

/// A half-space forest over bins, equal to the literal trees bit for bit.
///
/// ```
/// use std::sync::Arc;
/// use spanwise_hst::{Grid, Skeleton, StepConfig, StepForest};
///
/// let skeleton = Arc::new(Skeleton::new(42, 25, 8, Grid::N_BINS)?);
/// let mut forest = StepForest::new(&skeleton, StepConfig::default())?;
/// for i in 0..100_u64 {
///     forest.learn(Grid::bin_of(2_000_000 + 10_000 * i));
/// }
/// let usual = forest.score(Grid::bin_of(2_400_000));
/// let slow = forest.score(Grid::bin_of(40_000_000));
/// assert!(slow > usual && slow > 0.999);
/// # Ok::<(), spanwise_hst::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StepForest {
    skeleton: Arc<Skeleton>,
    config: StepConfig,
    /// Length of the window being filled.
    window: u32,
    n_latest: u32,
    n_reference: u32,
    /// Score per bin; all cold until the first flip.
    scores: Box<[f64]>,
    /// Count per bin, and one more element, always 0, that makes room for prefix sums.
    latest: Box<[u32]>,
    /// Prefix sums of the reference counts: `n_bins + 1` elements, the last is `n_reference`.
    reference: Box<[u32]>,
}

impl StepForest {
    /// An empty model over a skeleton that any number of models share. It takes 16 bytes a bin.
    pub fn new(skeleton: &Arc<Skeleton>, config: StepConfig) -> Result<Self, Error> {
        config.validate(skeleton)?;
        let n_bins = skeleton.n_bins();
        Ok(Self {
            skeleton: Arc::clone(skeleton),
            config,
            window: config.window_first,
            n_latest: 0,
            n_reference: 0,
            scores: vec![config.score.cold(); n_bins].into(),
            latest: vec![0; n_bins + 1].into(),
            reference: vec![0; n_bins + 1].into(),
        })
    }

    /// The score of an observation in `bin` against the reference window: high = anomalous.
    ///
    /// # Panics
    /// If `bin` is not below the skeleton's `n_bins`.
    #[inline]
    pub fn score(&self, bin: usize) -> f64 {
        self.scores[bin]
    }

    /// Counts an observation in `bin`; flips when the window is full.
    ///
    /// # Panics
    /// If `bin` is not below the skeleton's `n_bins`.
    #[inline]
    pub fn learn(&mut self, bin: usize) {
        let n_bins = self.scores.len();
        self.latest[..n_bins][bin] += 1;
        self.n_latest += 1;
        if self.n_latest >= self.window {
            self.flip();
        }
    }

    /// Makes the latest counts the reference before the window is full, for callers that also age
    /// windows by time; without any latest count it does nothing.
    #[cold]
    pub fn flip(&mut self) {
        if self.n_latest == 0 {
            return;
        }
        std::mem::swap(&mut self.latest, &mut self.reference);
        self.latest.fill(0);
        self.n_reference = std::mem::take(&mut self.n_latest);
        self.window = self.window.saturating_mul(2).min(self.config.window);
        self.accumulate();
    }

    /// Turns reference counts into prefix sums, then tabulates.
    fn accumulate(&mut self) {
        let mut before = 0;
        for count in &mut self.reference {
            before += std::mem::replace(count, before);
        }
        self.tabulate();
    }

    fn tabulate(&mut self) {
        let (kind, total) = (self.config.score, f64::from(self.n_reference));
        debug_assert_eq!(self.reference.last(), Some(&self.n_reference));
        self.skeleton.sums_of_prefix(kind, &self.reference, total, &mut self.scores);
        self.skeleton.finish(kind, total, &mut self.scores);
    }

    /// Observations in the reference window; 0 until the first flip.
    pub const fn n_reference(&self) -> u32 {
        self.n_reference
    }

    /// Observations learned since the last flip.
    pub const fn n_latest(&self) -> u32 {
        self.n_latest
    }

    /// Reference count of one bin; 0 outside the grid.
    pub fn reference_count(&self, bin: usize) -> u32 {
        let after = bin.checked_add(1).and_then(|edge| self.reference.get(edge));
        after.map_or(0, |after| after - self.reference[bin])
    }
}
